/* SPDX-License-Identifier: Apache-2.0
 * Waiting for the end of a saga: told by this engine's own transitions, and by looking into the
 * store now and then, since another engine may end it. What this engine has written last of recent
 * sagas is kept, so that who waits for one that was just started here need not ask the store. */
#include "engine.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"

#include <stdio.h>
#include <string.h>

enum { WAIT_MS = 30000, LOOK_MS = 100, LOOK_MAX_MS = 1000, FIRST_LOOK_MS = 1000 };

static engine_seen *seen_of(marty_saga_engine *engine, const char *id)
{
    return &engine->seen[marty__hash(id, strlen(id)) % ENGINE_SEEN];
}

static void unref(engine_waiter *waiter)
{
    if (atomic_fetch_sub(&waiter->refs, 1) == 1) {
        marty__bell_free(&waiter->ended);
        marty_free(waiter);
    }
}

/* Those who wait for the end of a saga leave the list. With the engine's mutex held. */
static void take_waiters(marty_saga_engine *engine, const marty_saga_facts *facts, marty__link *to)
{
    marty__link *list = &engine->waiters[facts->shard];
    for (marty__link *at = list->next, *next; at != list; at = next) {
        engine_waiter *waiter = MARTY__OWNER(at, engine_waiter, link);
        next = at->next;
        if (strcmp(waiter->id, facts->id) == 0) {
            marty__list_remove(at); /* the list's reference is ours */
            marty__list_push(to, &waiter->told);
        }
    }
}

void marty__engine_note(marty_saga_engine *engine, const marty_saga_facts *facts)
{
    marty__link told, *at = NULL;
    marty__list_init(&told);
    marty__lock(&engine->mutex);
    engine_seen *seen = seen_of(engine, facts->id);
    (void)snprintf(seen->id, sizeof seen->id, "%s", facts->id);
    seen->status = facts->status;
    seen->at_us = facts->changed_us;
    if (marty__saga_is_over(facts->status)) {
        take_waiters(engine, facts, &told);
    }
    marty__unlock(&engine->mutex);
    while ((at = marty__list_pop(&told)) != NULL) { /* unlocked: they would meet the lock */
        engine_waiter *waiter = MARTY__OWNER(at, engine_waiter, told);
        waiter->status = facts->status;
        marty__bell_ring(&waiter->ended);
        unref(waiter);
    }
}

/* As this engine has written it last; 0 = it does not know. Once over it is so for ever; else
 * another engine may have gone on with it. */
static marty_saga_status seen_last(marty_saga_engine *engine, const char *id)
{
    marty__lock(&engine->mutex);
    const engine_seen *seen = seen_of(engine, id);
    marty_saga_status status = strcmp(seen->id, id) == 0 ? seen->status : 0;
    marty__unlock(&engine->mutex);
    return status;
}

/* Whether this engine has taken it on within so many milliseconds: then it looks after its end. */
static bool goes_on(marty_saga_engine *engine, const char *id, int32_t within_ms)
{
    int64_t now_us = engine->env.wall_us(engine->env.user);
    int64_t since_us = now_us - (int64_t)within_ms * 1000;
    marty__lock(&engine->mutex);
    const engine_seen *seen = seen_of(engine, id);
    bool lately = seen->at_us >= since_us && seen->at_us <= now_us; /* the clock may go back */
    bool on = strcmp(seen->id, id) == 0 && !marty__saga_is_over(seen->status) && lately;
    marty__unlock(&engine->mutex);
    return on;
}

/* How it stands, by until_ns. */
static marty_err look(marty_saga_engine *engine, engine_waiter *waiter, int64_t until_ns,
                      marty_saga_status *ret_status, marty_error *why)
{
    marty_saga_record *record = NULL;
    marty_err err = engine->table->load(engine->store, waiter->id, &record, until_ns, why);
    if (!err) {
        (void)snprintf(waiter->stuck, sizeof waiter->stuck, "%s", record->facts.stuck);
        *ret_status = record->facts.status;
        waiter->looked_ns = marty__monotonic_ns();
        marty_free(record);
    }
    return err;
}

/* Until this engine has ended it, or for a little: when another does, nobody tells us. */
static marty_saga_status wait_for_end(engine_waiter *waiter, int64_t until_ns)
{
    return marty__bell_wait(&waiter->ended, until_ns) ? waiter->status : 0;
}

