/* SPDX-License-Identifier: Apache-2.0
 * The table of the module, what it can grant, and the life of a port. Ops note, frame and return;
 * see parts.h for who does the rest. */
#include "parts.h"

#include "thread.h"

#include <stdio.h>
#include <string.h>

#define STORED (MARTY_CAN_PERSIST | MARTY_CAN_CONFIRM | MARTY_CAN_DEDUPLICATE)
#define LOG                                                                                        \
    (STORED | MARTY_CAN_GROUPS | MARTY_CAN_REPLAY | MARTY_CAN_DELAYED_RETRY |                      \
     MARTY_CAN_ORDER_BY_KEY)
#define LATER (MARTY_CAN_DELAY | MARTY_CAN_CANCEL)

/* The most, on the newest server. */
const marty_capabilities nats__claims = {
    .can = {[MARTY_KIND_TOPIC] = LOG | LATER | MARTY_CAN_TIME_TO_LIVE | MARTY_CAN_WILDCARD,
            [MARTY_KIND_QUEUE] = STORED | MARTY_CAN_DELAYED_RETRY | MARTY_CAN_ORDER_BY_KEY | LATER |
                                 MARTY_CAN_TIME_TO_LIVE,
            [MARTY_KIND_REQUEST] = MARTY_CAN_CONFIRM | MARTY_CAN_REPLY | MARTY_CAN_NO_RESPONDER,
            [MARTY_KIND_STREAM] = LOG | LATER | MARTY_CAN_TIME_TO_LIVE,
            [MARTY_KIND_BROADCAST] = MARTY_CAN_CONFIRM | MARTY_CAN_WILDCARD,
            [MARTY_KIND_REPLY] = MARTY_CAN_CONFIRM,
            [MARTY_KIND_DEAD] = MARTY_CAN_CONFIRM | MARTY_CAN_DEDUPLICATE | MARTY_CAN_BROWSE},
    .level = MARTY_LEVEL_REPLICATED,
    .copies = 5,
    .synced = MARTY_UNKNOWN,
    .name_bytes_max = NATS__NAME_MAX,
};

/* JetStream is off, or the legacy envelope goes without it: what is left of a kind. */
static void keep_nothing(marty_capabilities *granted, marty_kind kind, uint64_t left)
{
    granted->can[kind] = left;
}

void nats__grants(const marty_port *port, marty_capabilities *ret_granted)
{
    const nats__options *options = &port->options;
    marty_capabilities *granted = ret_granted;
    *granted = nats__claims;
    uint64_t missing = port->api_level >= NATS__LEVEL_SCHEDULE ? 0 : LATER;
    missing |= port->api_level >= NATS__LEVEL_TTL ? 0 : MARTY_CAN_TIME_TO_LIVE;
    for (int kind = 0; kind < 8; kind++) {
        granted->can[kind] &= ~missing;
    }
    if (nats__refuses_when_full(options)) { /* the server schedules nothing in such streams */
        granted->can[MARTY_KIND_TOPIC] &= ~(uint64_t)LATER;
        granted->can[MARTY_KIND_STREAM] &= ~(uint64_t)LATER;
    }
    if (options->envelope == NATS__LEGACY) { /* core subjects; what is retried waits in memory */
        keep_nothing(granted, MARTY_KIND_TOPIC,
                     MARTY_CAN_GROUPS | MARTY_CAN_CONFIRM | MARTY_CAN_DELAYED_RETRY);
        keep_nothing(granted, MARTY_KIND_QUEUE, MARTY_CAN_CONFIRM | MARTY_CAN_DELAYED_RETRY);
    }
    if (!port->jetstream) {
        keep_nothing(granted, MARTY_KIND_STREAM, 0);
        keep_nothing(granted, MARTY_KIND_DEAD, 0);
        if (options->envelope != NATS__LEGACY) {
            keep_nothing(granted, MARTY_KIND_TOPIC, 0);
            keep_nothing(granted, MARTY_KIND_QUEUE, 0);
        }
    }
    bool keeps = port->jetstream && options->envelope != NATS__LEGACY;
    granted->level = !keeps || options->memory         ? MARTY_LEVEL_MEMORY
                     : options->stated                 ? options->level
                     : options->topology == NATS__NONE ? MARTY_LEVEL_MEMORY
                     : options->replicas >= 3          ? MARTY_LEVEL_REPLICATED
                                                       : MARTY_LEVEL_WRITTEN;
    granted->copies = keeps ? options->replicas : 1;
    granted->stated = keeps && options->stated;
    granted->assumed = keeps && options->topology == NATS__NONE && !options->stated;
    granted->lease_ms = options->lease_ms;
    granted->deduplicate_ms = options->dedup_ms;
    granted->payload_bytes_max = port->payload_max > 0 ? (uint64_t)port->payload_max : 0;
    granted->inflight_max = NATS__PENDING_MAX;
}

