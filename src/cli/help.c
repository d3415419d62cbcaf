/* SPDX-License-Identifier: Apache-2.0
 * Help texts, made from the verb and flag tables. */
#include "letters.h"
#include "message.h"
#include "saga.h"

enum { WIDTH = 78, INDENT = 30 };

/* Words of text from column `at` on, later lines indented. A space is printed with the word after
 * it, so that no line ends in one. */
static void wrap(FILE *to, const char *text, int indent, int at)
{
    bool space = false;
    while (*text) {
        int length = (int)strcspn(text, " \n");
        if (length && space && at + 1 + length > WIDTH) {
            (void)fprintf(to, "\n%*s", indent, "");
            at = indent;
            space = false;
        }
        (void)fprintf(to, "%s%.*s", length && space ? " " : "", length, text);
        at += length + (length && space);
        space = length ? false : space;
        text += length;
        if (*text == '\n') {
            (void)fprintf(to, "\n%*s", text[1] == '\n' ? 0 : indent, "");
            at = indent;
            space = false;
            text++;
        } else if (*text == ' ') {
            space = true;
            text++;
        }
    }
    (void)fputc('\n', to);
}

static void flag_help(FILE *to, const cli_flag *flag)
{
    char left[96];
    bool choice = flag->kind == CLI_CHOICE;
    int length = snprintf(left, sizeof left, "  %c%c%c --%s%s%s", flag->letter ? '-' : ' ',
                          flag->letter ? flag->letter : ' ', flag->letter ? ',' : ' ', flag->name,
                          flag->value ? " " : "", flag->value && !choice ? flag->value : "");
    (void)fputs(left, to);
    if (choice) {
        length += fprintf(to, "%s", flag->value);
    }
    if (length + 2 > INDENT) {
        (void)fprintf(to, "\n%*s", INDENT, "");
    } else {
        (void)fprintf(to, "%*s", INDENT - length, "");
    }
    wrap(to, flag->help, INDENT, INDENT);
}

/* What a table is about; those that one verb has for itself are its flags. */
static const char *title_of(const cli_flag *table)
{
    static const struct {
        const cli_flag *table;
        const char *title;
    } known[] = {{cli_flags_common, "Common flags"},        {cli_flags_bus, "The bus"},
                 {cli_flags_message, "The message"},        {cli_flags_publish, "Publishing"},
                 {cli_flags_listen, "Listening"},           {cli_flags_position, "Where to begin"},
                 {cli_flags_letters, "Which dead letters"}, {cli_flags_danger, "Being careful"},
                 {cli_flags_store, "The store of sagas"},   {cli_flags_sagas, "Which sagas"},
                 {cli_flags_bulk, "Many at once"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].table == table) {
            return known[i].title;
        }
    }
    return "Flags";
}

static void tables_help(FILE *to, const cli_verb *verb)
{
    const char *before = "";
    size_t t;
    for (t = 0; t < CLI_TABLES_MAX && verb->tables[t]; t++) {
        const cli_flag *flag = verb->tables[t];
        const char *title = title_of(flag);
        if (flag->name && strcmp(title, before) != 0) {
            (void)fprintf(to, "\n%s\n", title);
            before = title;
        }
        for (; flag->name; flag++) {
            flag_help(to, flag);
        }
    }
}

void cli_help_verb(FILE *to, const cli_verb *verb)
{
    (void)fprintf(to, "marty %s: %s.\n\nUsage\n  marty %s [flags]%s%s\n\n", verb->name,
                  verb->summary, verb->name, verb->arguments[0] ? " " : "", verb->arguments);
    wrap(to, verb->text, 0, 0);
    tables_help(to, verb);
    if (verb->examples) {
        const char *line = verb->examples;
        (void)fputs("\nExamples\n", to);
        while (*line) {
            size_t length = strcspn(line, "\n");
            (void)fprintf(to, "  %.*s\n", (int)length, line);
            line += length + (line[length] == '\n');
        }
    }
}

static void verb_line(FILE *to, const cli_verb *verb)
{
    (void)fprintf(to, "  %-22s %s\n", verb->name, verb->summary);
}

void cli_help_noun(FILE *to, const char *noun)
{
    size_t i, length = strlen(noun);
    (void)fprintf(to, "Usage\n  marty %s VERB [flags]\n\nVerbs\n", noun);
    for (i = 0; cli_verbs[i]; i++) {
        const char *name = cli_verbs[i]->name;
        if (strncmp(name, noun, length) == 0 && name[length] == ' ') {
            verb_line(to, cli_verbs[i]);
        }
    }
    (void)fprintf(to, "\nHelp for one: marty help %s VERB\n", noun);
}

void cli_help_all(FILE *to)
{
    size_t i;
    (void)fputs("marty: one API for every message broker, at the terminal.\n\n"
                "Usage\n  marty VERB [flags] [arguments]\n\nVerbs\n",
                to);
    for (i = 0; cli_verbs[i]; i++) {
        if (!cli_verbs[i]->hidden) {
            verb_line(to, cli_verbs[i]);
        }
    }
    (void)fputs(
        "\nThe first minute\n"
        "  marty sub 'order.*' --from earliest -b sqlite:orders.db &\n"
        "  echo '{\"id\": 7}' | marty pub order.created -b sqlite:orders.db\n\n"
        "Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 nothing before the time limit,\n"
        "5 partial, 124 timed out, 130 interrupted.\n"
        "Help for a verb: marty help VERB\n",
        to);
}

static int run(cli_run *cli)
{
    const char *first = cli_argument(cli, 0), *second = cli_argument(cli, 1);
    const cli_verb *verb = first ? cli_verb_find(first, second) : NULL;
    if (!first) {
        cli_help_all(stdout);
    } else if (verb) {
        cli_help_verb(stdout, verb);
    } else if (!second && cli_verb_is_noun(first)) {
        cli_help_noun(stdout, first);
    } else {
        return cli_no_such_verb(cli, first, second);
    }
    return CLI_OK;
}

const cli_verb cli_verb_help = {
    .name = "help",
    .arguments = "[VERB]",
    .summary = "help for a verb, or the list of verbs",
    .text = "Without a verb it lists all verbs. \"marty VERB --help\" is the same.",
    .examples = "marty help pub\nmarty help dlq replay",
    .tables = {cli_flags_common},
    .run = run,
    .argument_max = 2,
    .words = "@verbs",
};
