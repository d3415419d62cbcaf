/* SPDX-License-Identifier: Apache-2.0
 * A call that changes a saga is an event put into core; its caller waits until it is durable, or as
 * long as it likes. */
#include "engine.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "bus/bus.h"

#include <stdio.h>
#include <string.h>

enum { CALL_MS = 10000, WAITING_MAX = 4096 };

/* An event and its caller; both let go of it, in any order. */
typedef struct call {
    marty__saga_input input;
    atomic_uint refs;
    marty__bell answered;
    /* Once it has rung: */
    marty_err err;
    marty__saga_ignored ignored;
    char why[ENGINE_TEXT];
    char *texts; /* copies of what the event points to */
} call;

static void call_unref(call *one)
{
    if (atomic_fetch_sub(&one->refs, 1) == 1) {
        marty__bell_free(&one->answered);
        marty_free(one->texts);
        marty_free(one);
    }
}

static void on_call_done(marty__saga_input *input, const marty__saga_done *done)
{
    call *one = MARTY__OWNER(input, call, input);
    one->err = done->err;
    one->ignored = done->ignored;
    (void)snprintf(one->why, sizeof one->why, "%s", done->why ? done->why : "");
    marty__bell_ring(&one->answered);
    call_unref(one);
}

static const char *keep(char **at, const char *text)
{
    if (!text) {
        return NULL;
    }
    char *copy = *at;
    size_t size = strlen(text) + 1;
    memcpy(copy, text, size);
    *at += size;
    return copy;
}

static size_t size_of(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

/* A call owns copies of everything, since its caller may leave before it is over. */
static call *new_call(const marty__saga_input *input)
{
    const marty__saga_event *event = &input->event;
    call *one = marty_alloc_zero(1, sizeof *one);
    char *texts = marty_alloc(size_of(input->saga) + size_of(input->name) + size_of(event->cause) +
                              size_of(event->start_key) + size_of(event->name) +
                              size_of(event->id) + size_of(event->who) + size_of(event->note) +
                              size_of(event->key) + event->data.size + 1);
    if (!one || !texts || !marty__bell_init(&one->answered)) {
        marty_free(one);
        marty_free(texts);
        return NULL;
    }
    atomic_init(&one->refs, 2);
    one->texts = texts;
    one->input = *input;
    one->input.done = on_call_done;
    marty__saga_event *copy = &one->input.event;
    one->input.saga = copy->saga = keep(&texts, input->saga);
    one->input.name = keep(&texts, input->name);
    copy->cause = keep(&texts, event->cause);
    copy->start_key = keep(&texts, event->start_key);
    copy->name = keep(&texts, event->name);
    copy->id = keep(&texts, event->id);
    copy->who = keep(&texts, event->who);
    copy->note = keep(&texts, event->note);
    copy->key = keep(&texts, event->key);
    if (event->data.size) {
        memcpy(texts, event->data.data, event->data.size);
    }
    copy->data.data = texts;
    return one;
}

marty_err marty__engine_enter(const marty_saga_engine *engine, bool waits, marty_error *why)
{
    if (!engine) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "engine is NULL; open one with marty_saga_open");
    }
    if (engine->bus->fork_generation != marty__fork_generation()) {
        return marty_error_set(why, MARTY_E_FORKED,
                               "this engine was opened before fork; open another in the child");
    }
    if (waits && pthread_equal(pthread_self(), engine->thread)) {
        return marty_error_set(why, MARTY_E_STATE,
                               "an effect inside the transaction of a saga cannot wait for another "
                               "transition: the engine waits for it");
    }
    return MARTY_OK;
}

/* What is told to the caller. */
static marty_err outcome_of(const marty_saga_engine *engine, const call *one, bool answered,
                            char ret_text[ENGINE_TEXT])
{
    if (!answered) {
        char refusal[ENGINE_TEXT / 2];
        marty__saga_core_refusal(engine->core, refusal, sizeof refusal);
        (void)snprintf(ret_text, ENGINE_TEXT,
                       "the store has not answered in time%s%s; the same call again, with the same "
                       "key or id, is safe",
                       *refusal ? "; it said last: " : "", refusal);
        return MARTY_E_TIMEOUT;
    }
    if (!one->err && one->ignored == MARTY__SAGA_IGNORED_ENDED) {
        (void)snprintf(ret_text, ENGINE_TEXT, "the saga has ended");
        return MARTY_E_STATE;
    }
    (void)snprintf(ret_text, ENGINE_TEXT, "%s", one->why);
    return one->err;
}

marty_err marty__engine_ask(marty_saga_engine *engine, const marty__saga_input *input,
                            int32_t timeout_ms, char ret_text[ENGINE_TEXT])
{
    if (marty__saga_core_waiting(engine->core) >= WAITING_MAX) {
        (void)snprintf(ret_text, ENGINE_TEXT,
                       "%d calls wait for the store already; try again later", WAITING_MAX);
        return MARTY_E_FULL;
    }
    call *one = new_call(input);
    if (!one) {
        (void)snprintf(ret_text, ENGINE_TEXT, "out of memory");
        return MARTY_E_NO_MEMORY;
    }
    int64_t until_ns = marty__engine_deadline(timeout_ms, CALL_MS);
    marty__saga_core_put(engine->core, &one->input);
    marty_err err = outcome_of(engine, one, marty__bell_wait(&one->answered, until_ns), ret_text);
    call_unref(one);
    return err;
}
