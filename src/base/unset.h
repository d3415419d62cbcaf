/* SPDX-License-Identifier: Apache-2.0
 * Builds zero every automatic variable (docs/design/0004). A large one that is written before it is
 * read, on a path that is taken millions of times a second, is declared MARTY__UNSET and is not. */
#ifndef MARTY_BASE_UNSET_H
#define MARTY_BASE_UNSET_H

#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define MARTY__UNSET __attribute__((uninitialized))
#endif
#endif
#ifndef MARTY__UNSET
#define MARTY__UNSET
#endif
#endif