static void make_id(marty_port *port)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned char random[20];
    const marty_env *env = port->sink->env;
    env->random(env->user, random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++) {
        port->id[i] = digits[random[i] & 31];
    }
    port->id[sizeof random] = '\0';
}

static void init_lists(marty_port *port)
{
    marty__list_init(&port->calls);
    marty__list_init(&port->jobs);
    marty__list_init(&port->subscriptions);
    marty__list_init(&port->leaving);
    marty__list_init(&port->shares);
    for (int i = 0; i < 2; i++) {
        port->wires[i].port = port;
        port->wires[i].fd = -1;
        port->wires[i].confirm_at_ns = INT64_MAX;
        marty__list_init(&port->wires[i].inboxes);
    }
    port->wake_fd = -1;
    port->due_ns = port->pending_due_ns = port->refresh_ns = INT64_MAX;
}

static marty_err op_open(marty_port **ret_port, const char *url, const marty_sink *sink,
                         marty_error *why)
{
    marty_port *port = marty_alloc_zero(1, sizeof *port);
    if (!port) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory for a port");
    }
    marty_err err = nats__options_parse(&port->options, url, why);
    if (err) {
        marty_free(port);
        return err;
    }
    port->sink = sink;
    init_lists(port);
    make_id(port);
    bool made = pthread_mutex_init(&port->lock, NULL) == 0 && nats__cond_init(&port->changed) &&
                nats__cond_init(&port->jobs_changed) && nats__cond_init(&port->keeper_changed);
    if (!made) {
        nats__options_free(&port->options);
        marty_free(port);
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no lock left");
    }
    nats__living_add(port);
    *ret_port = port;
    return MARTY_OK;
}

static marty_err op_connect(marty_port *port, marty_error *why)
{
    nats__job *job = nats__job_new(nats__connect_run, NULL);
    marty_err err = job ? nats__loop_start(port, why)
                        : marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory to connect");
    err = err ? err : nats__worker_start(port, why);
    if (!err) {
        pthread_mutex_lock(&port->lock);
        bool busy = port->life == NATS__UP || port->life == NATS__CONNECTING || port->closing;
        err = busy ? marty_error_set(why, MARTY_E_STATE, "nats: connected, connecting or closed")
                   : MARTY_OK;
        if (!err) {
            port->life = NATS__CONNECTING;
            nats__job_post_locked(port, job);
        }
        pthread_mutex_unlock(&port->lock);
    }
    if (err) {
        marty_free(job);
    }
    return err;
}

/* The worker: wait for what is in flight, then let the loop end the connection. */
static void close_run(marty_port *port, nats__job *job)
{
    int64_t deadline_ns = (int64_t)job->token;
    nats__subscription *subscription = NULL;
    for (;;) { /* subscriptions give back what they hold */
        pthread_mutex_lock(&port->lock);
        marty__link *link = marty__list_pop(&port->subscriptions);
        subscription = link ? MARTY__OWNER(link, nats__subscription, link) : NULL;
        if (subscription) {
            subscription->leaving = true;
        }
        pthread_mutex_unlock(&port->lock);
        if (!subscription) {
            break;
        }
        nats__leave(port, subscription, false);
    }
    pthread_mutex_lock(&port->lock);
    bool up = port->wires[0].nc != NULL;
    while (up &&
           (port->pending_used || port->held_count || port->wires[0].ring.count ||
            port->wires[1].ring.count || port->asked.count) &&
           nats__now_ns(port) < deadline_ns) {
        nats__confirm_locked(&port->wires[1], false);
        nats__wake(port, true);
        (void)nats__wait_locked(port, &port->changed, nats__now_ns(port) + 2000000);
        up = port->wires[0].nc != NULL;
    }
    port->life = up ? port->life : NATS__CLOSED;
    pthread_mutex_unlock(&port->lock);
    if (up) {
        marty_error ignored = {0};
        pthread_mutex_lock(&port->lock); /* what was given back has arrived */
        (void)nats__sign_locked(&port->wires[0], deadline_ns, &ignored);
        pthread_mutex_unlock(&port->lock);
        nats__lose(port, MARTY_E_CLOSED, "closed before the answer came");
    } else {
        port->sink->state(port->sink, MARTY_STATE_CLOSED, NULL, MARTY_OK, "closed");
    }
}

