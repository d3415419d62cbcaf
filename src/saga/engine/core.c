/* SPDX-License-Identifier: Apache-2.0
 * Core's life and its turns. See core.h. */
#include "inside.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DOUBT_PAUSE_NS = 200000000 };

int64_t marty__saga_call_until(const marty__saga_core *core)
{
    return marty__deadline_ns(marty__saga_now_ns(core), SAGA_CALL_MS);
}

void marty__saga_log(marty__saga_core *core, int level, const char *format, ...)
{
    char text[600];
    va_list values;
    va_start(values, format);
    (void)vsnprintf(text, sizeof text, format, values);
    va_end(values);
    core->options.wire.log(core->options.wire.user, level, text);
}

marty_err marty__saga_core_open(marty__saga_core **ret_core,
                                const marty__saga_core_options *options, marty_error *why)
{
    marty__saga_core *core = marty_alloc_zero(1, sizeof *core);
    if (!core || !marty__mutex_init(&core->mutex)) {
        marty_free(core);
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    core->options = *options;
    core->options.env = marty__env_complete(&options->env);
    (void)snprintf(core->owner, sizeof core->owner, "%s", options->owner);
    core->lease =
        (marty_saga_lease){.owner = core->owner,
                           .term_ms = options->term_ms ? options->term_ms : MARTY__SAGA_TERM_MS,
                           .want = 1};
    marty__list_init(&core->inputs);
    marty__list_init(&core->outcomes);
    marty__list_init(&core->used);
    marty__list_init(&core->later);
    core->turn = 1;
    *ret_core = core;
    return MARTY_OK;
}

void marty__saga_core_put(marty__saga_core *core, marty__saga_input *input)
{
    static const marty__saga_done closed = {.err = MARTY_E_CLOSED,
                                            .why = "the engine of sagas is closed"};
    marty__lock(&core->mutex);
    bool refused = core->closed;
    if (!refused) {
        marty__list_push(&core->inputs, &input->link);
        core->waiting++;
        core->options.wire.wake(core->options.wire.user);
    }
    marty__unlock(&core->mutex);
    if (refused) {
        input->done(input, &closed);
    }
}

/* At most so many of those that wait, in their order. */
static size_t take_inputs(marty__saga_core *core, size_t most, marty__link *to)
{
    size_t count = 0;
    marty__lock(&core->mutex);
    if (core->waiting <= most) {
        count = core->waiting;
        marty__list_move(to, &core->inputs);
    }
    for (; count < most && !marty__list_empty(&core->inputs); count++) {
        marty__list_push(to, marty__list_pop(&core->inputs));
    }
    core->waiting -= count;
    core->taken += count;
    marty__unlock(&core->mutex);
    return count;
}

/* What was taken is answered, but for these: in their order, before all that came later. */
static void put_first(marty__saga_core *core, marty__link *again)
{
    marty__lock(&core->mutex);
    while (!marty__list_empty(again)) {
        marty__link *last = again->before;
        marty__list_remove(last);
        marty__list_push_first(&core->inputs, last);
        core->waiting++;
    }
    core->taken = 0;
    marty__unlock(&core->mutex);
}

/* The sagas that a turn is about, read together. One that starts is not there. */
static void fetch_all(marty__saga_core *core, const marty__link *inputs)
{
    const char *ids[SAGA_BATCH_MAX];
    size_t count = 0;
    if (!core->options.table->load_many) {
        return;
    }
    for (const marty__link *at = inputs->next; at != inputs; at = at->next) {
        const marty__saga_input *input = MARTY__OWNER(at, marty__saga_input, link);
        bool starts = input->event.kind == MARTY__SAGA_EVENT_START && !input->event.parent;
        if (!starts) {
            ids[count++] = input->saga;
        }
    }
    marty__saga_entries_fetch(core, ids, count);
}

/* Those that were there when the turn began. One that comes later may be newer than what the turn
 * has read: the answer to a command that another engine has sent meanwhile would name an unknown
 * op. */
static size_t decide_all(marty__saga_core *core, marty__link *again)
{
    size_t count = 0;
    marty__link inputs, *link = NULL;
    marty__list_init(&inputs);
    do {
        (void)take_inputs(core, SAGA_BATCH_MAX - count, &inputs);
        fetch_all(core, &inputs);
        while ((link = marty__list_pop(&inputs)) != NULL) {
            count += marty__saga_plan_make(core, &core->plans[count],
                                           MARTY__OWNER(link, marty__saga_input, link), again);
        }
    } while (MARTY__MUTANT(113, false, count < SAGA_BATCH_MAX && marty__saga_core_waiting(core)));
    return count;
}

static int by_id(const void *left, const void *right)
{
    const marty_saga_write *const *a = left, *const *b = right;
    return strcmp((*a)->facts.id, (*b)->facts.id);
}

/* For those who wait for the store, and in vain. */
static void note_refusal(marty__saga_core *core, marty_err err, const marty_error *why)
{
    marty__lock(&core->mutex);
    (void)snprintf(core->refusal, sizeof core->refusal, "%.255s", err ? why->text : "");
    marty__unlock(&core->mutex);
}

static marty_err commit_all(marty__saga_core *core, size_t count, marty_error *why)
{
    marty_saga_write *writes[SAGA_BATCH_MAX];
    size_t write_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (core->plans[i].writes) {
            writes[write_count++] = &core->plans[i].write;
        }
    }
    if (!write_count) {
        return MARTY_OK;
    }
    qsort(writes, write_count, sizeof *writes,
          by_id); /* so that two engines take locks in one order */
    core->counts.commits++;
    marty_err err = core->options.table->commit(core->options.store, writes, write_count,
                                                marty__saga_call_until(core), why);
    note_refusal(core, err, why);
    return err;
}

