/* SPDX-License-Identifier: Apache-2.0
 * Where what is published goes, and whether it may: looked for once for each run of messages of one
 * type. */
#ifndef MARTY_PATTERNS_TARGET_H
#define MARTY_PATTERNS_TARGET_H
#include "patterns.h"

typedef struct marty__publish { /* one call of marty_publish */
    marty_bus *bus;
    marty_pattern pattern;
    const char *to;
    const marty_message *const *messages;
    size_t count;
    const marty_publish_options *options;
    const marty_message *cause;
    int64_t deliver_at_us, expires_us;
    size_t runs; /* of messages of one type, one after the other: a target is looked for once */
} marty__publish;

/* Where the messages of one type go, and what may go there. */
typedef struct marty__target {
    const marty__place *place;
    marty__kept_place *kept; /* the place is of it, or NULL */
    marty__place found;      /* the place when it is not kept */
    marty__port *port;
    uint64_t payload_max;
    uint32_t headers_max;
} marty__target;

/** The place of a type and what it grants for this call. E: as marty__place_find; UNSUPPORTED. */
marty_err marty__target_find(const marty__publish *self, const char *type, marty__target *to,
                             marty_error *why);
/** E: TOO_LARGE. */
marty_err marty__target_check(const marty__target *to, const marty_message *message,
                              marty_error *why);
/** What is added to the call from here on goes there; room: for a name of a channel that does not
 * last, moved behind it. */
void marty__target_go(const marty__publish *self, marty__call *call, const marty__target *to,
                      char **room);
#endif
