/* SPDX-License-Identifier: Apache-2.0
 * Changes of state, told to the user in order, one call at a time, on a worker (or in process). A
 * change that is overtaken by another of the same place before it was told is merged away; ROOM,
 * SUBSCRIBED, REFUSED, ASSIGNED and REVOKED never are. */
#include "internal.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

const char *marty__state_name(marty_state state)
{
    static const char *const names[] = {"unknown",    "up",      "down",     "blocked",
                                        "stalled",    "room",    "draining", "closed",
                                        "subscribed", "refused", "assigned", "revoked"};
    return (size_t)state < sizeof names / sizeof names[0] ? names[state] : names[0];
}

static void free_node(marty__state_node *node)
{
    if (node->consumer) {
        marty__consumer_unref(node->consumer);
    }
    marty_free(node->shards);
    marty_free(node);
}

static marty__state_node *next_node(marty_bus *bus)
{
    marty__lock(&bus->lock);
    marty__link *link = marty__list_pop(&bus->events);
    bus->telling = link != NULL;
    marty__unlock(&bus->lock);
    return link ? MARTY__OWNER(link, marty__state_node, link) : NULL;
}

static void tell(marty__task *task)
{
    marty_bus *bus = MARTY__OWNER(task, marty_bus, event_task);
    for (marty__state_node *node = next_node(bus); node; node = next_node(bus)) {
        marty_on_state on_state = atomic_load(&bus->on_state);
        if (on_state) {
            on_state(bus->user, &node->event);
        }
        free_node(node);
    }
    marty__bus_unref(bus);
}

static bool merges(marty_state state)
{
    return state == MARTY_STATE_UP || state == MARTY_STATE_DOWN || state == MARTY_STATE_BLOCKED ||
           state == MARTY_STATE_STALLED;
}

/* With bus->lock held: an untold change of the same place that this one overtakes. */
static void drop_overtaken(marty_bus *bus, const marty__state_node *node)
{
    if (!merges(node->event.state)) {
        return;
    }
    for (marty__link *link = bus->events.next; link != &bus->events; link = link->next) {
        marty__state_node *old = MARTY__OWNER(link, marty__state_node, link);
        if (merges(old->event.state) && old->event.backend == node->event.backend &&
            old->consumer == node->consumer) {
            marty__list_remove(link);
            free_node(old);
            return;
        }
    }
}

static void queue(marty_bus *bus, marty__state_node *node)
{
    marty__lock(&bus->lock);
    if (atomic_load(&bus->torn_down)) { /* nobody is left to tell it */
        marty__unlock(&bus->lock);
        free_node(node);
        return;
    }
    drop_overtaken(bus, node);
    marty__list_push(&bus->events, &node->link);
    if (!bus->telling) { /* else its task is queued or runs. Under the lock: who tears down looks */
        bus->telling = true;
        (void)marty__bus_ref(bus);
        bus->event_task.run = tell;
        marty__pool_add(bus, &bus->event_task);
    }
    marty__unlock(&bus->lock);
}

static marty__state_node *new_node(marty_state state, marty__port *port, marty__consumer *consumer,
                                   marty_err reason, const char *text)
{
    marty__state_node *node = marty_alloc_zero(1, sizeof *node);
    if (!node) {
        return NULL; /* an event that there is no memory for is the one thing that may be lost, and
                        the log says so */
    }
    (void)snprintf(node->text, sizeof node->text, "%s", text ? text : "");
    node->consumer = consumer ? marty__consumer_ref(consumer) : NULL;
    node->event.state = state;
    node->event.reason = reason;
    node->event.text = node->text;
    node->event.backend = port ? port->name : NULL;
    node->event.channel = consumer ? consumer->channel : NULL;
    return node;
}

void marty__event(marty_bus *bus, marty_state state, marty__port *port, marty__consumer *consumer,
                  marty_err reason, const char *text)
{
    int level = reason == MARTY_OK ? 2 : 1;
    marty__bus_log(bus, level, "%s%s%s%s%s: %s", port ? port->name : "bus", consumer ? " " : "",
                   consumer ? consumer->channel : "", " ", marty__state_name(state),
                   text && *text ? text : marty_err_describe(reason)->text);
    if (!bus->on_state) {
        return;
    }
    marty__state_node *node = new_node(state, port, consumer, reason, text);
    if (!node) {
        marty__bus_log(bus, 0, "no memory to tell state %s", marty__state_name(state));
        return;
    }
    queue(bus, node);
}

void marty__event_shards(marty_bus *bus, marty_state state, marty__consumer *consumer,
                         const uint32_t *shards, size_t count, int64_t deadline_ns)
{
    if (!bus->on_state) {
        return;
    }
    marty__state_node *node = new_node(state, consumer->port, consumer, MARTY_OK, "");
    if (node) {
        node->shards = marty__memdup(shards, count * sizeof *shards);
        node->event.shards = node->shards;
        node->event.shard_count = node->shards ? count : 0;
        node->event.deadline_ms = deadline_ns;
        queue(bus, node);
    }
}

void marty__events_free(marty_bus *bus)
{
    marty__link *link, untold;
    marty__list_init(&untold);
    marty__lock(&bus->lock);
    atomic_store(&bus->torn_down, true);
    marty__list_move(&untold, &bus->events);
    marty__unlock(&bus->lock);
    while ((link = marty__list_pop(&untold)) != NULL) {
        free_node(MARTY__OWNER(link, marty__state_node, link));
    }
}
