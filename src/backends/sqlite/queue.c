/* SPDX-License-Identifier: Apache-2.0
 * The ops that core calls, any thread, one at a time: they check, take what they need with its
 * memory, put it where the writer finds it, and ring its bell. None touches the database. */
#include "port.h"

#include "base/alloc.h"
#include "base/limits.h"
#include "message/message.h"

#include <string.h>

void marty__sq_wake(marty_port *port)
{
    if (port->bell) {
        marty__sq_bell_ring(port->bell);
    }
}

/* ---- channels */
static bool is_wild(const char *name)
{
    for (const char *at = name; *at; at += strcspn(at, ".") + (strchr(at, '.') != NULL)) {
        size_t size = strcspn(at, ".");
        if (size == 1 && (*at == '*' || *at == '>')) {
            return true;
        }
    }
    return false;
}

marty_err marty__sq_channel_check(const marty_port *port, const marty_channel *channel,
                                  marty_error *why)
{
    size_t size = channel->name ? strlen(channel->name) : 0;
    size_t prefix = channel->native ? 0 : strlen(port->options.prefix);
    if (!size) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "a channel has no name");
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)channel->name[i] < 0x20 || channel->name[i] == 0x7f) {
            return marty_error_set(why, MARTY_E_ARGUMENT,
                                   "channel %.60s: its name has a control character",
                                   channel->name);
        }
    }
    if (size + prefix > MARTY__NAME_BYTES_MAX) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "channel %.60s...: its name has %zu bytes, the limit is %d",
                               channel->name, size + prefix, (int)MARTY__NAME_BYTES_MAX);
    }
    return MARTY_OK;
}

/* Kind and whole name, one string: what a channel is found by. */
static size_t key_of(const marty_port *port, const marty_channel *channel, char *key)
{
    size_t prefix =
        channel->native || channel->kind == MARTY_KIND_REPLY ? 0 : strlen(port->options.prefix);
    size_t size = strlen(channel->name);
    key[0] = (char)('0' + (int)channel->kind);
    memcpy(key + 1, port->options.prefix, prefix);
    memcpy(key + 1 + prefix, channel->name, size + 1);
    return 1 + prefix + size;
}

static sq_channel *channel_new(const char *key, size_t size, const marty_channel *channel)
{
    sq_channel *made = marty_alloc_zero(1, sizeof *made + size + 1);
    if (made) {
        char *copy = (char *)(made + 1);
        memcpy(copy, key, size + 1);
        made->name = copy + 1;
        made->kind = channel->kind;
        made->bit = marty__sq_news_bit(made->name);
    }
    return made;
}

sq_channel *marty__sq_channel_of(marty_port *port, const marty_channel *channel, bool temporary)
{
    char key[MARTY__NAME_BYTES_MAX + 3];
    size_t size = key_of(port, channel, key);
    sq_channel *found = marty__map_get(&port->channels, key, size);
    if (found) {
        return found;
    }
    found = channel_new(key, size, channel);
    if (found && temporary) {
        found->temporary = true;
    } else if (found && !marty__map_put(&port->channels, found->name - 1, size, found)) {
        marty_free(found);
        found = NULL;
    }
    return found;
}

void marty__sq_channel_free(sq_channel *channel)
{
    marty_free(channel);
}

/* ---- publish */
void marty__sq_entry_free(marty_port *port, sq_entry *entry)
{
    (void)port;
    marty_message_unref(entry->message);
    marty_free(entry->reply_to);
    marty_free(entry->group);
    if (entry->channel && entry->channel->temporary) {
        marty__sq_channel_free(entry->channel);
    }
    memset(entry, 0, sizeof *entry);
}

static bool copy_text(char **ret_copy, const char *text)
{
    *ret_copy = text ? marty__strdup(text) : NULL;
    return !text || *ret_copy;
}

/* Fill an entry; false without memory. Under the lock. */
static bool fill(marty_port *port, sq_entry *entry, const marty_outgoing *out)
{
    *entry = (sq_entry){.token = out->token,
                        .order = out->channel.order,
                        .deliver_at_us = out->deliver_at_us,
                        .deadline_ns = out->deadline_ns,
                        .cost = marty__message_cost(out->message)};
    bool reply = out->channel.kind == MARTY_KIND_REPLY;
    bool grouped = out->channel.kind == MARTY_KIND_TOPIC || out->channel.kind == MARTY_KIND_STREAM;
    entry->channel = marty__sq_channel_of(port, &out->channel, reply);
    bool all = entry->channel && copy_text(&entry->reply_to, out->reply_to) &&
               copy_text(&entry->group, grouped ? out->channel.group : NULL);
    if (!all) {
        marty__sq_entry_free(port, entry);
        return false;
    }
    entry->message = marty_message_ref(out->message);
    return true;
}

