/* SPDX-License-Identifier: Apache-2.0
 * The table of contracts.h as data, and the names of what it speaks of. */
#include "contracts.h"

#include <string.h>

#define SUITE_ROW(contract, name, function, says, flags, kinds, needs, proves, seconds)            \
    {contract, name, says, flags, kinds, needs, proves, (int64_t)(seconds)*1000, function},
static const suite_case cases[] = {SUITE_CASES(SUITE_ROW)};

const suite_case *suite_cases(size_t *ret_count)
{
    *ret_count = sizeof cases / sizeof cases[0];
    return cases;
}

suite_role suite_find_role(const char *name)
{
#define SUITE_ROLE(word, function)                                                                 \
    if (strcmp(name, #word) == 0) {                                                                \
        return function;                                                                           \
    }
    SUITE_ROLES(SUITE_ROLE)
    return NULL;
}

const char *suite_bit_name(unsigned bit)
{
    static const char *const names[] = {
        "groups",       "replay",  "delay",        "delayed_retry", "cancel",       "time_to_live",
        "order_by_key", "persist", "confirm",      "deduplicate",   "dead_letter",  "browse",
        "wildcard",     "reply",   "no_responder", "priority",      "transactions", "hold_key"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (bit == 1u << i) {
            return names[i];
        }
    }
    return "";
}

const char *suite_kind_name(int kind)
{
    static const char *const names[] = {"all",    "topic",     "queue", "request",
                                        "stream", "broadcast", "reply", "dead"};
    return kind >= 0 && kind < 8 ? names[kind] : "";
}