void marty__saga_flush(marty__saga_core *core)
{
    if (core->options.wire.flush) {
        core->options.wire.flush(core->options.wire.user);
    }
}

static void work_inputs(marty__saga_core *core)
{
    marty__link again;
    marty_error why = {0};
    marty__list_init(&again);
    core->turn++;
    size_t count = decide_all(core, &again);
    marty_err err = commit_all(core, count, &why);
    for (size_t i = 0; i < count; i++) {
        if (err && core->plans[i].writes) {
            core->plans[i].write.result = err;
            core->plans[i].why = why;
        }
        marty__saga_plan_end(&core->plans[i], &again);
    }
    marty__saga_flush(core);
    for (size_t i = 0; i < count; i++) { /* who writes is the last of its saga, and drops it */
        marty__saga_plan_done(&core->plans[i]);
    }
    put_first(core, &again);
}

/* Nothing of a commit without a known end may be written any more before we read again. */
static bool settle_doubt(marty__saga_core *core)
{
    marty_error why = {0};
    if (MARTY__MUTANT(105, core->doubt, false)) {
        marty_err err =
            core->options.table->settle(core->options.store, marty__saga_call_until(core), &why);
        core->doubt = err != MARTY_OK;
        note_refusal(core, err, &why);
        if (err) {
            marty__saga_log(core, 1, "sagas: the store does not settle: %s", why.text);
        }
    }
    return !core->doubt;
}

static int64_t next_turn(marty__saga_core *core, int64_t now_ns)
{
    marty__lock(&core->mutex);
    bool waits = core->waiting || !marty__list_empty(&core->outcomes);
    marty__unlock(&core->mutex);
    int64_t next_ns = waits ? now_ns : INT64_MAX;
    if (core->options.leads && !core->has_left) {
        next_ns = core->lease_next_ns < next_ns ? core->lease_next_ns : next_ns;
        if (core->lease.count && now_ns < core->lease_until_ns) {
            next_ns = core->scan_ns < next_ns ? core->scan_ns : next_ns;
            next_ns = core->unsent_ns < next_ns ? core->unsent_ns : next_ns;
        }
    }
    if (core->mark_count) {
        next_ns = core->marks[0].due_ns < next_ns ? core->marks[0].due_ns : next_ns;
    }
    for (const marty__link *at = core->later.next; at != &core->later; at = at->next) {
        const marty__saga_item *item = MARTY__OWNER(at, marty__saga_item, outcome);
        next_ns = item->later_ns < next_ns ? item->later_ns : next_ns;
    }
    return next_ns;
}

/* A timer that this turn has set for soon is not waited for until the next scan. */
static void scan_sooner(marty__saga_core *core, int64_t now_ns)
{
    int64_t now_us = marty__saga_now_us(core);
    if (core->soonest_us != INT64_MAX) {
        int64_t left_us = core->soonest_us > now_us ? core->soonest_us - now_us : 0;
        int64_t at_ns = left_us > INT64_C(3600000000) ? INT64_MAX : now_ns + left_us * 1000;
        core->scan_ns = at_ns < core->scan_ns ? at_ns : core->scan_ns;
    }
    core->soonest_us = INT64_MAX;
}

