/* SPDX-License-Identifier: Apache-2.0
 * Asking: a request goes out with our reply channel and a deadline; the reply finds its query by
 * the request's id (causationid). Each query is answered exactly once: reply, error, deadline,
 * cancel or close, whichever is first. What comes later is counted. Nothing here waits for our
 * reply channel: the request does (src/bus/replies.c). References: the asker's call, the table's,
 * the alarm's, the request's on its way. */
#include "patterns.h"

#include "base/alloc.h"
#include "base/error.h"
#include "message/message.h"

#include <stdio.h>
#include <string.h>

typedef struct query {
    marty__task task; /* runs done */
    marty__alarm alarm;
    marty_bus *bus;
    atomic_uint refs;
    const char *id; /* of request */
    marty_message *request, *reply;
    _Atomic(marty__call *) call; /* of the request, once it is accepted; counted */
    marty_error error;
    marty_answered done;
    void *user;
    const void *cancel_key;
    bool ended, waited; /* under queries->lock */
    marty__cond answered;
} query;

struct marty__queries {
    marty_bus *bus;
    marty__mutex lock;
    marty__map waiting; /* request id -> query */
};

marty__queries *marty__queries_new(marty_bus *bus)
{
    marty__queries *queries = marty_alloc_zero(1, sizeof *queries);
    if (queries && !marty__mutex_init(&queries->lock)) {
        marty_free(queries);
        queries = NULL;
    }
    if (queries) {
        queries->bus = bus;
    }
    return queries;
}

void marty__queries_free(void *queries)
{
    marty__queries *self = queries;
    if (self) {
        marty__map_free(&self->waiting);
        marty__mutex_free(&self->lock);
        marty_free(self);
    }
}

