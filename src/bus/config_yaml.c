/* SPDX-License-Identifier: Apache-2.0
 * From libyaml's events to a tree. Recursion is bounded by the depth limit. Values that came from
 * the environment are never shown: errors use what is written in the file. */
#include "config_yaml.h"

#include "base/buffer.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

typedef struct reader {
    yaml_parser_t parser;
    marty__arena *arena;
    const char *file;
    marty_error *why;
    size_t nodes;
    int depth;  /* at most */
    bool plain; /* without variables */
} reader;

static uint32_t line_of(const yaml_mark_t *mark)
{
    return (uint32_t)mark->line + 1;
}

static marty_err no_memory(const reader *r)
{
    return marty_error_set(r->why, MARTY_E_NO_MEMORY, "%s: out of memory", r->file);
}

static marty_err syntax(const reader *r)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR) {
        return no_memory(r);
    }
    if (p->error == YAML_READER_ERROR) {
        return marty_error_set(r->why, MARTY_E_CONFIG, "%s: byte %zu: %s; it must be UTF-8 text",
                               r->file, p->problem_offset, p->problem);
    }
    bool colon = strstr(p->problem, "mapping values") != NULL;
    return marty_error_set(r->why, MARTY_E_CONFIG, "%s:%u: no valid YAML: %s%s%s%s", r->file,
                           line_of(&p->problem_mark), p->problem, p->context ? ", " : "",
                           p->context ? p->context : "",
                           colon ? "; a value with a colon at its end, such as \"memory:\", must "
                                   "be in quotes"
                                 : "");
}

static marty_err next_event(reader *r, yaml_event_t *event)
{
    return yaml_parser_parse(&r->parser, event) ? MARTY_OK : syntax(r);
}

static bool name_byte(char c, bool first)
{
    return c == '_' || isalpha((unsigned char)c) || (!first && isdigit((unsigned char)c));
}

/* Reads NAME} or NAME:-default} at `at`; 0 when it is neither, else the bytes up to after "}". */
static size_t parse_variable(const char *at, size_t *ret_name, size_t *ret_close)
{
    size_t name = 0;
    while (name_byte(at[name], name == 0)) {
        name++;
    }
    size_t close = name + strcspn(at + name, "}");
    bool fine = name && at[close] && (close == name || strncmp(at + name, ":-", 2) == 0);
    *ret_name = name;
    *ret_close = close;
    return fine ? close + 1 : 0;
}

static marty_err expand_one(reader *r, marty__yaml *node, const char *at, size_t *ret_size,
                            marty__buffer *to)
{
    size_t name = 0, close = 0;
    *ret_size = parse_variable(at, &name, &close);
    if (!*ret_size) {
        return marty_error_set(r->why, MARTY_E_CONFIG,
                               "%s:%u: after \"${\" there must be the name of an environment "
                               "variable and \"}\"; write \"$${\" for the characters themselves",
                               r->file, node->line);
    }
    char *variable = marty__arena_text(r->arena, at, name);
    const char *value = variable ? getenv(variable) : NULL;
    node->variable = node->variable ? node->variable : variable;
    if (!variable) {
        return no_memory(r);
    }
    if (value) {
        marty__buffer_text(to, value);
    } else if (close > name) {
        marty__buffer_add(to, at + name + 2, close - name - 2);
    } else {
        return marty_error_set(r->why, MARTY_E_CONFIG,
                               "%s:%u: the environment has no variable %s; set it, or write "
                               "${%s:-default}",
                               r->file, node->line, variable, variable);
    }
    return MARTY_OK;
}