static marty_err check(const marty_port *port, const marty_outgoing *out, marty_error *why)
{
    marty_err err = marty__sq_channel_check(port, &out->channel, why);
    if (!err && is_wild(out->channel.name)) {
        err = marty_error_set(why, MARTY_E_ARGUMENT,
                              "channel %s: a message goes to one channel, not to a pattern",
                              out->channel.name);
    }
    if (!err && out->message->data.size > SQ_BODY_MAX) {
        err = marty_error_set(why, MARTY_E_TOO_LARGE,
                              "message %s on channel %s: %zu bytes, the limit of sqlite is %d",
                              out->message->id, out->channel.name, out->message->data.size,
                              (int)SQ_BODY_MAX);
    }
    return err;
}

static void refuse(const marty_port *port, const marty_outgoing *out, marty_err err,
                   const char *text)
{
    marty_published result = {.token = out->token, .err = err, .text = text};
    port->sink->published(port->sink, &result, 1);
}

/* Into the ring: OK, FULL or NO_MEMORY. Under the lock. */
static marty_err take(marty_port *port, const marty_outgoing *out)
{
    if (port->ring_tail - port->ring_head >= SQ_RING ||
        (port->ring_bytes >= SQ_RING_BYTES && port->ring_tail != port->ring_head)) {
        return MARTY_E_FULL;
    }
    sq_entry *entry = &port->ring[port->ring_tail % SQ_RING];
    if (!fill(port, entry, out)) {
        return MARTY_E_NO_MEMORY;
    }
    port->ring_bytes += entry->cost;
    port->ring_tail++;
    return MARTY_OK;
}

/* Take from batch[i] on, until one is refused (*ret_wrong), or there is no room (*ret_err). */
static size_t take_some(marty_port *port, const marty_outgoing batch[], size_t i, size_t count,
                        marty_err ret_wrong_err[2], marty_error *why)
{
    marty__lock(&port->lock);
    for (; i < count; i++) {
        ret_wrong_err[0] = check(port, &batch[i], why);
        ret_wrong_err[1] = ret_wrong_err[0] ? MARTY_OK : take(port, &batch[i]);
        if (ret_wrong_err[0] || ret_wrong_err[1]) {
            break;
        }
    }
    marty__sq_wake(port);
    marty__unlock(&port->lock);
    return i;
}

static marty_err check_up(marty_port *port, marty_error *why)
{
    marty__lock(&port->lock);
    bool up = port->up;
    marty__unlock(&port->lock);
    return up ? MARTY_OK
              : marty_error_set(why, MARTY_E_UNAVAILABLE, "%s: it is not open at the moment",
                                port->options.path);
}

marty_err marty__sq_publish(marty_port *port, const marty_outgoing batch[], size_t count,
                            size_t *ret_taken, marty_error *why)
{
    size_t taken = 0;
    *ret_taken = 0;
    marty_err err = check_up(port, why);
    for (; taken < count && !err; taken++) {
        marty_err wrong_err[2] = {MARTY_OK, MARTY_OK};
        taken = take_some(port, batch, taken, count, wrong_err, why);
        err = wrong_err[1];
        if (err || taken == count) {
            break;
        }
        refuse(port, &batch[taken], wrong_err[0], why->text);
    }
    *ret_taken = taken;
    if (err == MARTY_E_NO_MEMORY && taken == 0) {
        return marty_error_set(why, err, "no memory for a message to %s", port->options.path);
    }
    return err == MARTY_E_UNAVAILABLE ? err : MARTY_OK;
}

/* ---- controls */
void marty__sq_control_free(marty_port *port, sq_control *control)
{
    marty__sq_entry_free(port, &control->entry);
    marty_free(control->id);
    if (control->kind != SQ_UNSUBSCRIBE && control->kind != SQ_TOPOLOGY) {
        marty_free(control);
    }
}

static void queue_control(marty_port *port, sq_control *control)
{
    marty__list_push(&port->controls, &control->link);
    marty__sq_wake(port);
}

marty_err marty__sq_cancel(marty_port *port, const marty_channel *channel, const char *id,
                           uint64_t token, marty_error *why)
{
    marty_err err = check_up(port, why);
    err = err ? err : marty__sq_channel_check(port, channel, why);
    if (err) {
        return err;
    }
    sq_control *control = marty_alloc_zero(1, sizeof *control);
    if (!control || !copy_text(&control->id, id)) {
        marty_free(control);
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to cancel a message");
    }
    control->kind = SQ_CANCEL;
    control->entry.token = token;
    marty__lock(&port->lock);
    sq_channel *found = marty__sq_channel_of(port, channel, false);
    control->entry.channel = found;
    if (found) {
        queue_control(port, control); /* from here on the writer's */
    }
    marty__unlock(&port->lock);
    if (!found) {
        marty__sq_control_free(port, control);
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to cancel a message");
    }
    return MARTY_OK;
}

