/* SPDX-License-Identifier: Apache-2.0
 * What a message will be made of, gathered as borrowed pieces on the stack, then made in one
 * allocation. All makers of messages (new, the decoders) go through here. Not shared by threads. */
#ifndef MARTY_MESSAGE_DRAFT_H
#define MARTY_MESSAGE_DRAFT_H
#include "base/limits.h"
#include "base/unset.h"
#include <marty/backend.h>

/* How the bytes of a piece become those of the message. All but PLAIN are checked once they have
 * been turned; PLAIN ones were checked before. */
typedef enum marty__form {
    MARTY__PLAIN,
    MARTY__JSON,          /* inside of a JSON string, valid, with escapes */
    MARTY__PERCENT,       /* percent-encoded, perhaps in quotes */
    MARTY__BASE64,        /* base64, also ... */
    MARTY__JSON_BASE64,   /* ... inside of a JSON string with escapes */
    MARTY__LOWER,         /* letters and digits, to become an attribute's name */
    MARTY__NAME,          /* any bytes, to become a header's name: %XX for those it may not have */
    MARTY__RAW_NAME,      /* the same with "raw-" in front */
    MARTY__JSON_NAME,     /* as NAME, inside of a JSON string with escapes */
    MARTY__RAW_JSON_NAME, /* the same with "raw-" in front */
    MARTY__BYTES,         /* any bytes: %XX for what is not printable ASCII, and for % */
    MARTY__ANY            /* copied, and checked afterwards like the turned ones */
} marty__form;
typedef struct marty__piece {
    const char *at; /* NULL = absent */
    size_t size;
    marty__form form;
} marty__piece;

typedef enum marty__field {
    MARTY__TYPE,
    MARTY__ID,
    MARTY__SOURCE,
    MARTY__SUBJECT,
    MARTY__KEY,
    MARTY__CONTENT_TYPE,
    MARTY__SCHEMA,
    MARTY__CORRELATION,
    MARTY__CAUSATION,
    MARTY__TRACE_PARENT,
    MARTY__TRACE_STATE,
    MARTY__FIELDS
} marty__field;
/* The same attribute in the struct, in CloudEvents. */
typedef struct marty__field_info {
    const char *name; /* "key" */
    const char *wire; /* "partitionkey" */
    size_t wire_size, offset;
} marty__field_info;
extern const marty__field_info marty__fields[MARTY__FIELDS];

typedef struct marty__draft_header {
    marty__piece name, value;
    marty_header_kind kind;
} marty__draft_header;
enum {
    MARTY__DRAFT_HEADERS = 24,
    MARTY__DRAFT_HEADERS_MAX = MARTY__HEADERS_MAX + 64 /* the user's and those that core adds */
};
typedef struct marty__draft {
    marty__piece fields[MARTY__FIELDS];
    marty__piece data;
    int64_t time_us, expires_us;
    int32_t priority;
    bool lenient; /* a bad trace is dropped, not refused */
    bool first;   /* of what follows from it: without a cause, it is its own */
    size_t header_count, header_room;
    marty__draft_header *headers; /* own, or more */
    marty__draft_header own[MARTY__DRAFT_HEADERS];
} marty__draft;

/** Empty; own is not touched, so a draft on the stack is MARTY__UNSET before. */
void marty__draft_init(marty__draft *draft);
/** The next header to fill in, or NULL: why says TOO_LARGE or NO_MEMORY. */
marty__draft_header *marty__draft_header_add(marty__draft *draft, marty_error *why);
/** Make the message: one allocation, turned pieces checked. correlation absent =
 * the id; without a trace of its own it takes a good one from its plain headers (where it stays,
 * too). Fields id, type, source and content type must be there. The draft is freed, whatever comes.
 */
marty_err marty__draft_finish(marty__draft *draft, marty_message **ret_message, marty_error *why);
/** A message with the words of another, which has neither headers nor a parent, and other data;
 * its id, times and priority are yours to set. E: NO_MEMORY. */
marty_err marty__draft_repeat(const marty_message *like, marty_bytes data,
                              marty_message **ret_message, marty_error *why);
/** Give back what it holds. */
void marty__draft_free(marty__draft *draft);

MARTY_INLINE marty__piece marty__plain(const char *text, size_t size)
{
    return (marty__piece){text, size, MARTY__PLAIN};
}
/** Where a message has that field. */
MARTY_INLINE const char **marty__field_of(marty_message *message, marty__field field)
{
    return (const char **)(void *)((char *)message + marty__fields[field].offset);
}
MARTY_INLINE const char *const *marty__field_in(const marty_message *message, marty__field field)
{
    return (const char *const *)(const void *)((const char *)message + marty__fields[field].offset);
}
/** The limits and rules of one field's final text; lenient: URIs need only be text. */
marty_err marty__field_check(marty__field field, const char *text, size_t size, bool lenient,
                             marty_error *why);
/** Turn percent-encoding (and quotes around) into bytes; returns how many. out may be text. */
size_t marty__percent_decode(char *out, const char *text, size_t size);
#endif
