/* SPDX-License-Identifier: Apache-2.0
 * Groups: a cursor in a channel's log, what came back to it, and the members that share it. With
 * the broker's lock held. */
#include "memory.h"

#include "base/alloc.h"
#include "base/number.h"

#include <string.h>

group *marty__mem_group_find(const channel *c, const char *name)
{
    if (c->moves) { /* it has one, whatever it is called */
        return MARTY__OWNER(c->groups.next, group, link);
    }
    return *name ? marty__map_get(&c->group_names, name, strlen(name)) : NULL;
}

group *marty__mem_group_new(channel *c, const char *name)
{
    group *g = marty_alloc_zero(1, sizeof *g);
    if (!g) {
        return NULL;
    }
    g->name = marty__strdup(name);
    bool named = *name && !c->moves;
    if (!g->name || (named && !marty__map_put(&c->group_names, g->name, strlen(g->name), g))) {
        marty_free(g->name);
        marty_free(g);
        return NULL;
    }
    g->channel = c;
    g->alone = !*name && !c->moves;
    g->ordered = c->order == MARTY_ORDER_KEY && !c->keeps_nothing;
    g->next = g->since = c->log.next;
    marty__list_init(&g->members);
    marty__list_init(&g->hungry);
    marty__list_init(&g->returned);
    marty__list_init(&g->delayed);
    marty__list_init(&g->ready);
    marty__list_push(&c->groups, &g->link);
    c->group_count++;
    return g;
}

static void free_list(marty__link *head)
{
    while (!marty__list_empty(head)) {
        marty__mem_item_free(MARTY__OWNER(head->next, item, link));
    }
}

static void free_held(group *g, const subscription *s)
{
    for (marty__link *at = s->held.next, *next; at != &s->held; at = next) {
        item *it = MARTY__OWNER(at, item, link);
        next = at->next;
        if (it->group == g) {
            marty__mem_item_free(it);
        }
    }
}

/* Forget all that was taken: what is held is LOST to its holders. */
void marty__mem_group_empty(group *g)
{
    for (marty__link *at = g->members.next; at != &g->members; at = at->next) {
        free_held(g, MARTY__OWNER(at, member, link)->subscription);
    }
    free_list(&g->returned);
    free_list(&g->delayed);
    for (size_t i = 0; g->levels && i < LEVELS; i++) {
        free_list(&g->levels->items[i]);
    }
    for (size_t i = 0; i < g->claims.capacity; i++) {
        while (g->claims.buckets[i]) { /* the last item takes the claim along */
            claim *c = MARTY__OWNER(g->claims.buckets[i], claim, node);
            marty__mem_item_free(MARTY__OWNER(c->waiting.next, item, link));
        }
    }
}

void marty__mem_group_free(group *g)
{
    channel *c = g->channel;
    marty__mem_group_empty(g);
    while (!marty__list_empty(&g->members)) {
        marty__mem_member_remove(MARTY__OWNER(g->members.next, member, link));
    }
    if (*g->name && !c->moves) {
        (void)marty__map_take(&c->group_names, g->name, strlen(g->name));
    }
    marty__list_remove(&g->link);
    c->group_count--;
    marty_free(g->claims.buckets);
    marty_free(g->levels);
    marty_free(g->name);
    marty_free(g);
}

/* The first offset stored at or after a time; entries are in the order of their times. */
uint64_t marty__mem_offset_at(const record_log *log, int64_t time_us)
{
    uint64_t low = log->first, high = log->next;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (marty__mem_entry(log, middle)->time_us < time_us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

marty_start marty__mem_start(const marty_port *port, const marty_start *start)
{
    marty_start ours = *start;
    if (start->from == MARTY_FROM_TIME) {
        int64_t off_us = marty__mem_wall(port->broker) - marty__mem_port_wall(port);
        bool agree = off_us < CLOCKS_AGREE_US && off_us > -CLOCKS_AGREE_US;
        ours.time_us += agree ? 0 : off_us;
    }
    return ours;
}

bool marty__mem_position(uint64_t *ret_offset, const char *text)
{
    return text && marty__number_read(ret_offset, text, strlen(text), INT64_MAX);
}

marty_err marty__mem_group_seek(group *g, const marty_start *start, marty_from otherwise,
                                marty_error *why)
{
    const record_log *log = &g->channel->log;
    marty_from from = start->from == MARTY_FROM_GROUP ? otherwise : start->from;
    uint64_t offset = log->next;
    if (from == MARTY_FROM_POSITION && !marty__mem_position(&offset, start->position)) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "\"%.48s\" is no position of this channel; it is a number, as a "
                               "delivery shows it",
                               start->position ? start->position : "");
    }
    if (from == MARTY_FROM_EARLIEST) {
        offset = log->first;
    } else if (from == MARTY_FROM_TIME) {
        offset = marty__mem_offset_at(log, start->time_us);
    }
    if (!g->channel->moves) {
        marty__mem_group_empty(g);
        g->next = offset < log->first ? log->first : offset > log->next ? log->next : offset;
        g->since = log->next;
    }
    return MARTY_OK;
}

uint64_t marty__mem_group_lag(const group *g)
{
    uint64_t next = g->next < g->channel->log.first ? g->channel->log.first : g->next;
    return g->channel->log.next - next + g->waiting + g->delayed_count;
}

member *marty__mem_member_add(subscription *s, group *g)
{
    member *m = marty_alloc_zero(1, sizeof *m);
    if (!m) {
        return NULL;
    }
    m->group = g;
    m->subscription = s;
    marty__list_init(&m->ready);
    marty__list_push(&g->members, &m->link);
    marty__list_push(&s->members, &m->of_subscription);
    g->member_count++;
    marty__mem_member_feed(m);
    return m;
}

void marty__mem_member_feed(member *m)
{
    if (m->subscription->credit && !m->hungry.next) {
        marty__list_push(&m->group->hungry, &m->hungry);
        m->group->hungry_count++;
    }
}

void marty__mem_member_starve(member *m)
{
    if (m->hungry.next) {
        marty__list_remove(&m->hungry);
        m->group->hungry_count--;
    }
}

void marty__mem_member_remove(member *m)
{
    marty__mem_member_starve(m);
    marty__list_remove(&m->link);
    marty__list_remove(&m->of_subscription);
    m->group->member_count--;
    marty_free(m);
}
