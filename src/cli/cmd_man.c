/* SPDX-License-Identifier: Apache-2.0
 * The hidden verb `man`: manual pages made from the verb and flag tables, into a folder. */
#include "cli.h"

#include <errno.h>
#include <marty/adapter.h>

/* Text for troff: backslashes, hyphens and leading dots mean something to it. */
static void roff(FILE *to, const char *text)
{
    bool line_begins = true;
    for (; *text; text++) {
        if (*text == '\\') {
            (void)fputs("\\e", to);
        } else if (*text == '-') {
            (void)fputs("\\-", to);
        } else if (line_begins && (*text == '.' || *text == '\'')) {
            (void)fprintf(to, "\\&%c", *text);
        } else if (*text == '\n' && text[1] == '\n') {
            (void)fputs("\n.PP\n", to);
            text++;
        } else {
            (void)fputc(*text, to);
        }
        line_begins = *text == '\n';
    }
}

static void flags_page(FILE *to, const cli_verb *verb)
{
    size_t t;
    (void)fputs(".SH OPTIONS\n.ad l\n.nh\n", to); /* long lists of words stay as they are */
    for (t = 0; t < CLI_TABLES_MAX && verb->tables[t]; t++) {
        const cli_flag *flag;
        for (flag = verb->tables[t]; flag->name; flag++) {
            (void)fputs(".TP\n", to);
            if (flag->letter) {
                (void)fprintf(to, "\\fB\\-%c\\fR, ", flag->letter);
            }
            (void)fputs("\\fB", to);
            roff(to, "--");
            roff(to, flag->name);
            (void)fputs("\\fR", to);
            if (flag->value) {
                (void)fputs(" \\fI", to);
                roff(to, flag->value);
                (void)fputs("\\fR", to);
            }
            (void)fputs("\n", to);
            roff(to, flag->help);
            (void)fputs("\n", to);
        }
    }
}

static const char exit_codes[] =
    ".SH EXIT STATUS\n"
    ".TP\n\\fB0\\fR\nfine\n.TP\n\\fB1\\fR\nan error; its code and text are on stderr\n"
    ".TP\n\\fB2\\fR\nthe command line is wrong\n.TP\n\\fB3\\fR\nnot found\n"
    ".TP\n\\fB4\\fR\nnothing came before the time limit\n.TP\n\\fB5\\fR\ndone in "
    "part\n.TP\n\\fB6\\fR\na saga that was waited for is "
    "stuck\n"
    ".TP\n\\fB124\\fR\ntimed out\n.TP\n\\fB130\\fR\ninterrupted\n";
static const char environment[] =
    ".SH ENVIRONMENT\n"
    ".TP\n\\fBMARTY_CONTEXT\\fR\nname of the context to use\n"
    ".TP\n\\fBMARTY_CONFIG\\fR\npath of the configuration file\n"
    ".TP\n\\fBMARTY_MODULE_PATH\\fR\nfolder of backend modules, besides the installed one\n"
    ".TP\n\\fBNO_COLOR\\fR\nno colors, when it is set to anything\n"
    ".PP\nFlags count for more than the environment, that for more than a context, that for more "
    "than the default (marty.yaml in the current folder).\n";

static void verb_page(FILE *to, const cli_verb *verb, const char *name)
{
    (void)fprintf(to, ".TH \"%s\" 1 \"\" \"marty %s\" \"Marty\"\n.SH NAME\n", name, MARTY_VERSION);
    roff(to, name);
    (void)fputs(" \\- ", to);
    roff(to, verb->summary);
    (void)fprintf(to, "\n.SH SYNOPSIS\n\\fBmarty %s\\fR [\\fIflags\\fR] ", verb->name);
    roff(to, verb->arguments);
    (void)fputs("\n.SH DESCRIPTION\n", to);
    roff(to, verb->text);
    (void)fputs("\n", to);
    flags_page(to, verb);
    if (verb->examples) {
        (void)fputs(".SH EXAMPLES\n.nf\n", to);
        roff(to, verb->examples);
        (void)fputs("\n.fi\n", to);
    }
    (void)fputs(exit_codes, to);
    (void)fputs(environment, to);
    (void)fputs(".SH SEE ALSO\n\\fBmarty\\fR(1)\n", to);
}

static void main_page(FILE *to)
{
    size_t i;
    (void)fprintf(to,
                  ".TH \"marty\" 1 \"\" \"marty %s\" \"Marty\"\n.SH NAME\n"
                  "marty \\- one API for every message broker, at the terminal\n"
                  ".SH SYNOPSIS\n\\fBmarty\\fR \\fIVERB\\fR [\\fIflags\\fR] [\\fIarguments\\fR]\n"
                  ".SH DESCRIPTION\nPublish, subscribe, ask and look inside, on any broker that "
                  "Marty knows. Results are on stdout: a table on a terminal, JSON lines in a "
                  "pipe. What is said about them is on stderr.\n.SH VERBS\n",
                  MARTY_VERSION);
    for (i = 0; cli_verbs[i]; i++) {
        if (!cli_verbs[i]->hidden) {
            (void)fprintf(to, ".TP\n\\fBmarty %s\\fR ", cli_verbs[i]->name);
            roff(to, cli_verbs[i]->arguments);
            (void)fputs("\n", to);
            roff(to, cli_verbs[i]->summary);
            (void)fputs("\n", to);
        }
    }
    (void)fputs(exit_codes, to);
    (void)fputs(environment, to);
    (void)fputs(".SH FILES\n.TP\n\\fImarty.yaml\\fR\nthe configuration in the current folder\n"
                ".TP\n\\fI~/.config/marty/contexts/*.yaml\\fR\nthe contexts\n",
                to);
}

static int page(const cli_run *cli, const char *folder, const cli_verb *verb)
{
    char *name = verb ? cli_textf("marty-%s", verb->name) : cli_strdup("marty");
    char *path, *at;
    FILE *to;
    int code = CLI_OK;
    for (at = name; *at; at++) {
        *at = *at == ' ' ? '-' : *at;
    }
    path = cli_textf("%s/%s.1", folder, name);
    to = fopen(path, "we");
    if (to && verb) {
        verb_page(to, verb, name);
    } else if (to) {
        main_page(to);
    }
    if (!to || fclose(to) != 0) {
        code = cli_failf(cli, MARTY_E_STORAGE, "%s: %s", path, strerror(errno));
    }
    marty_free(path);
    marty_free(name);
    return code;
}

static int run(cli_run *cli)
{
    const char *folder = cli_argument(cli, 0);
    int code = page(cli, folder, NULL);
    size_t i;
    for (i = 0; cli_verbs[i] && !code; i++) {
        if (!cli_verbs[i]->hidden) {
            code = page(cli, folder, cli_verbs[i]);
        }
    }
    return code;
}

const cli_verb cli_verb_man = {
    .name = "man",
    .arguments = "FOLDER",
    .summary = "write the manual pages",
    .text = "One page for the program and one for each verb.",
    .tables = {cli_flags_common},
    .run = run,
    .argument_min = 1,
    .argument_max = 1,
    .hidden = true,
};
