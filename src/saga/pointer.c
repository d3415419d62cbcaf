/* SPDX-License-Identifier: Apache-2.0
 * JSON pointers (RFC 6901) into a text that is valid JSON, and tests on what they find. Numbers are
 * compared as decimals, exactly, whatever the locale. Pure functions. */
#include "inside.h"

#include "base/number.h"
#include "base/utf8.h"
#include "message/json_scan.h"

enum { NAME_MAX_BYTES = 256 };

bool marty__saga_pointer_valid(const char *pointer)
{
    if (!*pointer) {
        return true;
    }
    if (*pointer != '/') {
        return false;
    }
    for (const char *at = pointer; *at; at++) {
        if (*at == '~' && at[1] != '0' && at[1] != '1') {
            return false;
        }
    }
    return true;
}

/* One part of a pointer, decoded; returns where the next begins, NULL when it is too long. */
static const char *next_part(const char *pointer, char part[NAME_MAX_BYTES], size_t *ret_size)
{
    size_t size = 0;
    const char *at = pointer + 1;
    while (*at && *at != '/') {
        char c = *at++;
        if (c == '~') {
            c = *at++ == '1' ? '/' : '~';
        }
        if (size == NAME_MAX_BYTES) {
            return NULL;
        }
        part[size++] = c;
    }
    *ret_size = size;
    return at;
}

static bool same_name(const marty__json_value *name, const char *part, size_t size)
{
    char plain[NAME_MAX_BYTES];
    if (!name->escaped) {
        return name->size == size && memcmp(name->at, part, size) == 0;
    }
    return name->size <= sizeof plain &&
           marty__json_unescape(plain, name->at, name->size) == size &&
           memcmp(plain, part, size) == 0;
}

static bool member_of(marty__json_value *value, const char *part, size_t size)
{
    marty__json_scan scan;
    marty__json_value name, each;
    marty__json_begin(&scan, value->at, value->size, false);
    bool found = false;
    if (marty__json_enter(&scan, '{')) {
        for (bool first = true; marty__json_member(&scan, first, &name, &each, 0) > 0;
             first = false) {
            if (same_name(&name, part, size)) {
                *value = each;
                found = true;
                break;
            }
        }
    }
    return found;
}

static bool element_of(marty__json_value *value, const char *part, size_t size)
{
    uint64_t wanted = 0;
    if ((size > 1 && part[0] == '0') || !marty__number_read(&wanted, part, size, UINT64_MAX)) {
        return false;
    }
    marty__json_scan scan;
    marty__json_value each;
    marty__json_begin(&scan, value->at, value->size, false);
    if (!marty__json_enter(&scan, '[')) {
        return false;
    }
    for (uint64_t i = 0; marty__json_element(&scan, i == 0, &each, 0) > 0; i++) {
        if (i == wanted) {
            *value = each;
            return true;
        }
    }
    return false;
}

static bool find(marty_bytes json, const char *pointer, marty__json_value *ret_value)
{
    if (!json.size || !marty__json_valid(json.data, json.size, false, 0, ret_value)) {
        return false;
    }
    while (*pointer) {
        char part[NAME_MAX_BYTES];
        size_t size = 0;
        pointer = next_part(pointer, part, &size);
        bool found = pointer &&
                     ((ret_value->kind == MARTY__JSON_OBJECT && member_of(ret_value, part, size)) ||
                      (ret_value->kind == MARTY__JSON_ARRAY && element_of(ret_value, part, size)));
        if (!found) {
            return false;
        }
    }
    return true;
}

bool marty__json_at(marty_bytes json, const char *pointer, marty_bytes *ret_value)
{
    marty__json_value value;
    if (!find(json, pointer, &value)) {
        return false;
    }
    bool text = value.kind == MARTY__JSON_STRING;
    *ret_value = (marty_bytes){value.at - (text ? 1 : 0), value.size + (text ? 2 : 0)};
    return true;
}

/* ---- numbers: sign, digits without zeros at either end, and the power of ten of the first */
typedef struct decimal {
    bool negative;
    const char *digits, *end; /* may have a "." in it */
    int64_t power;
} decimal;

