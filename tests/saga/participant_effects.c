/* SPDX-License-Identifier: Apache-2.0
 * The effects of the participant under test: see participant_effects.h. Workers call them. */
#include "participant_effects.h"

static atomic_int calls;

int payment_calls(void)
{
    return atomic_load(&calls);
}

static void field(char *ret, size_t size, const marty_operation *operation, const char *name)
{
    char sought[24];
    (void)snprintf(sought, sizeof sought, "\"%s\":\"", name);
    const char *at = operation->data.size ? strstr(operation->data.data, sought) : NULL;
    at = at ? at + strlen(sought) : "";
    (void)snprintf(ret, size, "%.*s", (int)strcspn(at, "\""), at);
}

/* What no effect may do, or what goes wrong in one. */
static marty_err misbehave(const payment *p, const char *act, void *transaction)
{
    static const struct {
        const char *act, *sql;
        marty_err then;
    } rows[] = {{"commit", "COMMIT", MARTY_OK},
                {"roll back", "ROLLBACK", MARTY_OK},
                {"begin anew", "ROLLBACK; BEGIN", MARTY_OK},
                {"commit and begin", "COMMIT; BEGIN", MARTY_OK},
                {"commit and fail", "COMMIT", MARTY_E_FAILED},
                {"fail", "SELECT 1", MARTY_E_FAILED},
                {"bad sql", "SELECT nothing FROM nowhere", MARTY_OK}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].act, act) == 0) {
            (void)p->run(transaction, rows[i].sql);
            return rows[i].then;
        }
    }
    if (p->act) {
        p->act(act, transaction);
    }
    return MARTY_OK;
}

static marty_err effect(const payment *p, const char *what, marty_operation *operation,
                        void *transaction)
{
    char order[40], card[40], act[40], sql[200];
    field(order, sizeof order, operation, "order");
    field(card, sizeof card, operation, "card");
    field(act, sizeof act, operation, "act");
    atomic_fetch_add(&calls, 1);
    (void)snprintf(sql, sizeof sql, "INSERT INTO effect VALUES ('%s', '%s')", what, order);
    if (!p->run(transaction, sql)) {
        return MARTY_E_STORAGE;
    }
    size_t size = strlen(card);
    if (strcmp(what, "charge") == 0 && size && card[size - 1] == '0') {
        return marty_operation_refuse(operation, "card refused"); /* the row goes with it */
    }
    marty_err err = strcmp(what, "charge") == 0 ? misbehave(p, act, transaction) : MARTY_OK;
    return err ? err : marty_operation_reply(operation, marty_text("{\"receipt\":17}"));
}

static marty_err charge(void *user, marty_operation *operation, void *transaction)
{
    return effect(user, "charge", operation, transaction);
}

static marty_err refund(void *user, marty_operation *operation, void *transaction)
{
    return effect(user, "refund", operation, transaction);
}

static marty_err reserve(void *user, marty_operation *operation, void *transaction)
{
    return effect(user, "reserve", operation, transaction);
}

static marty_err release(void *user, marty_operation *operation, void *transaction)
{
    return effect(user, "release", operation, transaction);
}

void payment_start(payment *p, const char *store_url)
{
    static const struct {
        const char *command;
        marty_effect effect;
    } rows[] = {{"charge", charge}, {"refund", refund}, {"reserve", reserve}, {"release", release}};
    marty_error why = {0};
    marty_participant_options options = {.service = p->service ? p->service : "payment"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!CHECK_INT(marty_participate(p->bus, rows[i].command, store_url, rows[i].effect, p,
                                         &options, NULL, &why),
                       MARTY_OK)) {
            fprintf(stderr, "%s\n", why.text);
            exit(1);
        }
    }
}
