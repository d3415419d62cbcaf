/* SPDX-License-Identifier: Apache-2.0
 * Between the parts that make definitions: where the structs came from, and the defaults. */
#ifndef MARTY_SAGA_DEFINITION_BUILD_H
#define MARTY_SAGA_DEFINITION_BUILD_H
#include "definition.h"

#include "base/limits.h"

enum {
    MARTY__SAGA_ATTEMPT_MS = 30 * 1000,
    MARTY__SAGA_CHILD_MS = 5 * 60 * 1000,            /* a child is asked again that often */
    MARTY__SAGA_SIGNAL_MS = 7 * 24 * 60 * 60 * 1000, /* a wait's time to live */
    MARTY__SAGA_RETRY_MAX_MS = 2 * 60 * 1000,
    MARTY__SAGA_TOTAL_MS = 7 * 24 * 60 * 60 * 1000 /* of attempts that nobody has counted */
};

/* Lines of the steps that came from a document. */
typedef struct marty__saga_line {
    const marty_step *step;
    uint32_t line;
    const struct marty__saga_line *next;
} marty__saga_line;
typedef struct marty__saga_source {
    const marty_saga *saga;
    const char *file; /* NULL: from C */
    const marty__saga_line *lines;
    uint32_t line; /* where the document begins */
} marty__saga_source;

/** That of the whole when it is of no step; 0 from C. */
MARTY_INLINE uint32_t marty__saga_line_of(const marty__saga_source *source, const marty_step *step)
{
    for (const marty__saga_line *at = source->lines; at; at = at->next) {
        if (at->step == step) {
            return at->line;
        }
    }
    return source->line;
}

marty_err marty__saga_definition_from(marty__saga_definition **ret,
                                      const marty__saga_source *source, marty_error *why);
/** Write the canonical JSON of a built definition and hash it; false without memory. */
bool marty__saga_definition_hash(marty__saga_definition *definition);
#endif
