/* SPDX-License-Identifier: Apache-2.0
 * The two sides of `marty bench`. Open loop: message n is due at begin + n / rate, whatever became
 * of those before, and times count from when it was due, so a stall shows in every message that it
 * held up (no coordinated omission). Completions and deliveries run on the bus's workers. */
#include "bench.h"

#include <inttypes.h>
#include <marty/adapter.h>
#include <stdlib.h>
#include <sys/prctl.h>

typedef struct batch {
    cli_bench *bench;
    size_t count;
    int64_t due_ns[CLI_BENCH_BATCH];
} batch;

static void answered(cli_bench *bench, int64_t due_ns, marty_err err)
{
    int none = 0;
    if (err) {
        atomic_fetch_add(&bench->failed, 1);
        (void)atomic_compare_exchange_strong(&bench->first_failure, &none, (int)err);
    } else if (due_ns >= bench->warm_ns) {
        cli_histogram_add(bench->stored, (uint64_t)(cli_monotonic_ns() - due_ns));
    }
    atomic_fetch_add(&bench->answered, 1);
}

static void on_done(void *user, const marty_outcome *outcomes, size_t count)
{
    batch *sent = user;
    size_t i;
    for (i = 0; i < count; i++) {
        answered(sent->bench, sent->due_ns[i], outcomes[i].err);
    }
    marty_free(sent);
}

static void on_answer(void *user, const marty_message *reply, const marty_error *error)
{
    batch *sent = user;
    answered(sent->bench, sent->due_ns[0], reply ? MARTY_OK : error ? error->code : MARTY_E_FAILED);
    marty_free(sent);
}

static void refused(batch *sent, marty_err err)
{
    size_t i;
    for (i = 0; i < sent->count; i++) {
        answered(sent->bench, sent->due_ns[i], err);
    }
    marty_free(sent);
}

/* The stamp is what the receiver needs: when it was due, as hexadecimal text. */
static void stamp(char *data, int64_t due_ns)
{
    char text[CLI_BENCH_STAMP + 1];
    (void)snprintf(text, sizeof text, "%016" PRIx64, (uint64_t)due_ns);
    memcpy(data, text, CLI_BENCH_STAMP);
}

static void ask(cli_bench *bench, batch *sent, char *data)
{
    marty_message with = {.content_type = "application/octet-stream"};
    marty_query_options options = {.with = &with, .done = on_answer, .user = sent};
    marty_bytes bytes = {data, (size_t)bench->size};
    marty_err err;
    for (;;) {
        err = marty_query(bench->bus, bench->name, bench->type, bytes, &options, NULL, NULL);
        if (err != MARTY_E_FULL) {
            break;
        }
        cli_sleep_ns(50000); /* queries have no waiting for room; the message is due already */
    }
    if (err) {
        refused(sent, err);
    }
}

static void publish(cli_bench *bench, batch *sent, char *data)
{
    marty_message made[CLI_BENCH_BATCH];
    const marty_message *all[CLI_BENCH_BATCH];
    marty_publish_options options = {
        .done = on_done, .user = sent, .wait_for_room = true, .timeout_ms = 30000};
    bool named = bench->pattern == MARTY_COMMAND || bench->pattern == MARTY_STREAM;
    marty_err err;
    size_t i;
    memset(made, 0, sizeof made);
    for (i = 0; i < sent->count; i++) {
        made[i].type = bench->type;
        made[i].content_type = "application/octet-stream";
        made[i].data.data = data + i * bench->size;
        made[i].data.size = (size_t)bench->size;
        all[i] = &made[i];
    }
    err = marty_publish(bench->bus, bench->pattern, named ? bench->name : NULL, all, sent->count,
                        &options, NULL);
    if (err) {
        refused(sent, err);
    }
}

