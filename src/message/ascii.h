/* SPDX-License-Identifier: Apache-2.0
 * Sixteen or eight bytes at a time over what text mostly is, and copies of a few bytes without a
 * call. Header only; pure functions. */
#ifndef MARTY_MESSAGE_ASCII_H
#define MARTY_MESSAGE_ASCII_H
#include <marty/types.h>

#define MARTY__EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Whether byte is not printable ASCII, or is a, b or c. */
MARTY_INLINE bool marty__is_special(char byte, char a, char b, char c)
{
    return byte < 0x20 || byte > 0x7e || byte == a || byte == b || byte == c;
}

#if defined(__SSE2__)
#include <emmintrin.h>
enum { MARTY__STRIDE = 16 };
/* A bit for each special byte of the next MARTY__STRIDE, as marty__is_special; the lowest is the
 * first. */
MARTY_INLINE uint64_t marty__specials(const char *text, char a, char b, char c)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)text);
    __m128i low = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20)); /* also 0x80 to 0xff: signed */
    __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
    __m128i one = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(a));
    __m128i two = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b));
    __m128i all = _mm_or_si128(_mm_or_si128(low, del), _mm_or_si128(one, two));
    all = c == a ? all : _mm_or_si128(all, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)));
    return (uint32_t)_mm_movemask_epi8(all);
}
MARTY_INLINE size_t marty__first_special(uint64_t specials)
{
    return (size_t)__builtin_ctzll(specials);
}
#else
enum { MARTY__STRIDE = 8 };
MARTY_INLINE uint64_t marty__zeros(uint64_t word)
{
    return (word - MARTY__EACH(1)) & ~word; /* the lowest high bit set is that of a zero byte */
}
MARTY_INLINE uint64_t marty__specials(const char *text, char a, char b, char c)
{
    uint64_t word = 0;
    for (size_t i = 0; i < 8; i++) { /* a load, on little-endian machines */
        word |= (uint64_t)(unsigned char)text[i] << (8 * i);
    }
    uint64_t found = word | ((word - MARTY__EACH(0x20)) & ~word);
    found |= marty__zeros(word ^ MARTY__EACH(0x7f));
    found |= marty__zeros(word ^ MARTY__EACH((unsigned char)a));
    found |= marty__zeros(word ^ MARTY__EACH((unsigned char)b));
    found |= marty__zeros(word ^ MARTY__EACH((unsigned char)c));
    return found & MARTY__EACH(0x80);
}
MARTY_INLINE size_t marty__first_special(uint64_t specials)
{
    return (size_t)__builtin_ctzll(specials) / 8;
}
#endif

/** How many bytes at the start are printable ASCII and neither a, b nor c. */
MARTY_INLINE size_t marty__run(const char *text, size_t size, char a, char b, char c)
{
    size_t at = 0;
    if (size < MARTY__STRIDE) {
        while (at < size && !marty__is_special(text[at], a, b, c)) {
            at++;
        }
        return at;
    }
    for (;;) {
        uint64_t specials = marty__specials(text + at, a, b, c);
        if (specials) {
            return at + marty__first_special(specials);
        }
        at += MARTY__STRIDE;
        if (at == size) {
            return size;
        }
        at = size - at >= MARTY__STRIDE ? at : size - MARTY__STRIDE; /* the last ones overlap */
    }
}
/** ... are printable ASCII, with quote neither '"' nor '\\'. */
MARTY_INLINE size_t marty__plain_run(const char *text, size_t size, bool quote)
{
    return quote ? marty__run(text, size, '"', '\\', '"')
                 : marty__run(text, size, '\n', '\n', '\n');
}

/** memcpy, without a call when it is short. */
MARTY_INLINE void marty__copy(char *to, const char *from, size_t size)
{
    uint64_t a = 0, b = 0, c = 0, d = 0;
    if (size > 32) {
        memcpy(to, from, size);
    } else if (size >= 16) {
        memcpy(&a, from, 8);
        memcpy(&b, from + 8, 8);
        memcpy(&c, from + size - 16, 8);
        memcpy(&d, from + size - 8, 8);
        memcpy(to, &a, 8);
        memcpy(to + 8, &b, 8);
        memcpy(to + size - 16, &c, 8);
        memcpy(to + size - 8, &d, 8);
    } else if (size >= 8) {
        memcpy(&a, from, 8);
        memcpy(&b, from + size - 8, 8);
        memcpy(to, &a, 8);
        memcpy(to + size - 8, &b, 8);
    } else {
        for (size_t i = 0; i < size; i++) {
            to[i] = from[i];
        }
    }
}
#endif
