/* SPDX-License-Identifier: Apache-2.0
 * Priority: a message that has one becomes an item of each group as soon as it is stored, in the
 * list of its level, and the cursor passes its entry over. All the groups or none: without memory
 * it is delivered in its turn. Ordered channels know no priority. With the broker's lock held. */
#include "memory.h"

int marty__mem_level(const marty_message *message)
{
    int32_t level = message->priority;
    return level > LEVEL_MIDDLE ? LEVEL_MIDDLE : level < -LEVEL_MIDDLE ? -LEVEL_MIDDLE : level;
}

static bool make_levels(group *g)
{
    if (!g->levels) {
        g->levels = marty_alloc_zero(1, sizeof *g->levels);
        for (size_t i = 0; g->levels && i < LEVELS; i++) {
            marty__list_init(&g->levels->items[i]);
        }
    }
    return g->levels != NULL;
}

static item *make_item(channel *c, group *g, const entry *e, uint64_t offset)
{
    item *it = make_levels(g) ? marty__mem_item_new(c->broker, g) : NULL;
    if (it) {
        it->message = marty_message_ref(e->message);
        it->level = (int8_t)marty__mem_level(e->message);
        it->offset = offset;
        it->expires_ns = e->expires_ns;
        it->shard = e->shard;
    }
    return it;
}

bool marty__mem_prioritise(channel *c, entry *e, uint64_t offset)
{
    marty__link made;
    marty__list_init(&made);
    bool all = true;
    for (marty__link *at = c->groups.next; all && at != &c->groups; at = at->next) {
        item *it = make_item(c, MARTY__OWNER(at, group, link), e, offset);
        all = it != NULL;
        if (it) {
            marty__list_push(&made, &it->link);
        }
    }
    for (marty__link *link; (link = marty__list_pop(&made)) != NULL;) {
        item *it = MARTY__OWNER(link, item, link);
        if (all) {
            marty__mem_wait(it);
        } else {
            marty__mem_item_free(it);
        }
    }
    if (all) {
        e->flags |= ENTRY_PRIORITY;
    }
    return all;
}

bool marty__mem_store_urgent(const storing *what)
{
    group *g = MARTY__OWNER(what->channel->groups.next, group, link);
    item *it = make_levels(g) ? marty__mem_item_new(what->channel->broker, g) : NULL;
    if (it) {
        it->message = marty_message_ref(what->message);
        it->level = (int8_t)marty__mem_level(what->message);
        it->expires_ns = what->expires_ns;
        marty__mem_wait(it);
    }
    return it != NULL;
}