void cli_bench_send(cli_bench *bench)
{
    size_t most = bench->pattern == MARTY_QUERY ? 1 : CLI_BENCH_BATCH, i;
    char *data = cli_alloc(most * bench->size);
    int64_t now = cli_monotonic_ns();
    uint64_t n = 0;
    memset(data, 'x', most * bench->size);
    (void)prctl(PR_SET_TIMERSLACK, 1UL); /* else each sleep is 50 us late, in every percentile */
    while (now < bench->end_ns && !bench->cli->out.broken) {
        int64_t due = now;
        batch *sent = NULL;
        if (bench->rate) {
            due = bench->begin_ns + (int64_t)((double)n * 1e9 / (double)bench->rate);
        }
        if (due > now) {
            cli_sleep_ns(due - now);
            now = cli_monotonic_ns();
        }
        sent = cli_alloc(sizeof *sent);
        sent->bench = bench;
        while (sent->count < most && due <= now) { /* all that is due by now, as one batch */
            stamp(data + sent->count * bench->size, due);
            sent->due_ns[sent->count++] = due;
            n++;
            due = bench->rate ? bench->begin_ns + (int64_t)((double)n * 1e9 / (double)bench->rate)
                              : now;
        }
        i = sent->count;
        atomic_fetch_add(&bench->sent, i);
        if (bench->pattern == MARTY_QUERY) {
            ask(bench, sent, data);
        } else {
            publish(bench, sent, data);
        }
        now = cli_monotonic_ns();
        cli_progress(bench->cli, "%" PRIu64 " sent, %" PRIu64 " stored, %" PRIu64 " delivered",
                     atomic_load(&bench->sent), atomic_load(&bench->answered),
                     atomic_load(&bench->delivered));
    }
    marty_free(data);
}

static marty_err on_message(void *user, marty_delivery *delivery)
{
    cli_bench *bench = user;
    const marty_delivery *at;
    for (at = delivery; at; at = at->next) {
        char text[CLI_BENCH_STAMP + 1] = "", *end = NULL;
        int64_t due;
        if (at->message->data.size >= CLI_BENCH_STAMP) {
            memcpy(text, at->message->data.data, CLI_BENCH_STAMP);
        }
        due = (int64_t)strtoull(text, &end, 16);
        due = *end ? 0 : due; /* another's message */
        if (at->attempt > 1) {
            atomic_fetch_add(&bench->repeated, 1);
        } else {
            if (due >= bench->warm_ns) {
                cli_histogram_add(bench->received, (uint64_t)(cli_monotonic_ns() - due));
            }
            atomic_fetch_add(&bench->delivered, 1);
        }
    }
    if (bench->pattern == MARTY_QUERY && delivery) {
        marty_message reply = {.content_type = "application/octet-stream",
                               .data = delivery->message->data};
        (void)!marty_reply(delivery, &reply, NULL); /* who gave up asking is counted as failed */
    }
    return MARTY_OK;
}

marty_err cli_bench_listen(cli_bench *bench, marty_error *why)
{
    bool batches = bench->pattern != MARTY_QUERY;
    marty_subscribe_options options = {.service = bench->name,
                                       .group = bench->name,
                                       .batch_max = batches ? CLI_BENCH_BATCH : 1,
                                       .credit = 1024};
    const char *name = bench->pattern == MARTY_STREAM ? bench->name : bench->type;
    if (bench->pattern == MARTY_BROADCAST) {
        options.group = NULL;
    }
    return marty_subscribe(bench->bus, bench->pattern, name, on_message, bench, &options, NULL,
                           why);
}

void cli_bench_settle(cli_bench *bench, int64_t limit_ms)
{
    int64_t end = cli_monotonic_ns() + limit_ms * 1000000;
    uint64_t wanted;
    if (marty_bus_flush(bench->bus, (int32_t)limit_ms, NULL) != MARTY_OK) {
        cli_say(bench->cli, "not all is answered after %lld ms", (long long)limit_ms);
    }
    do {
        wanted = atomic_load(&bench->sent) - atomic_load(&bench->failed);
        if (!bench->consume || atomic_load(&bench->delivered) >= wanted) {
            return;
        }
        cli_sleep_ns(1000000);
    } while (cli_monotonic_ns() < end);
}
