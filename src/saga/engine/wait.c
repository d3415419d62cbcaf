/* SPDX-License-Identifier: Apache-2.0
 * Waiting for the end of a saga: told by this engine's own transitions, and by looking into the
 * store now and then, since another engine may end it. What this engine has written last of recent
 * sagas is kept, so that who waits for one that was just started here need not ask the store. */
#include "engine.h"

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

void marty__engine_note(marty_saga_engine *engine, const marty_saga_facts *facts)
{
    bool over = marty__saga_is_over(facts->status);
    marty__lock(&engine->mutex);
    engine_seen *seen = seen_of(engine, facts->id);
    (void)snprintf(seen->id, sizeof seen->id, "%s", facts->id);
    seen->status = facts->status;
    marty__link *list = &engine->waiters[facts->shard];
    for (marty__link *at = list->next; over && at != list; at = at->next) {
        engine_waiter *waiter = MARTY__OWNER(at, engine_waiter, link);
        if (strcmp(waiter->id, facts->id) == 0) {
            waiter->status = facts->status;
            marty__wake_one(&waiter->ended);
        }
    }
    marty__unlock(&engine->mutex);
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

/* How it stands, by until_ns. */
static marty_err look(marty_saga_engine *engine, engine_waiter *waiter, int64_t until_ns,
                      marty_saga_status *ret_status, marty_error *why)
{
    marty_saga_record *record = NULL;
    marty_err err = engine->table->load(engine->store, waiter->id, &record, until_ns, why);
    if (!err) {
        (void)snprintf(waiter->stuck, sizeof waiter->stuck, "%s", record->facts.stuck);
        *ret_status = record->facts.status;
        marty_free(record);
    }
    return err;
}

/* Until this engine has ended it, or for a little: when another does, nobody tells us. */
static marty_saga_status wait_for_end(marty_saga_engine *engine, engine_waiter *waiter,
                                      int64_t until_ns)
{
    marty__lock(&engine->mutex);
    while (!waiter->status && marty__wait(&waiter->ended, &engine->mutex, until_ns)) {
    }
    marty_saga_status status = waiter->status;
    marty__unlock(&engine->mutex);
    return status;
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

/* A store that is away is waited for, too. */
static marty_err look_and_wait(marty_saga_engine *engine, engine_waiter *waiter, int64_t until_ns,
                               marty_saga_status *ret_status, marty_error *why)
{
    int32_t pause_ms = LOOK_MS;
    marty_err err = look_first(engine, waiter, until_ns, ret_status, why);
    while (err == MARTY_E_UNAVAILABLE || (!err && !marty__saga_is_over(*ret_status))) {
        int64_t look_ns = marty__deadline_ns(marty__monotonic_ns(), pause_ms);
        *ret_status = wait_for_end(engine, waiter, look_ns < until_ns ? look_ns : until_ns);
        if (*ret_status) {
            return MARTY_OK;
        }
        if (marty__monotonic_ns() >= until_ns && err) {
            return err;
        }
        if (marty__monotonic_ns() >= until_ns) {
            bool failing =
                strncmp(waiter->stuck, MARTY_SAGA_FAILING, strlen(MARTY_SAGA_FAILING)) == 0;
            return marty_error_set(why, MARTY_E_TIMEOUT, "the saga %s %s%s", waiter->id,
                                   failing          ? "goes on, "
                                   : *waiter->stuck ? "is stuck and waits for a person: "
                                                    : "goes on",
                                   waiter->stuck);
        }
        err = look(engine, waiter, until_ns, ret_status, why);
        pause_ms = 2 * pause_ms < LOOK_MAX_MS ? 2 * pause_ms : LOOK_MAX_MS;
    }
    return err;
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
    engine_waiter waiter = {.id = id};
    marty_saga_status status = 0;
    if (!marty__cond_init(&waiter.ended)) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    marty__lock(&engine->mutex); /* before the look: then no end is missed */
    marty__list_push(&engine->waiters[marty__saga_shard(id)], &waiter.link);
    marty__unlock(&engine->mutex);
    err = look_and_wait(engine, &waiter, until_ns, &status, why);
    marty__lock(&engine->mutex);
    marty__list_remove(&waiter.link);
    marty__unlock(&engine->mutex);
    marty__cond_free(&waiter.ended);
    if (!err) {
        *ret_status = status;
    }
    return err;
}
