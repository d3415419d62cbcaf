/* SPDX-License-Identifier: Apache-2.0
 * The row's bytes: version 1, a mask of what is there, the time, then each part with its length,
 * data last. What is usual costs nothing: a correlation equal to the id, JSON as content. Lengths
 * are checked when read, so a damaged row is an error; what is in them was checked when written. */
#include "row.h"

#include "base/alloc.h"
#include "base/wire.h"
#include "message/draft.h"

#include <string.h>

enum { VERSION = 1 };
enum {
    HAS_REPLY_TO = 1 << MARTY__FIELDS,
    SAME_CORRELATION = HAS_REPLY_TO << 1,
    SAME_CAUSATION = HAS_REPLY_TO << 2,
    USUAL_CONTENT = HAS_REPLY_TO << 3,
    HAS_EXPIRES = HAS_REPLY_TO << 4,
    HAS_PRIORITY = HAS_REPLY_TO << 5,
    HAS_HEADERS = HAS_REPLY_TO << 6
};
static const char usual_content[] = "application/json";

/* ---- writing */
static void put_time(marty__buffer *out, int64_t time)
{
    unsigned char bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)((uint64_t)time >> 8 * i);
    }
    marty__buffer_add(out, bytes, sizeof bytes);
}

static bool same(const char *a, const char *b)
{
    return a && b && (a == b || strcmp(a, b) == 0);
}

static const char *field(const marty_message *message, size_t i)
{
    return *(const char *const *)(const void *)((const char *)message + marty__fields[i].offset);
}

static uint64_t mask_of(const marty_message *message, const char *reply_to)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < MARTY__FIELDS; i++) {
        mask |= field(message, i) ? (uint64_t)1 << i : 0;
    }
    if (same(message->correlation_id, message->id)) {
        mask = (mask & ~((uint64_t)1 << MARTY__CORRELATION)) | SAME_CORRELATION;
    }
    if (same(message->causation_id, message->id)) {
        mask = (mask & ~((uint64_t)1 << MARTY__CAUSATION)) | SAME_CAUSATION;
    }
    if (same(message->content_type, usual_content)) {
        mask = (mask & ~((uint64_t)1 << MARTY__CONTENT_TYPE)) | USUAL_CONTENT;
    }
    mask |= reply_to ? HAS_REPLY_TO : 0;
    mask |= message->expires_us ? HAS_EXPIRES : 0;
    mask |= message->priority ? HAS_PRIORITY : 0;
    mask |= message->header_count ? HAS_HEADERS : 0;
    return mask;
}

static void put_headers(marty__buffer *out, const marty_message *message)
{
    marty__wire_put(out, message->header_count);
    for (size_t i = 0; i < message->header_count; i++) {
        const marty_header *header = &message->headers[i];
        marty__buffer_byte(out, (char)header->kind);
        marty__wire_put_bytes(out, marty_text(header->name));
        marty__wire_put_bytes(out, header->value);
    }
}

void marty__sq_row_write(marty__buffer *out, const marty_message *message, const char *reply_to)
{
    uint64_t mask = mask_of(message, reply_to);
    marty__buffer_byte(out, VERSION);
    marty__wire_put(out, mask);
    put_time(out, message->time_us);
    if (mask & HAS_EXPIRES) {
        put_time(out, message->expires_us);
    }
    if (mask & HAS_PRIORITY) {
        marty__wire_put(out, (uint32_t)message->priority);
    }
    for (size_t i = 0; i < MARTY__FIELDS; i++) {
        if (mask & (uint64_t)1 << i) {
            const char *text = field(message, i);
            marty__wire_put_bytes(out, marty_text(text));
        }
    }
    if (reply_to) {
        marty__wire_put_bytes(out, marty_text(reply_to));
    }
    if (mask & HAS_HEADERS) {
        put_headers(out, message);
    }
    marty__buffer_add(out, message->data.data, message->data.size);
}

/* ---- reading */
/* One that is empty is there all the same: its place is not NULL. */
static marty__piece get_text(marty__wire *from)
{
    marty_bytes text = marty__wire_bytes(from, SIZE_MAX);
    return marty__plain(text.size ? text.data : (const char *)from->at, text.size);
}

