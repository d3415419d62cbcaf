/* SPDX-License-Identifier: Apache-2.0
 * marty saga ls and show: look at the sagas of a store, and at one. */
#include "letters.h"
#include "saga.h"

#include <marty/adapter.h>
#include <stdlib.h>

static const cli_column columns[] = {{"ID", "id", false},           {"SAGA", "saga", false},
                                     {"KEY", "key", false},         {"STATUS", "status", false},
                                     {"STARTED", "started", false}, {"AGE s", "age_s", true},
                                     {"TROUBLE", "stuck", false}};
static const cli_flag ls_flags[] = {
    {"limit", 'n', CLI_NUMBER, "N", "At most so many; default 100."}, {0}};

static bool on_row(void *user, const marty_saga_facts *facts)
{
    cli_row(user, cli_saga_row(facts));
    return true;
}

static int ls(cli_run *cli)
{
    cli_saga saga;
    cli_saga_want want;
    marty_error why = {0};
    uint64_t limit = cli_number(cli, "limit", 100);
    int code = cli_saga_open(cli, &saga, true, false);
    if (code) {
        return code;
    }
    cli_saga_wanted(cli, &want);
    cli_rows_begin(cli, columns, sizeof columns / sizeof *columns, false);
    marty_err err = cli_saga_walk(&saga, &want, limit, on_row, cli, &why);
    bool full = cli->out.row_count == limit;
    cli_rows_end(cli, err ? NULL : "no sagas like that");
    if (!err && full && !cli_set(cli, "limit")) {
        cli_say(cli, "there may be more: --limit N, or --after the last ID");
    }
    return cli_saga_close(cli, &saga, err ? cli_fail(cli, err, &why) : CLI_OK);
}

const cli_verb cli_verb_saga_ls = {
    .name = "saga ls",
    .arguments = "",
    .summary = "the sagas of a store",
    .text = "In the order of their ids, which is about the order of their starts. Needs the store "
            "only, no backend.",
    .examples = "marty saga ls --store sqlite:sagas.db\n"
                "marty saga ls --status stuck\n"
                "marty saga ls --status failing\n"
                "marty saga ls --stuck past-horizon --age 7d\n"
                "marty saga ls --saga order --older 1h --status open",
    .tables = {ls_flags, cli_flags_sagas, cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = ls,
};

/* ---- one saga */
enum { LETTERS_MAX = 100 };

static void print_whole(cli_run *cli, const json_t *whole)
{
    char *text = json_dumps(whole, JSON_COMPACT);
    if (text) {
        (void)fwrite(text, 1, strlen(text), stdout);
        (void)fputc('\n', stdout);
        cli_flush(cli);
    }
    free(text);
}

typedef struct dying {
    const char *id;
    json_t *letters; /* rows */
} dying;

/* A command and an answer have the saga as their key. */
static marty_dead_verb on_letter(void *user, const marty_dead_letter *letter,
                                 marty_message *instead)
{
    dying *of = user;
    const char *key = letter->message ? letter->message->key : NULL;
    (void)instead;
    if (key && strcmp(key, of->id) == 0) {
        (void)json_array_append_new(of->letters, cli_letter_row(letter));
    }
    return json_array_size(of->letters) < LETTERS_MAX ? MARTY_DEAD_LEAVE : MARTY_DEAD_STOP;
}

static int find_letters(cli_run *cli, dying *of)
{
    const cli_letters all = {.channel = "*"};
    marty_bus *bus = NULL;
    marty_error why = {0};
    int code = cli_bus_open(cli, &bus, false, false);
    if (code) {
        return code;
    }
    marty_err err = cli_letters_walk(bus, &all, on_letter, of, &why);
    return cli_bus_close(cli, bus, err ? cli_fail(cli, err, &why) : CLI_OK);
}

/* With a backend, what died of its messages is shown, too: nobody tells the saga of that. The saga
 * is read by then, and is shown without them when the backend is away. */
static int add_letters(cli_run *cli, const char *id, json_t *whole)
{
    dying of = {.id = id, .letters = json_array()};
    if (find_letters(cli, &of)) {
        json_decref(of.letters);
        cli_say(cli, "so it is not known which of its commands and answers are dead letters; the "
                     "saga as its store has it:");
        return CLI_PARTIAL;
    }
    (void)json_object_set_new(whole, "dead_letters", of.letters);
    return CLI_OK;
}

static int show(cli_run *cli)
{
    cli_saga saga;
    char id[40];
    bool letters = cli_set(cli, "backend") || cli_set(cli, "config");
    int code = cli_saga_open(cli, &saga, true, false);
    code = code ? code : cli_saga_find(cli, &saga, cli_argument(cli, 0), id);
    json_t *whole = code ? NULL : cli_saga_read(cli, &saga, id, &code);
    code = saga.engine ? cli_saga_close(cli, &saga, code) : code;
    code = whole && letters ? add_letters(cli, id, whole) : code;
    if (whole && cli->out.format == CLI_TABLE) {
        cli_saga_timeline(cli, whole);
    } else if (whole) {
        print_whole(cli, whole);
    }
    json_decref(whole);
    return code;
}

const cli_verb cli_verb_saga_show = {
    .name = "saga show",
    .arguments = "ID",
    .summary = "one saga: its steps, and all that happened",
    .text =
        "The steps with their attempts, what it waits for and why it is stuck; then its history, "
        "each line with its cause. Needs the store only; with a backend (-b or -c) the dead "
        "letters among its commands and answers are shown, too; when that backend is away, the "
        "saga is shown all the same, with exit code 5.",
    .examples = "marty saga show 019ac...\nmarty saga show 019ac... -b sqlite:bus.db\n"
                "marty saga show 019ac... -o json | jq .saga",
    .tables = {cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = show,
    .argument_min = 1,
    .argument_max = 1,
};
