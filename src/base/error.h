/* SPDX-License-Identifier: Apache-2.0
 * Filling in errors: marty_error_set is public in <marty/backend.h>; here are the internal extras.
 */
#ifndef MARTY_BASE_ERROR_H
#define MARTY_BASE_ERROR_H
#include <marty/backend.h>

/** Fill why (NULL is fine) with the table's own text for code; returns code. */
marty_err marty__error_code(marty_error *why, marty_err code);
/** How many codes the table has: numbers 0 .. count - 1. */
size_t marty__err_count(void);
/** The code of a name, "MARTY_E_LOST"; otherwise when there is none of that name (or it is NULL).
 */
marty_err marty__err_by_name(const char *name, marty_err otherwise);
/** The word of a class, "retry"; of a number that is none, of its last two bits. Static. */
const char *marty__class_word(marty_class error_class);
/** The class of a word, CALLER when it is none. */
marty_class marty__class_by_word(const char *word, size_t size);
#endif
