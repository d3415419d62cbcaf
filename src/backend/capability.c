/* SPDX-License-Identifier: Apache-2.0
 * The tables behind capability.h. Constant data; any thread. */
#include "capability.h"

#include <string.h>

/* In the order of the bits, which the test compares with MARTY_CAPABILITIES. */
static const char *const names[] = {
    "groups",       "replay",  "delay",        "delayed_retry", "cancel",       "time_to_live",
    "order_by_key", "persist", "confirm",      "deduplicate",   "dead_letter",  "browse",
    "wildcard",     "reply",   "no_responder", "priority",      "transactions", "hold_key"};

#define COUNT_ONE(name, bit) +1
_Static_assert(sizeof names / sizeof names[0] == 0 MARTY_CAPABILITIES(COUNT_ONE),
               "every capability has its word");

static const char *const kinds[] = {"unknown", "topic",     "queue", "request",
                                    "stream",  "broadcast", "reply", "dead"};
_Static_assert(sizeof kinds / sizeof kinds[0] == MARTY_KIND_DEAD + 1, "every kind has its word");

unsigned marty__capability_count(void)
{
    return sizeof names / sizeof names[0];
}

const char *marty__capability_name(unsigned bit)
{
    return bit < marty__capability_count() ? names[bit] : NULL;
}

uint64_t marty__capability_of(const marty_capabilities *granted, marty_kind kind, marty_order order)
{
    uint64_t not_there = order == MARTY_ORDER_KEY    ? granted->only_unordered
                         : order == MARTY_ORDER_NONE ? granted->only_ordered
                                                     : 0;
    return (granted->can[0] | granted->can[kind]) & ~not_there;
}

bool marty__capability_has(const marty_capabilities *granted, marty_kind kind, marty_order order,
                           uint64_t mask)
{
    return (marty__capability_of(granted, kind, order) & mask) == mask;
}

const char *marty__kind_name(marty_kind kind)
{
    return (size_t)kind < sizeof kinds / sizeof kinds[0] ? kinds[kind] : kinds[0];
}

marty_kind marty__kind_by_name(const char *name)
{
    for (size_t kind = MARTY_KIND_TOPIC; kind <= MARTY_KIND_DEAD; kind++) {
        if (strcmp(name, kinds[kind]) == 0) {
            return (marty_kind)kind;
        }
    }
    return (marty_kind)0;
}

const char *marty__level_name(marty_level level)
{
    static const char *const words[] = {"any", "memory", "written", "synced", "replicated"};
    return (size_t)level < sizeof words / sizeof words[0] ? words[level] : "unknown";
}
