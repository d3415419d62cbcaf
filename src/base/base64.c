/* SPDX-License-Identifier: Apache-2.0
 * Base64. Pure functions. */
#include "base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t marty__base64_encode(char *out, const void *data, size_t size)
{
    const unsigned char *in = data;
    char *at = out;
    for (; size >= 3; size -= 3, in += 3, at += 4) {
        uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        at[0] = alphabet[bits >> 18];
        at[1] = alphabet[bits >> 12 & 63];
        at[2] = alphabet[bits >> 6 & 63];
        at[3] = alphabet[bits & 63];
    }
    if (size) {
        uint32_t bits = (uint32_t)in[0] << 16 | (size == 2 ? (uint32_t)in[1] << 8 : 0);
        at[0] = alphabet[bits >> 18];
        at[1] = alphabet[bits >> 12 & 63];
        at[2] = size == 2 ? alphabet[bits >> 6 & 63] : '=';
        at[3] = '=';
        at += 4;
    }
    return (size_t)(at - out);
}

/* Value of a letter, 64 when it is none. */
static uint32_t letter_value(char letter)
{
    if (letter >= 'A' && letter <= 'Z') {
        return (uint32_t)(letter - 'A');
    }
    if (letter >= 'a' && letter <= 'z') {
        return (uint32_t)(letter - 'a') + 26;
    }
    if (letter >= '0' && letter <= '9') {
        return (uint32_t)(letter - '0') + 52;
    }
    return letter == '+' ? 62 : letter == '/' ? 63 : 64;
}

static bool decode_last(unsigned char *out, size_t *ret_size, const char text[4])
{
    uint32_t a = letter_value(text[0]), b = letter_value(text[1]), c = letter_value(text[2]);
    if (a > 63 || b > 63) {
        return false;
    }
    out[0] = (unsigned char)(a << 2 | b >> 4);
    if (text[2] == '=') {
        *ret_size += 1;
        return text[3] == '=' && (b & 15) == 0;
    }
    if (c > 63) {
        return false;
    }
    out[1] = (unsigned char)((b & 15) << 4 | c >> 2);
    if (text[3] == '=') {
        *ret_size += 2;
        return (c & 3) == 0;
    }
    uint32_t d = letter_value(text[3]);
    out[2] = (unsigned char)((c & 3) << 6 | d);
    *ret_size += 3;
    return d <= 63;
}

bool marty__base64_decode(void *out, size_t *ret_size, const char *text, size_t size)
{
    unsigned char *at = out;
    if (size % 4) {
        return false;
    }
    *ret_size = 0;
    for (; size > 4; size -= 4, text += 4, at += 3) {
        uint32_t a = letter_value(text[0]), b = letter_value(text[1]);
        uint32_t c = letter_value(text[2]), d = letter_value(text[3]);
        if ((a | b | c | d) > 63) {
            return false;
        }
        at[0] = (unsigned char)(a << 2 | b >> 4);
        at[1] = (unsigned char)((b & 15) << 4 | c >> 2);
        at[2] = (unsigned char)((c & 3) << 6 | d);
        *ret_size += 3;
    }
    return !size || decode_last(at, ret_size, text);
}
