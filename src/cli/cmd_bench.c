/* SPDX-License-Identifier: Apache-2.0
 * marty bench: how long messages take at a rate, to p99.99; what is stored and what is delivered.
 */
#include "bench.h"

#include <inttypes.h>
#include <marty/adapter.h>

static const cli_flag flags[] = {
    {"pattern", 'p', CLI_CHOICE, "event|command|query|stream|broadcast", "Default: event."},
    {"size", 's', CLI_NUMBER, "BYTES", "Bytes of data of each message, 16 or more; default 128."},
    {"rate", 'r', CLI_NUMBER, "N",
     "Messages a second, sent at their time whatever becomes of those before; 0 = as fast as there "
     "is room. Default 1000."},
    {"for", 0, CLI_DURATION, "DURATION", "How long; default 10s."},
    {"warm-up", 0, CLI_DURATION, "DURATION", "Sent first and not counted; default 1s."},
    {"no-consume", 0, CLI_SWITCH, NULL, "Publish only."},
    {"compare", 0, CLI_CHOICE, "raw",
     "Then the same over the broker's plain client: of events, commands and streams on one URL."},
    {"keep", 0, CLI_SWITCH, NULL, "Do not remove the channel of the run at the end."},
    {0}};
static const cli_column columns[] = {
    {"WHAT", "what", false},          {"COUNT", "count", true},     {"PER SECOND", "rate", true},
    {"P50 US", "p50_us", true},       {"P90", "p90_us", true},      {"P99", "p99_us", true},
    {"P99.9", "p999_us", true},       {"P99.99", "p9999_us", true}, {"MAX", "max_us", true},
    {"OURS/RAW", "ours_to_raw", true}};
static const struct {
    const char *name;
    double share;
} shares[] = {
    {"p50_us", 0.5}, {"p90_us", 0.9}, {"p99_us", 0.99}, {"p999_us", 0.999}, {"p9999_us", 0.9999}};

static json_t *micros(uint64_t ns)
{
    uint64_t tenths = (ns + 50) / 100;
    return json_real((double)tenths / 10);
}

static void result_row(const cli_bench *bench, const char *what, const cli_histogram *histogram,
                       double seconds)
{
    uint64_t count = atomic_load(&histogram->count);
    json_t *row =
        json_pack("{s:s, s:s, s:I, s:I, s:I}", "what", what, "pattern",
                  cli_pattern_name(bench->pattern), "size", (json_int_t)bench->size, "count",
                  (json_int_t)count, "rate", (json_int_t)((double)count / seconds));
    size_t i;
    for (i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        (void)json_object_set_new(row, shares[i].name,
                                  micros(cli_histogram_at(histogram, shares[i].share)));
    }
    (void)json_object_set_new(row, "max_us", micros(atomic_load(&histogram->max)));
    cli_row(bench->cli, row);
}

static int report(cli_bench *bench, double seconds)
{
    cli_run *cli = bench->cli;
    uint64_t sent = atomic_load(&bench->sent), failed = atomic_load(&bench->failed);
    uint64_t delivered = atomic_load(&bench->delivered);
    uint64_t missing = bench->consume && sent - failed > delivered ? sent - failed - delivered : 0;
    int code = CLI_OK;
    cli_rows_begin(cli, columns, sizeof columns / sizeof columns[0] - !cli_set(cli, "compare"),
                   false);
    result_row(bench, bench->pattern == MARTY_QUERY ? "answered" : "stored", bench->stored,
               seconds);
    if (bench->consume) {
        result_row(bench, "delivered", bench->received, seconds);
    }
    if (cli_set(cli, "compare")) {
        code = cli_bench_raw(bench);
    }
    cli_rows_end(cli, NULL);
    cli_say(cli,
            "%" PRIu64 " sent in all, %" PRIu64 " failed, %" PRIu64 " not delivered, %" PRIu64
            " repeated",
            sent, failed, missing, atomic_load(&bench->repeated));
    if (bench->rate &&
        atomic_load(&bench->stored->count) < (uint64_t)((double)bench->rate * seconds * 0.98)) {
        cli_say(cli, "the rate was not reached: the times show the queue that grew");
    }
    if (failed) {
        return failed == sent
                   ? cli_failf(cli, (marty_err)atomic_load(&bench->first_failure), "all failed")
                   : CLI_PARTIAL;
    }
    return missing && bench->pattern != MARTY_BROADCAST ? CLI_PARTIAL : code;
}

static void name_make(cli_bench *bench)
{
    uint64_t mixed = (uint64_t)cli_wall_us() * 0x9e3779b97f4a7c15u;
    (void)snprintf(bench->name, sizeof bench->name, "bench%08" PRIx64, mixed >> 32);
    (void)snprintf(bench->type, sizeof bench->type, "%s.tick", bench->name);
}

