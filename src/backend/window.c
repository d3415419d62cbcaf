/* SPDX-License-Identifier: Apache-2.0
 * See <marty/window.h>. A ring of entries by offset, from the lowest unsettled one on; what is
 * settled leaves it at the front only, so it is as long as what lies between the oldest delivery
 * that is open and the newest. Credit bounds the open ones; the adapter stops reading a shard whose
 * oldest stays open for too long. */
#include "base/alloc.h"
#include "base/assert.h"

#include <marty/backend.h>
#include <stdio.h>
#include <string.h>

typedef struct entry {
    uint64_t offset;
    void *item; /* NULL = settled */
    uint32_t attempts;
} entry;

typedef struct saved { /* of the life before: attempts 0 = settled */
    uint64_t from, to;
    uint32_t attempts;
} saved;

struct marty_window {
    entry *ring;
    size_t capacity, first, count; /* capacity: 0 or a power of two */
    size_t open;
    uint64_t next;
    saved *saved;
    size_t saved_count, saved_at;
};

static entry *at(const marty_window *window, size_t index)
{
    return &window->ring[(window->first + index) & (window->capacity - 1)];
}

/* ---- what was saved */
static bool number(const char **text, uint64_t *ret_value)
{
    const char *from = *text;
    uint64_t value = 0;
    while (**text >= '0' && **text <= '9' && value < UINT64_MAX / 100) {
        value = value * 10 + (uint64_t)(*(*text)++ - '0');
    }
    *ret_value = value;
    return *text > from;
}

static bool read_one(const char **text, uint64_t position, saved *one)
{
    uint64_t value = 0;
    if (!number(text, &value)) {
        return false;
    }
    *one = (saved){.from = position + value, .to = position + value};
    if (**text == '-') {
        ++*text;
        if (!number(text, &value)) {
            return false;
        }
        one->to = position + value;
    } else if (**text == 'x') {
        ++*text;
        if (!number(text, &value) || !value) {
            return false;
        }
        one->attempts = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
    }
    return one->to >= one->from;
}

/* What cannot be read is as if it had not been saved. */
static bool read_saved(marty_window *window, const char *text)
{
    size_t count = 1;
    for (const char *comma = text; (comma = strchr(comma, ',')) != NULL; comma++) {
        count++;
    }
    window->saved = marty_alloc_zero(count, sizeof *window->saved);
    if (!window->saved) {
        return false;
    }
    for (saved one; read_one(&text, window->next, &one);) {
        bool in_order =
            !window->saved_count || one.from > window->saved[window->saved_count - 1].to;
        if (!in_order) {
            break;
        }
        window->saved[window->saved_count++] = one;
        if (*text != ',') {
            break;
        }
        text++;
    }
    return true;
}

static const saved *saved_of(marty_window *window, uint64_t offset)
{
    while (window->saved_at < window->saved_count && window->saved[window->saved_at].to < offset) {
        window->saved_at++;
    }
    const saved *one = &window->saved[window->saved_at];
    return window->saved_at < window->saved_count && one->from <= offset ? one : NULL;
}

/* ---- lifetime */
marty_err marty_window_new(marty_window **ret_window, uint64_t position, const char *text)
{
    marty_window *window = marty_alloc_zero(1, sizeof *window);
    if (!window) {
        return MARTY_E_NO_MEMORY;
    }
    window->next = position;
    if (text && *text && !read_saved(window, text)) {
        marty_free(window);
        return MARTY_E_NO_MEMORY;
    }
    *ret_window = window;
    return MARTY_OK;
}

void marty_window_free(marty_window *window)
{
    if (window) {
        marty_free(window->saved);
        marty_free(window->ring);
        marty_free(window);
    }
}

/* ---- in and out */
static bool grow(marty_window *window)
{
    size_t capacity = window->capacity ? window->capacity * 2 : 64;
    entry *ring = capacity > window->capacity ? marty_alloc_zero(capacity, sizeof *ring) : NULL;
    if (!ring) {
        return false;
    }
    for (size_t i = 0; i < window->count; i++) {
        ring[i] = *at(window, i);
    }
    marty_free(window->ring);
    window->ring = ring;
    window->capacity = capacity;
    window->first = 0;
    return true;
}

