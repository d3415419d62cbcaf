/* SPDX-License-Identifier: Apache-2.0
 * Included before every file that an analyzer reads, never compiled into anything: tells it that
 * marty_error_set answers its code, which it cannot see, so that it does not follow impossible ways. */
#ifndef MARTY_TOOLS_ANALYZER_H
#define MARTY_TOOLS_ANALYZER_H
#include <marty/adapter.h>

MARTY_INLINE marty_err marty__analyzed(marty_err answer, marty_err code)
{
    (void)answer;
    return code;
}
#define marty_error_set(why, code, ...)                                                            \
    marty__analyzed(marty_error_set(why, code, __VA_ARGS__), code)
#endif