static void op_close(marty_port *port, int64_t deadline_ns)
{
    nats__job *job = nats__job_new(close_run, NULL);
    pthread_mutex_lock(&port->lock);
    bool again = port->closing;
    port->closing = true;
    bool post = job && port->worker_started && !again;
    if (post) {
        job->token = (uint64_t)deadline_ns;
        nats__job_post_locked(port, job);
    }
    pthread_mutex_unlock(&port->lock);
    if (!post) {
        marty_free(job);
    }
    if (!post && !again) {
        if (port->worker_started) {
            nats__lose(port, MARTY_E_CLOSED, "closed before the answer came");
        } else {
            port->sink->state(port->sink, MARTY_STATE_CLOSED, NULL, MARTY_OK, "closed");
        }
    }
}

static void free_channels(marty_port *port)
{
    for (size_t i = 0; i < sizeof port->buckets / sizeof port->buckets[0]; i++) {
        nats__channel *channel = port->buckets[i];
        while (channel) {
            nats__channel *next = channel->next;
            marty__link *link;
            while ((link = marty__list_pop(&channel->held)) != NULL) {
                nats__held *held = MARTY__OWNER(link, nats__held, link);
                marty_message_unref(held->message);
                marty_free(held);
            }
            marty_free(channel->native_subject);
            marty_free(channel);
            channel = next;
        }
    }
}

static void free_subscriptions(marty__link *list)
{
    marty__link *link;
    while ((link = marty__list_pop(list)) != NULL) {
        nats__subscription_free(MARTY__OWNER(link, nats__subscription, link));
    }
}

static void op_free(marty_port *port)
{
    nats__loop_stop(port);
    nats__worker_stop(port); /* it may start the keeper */
    nats__keeper_stop(port);
    nats__living_remove(port);
    nats__loop_free(port);
    nats__shares_free(port);
    free_subscriptions(&port->subscriptions);
    free_subscriptions(&port->leaving);
    free_channels(port);
    for (int i = 0; i < 2; i++) {
        marty_free(port->wires[i].out.data);
        marty_free(port->wires[i].sending.data);
        marty_free(port->wires[i].in.data);
        marty_free(port->wires[i].by_sid);
        marty_free(port->wires[i].ring.taken);
    }
    marty_free(port->asked.taken);
    marty_free(port->pending);
    marty_free(port->scratch.data);
    nats__options_free(&port->options);
    (void)pthread_cond_destroy(&port->changed);
    (void)pthread_cond_destroy(&port->jobs_changed);
    (void)pthread_cond_destroy(&port->keeper_changed);
    (void)pthread_mutex_destroy(&port->lock);
    marty_free(port);
}

const marty_backend marty_module MARTY__ATTRIBUTE(visibility("default")) = {
    .abi = MARTY_BACKEND_ABI,
    .size = sizeof(marty_backend),
    .scheme = "nats",
    .package = "marty-nats (with libnats)",
    .claims = &nats__claims,
    .open = op_open,
    .connect = op_connect,
    .publish = nats__publish,
    .cancel = nats__cancel,
    .subscribe = nats__subscribe,
    .grant = nats__grant,
    .settle = nats__settle,
    .unsubscribe = nats__unsubscribe,
    .close = op_close,
    .free = op_free,
    .topology = nats__topology_op,
};
