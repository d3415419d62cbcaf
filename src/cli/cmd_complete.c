/* SPDX-License-Identifier: Apache-2.0
 * The hidden verb `complete`: what may stand where the cursor is, one "word<TAB>what it is" a line.
 * The last argument is the word being typed, perhaps empty. */
#include "cli.h"

#include <marty/adapter.h>

typedef struct typing { /* what stands there so far; of --output=js the value is completed */
    const char *text, *word;
    int before; /* bytes of word that come before text */
} typing;

static void offer(const typing *typed, const char *word, size_t length, const char *what)
{
    size_t size = strlen(typed->text);
    if (size <= length && strncmp(word, typed->text, size) == 0) {
        (void)printf("%.*s%.*s\t%s\n", typed->before, typed->word, (int)length, word, what);
    }
}

static void offer_choices(const typing *typed, const char *choices)
{
    while (*choices) {
        size_t length = strcspn(choices, "|");
        offer(typed, choices, length, "");
        choices += length + (choices[length] == '|');
    }
}

static void offer_contexts(const typing *typed)
{
    size_t count, i;
    char **names = cli_context_names(&count);
    for (i = 0; i < count; i++) {
        offer(typed, names[i], strlen(names[i]), "context");
        marty_free(names[i]);
    }
    marty_free(names);
}

#define OFFER_ERROR(name, number, class_, text) offer(typed, #name, strlen(#name), text);
static void offer_errors(const typing *typed)
{
    MARTY_ERRORS(OFFER_ERROR)
}

/* First words of verbs, each once. */
static void offer_verbs(const typing *typed)
{
    const char *before = "";
    size_t i;
    for (i = 0; cli_verbs[i]; i++) {
        size_t length = strcspn(cli_verbs[i]->name, " ");
        bool noun = cli_verbs[i]->name[length] == ' ';
        bool again = strncmp(before, cli_verbs[i]->name, length) == 0 && before[length] == ' ';
        if (!cli_verbs[i]->hidden && !again) {
            offer(typed, cli_verbs[i]->name, length, noun ? "..." : cli_verbs[i]->summary);
        }
        before = cli_verbs[i]->name;
    }
}

static void offer_second(const typing *typed, const char *noun)
{
    size_t i, length = strlen(noun);
    for (i = 0; cli_verbs[i]; i++) {
        const char *name = cli_verbs[i]->name;
        if (strncmp(name, noun, length) == 0 && name[length] == ' ') {
            offer(typed, name + length + 1, strlen(name + length + 1), cli_verbs[i]->summary);
        }
    }
}

static void offer_flags(const cli_verb *verb, const typing *typed)
{
    size_t t;
    for (t = 0; t < CLI_TABLES_MAX && verb->tables[t]; t++) {
        const cli_flag *flag;
        for (flag = verb->tables[t]; flag->name; flag++) {
            char word[64];
            (void)snprintf(word, sizeof word, "--%s", flag->name);
            offer(typed, word, strlen(word), flag->help);
        }
    }
}

/* The value of a flag: words that are known; true when the shell should offer files. */
static void offer_value(const cli_flag *flag, const typing *typed)
{
    if (flag->kind == CLI_CHOICE) {
        offer_choices(typed, flag->value);
    } else if (strcmp(flag->name, "context") == 0) {
        offer_contexts(typed);
    } else if (strcmp(flag->name, "backend") == 0) {
        offer_choices(typed, "memory:|sqlite:|nats://");
    } else if (strcmp(flag->name, "from") == 0) {
        offer_choices(typed, "earliest|now|5m|@");
    }
}

static void offer_argument(const cli_verb *verb, const typing *typed, size_t at)
{
    if (!verb->words || at > 0) {
        return;
    }
    if (strcmp(verb->words, "@contexts") == 0) {
        offer_contexts(typed);
    } else if (strcmp(verb->words, "@errors") == 0) {
        offer_errors(typed);
    } else if (strcmp(verb->words, "@verbs") == 0) {
        offer_verbs(typed);
    } else {
        offer_choices(typed, verb->words);
    }
}

static int run(cli_run *cli)
{
    size_t last = cli->given.argument_count ? cli->given.argument_count - 1 : 0, i = 0, at = 0;
    const char *word = cli_argument(cli, last) ? cli_argument(cli, last) : "";
    typing now = {word, word, 0}, *typed = &now;
    const char *first = last > 0 ? cli_argument(cli, 0) : NULL, *value = NULL;
    const cli_verb *verb = first ? cli_verb_find(first, NULL) : NULL;
    const cli_flag *flag = NULL;
    if (!first) {
        offer_verbs(typed);
        return CLI_OK;
    }
    if (!verb && cli_verb_is_noun(first) && last == 1) {
        offer_second(typed, first);
        return CLI_OK;
    }
    i = verb ? 1 : 2;
    verb = verb ? verb : cli_verb_find(first, cli_argument(cli, 1));
    if (!verb) {
        return CLI_OK;
    }
    for (; i < last; i++) { /* words between the verb and the cursor */
        flag = cli_flags_find(verb->tables, cli_argument(cli, i), &value);
        if (flag && flag->kind != CLI_SWITCH && !value) {
            i++;
            if (i == last) {
                offer_value(flag, typed);
                return CLI_OK;
            }
        } else if (!flag) {
            at++;
        }
    }
    flag = cli_flags_find(verb->tables, word, &value);
    if (flag && value) {
        now = (typing){value, word, (int)(value - word)};
        offer_value(flag, typed);
    } else if (word[0] == '-') {
        offer_flags(verb, typed);
    } else {
        offer_argument(verb, typed, at);
    }
    return CLI_OK;
}

const cli_verb cli_verb_complete = {
    .name = "complete",
    .arguments = "[WORD...]",
    .summary = "what may come next on the command line",
    .text = "Asked by the scripts of \"marty completion\" at each TAB.",
    .tables = {cli_flags_common},
    .run = run,
    .argument_max = -1,
    .hidden = true,
};
