/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MARTY_QUERY_H
#define MARTY_QUERY_H
#include <marty/bus.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Once per accepted query: reply, or NULL and the error. Exactly once, also on close. */
typedef void (*marty_answered)(void *user, const marty_message *reply, const marty_error *error);
typedef struct marty_query_options {
    const marty_message *with, *cause;
    int32_t timeout_ms; /* as in marty_publish_options; the deadline travels with the query */
    marty_answered done;
    void *user;
    const void *cancel_key;
    uint64_t reserved[6]; /* done set: return at once, ret_reply must be NULL */
} marty_query_options;
/** Ask a service. Reply is yours to unref. B: until the reply or timeout_ms, unless done is set. E:
 * REMOTE (why.remote, why.text), TIMEOUT, NO_RESPONDER (at once where the backend can tell), FULL,
 * UNAVAILABLE, CANCELLED. A late reply is dropped and counted. Driven: a query that this very bus
 * answers needs done, else TIMEOUT. */
MARTY_MUST marty_err marty_query(marty_bus *bus, const char *service, const char *type,
                                 marty_bytes data, const marty_query_options *options,
                                 marty_message **ret_reply, marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
