/* SPDX-License-Identifier: Apache-2.0
 * What pub, send, broadcast and stream publish share: one message, the same one many times, or one
 * from each line of stdin; batches of what is there already; one result for each message. */
#include "message.h"
#include "session.h"

#include <marty/adapter.h>

enum { BATCH_MAX = 256 };
typedef struct publishing {
    cli_run *cli;
    marty_bus *bus;
    marty_pattern pattern;
    const char *to, *type;
    cli_template base;
    marty_publish_options options;
    uint64_t stored, failed;
    int first_code; /* of the first that failed */
    bool one;       /* a single message: shown as one line */
} publishing;

static const cli_column columns[] = {{"ID", "id", false},
                                     {"OUTCOME", "outcome", false},
                                     {"LEVEL", "level", false},
                                     {"BACKEND", "backend", false},
                                     {"CHANNEL", "channel", false},
                                     {"POSITION", "position", false},
                                     {"MS", "ms", true}};

static int options_make(publishing *state)
{
    const cli_run *cli = state->cli;
    marty_publish_options *options = &state->options;
    uint64_t in_ms = cli_number(cli, "in", 0), ttl_ms = cli_number(cli, "ttl", 0);
    const char *at = cli_string(cli, "at", NULL), *level = cli_string(cli, "level", NULL);
    if (at && in_ms) {
        return cli_usage(cli, "--in and --at: give one of them");
    }
    if (at && !cli_time_parse(&options->deliver_at_us, at)) {
        return cli_usage(cli, "--at: \"%s\" is not a time such as 2026-11-01T10:00 or 10:30", at);
    }
    if (in_ms > UINT32_MAX) {
        options->deliver_at_us = cli_wall_us() + (int64_t)in_ms * 1000;
    } else {
        options->deliver_in_ms = (uint32_t)in_ms;
    }
    if (ttl_ms > UINT32_MAX) {
        state->base.message.expires_us = cli_wall_us() + (int64_t)ttl_ms * 1000;
    } else {
        options->expires_in_ms = (uint32_t)ttl_ms;
    }
    if (level) {
        marty_level known;
        for (known = MARTY_LEVEL_MEMORY; known < MARTY_LEVEL_REPLICATED; known++) {
            if (strcmp(cli_level_name(known), level) == 0) {
                break;
            }
        }
        options->level = known;
    }
    options->timeout_ms = cli_timeout(cli, "timeout", 0);
    return CLI_OK;
}

/* A broadcast is kept nowhere: who listens has it. */
static const char *outcome_name(marty_pattern pattern, marty_err err)
{
    bool sent = pattern == MARTY_BROADCAST, maybe = err == MARTY_E_MAYBE_STORED;
    return !err    ? sent ? "sent" : "stored"
           : maybe ? sent ? "maybe sent" : "maybe stored"
           : sent  ? "not sent"
                   : "not stored";
}

/* "stored (written)  nats  events.order  42  0.4 ms" */
static void show_line(const publishing *state, const marty_outcome *outcome, double ms)
{
    cli_run *cli = state->cli;
    cli_text text = {0};
    cli_text_colour(cli, &text, "32", outcome_name(state->pattern, MARTY_OK));
    if (state->pattern != MARTY_BROADCAST) {
        cli_text_format(&text, " (%s)", cli_level_name(outcome->level));
    }
    cli_text_format(&text, "  %s  %s", outcome->backend ? outcome->backend : "-",
                    outcome->channel ? outcome->channel : "-");
    if (outcome->position[0]) {
        cli_text_format(&text, "  seq %s", outcome->position);
    }
    cli_text_format(&text, "  %.1f ms", ms);
    (void)cli_line(cli, text.data, text.size);
    cli_text_free(&text);
}

static void show(publishing *state, const marty_outcome *outcome, double ms)
{
    cli_run *cli = state->cli;
    json_t *row;
    if (cli->out.format == CLI_TABLE && outcome->err == MARTY_OK) {
        if (state->one) {
            show_line(state, outcome, ms);
        }
        return; /* of many only what failed is shown */
    }
    if (cli->out.format == CLI_TABLE && state->one) {
        return; /* the error says it */
    }
    row = json_pack(
        "{s:s*, s:s, s:s*, s:s*, s:s*, s:s*, s:f}", "id", outcome->id[0] ? outcome->id : NULL,
        "outcome", outcome_name(state->pattern, outcome->err), "level",
        outcome->err || state->pattern == MARTY_BROADCAST ? NULL : cli_level_name(outcome->level),
        "backend", outcome->backend, "channel", outcome->channel, "position",
        outcome->position[0] ? outcome->position : NULL, "ms", ms);
    if (outcome->err) {
        (void)json_object_set_new(row, "error",
                                  json_string(marty_err_describe(outcome->err)->name));
    }
    cli_row(cli, row);
}