/* Replaces ${NAME} in a value. It is not YAML any more, so no variable can add keys. */
static marty_err expand(reader *r, marty__yaml *node)
{
    marty__buffer out = {0};
    marty_err err = MARTY_OK;
    node->text = node->raw;
    if (r->plain || !strstr(node->raw, "${")) {
        return MARTY_OK;
    }
    for (const char *at = node->raw; *at && !err;) {
        size_t size = 0;
        if (strncmp(at, "$${", 3) == 0) {
            marty__buffer_text(&out, "${");
            at += 3;
        } else if (strncmp(at, "${", 2) == 0) {
            err = expand_one(r, node, at + 2, &size, &out);
            at += err ? 0 : size + 2;
        } else {
            marty__buffer_byte(&out, *at++);
        }
    }
    if (!err) {
        node->text = marty__arena_text(r->arena, out.data ? out.data : "", out.size);
        err = out.failed || !node->text ? no_memory(r) : MARTY_OK;
    }
    marty__buffer_free(&out);
    return err;
}

static marty_err refuse(const reader *r, uint32_t line, const char *what)
{
    return marty_error_set(r->why, MARTY_E_CONFIG, "%s:%u: %s", r->file, line, what);
}

static marty_err new_node(reader *r, marty__yaml_kind kind, const yaml_event_t *event,
                          marty__yaml **ret)
{
    uint32_t line = line_of(&event->start_mark);
    if (++r->nodes > MARTY__YAML_NODES_MAX) {
        return marty_error_set(r->why, MARTY_E_CONFIG, "%s:%u: over %d values; that is the limit",
                               r->file, line, MARTY__YAML_NODES_MAX);
    }
    *ret = marty__arena_alloc(r->arena, sizeof **ret);
    if (!*ret) {
        return no_memory(r);
    }
    (*ret)->kind = kind;
    (*ret)->line = line;
    return MARTY_OK;
}

static marty_err read_scalar(reader *r, const yaml_event_t *event, const char **ret_text)
{
    size_t size = event->data.scalar.length;
    const char *value = (const char *)event->data.scalar.value;
    uint32_t line = line_of(&event->start_mark);
    if (event->data.scalar.anchor || event->data.scalar.tag) {
        return refuse(r, line, "anchors (&) and tags (!) are not allowed; write the value out");
    }
    if (memchr(value, '\0', size)) {
        return refuse(r, line, "a value contains a NUL character");
    }
    *ret_text = marty__arena_text(r->arena, value, size);
    return *ret_text ? MARTY_OK : no_memory(r);
}

static marty_err read_node(reader *r, const yaml_event_t *event, int depth, marty__yaml **ret);

static void append(marty__yaml *parent, marty__yaml **last, marty__yaml *child)
{
    if (*last) {
        (*last)->next = child;
    } else {
        parent->first = child;
    }
    *last = child;
    parent->count++;
}

/* The key of the next entry; NULL at the end of the mapping. */
static marty_err read_key(reader *r, const marty__yaml *map, const yaml_event_t *event,
                          const char **ret_key)
{
    *ret_key = NULL;
    if (event->type == YAML_MAPPING_END_EVENT) {
        return MARTY_OK;
    }
    uint32_t line = line_of(&event->start_mark);
    if (event->type != YAML_SCALAR_EVENT) {
        return refuse(r, line, "a key must be a word");
    }
    marty_err err = read_scalar(r, event, ret_key);
    const marty__yaml *twin = err ? NULL : marty__yaml_get(map, *ret_key);
    if (twin) {
        return marty_error_set(r->why, MARTY_E_CONFIG,
                               "%s:%u: the key \"%s\" is given twice; first in line %u", r->file,
                               line, *ret_key, twin->line);
    }
    return err;
}

static marty_err read_entries(reader *r, marty__yaml *parent, int depth)
{
    marty__yaml *last = NULL;
    bool map = parent->kind == MARTY__YAML_MAP;
    for (;;) {
        yaml_event_t event;
        const char *key = NULL;
        marty_err err = next_event(r, &event);
        if (err) {
            return err;
        }
        bool end = event.type == (map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT);
        if (map && !end) {
            err = read_key(r, parent, &event, &key);
            yaml_event_delete(&event);
            err = err ? err : next_event(r, &event);
            if (err) {
                return err;
            }
        }
        marty__yaml *child = NULL;
        err = end ? MARTY_OK : read_node(r, &event, depth + 1, &child);
        yaml_event_delete(&event);
        if (err || end) {
            return err;
        }
        child->key = key;
        append(parent, &last, child);
    }
}

