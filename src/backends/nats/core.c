/* SPDX-License-Identifier: Apache-2.0
 * Subscriptions on core NATS: broadcasts, queries, replies, and in the legacy envelope events and
 * commands. Nothing is kept by the server. What has no room yet waits in the library, up to a
 * limit in bytes; what comes above it is dropped by the library, counted and said. */
#include "parts.h"

#include "thread.h"

#include <stdio.h>
#include <string.h>

/* The subject of a name with wildcards: words of its own are encoded, * and > stay. */
static marty_err pattern_subject(const marty_port *port, const char *name, char *out, size_t size,
                                 marty_error *why)
{
    size_t used = strlen(port->options.prefix);
    marty_err err = used < size / 2 ? MARTY_OK : MARTY_E_ARGUMENT;
    memcpy(out, port->options.prefix, err ? 0 : used + 1);
    while (!err && *name) {
        char word[256], encoded[1024];
        size_t word_size = strcspn(name, ".");
        if (word_size >= sizeof word) {
            return marty_error_set(why, MARTY_E_ARGUMENT, "the name %.64s... is too long", name);
        }
        memcpy(word, name, word_size);
        word[word_size] = '\0';
        bool wild = strcmp(word, "*") == 0 || strcmp(word, ">") == 0;
        err = wild ? MARTY_OK
                   : marty_name_encode(encoded, sizeof encoded - 1, word, nats__subject_bytes, why);
        const char *text = wild ? word : encoded;
        if (!err && used + strlen(text) + 2 > size) {
            return marty_error_set(why, MARTY_E_ARGUMENT, "the name %.64s... is too long", name);
        }
        if (!err) {
            memcpy(out + used, text, strlen(text) + 1);
            used += strlen(text);
            name += word_size;
            out[used] = *name;
            out[used + 1] = '\0';
            used += *name == '.';
            name += *name == '.';
        }
    }
    return err;
}

static size_t room(const nats__inbox *inbox)
{
    const nats__subscription *subscription = inbox->owner;
    return subscription->ready ? subscription->credit : 0;
}

static void core_arrived(marty_port *port, nats__inbox *inbox, const nats__message *messages,
                         size_t count);

static marty_err open_one_locked(marty_port *port, nats__subscription *subscription, int index,
                                 int wire, const char *subject, const char *queue, marty_error *why)
{
    nats__inbox *inbox = &subscription->inboxes[index];
    inbox->owner = subscription;
    inbox->arrived = core_arrived;
    inbox->room = room;
    return nats__inbox_open_locked(&port->wires[wire], inbox, subject, queue, why);
}

/* Queue group: instances of a service share its queries; without one each gets all. */
static marty_err queue_of(const nats__subscription *subscription, char out[256], marty_error *why)
{
    const char *dot = strchr(subscription->name, '.');
    const char *group = subscription->group;
    bool shares =
        subscription->kind == MARTY_KIND_REQUEST || subscription->kind == MARTY_KIND_QUEUE;
    group = !group && shares ? (dot ? dot + 1 : subscription->name) : group;
    out[0] = '\0';
    return group && subscription->kind != MARTY_KIND_BROADCAST
               ? marty_name_encode(out, 255, group, nats__name_bytes, why)
               : MARTY_OK;
}

marty_err nats__core_setup(marty_port *port, nats__subscription *subscription, marty_error *why)
{
    char subject[NATS__SUBJECT_MAX], below[NATS__SUBJECT_MAX + 4], queue[256] = "";
    bool reply = subscription->kind == MARTY_KIND_REPLY;
    int wire = reply || subscription->kind == MARTY_KIND_REQUEST ? 1 : 0;
    nats__core_remove(port, subscription);
    marty_err err = reply ? nats__reply_subject(port, subscription->name, NULL, subject, why)
                          : pattern_subject(port, subscription->name, subject, sizeof subject, why);
    err = err ? err : queue_of(subscription, queue, why);
    (void)snprintf(below, sizeof below, "%s.>", subject);
    bool rest = strcmp(subject, ">") == 0 ||
                (strlen(subject) > 1 && strcmp(subject + strlen(subject) - 2, ".>") == 0);
    pthread_mutex_lock(&port->lock);
    if (!err && !reply) {
        err = open_one_locked(port, subscription, 0, wire, subject, *queue ? queue : NULL, why);
    }
    if (!err && !rest) {
        err = open_one_locked(port, subscription, 1, wire, below, *queue ? queue : NULL, why);
    }
    if (!err) { /* what comes back from the server means that it has it */
        err = nats__sign_locked(&port->wires[wire], nats__api_deadline(port), why);
    }
    pthread_mutex_unlock(&port->lock);
    return err;
}

bool nats__replies_heard_locked(marty_port *port, const char *reply_to)
{
    for (marty__link *at = port->subscriptions.next; at != &port->subscriptions; at = at->next) {
        nats__subscription *subscription = MARTY__OWNER(at, nats__subscription, link);
        if (subscription->kind == MARTY_KIND_REPLY && subscription->ready &&
            strcmp(subscription->name, reply_to) == 0) {
            return true;
        }
    }
    return false;
}

void nats__core_remove(marty_port *port, nats__subscription *subscription)
{
    pthread_mutex_lock(&port->lock);
    for (int i = 0; i < 2; i++) {
        nats__inbox_close_locked(&subscription->inboxes[i]);
        while (subscription->inboxes[i].wire) {
            (void)nats__wait_locked(port, &port->changed, INT64_MAX);
        }
    }
    pthread_mutex_unlock(&port->lock);
}

