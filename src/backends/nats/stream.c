/* SPDX-License-Identifier: Apache-2.0
 * Streams: what each kind of channel asks of the server, and what it got. Never altered, never
 * removed: a difference is an error that names field, wanted and found. Old servers drop fields
 * that they do not know without a word, so what they return is what counts. Blocking. */
#include "parts.h"

#include "thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t second_ns = 1000000000, taken_look_ns = 20000000,
                     few_servers_look_ns = 100000000;
enum { FEW_SERVERS = 10005 };

bool nats__version_at_least(marty_port *port, unsigned major, unsigned minor)
{
    char version[sizeof port->version];
    pthread_mutex_lock(&port->lock);
    memcpy(version, port->version, sizeof version);
    pthread_mutex_unlock(&port->lock);
    const char *at = version;
    uint64_t have_major = nats__number(&at);
    at += *at == '.';
    uint64_t have_minor = nats__number(&at);
    return have_major > major || (have_major == major && have_minor >= minor);
}

void nats__difference_add(nats__report *report, const char *field, const char *wanted,
                          const char *found)
{
    if (report->count < sizeof report->differences / sizeof report->differences[0]) {
        nats__difference *at = &report->differences[report->count++];
        (void)snprintf(at->field, sizeof at->field, "%s", field);
        (void)snprintf(at->wanted, sizeof at->wanted, "%s", wanted);
        (void)snprintf(at->found, sizeof at->found, "%s", found);
    }
}

marty_err nats__difference_error(const nats__report *report, const char *what, marty_error *why)
{
    if (report->count == 0) {
        return MARTY_OK;
    }
    const nats__difference *first = &report->differences[0];
    return marty_error_set(why, MARTY_E_EXISTS,
                           "%s exists and is different: %s: wanted %s, found %s; change the "
                           "configuration, or the object with the nats program",
                           what, first->field, first->wanted, first->found);
}

/* ---- what is wanted */

static void add_subject(json_t *subjects, const char *format, const char *base)
{
    char subject[NATS__SUBJECT_MAX + 16];
    (void)snprintf(subject, sizeof subject, "%s%s", base, format);
    (void)json_array_append_new(subjects, json_string(subject));
}

bool nats__refuses_when_full(const nats__options *options)
{
    return options->retention_bytes > 0 && !options->trim_hard;
}

static bool can_schedule(const marty_port *port, const nats__channel *channel)
{
    bool full = nats__refuses_when_full(&port->options) && channel->kind != MARTY_KIND_QUEUE;
    return port->api_level >= NATS__LEVEL_SCHEDULE && !channel->retry && !channel->bare &&
           channel->kind != MARTY_KIND_DEAD && !full;
}

static json_t *wanted_subjects(const marty_port *port, const nats__channel *channel)
{
    json_t *subjects = json_array();
    bool alone = channel->retry || channel->bare || channel->kind == MARTY_KIND_DEAD;
    if (alone || channel->kind != MARTY_KIND_STREAM) {
        add_subject(subjects, "", channel->subject);
    }
    if (!alone) {
        add_subject(subjects, ".>", channel->subject);
    }
    if (can_schedule(port, channel)) {
        add_subject(subjects, ".>", channel->schedule);
    }
    return subjects;
}

/* What cannot be seen in a stream is written in its description: shards and order. */
static bool is_ordered(const nats__channel *channel)
{
    return channel->order == MARTY_ORDER_KEY &&
           (channel->kind == MARTY_KIND_TOPIC || channel->kind == MARTY_KIND_QUEUE ||
            channel->kind == MARTY_KIND_STREAM) &&
           !channel->retry;
}

