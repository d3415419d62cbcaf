/* SPDX-License-Identifier: Apache-2.0
 * "Did you mean": the nearest word by the number of typing slips (letters put in, left out,
 * changed, or swapped with their neighbour). */
#include "flags.h"

#include <ctype.h>
#include <strings.h>

enum { WORD_MAX = 48 };

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

static size_t distance(const char *a, const char *b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t n = strlen(a), m = strlen(b), i, j;
    if (n > WORD_MAX || m > WORD_MAX) {
        return WORD_MAX;
    }
    for (j = 0; j <= m; j++) {
        rows[0][j] = j;
    }
    for (i = 1; i <= n; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (j = 1; j <= m; j++) {
            bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + !same);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two_above[j - 2] + 1 < row[j]) {
                row[j] = two_above[j - 2] + 1;
            }
        }
    }
    return rows[n % 3][m];
}

const char *cli_suggest(const char *word, const char *const words[], size_t count)
{
    size_t length = strlen(word), best = length < 4 ? 2 : length / 3 + 1, i;
    const char *near = NULL;
    for (i = 0; i < count; i++) {
        size_t slips = distance(word, words[i]);
        bool begins = length > 2 && strncasecmp(words[i], word, length) == 0;
        if (begins && slips >= best) {
            slips = best - 1;
        }
        if (slips < best) {
            best = slips;
            near = words[i];
        }
    }
    return near;
}
