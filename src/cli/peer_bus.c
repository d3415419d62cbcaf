/* SPDX-License-Identifier: Apache-2.0
 * The bus itself and what lies on its brokers: open, close, start, flush, report, topology,
 * unschedule, dead_letters, cancel, version. */
#include "peer.h"

#include <inttypes.h>
#include <marty/adapter.h>

static const char *state_word(marty_state state)
{
    static const char *const words[] = {
        [MARTY_STATE_UP] = "up",           [MARTY_STATE_DOWN] = "down",
        [MARTY_STATE_BLOCKED] = "blocked", [MARTY_STATE_STALLED] = "stalled",
        [MARTY_STATE_ROOM] = "room",       [MARTY_STATE_DRAINING] = "draining",
        [MARTY_STATE_CLOSED] = "closed",   [MARTY_STATE_SUBSCRIBED] = "subscribed",
        [MARTY_STATE_REFUSED] = "refused", [MARTY_STATE_ASSIGNED] = "assigned",
        [MARTY_STATE_REVOKED] = "revoked"};
    size_t at = (size_t)state;
    return at < sizeof words / sizeof words[0] && words[at] ? words[at] : "unknown";
}

static void field(cli_text *line, const char *name, const char *value)
{
    if (value && value[0]) {
        cli_text_format(line, ",\"%s\":", name);
        cli_text_json(line, value, strlen(value));
    }
}

static void on_state(void *user, const marty_state_event *event)
{
    peer_bus *bus = user;
    cli_text line = {0};
    size_t i;
    if (!bus->states) {
        return;
    }
    cli_text_format(&line, "{\"event\":\"state\",\"bus\":\"b%" PRIu64 "\",\"state\":\"%s\"",
                    bus->item.number, state_word(event->state));
    field(&line, "reason", event->reason ? marty_err_describe(event->reason)->name : NULL);
    field(&line, "backend", event->backend);
    field(&line, "channel", event->channel);
    field(&line, "text", event->text);
    if (event->shard_count) {
        cli_text_put(&line, ",\"shards\":[");
        for (i = 0; i < event->shard_count; i++) {
            cli_text_format(&line, "%s%u", i ? "," : "", event->shards[i]);
        }
        cli_text_put(&line, "]");
    }
    cli_text_put(&line, "}");
    peer_line(bus->peer, &line);
    cli_text_free(&line);
}

static void on_log(void *user, int level, const char *text)
{
    peer_bus *bus = user;
    cli_text line = {0};
    if (!bus->log) {
        return;
    }
    cli_text_format(&line, "{\"event\":\"log\",\"bus\":\"b%" PRIu64 "\",\"level\":%d",
                    bus->item.number, level);
    field(&line, "text", text);
    cli_text_put(&line, "}");
    peer_line(bus->peer, &line);
    cli_text_free(&line);
}

marty_err peer_op_open(peer *self, marty_error *why)
{
    peer_bus *made = cli_alloc(sizeof *made);
    marty_bus_options options = {.service = peer_text(self, "service"),
                                 .instance = peer_text(self, "instance"),
                                 .source = peer_text(self, "source"),
                                 .config_text = peer_text(self, "config_text"),
                                 .lazy = peer_true(self, "lazy"),
                                 .workers = peer_small(self, "workers"),
                                 .timeout_ms = peer_ms(self, "timeout_ms"),
                                 .drain_ms = peer_ms(self, "drain_ms"),
                                 .inflight_max = peer_small(self, "inflight_max"),
                                 .on_state = on_state,
                                 .on_log = on_log,
                                 .user = made};
    json_t *number;
    marty_err err;
    made->peer = self;
    made->exact = peer_true(self, "exact");
    made->states = peer_true(self, "states");
    made->log = peer_true(self, "log");
    (void)peer_add(self, &self->buses, &made->item); /* its number is in the events */
    err = marty_bus_open(&made->bus, peer_text(self, "where"), &options, why);
    if (err) {
        number = json_integer((json_int_t)made->item.number);
        (void)peer_get(self, &self->buses, number, true);
        json_decref(number);
        marty_free(made);
        return err;
    }
    cli_text_format(&self->answer, ",\"bus\":\"b%" PRIu64 "\"", made->item.number);
    return MARTY_OK;
}

