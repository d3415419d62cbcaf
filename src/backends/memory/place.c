/* SPDX-License-Identifier: Apache-2.0
 * Which channel a message goes to, made on the way where that is allowed; and where a query's
 * answer goes. Mostly it is the one published to last. With the broker's lock held. */
#include "memory.h"

#include <string.h>

static bool same_name(const channel *c, const marty_port *port, const marty_channel *wanted)
{
    size_t prefix = strlen(port->prefix);
    return wanted->kind == c->kind && !wanted->native && wanted->name && prefix < c->name_size &&
           (wanted->order == MARTY_ORDER_DEFAULT || wanted->order == c->order) &&
           (!wanted->shards || wanted->shards == c->shards) &&
           strcmp(c->name + prefix, wanted->name) == 0;
}

/* A reply goes to the address as it is; what is no such channel any more has nobody to hear it. */
static marty_err find_reply(marty_port *port, channel **ret_channel, const marty_channel *wanted,
                            marty_error *why)
{
    channel *c = wanted->name ? marty__mem_channel_find(port->broker, wanted->name) : NULL;
    if (c && c->kind != MARTY_KIND_REPLY) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "%.128s is no reply address", wanted->name);
    }
    *ret_channel = c;
    return MARTY_OK;
}

static marty_err nobody_handles(const char *name, marty_error *why)
{
    return marty_error_set(why, MARTY_E_NO_RESPONDER, "nobody handles queries on %.128s now", name);
}

static marty_err find_by_name(marty_port *port, channel **ret_channel, const marty_channel *wanted,
                              marty_error *why)
{
    char name[FULL_NAME_BYTES];
    marty_err err = marty__mem_full_name(port, name, wanted, false, why);
    if (err) {
        return err;
    }
    if (!marty__mem_is_kept(wanted->kind) && !marty__mem_channel_find(port->broker, name)) {
        if (wanted->kind == MARTY_KIND_REQUEST) {
            return nobody_handles(wanted->name, why);
        }
        if (marty__list_empty(&port->broker->wild)) {
            return MARTY_OK; /* nobody listens: said to nobody */
        }
    }
    bool make = port->settings.create || !marty__mem_is_kept(wanted->kind);
    err = marty__mem_channel(port, ret_channel, name, wanted, make, why);
    if (!err) {
        port->last = *ret_channel;
    }
    return err;
}

marty_err marty__mem_find_place(marty_port *port, channel **ret_channel,
                                const marty_channel *wanted, marty_error *why)
{
    if (wanted->kind == MARTY_KIND_REPLY) {
        return find_reply(port, ret_channel, wanted, why);
    }
    if (port->last && same_name(port->last, port, wanted)) {
        *ret_channel = port->last;
        return MARTY_OK;
    }
    return find_by_name(port, ret_channel, wanted, why);
}

marty_err marty__mem_find_answer_place(storing *what, const marty_outgoing *out, marty_error *why)
{
    group *g = MARTY__OWNER(what->channel->groups.next, group, link);
    if (!g->member_count) {
        return nobody_handles(out->channel.name, why);
    }
    if (!out->reply_to) {
        return MARTY_OK;
    }
    marty_channel reply = {.kind = MARTY_KIND_REPLY, .name = out->reply_to};
    char name[FULL_NAME_BYTES];
    marty_err err = marty__mem_full_name(what->port, name, &reply, false, why);
    return err ? err : marty__mem_channel(what->port, &what->reply, name, &reply, true, why);
}
