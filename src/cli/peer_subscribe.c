/* SPDX-License-Identifier: Apache-2.0
 * Subscriptions of `marty peer`: a delivery is an event with a name, kept until it is settled by
 * that name; or, with "settle": "auto", acknowledged once it is written. */
#include "peer.h"

#include <inttypes.h>
#include <marty/adapter.h>

/* The delivery as JSON, registered under a name unless it is settled at once. */
static void delivery_json(cli_text *text, peer_subscription *subscription, marty_delivery *delivery)
{
    peer *self = subscription->bus->peer;
    cli_text shown = {0};
    cli_delivery_json(&shown, delivery);
    cli_text_put(&shown, ",\"message\":");
    cli_message_json(&shown, delivery->message, NULL, subscription->bus->exact);
    cli_text_format(text, "\"subscription\":\"s%" PRIu64 "\"", subscription->item.number);
    if (!subscription->settle_auto) {
        peer_delivery *kept = cli_alloc(sizeof *kept);
        kept->bus = subscription->bus;
        kept->delivery = delivery;
        /* from here on another thread may settle it and let it go */
        cli_text_format(text, ",\"delivery\":\"d%" PRIu64 "\"",
                        peer_add(self, &self->deliveries, &kept->item));
    }
    cli_text_format(text, ",%s", shown.data);
    cli_text_free(&shown);
}

/* Those that close has not seen. */
static void drop_when_closing(peer_bus *bus)
{
    peer *self = bus->peer;
    (void)pthread_mutex_lock(&self->tables);
    bool closing = bus->closing;
    (void)pthread_mutex_unlock(&self->tables);
    if (closing) {
        peer_deliveries_drop(self, bus);
    }
}

static marty_err on_message(void *user, marty_delivery *first)
{
    peer_subscription *subscription = user;
    marty_delivery *delivery = first, *next;
    for (; delivery; delivery = next) {
        cli_text line = {0};
        next = delivery->next;
        if (!subscription->settle_auto) {
            (void)marty_delivery_keep(delivery);
        }
        cli_text_put(&line, "{\"event\":\"delivery\",");
        delivery_json(&line, subscription, delivery);
        cli_text_put(&line, "}");
        peer_line(subscription->bus->peer, &line);
        cli_text_free(&line);
    }
    drop_when_closing(subscription->bus);
    return MARTY_OK;
}

static marty_err options_make(const peer *self, marty_subscribe_options *options, marty_error *why)
{
    const char *order = peer_text(self, "order"), *settle = peer_text(self, "settle");
    memset(options, 0, sizeof *options);
    options->group = peer_text(self, "group");
    options->service = peer_text(self, "service");
    options->concurrency = peer_small(self, "concurrency");
    options->batch_max = peer_small(self, "batch_max");
    options->batch_wait_ms = peer_small(self, "batch_wait_ms");
    options->credit = peer_small(self, "credit");
    options->keep_max_ms = peer_small(self, "keep_max_ms");
    options->lease_ms = peer_small(self, "lease_ms");
    options->timeout_ms = peer_ms(self, "timeout_ms");
    options->retry.attempts = peer_small(self, "attempts");
    options->retry.first_ms = peer_small(self, "retry_first_ms");
    options->retry.max_ms = peer_small(self, "retry_max_ms");
    options->retry.no_jitter = peer_true(self, "no_jitter");
    options->paused = peer_true(self, "paused");
    options->reset = peer_true(self, "reset");
    options->user_free = marty_free;
    if (order && strcmp(order, "key") != 0 && strcmp(order, "none") != 0) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "order: one of key, none was expected");
    }
    if (order) {
        options->order = strcmp(order, "key") == 0 ? MARTY_ORDER_KEY : MARTY_ORDER_NONE;
    }
    if (settle && strcmp(settle, "auto") != 0 && strcmp(settle, "manual") != 0) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "settle: one of auto, manual was expected");
    }
    return peer_start_of(self->request, &options->start, why);
}

