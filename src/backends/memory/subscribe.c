/* SPDX-License-Identifier: Apache-2.0
 * Subscriptions of a port: joining groups, wildcards over channels, seek, credit and leaving. What
 * a leaving one holds goes back in its old order, and no attempt is counted. */
#include "memory.h"

#include "base/alloc.h"
#include "base/limits.h"

#include <string.h>

/* ---- names */
bool marty__mem_name_matches(const char *pattern, const char *name)
{
    for (;;) {
        size_t word = strcspn(name, "."), wanted = strcspn(pattern, ".");
        if (strcmp(pattern, ">") == 0) {
            return word > 0;
        }
        bool any = wanted == 1 && *pattern == '*';
        if (!any && (word != wanted || memcmp(pattern, name, word) != 0)) {
            return false;
        }
        pattern += wanted;
        name += word;
        if (!*pattern || !*name) {
            return !*pattern && !*name;
        }
        pattern++;
        name++;
    }
}

static bool has_wildcard(const char *name)
{
    for (const char *at = name; *at; at += strcspn(at, ".") + (at[strcspn(at, ".")] == '.')) {
        size_t size = strcspn(at, ".");
        if (size == 1 && (*at == '*' || *at == '>')) {
            return true;
        }
    }
    return false;
}

static bool is_good_name(const char *name)
{
    for (const char *at = name; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            return false;
        }
    }
    return *name && strlen(name) <= MARTY__NAME_BYTES_MAX;
}

marty_err marty__mem_full_name(const marty_port *port, char out[FULL_NAME_BYTES],
                               const marty_channel *wanted, bool wildcards, marty_error *why)
{
    const char *name = wanted->name;
    const char *prefix = wanted->native ? "" : port->prefix;
    if (!name || !is_good_name(name) || (!wildcards && has_wildcard(name))) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "channel \"%.64s\": a name has 1 to %d bytes, no control characters "
                               "and, here, no wildcard",
                               name ? name : "", MARTY__NAME_BYTES_MAX);
    }
    if (wanted->group && (!is_good_name(wanted->group))) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "group \"%.64s\" of %.64s: a name has 1 to %d bytes and no control "
                               "characters",
                               wanted->group, name, MARTY__NAME_BYTES_MAX);
    }
    size_t before = strlen(prefix);
    memcpy(out, prefix, before);
    memcpy(out + before, name, strlen(name) + 1);
    return MARTY_OK;
}

/* ---- joining */
static marty_from otherwise(const subscription *s)
{
    return s->kind == MARTY_KIND_STREAM && s->group ? MARTY_FROM_EARLIEST : MARTY_FROM_NOW;
}

marty_err marty__mem_group_make(channel *c, const char *name, const marty_start *start,
                                marty_error *why)
{
    marty_from from = c->kind == MARTY_KIND_STREAM ? MARTY_FROM_EARLIEST : MARTY_FROM_NOW;
    group *g = marty__mem_group_new(c, name);
    if (!g) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a group");
    }
    marty_err err = marty__mem_group_seek(g, start, from, why);
    if (err) {
        marty__mem_group_free(g);
    }
    return err;
}

static marty_err join(subscription *s, channel *c, const marty_start *start, bool reset,
                      marty_error *why)
{
    group *g = s->group || c->moves ? marty__mem_group_find(c, s->group ? s->group : "") : NULL;
    bool made = !g;
    g = g ? g : marty__mem_group_new(c, s->group ? s->group : "");
    if (!g) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a group");
    }
    if (c->moves && !*g->name && s->group) { /* the queue's one group is called what it asks for */
        char *name = marty__strdup(s->group);
        if (name) {
            marty_free(g->name);
            g->name = name;
        }
    }
    marty_err err = made || reset ? marty__mem_group_seek(g, start, otherwise(s), why) : MARTY_OK;
    if (!err && !marty__mem_member_add(s, g)) {
        err = marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a subscription");
    }
    if (err && made) {
        marty__mem_group_free(g);
    }
    return err;
}

