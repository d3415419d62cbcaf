/* SPDX-License-Identifier: Apache-2.0
 * The error table and how an error is filled in. No state; any thread. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ROW(name, number, class_, text) {name, MARTY_CLASS_##class_, #name, text},
static const marty_err_info table[] = {MARTY_ERRORS(ROW)};
#undef ROW

#define NUMBER_IS_INDEX(name, number, class_, text) _Static_assert((number) >= 0, #name);
MARTY_ERRORS(NUMBER_IS_INDEX)
_Static_assert(sizeof(marty_error) == 512, "marty_error is 512 bytes for ever");

const marty_err_info *marty_err_describe(marty_err err)
{
    static const marty_err_info unknown = {MARTY_E_INTERNAL, MARTY_CLASS_FATAL, "MARTY_E_UNKNOWN",
                                           "an error number that this library does not know"};
    size_t index = (size_t)err;
    return index < sizeof table / sizeof table[0] ? &table[index] : &unknown;
}

size_t marty__err_count(void)
{
    return sizeof table / sizeof table[0];
}

static void fill(marty_error *why, marty_err code)
{
    why->retry_after_ms = 0;
    why->code = code;
    why->error_class = marty_err_describe(code)->error_class;
    why->remote[0] = '\0';
    why->text[0] = '\0';
}

/* What was cut says so, and ends with a whole character. */
static void end_in_dots(char *text, size_t size)
{
    size_t at = size - sizeof "...";
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80) {
        at--;
    }
    memcpy(text + at, "...", sizeof "...");
}

/* Names in brackets: macros of the same name (tools/analyzer.h) leave them alone. */
marty_err(marty_error_set)(marty_error *why, marty_err code, const char *format, ...)
{
    if (why) {
        va_list arguments;
        char text[sizeof why->text]; /* the arguments may point into why */
        va_start(arguments, format);
        int length = vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        if (length >= (int)sizeof text) {
            end_in_dots(text, sizeof text);
        }
        fill(why, code);
        memcpy(why->text, text, sizeof text);
    }
    return code;
}

marty_err(marty__error_code)(marty_error *why, marty_err code)
{
    return marty_error_set(why, code, "%s", marty_err_describe(code)->text);
}

const char *marty_version(void)
{
    return MARTY_VERSION;
}

marty_err marty__err_by_name(const char *name, marty_err otherwise)
{
    for (size_t i = 0; name && i < marty__err_count(); i++) {
        if (strcmp(table[i].name, name) == 0) {
            return table[i].code;
        }
    }
    return otherwise;
}

static const char *const class_words[] = {"none", "caller", "retry", "fatal"};

const char *marty__class_word(marty_class error_class)
{
    return class_words[error_class & 3];
}

marty_class marty__class_by_word(const char *word, size_t size)
{
    for (size_t i = 1; i < sizeof class_words / sizeof class_words[0]; i++) {
        if (size == strlen(class_words[i]) && memcmp(word, class_words[i], size) == 0) {
            return (marty_class)i;
        }
    }
    return MARTY_CLASS_CALLER;
}
