/* SPDX-License-Identifier: Apache-2.0
 * Conditions over rows: a list of comparisons that must all hold. */
#include "where.h"

#include <ctype.h>
#include <marty/adapter.h>
#include <math.h>
#include <regex.h>
#include <stdlib.h>

typedef enum operator_ {
    OP_EQUAL = 1,
    OP_DIFFERENT,
    OP_LIKE,
    OP_UNLIKE,
    OP_LESS,
    OP_AT_MOST,
    OP_MORE,
    OP_AT_LEAST
} operator_;
typedef struct comparison {
    char *field, *text;
    operator_ op;
    double number;
    regex_t like;
    bool has_like;
} comparison;
struct cli_where {
    comparison *all;
    size_t count;
};
static const struct {
    const char *sign;
    operator_ op;
} operators[] = {{"!=", OP_DIFFERENT}, {"!~", OP_UNLIKE}, {"<=", OP_AT_MOST}, {">=", OP_AT_LEAST},
                 {"=", OP_EQUAL},      {"~", OP_LIKE},    {"<", OP_LESS},     {">", OP_MORE}};

static void skip_space(const char **at)
{
    while (isspace((unsigned char)**at)) {
        (*at)++;
    }
}

static char *word_take(const char **at)
{
    const char *from = *at;
    while (isalnum((unsigned char)**at) || **at == '_') {
        (*at)++;
    }
    return cli_strndup(from, (size_t)(*at - from));
}

static bool operator_take(const char **at, operator_ *ret_op)
{
    size_t i;
    for (i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        size_t length = strlen(operators[i].sign);
        if (strncmp(*at, operators[i].sign, length) == 0) {
            *ret_op = operators[i].op;
            *at += length + (operators[i].op == OP_EQUAL && (*at)[1] == '='); /* "==" is fine */
            return true;
        }
    }
    return false;
}

/* 'quoted', "quoted" or one bare word; NULL when the quote does not end. */
static char *text_take(const char **at)
{
    char quote = **at;
    const char *from = *at, *end;
    if (quote != '\'' && quote != '"') {
        *at += strcspn(from, " \t\n");
        return cli_strndup(from, (size_t)(*at - from));
    }
    end = strchr(from + 1, quote);
    if (!end) {
        return NULL;
    }
    *at = end + 1;
    return cli_strndup(from + 1, (size_t)(end - from - 1));
}

static bool number_of(const comparison *made, double *ret_number)
{
    char *end = NULL;
    uint64_t ms = 0;
    if (strcmp(made->field, "age") == 0 &&
        marty_parse_duration(&ms, "age", made->text, NULL) == MARTY_OK) {
        *ret_number = (double)ms;
        return true;
    }
    *ret_number = strtod(made->text, &end);
    return end != made->text && *end == '\0';
}

static bool comparison_take(comparison *made, const char **at, const char *fields, cli_text *why)
{
    made->field = word_take(at);
    if (strcmp(made->field, "reason") == 0) { /* people say reason, the letter says cause */
        marty_free(made->field);
        made->field = cli_strdup("cause");
    }
    if (!cli_choice_has(fields, made->field)) {
        cli_text_format(why, "--where: no field \"%s\"; there are %s", made->field, fields);
        return false;
    }
    skip_space(at);
    if (!operator_take(at, &made->op)) {
        cli_text_format(why, "--where: after \"%s\" one of = != ~ !~ < <= > >= was expected",
                        made->field);
        return false;
    }
    skip_space(at);
    made->text = text_take(at);
    if (!made->text || (made->text[0] == '\0' && (*at)[-1] != '\'' && (*at)[-1] != '"')) {
        cli_text_format(why, "--where: a value was expected after \"%s\"", made->field);
        return false;
    }
    if (made->op == OP_LIKE || made->op == OP_UNLIKE) {
        made->has_like = regcomp(&made->like, made->text, REG_EXTENDED | REG_NOSUB) == 0;
        if (!made->has_like) {
            cli_text_format(why, "--where: \"%s\" is no regular expression", made->text);
        }
        return made->has_like;
    }
    if (made->op >= OP_LESS && !number_of(made, &made->number)) {
        cli_text_format(why, "--where: \"%s\" is no number%s", made->text,
                        strcmp(made->field, "age") == 0 ? " and no duration" : "");
        return false;
    }
    return true;
}

cli_where *cli_where_parse(const char *text, const char *fields, cli_text *why)
{
    cli_where *where = cli_alloc(sizeof *where);
    const char *at = text;
    bool more = true, fine = true;
    while (more && fine) {
        where->all = cli_realloc(where->all, (where->count + 1) * sizeof *where->all);
        memset(&where->all[where->count], 0, sizeof *where->all);
        skip_space(&at);
        fine = comparison_take(&where->all[where->count++], &at, fields, why);
        skip_space(&at);
        more = fine && strncmp(at, "and", 3) == 0 && isspace((unsigned char)at[3]);
        at += more ? 3 : 0;
    }
    if (fine && *at) {
        cli_text_format(why, "--where: \"and\" was expected before \"%s\"", at);
        fine = false;
    }
    if (!fine) {
        cli_where_free(where);
        return NULL;
    }
    return where;
}

static bool holds(const comparison *made, const json_t *row)
{
    char *cell = cli_cell(row, made->field), *end = NULL;
    double number = strtod(cell, &end), than = made->number;
    bool fulfilled = false;
    if (end == cell || *end) {
        number = (double)NAN; /* neither less nor more than anything */
    }
    switch (made->op) {
    case OP_EQUAL:
        fulfilled = strcmp(cell, made->text) == 0;
        break;
    case OP_DIFFERENT:
        fulfilled = strcmp(cell, made->text) != 0;
        break;
    case OP_LIKE:
        fulfilled = regexec(&made->like, cell, 0, NULL, 0) == 0;
        break;
    case OP_UNLIKE:
        fulfilled = regexec(&made->like, cell, 0, NULL, 0) != 0;
        break;
    case OP_LESS:
        fulfilled = number < than;
        break;
    case OP_AT_MOST:
        fulfilled = number <= than;
        break;
    case OP_MORE:
        fulfilled = number > than;
        break;
    case OP_AT_LEAST:
        fulfilled = number >= than;
        break;
    }
    marty_free(cell);
    return fulfilled;
}

bool cli_where_holds(const cli_where *where, const json_t *row)
{
    size_t i;
    for (i = 0; where && i < where->count; i++) {
        if (!holds(&where->all[i], row)) {
            return false;
        }
    }
    return true;
}

void cli_where_free(cli_where *where)
{
    size_t i;
    for (i = 0; where && i < where->count; i++) {
        marty_free(where->all[i].field);
        marty_free(where->all[i].text);
        if (where->all[i].has_like) {
            regfree(&where->all[i].like);
        }
    }
    if (where) {
        marty_free(where->all);
    }
    marty_free(where);
}
