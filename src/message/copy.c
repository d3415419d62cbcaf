/* SPDX-License-Identifier: Apache-2.0
 * Copies that core makes: a block of its own for what changed, the rest borrowed from the message,
 * which the copy keeps alive. A chain of copies of copies is cut by copying all. Any thread. */
#include "message.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "block.h"
#include "draft.h"
#include "rules.h"
#include "uuid.h"

#include <strings.h>

enum { DEPTH_MAX = 4 };

static bool keeps(uint32_t point)
{
    return point >= 0x20 && !(point >= 0x7f && point <= 0x9f) &&
           !(point >= 0xfdd0 && point <= 0xfdef) && (point & 0xfffe) != 0xfffe;
}

size_t marty__text_clean(char *out, size_t room, const char *text, size_t size)
{
    size_t length = 0;
    for (size_t at = 0; at < size;) {
        uint32_t point = 0;
        size_t step = marty__utf8_next(text + at, size - at, &point);
        bool keep = step && keeps(point);
        size_t put = keep ? step : 1;
        if (length + put >= room) {
            break;
        }
        if (keep) {
            memcpy(out + length, text + at, step);
        } else {
            out[length] = step && (point < 0x20 || (point >= 0x7f && point <= 0x9f)) ? ' ' : '?';
        }
        length += put;
        at += step ? step : 1;
    }
    out[length] = '\0';
    return length;
}

/* Whether a header of the message gives way to what is set. */
static bool replaced(const marty_header *header, const marty__change *change)
{
    for (size_t i = 0; i < change->set_count; i++) {
        const marty_header *set = &change->set[i];
        bool attribute = header->kind != MARTY_HEADER;
        if (attribute == (set->kind != MARTY_HEADER) && strcasecmp(header->name, set->name) == 0) {
            return true;
        }
    }
    return false;
}

static size_t text_room(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static const char *put(char **cursor, const char *text, size_t size, bool clean)
{
    char *at = *cursor;
    if (clean) {
        size = marty__text_clean(at, size + 1, text, size);
    } else if (size) {
        memcpy(at, text, size);
    }
    at[size] = '\0';
    *cursor += size + 1;
    return at;
}

static size_t put_headers(marty_header *to, const marty_message *from, const marty__change *change,
                          char **cursor)
{
    size_t count = 0;
    for (size_t i = 0; i < from->header_count; i++) {
        if (!replaced(&from->headers[i], change)) {
            to[count++] = from->headers[i];
        }
    }
    for (size_t i = 0; i < change->set_count; i++) {
        const marty_header *set = &change->set[i];
        if (set->value.data) {
            marty_header *header = &to[count++];
            header->kind = set->kind;
            header->name = put(cursor, set->name, strlen(set->name), false);
            header->value.data =
                put(cursor, set->value.data, set->value.size, set->kind == MARTY_ATTRIBUTE);
            header->value.size = (size_t)(*cursor - (const char *)header->value.data) - 1;
        }
    }
    return count;
}

static marty_err make_copy(marty_message **ret_message, const marty_message *from,
                           const marty__change *change, marty_error *why)
{
    size_t count = from->header_count + change->set_count;
    size_t text_at = sizeof(marty__block) + count * sizeof(marty_header);
    size_t size = text_at + text_room(change->id) + text_room(change->type);
    for (size_t i = 0; i < change->set_count; i++) {
        size += text_room(change->set[i].name) + change->set[i].value.size + 1;
    }
    marty__block *block = marty__block_new(size), *parent = marty__block_of(from);
    if (!block) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a copy of a message");
    }
    marty_message *copy = &block->message;
    char *cursor = (char *)block + text_at;
    *copy = *from;
    memcpy(block->sizes, parent->sizes, sizeof block->sizes);
    copy->marty__self = copy;
    copy->headers = block->headers;
    if (change->id) {
        copy->id = put(&cursor, change->id, strlen(change->id), false);
        block->sizes[MARTY__ID] = (uint32_t)strlen(copy->id);
    }
    if (change->type) {
        copy->type = put(&cursor, change->type, strlen(change->type), false);
        block->sizes[MARTY__TYPE] = (uint32_t)strlen(copy->type);
    }
    copy->expires_us = change->expires ? change->expires_us : from->expires_us;
    copy->header_count = put_headers(block->headers, from, change, &cursor);
    block->parent = marty_message_ref(from);
    block->depth = (uint8_t)(parent->depth + 1);
    block->cost += parent->cost;
    *ret_message = copy;
    return MARTY_OK;
}

/* All of a message in a block of its own. What it has was accepted once and is not checked again.
 */
