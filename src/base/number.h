/* SPDX-License-Identifier: Apache-2.0
 * Whole numbers in texts that others wrote. Pure functions. */
#ifndef MARTY_BASE_NUMBER_H
#define MARTY_BASE_NUMBER_H
#include <marty/types.h>

/** All of a text as a number: digits alone, at most max. Else false, and nothing is written. */
bool marty__number_read(uint64_t *ret_number, const char *text, size_t size, uint64_t max);
/** The same of one that may be missing (NULL): 0 where it is not such a number. */
uint64_t marty__number_or_0(const char *text, uint64_t max);
#endif
