/* SPDX-License-Identifier: Apache-2.0
 * Reports of a bus as JSON in a message: what people and programs look at. The shapes are in
 * docs/reference/reports.md. */
#include "internal.h"

#include "backend/capability.h"
#include "base/buffer.h"
#include "base/error.h"
#include "message/message.h"

#include <string.h>

static void text_field(marty__buffer *to, const char *name, const char *value)
{
    marty__buffer_format(to, "\"%s\":", name);
    if (value) {
        marty__buffer_json(to, value, strlen(value));
    } else {
        marty__buffer_text(to, "null");
    }
}

/* ---- backends */
static void can_list(marty__buffer *to, const marty_capabilities *granted, marty_kind kind)
{
    bool first = true;
    marty__buffer_format(to, "\"%s\":[", marty__kind_name(kind));
    for (unsigned bit = 0; bit < marty__capability_count(); bit++) {
        if (marty__capability_has(granted, kind, MARTY_ORDER_DEFAULT, UINT64_C(1) << bit)) {
            marty__buffer_format(to, "%s\"%s\"", first ? "" : ",", marty__capability_name(bit));
            first = false;
        }
    }
    marty__buffer_byte(to, ']');
}

static void bit_list(marty__buffer *to, const char *name, uint64_t bits)
{
    bool first = true;
    marty__buffer_format(to, ",\"%s\":[", name);
    for (unsigned bit = 0; bit < marty__capability_count(); bit++) {
        if (bits >> bit & 1) {
            marty__buffer_format(to, "%s\"%s\"", first ? "" : ",", marty__capability_name(bit));
            first = false;
        }
    }
    marty__buffer_byte(to, ']');
}

static void granted_json(marty__buffer *to, const marty_capabilities *granted)
{
    static const char *const known[] = {"unknown", "no", "yes"};
    marty__buffer_text(to, "{\"can\":{");
    for (int kind = MARTY_KIND_TOPIC; kind <= MARTY_KIND_DEAD; kind++) {
        marty__buffer_text(to, kind == MARTY_KIND_TOPIC ? "" : ",");
        can_list(to, granted, (marty_kind)kind);
    }
    marty__buffer_byte(to, '}');
    bit_list(to, "only_unordered", granted->only_unordered);
    bit_list(to, "only_ordered", granted->only_ordered);
    marty__buffer_format(
        to, ",\"level\":\"%s\",\"copies\":%u,\"synced\":\"%s\",\"assumed\":%s,\"stated\":%s",
        marty__level_name(granted->level), granted->copies, known[granted->synced],
        granted->assumed ? "true" : "false", granted->stated ? "true" : "false");
    marty__buffer_format(to,
                         ",\"limits\":{\"payload_bytes\":%llu,\"headers\":%u,\"header_bytes\":%llu,"
                         "\"name_bytes\":%u,\"delay_ms\":%llu,\"retry_ms\":%llu",
                         (unsigned long long)granted->payload_bytes_max, granted->header_count_max,
                         (unsigned long long)granted->header_bytes_max, granted->name_bytes_max,
                         (unsigned long long)granted->delay_ms_max,
                         (unsigned long long)granted->retry_ms_max);
    marty__buffer_format(
        to,
        ",\"settle_lag_ms\":%llu,\"delay_step_ms\":%llu,\"counted\":%s,"
        "\"give_back_counts\":%s",
        (unsigned long long)granted->settle_lag_ms, (unsigned long long)granted->delay_step_ms,
        granted->uncounted ? "false" : "true", granted->give_back_counts ? "true" : "false");
    marty__buffer_format(to, ",\"lease_ms\":%llu,\"deduplicate_ms\":%llu,\"inflight\":%u}}",
                         (unsigned long long)granted->lease_ms,
                         (unsigned long long)granted->deduplicate_ms, granted->inflight_max);
}

static void backend_json(marty__buffer *to, marty__port *port)
{
    marty__lock(&port->lock);
    marty__buffer_byte(to, '{');
    text_field(to, "name", port->name);
    marty__buffer_byte(to, ',');
    text_field(to, "scheme", port->backend->scheme);
    marty__buffer_byte(to, ',');
    text_field(to, "url", port->url);
    marty__buffer_format(to, ",\"state\":\"%s\",\"up_before\":%s,\"failures\":%u,",
                         marty__state_name(port->state), port->ever_up ? "true" : "false",
                         atomic_load(&port->failures));
    text_field(to, "reason", port->reason ? marty_err_describe(port->reason)->name : NULL);
    marty__buffer_byte(to, ',');
    text_field(to, "text", port->text);
    marty__buffer_format(to,
                         ",\"inflight\":%zu,\"inflight_bytes\":%llu,\"granted\":", port->inflight,
                         (unsigned long long)port->inflight_bytes);
    marty__unlock(&port->lock);
    granted_json(to, marty__port_granted(port));
    marty__buffer_byte(to, '}');
}