static void drop_settled(marty_window *window)
{
    while (window->count && !at(window, 0)->item) {
        window->first = (window->first + 1) & (window->capacity - 1);
        window->count--;
    }
}

marty_err marty_window_add(marty_window *window, uint64_t offset, void *item,
                           uint32_t *ret_attempts)
{
    marty__assert(item);
    if (offset < window->next) {
        return MARTY_E_EXISTS;
    }
    if (window->count == window->capacity && !grow(window)) {
        return MARTY_E_NO_MEMORY;
    }
    const saved *before = saved_of(window, offset);
    bool settled = before && !before->attempts;
    *ret_attempts = before ? before->attempts : 0;
    *at(window, window->count++) = (entry){offset, settled ? NULL : item, *ret_attempts};
    window->next = offset + 1;
    window->open += settled ? 0 : 1;
    drop_settled(window);
    return settled ? MARTY_E_EXISTS : MARTY_OK;
}

/* The entry of an offset, or of the first above it; count when there is none. */
static size_t search(const marty_window *window, uint64_t offset)
{
    size_t low = 0, high = window->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (at(window, middle)->offset < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static entry *open_entry(const marty_window *window, uint64_t offset)
{
    size_t index = search(window, offset);
    entry *found = index < window->count ? at(window, index) : NULL;
    return found && found->offset == offset && found->item ? found : NULL;
}

void *marty_window_find(const marty_window *window, uint64_t offset, unsigned bits,
                        uint64_t *ret_offset)
{
    if (bits < 64) { /* the first at or above the position that ends in them */
        uint64_t mask = ((uint64_t)1 << bits) - 1, from = marty_window_position(window);
        offset = from + ((offset - from) & mask);
    }
    const entry *found = open_entry(window, offset);
    if (found && ret_offset) {
        *ret_offset = offset;
    }
    return found ? found->item : NULL;
}

void *marty_window_take(marty_window *window, uint64_t offset)
{
    entry *found = open_entry(window, offset);
    if (!found) {
        return NULL;
    }
    void *item = found->item;
    found->item = NULL;
    window->open--;
    drop_settled(window);
    return item;
}

void marty_window_tried(marty_window *window, uint64_t offset, uint32_t attempts)
{
    entry *found = open_entry(window, offset);
    if (found) {
        found->attempts = attempts;
    }
}

uint64_t marty_window_position(const marty_window *window)
{
    return window->count ? at(window, 0)->offset : window->next;
}

size_t marty_window_count(const marty_window *window)
{
    return window->open;
}

void *marty_window_each(const marty_window *window, size_t *index, uint64_t *ret_offset)
{
    while (*index < window->count) {
        const entry *one = at(window, (*index)++);
        if (one->item) {
            if (ret_offset) {
                *ret_offset = one->offset;
            }
            return one->item;
        }
    }
    return NULL;
}

/* ---- saving */
/* One range of settled ones, or one that was tried; what lies between two settled ones and was
 * never there counts as settled. Returns the index behind it. */
static size_t print_one(const marty_window *window, size_t index, char out[64])
{
    uint64_t position = marty_window_position(window);
    const entry *one = at(window, index);
    if (one->item) {
        (void)snprintf(out, 64, "%llux%u", (unsigned long long)(one->offset - position),
                       one->attempts);
        return index + 1;
    }
    size_t last = index;
    while (last + 1 < window->count && !at(window, last + 1)->item) {
        last++;
    }
    uint64_t from = one->offset - position, to = at(window, last)->offset - position;
    if (from == to) {
        (void)snprintf(out, 64, "%llu", (unsigned long long)from);
    } else {
        (void)snprintf(out, 64, "%llu-%llu", (unsigned long long)from, (unsigned long long)to);
    }
    return last + 1;
}

size_t marty_window_save(const marty_window *window, char *ret_text, size_t size)
{
    size_t length = 0;
    *ret_text = '\0';
    for (size_t i = 0; i < window->count;) {
        char one[64];
        const entry *e = at(window, i);
        if (e->item && !e->attempts) {
            i++;
            continue;
        }
        i = print_one(window, i, one);
        int wrote = snprintf(ret_text + length, size - length, "%s%s", length ? "," : "", one);
        if (wrote < 0 || (size_t)wrote >= size - length) {
            ret_text[length] = '\0';
            break;
        }
        length += (size_t)wrote;
    }
    return length;
}