static marty_err subscribe(peer *self, marty_pattern without, marty_error *why)
{
    marty_subscribe_options options;
    marty_pattern pattern = without;
    peer_bus *bus = NULL;
    peer_subscription *made;
    const char *name = peer_text(self, "name"), *settle = peer_text(self, "settle");
    bool pull = peer_true(self, "pull");
    marty_err err = peer_bus_of(self, &bus, why);
    err = err ? err : peer_pattern_of(self, without, &pattern, why);
    err = err ? err : options_make(self, &options, why);
    if (!err && !name) {
        err = marty_error_set(why, MARTY_E_ARGUMENT, "name: it is missing");
    }
    if (err) {
        return err;
    }
    made = cli_alloc(sizeof *made);
    made->bus = bus;
    made->settle_auto = settle && strcmp(settle, "auto") == 0 && !pull;
    (void)peer_add(self, &self->subscriptions,
                   &made->item); /* a delivery may come before the return */
    err = marty_subscribe(bus->bus, pattern, name, pull ? NULL : on_message, made, &options,
                          &made->subscription, why);
    if (!err && !json_is_false(json_object_get(self->request, "start"))) {
        err = marty_bus_start(bus->bus, why);
        err = err == MARTY_E_STATE ? MARTY_OK : err; /* it runs already */
    }
    if (err) {
        json_t *number = json_integer((json_int_t)made->item.number);
        (void)peer_get(self, &self->subscriptions, number, true);
        json_decref(number);
        if (made->subscription) {
            (void)marty_unsubscribe(made->subscription, 0, NULL); /* frees it */
        } else {
            marty_free(made);
        }
        return err;
    }
    cli_text_format(&self->answer, ",\"subscription\":\"s%" PRIu64 "\"", made->item.number);
    return MARTY_OK;
}

marty_err peer_op_subscribe(peer *self, marty_error *why)
{
    return subscribe(self, MARTY_EVENT, why);
}

marty_err peer_op_handle(peer *self, marty_error *why)
{
    return subscribe(self, MARTY_COMMAND, why);
}

typedef struct receiving {
    peer_subscription *subscription;
    char *id;
    int32_t timeout_ms;
} receiving;

/* On a thread of its own, so that other requests go on while it waits. */
static void *receive(void *user)
{
    receiving *call = user;
    peer_subscription *subscription = call->subscription;
    peer *self = subscription->bus->peer;
    marty_delivery *first = NULL, *next;
    marty_error why = {0};
    marty_err err = marty_receive(subscription->subscription, call->timeout_ms, &first, &why);
    cli_text extra = {0};
    const char *comma = "";
    cli_text_put(&extra, ",\"deliveries\":[");
    for (; first; first = next) {
        next = first->next;
        cli_text_format(&extra, "%s{", comma);
        delivery_json(&extra, subscription, first);
        cli_text_put(&extra, "}");
        comma = ",";
    }
    cli_text_put(&extra, "]");
    drop_when_closing(subscription->bus);
    (void)pthread_mutex_lock(&self->tables);
    subscription->receiving = false; /* the next may come as soon as the answer is out */
    (void)pthread_mutex_unlock(&self->tables);
    if (err) {
        peer_failed(self, call->id, err, &why, "");
    } else {
        peer_ok(self, call->id, extra.data);
    }
    cli_text_free(&extra);
    marty_free(call->id);
    marty_free(call);
    (void)pthread_mutex_lock(&self->tables); /* the last use of both: they may be freed then */
    subscription->threads--;
    (void)pthread_cond_broadcast(&self->received);
    (void)pthread_mutex_unlock(&self->tables);
    return NULL;
}

marty_err peer_op_receive(peer *self, marty_error *why)
{
    peer_subscription *subscription = NULL;
    receiving *call;
    pthread_t thread;
    bool busy;
    marty_err err = peer_subscription_of(self, &subscription, why);
    if (err) {
        return err;
    }
    (void)pthread_mutex_lock(&self->tables);
    busy = subscription->receiving;
    subscription->receiving = true;
    subscription->threads += !busy;
    (void)pthread_mutex_unlock(&self->tables);
    if (busy) {
        return marty_error_set(why, MARTY_E_STATE, "a receive of this subscription is under way");
    }
    call = cli_alloc(sizeof *call);
    call->subscription = subscription;
    call->id = cli_strdup(self->id);
    call->timeout_ms = peer_ms(self, "timeout_ms");
    self->later = true;
    if (pthread_create(&thread, NULL, receive, call) != 0) {
        self->later = false;
        subscription->receiving = false; /* no other thread uses it now */
        subscription->threads--;
        marty_free(call->id);
        marty_free(call);
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no thread to be had");
    }
    (void)pthread_detach(thread);
    return MARTY_OK;
}

/* Its memory goes with the last of its handlers (user_free), which may outlive this. */
static marty_err drop(peer *self, peer_subscription *subscription, int32_t timeout_ms,
                      marty_error *why)
{
    marty_subscription_stop(subscription->subscription);
    (void)pthread_mutex_lock(&self->tables);
    while (subscription->threads) { /* ended by stop */
        (void)pthread_cond_wait(&self->received, &self->tables);
    }
    (void)pthread_mutex_unlock(&self->tables);
    return marty_unsubscribe(subscription->subscription, timeout_ms, why);
}

