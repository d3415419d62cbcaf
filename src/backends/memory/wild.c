/* SPDX-License-Identifier: Apache-2.0
 * Groups over several channels are remembered when nobody listens for them: a channel that is made
 * meanwhile keeps for them all that comes, as those do that were there. With the broker's lock
 * held. */
#include "memory.h"

#include "base/alloc.h"

#include <string.h>

struct wild_group {
    wild_group *next;
    marty_kind kind;
    char *name, *group; /* full name, with its wildcard */
};

static bool is_of(const wild_group *w, const subscription *s)
{
    return w->kind == s->kind && strcmp(w->name, s->name) == 0 && strcmp(w->group, s->group) == 0;
}

static void free_one(wild_group *w)
{
    marty_free(w->name);
    marty_free(w->group);
    marty_free(w);
}

bool marty__mem_wild_note(const subscription *s)
{
    broker *b = s->port->broker;
    if (!s->group || s->keeps_nothing) {
        return true;
    }
    for (const wild_group *w = b->wild_groups; w; w = w->next) {
        if (is_of(w, s)) {
            return true;
        }
    }
    wild_group *w = marty_alloc_zero(1, sizeof *w);
    if (!w) {
        return false;
    }
    *w = (wild_group){.next = b->wild_groups,
                      .kind = s->kind,
                      .name = marty__strdup(s->name),
                      .group = marty__strdup(s->group)};
    if (!w->name || !w->group) {
        free_one(w);
        return false;
    }
    b->wild_groups = w;
    return true;
}

bool marty__mem_wild_groups(channel *c)
{
    for (const wild_group *w = c->broker->wild_groups; w; w = w->next) {
        bool wants = w->kind == c->kind && marty__mem_name_matches(w->name, c->name) &&
                     !marty__mem_group_find(c, w->group);
        if (wants && !marty__mem_group_new(c, w->group)) {
            return false;
        }
    }
    return true;
}

void marty__mem_wild_free(broker *b)
{
    while (b->wild_groups) {
        wild_group *w = b->wild_groups;
        b->wild_groups = w->next;
        free_one(w);
    }
}
