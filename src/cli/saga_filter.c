/* SPDX-License-Identifier: Apache-2.0
 * Which sagas a verb is about: what the store can choose by, and what is chosen of what it gives.
 * The walk goes through all pages. */
#include "saga.h"

#include <marty/adapter.h>

enum { PAGE = 1000 };

const cli_flag cli_flags_sagas[] = {
    {"saga", 0, CLI_STRING, "NAME", "Only those of this definition."},
    {"status", 0, CLI_CHOICE,
     "running|compensating|completed|compensated|abandoned|stuck|paused|open",
     "Only those that stand so; open: not ended; stuck: wait for a person."},
    {"key", 'k', CLI_STRING, "KEY", "Only that with this start key."},
    {"age", 0, CLI_DURATION, "DURATION", "Only those that were started longer ago."},
    {"older", 0, CLI_DURATION, "DURATION", "Only those that have not changed for longer."},
    {"stuck", 0, CLI_STRING, "TEXT", "Only those that are stuck with this in the reason."},
    {"after", 0, CLI_STRING, "ID", "Go on after this one."},
    {0}};

void cli_saga_wanted(const cli_run *cli, cli_saga_want *ret)
{
    const char *status = cli_string(cli, "status", "");
    int64_t now_us = cli_wall_us();
    *ret = (cli_saga_want){.stuck = cli_string(cli, "stuck", NULL),
                           .paused = strcmp(status, "paused") == 0,
                           .started_before_us = INT64_MAX};
    ret->filter = (marty_saga_filter){.name = cli_string(cli, "saga", NULL),
                                      .key = cli_string(cli, "key", NULL),
                                      .after = cli_string(cli, "after", NULL),
                                      .stuck = ret->stuck || strcmp(status, "stuck") == 0,
                                      .open = ret->paused || strcmp(status, "open") == 0};
    ret->filter.status = cli_saga_status(status);
    if (cli_set(cli, "older")) {
        ret->filter.changed_before_us = now_us - (int64_t)cli_number(cli, "older", 0) * 1000;
    }
    if (cli_set(cli, "age")) {
        ret->started_before_us = now_us - (int64_t)cli_number(cli, "age", 0) * 1000;
    }
}

bool cli_saga_meant(const cli_saga_want *want, const marty_saga_facts *facts)
{
    const marty_saga_filter *filter = &want->filter;
    bool ended = facts->status >= MARTY_SAGA_COMPLETED;
    return (!want->stuck || strstr(facts->stuck, want->stuck)) &&
           (!want->paused || facts->paused) && facts->started_us < want->started_before_us &&
           (!filter->name || strcmp(filter->name, facts->name) == 0) &&
           (!filter->key || strcmp(filter->key, facts->key) == 0) &&
           (!filter->status || filter->status == facts->status) &&
           (!filter->stuck || *facts->stuck) && (!filter->open || !ended) &&
           (!filter->changed_before_us || facts->changed_us < filter->changed_before_us);
}

/* One page: what is meant is copied, since what is found must not call the engine. */
typedef struct page {
    const cli_saga_want *want;
    marty_saga_record *kept[PAGE];
    uint32_t count, seen;
    uint64_t left;
    char last[40];
} page;

static bool on_saga(void *user, const marty_saga_facts *facts)
{
    page *to = user;
    const marty_bytes none = {"", 0};
    to->seen++;
    (void)snprintf(to->last, sizeof to->last, "%s", facts->id);
    if (cli_saga_meant(to->want, facts)) {
        to->kept[to->count++] = marty_saga_record_new(facts, 0, none, none);
        to->left--;
    }
    return to->left > 0;
}

static bool give_page(page *from, marty_saga_found found, void *user)
{
    bool more = true;
    for (uint32_t i = 0; i < from->count; i++) {
        more = more && from->kept[i] && found(user, &from->kept[i]->facts);
        marty_free(from->kept[i]);
    }
    return more;
}

marty_err cli_saga_walk(const cli_saga *saga, const cli_saga_want *want, uint64_t limit,
                        marty_saga_found found, void *user, marty_error *why)
{
    page *at = marty_alloc_zero(1, sizeof *at);
    marty_saga_filter filter = want->filter;
    marty_err err = at ? MARTY_OK : marty_error_set(why, MARTY_E_NO_MEMORY, "out of memory");
    bool more = at && limit > 0;
    while (more && !err) {
        char after[40];
        (void)snprintf(after, sizeof after, "%.39s",
                       *at->last      ? at->last
                       : filter.after ? filter.after
                                      : "");
        at->want = want;
        at->left = limit;
        at->count = at->seen = 0;
        filter.after = after;
        filter.limit = PAGE;
        err = marty_saga_list(saga->engine, &filter, on_saga, at, why);
        limit = at->left;
        more = give_page(at, found, user) && at->seen == PAGE && limit > 0;
    }
    marty_free(at);
    return err;
}
