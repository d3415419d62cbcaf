/* SPDX-License-Identifier: Apache-2.0
 * The numbers of an engine, for metrics: what it has counted since it was opened, and what waits in
 * its store now, whoever looks after it. Read on the caller's thread. */
#include "engine.h"

#include "base/buffer.h"

#include <string.h>

enum { TROUBLED_MAX = 10000 };

typedef struct row {
    const char *name;
    uint64_t value;
} row;

static uint64_t at_least_0(int64_t value)
{
    return value > 0 ? (uint64_t)value : 0;
}

static void add_rows(marty__buffer *json, const row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        marty__buffer_format(json, ",\"%s\":%llu", rows[i].name, (unsigned long long)rows[i].value);
    }
}

static void add_counts(const marty__saga_counts *counts, uint32_t shards, marty__buffer *json)
{
    const row rows[] = {
        {"shards", shards},
        {"events", counts->inputs},
        {"transitions", counts->transitions},
        {"commits", counts->commits},
        {"commands_sent", counts->sent},
        {"commands_sent_again", counts->resent},
        {"send_failures", counts->send_failures},
        {"started", counts->started},
        {"completed", counts->ended[MARTY_SAGA_COMPLETED]},
        {"compensated", counts->ended[MARTY_SAGA_COMPENSATED]},
        {"abandoned", counts->ended[MARTY_SAGA_ABANDONED]},
        {"became_stuck", counts->stuck},
        {"became_failing", counts->failing},
        {"steps_in_doubt", counts->in_doubt},
        {"undo_failures", counts->undo_failures},
        {"duplicates", counts->ignored[MARTY__SAGA_IGNORED_DUPLICATE]},
        {"late_replies", counts->late},
        {"fence_losses", counts->fence_losses},
        {"conflicts", counts->conflicts},
        {"commits_in_doubt", counts->doubts},
        {"timer_failures", counts->timer_failures},
        {"last_timer_lag_us", at_least_0(counts->timer_lag_us)},
    };
    add_rows(json, rows, sizeof rows / sizeof *rows);
}

static void add_spread(const char *name, const marty__spread *spread, marty__buffer *json)
{
    marty__buffer_format(json,
                         ",\"%s\":{\"count\":%llu,\"sum_us\":%lld,\"p50_us\":%lld,"
                         "\"p99_us\":%lld,\"max_us\":%lld}",
                         name, (unsigned long long)spread->count, (long long)spread->sum_us,
                         (long long)marty__spread_at(spread, 50),
                         (long long)marty__spread_at(spread, 99), (long long)spread->max_us);
}

typedef struct troubled {
    uint64_t stuck, failing;
} troubled;

static bool on_troubled(void *user, const marty_saga_facts *facts)
{
    troubled *count = user;
    bool failing = strncmp(facts->stuck, MARTY_SAGA_FAILING, strlen(MARTY_SAGA_FAILING)) == 0;
    count->failing += failing;
    count->stuck += !failing;
    return true;
}

static bool on_oldest(void *user, const marty_saga_facts *facts)
{
    int64_t *changed_us = user;
    *changed_us = facts->changed_us;
    return false;
}

static bool on_first_due(void *user, const marty_saga_facts *facts)
{
    int64_t *due_us = user;
    *due_us = facts->due_us;
    return false;
}

/* What waits in the store, whoever looks after it. */
static marty_err add_waiting(marty_saga_engine *engine, marty__buffer *json, marty_error *why)
{
    enum { LOOK_MS = 1000 };
    const marty_saga_filter in_trouble = {.stuck = true, .limit = TROUBLED_MAX};
    int64_t now_us = engine->env.wall_us(engine->env.user), next_us = 0;
    int64_t oldest_us = now_us, due_us = now_us;
    troubled count = {0};
    marty_saga_shards all;
    memset(&all, 0xff, sizeof all);
    marty_err err = engine->table->list(engine->store, &in_trouble, on_troubled, &count,
                                        marty__engine_deadline(LOOK_MS, 0), why);
    err = err ? err
              : engine->table->unsent(engine->store, &all, INT64_MAX, 1, on_oldest, &oldest_us,
                                      marty__engine_deadline(LOOK_MS, 0), why);
    err = err ? err
              : engine->table->due(engine->store, &all, now_us, 1, on_first_due, &due_us, &next_us,
                                   marty__engine_deadline(LOOK_MS, 0), why);
    const row rows[] = {{"stuck", count.stuck},
                        {"failing", count.failing},
                        {"outbox_age_us", at_least_0(now_us - oldest_us)},
                        {"timer_lag_us", at_least_0(now_us - due_us)}};
    if (!err) {
        add_rows(json, rows, sizeof rows / sizeof *rows);
    }
    return err;
}

marty_err marty_saga_report(marty_saga_engine *engine, marty_message **ret_report, marty_error *why)
{
    marty_err err = marty__engine_enter(engine, false, why);
    if (err || !ret_report) {
        return err ? err : marty_error_set(why, MARTY_E_ARGUMENT, "ret_report is required");
    }
    marty__lock(&engine->mutex);
    marty__saga_counts counts = engine->counts;
    uint32_t shards = engine->shards;
    marty__unlock(&engine->mutex);
    marty_error reason = {0};
    marty__buffer json = {0};
    marty__buffer_text(&json, "{\"store\":");
    const char *line = engine->table->describe(engine->store);
    marty__buffer_json(&json, line, strlen(line));
    add_counts(&counts, shards, &json);
    add_spread("sagas", &counts.sagas, &json);
    add_spread("operations", &counts.operations, &json);
    if (add_waiting(engine, &json, &reason)) {
        marty__buffer_text(&json, ",\"store_error\":");
        marty__buffer_json(&json, reason.text, strlen(reason.text));
    }
    marty__buffer_byte(&json, '}');
    err = marty__engine_report(&json, "marty.sagas", ret_report, why);
    marty__buffer_free(&json);
    return err;
}
