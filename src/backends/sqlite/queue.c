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
    sq_slot *sleeper = marty__sq_swing(port);
    if (sleeper) {
        marty__sq_bell_wake(sleeper);
    }
}

sq_slot *marty__sq_swing(marty_port *port)
{
    if (port->led) {
        port->left = true; /* who leads looks at its end */
        return NULL;
    }
    return port->bell && marty__sq_bell_swing(port->bell) ? port->bell : NULL;
}

/* ---- channels */
bool marty__sq_is_wild(const char *name)
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

bool marty__sq_copy(char **ret_copy, const char *text)
{
    *ret_copy = text ? marty__strdup(text) : NULL;
    return !text || *ret_copy;
}

/* What goes to one channel is checked and looked up once for a run of it. A reply's channel is its
 * own. */
static bool same_channel(const marty_channel *a, const marty_channel *b)
{
    return a->kind == b->kind && a->native == b->native && a->kind != MARTY_KIND_REPLY && b->name &&
           (a->name == b->name || strcmp(a->name, b->name) == 0);
}

/* Fill an entry; known: its channel, NULL = not looked up yet; false without memory. Under the
 * lock. */
static bool fill(marty_port *port, sq_entry *entry, const marty_outgoing *out, sq_channel *known)
{
    *entry = (sq_entry){.token = out->token,
                        .order = out->channel.order,
                        .deliver_at_us = out->deliver_at_us,
                        .deadline_ns = out->deadline_ns,
                        .cost = marty__message_cost(out->message)};
    bool reply = out->channel.kind == MARTY_KIND_REPLY;
    bool grouped = out->channel.kind == MARTY_KIND_TOPIC || out->channel.kind == MARTY_KIND_STREAM;
    entry->channel = known ? known : marty__sq_channel_of(port, &out->channel, reply);
    bool all = entry->channel && marty__sq_copy(&entry->reply_to, out->reply_to) &&
               marty__sq_copy(&entry->group, grouped ? out->channel.group : NULL);
    if (!all) {
        marty__sq_entry_free(port, entry);
        return false;
    }
    entry->message = marty_message_ref(out->message);
    return true;
}

static marty_err check(const marty_port *port, const marty_outgoing *out, bool known,
                       marty_error *why)
{
    marty_err err = known ? MARTY_OK : marty__sq_channel_check(port, &out->channel, why);
    if (!err && !known && marty__sq_is_wild(out->channel.name)) {
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

/* Into the ring: OK, FULL, NO_MEMORY or UNAVAILABLE. Under the lock. */
static marty_err take(marty_port *port, const marty_outgoing *out, sq_channel *known)
{
    if (!port->up) {
        return MARTY_E_UNAVAILABLE;
    }
    if (port->ring_tail - port->ring_head >= SQ_RING ||
        (port->ring_bytes >= SQ_RING_BYTES && port->ring_tail != port->ring_head)) {
        return MARTY_E_FULL;
    }
    sq_entry *entry = &port->ring[port->ring_tail % SQ_RING];
    if (!fill(port, entry, out, known)) {
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
    for (sq_channel *known = NULL; i < count; i++) {
        ret_wrong_err[0] = check(port, &batch[i], known != NULL, why);
        ret_wrong_err[1] = ret_wrong_err[0] ? MARTY_OK : take(port, &batch[i], known);
        if (ret_wrong_err[0] || ret_wrong_err[1]) {
            break;
        }
        bool run = i + 1 < count && same_channel(&batch[i].channel, &batch[i + 1].channel);
        known = run ? port->ring[(port->ring_tail - 1) % SQ_RING].channel : NULL;
    }
    sq_slot *sleeper = marty__sq_swing(port);
    marty__unlock(&port->lock);
    if (sleeper) {
        marty__sq_bell_wake(sleeper);
    }
    return i;
}

marty_err marty__sq_not_queued(const marty_port *port, marty_err err, marty_error *why)
{
    return err == MARTY_E_NO_MEMORY
               ? marty_error_set(why, err, "%s: no memory to queue it", port->options.path)
               : marty_error_set(why, err, "%s: it is not open at the moment", port->options.path);
}

marty_err marty__sq_publish(marty_port *port, const marty_outgoing batch[], size_t count,
                            size_t *ret_taken, marty_error *why)
{
    size_t taken = 0;
    marty_err err = MARTY_OK;
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
    return taken || !err || err == MARTY_E_FULL ? MARTY_OK : marty__sq_not_queued(port, err, why);
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

/* From here on it is the writer's. Under the lock. */
void marty__sq_control_queue(marty_port *port, sq_control *control)
{
    marty__list_push(&port->controls, &control->link);
    marty__sq_wake(port);
}

static marty_err queue_cancel(marty_port *port, const marty_channel *channel, sq_control *control)
{
    if (!port->up) {
        return MARTY_E_UNAVAILABLE;
    }
    control->entry.channel = marty__sq_channel_of(port, channel, false);
    if (!control->entry.channel) {
        return MARTY_E_NO_MEMORY;
    }
    marty__sq_control_queue(port, control);
    return MARTY_OK;
}

marty_err marty__sq_cancel(marty_port *port, const marty_channel *channel, const char *id,
                           uint64_t token, marty_error *why)
{
    marty_err err = marty__sq_channel_check(port, channel, why);
    if (err) {
        return err;
    }
    sq_control *control = marty_alloc_zero(1, sizeof *control);
    if (!control || !marty__sq_copy(&control->id, id)) {
        marty_free(control);
        return marty__sq_not_queued(port, MARTY_E_NO_MEMORY, why);
    }
    control->kind = SQ_CANCEL;
    control->entry.token = token;
    marty__lock(&port->lock);
    err = queue_cancel(port, channel, control);
    marty__unlock(&port->lock);
    if (err) {
        marty__sq_control_free(port, control);
        return marty__sq_not_queued(port, err, why);
    }
    return MARTY_OK;
}
