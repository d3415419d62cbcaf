/* SPDX-License-Identifier: Apache-2.0
 * Consumers: made where a group begins, checked, and widened (never narrowed) in what they filter.
 * Going elsewhere in the log is a consumer made anew, since a server lets nobody move one.
 * Blocking.
 */
#include "parts.h"

#include "thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNANSWERED_NS = 1000000000, LOOK_AGAIN_NS = 250000000 };

static marty_err info_of(marty_port *port, const char *stream, const char *consumer,
                         int64_t deadline_ns, json_t **ret_info, marty_error *why)
{
    char what[2 * NATS__NAME_MAX + 32];
    (void)snprintf(what, sizeof what, "CONSUMER.INFO.%s.%s", stream, consumer);
    return nats__api(port, what, NULL, deadline_ns, ret_info, NULL, why);
}

marty_err nats__consumer_info(marty_port *port, const nats__source *source, json_t **ret_info,
                              marty_error *why)
{
    return info_of(port, source->channel->stream, source->consumer, nats__api_deadline(port),
                   ret_info, why);
}

marty_err nats__consumer_is_there(marty_port *port, const nats__source *source, marty_error *why)
{
    json_t *info = NULL;
    marty_err err = info_of(port, source->channel->stream, source->consumer,
                            nats__now_ns(port) + UNANSWERED_NS, &info, why);
    json_decref(info);
    return err;
}

/* That a consumer is gone is said by its leader alone: one that has none goes without a word. It is
 * looked for then, as asking twice could take away the one that is made after it. */
marty_err nats__consumer_remove(marty_port *port, const char *stream, const char *consumer,
                                marty_error *why)
{
    char what[2 * NATS__NAME_MAX + 32];
    marty_error ignored = {0};
    int64_t deadline_ns = nats__api_deadline(port);
    (void)snprintf(what, sizeof what, "CONSUMER.DELETE.%s.%s", stream, consumer);
    marty_err err =
        nats__api(port, what, NULL, nats__now_ns(port) + UNANSWERED_NS, NULL, NULL, why);
    while (err == MARTY_E_TIMEOUT && !atomic_load(&port->stop) &&
           nats__now_ns(port) < deadline_ns) {
        json_t *info = NULL;
        marty_err found = info_of(port, stream, consumer, deadline_ns, &info, &ignored);
        err = found == MARTY_E_NOT_FOUND ? MARTY_OK : err;
        json_decref(info);
        if (err) {
            nats__pause(port, LOOK_AGAIN_NS);
        }
    }
    return err;
}

/* ---- where it begins */

/* "7" or "3:7"; false: it is of another shard. Numbers count over all shards, so who reads all of
 * them begins there in each. */
static bool position_of(const nats__source *source, const char *position, uint64_t *ret_sequence)
{
    const char *at = position ? position : "";
    uint64_t first = nats__number(&at);
    if (*at == ':') {
        at++;
        *ret_sequence = nats__number(&at);
        return source->ephemeral || first == source->shard;
    }
    *ret_sequence = first;
    return source->channel->shards <= 1;
}

static void begin_at_sequence(json_t *config, uint64_t sequence)
{
    (void)json_object_set_new(config, "deliver_policy", json_string("by_start_sequence"));
    (void)json_object_set_new(config, "opt_start_seq",
                              json_integer((json_int_t)(sequence ? sequence : 1)));
}

static void begin_at_time(json_t *config, int64_t us)
{
    char text[48];
    time_t seconds = (time_t)(us / 1000000);
    struct tm parts;
    if (gmtime_r(&seconds, &parts)) {
        size_t size = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
        (void)snprintf(text + size, sizeof text - size, ".%06dZ", (int)(us % 1000000));
        (void)json_object_set_new(config, "deliver_policy", json_string("by_start_time"));
        (void)json_object_set_new(config, "opt_start_time", json_string(text));
    }
}

static void begin(json_t *config, const nats__subscription *subscription,
                  const nats__source *source)
{
    const nats__channel *channel = source->channel;
    bool all = channel->kind == MARTY_KIND_STREAM;
    uint64_t sequence = 0;
    marty_from from = subscription->start.from;
    if (channel->retry || channel->kind == MARTY_KIND_QUEUE || subscription->late) {
        from = MARTY_FROM_EARLIEST; /* what is there waits for this group */
    } else if (subscription->start.resume > 0 && subscription->instance) {
        begin_at_sequence(config, subscription->start.resume);
        return;
    }
    if (from == MARTY_FROM_POSITION &&
        position_of(source, subscription->start.position, &sequence)) {
        begin_at_sequence(config, sequence);
    } else if (from == MARTY_FROM_TIME) {
        begin_at_time(config, subscription->start.time_us);
    } else {
        all = from == MARTY_FROM_EARLIEST || (all && from == MARTY_FROM_GROUP);
        (void)json_object_set_new(config, "deliver_policy", json_string(all ? "all" : "new"));
    }
}

