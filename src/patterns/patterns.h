/* SPDX-License-Identifier: Apache-2.0
 * Parts of the patterns that their files share. The public calls are in <marty/publish.h>,
 * <marty/query.h>, <marty/subscribe.h>. */
#ifndef MARTY_PATTERNS_PATTERNS_H
#define MARTY_PATTERNS_PATTERNS_H
#include "bus/internal.h"
#include "message/message.h"

typedef struct marty__queries
    marty__queries; /* of a bus: queries without an answer, by the id of their request */

/** The queries of a bus that has just been opened. NULL without memory. */
marty__queries *marty__queries_new(marty_bus *bus);
void marty__queries_free(void *queries);
/** Hook `replied`. */
void marty__query_replied(marty_bus *bus, const marty_message *message);
/** Hook `cancelled`. */
size_t marty__query_cancelled(marty_bus *bus, const void *key);
/** Hook `closed`. */
void marty__query_closed(marty_bus *bus);
/** Hook `unanswered`. */
void marty__query_unanswered(marty__delivery *delivery, marty_err err);
typedef struct marty__given { /* what outgoing messages are given; 0 or NULL = nothing */
    const char *id;
    int64_t expires_us;
    const marty_header *also; /* an attribute of ours */
    marty__making how;
} marty__given;
/** What they get from a bus and a cause, which may be NULL. */
marty__given marty__outgoing_given(const marty_bus *bus, const marty_message *cause);
/** A message as it goes out: template or counted, with id, source, cause and expiry. */
marty_err marty__outgoing_message(const marty_message *from, marty__given *given,
                                  marty_message **ret_message, marty_error *why);
/** What became of a call that is answered: the first bad outcome speaks for it. */
marty_err marty__call_verdict(const marty__call *call, marty_error *why);
#endif
