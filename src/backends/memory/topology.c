/* SPDX-License-Identifier: Apache-2.0
 * The topology verbs that make, compare, list and remove; the others are in inspect.c. Answers are
 * JSON. They run beside the other ops, under the same lock. */
#include "topology.h"

#include "backend/capability.h"

#include <string.h>

marty_err marty__mem_answer(marty_message **ret_answer, marty__buffer *json, marty_error *why)
{
    marty_err err = MARTY_OK;
    if (json->failed) {
        err = marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for the answer");
    } else {
        marty_message answer = {.type = "marty.topology", .data = {json->data, json->size}};
        err = marty_message_new(ret_answer, &answer, NULL, why);
    }
    marty__buffer_free(json);
    return err;
}

void marty__mem_json_text(marty__buffer *json, const char *text)
{
    marty__buffer_json(json, text, strlen(text));
}

const char *marty__mem_short_name(const marty_port *port, const char *name)
{
    size_t prefix = strlen(port->prefix);
    return strncmp(name, port->prefix, prefix) == 0 ? name + prefix : name;
}

/* ---- ensure, check */
static marty_err ensure(marty_port *port, const marty_want *what, bool make,
                        marty_message **ret_answer, marty_error *why)
{
    char name[FULL_NAME_BYTES];
    marty_err err = marty__mem_full_name(port, name, &what->channel, false, why);
    if (err) {
        return err;
    }
    marty__mem_lock(port);
    bool before = marty__mem_channel_find(port->broker, name) != NULL;
    channel *c = NULL;
    err = marty__mem_channel(port, &c, name, &what->channel, make, why);
    const char *group_ = what->channel.group;
    if (!err && group_ && !c->moves && !c->keeps_nothing && !marty__mem_group_find(c, group_)) {
        marty_start start = marty__mem_start(port, &what->start);
        err = make ? marty__mem_group_make(c, group_, &start, why)
                   : marty_error_set(why, MARTY_E_NOT_FOUND, "channel %.128s has no group %.128s",
                                     what->channel.name, group_);
    }
    marty__mem_unlock(port->broker);
    if (err) {
        return err;
    }
    marty__buffer json = {0};
    marty__buffer_text(&json, "{\"channel\":");
    marty__mem_json_text(&json, what->channel.name);
    marty__buffer_format(&json, ",\"kind\":\"%s\",\"created\":%s,\"differences\":[]}",
                         marty__kind_name(what->channel.kind), before ? "false" : "true");
    return marty__mem_answer(ret_answer, &json, why);
}

/* ---- list */
static bool is_listed(const marty_port *port, const channel *c)
{
    return c->kind != MARTY_KIND_REPLY && strncmp(c->name, port->prefix, strlen(port->prefix)) == 0;
}

uint64_t marty__mem_channel_messages(const channel *c)
{
    uint64_t there = c->log.next - c->log.first;
    if (c->moves) {
        const group *g = MARTY__OWNER(c->groups.next, group, link);
        there += g->waiting + g->delayed_count + g->held;
    }
    return there - c->erased;
}

static marty_err list(marty_port *port, marty_message **ret_answer, marty_error *why)
{
    marty__buffer json = {0};
    marty__buffer_text(&json, "{\"channels\":[");
    marty__mem_lock(port);
    channel *c;
    bool first = true;
    for (size_t at = 0; (c = marty__map_next(&port->broker->channels, &at)) != NULL;) {
        if (is_listed(port, c)) {
            marty__mem_channel_trim(c);
            marty__buffer_text(&json, first ? "{\"channel\":" : ",{\"channel\":");
            marty__mem_json_text(&json, marty__mem_short_name(port, c->name));
            marty__buffer_format(
                &json, ",\"kind\":\"%s\",\"messages\":%llu,\"bytes\":%llu,\"groups\":%zu}",
                marty__kind_name(c->kind), (unsigned long long)marty__mem_channel_messages(c),
                (unsigned long long)c->bytes, c->group_count);
            first = false;
        }
    }
    marty__mem_unlock(port->broker);
    marty__buffer_text(&json, "]}");
    return marty__mem_answer(ret_answer, &json, why);
}