static decimal decimal_of(const char *text, size_t size)
{
    const char *at = text, *end = text + size;
    decimal d = {.negative = size && *text == '-'};
    at += d.negative ? 1 : 0;
    const char *mantissa_end = at;
    while (mantissa_end < end && *mantissa_end != 'e' && *mantissa_end != 'E') {
        mantissa_end++;
    }
    const char *point = memchr(at, '.', (size_t)(mantissa_end - at));
    const char *whole_end = point ? point : mantissa_end;
    int64_t exponent = 0, sign = 1;
    for (const char *e = mantissa_end + 1; e < end; e++) {
        if (*e == '-') {
            sign = -1;
        } else if (*e != '+' && exponent < 1000000000) {
            exponent = exponent * 10 + (*e - '0');
        }
    }
    const char *first = at;
    while (first < mantissa_end && (*first == '0' || *first == '.')) {
        first++;
    }
    const char *last = mantissa_end;
    while (last > first && (last[-1] == '0' || last[-1] == '.')) {
        last--;
    }
    d.digits = first;
    d.end = last;
    d.power = sign * exponent + (first < whole_end ? whole_end - first : whole_end - first + 1);
    return d;
}

static int compare_digits(const decimal *a, const decimal *b)
{
    const char *x = a->digits, *y = b->digits;
    for (;;) {
        x += x < a->end && *x == '.';
        y += y < b->end && *y == '.';
        bool more_x = x < a->end, more_y = y < b->end;
        if (!more_x || !more_y) {
            return (int)more_x - (int)more_y;
        }
        if (*x != *y) {
            return *x < *y ? -1 : 1;
        }
        x++;
        y++;
    }
}

static int compare_numbers(const char *a, size_t a_size, const char *b, size_t b_size)
{
    decimal x = decimal_of(a, a_size), y = decimal_of(b, b_size);
    bool x_zero = x.digits == x.end, y_zero = y.digits == y.end;
    if (x_zero || y_zero) {
        int sign_x = x_zero ? 0 : x.negative ? -1 : 1, sign_y = y_zero ? 0 : y.negative ? -1 : 1;
        return (sign_x > sign_y) - (sign_x < sign_y);
    }
    if (x.negative != y.negative) {
        return x.negative ? -1 : 1;
    }
    int order = x.power != y.power ? (x.power < y.power ? -1 : 1) : compare_digits(&x, &y);
    return x.negative ? -order : order;
}

static bool same_text(const marty__json_value *value, const char *wanted)
{
    size_t left = strlen(wanted);
    for (size_t at = 0; at < value->size;) {
        char bytes[4];
        uint32_t point = 0;
        at += marty__json_point(value->at + at, value->size - at, &point);
        size_t size = marty__utf8_put(bytes, point);
        if (size > left || memcmp(bytes, wanted, size) != 0) {
            return false;
        }
        wanted += size;
        left -= size;
    }
    return left == 0;
}

bool marty__saga_test_holds(const marty_saga_test *test, marty_bytes context)
{
    marty__json_value value, wanted;
    bool there = find(context, test->at, &value) && value.kind != MARTY__JSON_NULL;
    if (test->compare == MARTY_SAGA_EXISTS || test->compare == MARTY_SAGA_MISSING) {
        return there == (test->compare == MARTY_SAGA_EXISTS);
    }
    if (!there) {
        return test->compare == MARTY_SAGA_DIFFERS;
    }
    bool numbers = value.kind == MARTY__JSON_NUMBER &&
                   marty__json_valid(test->value, strlen(test->value), false, 0, &wanted) &&
                   wanted.kind == MARTY__JSON_NUMBER;
    if (!numbers) {
        return (test->compare == MARTY_SAGA_EQUALS && same_text(&value, test->value)) ||
               (test->compare == MARTY_SAGA_DIFFERS && !same_text(&value, test->value));
    }
    int order = compare_numbers(value.at, value.size, wanted.at, wanted.size);
    switch (test->compare) {
    case MARTY_SAGA_EQUALS:
        return order == 0;
    case MARTY_SAGA_DIFFERS:
        return order != 0;
    case MARTY_SAGA_LESS:
        return order < 0;
    case MARTY_SAGA_AT_MOST:
        return order <= 0;
    case MARTY_SAGA_GREATER:
        return order > 0;
    case MARTY_SAGA_AT_LEAST:
        return order >= 0;
    case MARTY_SAGA_EXISTS:
    case MARTY_SAGA_MISSING:
        break;
    }
    return false;
}
