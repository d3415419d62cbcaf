/* SPDX-License-Identifier: Apache-2.0
 * The words for capabilities: one table for YAML, CLI, docs, reports and the suite. */
#ifndef MARTY_BACKEND_CAPABILITY_H
#define MARTY_BACKEND_CAPABILITY_H
#include <marty/backend.h>

/** The word of one capability by its bit number, "order_by_key"; NULL past the last. Static. */
const char *marty__capability_name(unsigned bit);
/** How many there are: bits 0 .. count - 1. */
unsigned marty__capability_count(void);
/** What is granted on channels of a kind and order; MARTY_ORDER_DEFAULT = on some of them. */
uint64_t marty__capability_of(const marty_capabilities *granted, marty_kind kind,
                              marty_order order);
/** Whether all bits of a mask are. */
bool marty__capability_has(const marty_capabilities *granted, marty_kind kind, marty_order order,
                           uint64_t mask);
/** The word of a kind of channel, "topic"; "unknown" when it is none. Static. */
const char *marty__kind_name(marty_kind kind);
/** The kind of a word, 0 when there is none of that name. */
marty_kind marty__kind_by_name(const char *name);
/** The word of a level, "written"; "any" for 0. Static. */
const char *marty__level_name(marty_level level);
#endif
