/* SPDX-License-Identifier: Apache-2.0
 * Which saga is meant by what was typed: an id, or its beginning when no other id begins so. */
#include "saga.h"

#include <marty/adapter.h>

enum { SHORTEST = 4, WHOLE = 32, SHOWN = 5 };

typedef struct finding {
    const char *typed;
    size_t size;
    unsigned count;
    bool exact;
    char id[40];
    cli_text candidates;
} finding;

static bool on_candidate(void *user, const marty_saga_facts *facts)
{
    finding *to = user;
    if (strncmp(facts->id, to->typed, to->size) != 0) {
        return false;
    }
    if (to->count++ == 0) {
        to->exact = facts->id[to->size] == '\0';
        (void)snprintf(to->id, sizeof to->id, "%.39s", facts->id);
    }
    cli_text_format(&to->candidates, "\n  %s  %s%s%s  %s", facts->id, facts->name,
                    *facts->key ? "  key " : "", facts->key, cli_saga_word(facts));
    return !to->exact && to->count <= SHOWN;
}

/* An id that is below all that begin so, and above all others that are. */
static void just_below(char ret[40], const char *typed, size_t size)
{
    (void)snprintf(ret, 40, "%.*s", (int)size, typed);
    ret[size - 1]--;
    memset(ret + size, 'z', 39 - size); /* the highest that an id may have */
    ret[39] = '\0';
}

int cli_saga_find(cli_run *cli, const cli_saga *saga, const char *typed, char ret_id[40])
{
    char after[40];
    marty_error why = {0};
    finding to = {.typed = typed, .size = strlen(typed)};
    (void)snprintf(ret_id, 40, "%.39s", typed);
    if (to.size < SHORTEST) {
        int code = cli_failf(
            cli, MARTY_E_NOT_FOUND,
            "\"%s\" is too short for an id: give its first four characters or more", typed);
        cli_next(cli, "marty saga ls");
        return code;
    }
    if (to.size >= WHOLE) {
        return CLI_OK; /* who looks for it says when it is not there */
    }
    just_below(after, typed, to.size);
    marty_saga_filter filter = {.after = after, .limit = SHOWN + 2};
    marty_err err = marty_saga_list(saga->engine, &filter, on_candidate, &to, &why);
    int code = CLI_OK;
    if (err) {
        code = cli_fail(cli, err, &why);
    } else if (to.exact || to.count == 1) {
        memcpy(ret_id, to.id, sizeof to.id);
    } else if (to.count > 1) {
        code = cli_failf(cli, MARTY_E_ARGUMENT, "%u%s ids begin with %s; say more of the one:",
                         to.count > SHOWN ? (unsigned)SHOWN : to.count,
                         to.count > SHOWN ? " or more" : "", typed);
        (void)fprintf(stderr, "%s\n", to.candidates.data + 1);
    }
    cli_text_free(&to.candidates);
    return code;
}
