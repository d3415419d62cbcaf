/* SPDX-License-Identifier: Apache-2.0
 * The message: one struct, to write one and to read one. It is a CloudEvent 1.0. One that the
 * library gives is counted, immutable and one allocation; any number of threads may read it. */
#ifndef MARTY_MESSAGE_H
#define MARTY_MESSAGE_H
#include <marty/error.h>
#include <marty/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * What a header is. Its value is always the canonical text; the kind is what JSON and the types of
 * the brokers show. All but MARTY_HEADER are extension attributes of the CloudEvent.
 *
 * @since 0.1
 * @source CloudEvents 1.0.2 section 3.1.1 and 3.2
 */
typedef enum marty_header_kind {
    MARTY_HEADER,             /**< A header of the transport, not an attribute. */
    MARTY_ATTRIBUTE,          /**< Attribute of type String. */
    MARTY_ATTRIBUTE_INTEGER,  /**< Attribute of type Integer, "-7". */
    MARTY_ATTRIBUTE_BOOLEAN,  /**< Attribute of type Boolean, "true" or "false". */
    MARTY_ATTRIBUTE_BINARY,   /**< Attribute of type Binary, in base64. */
    MARTY_ATTRIBUTE_URI,      /**< Attribute of type URI or URI-reference. */
    MARTY_ATTRIBUTE_TIMESTAMP /**< Attribute of type Timestamp, RFC 3339. */
} marty_header_kind;

/** One header or extension attribute. @since 0.1 @source CloudEvents 1.0.2 section 3.2 */
typedef struct marty_header {
    const char *name;       /**< Its name. */
    marty_bytes value;      /**< Its value as canonical text. */
    marty_header_kind kind; /**< What it is; 0 = a header. */
} marty_header;

/**
 * A CloudEvent. From the library it is counted and immutable. Made by you, on the stack, it is a
 * template: accepted wherever a message goes in, and checked and copied there. A copy of a counted
 * message, then changed, is a template too (with the same id, unless you clear it).
 *
 * @since 0.1
 * @source CloudEvents 1.0.2 section 3
 */
typedef struct marty_message {
    /** Required: what it is, for example "order.created"; 1 to 255 bytes. */
    const char *type;
    /** The body. */
    marty_bytes data;
    /** Its name for ever, together with source; NULL = a new UUIDv7. */
    const char *id;
    /** Where it comes from, a URI reference; NULL = made from the service. */
    const char *source;
    /** What it is about, within source; NULL = none. */
    const char *subject;
    /** What orders: messages of one key stay in order where order is asked; NULL = none. */
    const char *key;
    /** Media type of data; NULL = application/json. */
    const char *content_type;
    /** URI of the schema of data; NULL = none. */
    const char *schema;
    /** What belongs together; NULL = that of options->cause, else its own id. */
    const char *correlation_id;
    /** The id of what it follows from; NULL = that of options->cause, else its own id. */
    const char *causation_id;
    /** W3C trace context, "traceparent"; NULL = none. */
    const char *trace_parent;
    /** W3C trace context, "tracestate"; NULL = none. */
    const char *trace_state;
    /** When it happened, Unix time in microseconds; 0 = now. */
    int64_t time_us;
    /** When it is worth nothing any more, Unix time in microseconds; 0 = never. */
    int64_t expires_us;
    /** Headers and extension attributes, in order; names of headers may repeat. */
    const marty_header *headers;
    /** How many headers. */
    size_t header_count;
    /** Higher goes first where PRIORITY is granted; 0 = the middle. */
    int32_t priority;
    /** Leave it 0, or as a copy of a message has it: then what was read leniently from a broker is
     * accepted again. It equals the message's own address in a counted message only. */
    const void *marty__self;
    /** Leave it 0. */
    uint64_t reserved[4];
} marty_message;

/**
 * Check a template and copy it into a counted message that has an id and a correlation: to keep
 * one, or to publish the same one often.
 *
 * @param ret_message The message; yours to give back with marty_message_unref.
 * @param template_ What to copy; a counted message will do. Borrowed.
 * @param cause What the new one follows from (it lends the correlation and its id), or NULL.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, or nothing was made.
 * @errors The common ones; MARTY_E_MALFORMED (a field is not what CloudEvents allows),
 *     MARTY_E_TOO_LARGE.
 * @threads Any.
 * @since 0.1
 * @source CloudEvents 1.0.2 section 3; docs/design/0002-public-api.md
 */
MARTY_MUST marty_err marty_message_new(marty_message **ret_message, const marty_message *template_,
                                       const marty_message *cause, marty_error *why);

/**
 * One more reference, to keep a message past the callback that lent it.
 *
 * @param message A counted message; NULL and templates are fine.
 * @return The same message, yours to unref; NULL for NULL and for a template.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API marty_message *marty_message_ref(const marty_message *message);

/**
 * Give a reference back. Strings and data die with the last one.
 *
 * @param message A reference that is yours; NULL is fine.
 * @threads Any, also after the bus is gone.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API void marty_message_unref(marty_message *message);

/**
 * The first header or extension attribute of a name.
 *
 * @param message A counted message or a template. Borrowed.
 * @param name The name; the case of ASCII letters is ignored. Borrowed.
 * @return Its value, borrowed from the message; data is NULL when there is none.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API marty_bytes marty_message_header(const marty_message *message, const char *name);

#ifdef __cplusplus
}
#endif
#endif
