/* SPDX-License-Identifier: Apache-2.0
 * Parse flags by their tables: --name value, --name=value, -n value, -nvalue; "--" ends them.
 * Strings stay borrowed from argv. Knows nothing of verbs. */
#include "flags.h"

#include <ctype.h>
#include <marty/adapter.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const cli_flag *row_find(const cli_flag *const tables[], const char *name, size_t length,
                                char letter)
{
    size_t t;
    for (t = 0; tables[t]; t++) {
        const cli_flag *flag;
        for (flag = tables[t]; flag->name; flag++) {
            if (letter ? flag->letter == letter
                       : strlen(flag->name) == length && memcmp(flag->name, name, length) == 0) {
                return flag;
            }
        }
    }
    return NULL;
}

const cli_flag *cli_flags_find(const cli_flag *const tables[], const char *word,
                               const char **ret_value)
{
    *ret_value = NULL;
    if (word[0] != '-' || word[1] == '\0') {
        return NULL;
    }
    if (word[1] == '-') {
        const char *equals = strchr(word, '=');
        size_t length = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
        *ret_value = equals ? equals + 1 : NULL;
        return row_find(tables, word + 2, length, 0);
    }
    *ret_value = word[2] ? word + 2 : NULL;
    return row_find(tables, "", 0, word[1]);
}

bool cli_choice_has(const char *choices, const char *word)
{
    size_t length = strlen(word), part;
    const char *at = choices ? choices : "";
    for (; *at; at += part + (at[part] == '|')) {
        part = strcspn(at, "|");
        if (part == length && strncmp(at, word, part) == 0) {
            return true;
        }
    }
    return false;
}

bool cli_number_parse(uint64_t *ret_number, const char *text)
{
    char *end = NULL;
    double number = isdigit((unsigned char)text[0]) ? strtod(text, &end) : -1;
    double unit = 1;
    if (number < 0 || !end || strpbrk(text, "xXeE")) {
        return false;
    }
    if (*end) {
        unit = *end == 'k' ? 1e3 : *end == 'M' ? 1e6 : *end == 'G' ? 1e9 : 0;
        end++;
    }
    number *= unit;
    if (*end || number > 9e15 || unit <= 0 || number - floor(number) > 0) {
        return false;
    }
    *ret_number = (uint64_t)number;
    return true;
}

static bool choice_check(const cli_flag *flag, const char *text, cli_text *why)
{
    if (cli_choice_has(flag->value, text)) {
        return true;
    }
    cli_text_format(why, "--%s: \"%s\" is not one of %s", flag->name, text, flag->value);
    return false;
}

static bool value_set(cli_value *value, const char *text, cli_text *why)
{
    const cli_flag *flag = value->flag;
    marty_error error = {0};
    value->set = true;
    value->text = text;
    switch (flag->kind) {
    case CLI_LIST:
        value->list = cli_realloc(value->list, (value->count + 1) * sizeof *value->list);
        value->list[value->count++] = text;
        return true;
    case CLI_NUMBER:
        if (!cli_number_parse(&value->number, text)) {
            cli_text_format(why, "--%s: \"%s\" is not a number such as 10, 20k or 1M", flag->name,
                            text);
            return false;
        }
        return true;
    case CLI_DURATION:
        if (marty_parse_duration(&value->number, flag->name, text, &error)) {
            cli_text_format(why, "--%s: \"%s\" is not a duration such as 500ms, 5s, 2h or 7d",
                            flag->name, text);
            return false;
        }
        return true;
    case CLI_CHOICE:
        return choice_check(flag, text, why);
    case CLI_SWITCH:
    case CLI_STRING:
        return true;
    }
    return true;
}

static void unknown(const cli_flag *const tables[], const char *word, cli_text *why)
{
    const char *names[CLI_FLAGS_MAX];
    const char *near;
    size_t count = 0, t;
    char name[64] = "";
    for (t = 0; tables[t]; t++) {
        const cli_flag *flag;
        for (flag = tables[t]; flag->name; flag++) {
            names[count++] = flag->name;
        }
    }
    cli_text_format(why, "unknown flag \"%.*s\"", (int)strcspn(word, "="), word);
    if (word[1] == '-') {
        (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    }
    near = cli_suggest(name, names, count);
    if (near) {
        cli_text_format(why, "; did you mean \"--%s\"?", near);
    }
}

static cli_value *slot_of(cli_given *given, const cli_flag *flag)
{
    size_t i;
    for (i = 0; i < given->value_count; i++) {
        if (given->values[i].flag == flag) {
            return &given->values[i];
        }
    }
    return NULL;
}

/* One flag at words[*at]; moves *at past a value of its own. */
static bool flag_take(cli_given *given, const cli_flag *const tables[], const char *const words[],
                      size_t count, size_t *at, cli_text *why)
{
    const char *text = NULL;
    const cli_flag *flag = cli_flags_find(tables, words[*at], &text);
    if (!flag) {
        unknown(tables, words[*at], why);
        return false;
    }
    if (flag->kind == CLI_SWITCH) {
        if (text) {
            cli_text_format(why, "--%s takes no value", flag->name);
        }
        slot_of(given, flag)->set = true;
        return !text;
    }
    if (!text && *at + 1 >= count) {
        cli_text_format(why, "--%s needs a value: --%s %s", flag->name, flag->name, flag->value);
        return false;
    }
    text = text ? text : words[++*at];
    return value_set(slot_of(given, flag), text, why);
}

bool cli_flags_parse(cli_given *given, const cli_flag *const tables[], const char *const words[],
                     size_t count, cli_text *why)
{
    bool flags_end = false;
    size_t at, t;
    memset(given, 0, sizeof *given);
    for (t = 0; tables[t]; t++) {
        const cli_flag *flag;
        for (flag = tables[t]; flag->name; flag++) {
            cli_assert(given->value_count < CLI_FLAGS_MAX);
            given->values[given->value_count++].flag = flag;
        }
    }
    given->arguments = cli_alloc((count + 1) * sizeof *given->arguments);
    for (at = 0; at < count; at++) {
        const char *word = words[at];
        if (flags_end || word[0] != '-' || word[1] == '\0') {
            given->arguments[given->argument_count++] = word;
        } else if (strcmp(word, "--") == 0) {
            flags_end = true;
        } else if (!flag_take(given, tables, words, count, &at, why)) {
            return false;
        }
    }
    return true;
}

void cli_flags_free(cli_given *given)
{
    size_t i;
    for (i = 0; i < given->value_count; i++) {
        marty_free(given->values[i].list);
    }
    marty_free(given->arguments);
    memset(given, 0, sizeof *given);
}

const cli_value *cli_flags_value(const cli_given *given, const char *name)
{
    size_t i;
    for (i = 0; i < given->value_count; i++) {
        if (strcmp(given->values[i].flag->name, name) == 0) {
            return &given->values[i];
        }
    }
    cli_broken("the verb has no such flag");
}
