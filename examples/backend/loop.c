/* SPDX-License-Identifier: Apache-2.0
 * loop:NAME, a backend from outside of Marty's tree, built against the installed headers alone: a
 * hub in memory that the buses of one process share. It claims what it has (groups, confirmed
 * messages, replies) and nothing else; core does retries and dead letters by the means that every
 * backend has. */
#include "hub.h"

#include <stdio.h>
#include <string.h>

static const marty_capabilities claims = {
    .can = {[MARTY_KIND_TOPIC] = MARTY_CAN_CONFIRM | MARTY_CAN_GROUPS,
            [MARTY_KIND_QUEUE] = MARTY_CAN_CONFIRM,
            [MARTY_KIND_BROADCAST] = MARTY_CAN_CONFIRM,
            [MARTY_KIND_REQUEST] = MARTY_CAN_CONFIRM | MARTY_CAN_REPLY,
            [MARTY_KIND_REPLY] = MARTY_CAN_CONFIRM | MARTY_CAN_REPLY},
    .level = MARTY_LEVEL_MEMORY,
    .copies = 1,
    .synced = MARTY_NO,
    .name_bytes_max = NAME_BYTES_MAX,
    .payload_bytes_max = 1 << 20};

/* ---- open, connect, close */
static marty_err op_open(marty_port **ret_port, const char *text, const marty_sink *sink,
                         marty_error *why)
{
    marty_url *url = NULL;
    marty_port *port = NULL;
    char name[NAME_BYTES_MAX + 1];
    int size = 0;
    marty_err err = marty_url_parse(&url, text, why);
    err = err ? err : marty_url_check(url, (const char *const[]){NULL}, why);
    if (!err) { /* prefix=x keeps apart within one NAME */
        const char *prefix = marty_url_get(url, "prefix");
        size = snprintf(name, sizeof name, "%s%s%s", url->path ? url->path : "", prefix ? "/" : "",
                        prefix ? prefix : "");
    }
    if (!err && (!url->path || url->host_count || size > NAME_BYTES_MAX)) {
        err = marty_error_set(why, MARTY_E_CONFIG, "%s: write loop:NAME", url->redacted);
    } else if (!err && (port = new_named(offsetof(marty_port, name), name)) == NULL) {
        err = marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to open %s", url->redacted);
    }
    marty_url_free(url);
    if (!err) {
        port->sink = sink;
        port->out_end = &port->out;
        *ret_port = port;
    }
    return err;
}

static void op_free(marty_port *port)
{
    marty_free(port);
}

static marty_err op_connect(marty_port *port, marty_error *why)
{
    (void)why;
    pthread_mutex_lock(&hub.lock);
    if (!port->connected) {
        port_enter(port);
    }
    pthread_mutex_unlock(&hub.lock);
    port->sink->state(port->sink, MARTY_STATE_UP, &claims, MARTY_OK, "in this process");
    return MARTY_OK;
}

static void op_close(marty_port *port, int64_t deadline_ns)
{
    (void)deadline_ns; /* nothing is on its way */
    pthread_mutex_lock(&hub.lock);
    if (port->connected) {
        port_leave(port);
    }
    flush_and_unlock();
    port->sink->state(port->sink, MARTY_STATE_CLOSED, NULL, MARTY_OK, "closed");
}

/* ---- publishing */
/* The URL's name goes before; of a reply that is published the name is the address as it is. */
static marty_err full_name(const marty_port *port, const marty_channel *wanted, bool address,
                           char out[FULL_NAME], marty_error *why)
{
    const char *name = wanted->name ? wanted->name : "";
    if (wanted->kind == MARTY_KIND_STREAM || wanted->order == MARTY_ORDER_KEY) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "loop: has no streams and no order by key");
    }
    if (!*name || strlen(name) > 2 * NAME_BYTES_MAX || strpbrk(name, "*>") ||
        (wanted->group && strlen(wanted->group) > NAME_BYTES_MAX)) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "\"%.64s\" is no name of a channel", name);
    }
    (void)snprintf(out, FULL_NAME, "%s%s%s", address ? "" : port->name, address ? "" : "/", name);
    return MARTY_OK;
}

static marty_err check(const marty_outgoing *out, marty_error *why)
{
    if (out->message->data.size > claims.payload_bytes_max) {
        return marty_error_set(why, MARTY_E_TOO_LARGE,
                               "message %.40s: %zu bytes, the limit is 1 MiB", out->message->id,
                               out->message->data.size);
    }
    if (hub.jobs >= JOBS_MAX) {
        return marty_error_set(why, MARTY_E_FULL, "loop: holds %d messages, its limit", JOBS_MAX);
    }
    return MARTY_OK;
}

static marty_err publish_one(marty_port *port, const marty_outgoing *out, marty_error *why)
{
    char name[FULL_NAME], reply_to[FULL_NAME] = "";
    const marty_channel reply = {.kind = MARTY_KIND_REPLY, .name = out->reply_to};
    marty_err err =
        full_name(port, &out->channel, out->channel.kind == MARTY_KIND_REPLY, name, why);
    err = err || !out->reply_to ? err : full_name(port, &reply, false, reply_to, why);
    err = err ? err : check(out, why);
    channel *c = err ? NULL : channel_get(out->channel.kind, name, why);
    if (!c) {
        return err ? err : why->code;
    }
    const char *only = has_one_group(c->kind) ? "" : out->channel.group;
    group *g = only ? group_find(c, only) : NULL;
    if (only && !g) {
        return marty_error_set(why, MARTY_E_NO_GROUP, "%.128s has no group %.128s", name, only);
    }
    err = jobs_add(c, g, out->message, reply_to, why);
    if (!err) {
        dispatch_channel(c);
    }
    return err;
}

