/* SPDX-License-Identifier: Apache-2.0
 * Telling core what became of publishes: after the commit, when it failed, or when one may not wait
 * any longer. Each token is told once, then leaves the ring. The writer's thread. */
#include "work.h"

#include "backend/capability.h"

#include <stdio.h>
#include <string.h>

enum { AT_ONCE = 64 };

static const char *shown_name(const marty_port *port, const sq_channel *channel)
{
    size_t prefix = strlen(port->options.prefix);
    return strncmp(channel->name, port->options.prefix, prefix) == 0 ? channel->name + prefix
                                                                     : channel->name;
}

void marty__sq_say_different(const sq_channel *channel, const char *name, marty_order order,
                             char *out, size_t size)
{
    if (channel->kind == MARTY_KIND_REPLY) {
        (void)snprintf(out, size, "%s is no address to reply to", name);
    } else if (channel->kind != channel->found_kind) {
        (void)snprintf(out, size, "channel %s: kind: %s is wanted, %s is there", name,
                       marty__kind_name(channel->kind), marty__kind_name(channel->found_kind));
    } else {
        (void)snprintf(out, size,
                       "channel %s: order: %s is wanted, %s is there; a channel keeps the order "
                       "that it was made with",
                       name, order == MARTY_ORDER_KEY ? "key" : "none",
                       channel->ordered ? "key" : "none");
    }
}

static void text_of(const marty_port *port, const sq_entry *entry, char *out, size_t size)
{
    const char *name = shown_name(port, entry->channel), *path = port->options.path;
    switch (entry->why) {
    case SQ_WHY_LOCKED:
        (void)snprintf(out, size, "%s: locked by another program, which does not let go of it",
                       path);
        return;
    case SQ_WHY_LATE:
        (void)snprintf(out, size, "%s: the time to publish was over before its turn came", path);
        return;
    case SQ_WHY_NO_CHANNEL:
        (void)snprintf(out, size,
                       "channel %s does not exist in %s; make it with: marty topology create, or "
                       "set topology=create",
                       name, path);
        return;
    case SQ_WHY_DIFFERENT:
        marty__sq_say_different(entry->channel, name, entry->order, out, size);
        return;
    case SQ_WHY_LIMIT:
        (void)snprintf(out, size,
                       "channel %s is full: its limit is %lld bytes; age, or groups that read it, "
                       "make room",
                       name, (long long)entry->channel->bytes_max);
        return;
    case SQ_WHY_NO_GROUP:
        (void)snprintf(out, size, "channel %s has no group %s", name,
                       entry->group ? entry->group : "");
        return;
    case SQ_WHY_NO_RESPONDER:
        (void)snprintf(out, size, "nobody answers on %s now", name);
        return;
    case SQ_WHY_NOT_SCHEDULED:
        (void)snprintf(out, size,
                       "channel %s: no such message is scheduled; it went out, or never "
                       "was",
                       name);
        return;
    case SQ_WHY_WAL:
        (void)snprintf(out, size,
                       "%s: its log cannot be emptied because another program has been reading "
                       "the database for long; end that one",
                       path);
        return;
    case SQ_WHY_CLOSED:
        (void)snprintf(out, size, "%s: closed before its turn came", path);
        return;
    case SQ_WHY_STORED:
    case SQ_WHY_DUPLICATE:
    case SQ_WHY_DATABASE:
    default:
        out[0] = '\0';
        return;
    }
}

static void fill_result(const marty_port *port, const sq_entry *entry, marty_published *result)
{
    memset(result, 0, sizeof *result);
    result->token = entry->token;
    result->err = entry->err;
    if (!entry->err) {
        result->level = marty__sq_level(port, entry->channel->kind);
        if (entry->position) {
            marty__sq_position_write(result->position, entry->position, entry->channel->first_log);
        }
    }
}

/* One that failed goes alone: its text lives here. */
static void tell_failed(const marty_port *port, const sq_entry *entry, const char *text)
{
    char own[400];
    marty_published result;
    fill_result(port, entry, &result);
    text_of(port, entry, own, sizeof own);
    result.text = own[0] ? own : text;
    port->sink->published(port->sink, &result, 1);
}

/* Take those that are done off the front of the ring. */
static void pop_done(marty_port *port)
{
    marty__lock(&port->lock);
    while (port->ring_head != port->ring_tail && port->ring[port->ring_head % SQ_RING].done) {
        sq_entry *entry = &port->ring[port->ring_head % SQ_RING];
        port->ring_bytes -= entry->cost;
        marty__sq_entry_free(port, entry);
        port->ring_head++;
    }
    marty__unlock(&port->lock);
}

void marty__sq_publish_answer(marty_port *port, marty_err err, sq_why why, const char *text)
{
    marty_published results[AT_ONCE];
    size_t count = 0;
    for (uint64_t i = 0; i < port->round_count; i++) {
        sq_entry *entry = &port->ring[(port->ring_head + i) % SQ_RING];
        if (entry->done) {
            continue;
        }
        entry->done = true;
        if (err) {
            entry->err = err;
            entry->why = why;
        }
        if (entry->err) {
            tell_failed(port, entry, text);
            continue;
        }
        fill_result(port, entry, &results[count++]);
        if (count == AT_ONCE) {
            port->sink->published(port->sink, results, count);
            count = 0;
        }
    }
    if (count) {
        port->sink->published(port->sink, results, count);
    }
    port->round_count = 0;
    pop_done(port);
}

void marty__sq_publish_expire(marty_port *port, bool locked)
{
    int64_t now_ns = port->sink->env->monotonic_ns(port->sink->env->user);
    marty__lock(&port->lock);
    uint64_t tail = port->ring_tail;
    marty__unlock(&port->lock);
    for (uint64_t at = port->ring_head; at != tail; at++) {
        sq_entry *entry = &port->ring[at % SQ_RING];
        if (entry->done || !entry->deadline_ns || entry->deadline_ns > now_ns) {
            continue;
        }
        entry->done = true;
        entry->why = locked ? SQ_WHY_LOCKED : SQ_WHY_LATE;
        entry->err = locked ? MARTY_E_UNAVAILABLE : MARTY_E_TIMEOUT;
        tell_failed(port, entry, NULL);
    }
    pop_done(port);
}