static marty_err read_node(reader *r, const yaml_event_t *event, int depth, marty__yaml **ret)
{
    uint32_t line = line_of(&event->start_mark);
    if (depth > r->depth) {
        return marty_error_set(r->why, MARTY_E_CONFIG,
                               "%s:%u: nested over %d deep; that is the "
                               "limit",
                               r->file, line, r->depth);
    }
    if (event->type == YAML_ALIAS_EVENT) {
        return refuse(r, line, "aliases (*name) are not allowed; write the value out");
    }
    if (event->type == YAML_SCALAR_EVENT) {
        marty_err err = new_node(r, MARTY__YAML_TEXT, event, ret);
        err = err ? err : read_scalar(r, event, &(*ret)->raw);
        return err ? err : expand(r, *ret);
    }
    bool map = event->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *anchor =
        map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    const yaml_char_t *tag = map ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    if (anchor || tag) {
        return refuse(r, line, "anchors (&) and tags (!) are not allowed; write the value out");
    }
    marty_err err = new_node(r, map ? MARTY__YAML_MAP : MARTY__YAML_LIST, event, ret);
    return err ? err : read_entries(r, *ret, depth);
}

/* The events around the one node of the document. */
static marty_err read_document(reader *r, const marty__yaml **ret)
{
    bool have = false;
    for (;;) {
        yaml_event_t event;
        marty_err err = next_event(r, &event);
        if (err) {
            return err;
        }
        bool end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT && have) {
            err = refuse(r, line_of(&event.start_mark), "a second document begins; one is allowed");
        } else if (event.type == YAML_DOCUMENT_START_EVENT) {
            have = true;
        } else if (event.type != YAML_STREAM_START_EVENT && event.type != YAML_DOCUMENT_END_EVENT &&
                   !end) {
            marty__yaml *node = NULL;
            err = read_node(r, &event, 1, &node);
            *ret = node;
        }
        yaml_event_delete(&event);
        if (err || end) {
            return err;
        }
    }
}

static marty_err parse(const reader *with, const marty__yaml **ret, const char *text, size_t size)
{
    reader r = *with;
    *ret = NULL;
    if (size > MARTY__YAML_BYTES_MAX) {
        return marty_error_set(r.why, MARTY_E_CONFIG, "%s: over %d bytes; that is the limit",
                               r.file, MARTY__YAML_BYTES_MAX);
    }
    if (!yaml_parser_initialize(&r.parser)) {
        return no_memory(&r);
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, size);
    marty_err err = read_document(&r, ret);
    yaml_parser_delete(&r.parser);
    return err;
}

marty_err marty__yaml_parse(const marty__yaml **ret, marty__arena *arena, const char *file,
                            const char *text, size_t size, marty_error *why)
{
    reader r = {.arena = arena, .file = file, .why = why, .depth = MARTY__YAML_DEPTH_MAX};
    return parse(&r, ret, text, size);
}

marty_err marty__yaml_parse_plain(const marty__yaml **ret, marty__arena *arena, const char *file,
                                  const char *text, size_t size, int depth, marty_error *why)
{
    reader r = {.arena = arena, .file = file, .why = why, .depth = depth, .plain = true};
    return parse(&r, ret, text, size);
}

const marty__yaml *marty__yaml_get(const marty__yaml *map, const char *key)
{
    for (const marty__yaml *at = map->first; at; at = at->next) {
        if (strcmp(at->key, key) == 0) {
            return at;
        }
    }
    return NULL;
}