bool marty__mem_wild_join(channel *c)
{
    static const marty_start earliest = {.from = MARTY_FROM_EARLIEST};
    broker *b = c->broker;
    for (marty__link *at = b->wild.next; at != &b->wild; at = at->next) {
        subscription *s = MARTY__OWNER(at, subscription, wild_link);
        if (s->kind == c->kind && marty__mem_name_matches(s->name, c->name)) {
            marty_error why;
            if (join(s, c, &earliest, false, &why)) {
                return false;
            }
        }
    }
    return marty__mem_wild_groups(c);
}

static marty_err join_all(subscription *s, const marty_want *want, marty_error *why)
{
    broker *b = s->port->broker;
    marty_err err = MARTY_OK;
    if (!s->wild) {
        channel *c = NULL;
        bool make = s->port->settings.create || s->keeps_nothing;
        err = marty__mem_channel(s->port, &c, s->name, &want->channel, make, why);
        return err ? err : join(s, c, &want->start, want->reset, why);
    }
    channel *c;
    for (size_t at = 0; !err && (c = marty__map_next(&b->channels, &at)) != NULL;) {
        if (c->kind == s->kind && marty__mem_name_matches(s->name, c->name)) {
            err = join(s, c, &want->start, want->reset, why);
        }
    }
    if (!err && !marty__mem_wild_note(s)) {
        err = marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a group");
    }
    if (!err) {
        marty__list_push(&b->wild, &s->wild_link);
    }
    return err;
}

/* The broker's is the longest; where it has none, nobody dies alone. */
static uint64_t lease_of(const marty_port *port, const marty_want *want)
{
    uint64_t most_ms = port->settings.lease_ms;
    return want->lease_ms && want->lease_ms < most_ms ? want->lease_ms : most_ms;
}

static subscription *subscription_new(marty_port *port, uint64_t number, const marty_want *want,
                                      const char *name)
{
    subscription *s = marty_alloc_zero(1, sizeof *s);
    if (!s) {
        return NULL;
    }
    marty__list_init(&s->members);
    marty__list_init(&s->held);
    s->port = port;
    s->number = number;
    s->kind = want->channel.kind;
    s->keeps_nothing = s->kind == MARTY_KIND_REQUEST || s->kind == MARTY_KIND_BROADCAST ||
                       s->kind == MARTY_KIND_REPLY;
    s->wild = has_wildcard(want->channel.name);
    s->credit = want->credit;
    s->lease_ms = lease_of(port, want);
    s->name = marty__strdup(name);
    bool grouped = want->channel.group && s->kind != MARTY_KIND_BROADCAST;
    s->group = grouped ? marty__strdup(want->channel.group) : NULL;
    if (!s->name || (grouped && !s->group)) {
        marty__mem_subscription_free(s);
        return NULL;
    }
    return s;
}

void marty__mem_subscription_free(subscription *s)
{
    marty_free(s->name);
    marty_free(s->group);
    marty_free(s);
}

static void dispatch_all(subscription *s)
{
    for (marty__link *at = s->members.next; at != &s->members; at = at->next) {
        member *m = MARTY__OWNER(at, member, of_subscription);
        marty__mem_member_feed(m);
        marty__mem_dispatch(m->group);
    }
}

/* ---- leaving */
static void give_all_back(subscription *s)
{
    while (!marty__list_empty(&s->held)) {
        item *it = MARTY__OWNER(s->held.next, item, link);
        if (it->group->alone || s->kind == MARTY_KIND_REPLY) {
            marty__mem_item_free(it);
        } else {
            it = it->run ? marty__mem_run_split(it, marty__mem_run_first(it->run)) : it;
            marty__mem_item_return(it, false, 0);
        }
    }
}

void marty__mem_subscription_leave(subscription *s)
{
    s->credit = 0;
    give_all_back(s);
    while (!marty__list_empty(&s->members)) {
        member *m = MARTY__OWNER(s->members.next, member, of_subscription);
        group *g = m->group;
        channel *c = g->channel;
        marty__mem_member_remove(m);
        if (g->alone) {
            marty__mem_group_free(g);
        } else if (c->kind == MARTY_KIND_REQUEST && !g->member_count) {
            marty__mem_nobody_answers(s->port, g);
        } else {
            marty__mem_dispatch(g);
        }
        bool deserted = c->moves ? !g->member_count : !c->group_count;
        if (c->keeps_nothing && deserted) {
            marty__mem_channel_remove(c);
        } else {
            marty__mem_channel_trim(c);
        }
    }
    marty__list_remove(&s->wild_link);
    marty__list_remove(&s->ready);
}