static json_t *wanted_stream(const marty_port *port, const nats__channel *channel)
{
    const nats__options *options = &port->options;
    bool work = channel->kind == MARTY_KIND_QUEUE || channel->retry;
    bool dead = channel->kind == MARTY_KIND_DEAD;
    int64_t age_ns = work   ? 0
                     : dead ? 14 * 86400 * second_ns
                            : (int64_t)options->retention_ms * 1000000;
    int64_t window_ns = (int64_t)options->dedup_ms * 1000000;
    bool limited = !work && !dead && options->retention_bytes > 0;
    char description[64];
    (void)snprintf(description, sizeof description, "marty: %u shard%s%s", channel->shards,
                   channel->shards == 1 ? "" : "s", is_ordered(channel) ? ", order by key" : "");
    json_t *wanted = json_pack(
        "{s:s, s:s, s:o, s:s, s:s, s:i, s:s, s:I, s:I, s:I, s:b}", "name", channel->stream,
        "description", description, "subjects", wanted_subjects(port, channel), "retention",
        work ? "workqueue" : "limits", "storage", options->memory ? "memory" : "file",
        "num_replicas", (int)options->replicas, "discard",
        limited && !options->trim_hard ? "new" : "old", "max_age", (json_int_t)age_ns, "max_bytes",
        (json_int_t)(limited ? (int64_t)options->retention_bytes : -1), "duplicate_window",
        (json_int_t)(age_ns > 0 && age_ns < window_ns ? age_ns : window_ns), "allow_direct", 1);
    if (wanted && port->api_level >= NATS__LEVEL_TTL) {
        (void)json_object_set_new(wanted, "allow_msg_ttl", json_true());
    }
    if (wanted && can_schedule(port, channel)) {
        (void)json_object_set_new(wanted, "allow_msg_schedules", json_true());
    }
    return wanted;
}

/* ---- what was found */

static bool has_text(json_t *array, const char *text)
{
    size_t index;
    json_t *value;
    json_array_foreach(array, index, value)
    {
        const char *have = json_string_value(value);
        if (have && strcmp(have, text) == 0) {
            return true;
        }
    }
    return false;
}

static void compare_subjects(const nats__channel *channel, json_t *wanted, json_t *found,
                             nats__report *report)
{
    size_t index;
    json_t *value;
    json_array_foreach(wanted, index, value)
    {
        const char *subject = json_string_value(value);
        bool optional = strncmp(subject, channel->schedule, strlen(channel->schedule)) == 0;
        if (!optional && !has_text(found, subject)) {
            char *list = found ? json_dumps(found, JSON_COMPACT) : NULL;
            nats__difference_add(report, "subjects", subject, list ? list : "none");
            free(list);
            return;
        }
    }
}

/* A field that is left out counts as its zero. */
static void compare_value(const char *field, json_t *wanted, json_t *found, nats__report *report)
{
    char want[64], have[64];
    if (json_is_string(wanted)) {
        const char *text = json_string_value(found);
        if (!text || strcmp(text, json_string_value(wanted)) != 0) {
            nats__difference_add(report, field, json_string_value(wanted), text ? text : "nothing");
        }
        return;
    }
    json_int_t number = json_integer_value(found), asked = json_integer_value(wanted);
    if (number == asked || (asked < 0 && number <= 0)) {
        return;
    }
    bool time = strcmp(field, "max_age") == 0 || strcmp(field, "duplicate_window") == 0 ||
                strcmp(field, "ack_wait") == 0;
    (void)snprintf(want, sizeof want, "%lld%s", (long long)(time ? asked / 1000000 : asked),
                   time ? "ms" : "");
    (void)snprintf(have, sizeof have, "%lld%s", (long long)(time ? number / 1000000 : number),
                   time ? "ms" : "");
    nats__difference_add(report, field, want, have);
}

static void compare_order(const nats__channel *channel, json_t *config, nats__report *report)
{
    const char *text = json_string_value(json_object_get(config, "description"));
    bool stated = text && strncmp(text, "marty: ", 7) == 0;
    bool found = stated && strstr(text, "order by key") != NULL;
    if (stated && channel->order != MARTY_ORDER_DEFAULT && found != is_ordered(channel)) {
        nats__difference_add(report, "order", found ? "none" : "key", found ? "key" : "none");
    }
}

static uint32_t found_shards(json_t *config)
{
    const char *text = json_string_value(json_object_get(config, "description"));
    if (!text || strncmp(text, "marty: ", 7) != 0) {
        return 0;
    }
    text += 7;
    return (uint32_t)nats__number(&text);
}

static void compare(const nats__channel *channel, json_t *wanted, json_t *found,
                    nats__report *report)
{
    static const char *const fields[] = {"retention", "storage",   "num_replicas",
                                         "max_age",   "max_bytes", "duplicate_window"};
    compare_subjects(channel, json_object_get(wanted, "subjects"),
                     json_object_get(found, "subjects"), report);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        compare_value(fields[i], json_object_get(wanted, fields[i]),
                      json_object_get(found, fields[i]), report);
    }
    compare_order(channel, found, report);
    uint32_t shards = found_shards(found);
    if (channel->kind == MARTY_KIND_STREAM && shards && shards != channel->shards &&
        (channel->shards_given || (shards == 1) != (channel->shards == 1))) {
        char want[16], have[16];
        (void)snprintf(want, sizeof want, "%u", channel->shards);
        (void)snprintf(have, sizeof have, "%u", shards);
        nats__difference_add(report, "shards", want, have);
    }
}