/* "New" is what each replica of a consumer finds to be new when it is made there, which may be
 * later than we were told that it is: if that one becomes the leader, what came in between is
 * skipped. So the place is named. */
static marty_err name_the_place(marty_port *port, const nats__source *source, json_t *config,
                                marty_error *why)
{
    const char *policy = json_string_value(json_object_get(config, "deliver_policy"));
    if (source->ephemeral || port->options.replicas < 2 || !policy || strcmp(policy, "new") != 0) {
        return MARTY_OK;
    }
    json_t *info = NULL;
    marty_err err = nats__stream_info(port, source->channel->stream, &info, why);
    if (!err) {
        json_t *last = json_object_get(json_object_get(info, "state"), "last_seq");
        begin_at_sequence(config, (uint64_t)json_integer_value(last) + 1);
    }
    json_decref(info);
    return err;
}

/* ---- what is wanted */

static void set_filters(json_t *config, json_t *filters)
{
    if (json_array_size(filters) == 1) {
        (void)json_object_set(config, "filter_subject", json_array_get(filters, 0));
    } else if (json_array_size(filters) > 1) {
        (void)json_object_set(config, "filter_subjects", filters);
    }
}

static json_t *wanted_consumer(marty_port *port, const nats__subscription *subscription,
                               const nats__source *source)
{
    json_t *config =
        json_pack("{s:s, s:I, s:i, s:s, s:i}", "ack_policy", "explicit", "ack_wait",
                  (json_int_t)source->lease_ms * 1000000, "max_deliver", -1, "replay_policy",
                  "instant", "max_ack_pending", (int)NATS__MAX_ACK_PENDING);
    json_t *filters = nats__filters(port, source);
    if (source->ephemeral) { /* gone by itself after a crash */
        uint64_t threshold_ms = source->lease_ms < 30000 ? 30000 : source->lease_ms;
        (void)json_object_set_new(config, "inactive_threshold",
                                  json_integer((json_int_t)threshold_ms * 1000000));
        (void)json_object_set_new(config, "num_replicas", json_integer(1));
        (void)json_object_set_new(config, "mem_storage", json_true());
    } else {
        (void)json_object_set_new(config, "durable_name", json_string(source->consumer));
    }
    set_filters(config, filters);
    begin(config, subscription, source);
    json_decref(filters);
    return config;
}

/* What one of 2.10 or later shall do that is there, in another way, is refused: EXISTS. Older ones
 * change it in any case, as if nothing was said. */
static marty_err create(marty_port *port, nats__source *source, json_t *config, const char *action,
                        json_t **ret_info, marty_error *why)
{
    char what[2 * NATS__NAME_MAX + 48];
    json_t *body =
        json_pack("{s:s, s:O}", "stream_name", source->channel->stream, "config", config);
    if (action) {
        (void)json_object_set_new(body, "action", json_string(action));
    }
    if (source->ephemeral) {
        (void)snprintf(what, sizeof what, "CONSUMER.CREATE.%s", source->channel->stream);
    } else {
        (void)snprintf(what, sizeof what, "CONSUMER.DURABLE.CREATE.%s.%s", source->channel->stream,
                       source->consumer);
    }
    marty_err err = nats__api(port, what, body, nats__api_deadline(port), ret_info, NULL, why);
    const char *name = json_string_value(json_object_get(*ret_info, "name"));
    if (!err && source->ephemeral && name) {
        (void)snprintf(source->consumer, sizeof source->consumer, "%s", name);
    }
    json_decref(body);
    return err;
}

marty_err nats__consumer_change(marty_port *port, nats__source *source, json_t *config,
                                marty_error *why)
{
    json_t *info = NULL;
    marty_err err = create(port, source, config, NULL, &info, why);
    json_decref(info);
    return err;
}

/* Others who start now may make it as well, with a lease and filters of their own. Where the server
 * lets the last one win, whoever was sooner looks again when the last one must have been. */
static marty_err make(marty_port *port, nats__source *source, json_t *config, json_t **ret_info,
                      marty_error *why)
{
    marty_err err = name_the_place(port, source, config, why);
    err = err ? err
              : create(port, source, config, source->ephemeral ? NULL : "create", ret_info, why);
    if (!err && !source->ephemeral && !nats__version_at_least(port, 2, 10)) {
        source->look_ns = nats__now_ns(port) + (int64_t)(NATS__CALL_MS + 500) * 1000000;
    }
    return err;
}