void nats__core_more_locked(marty_port *port, nats__subscription *subscription)
{
    bool waits = subscription->inboxes[0].starved || subscription->inboxes[1].starved;
    if (waits || (subscription->memory && subscription->used > 0)) {
        port->look_again = true;
        port->due_ns = 0;
        nats__wake(port, true);
    }
}

/* ---- what has come */

static const char *reply_address(const nats__subscription *subscription, const nats__message *from,
                                 const marty_message *message)
{
    if (subscription->kind != MARTY_KIND_REQUEST) {
        return NULL;
    }
    const char *address = from->reply;
    if (!address && message) { /* legacy: said in the body only */
        marty_bytes said = marty_message_header(message, "replyto");
        address = said.data;
    }
    return nats__reply_allowed(address) ? address : NULL;
}

/* Lock held. The tag of one; what is settled in memory has a copy in its place from now on. */
static uint64_t core_tag(nats__subscription *subscription, nats__message *copy, uint32_t attempt)
{
    nats__entry *entry = copy ? nats__entry_new_locked(subscription) : NULL;
    if (entry) {
        entry->kept = copy;
        entry->attempt = attempt;
        return entry->tag;
    }
    marty_free(copy);
    return ++subscription->serial << 20;
}

/* Up to a batch: taken apart one by one; an unreadable one goes at once, as its headers lie where
 * the next one's will. */
static void core_deliver(marty_port *port, nats__subscription *subscription,
                         const nats__message *messages, size_t count, const uint32_t *attempts)
{
    marty_incoming incoming[NATS__BATCH];
    nats__message *copies[NATS__BATCH];
    nats__read *read = nats__batch_read(port->batch);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const nats__message *from = &messages[i];
        nats__read_message(port, from, read);
        marty_message *message = nats__mend_type(port, subscription->kind, from, read->message);
        copies[used] = subscription->memory ? nats__message_copy(from) : NULL;
        incoming[used++] = (marty_incoming){.subscription = subscription->number,
                                            .message = message,
                                            .reply_to = reply_address(subscription, from, message),
                                            .attempt = attempts ? attempts[i] : 1,
                                            .lease_until_ns = INT64_MAX,
                                            .raw = {from->data, from->size},
                                            .headers = read->headers,
                                            .header_count = read->header_count};
        if (message && i + 1 < count) {
            continue;
        }
        pthread_mutex_lock(&port->lock);
        for (size_t k = 0; k < used; k++) {
            incoming[k].tag = core_tag(subscription, copies[k], incoming[k].attempt);
            subscription->credit -= subscription->credit > 0;
        }
        pthread_mutex_unlock(&port->lock);
        port->sink->delivered(port->sink, incoming, used);
        used = 0;
    }
}

/* What the server or an echo says of queries is not for core. */
static bool is_sign(marty_port *port, nats__subscription *subscription,
                    const nats__message *message)
{
    const char *dot = message->subject ? strrchr(message->subject, '.') : NULL;
    if (!message->subject) { /* with TLS: the next echo says for which */
        subscription->nobody = true;
    } else if (message->status == 503) {
        nats__asked_nobody(port, message->subject);
    } else if (dot && strcmp(dot + 1, NATS__ECHO) == 0) {
        nats__asked(port, subscription->nobody);
        subscription->nobody = false;
    } else {
        return false;
    }
    return true;
}

static void core_arrived(marty_port *port, nats__inbox *inbox, const nats__message *messages,
                         size_t count)
{
    nats__subscription *subscription = inbox->owner;
    size_t first = 0;
    for (size_t at = 0; at <= count; at++) {
        bool asks = subscription->kind == MARTY_KIND_REPLY || (at < count && !messages[at].subject);
        bool sign = at < count && asks && is_sign(port, subscription, &messages[at]);
        if (at > first && (sign || at == count || at - first == NATS__BATCH)) {
            core_deliver(port, subscription, messages + first, at - first, NULL);
            first = at;
        }
        first += sign;
    }
}

/* Lock held: the next one that is due again. */
static nats__entry *next_again(nats__subscription *subscription, int64_t now_ns, int64_t *due_ns)
{
    for (uint32_t i = 0; i < subscription->entry_count && subscription->credit > 0; i++) {
        nats__entry *entry = &subscription->entries[i];
        if (entry->tag && entry->again_ns > 0) {
            if (entry->again_ns <= now_ns) {
                return entry;
            }
            *due_ns = entry->again_ns < *due_ns ? entry->again_ns : *due_ns;
        }
    }
    return NULL;
}

int64_t nats__memory_look(marty_port *port, nats__subscription *subscription, int64_t now_ns)
{
    int64_t due_ns = INT64_MAX;
    for (;;) {
        pthread_mutex_lock(&port->lock);
        nats__entry *entry = next_again(subscription, now_ns, &due_ns);
        nats__message *message = entry ? entry->kept : NULL;
        uint32_t attempt = entry ? entry->attempt : 0;
        if (entry) {
            entry->kept = NULL;
            nats__entry_free_locked(subscription, entry);
        }
        pthread_mutex_unlock(&port->lock);
        if (!message) {
            return due_ns;
        }
        core_deliver(port, subscription, message, 1, &attempt);
        marty_free(message);
    }
}
