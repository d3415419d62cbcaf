/* SPDX-License-Identifier: Apache-2.0
 * What a round delivers: gathered while the transaction is open, given to core once it is
 * committed. The writer's thread. */
#include "work.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <string.h>

enum { AT_ONCE = 64, FIRST_ROOM = 64 };

sq_delivery *marty__sq_delivery_add(marty_port *port)
{
    if (port->delivery_count == port->delivery_room) {
        size_t room = port->delivery_room ? port->delivery_room * 2 : FIRST_ROOM;
        sq_delivery *more = marty_realloc(port->deliveries, room * sizeof *more);
        if (!more) {
            return NULL;
        }
        port->deliveries = more;
        port->delivery_room = room;
    }
    sq_delivery *delivery = &port->deliveries[port->delivery_count++];
    memset(delivery, 0, sizeof *delivery);
    return delivery;
}

int marty__sq_delivery_read(sq_delivery *delivery, const sq_row *row, bool reply_to)
{
    marty_error why;
    marty_err err = marty__sq_row_read(&delivery->message, reply_to ? &delivery->reply_to : NULL,
                                       row->body, row->size, &why);
    if (err == MARTY_E_NO_MEMORY) {
        return SQLITE_NOMEM;
    }
    if (err) {
        delivery->raw = marty__memdup(row->body, row->size);
        delivery->raw_size = row->size;
        return delivery->raw ? SQLITE_OK : SQLITE_NOMEM;
    }
    return SQLITE_OK;
}

void marty__sq_deliveries_charge(marty_port *port)
{
    marty__lock(&port->lock);
    for (size_t i = 0; i < port->delivery_count; i++) {
        sq_sub *sub = port->deliveries[i].sub;
        sub->credit -= sub->credit > 0; /* it may have been taken back since it was looked at */
    }
    marty__unlock(&port->lock);
}

static void fill(const marty_port *port, const sq_delivery *delivery, marty_incoming *incoming,
                 char position[SQ_POSITION_BYTES])
{
    *incoming = (marty_incoming){.subscription = delivery->sub->number,
                                 .tag = delivery->tag,
                                 .message = delivery->message,
                                 .reply_to = delivery->reply_to,
                                 .channel = delivery->channel,
                                 .attempt = delivery->attempt,
                                 .lease_until_ns = MARTY__NEVER,
                                 .raw = {delivery->raw, delivery->raw_size}};
    if (delivery->lease_us) {
        incoming->lease_until_ns = port->now_ns + (delivery->lease_us - port->now_us) * 1000;
    }
    if (delivery->position && delivery->sub->channel->kind != MARTY_KIND_QUEUE) {
        int64_t first = delivery->sub->wild ? 0 : delivery->sub->channel->first_log;
        marty__sq_position_write(position, delivery->position, first);
        incoming->position = position;
    }
}

static void give(const marty_port *port, const sq_delivery deliveries[], size_t count)
{
    marty_incoming batch[AT_ONCE];
    char positions[AT_ONCE][SQ_POSITION_BYTES];
    for (size_t i = 0; i < count; i++) {
        fill(port, &deliveries[i], &batch[i], positions[i]);
    }
    port->sink->delivered(port->sink, batch, count);
}

void marty__sq_deliveries_end(marty_port *port, bool committed)
{
    for (size_t i = 0; i < port->delivery_count && committed; i += AT_ONCE) {
        size_t left = port->delivery_count - i;
        give(port, &port->deliveries[i], left < AT_ONCE ? left : AT_ONCE);
    }
    for (size_t i = 0; i < port->delivery_count; i++) {
        sq_delivery *delivery = &port->deliveries[i];
        if (!committed) {
            marty_message_unref(delivery->message);
        }
        marty_free(delivery->reply_to);
        marty_free(delivery->channel);
        marty_free(delivery->raw);
    }
    port->delivery_count = 0;
    port->delivery_bytes = 0;
}