static marty_err copy_whole(marty_message **ret_message, const marty_message *from,
                            marty_error *why)
{
    MARTY__UNSET marty__draft draft;
    marty__draft_init(&draft);
    for (size_t i = 0; i < MARTY__FIELDS; i++) {
        const char *const *text = marty__field_in(from, (marty__field)i);
        draft.fields[i] = *text ? marty__plain(*text, strlen(*text)) : draft.fields[i];
    }
    for (size_t i = 0; i < from->header_count; i++) {
        const marty_header *header = &from->headers[i];
        marty__draft_header *to = marty__draft_header_add(&draft, why);
        if (!to) {
            marty__draft_free(&draft);
            return MARTY_E_NO_MEMORY;
        }
        *to = (marty__draft_header){marty__plain(header->name, strlen(header->name)),
                                    marty__plain(header->value.data, header->value.size),
                                    header->kind};
    }
    draft.data = marty__plain(from->data.data, from->data.size);
    draft.time_us = from->time_us;
    draft.expires_us = from->expires_us;
    draft.priority = from->priority;
    return marty__draft_finish(&draft, ret_message, why);
}

marty_err marty__message_copy_with(marty_message **ret_message, const marty_message *message,
                                   const marty__change *change, marty_error *why)
{
    marty_message *whole = NULL;
    marty_err err = MARTY_OK;
    if (!marty__message_counted(message)) {
        err = marty_message_new(&whole, message, NULL, why);
    } else if (marty__block_of(message)->depth >= DEPTH_MAX) {
        err = copy_whole(&whole, message, why);
    }
    if (err) {
        return err;
    }
    message = whole ? whole : message;
    if (message->header_count + change->set_count > MARTY__DRAFT_HEADERS_MAX) {
        err = marty_error_set(why, MARTY_E_TOO_LARGE, "a copy would have %zu headers",
                              message->header_count + change->set_count);
    } else {
        err = make_copy(ret_message, message, change, why);
    }
    marty_message_unref(whole);
    return err;
}

static marty_err take_raw(marty__draft *draft, const marty_header *headers, size_t header_count,
                          marty_error *why)
{
    for (size_t i = 0; i < header_count; i++) {
        const marty_header *header = &headers[i];
        size_t size = strlen(header->name);
        marty__draft_header *to = size ? marty__draft_header_add(draft, why) : NULL;
        if (!size) {
            continue;
        }
        if (!to) {
            return MARTY_E_NO_MEMORY;
        }
        bool reserved = marty__header_name_reserved(header->name, size);
        to->name = (marty__piece){header->name, size, reserved ? MARTY__RAW_NAME : MARTY__NAME};
        const char *value = header->value.data ? header->value.data : "";
        bool text = !marty__header_value_wrong(value, header->value.size) &&
                    marty__utf8_valid(value, header->value.size);
        to->value = (marty__piece){value, header->value.size, text ? MARTY__PLAIN : MARTY__BYTES};
    }
    return MARTY_OK;
}

static marty_err make_unreadable(marty_message **ret_message, marty__draft *draft, const char *type,
                                 marty_bytes raw, const marty_env *env, marty_error *why)
{
    static const char content_type[] = "application/octet-stream";
    char id[MARTY__UUID_TEXT];
    env = env ? env : marty__env_real();
    marty__uuid7(env, id);
    draft->fields[MARTY__ID] = marty__plain(id, MARTY__UUID_TEXT - 1);
    draft->fields[MARTY__TYPE] = marty__plain(type, strlen(type));
    draft->fields[MARTY__SOURCE] =
        marty__plain(MARTY__SOURCE_DEFAULT, sizeof MARTY__SOURCE_DEFAULT - 1);
    draft->fields[MARTY__CONTENT_TYPE] = marty__plain(content_type, sizeof content_type - 1);
    draft->data = marty__plain(raw.data, raw.size);
    draft->time_us = env->wall_us(env->user);
    return marty__draft_finish(draft, ret_message, why);
}

marty_err marty__message_unreadable(marty_message **ret_message, const char *type, marty_bytes raw,
                                    const marty_header *headers, size_t header_count,
                                    const marty_env *env, marty_error *why)
{
    MARTY__UNSET marty__draft draft;
    marty__draft_init(&draft);
    marty_err err =
        take_raw(&draft, headers,
                 header_count < MARTY__HEADERS_MAX ? header_count : MARTY__HEADERS_MAX, why);
    if (err) {
        marty__draft_free(&draft);
        return err;
    }
    return make_unreadable(ret_message, &draft, type, raw, env, why);
}
