/* SPDX-License-Identifier: Apache-2.0
 * Pulling: requests to a consumer for so many messages as credit allows, two overlapping, each
 * ending before a lease would. The library's own fetch writes past its array when deliveries of an
 * older request come late; nothing of it is used. A busy source asks for what credit there is, an
 * idle one for a single message, so that many sources share the credit of their subscription. */
#include "kept.h"
#include "parts.h"

#include <stdio.h>
#include <string.h>

static const int64_t hot_ns = 1000000000, pause_ns = 100000000, grace_ns = 2000000000,
                     missing_ns = 250000000, gone_ns = 3000000000, first_ns = 500000000,
                     late_ns = 20000000; /* by which the server may be late with what is due */

/* Ends well before a lease does, and not on the same beat: a server of 2.9 may lose the message
 * that it delivers to a pull in the very moment in which the pull ends. */
static int64_t pull_ns(const nats__source *source)
{
    uint64_t part_ms = source->lease_ms * 3 / 8;
    return (int64_t)(part_ms < NATS__PULL_MS ? part_ms : NATS__PULL_MS) * 1000000;
}

size_t nats__pull_bytes(const marty_port *port)
{
    size_t one = port->payload_max > 0 ? (size_t)port->payload_max + 65536 : 0;
    return one > NATS__IN_BYTES_MAX / 2 ? one : NATS__IN_BYTES_MAX / 2;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When a pull that nothing was heard of counts as lost. A cluster drops pulls from a consumer whose
 * leader is being chosen without a word: the first one is a short one for a single message, until
 * the consumer has answered. */
static int64_t lost_at(const nats__source *source)
{
    return source->expires_ns + (source->proven ? grace_ns : first_ns);
}

bool nats__source_asks_locked(const nats__source *source, int64_t now_ns)
{
    return source->running && source->outstanding > 0 && now_ns < lost_at(source);
}

static void ask(nats__source *source, uint32_t batch, int64_t now_ns)
{
    marty_port *port = source->owner->port;
    nats__wire *wire = &port->wires[0];
    char subject[2 * NATS__NAME_MAX + 64], reply[128], body[128];
    const char *domain = port->options.domain;
    int64_t wait_ns = source->proven ? pull_ns(source) : least(pull_ns(source), first_ns);
    (void)snprintf(subject, sizeof subject, "$JS.%s%sAPI.CONSUMER.MSG.NEXT.%s.%s",
                   domain ? domain : "", domain ? "." : "", source->channel->stream,
                   source->consumer);
    (void)snprintf(reply, sizeof reply, "%s.s.%u.%u", wire->base, source->id, ++source->request);
    (void)snprintf(body, sizeof body, "{\"batch\":%u,\"expires\":%lld,\"max_bytes\":%llu}", batch,
                   (long long)wait_ns, (unsigned long long)nats__pull_bytes(port));
    if (nats__frame_locked(wire, subject, reply, (marty_bytes){NULL, 0}, marty_text(body))) {
        source->outstanding += batch;
        source->expires_ns = now_ns + wait_ns;
        int64_t due_ns = lost_at(source);
        port->due_ns = due_ns < port->due_ns ? due_ns : port->due_ns;
        nats__wake(port, source->outstanding == batch);
    }
}

typedef struct credit_share {
    uint32_t hot;
    uint32_t share; /* of a busy source */
} credit_share;

static bool can_ask(const nats__source *source, int64_t now_ns)
{
    return source->running && !source->releasing && now_ns >= source->not_before_ns;
}

/* With later ones kept here, those that were given back must be asked for still, when they are due:
 * the server hands them out before all else then. ret_next_ns: when the next one is. */
static uint32_t due_again(const nats__source *source, int64_t now_ns, int64_t *ret_next_ns)
{
    uint32_t due = 0;
    *ret_next_ns = INT64_MAX;
    for (size_t i = 0; i < source->awaited_count; i++) {
        int64_t at_ns = source->awaited[i].due_ns;
        due += at_ns <= now_ns;
        *ret_next_ns = at_ns > now_ns ? least(at_ns, *ret_next_ns) : *ret_next_ns;
    }
    return due;
}

/* As many as it may have at the server now. */
static uint32_t wanted_of(const nats__source *source, uint32_t share, int64_t now_ns)
{
    int64_t next_ns;
    if (source->kept_count > 0) {
        return due_again(source, now_ns, &next_ns);
    }
    bool many = source->proven && now_ns < source->hot_ns && share > 1;
    uint32_t limit = NATS__MAX_ACK_PENDING / 2;
    return !many ? 1 : share < limit ? share : limit;
}

static credit_share share_credit(nats__subscription *subscription, int64_t now_ns)
{
    credit_share budget = {0, 0};
    uint32_t reserved = 0;
    for (marty__link *s = subscription->sources.next; s != &subscription->sources; s = s->next) {
        nats__source *source = MARTY__OWNER(s, nats__source, link);
        if (source->running && now_ns < source->hot_ns) {
            budget.hot++;
        } else if (source->running) {
            reserved += source->outstanding > 1 ? source->outstanding : 1;
        }
    }
    uint32_t left = subscription->credit > reserved ? subscription->credit - reserved : 0;
    budget.share = budget.hot ? left / budget.hot : 0;
    return budget;
}

void nats__pull_locked(nats__subscription *subscription, int64_t now_ns)
{
    if (!subscription->ready || subscription->leaving || subscription->credit == 0) {
        return;
    }
    credit_share budget = share_credit(subscription, now_ns);
    for (marty__link *s = subscription->sources.next; s != &subscription->sources; s = s->next) {
        nats__source *source = MARTY__OWNER(s, nats__source, link);
        uint32_t target = wanted_of(source, budget.share, now_ns);
        if (can_ask(source, now_ns) && target > source->outstanding &&
            (source->outstanding == 0 || target - source->outstanding >= (target + 1) / 2)) {
            ask(source, target - source->outstanding, now_ns);
            if (source->kept_count > 0) { /* another one may have been quicker */
                source->not_before_ns = now_ns + late_ns;
                subscription->port->due_ns =
                    least(subscription->port->due_ns, source->not_before_ns);
            }
        }
    }
}

/* ---- what the server says about a pull */

/* Nobody has the consumer: gone, or its leader is being chosen. Core asks again. */
static void missing(marty_port *port, nats__source *source, const char *text)
{
    char told[2 * NATS__NAME_MAX + 160];
    (void)snprintf(told, sizeof told, "consumer %s of stream %s: %.100s", source->consumer,
                   source->channel->stream, text);
    nats__source_failed(port, source, MARTY_E_UNAVAILABLE, told);
}

/* No server answers for the consumer. In a cluster that is so while its leader is chosen, also
 * right after it was made: it is asked again until it has been away for too long. */
static void not_there(marty_port *port, nats__source *source)
{
    pthread_mutex_lock(&port->lock);
    int64_t now_ns = nats__now_ns(port);
    source->missing_ns = source->missing_ns ? source->missing_ns : now_ns;
    source->silent_ns = 0;
    bool gone = now_ns - source->missing_ns >= gone_ns;
    source->outstanding = 0;
    source->not_before_ns = now_ns + pause_ns;
    port->due_ns = source->not_before_ns < port->due_ns ? source->not_before_ns : port->due_ns;
    pthread_mutex_unlock(&port->lock);
    if (gone) {
        missing(port, source, "nobody has it");
    }
}

/* A pull with a limit of bytes ends with a word also when it has brought all it could: the next one
 * may follow at once. */
static void take_status(marty_port *port, nats__source *source, const nats__message *message)
{
    int status = message->status;
    const char *text = message->told, *number = nats__line_of(message, "Nats-Pending-Messages");
    uint64_t pending = number ? nats__number(&number) : 0;
    bool deleted = status == 409 && (strstr(text, "Deleted") || strstr(text, "push based"));
    pthread_mutex_lock(&port->lock);
    uint32_t left = pending < source->outstanding ? (uint32_t)pending : source->outstanding;
    source->outstanding -= left;
    source->missing_ns = source->silent_ns = 0;
    source->proven = true;
    int64_t now_ns = nats__now_ns(port);
    bool served = strstr(text, "Batch Completed") ||
                  (strstr(text, "Exceeds MaxBytes") && now_ns < source->hot_ns);
    if (status == 404 || (status == 409 && !deleted && !served)) {
        source->not_before_ns = now_ns + pause_ns;
        port->due_ns = source->not_before_ns < port->due_ns ? source->not_before_ns : port->due_ns;
    }
    pthread_mutex_unlock(&port->lock);
    if (deleted) {
        missing(port, source, text);
    }
}

/* One that is no message of the stream. */
static bool is_status(marty_port *port, nats__source *source, const nats__message *message)
{
    if (message->reply || (message->subject && !message->status)) {
        return false;
    }
    if (message->status == 503) {
        not_there(port, source);
    } else if (message->status != 100) {
        take_status(port, source, message);
    }
    return true;
}

void nats__source_arrived(marty_port *port, nats__inbox *inbox, const nats__message *messages,
                          size_t count)
{
    nats__source *source = inbox->owner;
    int64_t now_ns = nats__now_ns(port);
    bool any = false;
    size_t first = 0;
    for (size_t at = 0; at <= count; at++) {
        bool status = at < count && is_status(port, source, &messages[at]);
        if (at > first && (status || at == count || at - first == NATS__BATCH)) {
            (void)nats__deliver(port, source, messages + first, at - first, true);
            first = at;
            any = true;
        }
        first += status;
    }
    pthread_mutex_lock(&port->lock);
    source->hot_ns = any ? now_ns + hot_ns : source->hot_ns;
    source->arrived_ns = any ? now_ns : source->arrived_ns;
    source->missing_ns = any ? 0 : source->missing_ns;
    source->silent_ns = any ? 0 : source->silent_ns;
    source->proven = source->proven || any;
    nats__pull_locked(source->owner, now_ns);
    nats__give_back_idle_locked(source);
    pthread_mutex_unlock(&port->lock);
}

/* ---- what time does */

/* Lock held: up to a batch of what is kept and may go now. */
static size_t take_kept(nats__source *source, nats__message **kept, int64_t now_ns)
{
    size_t count = 0;
    if (source->awaited_count > 0 && now_ns >= source->awaited_until_ns) {
        source->awaited_count = 0;
    }
    nats__kept_look_locked(source, now_ns);
    bool flows = nats__source_flows_locked(source, now_ns) && source->awaited_count == 0;
    while (flows && count < NATS__BATCH && count < source->owner->credit &&
           source->kept_count > 0) {
        kept[count++] = nats__kept_take_locked(source);
    }
    return count;
}

/* A pull went without a word. So a server of 2.9 answers for a consumer that is gone, and a cluster
 * while it chooses a leader: asked by name they differ. */
static void note_silence(nats__source *source, int64_t now_ns)
{
    source->silent_ns = source->silent_ns ? source->silent_ns : now_ns;
    if (now_ns - source->silent_ns >= gone_ns) {
        source->silent_ns = now_ns; /* and again, if it is there */
        nats__source_doubt_locked(source);
    }
}

/* Lock held: a pull that the server has forgotten (its leader changed) is asked for again. */
static int64_t check_pull(nats__source *source, int64_t now_ns)
{
    int64_t due_ns = INT64_MAX;
    if (source->outstanding > 0) {
        due_ns = lost_at(source);
        if (now_ns >= due_ns) {
            source->outstanding = 0;
            source->proven = false;
            due_ns = INT64_MAX;
            note_silence(source, now_ns);
        }
    }
    if (source->look_ns && now_ns >= source->look_ns) {
        source->look_ns = 0;
        nats__lease_doubt_locked(source->owner);
    }
    due_ns = source->look_ns ? least(due_ns, source->look_ns) : due_ns;
    nats__pull_locked(source->owner, now_ns);
    nats__give_back_idle_locked(source);
    if (now_ns < source->not_before_ns) {
        due_ns = source->not_before_ns < due_ns ? source->not_before_ns : due_ns;
    }
    if (source->kept_count > 0) {
        int64_t next_ns;
        (void)due_again(source, now_ns, &next_ns);
        int64_t wait_ns = least(missing_ns, nats__lease_ns(source) / 4);
        due_ns = least(due_ns, least(next_ns, now_ns + wait_ns));
    }
    return due_ns;
}

static int64_t look_at_memory(marty_port *port, int64_t now_ns)
{
    int64_t due_ns = INT64_MAX;
    uint64_t after = 0;
    for (;;) {
        nats__subscription *next = NULL;
        pthread_mutex_lock(&port->lock);
        for (marty__link *at = port->subscriptions.next; at != &port->subscriptions;
             at = at->next) {
            nats__subscription *one = MARTY__OWNER(at, nats__subscription, link);
            bool candidate = one->memory && one->used > 0 && one->number > after;
            next = candidate && (!next || one->number < next->number) ? one : next;
        }
        pthread_mutex_unlock(&port->lock);
        if (!next) {
            return due_ns;
        }
        after = next->number;
        int64_t at_ns = nats__memory_look(port, next, now_ns);
        due_ns = at_ns < due_ns ? at_ns : due_ns;
    }
}

/* Lock held: all sources once; whether some keep messages. */
static bool check_pulls(marty_port *port, int64_t now_ns, int64_t *due_ns)
{
    bool kept = false;
    for (marty__link *at = port->subscriptions.next; at != &port->subscriptions; at = at->next) {
        nats__subscription *subscription = MARTY__OWNER(at, nats__subscription, link);
        subscription->keeps = false;
        for (marty__link *s = subscription->sources.next; s != &subscription->sources;
             s = s->next) {
            nats__source *source = MARTY__OWNER(s, nats__source, link);
            if (source->running) {
                int64_t at_ns = check_pull(source, now_ns);
                *due_ns = at_ns < *due_ns ? at_ns : *due_ns;
                subscription->keeps = subscription->keeps || source->kept_count > 0;
            }
        }
        kept = kept || subscription->keeps;
    }
    return kept;
}

/* Lock held: messages that were kept and may go now, of the first source that has some. */
static nats__source *next_kept(marty_port *port, nats__message **kept, size_t *ret_count)
{
    int64_t now_ns = nats__now_ns(port);
    for (marty__link *at = port->subscriptions.next; at != &port->subscriptions; at = at->next) {
        nats__subscription *subscription = MARTY__OWNER(at, nats__subscription, link);
        for (marty__link *s = subscription->sources.next; s != &subscription->sources;
             s = s->next) {
            nats__source *source = MARTY__OWNER(s, nats__source, link);
            *ret_count = source->kept_count ? take_kept(source, kept, now_ns) : 0;
            if (*ret_count > 0) {
                return source;
            }
        }
    }
    return NULL;
}

/* Whether some went. */
static bool deliver_kept(marty_port *port, nats__source *source, nats__message **kept, size_t count)
{
    nats__message messages[NATS__BATCH];
    messages[0] = *kept[0];
    for (size_t i = 1; i < count; i++) {
        messages[i] = *kept[i];
    }
    size_t went = nats__deliver(port, source, messages, count, false);
    for (size_t i = 0; i < count; i++) {
        marty_free(kept[i]);
    }
    return went > 0;
}

int64_t nats__sources_look(marty_port *port, int64_t now_ns)
{
    nats__message *messages[NATS__BATCH];
    int64_t due_ns = look_at_memory(port, now_ns);
    pthread_mutex_lock(&port->lock);
    bool kept = check_pulls(port, now_ns, &due_ns);
    pthread_mutex_unlock(&port->lock);
    while (kept) { /* what does not go after all is kept again */
        size_t count = 0;
        pthread_mutex_lock(&port->lock);
        nats__source *source = next_kept(port, messages, &count);
        pthread_mutex_unlock(&port->lock);
        kept = source && deliver_kept(port, source, messages, count);
    }
    return due_ns;
}
