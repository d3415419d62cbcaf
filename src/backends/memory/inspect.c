/* SPDX-License-Identifier: Apache-2.0
 * The topology verbs that look: inspect, and for dead letters browse and erase. */
#include "topology.h"

#include "backend/capability.h"
#include "base/base64.h"
#include "message/message.h"

#include <string.h>

/* ---- inspect */
static marty_err inspect_server(const marty_port *port, marty_message **ret_answer,
                                marty_error *why)
{
    const broker *b = port->broker;
    marty__buffer json = {0};
    marty__buffer_format(&json,
                         "{\"server\":\"memory\",\"version\":\"%s\",\"tls\":false,\"level\":"
                         "\"memory\",\"bytes\":%llu,\"limit\":%llu,\"unsafe\":[]}",
                         MARTY_VERSION, (unsigned long long)b->bytes,
                         (unsigned long long)b->settings.limit);
    return marty__mem_answer(ret_answer, &json, why);
}

/* The oldest message that a group has still to settle or take; 0 = none. */
static int64_t oldest_us(const group *g)
{
    const record_log *log = &g->channel->log;
    uint64_t next = g->next < log->first ? log->first : g->next;
    int64_t at_us = next < log->next ? marty__mem_entry(log, next)->time_us : 0;
    for (const marty__link *m = g->members.next; m != &g->members; m = m->next) {
        const subscription *s = MARTY__OWNER(m, member, link)->subscription;
        for (const marty__link *at = s->held.next; at != &s->held; at = at->next) {
            const item *it = MARTY__OWNER(at, item, link);
            uint32_t place = it->run ? marty__mem_run_first(it->run) : 0;
            uint64_t offset = it->offset + place;
            const marty_message *message = it->run ? it->run->messages[place] : it->message;
            bool there = it->group == g && offset >= log->first && offset < log->next;
            int64_t time_us = there ? marty__mem_entry(log, offset)->time_us : message->time_us;
            at_us = it->group == g && (!at_us || time_us < at_us) ? time_us : at_us;
        }
    }
    return at_us;
}

/* What could go to any member now. Of an ordered group it may be behind what is held or delayed. */
static uint64_t due(const group *g)
{
    bool behind = g->ordered && (g->held || g->delayed_count);
    return behind ? 0 : marty__mem_group_lag(g) - g->delayed_count;
}

static void add_group(marty__buffer *json, const group *g, bool first)
{
    uint64_t first_kept = g->channel->log.first; /* what lay before is lost to it */
    uint64_t lost = g->lost + (g->next < first_kept ? first_kept - g->next : 0);
    marty__buffer_text(json, first ? "{\"group\":" : ",{\"group\":");
    if (g->alone) {
        marty__buffer_text(json, "null");
    } else {
        marty__mem_json_text(json, g->name);
    }
    marty__buffer_format(json,
                         ",\"lag\":%llu,\"due\":%llu,\"unsettled\":%zu,\"redelivered\":%llu,"
                         "\"oldest_us\":%lld,\"members\":%zu,\"lost\":%llu,\"expired\":%llu}",
                         (unsigned long long)marty__mem_group_lag(g), (unsigned long long)due(g),
                         g->held, (unsigned long long)g->redelivered, (long long)oldest_us(g),
                         g->member_count, (unsigned long long)lost, (unsigned long long)g->expired);
}

static void add_channel(marty__buffer *json, const marty_port *port, const channel *c)
{
    const record_log *log = &c->log;
    bool any = log->first < log->next;
    marty__buffer_text(json, "{\"channel\":");
    marty__mem_json_text(json, marty__mem_short_name(port, c->name));
    marty__buffer_format(
        json,
        ",\"kind\":\"%s\",\"messages\":%llu,\"bytes\":%llu,\"first_us\":%lld,\"last_us\":%lld,"
        "\"level\":\"memory\",\"order\":\"%s\",\"shards\":%u,\"scheduled\":%zu,\"groups\":[",
        marty__kind_name(c->kind), (unsigned long long)marty__mem_channel_messages(c),
        (unsigned long long)c->bytes,
        any ? (long long)marty__mem_entry(log, log->first)->time_us : 0, (long long)c->last_us,
        c->order == MARTY_ORDER_KEY ? "key" : "none", c->shards, c->scheduled.count);
    bool first = true;
    for (const marty__link *at = c->groups.next; at != &c->groups; at = at->next) {
        add_group(json, MARTY__OWNER(at, group, link), first);
        first = false;
    }
    marty__buffer_text(json, "]}");
}

static marty_err find(marty_port *port, const marty_want *what, channel **ret_channel,
                      marty_error *why)
{
    char name[FULL_NAME_BYTES];
    marty_err err = marty__mem_full_name(port, name, &what->channel, false, why);
    *ret_channel = err ? NULL : marty__mem_channel_find(port->broker, name);
    if (!err && !*ret_channel) {
        err = marty_error_set(why, MARTY_E_NOT_FOUND, "there is no channel %.255s on %s",
                              what->channel.name, port->shown);
    }
    return err;
}

marty_err marty__mem_inspect(marty_port *port, const marty_want *what, marty_message **ret_answer,
                             marty_error *why)
{
    marty__buffer json = {0};
    channel *c = NULL;
    marty__mem_lock(port);
    if (!what->channel.name) {
        marty_err err = inspect_server(port, ret_answer, why);
        marty__mem_unlock(port->broker);
        return err;
    }
    marty_err err = find(port, what, &c, why);
    if (!err) {
        marty__mem_channel_trim(c);
        add_channel(&json, port, c);
    }
    marty__mem_unlock(port->broker);
    return err ? err : marty__mem_answer(ret_answer, &json, why);
}

