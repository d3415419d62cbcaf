/* SPDX-License-Identifier: Apache-2.0
 * Flags as data: one table row gives parsing, usage errors, help, completion and the man page. A
 * verb names several tables; a row whose name is NULL ends a table. */
#ifndef MARTY_CLI_FLAGS_H
#define MARTY_CLI_FLAGS_H
#include "text.h"

enum { CLI_FLAGS_MAX = 48, CLI_TABLES_MAX = 9 };
typedef enum cli_flag_kind {
    CLI_SWITCH = 1,
    CLI_STRING,
    CLI_LIST,     /* may be given again */
    CLI_NUMBER,   /* 20000, 20k, 1.5M */
    CLI_DURATION, /* 500ms, 5s, 2h, 7d */
    CLI_CHOICE    /* value lists the words: a|b|c */
} cli_flag_kind;
typedef struct cli_flag {
    const char *name;
    char letter; /* 0 = none */
    cli_flag_kind kind;
    const char *value, *help; /* value: its name in help; NULL for a switch */
} cli_flag;
typedef struct cli_value {
    const cli_flag *flag;
    bool set;
    uint64_t number; /* of NUMBER; ms of DURATION */
    const char *text;
    const char **list;
    size_t count;
} cli_value;
typedef struct cli_given {
    cli_value values[CLI_FLAGS_MAX];
    size_t value_count;
    const char **arguments;
    size_t argument_count;
} cli_given;

/** Parse words (borrowed for the life of given). False: why says what is wrong and what was
 * perhaps meant. */
bool cli_flags_parse(cli_given *given, const cli_flag *const tables[], const char *const words[],
                     size_t count, cli_text *why);
/** Free what parse allocated. */
void cli_flags_free(cli_given *given);
/** The row for a word such as "--count=3", "-n" or "-n3", or NULL. ret_value: what is attached to
 * it, or NULL. */
const cli_flag *cli_flags_find(const cli_flag *const tables[], const char *word,
                               const char **ret_value);
/** The value of a flag that the verb has; asserts that it has it. */
const cli_value *cli_flags_value(const cli_given *given, const char *name);
/** Number with k, M or G after it; false when it is none. */
bool cli_number_parse(uint64_t *ret_number, const char *text);
/** Whether word is one of the words of "a|b|c". */
bool cli_choice_has(const char *choices, const char *word);

/** The nearest of `count` words, or NULL when none is near enough to be meant. */
const char *cli_suggest(const char *word, const char *const words[], size_t count);
#endif