/* The channel of this run, as core names it. */
static void channel_remove(const cli_bench *bench)
{
    static const char *const heads[] = {[MARTY_EVENT] = "events",
                                        [MARTY_COMMAND] = "commands",
                                        [MARTY_QUERY] = "queries",
                                        [MARTY_STREAM] = "streams",
                                        [MARTY_BROADCAST] = "broadcast"};
    char channel[64];
    marty_message *done = NULL;
    bench->cli->hush_states = true; /* that its own group is gone is no news */
    (void)snprintf(channel, sizeof channel, "%s.%s", heads[bench->pattern], bench->name);
    if (bench->pattern != MARTY_QUERY && bench->pattern != MARTY_BROADCAST &&
        marty_topology(bench->bus, "remove", channel, true, &done, NULL) != MARTY_OK) {
        cli_say(bench->cli, "%s is left; remove it with: marty topology remove %s", channel,
                channel);
    }
    marty_message_unref(done);
}

static int go(cli_bench *bench)
{
    cli_run *cli = bench->cli;
    marty_error why = {0};
    int64_t run_ns = (int64_t)cli_number(cli, "for", 10000) * 1000000;
    int64_t warm_ns = (int64_t)cli_number(cli, "warm-up", 1000) * 1000000;
    marty_err err = bench->consume ? cli_bench_listen(bench, &why) : MARTY_OK;
    int code;
    err = err ? err : marty_bus_start(bench->bus, &why);
    if (err) {
        return cli_fail(cli, err, &why);
    }
    bench->begin_ns = cli_monotonic_ns();
    bench->warm_ns = bench->begin_ns + warm_ns;
    bench->end_ns = bench->warm_ns + run_ns;
    cli_bench_send(bench);
    cli_bench_settle(bench, 10000);
    cli_progress_end(cli);
    code = report(bench, (double)run_ns / 1e9);
    if (!cli_set(cli, "keep")) {
        channel_remove(bench);
    }
    return code;
}

/* What cannot be measured so. */
static int refuse(const cli_bench *bench)
{
    const cli_run *cli = bench->cli;
    bool logs = bench->pattern != MARTY_QUERY && bench->pattern != MARTY_BROADCAST;
    if (bench->size < CLI_BENCH_STAMP || bench->size > 16 << 20) {
        return cli_usage(cli, "--size: from %d to %d bytes", CLI_BENCH_STAMP, 16 << 20);
    }
    if (bench->pattern == MARTY_QUERY && !bench->consume) {
        return cli_usage(cli, "a query needs who answers it: no --no-consume with it");
    }
    if (cli_set(cli, "compare") && (!logs || !bench->rate)) {
        return cli_usage(cli, "--compare raw: of event, command and stream, at a --rate");
    }
    return CLI_OK;
}

static int run(cli_run *cli)
{
    const char *pattern = cli_string(cli, "pattern", "event"), *url;
    cli_bench *bench = cli_alloc(sizeof *bench);
    int code;
    bench->cli = cli;
    bench->rate = cli_number(cli, "rate", 1000);
    bench->size = cli_number(cli, "size", 128);
    bench->consume = !cli_set(cli, "no-consume");
    for (bench->pattern = MARTY_EVENT; bench->pattern < MARTY_BROADCAST; bench->pattern++) {
        if (strcmp(pattern, cli_pattern_name(bench->pattern)) == 0) {
            break;
        }
    }
    code = refuse(bench);
    if (code) {
        marty_free(bench);
        return code;
    }
    name_make(bench);
    bench->stored = cli_alloc(sizeof *bench->stored);
    bench->received = cli_alloc(sizeof *bench->received);
    code = cli_bus_open(cli, &bench->bus, false, false);
    url = cli->settings.backend.value;
    if (!code && cli_set(cli, "compare") && (!url || !strchr(url, ':'))) {
        code = cli_usage(cli, "--compare raw: give the broker as a URL, -b nats://127.0.0.1:4222");
    }
    code = code ? code : go(bench);
    code = cli_bus_close(cli, bench->bus, code);
    marty_free(bench->stored);
    marty_free(bench->received);
    marty_free(bench);
    return code;
}

const cli_verb cli_verb_bench = {
    .name = "bench",
    .arguments = "",
    .summary = "how long messages take at a rate, to p99.99",
    .text =
        "It publishes at a steady rate to a channel of its own and receives there, in one process. "
        "Open loop: every message has its time to be sent, and times count from then, so what a "
        "stall held up is in the percentiles (no coordinated omission). Times are microseconds. "
        "The channel is removed at the end. With --compare raw the same load then runs over the "
        "plain client of that broker, and OURS/RAW says how the medians compare.",
    .examples = "marty bench --pattern event --size 128 --rate 20k --for 10s\n"
                "marty bench -r 5k --for 5s --compare raw -b sqlite:bench.db\n"
                "marty bench -p query -r 2k --for 5s -b nats://127.0.0.1:4222 -o json",
    .tables = {flags, cli_flags_bus, cli_flags_common},
    .run = run,
};
