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
#endif
