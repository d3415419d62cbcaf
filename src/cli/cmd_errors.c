/* SPDX-License-Identifier: Apache-2.0
 * marty errors: the table of error codes, and what to do about each. */
#include "cli.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

static const cli_column columns[] = {{"CODE", "code", false},
                                     {"NUMBER", "number", true},
                                     {"CLASS", "class", false},
                                     {"MEANING", "meaning", false},
                                     {"WHAT TO DO", "do", false}};

/* More than the class says: what helps with this very code. */
static const struct {
    marty_err code;
    const char *what;
} advice[] = {
    {MARTY_E_STATE, "look at the order of the calls: it is settled, started or closed already"},
    {MARTY_E_CONFIG, "the text names file, line and field; check with: marty config validate"},
    {MARTY_E_UNSUPPORTED, "see what the backend grants: marty backend ls; route to another one"},
    {MARTY_E_NOT_FOUND, "see what there is: marty topology show; make it: marty topology create"},
    {MARTY_E_EXISTS, "the text names field, wanted and found: change one of them, or the name"},
    {MARTY_E_TOO_LARGE, "send a reference, or route to a backend with a higher limit"},
    {MARTY_E_REMOTE, "the responder's own code and text are beside it"},
    {MARTY_E_FULL, "wait for room (state ROOM), then publish again"},
    {MARTY_E_TIMEOUT, "try again, or give it more time: --timeout"},
    {MARTY_E_UNAVAILABLE, "is it running, and reachable? ask: marty doctor"},
    {MARTY_E_MAYBE_STORED,
     "the answer was lost: publish again with the same id, and it is stored once"},
    {MARTY_E_NO_RESPONDER, "start the service that answers, or: marty reply SERVICE TYPE --echo"},
    {MARTY_E_LOST, "do not finish the effect: another instance has the message now"},
    {MARTY_E_STORAGE, "make room on the disk; publishing goes on by itself"},
    {MARTY_E_DENIED, "check user, password, token or the rights they have"},
    {MARTY_E_TLS, "check CA, host name and dates of the certificate: marty doctor"},
    {MARTY_E_MISSING_MODULE, "install the package that the text names"},
    {MARTY_E_INTERNAL, "report it, with the text"},
    {MARTY_E_NO_GROUP, "subscribe first, then publish again"},
};

static const char *class_name(marty_class class_)
{
    switch (class_) {
    case MARTY_CLASS_NONE:
        return "none";
    case MARTY_CLASS_CALLER:
        return "caller";
    case MARTY_CLASS_RETRY:
        return "retry";
    case MARTY_CLASS_FATAL:
        break;
    }
    return "fatal";
}

static const char *what_to_do(const marty_err_info *info)
{
    size_t i;
    for (i = 0; i < sizeof advice / sizeof advice[0]; i++) {
        if (advice[i].code == info->code) {
            return advice[i].what;
        }
    }
    switch (info->error_class) {
    case MARTY_CLASS_CALLER:
        return "fix the program or its configuration";
    case MARTY_CLASS_RETRY:
        return "try the same call again, with the same id";
    case MARTY_CLASS_FATAL:
        return "nothing helps until a person or another system changes something";
    case MARTY_CLASS_NONE:
        break;
    }
    return "nothing";
}

static void row(cli_run *cli, const marty_err_info *info)
{
    cli_row(cli, json_pack("{s:s, s:i, s:s, s:s, s:s}", "code", info->name, "number",
                           (int)info->code, "class", class_name(info->error_class), "meaning",
                           info->text, "do", what_to_do(info)));
}

#define NUMBER(name, number, class_, text) number,
static const int numbers[] = {MARTY_ERRORS(NUMBER)};
enum { COUNT = sizeof numbers / sizeof numbers[0] };

static int ls(cli_run *cli)
{
    size_t i;
    cli_rows_begin(cli, columns, sizeof columns / sizeof columns[0], false);
    for (i = 0; i < COUNT; i++) {
        row(cli, marty_err_describe((marty_err)numbers[i]));
    }
    cli_rows_end(cli, NULL);
    return CLI_OK;
}

static const marty_err_info *find(const char *word)
{
    size_t i;
    for (i = 0; i < COUNT; i++) {
        const marty_err_info *info = marty_err_describe((marty_err)numbers[i]);
        const char *bare = strncmp(info->name, "MARTY_E_", 8) == 0 ? info->name + 8 : info->name;
        char number[16];
        (void)snprintf(number, sizeof number, "%d", numbers[i]);
        if (strcasecmp(word, info->name) == 0 || strcasecmp(word, bare) == 0 ||
            strcmp(word, number) == 0) {
            return info;
        }
    }
    return NULL;
}

static int lookup(cli_run *cli)
{
    const char *word = cli_argument(cli, 0), *names[2 * COUNT], *near;
    const marty_err_info *info = find(word);
    size_t i;
    if (!info) {
        for (i = 0; i < COUNT; i++) {
            names[i] = marty_err_describe((marty_err)numbers[i])->name;
            names[COUNT + i] = strncmp(names[i], "MARTY_E_", 8) == 0 ? names[i] + 8 : names[i];
        }
        near = cli_suggest(word, names, 2 * COUNT);
        (void)fprintf(stderr, "marty: no error \"%s\"%s%s%s\n", word,
                      near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
        cli_next(cli, "marty errors ls");
        return CLI_NOT_FOUND;
    }
    if (cli->out.format == CLI_TABLE) {
        (void)printf("%s (%d, class %s)\n  %s\n  what to do: %s\n", info->name, (int)info->code,
                     class_name(info->error_class), info->text, what_to_do(info));
        return CLI_OK;
    }
    cli_rows_begin(cli, columns, sizeof columns / sizeof columns[0], true);
    row(cli, info);
    cli_rows_end(cli, NULL);
    return CLI_OK;
}

const cli_verb cli_verb_errors_ls = {
    .name = "errors ls",
    .arguments = "",
    .summary = "all error codes",
    .text = "Class caller: fix the program or its configuration. Class retry: the same call with "
            "the same id may succeed later. Class fatal: not until a person or another system "
            "changes something.",
    .tables = {cli_flags_common},
    .run = ls,
};

const cli_verb cli_verb_errors_lookup = {
    .name = "errors lookup",
    .arguments = "CODE",
    .summary = "what an error means and what to do about it",
    .text = "CODE is a name, with or without MARTY_E_, or a number.",
    .examples = "marty errors lookup MARTY_E_MAYBE_STORED\nmarty errors lookup 16",
    .tables = {cli_flags_common},
    .run = lookup,
    .argument_min = 1,
    .argument_max = 1,
    .words = "@errors",
};
