/* SPDX-License-Identifier: Apache-2.0
 * What a port grants: as claimed until it was up, then as it said last, which a reconnect may
 * change. A set is never changed once it can be seen, and stays until the port is freed, as whoever
 * looks at it takes no lock; one that is granted again is found again, so there are as many as
 * differ. */
#include "internal.h"

#include "backend/capability.h"
#include "base/alloc.h"

#include <stddef.h>
#include <string.h>

const marty_capabilities *marty__port_granted(const marty__port *port)
{
    return atomic_load_explicit(&port->granted, memory_order_acquire);
}

bool marty__port_can(const marty__port *port, marty_kind kind, marty_order order, uint64_t bit)
{
    return marty__capability_has(marty__port_granted(port), kind, order, bit);
}

/* All but the four bytes between the counts and the sizes, which belong to nothing. */
static bool same(const marty_capabilities *one, const marty_capabilities *other)
{
    enum { UP_TO = offsetof(marty_capabilities, inflight_max) + sizeof one->inflight_max };
    enum { FROM = offsetof(marty_capabilities, payload_bytes_max) };
    _Static_assert(FROM - UP_TO < 8, "nothing is declared between the two");
    return !memcmp(one, other, UP_TO) &&
           !memcmp((const char *)one + FROM, (const char *)other + FROM, sizeof *one - FROM);
}

/* No memory for another than the first: what was known stays so, and the next connection tells it
 * again. */
void marty__port_set_granted(marty__port *port, const marty_capabilities *granted)
{
    marty__granted *found = port->sets;
    while (found && !same(&found->granted, granted)) {
        found = found->next;
    }
    if (!found && (found = port->sets ? marty_alloc(sizeof *found) : &port->first_set)) {
        found->granted = *granted;
        found->next = port->sets;
        port->sets = found;
    }
    if (found) {
        atomic_store_explicit(&port->granted, &found->granted, memory_order_release);
    }
}

void marty__port_free_granted(marty__port *port)
{
    while (port->sets && port->sets != &port->first_set) { /* it is the last */
        marty__granted *next = port->sets->next;
        marty_free(port->sets);
        port->sets = next;
    }
}
