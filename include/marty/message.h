/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MARTY_MESSAGE_H
#define MARTY_MESSAGE_H
#include <marty/error.h>
#include <marty/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum marty_header_kind { /* value is the canonical text; the kind is what JSON and the
                                    brokers' types show */
                                 MARTY_HEADER,
                                 MARTY_ATTRIBUTE,
                                 MARTY_ATTRIBUTE_INTEGER,
                                 MARTY_ATTRIBUTE_BOOLEAN,
                                 MARTY_ATTRIBUTE_BINARY,
                                 MARTY_ATTRIBUTE_URI,
                                 MARTY_ATTRIBUTE_TIMESTAMP
} marty_header_kind;
typedef struct marty_header {
    const char *name;
    marty_bytes value;
    marty_header_kind kind;
} marty_header;
/* A CloudEvent. From the library it is counted, immutable, one allocation. Made by you, on the
 * stack, it is a template: accepted wherever a message goes in, checked and copied there. A copy of
 * a message, then changed, is a template too (same id, unless you clear it). */
typedef struct marty_message {
    const char *type;
    marty_bytes data; /* type: required, "order.created" */
    const char *id, *source, *subject,
        *key; /* id: NULL = UUIDv7; source: NULL = from service; key orders */
    const char *content_type, *schema;         /* NULL = application/json; NULL = none */
    const char *correlation_id, *causation_id; /* NULL = from options->cause, else own id */
    const char *trace_parent, *trace_state;    /* W3C */
    int64_t time_us, expires_us;               /* Unix time; 0 = now; 0 = never */
    const marty_header *headers;
    size_t header_count; /* headers and extension attributes, in order, names may repeat */
    int32_t priority;
    const void *marty__self;
    uint64_t reserved[4]; /* self: leave 0; equals its own address in a counted message only */
} marty_message;
/** Check a template and copy it into a counted message, id and correlation given (cause or NULL);
 * yours to unref. To keep one, or publish it often. E: MALFORMED, TOO_LARGE. */
MARTY_MUST marty_err marty_message_new(marty_message **ret_message, const marty_message *template_,
                                       const marty_message *cause, marty_error *why);
/** One more reference, to keep a message past its callback. NULL and templates give NULL. */
MARTY_API marty_message *marty_message_ref(const marty_message *message);
/** Give a reference back; NULL is fine. Strings and data die with the last one. */
MARTY_API void marty_message_unref(marty_message *message);
/** First header or attribute of that name (ASCII case ignored); data NULL when absent. Borrowed
 * from the message. */
MARTY_API marty_bytes marty_message_header(const marty_message *message, const char *name);

#ifdef __cplusplus
}
#endif
#endif
