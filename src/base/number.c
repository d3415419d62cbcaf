/* SPDX-License-Identifier: Apache-2.0
 * See number.h. */
#include "number.h"

#include <string.h>

bool marty__number_read(uint64_t *ret_number, const char *text, size_t size, uint64_t max)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++) {
        uint64_t digit = (uint64_t)(unsigned char)text[i] - '0';
        if (digit > 9 || digit > max || number > (max - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    if (size) {
        *ret_number = number;
    }
    return size > 0;
}

uint64_t marty__number_or_0(const char *text, uint64_t max)
{
    uint64_t number = 0;
    return text && marty__number_read(&number, text, strlen(text), max) ? number : 0;
}
