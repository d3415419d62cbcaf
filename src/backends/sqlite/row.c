/* SPDX-License-Identifier: Apache-2.0
 * The row's bytes: version 1, a mask of what is there, the time, then each part with its length,
 * data last. What is usual costs nothing: a correlation equal to the id, JSON as content. Lengths
 * are checked when read, so a damaged row is an error; what is in them was checked when written. */
#include "row.h"

#include "base/alloc.h"
#include "message/draft.h"

#include <string.h>

enum { VERSION = 1, NUMBER_BYTES = 10 };
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
static void put_number(marty__buffer *out, uint64_t number)
{
    unsigned char bytes[NUMBER_BYTES];
    size_t size = 0;
    while (number >= 0x80) {
        bytes[size++] = (unsigned char)(number | 0x80);
        number >>= 7;
    }
    bytes[size++] = (unsigned char)number;
    marty__buffer_add(out, bytes, size);
}

static void put_text(marty__buffer *out, const void *text, size_t size)
{
    put_number(out, size);
    marty__buffer_add(out, text, size);
}

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
    put_number(out, message->header_count);
    for (size_t i = 0; i < message->header_count; i++) {
        const marty_header *header = &message->headers[i];
        marty__buffer_byte(out, (char)header->kind);
        put_text(out, header->name, strlen(header->name));
        put_text(out, header->value.data, header->value.size);
    }
}

void marty__sq_row_write(marty__buffer *out, const marty_message *message, const char *reply_to)
{
    uint64_t mask = mask_of(message, reply_to);
    marty__buffer_byte(out, VERSION);
    put_number(out, mask);
    put_time(out, message->time_us);
    if (mask & HAS_EXPIRES) {
        put_time(out, message->expires_us);
    }
    if (mask & HAS_PRIORITY) {
        put_number(out, (uint32_t)message->priority);
    }
    for (size_t i = 0; i < MARTY__FIELDS; i++) {
        if (mask & (uint64_t)1 << i) {
            const char *text = field(message, i);
            put_text(out, text, strlen(text));
        }
    }
    if (reply_to) {
        put_text(out, reply_to, strlen(reply_to));
    }
    if (mask & HAS_HEADERS) {
        put_headers(out, message);
    }
    marty__buffer_add(out, message->data.data, message->data.size);
}

/* ---- reading */
typedef struct reader {
    const unsigned char *at, *end;
    bool bad;
} reader;

static uint64_t get_number(reader *in)
{
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 64 && in->at < in->end; shift += 7) {
        unsigned char byte = *in->at++;
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            return number;
        }
    }
    in->bad = true;
    return 0;
}

static marty__piece get_text(reader *in)
{
    uint64_t size = get_number(in);
    if (in->bad || size > (size_t)(in->end - in->at)) {
        in->bad = true;
        size = 0;
    }
    marty__piece piece = marty__plain((const char *)in->at, (size_t)size);
    in->at += size;
    return piece;
}

static int64_t get_time(reader *in)
{
    uint64_t time = 0;
    if (in->end - in->at < 8) {
        in->bad = true;
        return 0;
    }
    for (size_t i = 0; i < 8; i++) {
        time |= (uint64_t)*in->at++ << 8 * i;
    }
    return (int64_t)time;
}

static marty_err get_headers(reader *in, marty__draft *draft, marty_error *why)
{
    uint64_t count = get_number(in);
    for (uint64_t i = 0; i < count && !in->bad; i++) {
        marty__draft_header *header = marty__draft_header_add(draft, why);
        if (!header) {
            return why->code;
        }
        uint64_t kind = get_number(in);
        in->bad = in->bad || kind > MARTY_ATTRIBUTE_TIMESTAMP;
        header->kind = (marty_header_kind)kind;
        header->name = get_text(in);
        header->value = get_text(in);
    }
    return MARTY_OK;
}

static void get_fields(reader *in, marty__draft *draft, uint64_t mask)
{
    for (size_t i = 0; i < MARTY__FIELDS; i++) {
        if (mask & (uint64_t)1 << i) {
            draft->fields[i] = get_text(in);
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
    in->bad = in->bad || !draft->fields[MARTY__ID].at || !draft->fields[MARTY__TYPE].at ||
              !draft->fields[MARTY__SOURCE].at || !draft->fields[MARTY__CONTENT_TYPE].at;
}

/* Everything but the making. */
static marty_err gather(reader *in, marty__draft *draft, marty__piece *ret_reply_to,
                        marty_error *why)
{
    in->bad = in->at == in->end || *in->at++ != VERSION;
    uint64_t mask = in->bad ? 0 : get_number(in);
    draft->time_us = get_time(in);
    draft->expires_us = mask & HAS_EXPIRES ? get_time(in) : 0;
    draft->priority = mask & HAS_PRIORITY ? (int32_t)(uint32_t)get_number(in) : 0;
    get_fields(in, draft, mask);
    *ret_reply_to = mask & HAS_REPLY_TO ? get_text(in) : (marty__piece){0};
    marty_err err = mask & HAS_HEADERS ? get_headers(in, draft, why) : MARTY_OK;
    draft->data = marty__plain((const char *)in->at, (size_t)(in->end - in->at));
    return err || !in->bad
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
    reader in = {.at = row, .end = (const unsigned char *)row + size};
    marty__draft_init(&draft);
    marty_err err = gather(&in, &draft, &piece, why);
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