/* Somewhere else in the log. An instance that finds it gone meanwhile makes it as it wants. */
static marty_err make_anew(marty_port *port, nats__source *source, json_t *config,
                           json_t **ret_info, marty_error *why)
{
    marty_err err = MARTY_E_EXISTS;
    for (int i = 0; i < 5 && err == MARTY_E_EXISTS; i++) {
        err = nats__consumer_remove(port, source->channel->stream, source->consumer, why);
        err = err && err != MARTY_E_NOT_FOUND ? err : make(port, source, config, ret_info, why);
    }
    return err == MARTY_E_EXISTS ? MARTY_E_UNAVAILABLE : err; /* so core asks again */
}

/* ---- what was found */

static json_t *found_filters(json_t *config)
{
    json_t *several = json_object_get(config, "filter_subjects");
    json_t *one = json_object_get(config, "filter_subject");
    if (several) {
        return json_incref(several);
    }
    const char *text = json_string_value(one);
    return text && *text ? json_pack("[O]", one) : json_array();
}

static void compare(const nats__source *source, json_t *found, nats__report *report)
{
    char want[32], have[32];
    uint64_t lease_ms = nats__lease_of(found);
    const char *policy = json_string_value(json_object_get(found, "ack_policy"));
    json_int_t deliver = json_integer_value(json_object_get(found, "max_deliver"));
    if (source->shared && lease_ms != source->lease_ms) {
        (void)snprintf(want, sizeof want, "%llums (lease=)", (unsigned long long)source->lease_ms);
        (void)snprintf(have, sizeof have, "%llums", (unsigned long long)lease_ms);
        nats__difference_add(report, "ack_wait", want, have);
    }
    if (!policy || strcmp(policy, "explicit") != 0) {
        nats__difference_add(report, "ack_policy", "explicit", policy ? policy : "nothing");
    }
    if (deliver > 0 && deliver < 1000) {
        (void)snprintf(have, sizeof have, "%lld", (long long)deliver);
        nats__difference_add(report, "max_deliver", "-1", have);
    }
    if (json_object_get(found, "deliver_subject")) {
        nats__difference_add(report, "deliver_subject", "none (pull)",
                             json_string_value(json_object_get(found, "deliver_subject")));
    }
}

/* Two instances may widen at once, each without the other's: look again until both are in. */
static marty_err widen(marty_port *port, nats__source *source, json_t *config, json_t *wanted,
                       marty_error *why)
{
    marty_err err = MARTY_OK;
    json_t *current = json_incref(config);
    for (int i = 0; i < 3 && !err; i++) {
        json_t *info = NULL, *have = found_filters(current);
        if (nats__filters_cover(have, wanted)) {
            json_decref(have);
            break;
        }
        json_t *both = nats__filters_union(have, wanted, source->channel);
        json_t *changed = json_copy(current);
        (void)json_object_del(changed, "filter_subject");
        (void)json_object_del(changed, "filter_subjects");
        set_filters(changed, both);
        err = nats__consumer_change(port, source, changed, why);
        json_decref(changed);
        json_decref(both);
        json_decref(have);
        err = err ? err : nats__consumer_info(port, source, &info, why);
        json_decref(current);
        current = json_incref(json_object_get(info, "config"));
        json_decref(info);
    }
    json_decref(current);
    return err;
}

static marty_err check_filters(marty_port *port, nats__source *source, nats__topology mode,
                               json_t *wanted_config, json_t *config, nats__report *report,
                               marty_error *why)
{
    json_t *wanted = found_filters(wanted_config), *have = found_filters(config);
    marty_err err = MARTY_OK;
    if (!nats__filters_cover(have, wanted)) {
        if (mode == NATS__CREATE) {
            err = widen(port, source, config, wanted, why);
        } else {
            char *want = json_dumps(wanted, JSON_COMPACT), *got = json_dumps(have, JSON_COMPACT);
            nats__difference_add(report, "filter_subjects", want ? want : "?", got ? got : "?");
            free(want);
            free(got);
        }
    }
    json_decref(wanted);
    json_decref(have);
    return err;
}

