/* SPDX-License-Identifier: Apache-2.0
 * A message as it goes out. A counted one that needs no change goes as it is, without a copy. */
#include "patterns.h"

#include "base/error.h"

#include <string.h>

/* Attributes of ours on a message that came from us and is sent on: they were of that delivery. */
static bool is_ours(const marty_header *header)
{
    return header->kind != MARTY_HEADER && strncmp(header->name, "marty", 5) == 0;
}

static bool has_ours(const marty_message *message)
{
    for (size_t i = 0; message->headers && i < message->header_count; i++) {
        if (message->headers[i].name && is_ours(&message->headers[i])) {
            return true;
        }
    }
    return false;
}

/* A template's headers without them, and one more; yours to free. */
static marty_err choose_headers(marty_message *message, const marty_header *also,
                                marty_header **ret_headers, marty_error *why)
{
    marty_header *headers = marty_alloc_zero(message->header_count + 1, sizeof *headers);
    size_t kept = 0;
    if (!headers) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    for (size_t i = 0; message->headers && i < message->header_count; i++) {
        if (!message->headers[i].name || !is_ours(&message->headers[i])) {
            headers[kept++] = message->headers[i];
        }
    }
    if (also) {
        headers[kept++] = *also;
    }
    message->headers = *ret_headers = headers;
    message->header_count = kept;
    return MARTY_OK;
}

marty__given marty__outgoing_given(const marty_bus *bus, const marty_message *cause)
{
    return (marty__given){.how = {.env = &bus->env,
                                  .source = bus->source,
                                  .source_hash = bus->source_hash,
                                  .cause = cause}};
}

marty_err marty__outgoing_message(const marty_message *from, marty__given *given,
                                  marty_message **ret_message, marty_error *why)
{
    marty_header *headers = NULL;
    bool ours = given->also || (from->header_count && has_ours(from));
    if (!given->id && !given->expires_us && !ours) {
        return marty__message_make(ret_message, from, &given->how, why);
    }
    marty_message copy = *from;
    copy.id = given->id ? given->id : copy.id;
    copy.expires_us = given->expires_us ? given->expires_us : copy.expires_us;
    marty_err err = ours ? choose_headers(&copy, given->also, &headers, why) : MARTY_OK;
    marty__making how = given->how; /* the copy lives no longer */
    err = err ? err : marty__message_make(ret_message, &copy, &how, why);
    marty_free(headers);
    return err;
}