static void unref(query *self)
{
    if (atomic_fetch_sub_explicit(&self->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    marty_bus *bus = self->bus;
    marty_message_unref(self->request);
    marty_message_unref(self->reply);
    marty__call *call = atomic_load(&self->call);
    if (call) {
        marty__call_unref(call);
    }
    if (self->waited) {
        marty__cond_free(&self->answered);
    }
    marty_free(self);
    marty__bus_unref(bus);
}

static query *ref(query *self)
{
    (void)atomic_fetch_add(&self->refs, 1);
    return self;
}

/* ---- ending */
static void run_done(marty__task *task)
{
    query *self = MARTY__OWNER(task, query, task);
    marty_bus *bus = marty__bus_ref(self->bus);
    self->done(self->user, self->reply, self->reply ? NULL : &self->error);
    (void)atomic_fetch_sub(&bus->open_calls, 1);
    unref(self);
    marty__life_step(bus);
    marty__bus_unref(bus);
}

/* The one end of a query, in the table: false when it has ended before. */
static bool take_out(query *self, marty_message *reply, const marty_error *error)
{
    marty__queries *queries = self->bus->upper;
    marty__lock(&queries->lock);
    bool first = !self->ended;
    if (first) {
        self->ended = true;
        self->reply = reply;
        if (error) {
            self->error = *error;
        }
        (void)marty__map_take(&queries->waiting, self->id, strlen(self->id));
        if (self->waited) {
            marty__wake_all(&self->answered);
        }
    }
    marty__unlock(&queries->lock);
    if (first && marty__alarm_cancel(self->bus, &self->alarm)) {
        unref(self);
    }
    return first;
}

/* As take_out, and tell the asker. reply's reference is taken over. error: ignored with a reply. */
static bool end(query *self, marty_message *reply, const marty_error *error)
{
    if (!take_out(self, reply, error)) {
        return false;
    }
    if (self->done) {
        self->task.run = run_done;
        marty__pool_add(self->bus, &self->task); /* with the table's reference */
    } else {
        unref(self);
    }
    return true;
}

static void end_with(query *self, marty_err err, const char *text)
{
    marty_error error = {0};
    (void)marty_error_set(&error, err, "%s %s: %s", "query", self->request->type,
                          text && *text ? text : marty_err_describe(err)->text);
    (void)end(self, NULL, &error);
}

/* Nobody waits for it any more: what is not on its way yet stays here. */
static void call_off(query *self, marty_err err)
{
    marty__call *call = atomic_load(&self->call);
    if (call) {
        marty__call_expire(call, err, false);
    }
}

static void deadline_rang(marty__alarm *alarm)
{
    query *self = MARTY__OWNER(alarm, query, alarm);
    call_off(self, MARTY_E_UNAVAILABLE); /* then that is how it ends */
    end_with(self, MARTY_E_TIMEOUT, "no answer in time");
    unref(self);
}

/* ---- replies */
static query *waiting_for(marty__queries *queries, const char *id)
{
    marty__lock(&queries->lock);
    query *found = id ? marty__map_get(&queries->waiting, id, strlen(id)) : NULL;
    if (found) {
        (void)ref(found);
    }
    marty__unlock(&queries->lock);
    return found;
}

static void copy_text(char *out, size_t room, marty_bytes value)
{
    size_t size = value.size < room - 1 ? value.size : room - 1;
    if (size) {
        memcpy(out, value.data, size);
    }
    out[size] = '\0';
}

/* An answer that is an error: by its name in the table, else the responder's own. */
static void fill_error(const marty_message *message, const char *status, marty_error *error)
{
    marty_err code = marty__err_by_name(status, MARTY_E_REMOTE);
    code = code ? code : MARTY_E_REMOTE; /* "fine" is no error */
    char text[sizeof error->text];
    copy_text(text, sizeof text, marty__message_attribute(message, "martyreplytext"));
    (void)marty_error_set(error, code, "%s", text[0] ? text : marty_err_describe(code)->text);
    if (code == MARTY_E_REMOTE) {
        copy_text(error->remote, sizeof error->remote,
                  marty__message_attribute(message, "martyreplycode"));
        marty_bytes word = marty__message_attribute(message, "martyreplyclass");
        error->error_class = marty__class_by_word(word.data, word.size);
    }
}

void marty__query_replied(marty_bus *bus, const marty_message *message)
{
    query *self = waiting_for(bus->upper, message->causation_id);
    bool used = false;
    if (self) {
        char status[64];
        marty_error error = {0};
        copy_text(status, sizeof status, marty__message_attribute(message, "martyreply"));
        if (!status[0] || strcmp(status, "ok") == 0) {
            marty_message *reply = marty_message_ref(message);
            used = end(self, reply, NULL);
            if (!used) {
                marty_message_unref(reply);
            }
        } else {
            fill_error(message, status, &error);
            used = end(self, NULL, &error);
        }
        unref(self);
    }
    if (!used) {
        (void)atomic_fetch_add(&bus->late_replies, 1);
    }
}

size_t marty__query_cancelled(marty_bus *bus, const void *key)
{
    marty__queries *queries = bus->upper;
    size_t count = 0;
    for (;;) {
        query *found = NULL, *next;
        marty__lock(&queries->lock);
        for (size_t at = 0; !found && (next = marty__map_next(&queries->waiting, &at)) != NULL;) {
            found = next->cancel_key == key ? ref(next) : NULL;
        }
        marty__unlock(&queries->lock);
        if (!found) {
            return count;
        }
        end_with(found, MARTY_E_CANCELLED, "cancelled by the program");
        call_off(found, MARTY_E_CANCELLED);
        unref(found);
        count++;
    }
}

void marty__query_closed(marty_bus *bus)
{
    marty__queries *queries = bus->upper;
    while (queries) { /* a bus that could not be opened has none */
        marty__lock(&queries->lock);
        size_t at = 0;
        query *next = marty__map_next(&queries->waiting, &at);
        if (next) {
            (void)ref(next);
        }
        marty__unlock(&queries->lock);
        if (!next) {
            return;
        }
        end_with(next, MARTY_E_CLOSED, "the bus was closed");
        unref(next);
    }
}

/* ---- asking */
static void sent(marty__call *call)
{
    query *self = call->user;
    marty_err err = call->posts[0].err;
    if (err && err != MARTY_E_MAYBE_STORED) { /* in doubt: the reply may come still */
        end_with(self, err, call->text);
    }
    unref(self);
}

static marty_err post_request(query *self, const marty__place *place, const char *reply_to,
                              int64_t deadline_ns, marty_error *why)
{
    marty_bus *bus = self->bus;
    size_t channel_size = strlen(place->channel) + 1, reply_size = strlen(reply_to) + 1;
    marty__call *call = marty__call_new(bus, 1, 1, channel_size + reply_size);
    if (!call) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    memcpy(call->strings, place->channel, channel_size);
    memcpy(call->strings + channel_size, reply_to, reply_size);
    marty__call_go(call, &(marty__way){.port = &bus->ports[place->backend],
                                       .like = {.channel = {.name = call->strings,
                                                            .kind = MARTY_KIND_REQUEST,
                                                            .order = place->order,
                                                            .native = place->native},
                                                .reply_to = call->strings + channel_size}});
    marty__call_add(call, marty_message_ref(self->request));
    call->deadline_ns = deadline_ns;
    call->completed = sent;
    call->no_retry = true;
    call->user = ref(self);
    marty_err err = marty__call_accept(call, !self->done, why);
    if (err) {
        unref(self);
        marty__call_unref(call);
    } else {
        atomic_store(&self->call, call);
    }
    return err;
}

static marty_err new_query(marty_bus *bus, const marty_message *from,
                           const marty_query_options *options, int32_t timeout_ms,
                           query **ret_query, marty_error *why)
{
    char asked_ms[16];
    marty_header also = {MARTY__ASKED_MS, {asked_ms, 0}, MARTY_ATTRIBUTE};
    int64_t wait_us = (int64_t)timeout_ms * MARTY__US_PER_MS;
    also.value.size = (size_t)snprintf(asked_ms, sizeof asked_ms, "%d", timeout_ms);
    query *self = marty_alloc_zero(1, sizeof *self);
    if (!self) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    atomic_init(&self->refs, 1);
    self->bus = marty__bus_ref(bus);
    self->done = options->done;
    self->user = options->user;
    self->cancel_key = options->cancel_key;
    self->alarm.ring = deadline_rang;
    self->waited = !options->done && marty__cond_init(&self->answered);
    marty_err err =
        self->waited || options->done ? MARTY_OK : marty__error_code(why, MARTY_E_NO_MEMORY);
    marty__given given = marty__outgoing_given(bus, options->cause);
    given.expires_us = marty__bus_wall(bus) + wait_us;
    given.also = &also;
    err = err ? err : marty__outgoing_message(from, &given, &self->request, why);
    if (err) {
        unref(self);
        return err;
    }
    self->id = self->request->id;
    *ret_query = self;
    return MARTY_OK;
}

/* Its alarm is set with it: whoever takes it out again finds it set. */
static marty_err note_waiting(query *self, int64_t deadline_ns, marty_error *why)
{
    marty__queries *queries = self->bus->upper;
    marty__lock(&queries->lock);
    bool taken = marty__map_get(&queries->waiting, self->id, strlen(self->id)) != NULL;
    bool put = !taken && marty__map_put(&queries->waiting, self->id, strlen(self->id), self);
    if (put) {
        (void)ref(ref(self));
        (void)atomic_fetch_add(&self->bus->open_calls, 1);
        (void)marty__alarm_set(self->bus, &self->alarm, deadline_ns);
    }
    marty__unlock(&queries->lock);
    if (taken) {
        return marty_error_set(why, MARTY_E_EXISTS, "a query with id %s is being asked already",
                               self->id);
    }
    return put ? MARTY_OK : marty__error_code(why, MARTY_E_NO_MEMORY);
}

static marty_err wait(query *self, marty_message **ret_reply, marty_error *why)
{
    marty__queries *queries = self->bus->upper;
    marty__lock(&queries->lock);
    bool blocks = !self->ended;
    if (blocks) {
        marty__pool_block(self->bus);
    }
    while (!self->ended) {
        if (!marty__bus_wait(self->bus, &self->answered, &queries->lock, MARTY__NEVER) &&
            self->bus->simulated && !self->ended) {
            marty__unlock(&queries->lock);
            end_with(self, MARTY_E_TIMEOUT,
                     "simulated time stands still while a query waits; use done");
            marty__lock(&queries->lock);
        }
    }
    marty__unlock(&queries->lock);
    if (blocks) {
        marty__pool_unblock(self->bus);
    }
    (void)atomic_fetch_sub(&self->bus->open_calls, 1);
    marty__life_step(self->bus);
    if (!self->reply) {
        if (why) {
            *why = self->error;
        }
        return self->error.code;
    }
    if (ret_reply) {
        *ret_reply = marty_message_ref(self->reply);
    }
    return MARTY_OK;
}

static marty_err ask(query *self, const marty__place *place, int64_t deadline_ns,
                     marty_message **ret_reply, marty_error *why)
{
    marty_bus *bus = self->bus;
    char reply_to[MARTY__CHANNEL_ROOM];
    marty_err err = marty__port_reply(&bus->ports[place->backend], reply_to, why);
    err = err ? err : note_waiting(self, deadline_ns, why);
    if (err) {
        return err;
    }
    err = post_request(self, place, reply_to, deadline_ns, why);
    marty_error unsent = {.code = err};
    if (err &&
        take_out(self, NULL, &unsent)) { /* nothing was accepted: nobody is told but by this */
        unref(self);
        (void)atomic_fetch_sub(&bus->open_calls, 1);
        return err;
    }
    return self->waited ? wait(self, ret_reply, why) : MARTY_OK;
}

static marty_err check(const char *type, const marty_query_options *options,
                       marty_message **ret_reply, marty_error *why)
{
    if (!type) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "type is NULL; expected a query such as \"profile\"");
    }
    if (options->done && ret_reply) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "ret_reply must be NULL with options.done: the reply comes there");
    }
    return marty__reserved_check(
        options->reserved, sizeof options->reserved / sizeof options->reserved[0], "options", why);
}

