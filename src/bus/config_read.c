/* SPDX-License-Identifier: Apache-2.0
 * Values of a configuration, one kind each, with errors that name file, line and field. What an
 * error shows of a value is what the file says, never what the environment put there. */
#include "config_read.h"

#include "backend/url.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

marty_err marty__config_wrong(const marty__config_reader *r, marty_err code, uint32_t line,
                              const char *path, const char *format, ...)
{
    char text[sizeof r->why->text];
    char place[32] = "";
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (line) {
        (void)snprintf(place, sizeof place, ":%u", line);
    }
    return marty_error_set(r->why, code, "%s%s: %s%s%s", r->file, place, path ? path : "",
                           path ? ": " : "", text);
}

marty_err marty__config_no_memory(const marty__config_reader *r)
{
    return marty_error_set(r->why, MARTY_E_NO_MEMORY, "%s: out of memory", r->file);
}

void marty__config_join(char *to, size_t room, const char *const words[])
{
    size_t size = 0;
    to[0] = '\0';
    for (size_t i = 0; words[i] && size < room; i++) {
        int more = snprintf(to + size, room - size, "%s%s", i ? ", " : "", words[i]);
        size += more > 0 ? (size_t)more : 0;
    }
}

void marty__config_join_backends(char *to, size_t room, const marty__config *config)
{
    size_t size = 0;
    to[0] = '\0';
    for (size_t i = 0; i < config->backend_count && size < room; i++) {
        int more =
            snprintf(to + size, room - size, "%s%s", i ? ", " : "", config->backends[i].name);
        size += more > 0 ? (size_t)more : 0;
    }
}

static const char *kind_word(const marty__yaml *node)
{
    bool empty = node->kind == MARTY__YAML_TEXT && !node->text[0];
    return empty                            ? "nothing"
           : node->kind == MARTY__YAML_TEXT ? "a text"
           : node->kind == MARTY__YAML_LIST ? "a list"
                                            : "a mapping";
}

marty_err marty__config_keys(const marty__config_reader *r, const marty__yaml *map,
                             const char *path, const char *const known[])
{
    if (map->kind != MARTY__YAML_MAP) {
        return marty__config_wrong(r, MARTY_E_CONFIG, map->line, path,
                                   "expected a mapping (key: value), found %s", kind_word(map));
    }
    for (const marty__yaml *at = map->first; at; at = at->next) {
        size_t i = 0;
        while (known[i] && strcmp(known[i], at->key) != 0) {
            i++;
        }
        if (known[i]) {
            continue;
        }
        char list[280];
        const char *near = marty__nearest(at->key, known);
        marty__config_join(list, sizeof list, known);
        return marty__config_wrong(
            r, MARTY_E_CONFIG, at->line, path, "unknown key \"%.40s\"; %s%s%sthere are %s", at->key,
            near ? "did you mean \"" : "", near ? near : "", near ? "\"? " : "", list);
    }
    return MARTY_OK;
}

marty_err marty__config_text(const marty__config_reader *r, const marty__yaml *node,
                             const char *path, const char **ret)
{
    if (node->kind != MARTY__YAML_TEXT || !node->text[0]) {
        return marty__config_wrong(r, MARTY_E_CONFIG, node->line, path, "expected a text, found %s",
                                   kind_word(node));
    }
    *ret = node->text;
    return MARTY_OK;
}

marty_err marty__config_number(const marty__config_reader *r, const marty__yaml *node,
                               const char *path, uint32_t min, uint32_t max, uint32_t *ret)
{
    const char *text = "";
    marty_err err = marty__config_text(r, node, path, &text);
    uint64_t value = 0;
    size_t i = 0;
    for (; !err && text[i] >= '0' && text[i] <= '9' && i < 11; i++) {
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    if (!err && (i == 0 || text[i] || value < min || value > max)) {
        return marty__config_wrong(r, MARTY_E_CONFIG, node->line, path,
                                   "\"%.40s\": expected a whole number from %u to %u", node->raw,
                                   min, max);
    }
    *ret = (uint32_t)value;
    return err;
}

marty_err marty__config_ms(const marty__config_reader *r, const marty__yaml *node, const char *path,
                           uint32_t *ret)
{
    const char *text = NULL;
    uint64_t ms = 0;
    marty_err err = marty__config_text(r, node, path, &text);
    if (err) {
        return err;
    }
    marty_error ignored;
    if (marty_parse_duration(&ms, path, text, &ignored) || ms > INT32_MAX) {
        return marty__config_wrong(r, MARTY_E_CONFIG, node->line, path,
                                   "\"%.40s\": expected a whole number and a unit of ms, s, m, h "
                                   "or d, at most 24d, such as 30s",
                                   node->raw);
    }
    *ret = (uint32_t)ms;
    return MARTY_OK;
}

marty_err marty__config_word(const marty__config_reader *r, const marty__yaml *node,
                             const char *path, const char *const words[], size_t *ret)
{
    const char *text = "";
    marty_err err = marty__config_text(r, node, path, &text);
    for (size_t i = 0; !err && words[i]; i++) {
        if (strcmp(words[i], text) == 0) {
            *ret = i;
            return MARTY_OK;
        }
    }
    if (err) {
        return err;
    }
    char list[280];
    const char *near = marty__nearest(text, words);
    marty__config_join(list, sizeof list, words);
    return marty__config_wrong(
        r, MARTY_E_CONFIG, node->line, path, "there is no \"%.40s\"; %s%s%sthere are %s", node->raw,
        near ? "did you mean \"" : "", near ? near : "", near ? "\"? " : "", list);
}

const char *marty__config_from(const marty__config_reader *r, const marty__yaml *node)
{
    return node->variable
               ? marty__arena_format(r->arena, "%s:%u, $%s", r->file, node->line, node->variable)
               : marty__arena_format(r->arena, "%s:%u", r->file, node->line);
}