static void answer_closed(marty__saga_core *core)
{
    static const marty__saga_done closed = {.err = MARTY_E_CLOSED,
                                            .why = "the engine of sagas is closed"};
    marty__link inputs, *link = NULL;
    marty__list_init(&inputs);
    while (take_inputs(core, SIZE_MAX, &inputs) > 0) {
        while ((link = marty__list_pop(&inputs)) != NULL) {
            marty__saga_input *input = MARTY__OWNER(link, marty__saga_input, link);
            input->done(input, &closed);
        }
    }
    put_first(core, &inputs); /* none */
}

void marty__saga_core_refuse(marty__saga_core *core)
{
    answer_closed(core);
    marty__saga_causes_end(core);
}

static bool is_closed(marty__saga_core *core)
{
    marty__lock(&core->mutex);
    bool closed = core->closed;
    marty__unlock(&core->mutex);
    return closed;
}

/* In doubt about a commit nothing new is decided; what is being sent is answered all the same, and
 * an end need not wait for the store. */
static int64_t turn_in_doubt(marty__saga_core *core, int64_t now_ns)
{
    marty__saga_items_work(core, now_ns);
    if (is_closed(core)) {
        answer_closed(core);
    }
    return now_ns + DOUBT_PAUSE_NS;
}

int64_t marty__saga_core_turn(marty__saga_core *core)
{
    int64_t now_ns = marty__saga_now_ns(core);
    if (!settle_doubt(core)) {
        return turn_in_doubt(core, now_ns);
    }
    core->soonest_us = INT64_MAX;
    marty__saga_items_work(core, now_ns);
    if (is_closed(core)) {
        marty__saga_lease_leave(core); /* others need not wait for the last of its commands */
    }
    marty__saga_lease_work(core, now_ns);
    marty__saga_scan_work(core, now_ns);
    work_inputs(core);
    marty__saga_marks_work(core, now_ns, false);
    marty__saga_entries_trim(core);
    scan_sooner(core, now_ns);
    return next_turn(core, now_ns);
}

size_t marty__saga_core_waiting(marty__saga_core *core)
{
    marty__lock(&core->mutex);
    size_t waiting = core->waiting;
    marty__unlock(&core->mutex);
    return waiting;
}

void marty__saga_core_refusal(marty__saga_core *core, char *ret_text, size_t size)
{
    marty__lock(&core->mutex);
    (void)snprintf(ret_text, size, "%s", core->refusal);
    marty__unlock(&core->mutex);
}

bool marty__saga_core_sending(marty__saga_core *core)
{
    marty__lock(&core->mutex);
    bool sending = core->busy > 0;
    marty__unlock(&core->mutex);
    return sending;
}

bool marty__saga_core_idle(const marty__saga_core *core)
{
    marty__saga_core *locked = (marty__saga_core *)(uintptr_t)core;
    marty__lock(&locked->mutex);
    bool idle = !core->waiting && !core->taken && !core->busy && marty__list_empty(&core->outcomes);
    marty__unlock(&locked->mutex);
    return idle;
}

const marty__saga_counts *marty__saga_core_counts(const marty__saga_core *core)
{
    return &core->counts;
}

uint32_t marty__saga_core_shards(const marty__saga_core *core)
{
    return core->lease.count;
}

/* ---- the end */
static void free_outcomes(marty__saga_core *core)
{
    while (!marty__list_empty(&core->outcomes)) {
        marty__saga_item *item = MARTY__OWNER(core->outcomes.next, marty__saga_item, outcome);
        marty__saga_item_free(item);
    }
}

void marty__saga_core_stop(marty__saga_core *core)
{
    marty__lock(&core->mutex);
    core->closed = true;
    core->options.wire.wake(core->options.wire.user);
    marty__unlock(&core->mutex);
}

void marty__saga_core_close(marty__saga_core *core)
{
    if (!core) {
        return;
    }
    marty__saga_core_stop(core);
    answer_closed(core);
    if (!core->doubt) {
        marty__saga_marks_work(core, 0, true);
        marty__saga_lease_leave(core);
    }
    free_outcomes(core);
    for (size_t i = 0; i < SAGA_BATCH_MAX; i++) {
        marty__saga_plan_free(&core->plans[i]);
    }
    size_t at = 0;
    saga_entry *entry = NULL;
    while ((entry = marty__map_next(&core->entries, &at)) != NULL) {
        marty__saga_entry_drop(core, entry);
    }
    marty__map_free(&core->entries);
    marty__saga_put_off_free(core);
    while (core->known) {
        saga_known *known = core->known;
        core->known = known->next;
        marty__saga_definition_free(known->definition);
        marty_free(known);
    }
    marty__mutex_free(&core->mutex);
    marty_free(core);
}