static void backends_json(marty__buffer *to, marty_bus *bus)
{
    marty__buffer_text(to, "\"backends\":[");
    for (size_t i = 0; i < bus->port_count; i++) {
        marty__buffer_text(to, i ? "," : "");
        backend_json(to, &bus->ports[i]);
    }
    marty__buffer_byte(to, ']');
}

/* ---- subscriptions */
static void stats_json(marty__buffer *to, const marty_subscription *subscription)
{
    marty_stats stats;
    marty_subscription_stats(subscription, &stats);
    marty__buffer_format(
        to,
        "{\"delivered\":%llu,\"acked\":%llu,\"retried\":%llu,\"rejected\":%llu,\"given_back\":%llu",
        (unsigned long long)stats.delivered, (unsigned long long)stats.acked,
        (unsigned long long)stats.retried, (unsigned long long)stats.rejected,
        (unsigned long long)stats.given_back);
    marty__buffer_format(to,
                         ",\"lost\":%llu,\"dropped\":%llu,\"settle_failed\":%llu,\"queued\":%llu,"
                         "\"unsettled\":%llu,\"oldest_unsettled_ms\":%llu}",
                         (unsigned long long)stats.lost, (unsigned long long)stats.dropped,
                         (unsigned long long)stats.settle_failed, (unsigned long long)stats.queued,
                         (unsigned long long)stats.unsettled,
                         (unsigned long long)stats.oldest_unsettled_ms);
}

static void state_fields(marty__buffer *to, marty__consumer *consumer)
{
    char key[sizeof consumer->stuck_key] = "";
    marty__lock(&consumer->lock);
    const char *state = consumer->paused       ? "paused"
                        : consumer->stalled    ? "stalled"
                        : consumer->subscribed ? "subscribed"
                        : consumer->refused    ? "refused"
                                               : "waiting";
    if (consumer->stalled) {
        memcpy(key, consumer->stuck_key, sizeof key);
    }
    marty__unlock(&consumer->lock);
    text_field(to, "state", state);
    if (key[0]) {
        marty__buffer_byte(to, ',');
        text_field(to, "stuck_key", key);
    }
}

static void subscription_json(marty__buffer *to, marty_subscription *subscription,
                              marty__consumer *consumer)
{
    marty__buffer_byte(to, '{');
    text_field(to, "backend", consumer->port->name);
    marty__buffer_byte(to, ',');
    text_field(to, "channel", consumer->channel);
    marty__buffer_byte(to, ',');
    text_field(to, "kind", marty__kind_name(consumer->kind));
    marty__buffer_byte(to, ',');
    text_field(to, "group", consumer->group_name);
    marty__buffer_byte(to, ',');
    text_field(to, "pattern", marty__pattern_word(subscription->pattern));
    marty__buffer_byte(to, ',');
    text_field(to, "name", subscription->name);
    marty__buffer_byte(to, ',');
    state_fields(to, consumer);
    marty__lock(&subscription->lock);
    marty__buffer_format(to, ",\"paused\":%s,\"concurrency\":%u,\"credit\":%u,\"stats\":",
                         subscription->paused ? "true" : "false", subscription->lane_count,
                         subscription->credit);
    marty__unlock(&subscription->lock);
    stats_json(to, subscription);
    marty__buffer_byte(to, '}');
}

static void subscriptions_json(marty__buffer *to, marty_bus *bus)
{
    bool first = true;
    marty__buffer_text(to, "\"subscriptions\":[");
    marty__lock(&bus->lock);
    for (marty__link *link = bus->subscriptions.next; link != &bus->subscriptions;
         link = link->next) {
        marty_subscription *subscription = MARTY__OWNER(link, marty_subscription, link);
        for (size_t i = 0; i < subscription->consumer_count; i++) {
            marty__buffer_text(to, first ? "" : ",");
            first = false;
            subscription_json(to, subscription, subscription->consumers[i]);
        }
    }
    marty__unlock(&bus->lock);
    marty__buffer_byte(to, ']');
}

