/* SPDX-License-Identifier: Apache-2.0
 * Which sagas a verb is about: what the store can choose by, and what is chosen of what it gives.
 * The walk goes through all pages. */
#include "saga.h"

#include <marty/adapter.h>

enum { PAGE = 1000 };

const cli_flag cli_flags_sagas[] = {
    {"saga", 0, CLI_STRING, "NAME", "Only those of this definition."},
    {"status", 0, CLI_CHOICE,
     "running|compensating|completed|compensated|abandoned|stuck|failing|paused|open",
     "Only those that stand so; open: not ended; stuck: wait for a person; failing: go on, and try "
     "a step in vain."},
    {"key", 'k', CLI_STRING, "KEY", "Only that with this start key."},
    {"age", 0, CLI_DURATION, "DURATION", "Only those that were started longer ago."},
    {"older", 0, CLI_DURATION, "DURATION", "Only those that have not changed for longer."},
    {"stuck", 0, CLI_STRING, "TEXT",
     "Only those that are stuck or failing with this in the reason."},
    {"after", 0, CLI_STRING, "ID", "Go on after this one."},
    {0}};

int64_t cli_saga_ago(const cli_run *cli, const char *flag)
{
    int64_t now_us = cli_wall_us();
    uint64_t ms = cli_number(cli, flag, 0);
    return ms < (uint64_t)now_us / 1000 ? now_us - (int64_t)ms * 1000 : 1; /* 1970 */
}

bool cli_saga_version(const cli_run *cli, const char *flag, uint32_t *ret)
{
    uint64_t version = cli_number(cli, flag, 0);
    *ret = (uint32_t)version;
    return version <= UINT32_MAX;
}

void cli_saga_wanted(const cli_run *cli, cli_saga_want *ret)
{
    const char *status = cli_string(cli, "status", "");
    bool paused = strcmp(status, "paused") == 0;
    bool troubled = strcmp(status, "stuck") == 0 || strcmp(status, "failing") == 0;
    *ret = (cli_saga_want){.stuck = cli_string(cli, "stuck", NULL),
                           .word = paused || troubled ? status : NULL,
                           .started_before_us = INT64_MAX};
    ret->filter = (marty_saga_filter){.name = cli_string(cli, "saga", NULL),
                                      .key = cli_string(cli, "key", NULL),
                                      .after = cli_string(cli, "after", NULL),
                                      .stuck = ret->stuck || troubled,
                                      .open = paused || strcmp(status, "open") == 0};
    ret->filter.status = cli_saga_status(status);
    if (cli_set(cli, "older")) {
        ret->filter.changed_before_us = cli_saga_ago(cli, "older");
    }
    if (cli_set(cli, "age")) {
        ret->started_before_us = cli_saga_ago(cli, "age");
    }
}

/* One that is paused may be stuck, too. */
static bool has_word(const marty_saga_facts *facts, const char *word)
{
    return strcmp(word, "paused") == 0    ? facts->paused
           : strcmp(word, "failing") == 0 ? cli_saga_failing(facts)
                                          : strcmp(cli_saga_word(facts), word) == 0;
}

bool cli_saga_meant(const cli_saga_want *want, const marty_saga_facts *facts)
{
    const marty_saga_filter *filter = &want->filter;
    bool ended = facts->status >= MARTY_SAGA_COMPLETED;
    return (!want->stuck || strstr(facts->stuck, want->stuck)) &&
           (!want->word || has_word(facts, want->word)) &&
           facts->started_us < want->started_before_us &&
           (!filter->name || strcmp(filter->name, facts->name) == 0) &&
           (!filter->key || strcmp(filter->key, facts->key) == 0) &&
           (!filter->status || filter->status == facts->status) &&
           (!filter->stuck || (*facts->stuck && !ended)) && (!filter->open || !ended) &&
           (!filter->changed_before_us || facts->changed_us < filter->changed_before_us);
}

typedef struct walking {
    const cli_saga_want *want;
    marty_saga_found found;
    void *user;
    uint64_t left;
    uint32_t seen;
    char last[40];
} walking;

static bool on_saga(void *user, const marty_saga_facts *facts)
{
    walking *to = user;
    to->seen++;
    (void)snprintf(to->last, sizeof to->last, "%s", facts->id);
    if (cli_saga_meant(to->want, facts)) {
        to->left = to->found(to->user, facts) ? to->left - 1 : 0;
    }
    return to->left > 0;
}

marty_err cli_saga_walk(const cli_saga *saga, const cli_saga_want *want, uint64_t limit,
                        marty_saga_found found, void *user, marty_error *why)
{
    walking at = {.want = want, .found = found, .user = user, .left = limit, .seen = PAGE};
    marty_saga_filter filter = want->filter;
    marty_err err = MARTY_OK;
    (void)snprintf(at.last, sizeof at.last, "%.39s", filter.after ? filter.after : "");
    while (!err && at.left && at.seen == PAGE) {
        char after[40];
        memcpy(after, at.last, sizeof after);
        at.seen = 0;
        filter.after = after;
        filter.limit = PAGE;
        err = marty_saga_list(saga->engine, &filter, on_saga, &at, why);
    }
    return err;
}