static int64_t get_time(marty__wire *from)
{
    unsigned char bytes[8];
    uint64_t time = 0;
    marty__wire_raw(from, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        time |= (uint64_t)bytes[i] << 8 * i;
    }
    return (int64_t)time;
}

static marty_err get_headers(marty__wire *from, marty__draft *draft, marty_error *why)
{
    uint64_t count = marty__wire_number(from);
    for (uint64_t i = 0; i < count && !from->broken; i++) {
        marty__draft_header *header = marty__draft_header_add(draft, why);
        if (!header) {
            return why->code;
        }
        uint64_t kind = marty__wire_number(from);
        from->broken = from->broken || kind > MARTY_ATTRIBUTE_TIMESTAMP;
        header->kind = (marty_header_kind)kind;
        header->name = get_text(from);
        header->value = get_text(from);
    }
    return MARTY_OK;
}

static void get_fields(marty__wire *from, marty__draft *draft, uint64_t mask)
{
    for (size_t i = 0; i < MARTY__FIELDS; i++) {
        if (mask & (uint64_t)1 << i) {
            draft->fields[i] = get_text(from);
        }
    }
    if (mask & SAME_CORRELATION) {
        draft->fields[MARTY__CORRELATION] = draft->fields[MARTY__ID];
    }
    if (mask & SAME_CAUSATION) {
        draft->fields[MARTY__CAUSATION] = draft->fields[MARTY__ID];
    }
    if (mask & USUAL_CONTENT) {
        draft->fields[MARTY__CONTENT_TYPE] = marty__plain(usual_content, sizeof usual_content - 1);
    }
    from->broken = from->broken || !draft->fields[MARTY__ID].at || !draft->fields[MARTY__TYPE].at ||
                   !draft->fields[MARTY__SOURCE].at || !draft->fields[MARTY__CONTENT_TYPE].at;
}

/* Everything but the making. */
static marty_err gather(marty__wire *from, marty__draft *draft, marty__piece *ret_reply_to,
                        marty_error *why)
{
    from->broken = from->at == from->end || *from->at++ != VERSION;
    uint64_t mask = from->broken ? 0 : marty__wire_number(from);
    draft->time_us = get_time(from);
    draft->expires_us = mask & HAS_EXPIRES ? get_time(from) : 0;
    draft->priority = mask & HAS_PRIORITY ? (int32_t)(uint32_t)marty__wire_number(from) : 0;
    get_fields(from, draft, mask);
    *ret_reply_to = mask & HAS_REPLY_TO ? get_text(from) : (marty__piece){0};
    marty_err err = mask & HAS_HEADERS ? get_headers(from, draft, why) : MARTY_OK;
    draft->data = marty__plain((const char *)from->at, (size_t)(from->end - from->at));
    return err || !from->broken
               ? err
               : marty_error_set(why, MARTY_E_MALFORMED, "a row of a message is damaged");
}

static marty_err copy_reply_to(char **ret_reply_to, const marty__piece *piece, marty_error *why)
{
    char *copy = piece->at ? marty_alloc(piece->size + 1) : NULL;
    if (piece->at && !copy) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for an address to reply to");
    }
    if (copy) {
        memcpy(copy, piece->at, piece->size);
        copy[piece->size] = '\0';
    }
    *ret_reply_to = copy;
    return MARTY_OK;
}

marty_err marty__sq_row_read(marty_message **ret_message, char **ret_reply_to, const void *row,
                             size_t size, marty_error *why)
{
    marty__draft draft;
    marty__piece piece;
    char *reply_to = NULL;
    marty__wire from = {.at = row, .end = (const uint8_t *)row + size};
    marty__draft_init(&draft);
    marty_err err = gather(&from, &draft, &piece, why);
    if (!err && ret_reply_to) {
        err = copy_reply_to(&reply_to, &piece, why);
    }
    if (err) {
        marty__draft_free(&draft);
        return err;
    }
    err = marty__draft_finish(&draft, ret_message, why);
    if (err) {
        marty_free(reply_to);
        return err;
    }
    if (ret_reply_to) {
        *ret_reply_to = reply_to;
    }
    return MARTY_OK;
}
