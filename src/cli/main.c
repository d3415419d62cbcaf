/* SPDX-License-Identifier: Apache-2.0
 * The program `marty`: find the verb, parse its flags, run it. Knows no verb by name, except that
 * --version must cost nothing. One thread until a verb opens a bus. */
#include "cli.h"

#include <errno.h>
#include <marty/adapter.h>
#include <signal.h>

/* argv taken apart: the words of the verb, and the rest in order. */
typedef struct word_list {
    const char *first, *second, **rest;
    size_t rest_count;
} word_list;

/* Whether a word before the verb is a flag whose value is the next word. */
static bool takes_next(const char *word)
{
    static const cli_flag *const tables[] = {cli_flags_common, cli_flags_bus, NULL};
    const char *value = NULL;
    const cli_flag *flag = cli_flags_find(tables, word, &value);
    return flag && flag->kind != CLI_SWITCH && !value;
}

static void words_take(word_list *words, int argc, char **argv)
{
    int i;
    words->rest = cli_alloc(((size_t)argc + 1) * sizeof *words->rest);
    for (i = 1; i < argc; i++) {
        bool flag = argv[i][0] == '-' && argv[i][1];
        if (!flag && !words->first) {
            words->first = argv[i];
        } else if (!flag && !words->second && cli_verb_is_noun(words->first) &&
                   !cli_verb_find(words->first, NULL)) {
            words->second = argv[i];
        } else {
            words->rest[words->rest_count++] = argv[i];
            if (flag && (!words->first || (!words->second && cli_verb_is_noun(words->first))) &&
                takes_next(argv[i]) && i + 1 < argc) {
                words->rest[words->rest_count++] = argv[++i];
            }
        }
    }
}

static int run(cli_run *cli, const word_list *words)
{
    const cli_verb *verb = cli->verb;
    cli_text why = {0};
    int code;
    if (!cli_flags_parse(&cli->given, verb->tables, words->rest, words->rest_count, &why)) {
        code = cli_usage(cli, "%s", why.data);
        cli_text_free(&why);
        return code;
    }
    if (cli_set(cli, "help")) {
        cli_help_verb(stdout, verb);
        return CLI_OK;
    }
    if (cli->given.argument_count < (size_t)verb->argument_min) {
        return cli_usage(cli, "too few arguments: marty %s %s", verb->name, verb->arguments);
    }
    if (verb->argument_max >= 0 && cli->given.argument_count > (size_t)verb->argument_max) {
        return cli_usage(cli, "too many arguments, from \"%s\" on: marty %s%s%s",
                         cli->given.arguments[verb->argument_max], verb->name,
                         verb->arguments[0] ? " " : "", verb->arguments);
    }
    cli_output_begin(cli);
    code = verb->run(cli);
    cli_progress_end(cli);
    return code;
}

/* No verb: what flags alone ask for. */
static int run_flags(const word_list *words)
{
    size_t i;
    for (i = 0; i < words->rest_count; i++) {
        if (strcmp(words->rest[i], "-h") == 0 || strcmp(words->rest[i], "--help") == 0) {
            cli_help_all(stdout);
            return CLI_OK;
        }
    }
    cli_help_all(stderr);
    return CLI_USAGE;
}

static int help_noun(const word_list *words)
{
    size_t i;
    for (i = 0; i < words->rest_count; i++) {
        if (strcmp(words->rest[i], "-h") == 0 || strcmp(words->rest[i], "--help") == 0) {
            cli_help_noun(stdout, words->first);
            return CLI_OK;
        }
    }
    cli_help_noun(stderr, words->first);
    return CLI_USAGE;
}

/* A disk that is full under stdout is an error; a reader that has seen enough is not. */
static int output_end(const cli_output *out, int code)
{
    int reason = out->broken ? out->write_errno : fflush(stdout) != 0 ? errno : 0;
    if (reason == 0 || reason == EPIPE) {
        return code;
    }
    (void)fprintf(stderr, "MARTY_E_STORAGE  stdout: %s\n", strerror(reason));
    return code ? code : CLI_ERROR;
}

int main(int argc, char **argv)
{
    cli_run cli = {0};
    word_list words = {0};
    int code;
    if (argc > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        (void)printf("marty %s\n", marty_version());
        return CLI_OK;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* a reader that went away is seen when writing */
    words_take(&words, argc, argv);
    cli.verb = words.first ? cli_verb_find(words.first, words.second) : NULL;
    if (cli.verb) {
        code = run(&cli, &words);
    } else if (!words.first) {
        code = run_flags(&words);
    } else if (cli_verb_is_noun(words.first) && !words.second) {
        code = help_noun(&words);
    } else {
        code = cli_no_such_verb(&cli, words.first, words.second);
    }
    cli_settings_free(&cli);
    cli_flags_free(&cli.given);
    marty_free(words.rest);
    return output_end(&cli.out, code);
}
