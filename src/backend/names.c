/* SPDX-License-Identifier: Apache-2.0
 * Our names to a broker's and back. One code for all brokers, with a table of the bytes that each
 * allows: a byte that is not allowed becomes _xHH_, a dot that is not allowed __, and a literal
 * underscore whose next byte of output is _ or x becomes _x5f_. So encoding is one-to-one, and
 * decoding takes only what encoding gives. Never cut, never hashed. Pure functions; any thread. */
#include "base/limits.h"

#include <marty/backend.h>

#include <string.h>

static const char hex_digits[] = "0123456789abcdef";

typedef struct writer {
    char *out;
    size_t size, max; /* size may pass max: then nothing more is written */
} writer;

static void write_bytes(writer *w, const char *bytes, size_t size)
{
    if (w->size + size <= w->max) {
        memcpy(w->out + w->size, bytes, size);
    }
    w->size += size;
}

static void write_escape(writer *w, unsigned char byte)
{
    const char escape[5] = {'_', 'x', hex_digits[byte >> 4], hex_digits[byte & 15], '_'};
    write_bytes(w, escape, sizeof escape);
}

static bool allows(const char *allowed, char byte)
{
    return strchr(allowed, byte) != NULL; /* callers never ask for NUL */
}

/* Whether the encoding of what follows begins with '_' or 'x'. */
static bool next_is_special(const char *next, const char *allowed)
{
    return *next && (*next == '_' || *next == 'x' || !allows(allowed, *next));
}

static void encode(writer *w, const char *name, const char *allowed)
{
    for (; *name; name++) {
        if (*name == '_') {
            if (next_is_special(name + 1, allowed)) {
                write_escape(w, '_');
            } else {
                write_bytes(w, name, 1);
            }
        } else if (allows(allowed, *name)) {
            write_bytes(w, name, 1);
        } else if (*name == '.') {
            write_bytes(w, "__", 2);
        } else {
            write_escape(w, (unsigned char)*name);
        }
    }
}

static marty_err check(const char *name, const char *allowed, marty_error *why)
{
    for (const char *needed = "_x0123456789abcdef"; *needed; needed++) {
        if (!allowed || !allows(allowed, *needed)) {
            return marty_error_set(why, MARTY_E_ARGUMENT,
                                   "the allowed bytes of a name must have %c: encoding needs it",
                                   *needed);
        }
    }
    if (!name || !*name) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "a name is empty");
    }
    return MARTY_OK;
}

marty_err marty_name_encode(char *ret_name, size_t max, const char *name, const char *allowed,
                            marty_error *why)
{
    marty_err err = check(name, allowed, why);
    if (err) {
        return err;
    }
    size_t size = strnlen(name, MARTY__NAME_BYTES_MAX + 1);
    if (size > MARTY__NAME_BYTES_MAX) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "the name %.64s... is over %d bytes long",
                               name, MARTY__NAME_BYTES_MAX);
    }
    writer w = {ret_name, 0, max};
    encode(&w, name, allowed);
    if (w.size > max) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "the name %s takes %zu bytes on this broker, its limit is %zu; "
                               "choose a shorter one, or give it a native name in its route",
                               name, w.size, max);
    }
    ret_name[w.size] = '\0';
    return MARTY_OK;
}

static int hex_value(char digit)
{
    const char *at = digit ? strchr(hex_digits, digit) : NULL;
    return at ? (int)(at - hex_digits) : -1;
}

/* The byte that stands at text and how long its encoding is; 0 when it is malformed. */
static size_t decode_one(const char *text, char *ret_byte)
{
    if (text[0] != '_' || (text[1] != '_' && text[1] != 'x')) {
        *ret_byte = text[0];
        return 1;
    }
    if (text[1] == '_') {
        *ret_byte = '.';
        return 2;
    }
    int high = hex_value(text[2]);
    int low = high >= 0 ? hex_value(text[3]) : -1;
    if (low < 0 || text[4] != '_' || high + low == 0) {
        return 0;
    }
    *ret_byte = (char)(high * 16 + low);
    return 5;
}

/* Whether encoding what was decoded gives native again: else it is a foreign name. */
static bool is_canonical(const char *decoded, const char *native, const char *allowed)
{
    char again[MARTY__NAME_BYTES_MAX * 5 + 1];
    writer w = {again, 0, sizeof again};
    encode(&w, decoded, allowed);
    return w.size == strlen(native) && memcmp(again, native, w.size) == 0;
}

marty_err marty_name_decode(char *ret_name, size_t max, const char *native, const char *allowed,
                            marty_error *why)
{
    marty_err err = check(native, allowed, why);
    if (err) {
        return err;
    }
    char decoded[MARTY__NAME_BYTES_MAX + 1];
    size_t size = 0, step = 1;
    for (const char *at = native; *at && step; at += step) {
        step = size < MARTY__NAME_BYTES_MAX ? decode_one(at, &decoded[size++]) : 0;
    }
    decoded[size] = '\0';
    if (!step || size > max || !is_canonical(decoded, native, allowed)) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "%.128s is no name that this library gives; address it with its "
                               "native name in a route",
                               native);
    }
    memcpy(ret_name, decoded, size + 1);
    return MARTY_OK;
}
