/* SPDX-License-Identifier: Apache-2.0
 * What reading a configuration needs everywhere: values of each kind, and errors that name file,
 * line and field. One thread: the one that loads. */
#ifndef MARTY_BUS_CONFIG_READ_H
#define MARTY_BUS_CONFIG_READ_H
#include "config.h"
#include "config_yaml.h"

typedef struct marty__config_reader {
    marty__config *config; /* being built */
    marty__arena *arena;   /* its memory */
    const char *file;
    marty_error *why;
} marty__config_reader;

/** "file:line: path: text" with a code; returns the code. */
marty_err marty__config_wrong(const marty__config_reader *r, marty_err code, uint32_t line,
                              const char *path, const char *format, ...)
    MARTY__ATTRIBUTE(format(printf, 5, 6));
marty_err marty__config_no_memory(const marty__config_reader *r);
/** It is a mapping, and each key of it is in the NULL-ended list. */
marty_err marty__config_keys(const marty__config_reader *r, const marty__yaml *map,
                             const char *path, const char *const known[]);
/** A text that is not empty; lives in the arena. */
marty_err marty__config_text(const marty__config_reader *r, const marty__yaml *node,
                             const char *path, const char **ret);
/** A whole number from min to max. */
marty_err marty__config_number(const marty__config_reader *r, const marty__yaml *node,
                               const char *path, uint32_t min, uint32_t max, uint32_t *ret);
/** A duration of at most 24 days. */
marty_err marty__config_ms(const marty__config_reader *r, const marty__yaml *node, const char *path,
                           uint32_t *ret);
/** The index of one of the NULL-ended words. */
marty_err marty__config_word(const marty__config_reader *r, const marty__yaml *node,
                             const char *path, const char *const words[], size_t *ret);
/** "file:line", with the variable that it is from; NULL without memory. */
const char *marty__config_from(const marty__config_reader *r, const marty__yaml *node);
/** "a, b, c" of NULL-ended words into a list of that room, cut to fit. */
void marty__config_join(char *to, size_t room, const char *const words[]);
/** Names of the backends, the same. */
void marty__config_join_backends(char *to, size_t room, const marty__config *config);
/** A template of a channel: words and placeholders of the pattern (0: of dead letters). */
marty_err marty__config_template(const marty__config_reader *r, const marty__yaml *node,
                                 const char *path, marty_pattern pattern, const char **ret);
/** The whole of a document into r->config, and the defaults of what it leaves open. */
marty_err marty__config_read(const marty__config_reader *r, const marty__yaml *root);
/** `routes:` (NULL = none) and, with one backend, the routes that send the rest there. */
marty_err marty__config_read_routes(const marty__config_reader *r, const marty__yaml *routes);
/** What no document says: retry, dead letters, topology. */
void marty__config_defaults(marty__config *config);
/** Add backend `name`; checks the URL. from: where it is given; path: its field, or NULL. */
marty_err marty__config_add_backend(const marty__config_reader *r, uint32_t line, const char *path,
                                    const char *name, const char *url, const char *from);
#endif