/* ---- subscriptions */
static void count_bit(marty_port *port, const sq_sub *sub, int by)
{
    uint32_t *users = sub->wild ? &port->wild_users : &port->bit_users[sub->channel->bit];
    *users = (uint32_t)((int)*users + by);
}

/* The writer's, under the lock. */
void marty__sq_sub_free(marty_port *port, sq_sub *sub)
{
    count_bit(port, sub, -1);
    port->interest_stale = true;
    marty__list_remove(&sub->granted);
    marty__list_remove(&sub->hungry);
    marty__list_remove(&sub->bucket);
    marty__heap_remove(&port->due, &sub->due);
    marty_free(sub->group);
    marty_free(sub);
}

static sq_sub *sub_new(marty_port *port, uint64_t number, const marty_want *want)
{
    sq_sub *sub = marty_alloc_zero(1, sizeof *sub);
    if (!sub) {
        return NULL;
    }
    marty_kind kind = want->channel.kind;
    bool shared = kind == MARTY_KIND_TOPIC || kind == MARTY_KIND_STREAM;
    sub->number = number;
    sub->credit = want->credit;
    sub->order = want->channel.order;
    sub->wild = is_wild(want->channel.name);
    sub->owned = shared && !want->channel.group;
    sub->channel = marty__sq_channel_of(port, &want->channel, false);
    sub->bye.kind = SQ_UNSUBSCRIBE;
    sub->bye.sub = sub;
    marty__list_init(&sub->claims);
    if (!sub->channel || !copy_text(&sub->group, shared ? want->channel.group : "") ||
        !marty__map_put_u64(&port->subs, number, sub)) {
        marty_free(sub->group);
        marty_free(sub);
        return NULL;
    }
    count_bit(port, sub, 1);
    port->interest_stale = true;
    return sub;
}

static marty_err check_want(marty_port *port, const marty_want *want, marty_error *why)
{
    marty_err err = check_up(port, why);
    err = err ? err : marty__sq_channel_check(port, &want->channel, why);
    if (err) {
        return err;
    }
    marty_kind kind = want->channel.kind;
    bool wild = is_wild(want->channel.name);
    if (kind == MARTY_KIND_DEAD || (wild && kind != MARTY_KIND_TOPIC && kind != MARTY_KIND_STREAM &&
                                    kind != MARTY_KIND_BROADCAST)) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "channel %s: sqlite has no subscription to %s", want->channel.name,
                               wild ? "several channels of this kind" : "dead letters");
    }
    return MARTY_OK;
}

/* Under the lock. */
static void set_credit(marty_port *port, sq_sub *sub, uint32_t credit)
{
    sub->credit = credit;
    if (!sub->granted.next) {
        marty__list_push(&port->granted, &sub->granted);
    }
}

static bool queue_subscribe(marty_port *port, uint64_t number, const marty_want *want,
                            sq_control *control)
{
    sq_sub *sub = marty__map_get_u64(&port->subs, number);
    if (sub) {
        set_credit(port, sub,
                   want->reset || want->credit > sub->credit ? want->credit : sub->credit);
    } else {
        sub = sub_new(port, number, want);
    }
    if (!sub) {
        return false;
    }
    control->kind = SQ_SUBSCRIBE;
    control->sub = sub;
    control->start = want->start;
    control->start.position = control->id;
    control->reset = want->reset;
    queue_control(port, control);
    return true;
}

marty_err marty__sq_subscribe(marty_port *port, uint64_t subscription, const marty_want *want,
                              marty_error *why)
{
    marty_err err = check_want(port, want, why);
    if (err) {
        return err;
    }
    sq_control *control = marty_alloc_zero(1, sizeof *control);
    bool queued = control && copy_text(&control->id, want->start.position);
    if (queued) {
        marty__lock(&port->lock);
        queued = queue_subscribe(port, subscription, want, control);
        marty__unlock(&port->lock);
    }
    if (!queued) {
        marty_free(control ? control->id : NULL);
        marty_free(control);
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a subscription");
    }
    return MARTY_OK;
}

void marty__sq_grant(marty_port *port, uint64_t subscription, uint32_t credit)
{
    marty__lock(&port->lock);
    sq_sub *sub = marty__map_get_u64(&port->subs, subscription);
    if (sub) {
        set_credit(port, sub,
                   credit > UINT32_MAX - sub->credit ? UINT32_MAX : sub->credit + credit);
        marty__sq_wake(port);
    }
    marty__unlock(&port->lock);
}

void marty__sq_unsubscribe(marty_port *port, uint64_t subscription)
{
    marty__lock(&port->lock);
    sq_sub *sub = marty__map_take_u64(&port->subs, subscription);
    if (sub) {
        queue_control(port, &sub->bye);
    }
    marty__unlock(&port->lock);
    if (!sub) {
        port->sink->subscribed(port->sink, subscription, MARTY_E_CLOSED, "it was not subscribed");
    }
}