marty_err peer_op_unsubscribe(peer *self, marty_error *why)
{
    peer_subscription *subscription = NULL;
    marty_err err = peer_subscription_of(self, &subscription, why);
    if (err) {
        return err;
    }
    (void)peer_get(self, &self->subscriptions, json_object_get(self->request, "subscription"),
                   true);
    return drop(self, subscription, peer_ms(self, "timeout_ms"), why);
}

static bool of_bus(const peer_item *item, const void *bus)
{
    return ((const peer_subscription *)(const void *)item)->bus == bus;
}

void peer_subscriptions_drop(peer *self, const peer_bus *bus)
{
    peer_item *item;
    while ((item = peer_take_any(self, &self->subscriptions, of_bus, bus)) != NULL) {
        (void)drop(self, (peer_subscription *)(void *)item, 0, NULL);
    }
}

marty_err peer_op_stop(peer *self, marty_error *why)
{
    peer_subscription *subscription = NULL;
    peer_bus *bus = NULL;
    marty_err err;
    if (!json_object_get(self->request, "subscription")) {
        err = peer_bus_of(self, &bus, why);
        if (!err) {
            marty_bus_stop(bus->bus);
        }
        return err;
    }
    err = peer_subscription_of(self, &subscription, why);
    if (!err) {
        marty_subscription_stop(subscription->subscription);
    }
    return err;
}

marty_err peer_op_pause(peer *self, marty_error *why)
{
    peer_subscription *subscription = NULL;
    marty_err err = peer_subscription_of(self, &subscription, why);
    bool paused = !json_is_false(json_object_get(self->request, "paused"));
    return err ? err : marty_subscription_pause(subscription->subscription, paused, why);
}

marty_err peer_op_concurrency(peer *self, marty_error *why)
{
    peer_subscription *subscription = NULL;
    marty_err err = peer_subscription_of(self, &subscription, why);
    return err ? err
               : marty_subscription_concurrency(subscription->subscription,
                                                peer_small(self, "concurrency"), why);
}

marty_err peer_op_seek(peer *self, marty_error *why)
{
    peer_subscription *subscription = NULL;
    const json_t *to = json_object_get(self->request, "to");
    size_t count = to ? json_array_size(to) : 1, i;
    marty_start *starts;
    marty_err err = peer_subscription_of(self, &subscription, why);
    if (err) {
        return err;
    }
    starts = cli_alloc((count + 1) * sizeof *starts);
    for (i = 0; i < count && !err; i++) {
        err = peer_start_of(to ? json_array_get(to, i) : self->request, &starts[i], why);
    }
    err = err ? err : marty_subscription_seek(subscription->subscription, starts, count, why);
    marty_free(starts);
    return err;
}

static void counter(cli_text *text, const char *name, uint64_t value)
{
    if (value == UINT64_MAX) {
        cli_text_format(text, ",\"%s\":null", name);
    } else {
        cli_text_format(text, ",\"%s\":%" PRIu64, name, value);
    }
}

marty_err peer_op_stats(peer *self, marty_error *why)
{
    peer_subscription *subscription = NULL;
    marty_stats stats;
    marty_err err = peer_subscription_of(self, &subscription, why);
    if (err) {
        return err;
    }
    marty_subscription_stats(subscription->subscription, &stats);
    cli_text_format(&self->answer, ",\"stats\":{\"subscription\":\"s%" PRIu64 "\"",
                    subscription->item.number);
    counter(&self->answer, "delivered", stats.delivered);
    counter(&self->answer, "acked", stats.acked);
    counter(&self->answer, "retried", stats.retried);
    counter(&self->answer, "rejected", stats.rejected);
    counter(&self->answer, "given_back", stats.given_back);
    counter(&self->answer, "unmatched", stats.unmatched);
    counter(&self->answer, "lost", stats.lost);
    counter(&self->answer, "dropped", stats.dropped);
    counter(&self->answer, "settle_failed", stats.settle_failed);
    counter(&self->answer, "late", stats.late);
    counter(&self->answer, "queued", stats.queued);
    counter(&self->answer, "unsettled", stats.unsettled);
    counter(&self->answer, "lag", stats.lag);
    counter(&self->answer, "oldest_unsettled_ms", stats.oldest_unsettled_ms);
    counter(&self->answer, "last_delivery_ms", stats.last_delivery_ms);
    cli_text_put(&self->answer, "}");
    return MARTY_OK;
}
