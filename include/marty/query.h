/* SPDX-License-Identifier: Apache-2.0
 * Asking a service, with a deadline that travels with the query. Every accepted query ends exactly
 * once: with the reply, or with an error that says who gave up. */
#ifndef MARTY_QUERY_H
#define MARTY_QUERY_H
#include <marty/bus.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The completion of a query: called once per accepted query, never inside the call, also on close.
 *
 * @param user Of the options of the query.
 * @param reply The answer, or NULL. Borrowed until the return; ref it to keep it.
 * @param error Why there is none; NULL when there is one. Borrowed until the return.
 * @threads A worker; on a driven bus the thread in marty_bus_process, marty_bus_run or
 *     marty_bus_close.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
typedef void (*marty_answered)(void *user, const marty_message *reply, const marty_error *error);

/** How to ask. Zero means the default. @since 0.1 @source docs/design/0002-public-api.md */
typedef struct marty_query_options {
    const marty_message *with;  /**< A template, as in marty_publish_options. */
    const marty_message *cause; /**< What this follows from, as in marty_publish_options. */
    int32_t timeout_ms;         /**< The deadline, which travels with the query; 0 = 5,000. */
    marty_answered done;        /**< Set: return at once; ret_reply must be NULL. */
    void *user;                 /**< Given to done. */
    const void *cancel_key;     /**< For marty_bus_cancel; NULL = none. */
    uint64_t reserved[6];       /**< Leave it 0. */
} marty_query_options;

/**
 * Ask a service. A reply that comes after the deadline is dropped and counted.
 *
 * @param bus The bus. Driven: a query that this very bus answers needs done, else it times out.
 * @param service Who shall answer. Borrowed.
 * @param type What is asked; 1 to 255 bytes. Borrowed.
 * @param data Borrowed for the call; copied once into the message.
 * @param options NULL for the defaults: wait 5,000 ms.
 * @param ret_reply The reply; yours to unref. NULL with done.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK = answered (with done: accepted).
 * @errors The common ones; MARTY_E_REMOTE (why.remote has the responder's code, why.text its text),
 *     MARTY_E_TIMEOUT, MARTY_E_NO_RESPONDER (at once where the backend can tell), MARTY_E_FULL,
 *     MARTY_E_UNAVAILABLE, MARTY_E_CANCELLED.
 * @threads Any.
 * @blocks Until the reply or timeout_ms, unless options->done is set.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_MUST marty_err marty_query(marty_bus *bus, const char *service, const char *type,
                                 marty_bytes data, const marty_query_options *options,
                                 marty_message **ret_reply, marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
