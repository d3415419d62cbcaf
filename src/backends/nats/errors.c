/* SPDX-License-Identifier: Apache-2.0
 * What the library tells on a thread of its own, which nobody can wait for: it may come when the
 * connection is closed and its port is freed. So it knows a port by a number that is never used
 * again, and the port is looked up among those that live. Their lock is taken before a port's. */
#include "denied.h"
#include "parts.h"

static pthread_mutex_t living_lock = PTHREAD_MUTEX_INITIALIZER;
static marty__link living = {&living, &living};
static uintptr_t last_number;

void nats__living_add(marty_port *port)
{
    pthread_mutex_lock(&living_lock);
    port->number = ++last_number;
    marty__list_push(&living, &port->living);
    pthread_mutex_unlock(&living_lock);
}

void nats__living_remove(marty_port *port)
{
    pthread_mutex_lock(&living_lock);
    marty__list_remove(&port->living);
    pthread_mutex_unlock(&living_lock);
}

/* The one that it came on; NULL: an older one. */
static nats__wire *wire_of(marty_port *port, const natsConnection *nc)
{
    nats__wire *found = NULL;
    pthread_mutex_lock(&port->lock);
    for (int i = 0; i < 2; i++) {
        found = port->wires[i].nc == nc ? &port->wires[i] : found;
    }
    pthread_mutex_unlock(&port->lock);
    return found;
}

/* Permissions; all else shows when the loop reads. The library says its text as the last error of
 * this thread: that of the connection may be a later one. */
static void on_error(natsConnection *nc, natsSubscription *subscription, natsStatus status,
                     void *number)
{
    natsStatus said = NATS_OK;
    const char *text = nats_GetLastError(&said);
    (void)subscription;
    if (status != NATS_NOT_PERMITTED || said != NATS_NOT_PERMITTED || !text) {
        return;
    }
    pthread_mutex_lock(&living_lock);
    for (marty__link *at = living.next; at != &living; at = at->next) {
        marty_port *port = MARTY__OWNER(at, marty_port, living);
        nats__wire *wire = port->number == (uintptr_t)number ? wire_of(port, nc) : NULL;
        if (wire) {
            nats__permission_denied(wire, text);
        }
    }
    pthread_mutex_unlock(&living_lock);
}

natsStatus nats__error_options(const marty_port *port, natsOptions *options)
{
    return natsOptions_SetErrorHandler(options, on_error, (void *)port->number);
}
