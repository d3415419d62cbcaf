/* SPDX-License-Identifier: Apache-2.0
 * Waiting for the end of a saga. What holds it up meanwhile is said when it is seen, once for each
 * change, with what to type: the wait goes on, since a person elsewhere may mend it. */
#include "saga.h"

#include <marty/adapter.h>
#include <stdlib.h>

enum { WAIT_MS = 30000, LOOK_MS = 200, LOOK_AGAIN_MS = 1000 };

static const cli_column columns[] = {{"ID", "id", false}, {"STATUS", "status", false}};

typedef struct waiting {
    cli_run *cli;
    const cli_saga *saga;
    const char *id;
    cli_text said; /* what held it up when it was last looked at; empty: nothing */
    bool stuck;
} waiting;

/* The first step that is stuck, or else tried in vain: in a line, empty when there is none. */
static cli_text trouble_of(const json_t *saga, bool stuck)
{
    cli_text text = {0};
    const json_t *step;
    size_t i;
    json_array_foreach(json_object_get(saga, "steps"), i, step)
    {
        const char *kind = cli_saga_text(step, "stuck"), *reason = cli_saga_text(step, "reason");
        bool failing = !stuck && json_is_true(json_object_get(step, "failing"));
        if (text.size == 0 && (stuck ? *kind != '\0' : failing)) {
            cli_text_format(&text, "%s: %s%s%s%s", stuck ? "stuck" : "failing",
                            cli_saga_text(step, "step"), *kind ? ": " : "", kind,
                            *reason ? ": " : "");
            cli_text_safe(&text, reason, strlen(reason));
        }
    }
    return text;
}

static bool same(const cli_text *left, const cli_text *right)
{
    return left->size == right->size &&
           (left->size == 0 || memcmp(left->data, right->data, left->size) == 0);
}

/* A store that does not answer now may do so the next time. */
static void look(waiting *w)
{
    marty_message *report = NULL;
    marty_error why = {0};
    if (marty_saga_show(w->saga->engine, w->id, false, &report, &why)) {
        return;
    }
    json_t *whole = cli_report_json(report);
    const json_t *saga = json_object_get(whole, "saga");
    w->stuck = strncmp(cli_saga_text(saga, "state"), "stuck", strlen("stuck")) == 0;
    cli_text now = trouble_of(saga, w->stuck);
    if (!same(&now, &w->said)) {
        cli_say(w->cli, "%s %s", w->id, now.size ? now.data : "goes on");
        cli_saga_next(w->cli, saga);
    }
    cli_text_free(&w->said);
    w->said = now;
    json_decref(whole);
}

/* CLI_STUCK, or the error of the wait in *ret_err. */
static int wait_and_look(waiting *w, marty_saga_status *ret_status, marty_err *ret_err,
                         marty_error *why)
{
    bool ends = cli_set(w->cli, "or-stuck");
    int64_t until_ns =
        cli_monotonic_ns() + (int64_t)cli_timeout(w->cli, "timeout", WAIT_MS) * 1000000;
    int32_t ms = LOOK_MS;
    for (;;) {
        int64_t left_ms = (until_ns - cli_monotonic_ns()) / 1000000;
        bool last = left_ms <= ms;
        *ret_err = marty_saga_wait(w->saga->engine, w->id,
                                   !last         ? ms
                                   : left_ms > 0 ? (int32_t)left_ms
                                                 : MARTY_NO_WAIT,
                                   ret_status, why);
        if (*ret_err != MARTY_E_TIMEOUT && *ret_err != MARTY_E_UNAVAILABLE) {
            return CLI_OK;
        }
        if (!last || ends) {
            look(w);
        }
        if (ends && w->stuck) {
            return CLI_STUCK;
        }
        if (last) {
            return CLI_OK;
        }
        ms = LOOK_AGAIN_MS;
    }
}

int cli_saga_wait(cli_run *cli, const cli_saga *saga, const char *id)
{
    marty_error why = {0};
    marty_err err = MARTY_OK;
    marty_saga_status status = 0;
    waiting w = {.cli = cli, .saga = saga, .id = id};
    int code = wait_and_look(&w, &status, &err, &why);
    cli_text_free(&w.said);
    if (err && !code) {
        code = cli_saga_fail(cli, err, &why);
        if (err == MARTY_E_TIMEOUT) {
            cli_next(cli, "marty saga show %s", id);
        }
        return code;
    }
    const marty_saga_facts facts = {.status = code ? MARTY_SAGA_RUNNING : status,
                                    .stuck = code ? "stuck" : ""};
    cli_rows_begin(cli, columns, 2, true);
    cli_row(cli, json_pack("{s:s, s:s}", "id", id, "status", cli_saga_word(&facts)));
    cli_rows_end(cli, NULL);
    return code ? code : status == MARTY_SAGA_COMPLETED ? CLI_OK : CLI_PARTIAL;
}
