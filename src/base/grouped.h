/* SPDX-License-Identifier: Apache-2.0
 * Numbers for people: 1,234,567. The text lives as long as the expression that it is made in, so it
 * may be an argument: marty__grouped(n).text. Any thread. */
#ifndef MARTY_BASE_GROUPED_H
#define MARTY_BASE_GROUPED_H
#include <marty/types.h>

typedef struct marty__grouped_number {
    char text[28]; /* 20 digits, 6 commas */
} marty__grouped_number;

MARTY_INLINE marty__grouped_number marty__grouped(uint64_t number)
{
    marty__grouped_number made = {{0}};
    char reversed[28];
    size_t size = 0, digits = 0;
    do {
        if (digits && digits % 3 == 0) {
            reversed[size++] = ',';
        }
        reversed[size++] = (char)('0' + number % 10);
        number /= 10;
        digits++;
    } while (number);
    for (size_t i = 0; i < size; i++) {
        made.text[i] = reversed[size - 1 - i];
    }
    return made;
}
#endif