marty_err peer_op_close(peer *self, marty_error *why)
{
    peer_bus *bus = NULL;
    json_t *number;
    marty_err err = peer_bus_of(self, &bus, why);
    if (err) {
        return err;
    }
    number = json_integer((json_int_t)bus->item.number);
    (void)peer_get(self, &self->buses, number, true);
    json_decref(number);
    (void)pthread_mutex_lock(&self->tables);
    bus->closing = true; /* what handlers that run still bring goes back at once */
    (void)pthread_mutex_unlock(&self->tables);
    peer_deliveries_drop(self, bus);
    peer_subscriptions_drop(self, bus);
    err = marty_bus_close(bus->bus, peer_ms(self, "timeout_ms"), why);
    marty_bus_free(bus->bus);
    if (err == MARTY_OK) {
        marty_free(bus);
    } else {
        self->outlived = true; /* a callback may still run: both live as long as the process */
    }
    return err;
}

marty_err peer_op_start(peer *self, marty_error *why)
{
    peer_bus *bus = NULL;
    marty_err err = peer_bus_of(self, &bus, why);
    return err ? err : marty_bus_start(bus->bus, why);
}

marty_err peer_op_flush(peer *self, marty_error *why)
{
    peer_bus *bus = NULL;
    marty_err err = peer_bus_of(self, &bus, why);
    return err ? err : marty_bus_flush(bus->bus, peer_ms(self, "timeout_ms"), why);
}

static void report_answer(peer *self, marty_message *report)
{
    cli_text_put(&self->answer, ",\"report\":");
    if (!cli_text_json_value(&self->answer, report->data.data, report->data.size)) {
        cli_text_put(&self->answer, "null");
    }
    marty_message_unref(report);
}

marty_err peer_op_report(peer *self, marty_error *why)
{
    static const char *const words[] = {[MARTY_REPORT_HEALTH] = "health",
                                        [MARTY_REPORT_BACKENDS] = "backends",
                                        [MARTY_REPORT_SUBSCRIPTIONS] = "subscriptions",
                                        [MARTY_REPORT_CHANNELS] = "channels",
                                        [MARTY_REPORT_METRICS] = "metrics",
                                        [MARTY_REPORT_CONFIG] = "config"};
    const char *word = peer_text(self, "report");
    marty_message *report = NULL;
    peer_bus *bus = NULL;
    marty_err err = peer_bus_of(self, &bus, why);
    size_t what;
    for (what = MARTY_REPORT_HEALTH; word && what < sizeof words / sizeof words[0]; what++) {
        if (strcmp(word, words[what]) == 0) {
            err = err ? err : marty_bus_report(bus->bus, (marty_report)what, &report, why);
            if (!err) {
                report_answer(self, report);
            }
            return err;
        }
    }
    return err ? err
               : marty_error_set(why, MARTY_E_ARGUMENT,
                                 "report: one of health, backends, subscriptions, channels, "
                                 "metrics, config was expected");
}

marty_err peer_op_topology(peer *self, marty_error *why)
{
    marty_message *report = NULL;
    peer_bus *bus = NULL;
    const char *verb = peer_text(self, "verb");
    marty_err err = peer_bus_of(self, &bus, why);
    if (!err && !verb) {
        err = marty_error_set(why, MARTY_E_ARGUMENT, "verb: it is missing");
    }
    err = err ? err
              : marty_topology(bus->bus, verb, peer_text(self, "channel"), peer_true(self, "force"),
                               &report, why);
    if (!err) {
        report_answer(self, report);
    }
    return err;
}

