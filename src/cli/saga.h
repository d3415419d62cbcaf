/* SPDX-License-Identifier: Apache-2.0
 * What the saga verbs share: an engine opened from the settings, and words for what they show. */
#ifndef MARTY_CLI_SAGA_H
#define MARTY_CLI_SAGA_H
#include "session.h"

#include <marty/saga.h>

typedef struct cli_saga {
    marty_bus *bus;
    marty_saga_engine *engine;
} cli_saga;

extern const cli_flag cli_flags_store[], cli_flags_sagas[], cli_flags_bulk[];

/* Which sagas a verb is about: what the store chooses by, and more. */
typedef struct cli_saga_want {
    marty_saga_filter filter; /* without limit */
    const char *stuck;        /* a part of the reason, or NULL */
    const char *word;         /* as cli_saga_word says it, or NULL: of those that have no status */
    int64_t started_before_us;
} cli_saga_want;

/** The time that a flag's duration is ago; for "before then". */
int64_t cli_saga_ago(const cli_run *cli, const char *flag);
/** A version of a definition, 0 = none given; false when no version is that high. */
bool cli_saga_version(const cli_run *cli, const char *flag, uint32_t *ret);
/** By the flags of cli_flags_sagas. */
void cli_saga_wanted(const cli_run *cli, cli_saga_want *ret);
bool cli_saga_meant(const cli_saga_want *want, const marty_saga_facts *facts);
/** Go through them by their ids, at most limit. found may call the engine. */
marty_err cli_saga_walk(const cli_saga *saga, const cli_saga_want *want, uint64_t limit,
                        marty_saga_found found, void *user, marty_error *why);

/** Open bus and engine; sends: it may have to publish commands, so the bus connects; else no
 * backend is needed. CLI_OK, or an exit code after the error is said. */
int cli_saga_open(cli_run *cli, cli_saga *ret, bool client, bool sends);
/** Close both; code is kept unless it was CLI_OK. */
int cli_saga_close(cli_run *cli, cli_saga *saga, int code);
/** The id that was typed, or that begins so as the only one; CLI_OK, or an exit code after it is
 * said that several do. */
int cli_saga_find(cli_run *cli, const cli_saga *saga, const char *typed, char ret_id[40]);
/** A verb for all sagas that cli_flags_sagas and cli_flags_bulk choose; from: of MIGRATE, only
 * those under that version. */
int cli_saga_each(cli_run *cli, const cli_saga *saga, marty_saga_verb verb,
                  const marty_saga_order *order, uint64_t from);
/** cli_fail, and where to look when there is no such saga. */
int cli_saga_fail(const cli_run *cli, marty_err err, const marty_error *why);
/** A whole file, added to a text. */
marty_err cli_saga_file(const char *path, cli_text *ret, marty_error *why);
/** Whether it goes on by itself, and tries a step of it in vain. */
bool cli_saga_failing(const marty_saga_facts *facts);
/** "running", "failing", "stuck", "completed", ... */
const char *cli_saga_word(const marty_saga_facts *facts);
/** The status of such a word; 0 = it is none. */
marty_saga_status cli_saga_status(const char *word);
/** One saga with its history; NULL after the error is said in *ret_code. */
json_t *cli_saga_read(cli_run *cli, const cli_saga *saga, const char *id, int *ret_code);
/** The text of a member, or "". */
const char *cli_saga_text(const json_t *object, const char *name);
/** "15:59:39.293" of an RFC 3339 time. */
const char *cli_saga_clock(const char *time, char ret[16]);
/** " (paused)" of one that is held and has not ended, or "". */
const char *cli_saga_pause(const json_t *saga);
/** The lines of a history. */
void cli_saga_history(const json_t *history);
/** What a verb would do to a saga, for people. whole: with its history. */
void cli_saga_preview(cli_run *cli, const json_t *whole, const json_t *trial);
/** One saga with its history, for people. */
void cli_saga_timeline(cli_run *cli, const json_t *whole);
/** What to type when it waits for a person, or may need one. saga: as cli_saga_read has it. */
void cli_saga_next(const cli_run *cli, const json_t *saga);
/** Wait until it has ended, by the flags --timeout and --or-stuck; the exit code. */
int cli_saga_wait(cli_run *cli, const cli_saga *saga, const char *id);
/** One saga as a row: id, name, key, status, age, stuck. */
json_t *cli_saga_row(const marty_saga_facts *facts);
#endif
