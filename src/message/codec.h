/* SPDX-License-Identifier: Apache-2.0
 * What the codecs share. A wire message borrows all it can from the event it was made of and keeps
 * that alive; its fields (id, key, ...) are the event's, its headers and data the transport's. Any
 * thread. */
#ifndef MARTY_MESSAGE_CODEC_H
#define MARTY_MESSAGE_CODEC_H
#include "block.h"
#include "draft.h"

/* How the transport names and writes attributes. */
typedef struct marty__prefix {
    const char *text;
    size_t size;
    bool percent; /* "ce-": values are percent-encoded, and headers are lines of text */
} marty__prefix;
/** Length of the prefix at the start of a header's name (ASCII case ignored; "cloudEvents_" and
 * "cloudEvents:" are one), or -1. */
int marty__prefix_match(const marty__prefix *prefix, const char *name, size_t size);

/* Where an attribute of CloudEvents goes: a field (the numbers of marty__field), or ... */
enum {
    MARTY__AT_TIME = MARTY__FIELDS,
    MARTY__AT_EXPIRES,
    MARTY__AT_PRIORITY,
    MARTY__AT_SPECVERSION,
    MARTY__AT_DATA,
    MARTY__AT_DATA_BASE64,
    MARTY__AT_EXTENSION
};
/** By its name, in lower case. */
int marty__attribute_find(const char *name, size_t size);
/** Take a time, a priority or the version from its final text. E: MALFORMED. */
marty_err marty__draft_scalar(marty__draft *draft, int attribute, const char *text, size_t size,
                              marty_error *why);
/** An attribute of that name is there already: MALFORMED. */
marty_err marty__draft_unique(const marty__draft *draft, const char *name, size_t size,
                              marty_error *why);
/** Whether a content type, perhaps inside of a JSON string, says that the data is JSON. */
bool marty__piece_is_json(const marty__piece *content_type);
/** id, source and type are there; what is missing is named with the prefix. */
marty_err marty__draft_require(const marty__draft *draft, const char *prefix, marty_error *why);

/* A wire message in the making: room for headers, then bytes. */
typedef struct marty__wire {
    marty__block *block;
    size_t header_count;
    char *cursor;
} marty__wire;
/** Begin: fields of from, room for so many headers and bytes. */
marty_err marty__wire_begin(marty__wire *wire, const marty_message *from, size_t headers,
                            size_t bytes, marty_error *why);
/** Add a header that lives as long as the wire message or for ever. */
MARTY_INLINE void marty__wire_header(marty__wire *wire, const char *name, const char *value,
                                     size_t size)
{
    wire->block->headers[wire->header_count++] = (marty_header){name, {value, size}, MARTY_HEADER};
}
/** The end: set the headers, take a reference to from. */
marty_message *marty__wire_end(marty__wire *wire, const marty_message *from);
/** Whether a plain header may go with that prefix. E: MALFORMED. */
marty_err marty__wire_check(const marty__prefix *prefix, const marty_header *header,
                            marty_error *why);

marty_err marty__binary_encode(marty_message **ret_wire, const marty_message *from,
                               const marty__prefix *prefix, marty_error *why);
marty_err marty__structured_encode(marty_message **ret_wire, const marty_message *from,
                                   const marty__prefix *prefix, marty_error *why);
marty_err marty__legacy_encode(marty_message **ret_wire, const marty_message *from,
                               marty_error *why);
marty_err marty__binary_decode(marty_message **ret_message, const marty_message *wire,
                               const marty__prefix *prefix, marty_error *why);
marty_err marty__structured_decode(marty_message **ret_message, const marty_message *wire,
                                   const marty__prefix *prefix, marty_error *why);
marty_err marty__legacy_decode(marty_message **ret_message, const marty_message *wire,
                               marty_error *why);
/** Add the headers of a wire message that are no attributes. */
marty_err marty__draft_plain(marty__draft *draft, const marty_message *wire,
                             const marty__prefix *prefix, marty_error *why);
#endif
