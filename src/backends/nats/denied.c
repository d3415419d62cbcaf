/* SPDX-License-Identifier: Apache-2.0
 * "Permissions Violation for Publish to "events.order.created"": nothing will come for who waits
 * for that. It is said, one line a second; more are counted. Any thread. */
#include "parts.h"

#include <stdio.h>
#include <string.h>

/* Lock held: publishes to that subject that nobody has answered. */
static void deny_publishes(marty_port *port, const char *subject, const char *told)
{
    uint64_t hash = nats__hash(subject);
    for (uint32_t i = 0; i < port->pending_count; i++) {
        if (port->pending[i].token && port->pending[i].subject_hash == hash) {
            uint64_t token = port->pending[i].token;
            nats__pending_free_locked(port, i);
            nats__answer(port, token, MARTY_E_DENIED, MARTY_LEVEL_ANY, told);
        }
    }
}

enum { DENIED_MS = 1000 };

/* Lock held. Whether it is to be said now; else it is counted. */
static bool may_say(marty_port *port, const char *text)
{
    nats__denied *denied = &port->denied;
    int64_t now_ns = nats__now_ns(port);
    if (denied->count == 0 && now_ns >= denied->next_ns) {
        denied->next_ns = now_ns + DENIED_MS * INT64_C(1000000);
        return true;
    }
    denied->count++;
    (void)snprintf(denied->last, sizeof denied->last, "%s", text);
    port->due_ns = denied->next_ns < port->due_ns ? denied->next_ns : port->due_ns;
    return false;
}

int64_t nats__denied_look(marty_port *port, int64_t now_ns)
{
    pthread_mutex_lock(&port->lock);
    nats__denied said = port->denied;
    bool due = said.count > 0 && now_ns >= said.next_ns;
    if (due) {
        port->denied.count = 0;
        port->denied.next_ns = now_ns + DENIED_MS * INT64_C(1000000);
    }
    pthread_mutex_unlock(&port->lock);
    if (due) {
        marty_port_log(port->sink, 0, "nats: %u more errors of permission, the last one: %s",
                       said.count, said.last);
    }
    return due || said.count == 0 ? INT64_MAX : said.next_ns;
}

void nats__permission_denied(marty_port *port, const char *text)
{
    const char *start = strchr(text, '"'), *end = start ? strchr(start + 1, '"') : NULL;
    char subject[NATS__SUBJECT_MAX], told[NATS__SUBJECT_MAX + 128];
    bool publish = strcasestr(text, "publish to") != NULL;
    pthread_mutex_lock(&port->lock);
    bool said = may_say(port, text);
    pthread_mutex_unlock(&port->lock);
    if (said) {
        marty_port_log(port->sink, 0, "nats: %s", text);
    }
    if (!start || !end || (size_t)(end - start) >= sizeof subject) {
        return;
    }
    memcpy(subject, start + 1, (size_t)(end - start) - 1);
    subject[end - start - 1] = '\0';
    (void)snprintf(told, sizeof told, "nats: no permission to %s %s",
                   publish ? "publish to" : "subscribe to", subject);
    pthread_mutex_lock(&port->lock);
    nats__call_denied_locked(port, publish ? subject : NULL, told + strlen("nats: "));
    if (publish) {
        deny_publishes(port, subject, told);
    }
    pthread_mutex_unlock(&port->lock);
}