/* ---- remove */
/* A member of the group, or with NULL of any. */
static member *member_of(const channel *c, const group *only)
{
    for (const marty__link *at = c->groups.next; at != &c->groups; at = at->next) {
        const group *g = MARTY__OWNER(at, group, link);
        if ((!only || g == only) && g->member_count) {
            return MARTY__OWNER(g->members.next, member, link);
        }
    }
    return NULL;
}

/* Its subscription learns it, and asks again: then it is made anew. A wildcard only waits for that.
 */
static void expel(member *m)
{
    subscription *s = m->subscription;
    if (s->wild) {
        marty__mem_group_empty(m->group);
        marty__mem_member_remove(m);
    } else {
        (void)marty__map_take_u64(&s->port->subscriptions, s->number);
        marty__mem_subscription_leave(s);
        marty__mem_notice(s, NOTICE_GONE, MARTY_E_UNAVAILABLE, "its channel or group was removed");
    }
}

static marty_err remove_locked(marty_port *port, const char *name, const marty_want *what,
                               marty_error *why)
{
    channel *c = marty__mem_channel_find(port->broker, name);
    const char *group_ = what->channel.group;
    group *g = c && group_ ? marty__mem_group_find(c, group_) : NULL;
    if (!c || (group_ && !g)) {
        return marty_error_set(why, MARTY_E_NOT_FOUND, "there is no %s %.200s on %s",
                               c ? "group" : "channel", c ? group_ : what->channel.name,
                               port->shown);
    }
    if (!what->reset && member_of(c, g)) {
        return marty_error_set(why, MARTY_E_STATE,
                               "%.128s has live subscriptions; stop them, or remove by force",
                               what->channel.name);
    }
    c->refs++; /* a reply channel goes with its last member */
    for (member *m; (m = member_of(c, g)) != NULL;) {
        expel(m);
    }
    if (g && !c->moves) {
        marty__mem_group_free(g);
    } else if (marty__mem_channel_find(port->broker, name) == c) {
        marty__mem_channel_remove(c);
    }
    marty__mem_channel_unref(c);
    return MARTY_OK;
}

static marty_err remove_it(marty_port *port, const marty_want *what, marty_message **ret_answer,
                           marty_error *why)
{
    char name[FULL_NAME_BYTES];
    marty_err err = marty__mem_full_name(port, name, &what->channel, false, why);
    if (err) {
        return err;
    }
    marty__mem_lock(port);
    err = remove_locked(port, name, what, why);
    marty__mem_unlock(port->broker);
    if (err) {
        return err;
    }
    marty__buffer json = {0};
    marty__buffer_text(&json, "{\"removed\":[");
    marty__mem_json_text(&json, what->channel.group ? what->channel.group : what->channel.name);
    marty__buffer_text(&json, "]}");
    return marty__mem_answer(ret_answer, &json, why);
}

marty_err marty__mem_topology(marty_port *port, const char *verb, const marty_want *what,
                              int64_t deadline_ns, marty_message **ret_answer, marty_error *why)
{
    (void)deadline_ns; /* nothing here waits */
    if (strcmp(verb, "ensure") == 0 || strcmp(verb, "check") == 0) {
        return ensure(port, what, *verb == 'e', ret_answer, why);
    }
    if (strcmp(verb, "list") == 0) {
        return list(port, ret_answer, why);
    }
    if (strcmp(verb, "remove") == 0) {
        return remove_it(port, what, ret_answer, why);
    }
    if (strcmp(verb, "inspect") == 0) {
        return marty__mem_inspect(port, what, ret_answer, why);
    }
    if (strcmp(verb, "browse") == 0) {
        return marty__mem_browse(port, what, ret_answer, why);
    }
    if (strcmp(verb, "erase") == 0) {
        return marty__mem_erase(port, what, ret_answer, why);
    }
    return marty_error_set(why, MARTY_E_UNSUPPORTED, "memory has no verb %.32s", verb);
}
