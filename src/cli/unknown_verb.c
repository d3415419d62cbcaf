/* SPDX-License-Identifier: Apache-2.0
 * A verb that is none: which one may be meant, and where all are listed. */
#include "cli.h"

/* First words of all verbs, or second words of a noun; without the hidden ones. */
static size_t names_of(const char *noun, const char **names, char *room, size_t size)
{
    size_t count = 0, used = 0, i;
    for (i = 0; cli_verbs[i]; i++) {
        const char *name = cli_verbs[i]->name;
        const char *space = strchr(name, ' ');
        const char *word = noun ? space ? space + 1 : "" : name;
        size_t length = noun || !space ? strlen(word) : (size_t)(space - name);
        bool wanted = !noun || (space && strlen(noun) == (size_t)(space - name) &&
                                strncmp(name, noun, strlen(noun)) == 0);
        if (wanted && !cli_verbs[i]->hidden && used + length + 1 < size) {
            names[count++] = room + used;
            memcpy(room + used, word, length);
            room[used + length] = '\0';
            used += length + 1;
        }
    }
    return count;
}

/* What a verb is called elsewhere, when there is one of that name here. */
static const char *translate(const char *word, const char *const names[], size_t count)
{
    static const char *const pairs[][2] = {{"list", "ls"},       {"publish", "pub"},
                                           {"remove", "rm"},     {"subscribe", "sub"},
                                           {"describe", "show"}, {"inspect", "show"}};
    for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++) {
        for (size_t i = 0; i < count && strcmp(word, pairs[p][0]) == 0; i++) {
            if (strcmp(names[i], pairs[p][1]) == 0) {
                return names[i];
            }
        }
    }
    return NULL;
}

int cli_no_such_verb(const cli_run *cli, const char *first, const char *second)
{
    const char *names[128], *near;
    char room[2048];
    const char *noun = cli_verb_is_noun(first) ? first : NULL;
    const char *word = noun ? second : first;
    if (!word) {
        cli_help_noun(stderr, noun);
        return CLI_USAGE;
    }
    size_t count = names_of(noun, names, room, sizeof room);
    near = translate(word, names, count);
    near = near ? near : cli_suggest(word, names, count);
    if (near) {
        return cli_usage(cli, "no such verb: \"%s%s%s\"; did you mean \"marty %s%s%s\"?",
                         noun ? noun : "", noun ? " " : "", word, noun ? noun : "", noun ? " " : "",
                         near);
    }
    return cli_usage(cli, "no such verb: \"%s%s%s\"; all of them: marty help%s%s", noun ? noun : "",
                     noun ? " " : "", word, noun ? " " : "", noun ? noun : "");
}