/* ---- the ops */
static marty_err subscribe_new(marty_port *port, uint64_t number, const marty_want *want,
                               const char *name, marty_error *why)
{
    subscription *s = subscription_new(port, number, want, name);
    if (!s || !marty__map_put_u64(&port->subscriptions, number, s)) {
        if (s) {
            marty__mem_subscription_free(s);
        }
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a subscription");
    }
    marty_err err = join_all(s, want, why);
    if (err) {
        (void)marty__map_take_u64(&port->subscriptions, number);
        marty__mem_subscription_leave(s);
        marty__mem_subscription_free(s);
        return err;
    }
    marty__mem_notice(s, NOTICE_SUBSCRIBED, MARTY_OK, NULL);
    dispatch_all(s);
    return MARTY_OK;
}

static marty_err subscribe_again(subscription *s, const marty_want *want, marty_error *why)
{
    marty_err err = MARTY_OK;
    s->lease_ms = lease_of(s->port, want);
    if (!want->reset) {
        s->credit += want->credit;
    } else {
        for (marty__link *at = s->members.next; !err && at != &s->members; at = at->next) {
            group *g = MARTY__OWNER(at, member, of_subscription)->group;
            err = marty__mem_group_seek(g, &want->start, otherwise(s), why);
        }
        s->credit = err ? s->credit : want->credit;
    }
    if (!err) {
        marty__mem_notice(s, NOTICE_SUBSCRIBED, MARTY_OK, NULL);
        dispatch_all(s);
    }
    return err;
}

static marty_err check_kind(const marty_want *want, marty_error *why)
{
    marty_kind kind = want->channel.kind;
    bool wild = has_wildcard(want->channel.name);
    if (kind == MARTY_KIND_DEAD || kind < MARTY_KIND_TOPIC || kind > MARTY_KIND_DEAD) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "dead letters are browsed, not subscribed to");
    }
    if (wild && kind != MARTY_KIND_TOPIC && kind != MARTY_KIND_BROADCAST &&
        kind != MARTY_KIND_STREAM) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "%s: wildcards are for events, streams and broadcasts",
                               want->channel.name);
    }
    return MARTY_OK;
}

marty_err marty__mem_subscribe(marty_port *port, uint64_t number, const marty_want *want,
                               marty_error *why)
{
    char name[FULL_NAME_BYTES];
    marty_err err = marty__mem_full_name(port, name, &want->channel, true, why);
    err = err ? err : check_kind(want, why);
    if (err) {
        return err;
    }
    marty__mem_lock(port);
    subscription *s = marty__map_get_u64(&port->subscriptions, number);
    marty_want ours = *want;
    ours.start = marty__mem_start(port, &want->start);
    err = s ? subscribe_again(s, &ours, why) : subscribe_new(port, number, &ours, name, why);
    marty__mem_unlock(port->broker);
    return err;
}

void marty__mem_grant(marty_port *port, uint64_t number, uint32_t credit)
{
    marty__mem_lock(port);
    subscription *s = marty__map_get_u64(&port->subscriptions, number);
    if (s) {
        s->credit = !credit ? 0 : credit > UINT32_MAX - s->credit ? UINT32_MAX : s->credit + credit;
        dispatch_all(s);
    }
    marty__mem_unlock(port->broker);
}

void marty__mem_unsubscribe(marty_port *port, uint64_t number)
{
    marty__mem_lock(port);
    subscription *s = marty__map_take_u64(&port->subscriptions, number);
    if (s) {
        marty__mem_subscription_leave(s);
        marty__mem_notice(s, NOTICE_CLOSED, MARTY_E_CLOSED, "unsubscribed");
    }
    marty__mem_unlock(port->broker);
    if (!s) {
        port->sink->subscribed(port->sink, number, MARTY_E_CLOSED, "it was not subscribed");
    }
}
