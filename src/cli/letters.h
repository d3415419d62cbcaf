/* SPDX-License-Identifier: Apache-2.0
 * Dead letters as rows, shared by the dlq verbs. */
#ifndef MARTY_CLI_LETTERS_H
#define MARTY_CLI_LETTERS_H
#include "message.h"
#include "session.h"
#include "where.h"

/* Which letters a verb means, from its flags and arguments. */
typedef struct cli_letters {
    const char *channel;    /* "*" = all */
    cli_where *where;       /* or NULL */
    const char *const *ids; /* of messages; id_count 0 = any */
    size_t id_count;
    uint64_t limit; /* 0 = none */
    json_t *found;  /* ids in place of the beginnings that were typed */
} cli_letters;
extern const cli_flag cli_flags_letters[];

/** Read the flags of cli_flags_letters; ids are the arguments from `first` on. CLI_OK, or said. */
int cli_letters_make(const cli_run *cli, size_t first, cli_letters *ret_letters);
void cli_letters_free(cli_letters *letters);
/** A letter as a row; a new one. */
json_t *cli_letter_row(const marty_dead_letter *letter);
/** Where it lies, as one word: the same for the same letter in two walks. */
char *cli_letter_place(const marty_dead_letter *letter);
/** Whether it is meant. */
bool cli_letter_meant(const cli_letters *letters, const json_t *row);
/** Put whole ids where only their beginnings were typed; CLI_OK, or an exit code after it is said
 * that several begin so. */
int cli_letters_find(cli_run *cli, marty_bus *bus, cli_letters *letters);
/** Walk; a channel that is not there yet has no letters. */
marty_err cli_letters_walk(marty_bus *bus, const cli_letters *letters, marty_on_dead each,
                           void *user, marty_error *why);
extern const cli_column cli_letter_columns[];
enum { CLI_LETTER_COLUMNS = 7 };
#endif
