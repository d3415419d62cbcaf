/* SPDX-License-Identifier: Apache-2.0
 * The backend's table, and the life of a port: open parses, connect starts the thread, close lets
 * it end, free joins it. */
#include "work.h"

#include "backend/registry.h"
#include "base/alloc.h"
#include "base/limits.h"

#include <string.h>

static void list_heads(marty_port *port)
{
    marty__link *lists[] = {&port->settles, &port->extends, &port->controls, &port->granted};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        marty__list_init(lists[i]);
    }
}

static marty_err sq_open(marty_port **ret_port, const char *url, const marty_sink *sink,
                         marty_error *why)
{
    sq_options options;
    marty_err err = marty__sq_options_parse(&options, url, why);
    if (err) {
        return err;
    }
    marty_port *port = marty_alloc_zero(1, sizeof *port);
    sq_entry *ring = port ? marty_alloc_zero(SQ_RING, sizeof *ring) : NULL;
    if (!ring || !marty__mutex_init(&port->lock) || !marty__cond_init(&port->returned)) {
        marty_free(ring);
        marty_free(port);
        marty__sq_options_free(&options);
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a port to a database");
    }
    port->ring = ring;
    port->options = options;
    port->sink = sink;
    marty__sq_shared_init(&port->shared);
    list_heads(port);
    *ret_port = port;
    return MARTY_OK;
}

static void join(marty_port *port)
{
    if (port->joinable) {
        (void)pthread_join(port->thread, NULL);
        port->joinable = false;
    }
}

static marty_err sq_connect(marty_port *port, marty_error *why)
{
    join(port); /* one that went down has ended, or is about to */
    marty__lock(&port->lock);
    port->ended = false;
    marty__unlock(&port->lock);
    if (!marty__thread_start(&port->thread, "marty-sqlite", marty__sq_writer, port)) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "%s: no thread to be had from the system",
                               port->options.path);
    }
    port->joinable = true;
    return MARTY_OK;
}

static void sq_close(marty_port *port, int64_t deadline_ns)
{
    bool idle;
    marty__lock(&port->lock);
    port->closing = true;
    port->close_deadline_ns = deadline_ns;
    idle = !port->joinable || port->ended;
    marty__sq_wake(port);
    marty__unlock(&port->lock);
    if (idle) {
        port->sink->state(port->sink, MARTY_STATE_CLOSED, NULL, MARTY_OK, "closed");
    }
}

static void sq_free(marty_port *port)
{
    sq_channel *channel;
    if (!port) {
        return;
    }
    marty__lock(&port->lock);
    port->closing = true;
    marty__sq_wake(port);
    marty__unlock(&port->lock);
    join(port);
    for (size_t at = 0; (channel = marty__map_next(&port->channels, &at)) != NULL;) {
        marty__sq_channel_free(channel);
    }
    marty__map_free(&port->channels);
    marty__map_free(&port->subs);
    marty__map_free(&port->claims);
    marty__map_free(&port->logs);
    marty__cond_free(&port->returned);
    marty__mutex_free(&port->lock);
    marty__sq_options_free(&port->options);
    marty_free(port->ring);
    marty_free(port);
}

#define KEPT                                                                                       \
    (MARTY_CAN_GROUPS | MARTY_CAN_DELAY | MARTY_CAN_DELAYED_RETRY | MARTY_CAN_CANCEL |             \
     MARTY_CAN_TIME_TO_LIVE | MARTY_CAN_ORDER_BY_KEY | MARTY_CAN_PERSIST | MARTY_CAN_DEDUPLICATE | \
     MARTY_CAN_DEAD_LETTER | MARTY_CAN_HOLD_KEY)
#define LOGGED (KEPT | MARTY_CAN_REPLAY | MARTY_CAN_WILDCARD)
static const marty_capabilities claims = {
    .can = {[0] = MARTY_CAN_CONFIRM,
            [MARTY_KIND_TOPIC] = LOGGED | MARTY_CAN_PRIORITY,
            [MARTY_KIND_QUEUE] = KEPT | MARTY_CAN_PRIORITY,
            [MARTY_KIND_STREAM] = LOGGED,
            [MARTY_KIND_REQUEST] =
                MARTY_CAN_TIME_TO_LIVE | MARTY_CAN_REPLY | MARTY_CAN_NO_RESPONDER,
            [MARTY_KIND_REPLY] = MARTY_CAN_REPLY,
            [MARTY_KIND_BROADCAST] = MARTY_CAN_WILDCARD | MARTY_CAN_TIME_TO_LIVE,
            [MARTY_KIND_DEAD] = MARTY_CAN_BROWSE | MARTY_CAN_DEDUPLICATE},
    .level = MARTY_LEVEL_SYNCED,
    .copies = 1,
    .synced = MARTY_YES,
    .header_count_max = MARTY__HEADERS_MAX,
    .name_bytes_max = MARTY__NAME_BYTES_MAX,
    .inflight_max = SQ_RING,
    .payload_bytes_max = SQ_BODY_MAX,
    .lease_ms = 30000,
    .deduplicate_ms = 600000};

const marty_backend marty__sqlite_backend = {.abi = MARTY_BACKEND_ABI,
                                             .size = sizeof(marty_backend),
                                             .scheme = "sqlite",
                                             .package = "",
                                             .claims = &claims,
                                             .open = sq_open,
                                             .connect = sq_connect,
                                             .publish = marty__sq_publish,
                                             .cancel = marty__sq_cancel,
                                             .subscribe = marty__sq_subscribe,
                                             .grant = marty__sq_grant,
                                             .settle = marty__sq_settle,
                                             .unsubscribe = marty__sq_unsubscribe,
                                             .close = sq_close,
                                             .free = sq_free,
                                             .topology = marty__sq_topology,
                                             .lead = marty__sq_lead,
                                             .serve = marty__sq_serve};