static marty_err check(marty_port *port, nats__source *source, nats__topology mode, json_t *wanted,
                       json_t *config, nats__report *report, marty_error *why)
{
    char what[2 * NATS__NAME_MAX + 64];
    (void)snprintf(what, sizeof what, "consumer %s of stream %s", source->consumer,
                   source->channel->stream);
    compare(source, config, report);
    marty_err err = source->shared
                        ? MARTY_OK
                        : nats__lease_agree(port, source, source->lease_ms, mode, config, why);
    err = err ? err : check_filters(port, source, mode, wanted, config, report, why);
    return err ? err : nats__difference_error(report, what, why);
}

/* Who finds it gone again, as another one seeks meanwhile, asks again later. */
static marty_err find_or_make(marty_port *port, nats__source *source, json_t *config,
                              json_t **ret_info, bool *ret_made, marty_error *why)
{
    marty_err err =
        source->ephemeral ? MARTY_E_NOT_FOUND : nats__consumer_info(port, source, ret_info, why);
    if (err == MARTY_E_NOT_FOUND) {
        err = make(port, source, config, ret_info, why);
        *ret_made = !err;
    }
    if (err == MARTY_E_EXISTS) {
        err = nats__consumer_info(port, source, ret_info, why);
        err = err == MARTY_E_NOT_FOUND ? MARTY_E_UNAVAILABLE : err;
    }
    return err;
}

static marty_err find(marty_port *port, const nats__subscription *subscription,
                      nats__source *source, json_t **ret_info, marty_error *why)
{
    marty_err err = nats__consumer_info(port, source, ret_info, why);
    return err != MARTY_E_NOT_FOUND
               ? err
               : marty_error_set(why, MARTY_E_NOT_FOUND,
                                 "channel %s: group %s does not exist (consumer %s of stream %s); "
                                 "make it with: marty topology create",
                                 source->channel->name,
                                 subscription->group ? subscription->group : "?", source->consumer,
                                 source->channel->stream);
}

marty_err nats__consumer_ensure(marty_port *port, nats__subscription *subscription,
                                nats__source *source, nats__topology mode, bool reset,
                                nats__report *report, marty_error *why)
{
    nats__report own = {.created = false};
    json_t *info = NULL;
    bool made = false;
    report = report ? report : &own;
    if (mode == NATS__NONE && !source->ephemeral && !reset) {
        return MARTY_OK;
    }
    json_t *wanted = wanted_consumer(port, subscription, source);
    marty_err err;
    if (reset && !source->ephemeral) {
        err = make_anew(port, source, wanted, &info, why);
        made = !err;
    } else if (mode == NATS__CHECK && !source->ephemeral) {
        err = find(port, subscription, source, &info, why);
    } else {
        err = find_or_make(port, source, wanted, &info, &made, why);
    }
    report->created = report->created || made;
    json_t *config = json_object_get(info, "config");
    if (!err) {
        err = check(port, source, mode, wanted, config, report, why);
    }
    json_decref(wanted);
    json_decref(info);
    return err;
}

/* What was not settled lies behind what will be delivered next: make the consumer anew, so that it
 * comes first. */
static marty_err begin_again(marty_port *port, nats__subscription *subscription,
                             nats__source *source, uint64_t floor, marty_error *why)
{
    json_t *config = wanted_consumer(port, subscription, source);
    begin_at_sequence(config, floor);
    marty_err err = nats__consumer_change(port, source, config, why);
    json_decref(config);
    return err;
}

marty_err nats__consumer_rewind(marty_port *port, nats__subscription *subscription,
                                nats__source *source, uint64_t floor,
                                marty_err (*before_rewind)(void *user, uint64_t floor,
                                                           marty_error *why),
                                void *user, marty_error *why)
{
    json_t *info = NULL;
    marty_err err = nats__consumer_info(port, source, &info, why);
    if (err == MARTY_E_NOT_FOUND && floor > 0) {
        return begin_again(port, subscription, source, floor, why);
    }
    if (err) {
        return err;
    }
    json_t *acked = json_object_get(info, "ack_floor");
    json_int_t pending = json_integer_value(json_object_get(info, "num_ack_pending"));
    uint64_t next = (uint64_t)json_integer_value(json_object_get(acked, "stream_seq")) + 1;
    json_t *config = json_object_get(info, "config");
    uint64_t began = (uint64_t)json_integer_value(json_object_get(config, "opt_start_seq"));
    json_decref(info);
    if (pending == 0) {
        return MARTY_OK;
    }
    next = next > began ? next : began;
    err = before_rewind(user, next, why);
    err = err ? err : nats__consumer_remove(port, source->channel->stream, source->consumer, why);
    err = err == MARTY_E_NOT_FOUND ? MARTY_OK : err;
    return err ? err : begin_again(port, subscription, source, next, why);
}
