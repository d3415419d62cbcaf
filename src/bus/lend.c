/* SPDX-License-Identifier: Apache-2.0
 * Workers that adapters borrow. An adapter without threads of its own would else make core's
 * deliveries on the thread of whoever publishes; so they are made where they are run. A bus that is
 * driven has nobody to lend; where the user pulls he waits in a thread of his own, perhaps while
 * all workers are in slow handlers. */
#include "internal.h"

static MARTY__LOCAL const marty_bus *lent_by; /* whose task this thread is in */

bool marty__lent_by(const marty_bus *bus)
{
    return lent_by == bus;
}

void marty__lent_run(marty__task *task)
{
    marty__port *port = MARTY__OWNER(task, marty__port, lent_task);
    void (*call)(void *user) = port->lent_call;
    void *user = port->lent_user;
    const marty_bus *before = lent_by;
    lent_by = port->bus;
    atomic_store(&port->lent, false); /* who asks from here on may come too late for this call */
    call(user);
    lent_by = before;
}

bool marty__lend(marty__port *port, void (*call)(void *user), void *user)
{
    marty_bus *bus = port->bus;
    if (bus->driven || bus->simulated || atomic_load(&bus->pulled) ||
        atomic_load(&bus->phase) != MARTY__OPEN) {
        return false;
    }
    bool lends = true;
    if (!atomic_load(&port->lent) && !atomic_exchange(&port->lent, true)) {
        port->lent_call = call;
        port->lent_user = user;
        lends = marty__pool_lend(bus, &port->lent_task, lent_by == bus);
        if (!lends) { /* it was closed since: the adapter is about to be freed */
            atomic_store(&port->lent, false);
        }
    }
    return lends;
}