/* ---- the others */
static void health_json(marty__buffer *to, marty_bus *bus)
{
    static const char *const phases[] = {"open", "draining", "flushing", "closed"};
    bool healthy = atomic_load(&bus->phase) == MARTY__OPEN;
    marty__buffer_text(to, "\"backends\":[");
    for (size_t i = 0; i < bus->port_count; i++) {
        marty__port *port = &bus->ports[i];
        marty__lock(&port->lock);
        marty__buffer_text(to, i ? ",{" : "{");
        text_field(to, "name", port->name);
        marty__buffer_format(to, ",\"state\":\"%s\",", marty__state_name(port->state));
        text_field(to, "text", port->text);
        marty__buffer_byte(to, '}');
        healthy = healthy && port->state == MARTY_STATE_UP;
        marty__unlock(&port->lock);
    }
    marty__buffer_format(to, "],\"state\":\"%s\",\"started\":%s,\"healthy\":%s",
                         phases[atomic_load(&bus->phase)],
                         atomic_load(&bus->started) ? "true" : "false", healthy ? "true" : "false");
}

static void metrics_json(marty__buffer *to, marty_bus *bus)
{
    marty__buffer_format(to,
                         "\"counters\":{\"unmatched\":%llu,\"late_replies\":%llu,\"dropped\":%llu,"
                         "\"open_calls\":%zu,\"running\":%zu,\"kept\":%zu,\"workers\":%u},",
                         (unsigned long long)atomic_load(&bus->unmatched),
                         (unsigned long long)atomic_load(&bus->late_replies),
                         (unsigned long long)atomic_load(&bus->dropped),
                         atomic_load(&bus->open_calls), atomic_load(&bus->running),
                         atomic_load(&bus->kept), bus->pool.size);
    subscriptions_json(to, bus);
}

static marty_err channels_json(marty__buffer *to, marty_bus *bus, marty_error *why)
{
    marty__buffer_text(to, "\"backends\":[");
    for (size_t i = 0; i < bus->port_count; i++) {
        marty__port *port = &bus->ports[i];
        marty_want everything = {0};
        marty_message *answer = NULL;
        int64_t deadline = marty__bus_deadline(bus, 0, MARTY__TIMEOUT_MS);
        marty_err err = marty__port_topology(port, "list", &everything, deadline, &answer, why);
        if (err) {
            return err;
        }
        marty__buffer_text(to, i ? ",{" : "{");
        text_field(to, "name", port->name);
        marty__buffer_text(to, ",\"answer\":");
        marty__buffer_add(to, answer->data.data, answer->data.size);
        marty__buffer_byte(to, '}');
        marty_message_unref(answer);
    }
    marty__buffer_byte(to, ']');
    return MARTY_OK;
}

static marty_err write_report(marty__buffer *to, marty_bus *bus, marty_report what,
                              marty_error *why)
{
    switch (what) {
    case MARTY_REPORT_HEALTH:
        health_json(to, bus);
        return MARTY_OK;
    case MARTY_REPORT_BACKENDS:
        backends_json(to, bus);
        return MARTY_OK;
    case MARTY_REPORT_SUBSCRIPTIONS:
        subscriptions_json(to, bus);
        return MARTY_OK;
    case MARTY_REPORT_CHANNELS:
        return channels_json(to, bus, why);
    case MARTY_REPORT_METRICS:
        metrics_json(to, bus);
        return MARTY_OK;
    case MARTY_REPORT_CONFIG:
        return MARTY_OK;
    default:
        return marty_error_set(why, MARTY_E_UNSUPPORTED, "there is no report %d in this version",
                               (int)what);
    }
}

marty_err marty_bus_report(marty_bus *bus, marty_report what, marty_message **ret_report,
                           marty_error *why)
{
    marty_err err = marty__bus_enter(bus, MARTY__CLOSED, why);
    if (err) {
        return err;
    }
    marty__buffer text = {0};
    if (what == MARTY_REPORT_CONFIG) {
        marty__config_json(bus->config, &text);
    } else {
        marty__buffer_byte(&text, '{');
        err = write_report(&text, bus, what, why);
        marty__buffer_byte(&text, '}');
    }
    if (!err && text.failed) {
        err = marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    if (!err) {
        marty_message report = {.type = "marty.report", .data = {text.data, text.size}};
        err = marty__message_new(ret_report, &report, NULL, &bus->env, bus->source, why);
    }
    marty__buffer_free(&text);
    return err;
}
