/* SPDX-License-Identifier: Apache-2.0
 * Tokens: a number for each message that is published and not answered, never given twice. With
 * port->lock held. */
#include "call_parts.h"

#include "base/alloc.h"

static marty__post **place_of(const marty__port *port, uint64_t token)
{
    return &port->sent[token & (port->sent_room - 1)];
}

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
            *place_of(port, old[i]->token) = old[i];
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

void marty__token_take(marty__port *port, marty__post *post)
{
    marty__post **place;
    do {
        post->token = ++port->last_token;
        place = place_of(port, post->token);
    } while (*place);
    *place = post;
}

void marty__token_free(marty__port *port, const marty__post *post)
{
    *place_of(port, post->token) = NULL;
}

marty__post *marty__token_post(const marty__port *port, uint64_t token)
{
    marty__post *post = port->sent_room ? *place_of(port, token) : NULL;
    return post && post->token == token ? post : NULL;
}
