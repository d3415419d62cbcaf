/* SPDX-License-Identifier: Apache-2.0
 * Calls that publish: the object, who is looking for one, who waits for one. References of a call:
 * its maker's, one while messages are unanswered, one while its alarm is set. Any thread. */
#include "call_parts.h"

#include "base/unset.h"
#include "message/block.h"
#include "message/message.h"

#include <string.h>

/* ---- the object */
marty__call *marty__call_new(marty_bus *bus, size_t ways, size_t count, size_t strings_size)
{
    size_t posts_size = count * sizeof(marty__post), ways_size = ways * sizeof(marty__way);
    size_t size = sizeof(marty__call) + posts_size + ways_size + strings_size;
    marty__call *call = marty__room_new(size);
    if (!call) {
        return NULL;
    }
    memset(call, 0, offsetof(marty__call, lock));
    call->text[0] = '\0';
    call->bus = marty__bus_ref(bus);
    call->room = size;
    call->ways = (marty__way *)(void *)((char *)call->posts + posts_size);
    call->strings = (char *)call->ways + ways_size;
    atomic_init(&call->refs, 1);
    return call;
}

void marty__call_go(marty__call *call, const marty__way *way)
{
    call->way = &call->ways[call->way_count++];
    *call->way = *way;
    call->way->call = call;
    call->way->first = call->count;
}

void marty__call_add(marty__call *call, marty_message *message)
{
    marty__way *way = call->way;
    marty__post *post = &call->posts[call->count++];
    size_t bytes = message->data.size + 256; /* about what it costs to hold */
    *post = (marty__post){.way = way, .message = message, .bytes = bytes};
    way->count++;
    way->bytes += bytes;
}

void marty__call_ref(marty__call *call)
{
    (void)atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
}

void marty__call_unref(marty__call *call)
{
    if (atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < call->count; i++) {
        marty__message_unref_many(call->posts[i].message, 1);
    }
    if (call->waited) {
        marty__cond_free(&call->answered);
        marty__mutex_free(&call->lock);
    }
    marty_bus *bus = call->bus;
    marty__room_free(call, call->room);
    marty__bus_unref(bus);
}

/* ---- finding */
marty__call *marty__call_find(marty_bus *bus, marty__call_at *at)
{
    marty__call *found = NULL;
    marty__lock(&bus->lock);
    while (at->port < bus->port_count && !found) {
        marty__port *port = &bus->ports[at->port];
        marty__lock(&port->lock);
        for (; at->place < port->sent_room && !found; at->place++) {
            const marty__post *post = port->sent[at->place];
            if (post) {
                found = post->way->call;
                marty__call_ref(found);
            }
        }
        marty__unlock(&port->lock);
        if (!found) {
            *at = (marty__call_at){.port = at->port + 1};
        }
    }
    marty__unlock(&bus->lock);
    return found;
}

marty__call *marty__calls_of(marty_bus *bus, const void *key)
{
    marty__call *first = NULL;
    marty__lock(&bus->lock);
    for (size_t i = 0; i < bus->port_count; i++) {
        marty__port *port = &bus->ports[i];
        marty__lock(&port->lock);
        for (size_t place = 0; place < port->sent_room; place++) {
            marty__call *call = port->sent[place] ? port->sent[place]->way->call : NULL;
            if (call && call->cancel_key == key) {
                call->cancel_key = NULL; /* once is enough */
                call->next_of_key = first;
                first = call;
                marty__call_ref(call);
            }
        }
        marty__unlock(&port->lock);
    }
    marty__unlock(&bus->lock);
    return first;
}

/* ---- waiting */
static bool is_finished(marty__call *call)
{
    return atomic_load(&call->progress) == MARTY__CALL_FINISHED;
}

static void wait_for_answer(marty__call *call)
{
    marty_bus *bus = call->bus;
    int open = MARTY__CALL_OPEN;
    marty__pool_block(bus);
    marty__lock(&call->lock);
    (void)atomic_compare_exchange_strong(&call->progress, &open, MARTY__CALL_AWAITED);
    while (!is_finished(call)) {
        if (!marty__bus_wait(bus, &call->answered, &call->lock, MARTY__NEVER) && bus->simulated &&
            !is_finished(call)) {
            marty__unlock(&call->lock); /* simulated time stands still while we wait */
            marty__call_expire(call, MARTY_E_UNAVAILABLE, true);
            marty__lock(&call->lock);
        }
    }
    marty__unlock(&call->lock);
    marty__pool_unblock(bus);
}

void marty__call_wait(marty__call *call)
{
    marty_bus *bus = call->bus;
    if (!is_finished(call)) {
        wait_for_answer(call);
    }
    marty__call_settle(call);
    (void)atomic_fetch_sub(&bus->open_calls, 1);
    marty__life_step(bus);
}
