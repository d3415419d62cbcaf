/* SPDX-License-Identifier: Apache-2.0
 * Local steps inside the transaction of the engine's store: what a step wrote is there exactly when
 * it is done; one that refuses, fails, or ends the transaction has done nothing, is asked again,
 * and hinders no other saga. */
#include "participant_effects.h"

enum { OTHERS = 30 };

static const marty_step step = {
    .name = "write", .local = "write", .compensate = "write", .retry = {.first_ms = 20}};
static const marty_saga saga = {.name = "local", .version = 1, .steps = &step, .step_count = 1};

typedef struct scene {
    world *w;
    marty_saga_engine *engine;
    effect_sql run;
} scene;

static marty_err write_row(void *user, marty_operation *operation, void *transaction)
{
    static const struct {
        const char *act, *sql;
        marty_err then;
    } acts[] = {{"\"commit\"", "COMMIT", MARTY_OK},
                {"\"roll back\"", "ROLLBACK", MARTY_OK},
                {"\"begin anew\"", "ROLLBACK; BEGIN", MARTY_OK},
                {"\"commit and fail\"", "COMMIT", MARTY_E_FAILED},
                {"\"other schema\"", "SET LOCAL search_path = pg_catalog", MARTY_OK},
                {"\"fail\"", "SELECT 1", MARTY_E_FAILED}};
    const scene *of = user;
    char sql[200];
    if (operation->undo) {
        return MARTY_OK;
    }
    (void)snprintf(sql, sizeof sql, "INSERT INTO effect VALUES ('local', '%s')", operation->saga);
    if (!of->run(transaction, sql)) {
        return MARTY_E_STORAGE;
    }
    for (size_t i = 0; i < sizeof acts / sizeof *acts && operation->attempt == 1; i++) {
        if (strstr(operation->data.data, acts[i].act)) {
            (void)of->run(transaction, acts[i].sql);
            return acts[i].then;
        }
    }
    return strstr(operation->data.data, "refuse") ? marty_operation_refuse(operation, "not\nhere")
                                                  : MARTY_OK;
}

static void start(const scene *of, const char *act, char id[40])
{
    marty_error why = {0};
    char input[80];
    (void)snprintf(input, sizeof input, "{\"act\":\"%s\"}", act);
    if (!CHECK_INT(marty_saga_start(of->engine, "local", NULL, marty_text(input), NULL, id, &why),
                   MARTY_OK)) {
        fprintf(stderr, "%s\n", why.text);
    }
}

static void expect(const scene *of, const char *act, const char *id, marty_saga_status wanted)
{
    marty_error why = {0};
    marty_saga_status status = 0;
    CHECK_INT(marty_saga_wait(of->engine, id, (int32_t)check__patience(ANSWER_MS), &status, &why),
              MARTY_OK);
    if (!CHECK_INT(status, wanted) ||
        !CHECK_INT(of->w->count(of->w, "local", id), wanted == MARTY_SAGA_COMPLETED)) {
        fprintf(stderr, "    act %s: %s\n", act, why.text);
    }
}

/* Each with others around it, so that they are one batch. */
static void each_act(const scene *of)
{
    static const char *const acts[] = {"none",       "refuse",          "commit", "roll back",
                                       "begin anew", "commit and fail", "fail",   "other schema"};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        char id[40], others[OTHERS][40];
        for (int k = 0; k < OTHERS; k++) {
            start(of, "none", others[k]);
            if (k == OTHERS / 2) {
                start(of, acts[i], id);
            }
        }
        expect(of, acts[i], id,
               strcmp(acts[i], "refuse") == 0 ? MARTY_SAGA_COMPENSATED : MARTY_SAGA_COMPLETED);
        for (int k = 0; k < OTHERS; k++) {
            expect(of, "none", others[k], MARTY_SAGA_COMPLETED);
        }
    }
}

void local_steps(world *w, const char *store_url, effect_sql run)
{
    marty_error why = {0};
    scene of = {.w = w, .run = run};
    marty_saga_options options = {.service = "local"};
    if (!CHECK_INT(marty_saga_open(&of.engine, w->bus, store_url, &options, &why), MARTY_OK) ||
        !CHECK_INT(marty_saga_function(of.engine, "write", write_row, &of, &why), MARTY_OK) ||
        !CHECK_INT(marty_saga_register(of.engine, &saga, NULL, &why), MARTY_OK)) {
        fprintf(stderr, "%s\n", why.text);
        return;
    }
    each_act(&of);
    CHECK_INT(marty_saga_close(of.engine, 0, &why), MARTY_OK);
}