static void flush(publishing *state, const marty_message *const messages[], size_t count)
{
    marty_outcome outcomes[BATCH_MAX];
    marty_error why = {0};
    int64_t begin = cli_monotonic_ns(), hundredths;
    marty_err err;
    double ms;
    size_t i;
    memset(outcomes, 0, sizeof outcomes);
    state->options.outcomes = outcomes;
    err = marty_publish(state->bus, state->pattern, state->to, messages, count, &state->options,
                        &why);
    hundredths = (cli_monotonic_ns() - begin) / 10000;
    ms = (double)hundredths / 100;
    for (i = 0; i < count; i++) {
        bool refused = err && !outcomes[i].err && !outcomes[i].id[0]; /* not accepted at all */
        if (refused) {
            outcomes[i].err = err;
            (void)snprintf(outcomes[i].id, sizeof outcomes[i].id, "%s",
                           messages[i]->id ? messages[i]->id : "");
        }
        state->stored += !outcomes[i].err;
        state->failed += outcomes[i].err != MARTY_OK;
        show(state, &outcomes[i], ms);
    }
    if (err && !state->first_code) {
        state->first_code = cli_fail(state->cli, err, &why);
        if (err == MARTY_E_MAYBE_STORED && state->one && outcomes[0].id[0]) {
            cli_next(state->cli, "publish it again under its id: --id %s", outcomes[0].id);
        }
    }
    cli_flush(state->cli); /* who feeds lines may wait for their outcomes */
    cli_progress(state->cli, "%llu published", (unsigned long long)state->stored);
}

static int publish_lines(publishing *state)
{
    cli_lines lines = {0};
    cli_template templates[BATCH_MAX];
    const marty_message *messages[BATCH_MAX];
    char *copies[BATCH_MAX];
    cli_next_line next = CLI_LINE;
    size_t count = 0, i;
    while (next != CLI_LINE_END) {
        const char *line = NULL;
        size_t size = 0;
        next = cli_lines_next(&lines, &line, &size, count == 0);
        if (next == CLI_LINE) {
            marty_bytes data;
            copies[count] = cli_strndup(line, size);
            data.data = copies[count];
            data.size = size;
            templates[count] = state->base;
            cli_template_data(&templates[count], data);
            messages[count] = &templates[count].message;
            count++;
        }
        if (count == BATCH_MAX || (count && next != CLI_LINE)) {
            flush(state, messages, count);
            for (i = 0; i < count; i++) {
                marty_free(copies[i]);
            }
            count = 0;
        }
        if (state->cli->out.broken) {
            break;
        }
    }
    return cli_lines_close(state->cli, &lines);
}

static int publish_same(publishing *state, size_t data_at)
{
    const marty_message *messages[BATCH_MAX];
    const char *argument = cli_argument(state->cli, data_at);
    bool from_stdin = !argument || strcmp(argument, "-") == 0;
    uint64_t left = cli_number(state->cli, "count", 1);
    cli_text input = {0};
    int code =
        from_stdin ? cli_input_all(state->cli, &input, cli_set(state->cli, "exact")) : CLI_OK;
    size_t i;
    if (!code) {
        marty_bytes data = {input.data, input.size};
        cli_template_data(&state->base, from_stdin ? data : marty_text(argument));
        for (i = 0; i < BATCH_MAX; i++) {
            messages[i] = &state->base.message;
        }
        while (left && !state->cli->out.broken) {
            size_t count = left < BATCH_MAX ? (size_t)left : BATCH_MAX;
            flush(state, messages, count);
            left -= count;
        }
    }
    cli_text_free(&input);
    return code;
}

static int result(const publishing *state, int64_t begin)
{
    const cli_run *cli = state->cli;
    if (!state->one) {
        cli_say(cli, "%llu %s, %llu not, %.1f ms", (unsigned long long)state->stored,
                outcome_name(state->pattern, MARTY_OK), (unsigned long long)state->failed,
                (double)(cli_monotonic_ns() - begin) / 1e6);
    }
    return state->failed == 0 ? CLI_OK : state->stored ? CLI_PARTIAL : state->first_code;
}

int cli_publish(cli_run *cli, marty_pattern pattern, const char *to, const char *type,
                size_t data_at)
{
    publishing state = {.cli = cli, .pattern = pattern, .to = to, .type = type};
    bool lines = cli_set(cli, "lines");
    int64_t begin = cli_monotonic_ns();
    int code;
    if (lines && (cli_argument(cli, data_at) || cli_set(cli, "count"))) {
        return cli_usage(cli, "--lines reads messages from stdin: no DATA and no --count with it");
    }
    if (cli_set(cli, "id") && (lines || cli_number(cli, "count", 1) > 1)) {
        return cli_usage(cli, "--id is of one message: not with --lines or --count");
    }
    code = cli_template_make(cli, &state.base);
    state.base.message.type = type;
    code = code ? code : options_make(&state);
    code = code ? code : cli_bus_open(cli, &state.bus, false, false);
    if (!code) {
        state.one = !lines && cli_number(cli, "count", 1) == 1;
        cli_rows_begin(cli, columns, sizeof columns / sizeof columns[0], state.one);
        code = lines ? publish_lines(&state) : publish_same(&state, data_at);
        cli_progress_end(cli);
        cli_rows_end(cli, NULL);
        code = code ? code : result(&state, begin);
    }
    code = cli_bus_close(cli, state.bus, code);
    cli_template_free(&state.base);
    return code;
}