/* ---- dead letters */
static marty_err find_dead(marty_port *port, const marty_want *what, channel **ret_channel,
                           marty_error *why)
{
    marty_err err = find(port, what, ret_channel, why);
    if (!err && (*ret_channel)->kind != MARTY_KIND_DEAD) {
        err = marty_error_set(why, MARTY_E_ARGUMENT, "channel %.128s keeps no dead letters",
                              what->channel.name);
    }
    return err;
}

static void add_base64(marty__buffer *json, marty_bytes data)
{
    size_t size = marty__base64_size(data.size);
    if (marty__buffer_reserve(json, size)) {
        json->size += marty__base64_encode(json->data + json->size, data.data, data.size);
        json->data[json->size] = '\0';
    }
}

static marty_err add_letter(marty__buffer *json, uint64_t position, const marty_message *message,
                            marty_error *why)
{
    marty_message *wire = NULL;
    marty_err err = marty_message_encode(&wire, message, MARTY_BINARY, "ce-", why);
    if (err) {
        return err;
    }
    marty__buffer_format(json, "%s{\"position\":\"%llu\",\"headers\":[",
                         json->data[json->size - 1] == '[' ? "" : ",",
                         (unsigned long long)position);
    for (size_t i = 0; i < wire->header_count; i++) {
        marty__buffer_text(json, i ? ",[" : "[");
        marty__mem_json_text(json, wire->headers[i].name);
        marty__buffer_byte(json, ',');
        marty__buffer_json(json, wire->headers[i].value.data, wire->headers[i].value.size);
        marty__buffer_byte(json, ']');
    }
    marty__buffer_text(json, "],\"data\":\"");
    add_base64(json, wire->data);
    marty__buffer_text(json, "\"}");
    marty_message_unref(wire);
    return MARTY_OK;
}

static marty_err first_position(const marty_port *port, const marty_want *what,
                                const record_log *log, uint64_t *ret_at, marty_error *why)
{
    *ret_at = log->first;
    if (what->start.from == MARTY_FROM_NOW) {
        *ret_at = log->next;
    } else if (what->start.from == MARTY_FROM_TIME) {
        *ret_at = marty__mem_offset_at(log, marty__mem_start(port, &what->start).time_us);
    } else if (what->start.from == MARTY_FROM_POSITION || what->start.position) {
        if (!marty__mem_position(ret_at, what->start.position)) {
            return marty_error_set(why, MARTY_E_ARGUMENT,
                                   "\"%.48s\" is no position of a dead letter",
                                   what->start.position ? what->start.position : "");
        }
        *ret_at = *ret_at < log->first ? log->first : *ret_at;
    }
    return MARTY_OK;
}

static marty_err browse(marty_port *port, const marty_want *what, marty__buffer *json,
                        marty_error *why)
{
    channel *c = NULL;
    uint64_t at = 0, letters = 0;
    marty_err err = find_dead(port, what, &c, why);
    if (!err) {
        marty__mem_channel_trim(c);
        err = first_position(port, what, &c->log, &at, why);
    }
    marty__buffer_text(json, "{\"letters\":[");
    while (!err && !json->failed && at < c->log.next && letters < what->credit) {
        const entry *e = marty__mem_entry(&c->log, at);
        if (e->message) {
            err = add_letter(json, at, e->message, why);
            letters++;
        }
        at++;
    }
    if (!err && at < c->log.next) {
        marty__buffer_format(json, "],\"next\":\"%llu\"}", (unsigned long long)at);
    } else {
        marty__buffer_text(json, "],\"next\":null}");
    }
    return err;
}

marty_err marty__mem_browse(marty_port *port, const marty_want *what, marty_message **ret_answer,
                            marty_error *why)
{
    marty__buffer json = {0};
    marty__mem_lock(port);
    marty_err err = browse(port, what, &json, why);
    marty__mem_unlock(port->broker);
    if (err) {
        marty__buffer_free(&json);
        return err;
    }
    return marty__mem_answer(ret_answer, &json, why);
}

marty_err marty__mem_erase(marty_port *port, const marty_want *what, marty_message **ret_answer,
                           marty_error *why)
{
    channel *c = NULL;
    uint64_t at = 0;
    marty__mem_lock(port);
    marty_err err = find_dead(port, what, &c, why);
    bool there = !err && marty__mem_position(&at, what->start.position) && at >= c->log.first &&
                 at < c->log.next && marty__mem_entry(&c->log, at)->message;
    if (there) {
        dedup *d = &port->broker->dedup;
        const marty_message *letter = marty__mem_entry(&c->log, at)->message;
        fingerprint of =
            marty__mem_fingerprint_in(marty__mem_fingerprint(d, letter), marty__mem_salt(c, NULL));
        marty__mem_dedup_forget(d, of, marty__mem_now(port->broker));
        marty__mem_channel_erase(c, at);
    } else if (!err) {
        err = marty_error_set(why, MARTY_E_NOT_FOUND,
                              "there is no dead letter at \"%.48s\" of %.200s",
                              what->start.position ? what->start.position : "", what->channel.name);
    }
    marty__mem_unlock(port->broker);
    if (err) {
        return err;
    }
    marty__buffer json = {0};
    marty__buffer_text(&json, "{\"erased\":1}");
    return marty__mem_answer(ret_answer, &json, why);
}