marty_err marty_query(marty_bus *bus, const char *service, const char *type, marty_bytes data,
                      const marty_query_options *options, marty_message **ret_reply,
                      marty_error *why)
{
    static const marty_query_options none;
    options = options ? options : &none;
    marty_err err = marty__bus_enter(bus, MARTY__FLUSHING, why);
    err = err ? err : check(type, options, ret_reply, why);
    marty__place found;
    marty__kept_place *kept = NULL;
    err = err ? err : marty__place_find(bus, MARTY_QUERY, service, type, &found, &kept, why);
    if (err) {
        return err;
    }
    marty_message message = {0};
    if (options->with) {
        message = *options->with;
        if (message.marty__self) {
            message.id = message.source = NULL;
        }
    }
    message.type = type;
    message.data = data;
    int32_t timeout_ms = options->timeout_ms > 0   ? options->timeout_ms
                         : options->timeout_ms < 0 ? 1
                                                   : MARTY__TIMEOUT_MS;
    query *self = NULL;
    err = new_query(bus, &message, options, timeout_ms, &self, why);
    if (err) {
        return err;
    }
    err = ask(self, kept ? &kept->place : &found, marty__bus_deadline(bus, timeout_ms, timeout_ms),
              ret_reply, why);
    unref(self);
    return err;
}
