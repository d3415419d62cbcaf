/* SPDX-License-Identifier: Apache-2.0
 * Tokens: a number for each message that is published and not answered, never given twice. With
 * port->lock held. */
#include "call_parts.h"

#include "base/alloc.h"

static bool grow_tokens(marty__port *port)
{
    size_t before = port->sent_room, room = before ? before * 2 : 64;
    marty__post **old = port->sent, **bigger = marty_alloc_zero(room, sizeof *bigger);
    if (!bigger) {
        return false;
    }
    port->sent = bigger;
    port->sent_room = room;
    for (size_t i = 0; i < before; i++) {
        if (old[i]) {
            bigger[old[i]->token & (room - 1)] = old[i];
        }
    }
    marty_free(old);
    return true;
}

bool marty__tokens_reserve(marty__port *port, size_t count)
{
    while (port->sent_room / 2 < port->inflight + count) {
        if (!grow_tokens(port)) {
            return false;
        }
    }
    return true;
}

void marty__tokens_take(marty__port *port, marty__post *posts, size_t count)
{
    marty__post **sent = port->sent;
    uint64_t mask = port->sent_room - 1, token = port->last_token;
    for (size_t i = 0; i < count; i++) {
        do {
            token++;
        } while (sent[token & mask]);
        sent[token & mask] = &posts[i];
        posts[i].token = token;
    }
    port->last_token = token;
}
