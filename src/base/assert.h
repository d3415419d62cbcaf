/* SPDX-License-Identifier: Apache-2.0
 * Assertions that stay on in release: an internal promise that is broken stops the process before
 * it harms data. */
#ifndef MARTY_BASE_ASSERT_H
#define MARTY_BASE_ASSERT_H

/** Print where and what, and abort. */
_Noreturn void marty__assert_failed(const char *file, int line, const char *what);
#define marty__assert(condition)                                                                   \
    ((condition) ? (void)0 : marty__assert_failed(__FILE__, __LINE__, #condition))
#endif
