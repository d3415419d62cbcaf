/* SPDX-License-Identifier: Apache-2.0
 * A variable of each thread that is used on a path taken millions of times a second: in the shared
 * library, too, it is found without a call. For few bytes: they come out of what the C library sets
 * aside for libraries that are loaded later (512), and all of ours take less than that. */
#ifndef MARTY_BASE_LOCAL_H
#define MARTY_BASE_LOCAL_H
#include <marty/types.h>

#if defined(__GLIBC__)
#define MARTY__LOCAL _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define MARTY__LOCAL _Thread_local
#endif
#endif
