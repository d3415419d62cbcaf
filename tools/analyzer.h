/* SPDX-License-Identifier: Apache-2.0
 * Included before every file that an analyzer reads, never compiled into anything: tells it that
 * marty_error_set and marty__error_code answer their code, which it cannot see, so that it does not
 * follow impossible ways. */
#ifndef MARTY_TOOLS_ANALYZER_H
#define MARTY_TOOLS_ANALYZER_H
#include "../src/base/error.h"
#include <marty/adapter.h>

MARTY_INLINE marty_err marty__analyzed(marty_err answer, marty_err code)
{
    (void)answer;
    return code;
}
#define marty_error_set(why, code, ...)                                                            \
    marty__analyzed(marty_error_set(why, code, __VA_ARGS__), code)
#define marty__error_code(why, code) marty__analyzed(marty__error_code(why, code), code)
#endif
