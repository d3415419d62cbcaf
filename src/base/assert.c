/* SPDX-License-Identifier: Apache-2.0
 * The end of a broken promise. */
#include "assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void marty__assert_failed(const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "marty: bug: %s:%d: %s\n", file, line, what);
    abort();
}
