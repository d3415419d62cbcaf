/* SPDX-License-Identifier: Apache-2.0
 * The memory: backend: a broker inside the process, without a thread of its own. All its clocks are
 * those of the ports' surroundings, so it runs from a seed as well as for years. */
#include "memory.h"

#include "backend/registry.h"
#include "base/alloc.h"
#include "base/limits.h"

#include <stdio.h>
#include <string.h>

enum {
    KEPT = MARTY_CAN_DELAY | MARTY_CAN_DELAYED_RETRY | MARTY_CAN_CANCEL | MARTY_CAN_TIME_TO_LIVE |
           MARTY_CAN_ORDER_BY_KEY | MARTY_CAN_CONFIRM | MARTY_CAN_DEDUPLICATE |
           MARTY_CAN_DEAD_LETTER | MARTY_CAN_HOLD_KEY,
    LOG = KEPT | MARTY_CAN_GROUPS | MARTY_CAN_REPLAY | MARTY_CAN_WILDCARD
};

static const marty_capabilities claims = {
    .can = {[0] = MARTY_CAN_CONFIRM,
            [MARTY_KIND_TOPIC] = LOG | MARTY_CAN_PRIORITY,
            [MARTY_KIND_QUEUE] = KEPT | MARTY_CAN_PRIORITY,
            [MARTY_KIND_REQUEST] = MARTY_CAN_CONFIRM | MARTY_CAN_TIME_TO_LIVE | MARTY_CAN_REPLY |
                                   MARTY_CAN_NO_RESPONDER,
            [MARTY_KIND_STREAM] = LOG,
            [MARTY_KIND_BROADCAST] =
                MARTY_CAN_CONFIRM | MARTY_CAN_TIME_TO_LIVE | MARTY_CAN_WILDCARD,
            [MARTY_KIND_REPLY] = MARTY_CAN_CONFIRM | MARTY_CAN_REPLY,
            [MARTY_KIND_DEAD] = MARTY_CAN_CONFIRM | MARTY_CAN_BROWSE | MARTY_CAN_DEDUPLICATE},
    .level = MARTY_LEVEL_MEMORY,
    .copies = 1,
    .synced = MARTY_NO,
    .header_count_max = MARTY__HEADERS_MAX,
    .name_bytes_max = MARTY__NAME_BYTES_MAX,
    .payload_bytes_max = 32 << 20,
    .deduplicate_ms = 10 * 60 * 1000};

/* ---- opening */
static bool make_parts(marty_port *port, const marty_url *url)
{
    const char *prefix = marty_url_get(url, "prefix");
    size_t size = prefix && *prefix ? strlen(prefix) : 0;
    port->prefix = marty_alloc(size + 2);
    port->shown = marty__strdup(url->redacted);
    port->publish_work = marty__mem_publish_work_new();
    port->batch = marty__mem_batch_new();
    if (!port->prefix || !port->shown || !port->publish_work || !port->batch) {
        return false;
    }
    (void)snprintf(port->prefix, size + 2, "%s%s", size ? prefix : "", size ? "." : "");
    marty__list_init(&port->ready);
    marty__list_init(&port->notices);
    port->timer_ns = MARTY__NEVER;
    return true;
}

static void port_free(marty_port *port)
{
    if (port->broker) {
        marty__mem_broker_close(port->broker);
    }
    marty__map_free(&port->subscriptions);
    marty_free(port->batch);
    marty_free(port->publish_work);
    marty_free(port->prefix);
    marty_free(port->shown);
    marty_free(port);
}

static marty_err check_prefix(const marty_url *url, marty_error *why)
{
    const char *prefix = marty_url_get(url, "prefix");
    if (prefix && (strlen(prefix) > 128 || strpbrk(prefix, "*> "))) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "%s: prefix: up to 128 bytes without wildcards and spaces",
                               url->redacted);
    }
    return MARTY_OK;
}

static marty_err open_port(marty_port **ret_port, const marty_url *url, const marty_sink *sink,
                           marty_error *why)
{
    marty_port *port = marty_alloc_zero(1, sizeof *port);
    if (!port || !make_parts(port, url)) {
        if (port) {
            port_free(port);
        }
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to open %s", url->redacted);
    }
    port->sink = sink;
    marty_err err = check_prefix(url, why);
    err = err ? err : marty__mem_settings_read(&port->settings, url, why);
    if (!err) {
        err = marty__mem_broker_open(&port->broker, url->path, &port->settings, why);
    }
    if (err) {
        port_free(port);
        return err;
    }
    *ret_port = port;
    return MARTY_OK;
}