static marty_err op_publish(marty_port *port, const marty_outgoing batch[], size_t count,
                            size_t *ret_taken, marty_error *why)
{
    for (size_t i = 0; i < count; i++) {
        marty_published result = {.token = batch[i].token, .level = MARTY_LEVEL_MEMORY};
        pthread_mutex_lock(&hub.lock);
        result.err = publish_one(port, &batch[i], why);
        result.text = result.err ? why->text : NULL;
        pthread_mutex_unlock(&hub.lock);
        port->sink->published(port->sink, &result, 1);
    }
    pthread_mutex_lock(&hub.lock);
    flush_and_unlock();
    *ret_taken = count;
    return MARTY_OK;
}

/* ---- consuming */
static sub *find_sub(const marty_port *port, uint64_t number)
{
    sub *found = port->subs;
    while (found && found->number != number) {
        found = found->next;
    }
    return found;
}

static marty_err join(marty_port *port, uint64_t number, const marty_want *want, const char *name,
                      marty_error *why)
{
    channel *c = channel_get(want->channel.kind, name, why);
    bool one = has_one_group(want->channel.kind), alone = !one && !want->channel.group;
    group *g = c && !alone ? group_find(c, one ? "" : want->channel.group) : NULL;
    g = c && !g ? group_new(c, alone ? "" : want->channel.group, alone) : g;
    sub *joined = g ? marty_alloc_zero(1, sizeof *joined) : NULL;
    if (!joined) {
        return c ? marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to subscribe") : why->code;
    }
    *joined = (sub){port->subs, g->subs, port, g, number, want->credit, NULL};
    port->subs = g->subs = joined;
    return MARTY_OK;
}

static marty_err op_subscribe(marty_port *port, uint64_t number, const marty_want *want,
                              marty_error *why)
{
    char name[FULL_NAME];
    bool starts_back = want->start.from != MARTY_FROM_GROUP && want->start.from != MARTY_FROM_NOW;
    marty_err err = full_name(port, &want->channel, false, name, why);
    if (!err && (want->reset || starts_back)) {
        err = marty_error_set(why, MARTY_E_UNSUPPORTED, "loop: keeps nothing to start or seek in");
    }
    pthread_mutex_lock(&hub.lock);
    if (!err && !find_sub(port, number)) { /* the same number again: new patterns, core matches */
        err = join(port, number, want, name, why);
    }
    pthread_mutex_unlock(&hub.lock);
    if (err) {
        return err;
    }
    port->sink->subscribed(port->sink, number, MARTY_OK, "");
    pthread_mutex_lock(&hub.lock);
    dispatch(find_sub(port, number)->group);
    flush_and_unlock();
    return MARTY_OK;
}

static void op_grant(marty_port *port, uint64_t number, uint32_t credit)
{
    pthread_mutex_lock(&hub.lock);
    sub *to = find_sub(port, number);
    if (to) {
        to->credit += credit;
        dispatch(to->group);
    }
    flush_and_unlock();
}

static marty_err settle_one(marty_port *port, const marty_settling *how)
{
    sub *from = find_sub(port, how->subscription);
    job *j = from ? from->held : NULL;
    while (j && j->tag != how->tag) {
        j = j->next;
    }
    if (!j) {
        return from && !is_settled(from->group->channel->kind) ? MARTY_OK : MARTY_E_LOST;
    }
    if (how->verb == MARTY_SETTLE_EXTEND) {
        return MARTY_OK; /* there are no leases */
    }
    job_take(j);
    if (how->verb == MARTY_SETTLE_ACK) {
        job_free(j);
    } else {
        j->tries += how->verb == MARTY_SETTLE_RETRY;
        job_wait(j);
        dispatch(j->group);
    }
    return MARTY_OK;
}

static void op_settle(marty_port *port, const marty_settling batch[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&hub.lock);
        marty_err err = settle_one(port, &batch[i]);
        pthread_mutex_unlock(&hub.lock);
        port->sink->settled(port->sink, batch[i].subscription, batch[i].verb, &batch[i].tag, 1, err,
                            INT64_MAX);
    }
    pthread_mutex_lock(&hub.lock);
    flush_and_unlock();
}

static void op_unsubscribe(marty_port *port, uint64_t number)
{
    pthread_mutex_lock(&hub.lock);
    wait_until_told(port);
    sub *gone = find_sub(port, number);
    if (gone) {
        sub_leave(gone);
    }
    flush_and_unlock();
    port->sink->subscribed(port->sink, number, MARTY_E_CLOSED, "unsubscribed");
}

MARTY_API const marty_backend marty_module = {.abi = MARTY_BACKEND_ABI,
                                              .size = sizeof(marty_backend),
                                              .scheme = "loop",
                                              .package = "marty-loop",
                                              .claims = &claims,
                                              .open = op_open,
                                              .connect = op_connect,
                                              .publish = op_publish,
                                              .subscribe = op_subscribe,
                                              .grant = op_grant,
                                              .settle = op_settle,
                                              .unsubscribe = op_unsubscribe,
                                              .close = op_close,
                                              .free = op_free};