/* The first look, which is left out while this engine itself is at work on it. */
static marty_err look_first(marty_saga_engine *engine, engine_waiter *waiter, int64_t until_ns,
                            marty_saga_status *ret_status, marty_error *why)
{
    int64_t look_ns = marty__engine_deadline(FIRST_LOOK_MS, 0);
    *ret_status = seen_last(engine, waiter->id);
    if (marty__saga_is_over(*ret_status) ||
        (*ret_status && until_ns > marty__engine_deadline(LOOK_MS, 0))) {
        return MARTY_OK;
    }
    return look(engine, waiter, look_ns > until_ns ? look_ns : until_ns, ret_status, why);
}

/* The time is over: how it stands now, since looks were left out while this engine was at work on
 * it, and the last one may be a while ago. */
static marty_err look_last(marty_saga_engine *engine, engine_waiter *waiter, int64_t until_ns,
                           marty_saga_status *ret_status, marty_error *why)
{
    *ret_status = 0;
    if (waiter->looked_ns < until_ns) {
        (void)look(engine, waiter, marty__engine_deadline(LOOK_MS, 0), ret_status, NULL);
    }
    if (marty__saga_is_over(*ret_status)) {
        return MARTY_OK;
    }
    bool failing = strncmp(waiter->stuck, MARTY_SAGA_FAILING, strlen(MARTY_SAGA_FAILING)) == 0;
    return marty_error_set(why, MARTY_E_TIMEOUT, "the saga %s %s%s", waiter->id,
                           failing          ? "goes on, "
                           : *waiter->stuck ? "is stuck and waits for a person: "
                                            : "goes on",
                           waiter->stuck);
}

/* A store that is away is waited for, too. */
static marty_err look_and_wait(marty_saga_engine *engine, engine_waiter *waiter, int64_t until_ns,
                               marty_saga_status *ret_status, marty_error *why)
{
    int32_t pause_ms = LOOK_MS;
    marty_err err = look_first(engine, waiter, until_ns, ret_status, why);
    while (err == MARTY_E_UNAVAILABLE || (!err && !marty__saga_is_over(*ret_status))) {
        int64_t look_ns = marty__deadline_ns(marty__monotonic_ns(), pause_ms);
        *ret_status = wait_for_end(waiter, look_ns < until_ns ? look_ns : until_ns);
        if (*ret_status) {
            return MARTY_OK;
        }
        if (marty__monotonic_ns() >= until_ns) {
            return err ? err : look_last(engine, waiter, until_ns, ret_status, why);
        }
        *ret_status = MARTY_SAGA_RUNNING;
        if (err || !goes_on(engine, waiter->id, pause_ms)) {
            err = look(engine, waiter, until_ns, ret_status, why);
        }
        pause_ms = 2 * pause_ms < LOOK_MAX_MS ? 2 * pause_ms : LOOK_MAX_MS;
    }
    return err;
}

static engine_waiter *new_waiter(const char *id)
{
    size_t size = strlen(id) + 1;
    engine_waiter *waiter = marty_alloc_zero(1, sizeof *waiter + size);
    if (!waiter || !marty__bell_init(&waiter->ended)) {
        marty_free(waiter);
        return NULL;
    }
    memcpy(waiter->id, id, size);
    atomic_init(&waiter->refs, 2); /* the list's, and ours */
    return waiter;
}

static void leave(marty_saga_engine *engine, engine_waiter *waiter)
{
    marty__lock(&engine->mutex);
    bool listed = waiter->link.next != NULL;
    marty__list_remove(&waiter->link);
    marty__unlock(&engine->mutex);
    if (listed) {
        unref(waiter);
    }
    unref(waiter);
}

marty_err marty_saga_wait(marty_saga_engine *engine, const char *id, int32_t timeout_ms,
                          marty_saga_status *ret_status, marty_error *why)
{
    marty_err err = marty__engine_enter(engine, true, why);
    if (err) {
        return err;
    }
    if (!id || !ret_status) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "id and ret_status are required");
    }
    int64_t until_ns = marty__engine_deadline(timeout_ms, WAIT_MS);
    marty_saga_status status = 0;
    engine_waiter *waiter = new_waiter(id);
    if (!waiter) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    marty__lock(&engine->mutex); /* before the look: then no end is missed */
    marty__list_push(&engine->waiters[marty__saga_shard(id)], &waiter->link);
    marty__unlock(&engine->mutex);
    err = look_and_wait(engine, waiter, until_ns, &status, why);
    leave(engine, waiter);
    if (!err) {
        *ret_status = status;
    }
    return err;
}