/* What the channel can do, by the configuration that the server returned. */
static void take(marty_port *port, nats__channel *channel, json_t *config)
{
    const char *storage = json_string_value(json_object_get(config, "storage"));
    json_int_t replicas = json_integer_value(json_object_get(config, "num_replicas"));
    const char *subject = json_string_value(json_array_get(json_object_get(config, "subjects"), 0));
    bool memory = storage && strcmp(storage, "memory") == 0;
    pthread_mutex_lock(&port->lock);
    channel->copies = replicas > 0 ? (uint32_t)replicas : 1;
    channel->level = memory          ? MARTY_LEVEL_MEMORY
                     : replicas >= 3 ? MARTY_LEVEL_REPLICATED
                                     : MARTY_LEVEL_WRITTEN;
    if (port->options.stated && !memory) {
        channel->level = port->options.level;
    }
    channel->ttl = json_is_true(json_object_get(config, "allow_msg_ttl"));
    channel->schedules = json_is_true(json_object_get(config, "allow_msg_schedules"));
    if (channel->kind == MARTY_KIND_STREAM && channel->shards > 1 && found_shards(config) > 1) {
        channel->shards = found_shards(config);
    }
    if (channel->native && subject && !channel->native_subject) {
        channel->native_subject = marty_alloc(strlen(subject) + 1);
        if (channel->native_subject) {
            memcpy(channel->native_subject, subject, strlen(subject) + 1);
        }
    }
    channel->assumed = false;
    pthread_mutex_unlock(&port->lock);
}

marty_err nats__stream_info(marty_port *port, const char *stream, json_t **ret_info,
                            marty_error *why)
{
    char what[NATS__NAME_MAX + 32];
    (void)snprintf(what, sizeof what, "STREAM.INFO.%s", stream);
    int64_t asked_ns = nats__now_ns(port);
    marty_err err = nats__api(port, what, NULL, nats__api_deadline(port), ret_info, NULL, why);
    nats__clock_note(port, json_string_value(json_object_get(*ret_info, "ts")), asked_ns);
    return err;
}

static void rest(marty_port *port, int64_t time_ns)
{
    int64_t until_ns = nats__now_ns(port) + time_ns;
    pthread_mutex_lock(&port->lock);
    while (port->life == NATS__UP && nats__wait_locked(port, &port->changed, until_ns)) {
    }
    pthread_mutex_unlock(&port->lock);
}

/* A cluster that has just started, or has lost a server, refuses as long as it counts too few
 * servers for the replicas. */
static marty_err create(marty_port *port, const char *stream, json_t *wanted, json_t **ret_answer,
                        marty_error *why)
{
    char what[NATS__NAME_MAX + 32];
    int64_t deadline_ns = nats__api_deadline(port), asked_ns = nats__now_ns(port);
    int code = 0;
    (void)snprintf(what, sizeof what, "STREAM.CREATE.%s", stream);
    marty_err err = nats__api(port, what, wanted, deadline_ns, ret_answer, &code, why);
    while (code == FEW_SERVERS && nats__now_ns(port) + few_servers_look_ns < deadline_ns) {
        rest(port, few_servers_look_ns);
        asked_ns = nats__now_ns(port);
        err = nats__api(port, what, wanted, deadline_ns, ret_answer, &code, why);
    }
    nats__clock_note(port, json_string_value(json_object_get(*ret_answer, "ts")), asked_ns);
    return err;
}

static marty_err assume(marty_port *port, nats__channel *channel)
{
    pthread_mutex_lock(&port->lock);
    channel->ready = NATS__READY;
    channel->assumed = true;
    channel->level = port->options.stated ? port->options.level : MARTY_LEVEL_MEMORY;
    pthread_mutex_unlock(&port->lock);
    return MARTY_OK;
}

/* Found or made; EXISTS at making means that somebody else was faster. */
static marty_err find_or_make(marty_port *port, nats__channel *channel, nats__topology mode,
                              json_t *wanted, json_t **ret_info, nats__report *report,
                              marty_error *why)
{
    marty_err err = nats__stream_info(port, channel->stream, ret_info, why);
    if (err != MARTY_E_NOT_FOUND) {
        return err;
    }
    if (mode != NATS__CREATE) {
        return marty_error_set(why, MARTY_E_NOT_FOUND,
                               "channel %s: stream %s does not exist; make it with: marty topology "
                               "create",
                               channel->name, channel->stream);
    }
    err = create(port, channel->stream, wanted, ret_info, why);
    report->created = err == MARTY_OK;
    if (err == MARTY_E_EXISTS) {
        marty_error again = {0};
        if (nats__stream_info(port, channel->stream, ret_info, &again) == MARTY_OK) {
            return MARTY_OK;
        }
    }
    return err;
}