static marty_err mem_open(marty_port **ret_port, const char *text, const marty_sink *sink,
                          marty_error *why)
{
    marty_url *url = NULL;
    marty_err err = marty_url_parse(&url, text, why);
    if (!err) {
        err = open_port(ret_port, url, sink, why);
    }
    marty_url_free(url);
    return err;
}

/* ---- up and down */
static marty_capabilities granted_by(const marty_port *port)
{
    marty_capabilities granted = claims;
    granted.payload_bytes_max = marty__mem_payload_max(&port->broker->settings);
    granted.lease_ms = port->settings.lease_ms;
    granted.deduplicate_ms = port->settings.dedup_ms;
    for (size_t i = 0; !port->settings.dedup_ms && i < 8; i++) {
        granted.can[i] &= ~(uint64_t)MARTY_CAN_DEDUPLICATE;
    }
    return granted;
}

static marty_err mem_connect(marty_port *port, marty_error *why)
{
    (void)why;
    broker *b = port->broker;
    marty__mem_lock(port);
    if (!port->attached) {
        port->attached = true;
        marty__list_push(&b->ports, &port->link);
    }
    uint64_t window_ms = port->settings.dedup_ms;
    b->dedup.window_ms = window_ms > b->dedup.window_ms ? window_ms : b->dedup.window_ms;
    marty__mem_clock_changed(b); /* for a while nobody may have kept it */
    marty__mem_unlock(b);
    marty_capabilities granted = granted_by(port);
    port->sink->state(port->sink, MARTY_STATE_UP, &granted, MARTY_OK, "in this process");
    return MARTY_OK;
}

/* With the lock held: out of the broker, as if it had never been. */
static void detach(marty_port *port)
{
    broker *b = port->broker;
    subscription *s;
    for (size_t at = 0; (s = marty__map_next(&port->subscriptions, &at)) != NULL;) {
        marty__mem_subscription_leave(s);
        marty__list_remove(&s->notice_link);
        (void)marty__map_take_u64(&port->subscriptions, s->number);
        marty__mem_subscription_free(s);
    }
    for (marty__link *link; (link = marty__list_pop(&port->notices)) != NULL;) {
        marty__mem_subscription_free(MARTY__OWNER(link, subscription, notice_link));
    }
    port->timer_dirty = false;
    port->last = NULL;
    if (port->attached) {
        port->attached = false;
        marty__list_remove(&port->link);
        marty__mem_clock_moved(b);
    }
    marty__list_remove(&port->ready_link);
}

static void timers_off(marty_port *port)
{
    port->sink->timer(port->sink, INT64_MAX, marty__mem_clock_rang, port);
    port->sink->timer(port->sink, INT64_MAX, marty__mem_go_on, port);
}

static void mem_close(marty_port *port, int64_t deadline_ns)
{
    (void)deadline_ns; /* nothing is on its way */
    timers_off(port);
    marty__mem_lock(port);
    detach(port);
    port->close_notice = true;
    marty__mem_port_ready(port);
    marty__mem_unlock(port->broker);
}

static void mem_free(marty_port *port)
{
    broker *b = port->broker;
    marty__mem_lock(port);
    detach(port);
    marty__mem_pump_wait(port);
    port->close_notice = false;
    marty__list_remove(&port->ready_link);
    marty__mem_unlock(b);
    timers_off(port); /* another thread may have been setting one while it was closed */
    port_free(port);
}

const marty_backend marty__memory_backend = {.abi = MARTY_BACKEND_ABI,
                                             .size = sizeof(marty_backend),
                                             .scheme = "memory",
                                             .package = "libmarty",
                                             .claims = &claims,
                                             .open = mem_open,
                                             .connect = mem_connect,
                                             .publish = marty__mem_publish,
                                             .cancel = marty__mem_cancel,
                                             .subscribe = marty__mem_subscribe,
                                             .grant = marty__mem_grant,
                                             .settle = marty__mem_settle,
                                             .unsubscribe = marty__mem_unsubscribe,
                                             .close = mem_close,
                                             .free = mem_free,
                                             .topology = marty__mem_topology,
                                             .settles_beside = true};
