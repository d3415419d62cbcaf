/* SPDX-License-Identifier: Apache-2.0
 * "Permissions Violation for Publish to "events.order.created"": nothing will come for who waits
 * for that. It is said, one line a second; more are counted. Any thread. */
#include "denied.h"
#include "parts.h"

#include <stdio.h>
#include <string.h>

/* ---- publishes. Each has one answer: an ack, or the word that it is not permitted, which does not
 * say which one of a subject it means. While no ack has come for that subject on this connection it
 * is taken that nothing was ever permitted: it is the oldest, at once. (One that is stored just as
 * the permission goes, and before the first ack has come, is among those.) But permissions may
 * change while a connection lives, and the acks of those before come later: where some came, it is
 * those that are left once no more are left than were refused; in a steady flow that is never so,
 * and they end at their deadlines, in doubt. */

static uint64_t *acked_bits(marty_port *port, uint64_t hash, uint64_t *ret_bit)
{
    size_t count = sizeof port->acked / sizeof port->acked[0];
    *ret_bit = UINT64_C(1) << (hash % 64);
    return &port->acked[hash / 64 % count];
}

void nats__acked_note_locked(marty_port *port, uint64_t subject_hash)
{
    uint64_t bit, *bits = acked_bits(port, subject_hash, &bit);
    *bits |= bit;
}

static bool was_acked(marty_port *port, uint64_t hash)
{
    uint64_t bit, *bits = acked_bits(port, hash, &bit);
    return *bits & bit;
}

void nats__forbidden_forget_locked(marty_port *port)
{
    port->forbidden_count = 0;
    memset(port->acked, 0, sizeof port->acked);
}

static nats__forbidden *forbidden_of(marty_port *port, uint64_t hash)
{
    for (uint32_t i = 0; i < port->forbidden_count; i++) {
        if (port->forbidden[i].hash == hash) {
            return &port->forbidden[i];
        }
    }
    return NULL;
}

void nats__forbidden_note_locked(marty_port *port, uint64_t subject_hash, bool more)
{
    nats__forbidden *found = forbidden_of(port, subject_hash);
    if (found) {
        found->pending += more ? 1 : UINT32_MAX; /* one more, one less */
    }
}

void nats__forbidden_expired_locked(marty_port *port, uint64_t subject_hash)
{
    nats__forbidden *found = forbidden_of(port, subject_hash);
    if (found) {
        found->refused -= found->refused > 0;
    }
}

static void deny_all(marty_port *port, const nats__forbidden *those)
{
    for (uint32_t i = 0; i < port->pending_count; i++) {
        if (port->pending[i].token && port->pending[i].subject_hash == those->hash) {
            uint64_t token = port->pending[i].token;
            nats__pending_free_locked(port, i);
            nats__answer(port, token, MARTY_E_DENIED, MARTY_LEVEL_ANY, those->told);
        }
    }
}

void nats__forbidden_look_locked(marty_port *port)
{
    for (uint32_t i = 0; i < port->forbidden_count;) {
        nats__forbidden one = port->forbidden[i];
        if (one.refused > 0 && one.pending > one.refused) {
            i++;
            continue;
        }
        port->forbidden[i] = port->forbidden[--port->forbidden_count];
        if (one.refused > 0 && one.pending > 0) {
            deny_all(port, &one);
        }
    }
}

static void deny_oldest(marty_port *port, uint64_t hash, const char *told)
{
    const nats__pending *oldest = NULL;
    for (uint32_t i = 0; i < port->pending_count; i++) {
        const nats__pending *one = &port->pending[i];
        bool is = one->token && one->subject_hash == hash;
        oldest = is && (!oldest || one->serial < oldest->serial) ? one : oldest;
    }
    if (oldest) {
        uint64_t token = oldest->token;
        nats__pending_free_locked(port, (uint32_t)(oldest - port->pending));
        nats__answer(port, token, MARTY_E_DENIED, MARTY_LEVEL_ANY, told);
    }
}

/* Lock held. With too many subjects at once the rest is left to the deadlines of its publishes. */
static void deny_publish(marty_port *port, const char *subject, const char *told)
{
    uint64_t hash = nats__hash(subject);
    if (!was_acked(port, hash)) {
        deny_oldest(port, hash, told);
        return;
    }
    nats__forbidden *found = forbidden_of(port, hash);
    if (!found && port->forbidden_count < sizeof port->forbidden / sizeof port->forbidden[0]) {
        found = &port->forbidden[port->forbidden_count++];
        found->hash = hash;
        found->refused = found->pending = 0;
        (void)snprintf(found->told, sizeof found->told, "%s", told);
        for (uint32_t i = 0; i < port->pending_count; i++) {
            found->pending += port->pending[i].token && port->pending[i].subject_hash == hash;
        }
    }
    if (found) {
        found->refused++;
        nats__forbidden_look_locked(port);
    }
}

enum { DENIED_MS = 1000 };

/* Lock held. Whether it is to be said now; else it is counted. */
static bool may_say(marty_port *port, const char *text)
{
    nats__denied *denied = &port->denied;
    int64_t now_ns = nats__now_ns(port);
    if (denied->count == 0 && now_ns >= denied->next_ns) {
        denied->next_ns = now_ns + DENIED_MS * INT64_C(1000000);
        return true;
    }
    denied->count++;
    (void)snprintf(denied->last, sizeof denied->last, "%s", text);
    port->due_ns = denied->next_ns < port->due_ns ? denied->next_ns : port->due_ns;
    return false;
}

int64_t nats__denied_look(marty_port *port, int64_t now_ns)
{
    pthread_mutex_lock(&port->lock);
    nats__denied said = port->denied;
    bool due = said.count > 0 && now_ns >= said.next_ns;
    if (due) {
        port->denied.count = 0;
        port->denied.next_ns = now_ns + DENIED_MS * INT64_C(1000000);
    }
    pthread_mutex_unlock(&port->lock);
    if (due) {
        marty_port_log(port->sink, 0, "nats: %u more errors of permission, the last one: %s",
                       said.count, said.last);
    }
    return due || said.count == 0 ? INT64_MAX : said.next_ns;
}

void nats__permission_denied(nats__wire *wire, const char *text)
{
    marty_port *port = wire->port;
    const char *start = strchr(text, '"'), *end = start ? strchr(start + 1, '"') : NULL;
    char subject[NATS__SUBJECT_MAX], told[NATS__TOLD_MAX];
    bool publish = strcasestr(text, "publish to") != NULL;
    pthread_mutex_lock(&port->lock);
    bool said = may_say(port, text);
    pthread_mutex_unlock(&port->lock);
    if (said) {
        marty_port_log(port->sink, 0, "nats: %s", text);
    }
    if (!start || !end || (size_t)(end - start) >= sizeof subject) {
        return;
    }
    memcpy(subject, start + 1, (size_t)(end - start) - 1);
    subject[end - start - 1] = '\0';
    (void)snprintf(told, sizeof told, "nats: no permission to %s %s",
                   publish ? "publish to" : "subscribe to", subject);
    pthread_mutex_lock(&port->lock);
    nats__call_denied_locked(port, publish ? subject : NULL, told + strlen("nats: "));
    if (publish && wire == &port->wires[0]) {
        deny_publish(port, subject, told);
    }
    pthread_mutex_unlock(&port->lock);
}
