/* SPDX-License-Identifier: Apache-2.0
 * Messages and what NATS carries: header lines and a body. Headers whose names begin with Nats- are
 * the broker's: it would obey them, so they are refused on the way out and dropped on the way in.
 */
#include "parts.h"

#include <string.h>
#include <strings.h>

/* ---- out */

static bool good_name(const char *name)
{
    for (const char *at = name; *at; at++) {
        if (*at <= ' ' || *at > '~' || *at == ':') {
            return false;
        }
    }
    return *name && ((*name != 'N' && *name != 'n') || strncasecmp(name, "Nats-", 5) != 0);
}

static bool good_value(marty_bytes value)
{
    const char *data = value.data;
    for (size_t i = 0; i < value.size; i++) {
        if (data[i] == '\r' || data[i] == '\n' || data[i] == '\0') {
            return false;
        }
    }
    return true;
}

static bool add_line(nats__buffer *lines, const char *name, marty_bytes value)
{
    size_t name_size = strlen(name);
    if (!nats__buffer_room(lines, name_size + value.size + 4)) {
        return false;
    }
    nats__buffer_add(lines, name, name_size);
    nats__buffer_add(lines, ": ", 2);
    nats__buffer_add(lines, value.data, value.size);
    nats__buffer_add(lines, "\r\n", 2);
    return true;
}

bool nats__line_locked(marty_port *port, const char *name, const char *value)
{
    return add_line(&port->scratch, name, marty_text(value));
}

marty_err nats__encode_locked(marty_port *port, const marty_message *message, bool legacy,
                              marty_message **ret_body, marty_error *why)
{
    marty_message *wire = NULL;
    marty_err err =
        marty_message_encode(&wire, message, legacy ? MARTY_LEGACY : MARTY_BINARY, "ce-", why);
    port->scratch.size = 0;
    for (size_t i = 0; !err && i < wire->header_count; i++) {
        const marty_header *header = &wire->headers[i];
        if (!good_name(header->name)) {
            err = marty_error_set(why, MARTY_E_MALFORMED,
                                  "header \"%.64s\": nats carries names of visible ASCII without a "
                                  "colon, and those that begin with Nats- are its own",
                                  header->name);
        } else if (!good_value(header->value)) {
            err = marty_error_set(why, MARTY_E_MALFORMED,
                                  "header %.64s: nats carries no line breaks and no NUL in values; "
                                  "encode it, or put it into the data",
                                  header->name);
        } else if (!add_line(&port->scratch, header->name, header->value)) {
            err = marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory for headers");
        }
    }
    if (err) {
        marty_message_unref(wire);
        return err;
    }
    *ret_body = wire;
    return MARTY_OK;
}

/* ---- in */

static bool add_header(nats__read *into, const char *name, const char *value, size_t size)
{
    if (into->header_count == into->header_capacity) {
        size_t capacity = into->header_capacity ? into->header_capacity * 2 : 32;
        marty_header *headers = marty_realloc(into->headers, capacity * sizeof *headers);
        if (!headers) {
            return false;
        }
        into->headers = headers;
        into->header_capacity = capacity;
    }
    into->headers[into->header_count++] =
        (marty_header){.name = name, .value = {value, size}, .kind = MARTY_HEADER};
    return true;
}

/* One line, its end cut off: the broker's own are dropped. */
static bool read_line(nats__read *into, char *line, char *end)
{
    char *colon = memchr(line, ':', (size_t)(end - line));
    if (!colon) {
        return true;
    }
    *colon = '\0';
    char *value = colon + 1;
    value += value < end && *value == ' ';
    if ((*line == 'N' || *line == 'n') && strncasecmp(line, "Nats-", 5) == 0) {
        return true;
    }
    return add_header(into, line, value, (size_t)(end - value));
}

static bool read_lines(nats__read *into, const nats__message *from)
{
    into->text.size = 0;
    if (!nats__buffer_append(&into->text, from->lines, from->lines_size)) {
        return false;
    }
    char *at = into->text.data, *end = at + into->text.size;
    while (at < end) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        char *line_end = newline ? newline : end;
        line_end -= line_end > at && line_end[-1] == '\r';
        if (!read_line(into, at, line_end)) {
            return false;
        }
        at = newline ? newline + 1 : end;
    }
    return true;
}

static bool is_cloudevent(const nats__read *into)
{
    for (size_t i = 0; i < into->header_count; i++) {
        const marty_header *header = &into->headers[i];
        static const char structured[] = "application/cloudevents";
        if (strncasecmp(header->name, "ce-", 3) == 0 ||
            (strcasecmp(header->name, "Content-Type") == 0 &&
             header->value.size >= sizeof structured - 1 &&
             strncasecmp(header->value.data, structured, sizeof structured - 1) == 0)) {
            return true;
        }
    }
    return false;
}

void nats__read_message(marty_port *port, const nats__message *from, nats__read *into)
{
    into->message = NULL;
    into->header_count = 0;
    if (from->lines_size > 0 && !read_lines(into, from)) {
        return;
    }
    bool legacy = port->options.envelope != NATS__CLOUDEVENTS && !is_cloudevent(into);
    marty_message wire = {.headers = into->headers, .header_count = into->header_count};
    marty_error why = {0};
    wire.data = (marty_bytes){from->data, from->size};
    if (marty_message_decode(&into->message, &wire, legacy ? NULL : "ce-", &why) != MARTY_OK) {
        into->message = NULL;
        marty_port_log(port->sink, 1, "nats: a message on %s is unreadable: %s", from->subject,
                       why.text);
    }
}

void nats__read_free(nats__read *read)
{
    marty_free(read->headers);
    marty_free(read->text.data);
    *read = (nats__read){0};
}

/* The changed copy in place of the original; the original if there is no memory. */
static marty_message *replaced(marty_message *message, marty_message *changed)
{
    marty_message *made = NULL;
    marty_error ignored = {0};
    changed->marty__self = NULL;
    if (marty_message_new(&made, changed, NULL, &ignored) != MARTY_OK) {
        return message;
    }
    marty_message_unref(message);
    return made;
}

marty_message *nats__with_type(marty_message *message, const char *type)
{
    marty_message changed = *message;
    changed.type = type;
    return replaced(message, &changed);
}

marty_message *nats__mend_type(const marty_port *port, marty_kind kind, const nats__message *from,
                               marty_message *message)
{
    const char *subject = from->subject + strlen(port->options.prefix);
    if (port->options.envelope == NATS__CLOUDEVENTS || kind != MARTY_KIND_TOPIC || !message ||
        strncmp(subject, "events.saga.", 12) != 0) {
        return message;
    }
    return strcmp(subject + 12, message->type) == 0 ? nats__with_type(message, subject + 7)
                                                    : message;
}

marty_message *nats__with_expiry(marty_message *message, int64_t expires_us)
{
    marty_message changed = *message;
    changed.expires_us = expires_us;
    return replaced(message, &changed);
}

marty_err nats__with_attribute(const marty_message *message, const char *name, const char *value,
                               marty_message **ret_message, marty_error *why)
{
    marty_message copy = *message;
    size_t count = message->header_count;
    marty_header *headers = marty_alloc((count + 1) * sizeof *headers);
    if (!headers) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory for a message");
    }
    if (count > 0) {
        memcpy(headers, message->headers, count * sizeof *headers);
    }
    headers[count] = (marty_header){name, marty_text(value), MARTY_ATTRIBUTE};
    copy.headers = headers;
    copy.header_count = count + 1;
    marty_err err = marty_message_new(ret_message, &copy, NULL, why);
    marty_free(headers);
    return err;
}