/* In a cluster a stream is there before every server knows that it takes its subjects: what is
 * published meanwhile finds nobody. It is asked with what no stream takes, until one says no. */
static marty_err wait_until_taken(marty_port *port, const nats__channel *channel, marty_error *why)
{
    char subject[NATS__SUBJECT_MAX + 8];
    bool words = channel->kind == MARTY_KIND_STREAM && !channel->retry && !channel->bare;
    int64_t deadline_ns = nats__api_deadline(port);
    marty_err err = MARTY_E_NO_RESPONDER;
    (void)snprintf(subject, sizeof subject, "%s%s", channel->subject, words ? ".0" : "");
    while (err == MARTY_E_NO_RESPONDER && nats__now_ns(port) < deadline_ns) {
        nats__message *answer = NULL;
        err = nats__ask(port, subject, marty_text("Nats-Expected-Stream: _none\r\n"),
                        (marty_bytes){NULL, 0}, deadline_ns, &answer, why);
        marty_free(answer);
        if (err == MARTY_E_NO_RESPONDER) {
            rest(port, taken_look_ns);
        }
    }
    err = err == MARTY_E_DENIED ? MARTY_OK : err; /* who may not publish need not wait for it */
    return err == MARTY_E_NO_RESPONDER ? MARTY_E_UNAVAILABLE : err;
}

/* From now on it is published to without asking. */
static marty_err make_ready(marty_port *port, nats__channel *channel, marty_error *why)
{
    pthread_mutex_lock(&port->lock);
    bool ask = channel->ready != NATS__READY && channel->copies > 1 && !channel->native;
    pthread_mutex_unlock(&port->lock);
    marty_err err = ask ? wait_until_taken(port, channel, why) : MARTY_OK;
    if (!err) {
        pthread_mutex_lock(&port->lock);
        channel->ready = NATS__READY;
        pthread_mutex_unlock(&port->lock);
    }
    return err;
}

marty_err nats__stream_ensure(marty_port *port, nats__channel *channel, nats__topology mode,
                              nats__report *report, marty_error *why)
{
    nats__report own = {.created = false};
    json_t *info = NULL;
    report = report ? report : &own;
    if (channel->core) {
        return MARTY_OK;
    }
    if (mode == NATS__NONE) {
        return assume(port, channel);
    }
    json_t *wanted = wanted_stream(port, channel);
    marty_err err = wanted ? find_or_make(port, channel, mode, wanted, &info, report, why)
                           : marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory");
    json_t *config = json_object_get(info, "config");
    if (!err && (!channel->native || report->created)) {
        char what[NATS__NAME_MAX + 320];
        (void)snprintf(what, sizeof what, "channel %s: stream %s", channel->name, channel->stream);
        compare(channel, wanted, config, report);
        err = nats__difference_error(report, what, why);
    }
    if (!err) {
        take(port, channel, config);
        err = make_ready(port, channel, why);
    }
    json_decref(info);
    json_decref(wanted);
    return err;
}

marty_err nats__bucket_ensure(marty_port *port, marty_error *why)
{
    json_t *info = NULL;
    marty_err err = nats__stream_info(port, "KV_marty", &info, why);
    if (err == MARTY_E_NOT_FOUND && port->options.topology == NATS__CREATE) {
        json_t *wanted = json_pack(
            "{s:s, s:s, s:[s], s:s, s:s, s:i, s:s, s:i, s:b, s:b, s:b}", "name", "KV_marty",
            "description", "marty: leases of shards", "subjects", "$KV.marty.>", "retention",
            "limits", "storage", port->options.memory ? "memory" : "file", "num_replicas",
            (int)port->options.replicas, "discard", "new", "max_msgs_per_subject", 1,
            "allow_rollup_hdrs", 1, "deny_delete", 1, "allow_direct", 1);
        err = create(port, "KV_marty", wanted, &info, why);
        err = err == MARTY_E_EXISTS ? MARTY_OK : err;
        json_decref(wanted);
    }
    json_decref(info);
    return err;
}