marty_err peer_op_unschedule(peer *self, marty_error *why)
{
    marty_pattern pattern = MARTY_EVENT;
    peer_bus *bus = NULL;
    const char *type = peer_text(self, "type"), *id = peer_text(self, "message_id");
    marty_err err = peer_bus_of(self, &bus, why);
    err = err ? err : peer_pattern_of(self, MARTY_EVENT, &pattern, why);
    if (!err && (!type || !id)) {
        err = marty_error_set(why, MARTY_E_ARGUMENT, "%s: it is missing",
                              type ? "message_id" : "type");
    }
    return err ? err : marty_unschedule(bus->bus, pattern, peer_text(self, "to"), type, id, why);
}

typedef struct walking {
    peer *self;
    const peer_bus *bus;
    marty_dead_verb verb;
    const char *only; /* id of the one message that is meant, or NULL */
    uint64_t count;
} walking;

static marty_dead_verb on_letter(void *user, const marty_dead_letter *letter,
                                 marty_message *instead)
{
    walking *state = user;
    cli_text *text = &state->self->answer;
    (void)instead;
    if (state->only && (!letter->message || strcmp(letter->message->id, state->only) != 0)) {
        return MARTY_DEAD_LEAVE;
    }
    cli_text_format(text, "%s{\"attempts\":%u,\"replays\":%u", state->count++ ? "," : "",
                    letter->attempts, letter->replays);
    field(text, "channel", letter->channel);
    field(text, "group", letter->group);
    field(text, "backend", letter->backend);
    field(text, "dead_channel", letter->dead_channel);
    field(text, "position", letter->position);
    field(text, "cause", letter->cause);
    field(text, "to", letter->to);
    field(text, "code", letter->code ? marty_err_describe(letter->code)->name : NULL);
    if (letter->message) {
        cli_text_put(text, ",\"message\":");
        cli_message_json(text, letter->message, NULL, state->bus->exact);
    } else {
        cli_text_put(text, ",\"raw_base64\":\"");
        cli_text_base64(text, letter->raw.data, letter->raw.size);
        cli_text_put(text, "\"");
    }
    cli_text_put(text, "}");
    return state->verb;
}

marty_err peer_op_dead_letters(peer *self, marty_error *why)
{
    const char *verb = peer_text(self, "verb"), *channel = peer_text(self, "channel");
    walking state = {.self = self, .verb = MARTY_DEAD_LEAVE, .only = peer_text(self, "only")};
    peer_bus *bus = NULL;
    marty_err err = peer_bus_of(self, &bus, why);
    state.bus = bus;
    if (verb && strcmp(verb, "replay") == 0) {
        state.verb = peer_true(self, "force") ? MARTY_DEAD_REPLAY_FORCED : MARTY_DEAD_REPLAY;
    } else if (verb && strcmp(verb, "discard") == 0) {
        state.verb = MARTY_DEAD_DISCARD;
    } else if (!err && verb && strcmp(verb, "list") != 0) {
        err = marty_error_set(why, MARTY_E_ARGUMENT,
                              "verb: one of list, replay, discard was expected");
    }
    cli_text_put(&self->answer, ",\"letters\":[");
    err = err ? err
              : marty_dead_letters(bus->bus, channel ? channel : "*", NULL, on_letter, &state, why);
    cli_text_put(&self->answer, "]");
    return err;
}

marty_err peer_op_cancel(peer *self, marty_error *why)
{
    const char *name = peer_text(self, "cancel");
    peer_bus *bus = NULL;
    marty_err err = peer_bus_of(self, &bus, why);
    if (!err && !name) {
        err = marty_error_set(why, MARTY_E_ARGUMENT, "cancel: it is missing");
    }
    if (!err) {
        cli_text_format(&self->answer, ",\"cancelled\":%zu",
                        marty_bus_cancel(bus->bus, peer_cancel_key(self, name)));
    }
    return err;
}

marty_err peer_op_version(peer *self, marty_error *why)
{
    (void)why;
    cli_text_format(&self->answer, ",\"version\":\"%s\",\"protocol\":1", marty_version());
    return MARTY_OK;
}
