/* SPDX-License-Identifier: Apache-2.0
 * YAML as a tree, for configurations: one document of scalars, lists and mappings. Aliases,
 * anchors, tags, duplicate keys and anything over the limits are refused with the line; ${NAME} in
 * a value is replaced from the environment. The tree lives in an arena and is read-only. */
#ifndef MARTY_BUS_CONFIG_YAML_H
#define MARTY_BUS_CONFIG_YAML_H
#include "base/arena.h"
#include "base/limits.h"

#include <marty/backend.h>

typedef enum marty__yaml_kind {
    MARTY__YAML_TEXT = 1,
    MARTY__YAML_LIST,
    MARTY__YAML_MAP
} marty__yaml_kind;
typedef struct marty__yaml {
    marty__yaml_kind kind;
    uint32_t line;
    const char *key;      /* of an entry of a mapping, else NULL */
    const char *text;     /* scalar: its value */
    const char *raw;      /* scalar: as written, before ${NAME}: what errors may show */
    const char *variable; /* scalar: the first ${NAME} of it, or NULL */
    const struct marty__yaml *first, *next; /* entries; the next one beside this */
    size_t count;
} marty__yaml;

/** Parse a text; file is its name in errors. *ret is NULL for an empty document. E: CONFIG,
 * NO_MEMORY. */
marty_err marty__yaml_parse(const marty__yaml **ret, marty__arena *arena, const char *file,
                            const char *text, size_t size, marty_error *why);
/** The same without variables ("${" is text like any other), nested at most `depth` deep: for
 * documents that must mean the same everywhere. */
marty_err marty__yaml_parse_plain(const marty__yaml **ret, marty__arena *arena, const char *file,
                                  const char *text, size_t size, int depth, marty_error *why);
/** Entry of a mapping, or NULL. */
const marty__yaml *marty__yaml_get(const marty__yaml *map, const char *key);
#endif
