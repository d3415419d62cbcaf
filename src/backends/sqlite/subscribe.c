/* SPDX-License-Identifier: Apache-2.0
 * Subscribing and unsubscribing in a round. What a port listens to was put into the shared file
 * before the round began, so nothing published meanwhile is missed. The writer's thread. */
#include "work.h"

#include <stdio.h>
#include <string.h>

/* Among those that one bit, or any, concerns. Kept over a round that fails. */
static void enlist(marty_port *port, sq_sub *sub)
{
    if (!sub->bucket.next) {
        marty__list_push(sub->wild ? &port->wild : &port->buckets[sub->channel->bit], &sub->bucket);
    }
}

static int open_channel(marty_port *port, sq_sub *sub, sq_control *control)
{
    sq_why why = SQ_WHY_STORED;
    if (sub->wild) {
        return SQLITE_OK;
    }
    int code = marty__sq_channel_resolve(port, sub->channel, sub->order, true, &why);
    if (code || why == SQ_WHY_STORED) {
        sub->channel_id = sub->channel->id;
        return code;
    }
    const char *name = sub->channel->name + strlen(port->options.prefix);
    if (why == SQ_WHY_NO_CHANNEL) {
        control->err = MARTY_E_NOT_FOUND;
        (void)snprintf(control->text, sizeof control->text,
                       "channel %s does not exist in %s; make it with: marty topology create, or "
                       "set topology=create",
                       name, port->options.path);
    } else {
        control->err = MARTY_E_EXISTS;
        marty__sq_say_different(sub->channel, name, sub->order, control->text,
                                sizeof control->text);
    }
    return SQLITE_OK;
}

static int open_group(marty_port *port, sq_sub *sub, sq_control *control)
{
    int code = marty__sq_group_open(port, sub, control, &control->err);
    if (!code && control->err) {
        (void)snprintf(control->text, sizeof control->text,
                       "channel %s has no group %s in %s; make it with: marty topology create, or "
                       "set topology=create",
                       sub->channel->name + strlen(port->options.prefix),
                       sub->group ? sub->group : "", port->options.path);
    }
    return code;
}

int marty__sq_subscribe_apply(marty_port *port, sq_control *control)
{
    sq_sub *sub = control->sub;
    control->err = MARTY_OK;
    if (sub->gone) {
        control->err = MARTY_E_CLOSED;
        return SQLITE_OK;
    }
    int code = open_channel(port, sub, control);
    if (code || control->err) {
        return code;
    }
    bool kept = marty__sq_kind_keeps(sub->channel->kind);
    if (!sub->ready || control->reset) {
        code = kept ? open_group(port, sub, control) : marty__sq_post_open(port, sub);
    }
    if (code || control->err) {
        return code;
    }
    enlist(port, sub);
    sub->lease_us = control->lease_us;
    sub->ordered = sub->wild ? marty__sq_channel_ordered(sub->channel->kind, sub->order)
                             : sub->channel->ordered;
    return marty__sq_do(
        &port->db, SQ_SUBSCRIBER_ADD, 0,
        SQ_I((int64_t)port->member, (int64_t)sub->number, sub->grp, sub->channel_id));
}

/* A reply channel goes with the one who listened to it. */
static int remove_reply_channel(marty_port *port, sq_sub *sub)
{
    int code = marty__sq_do(&port->db, SQ_POST_REMOVE_CHANNEL, 0, SQ_I(sub->channel_id));
    code = code ? code : marty__sq_do(&port->db, SQ_CHANNEL_REMOVE, 0, SQ_I(sub->channel_id));
    code = code ? code : marty__sq_topology_changed(port);
    sub->channel->generation = 0;
    return code;
}

int marty__sq_unsubscribe_apply(marty_port *port, sq_sub *sub)
{
    int code = SQLITE_OK;
    sub->gone = true;
    marty__list_remove(&sub->hungry);
    if (sub->ready && sub->grp) {
        code = marty__sq_give_back_all(port, sub);
        code = code || !sub->owned ? code : marty__sq_group_remove(port, sub->grp);
    } else if (sub->ready && sub->channel->kind == MARTY_KIND_REPLY) {
        code = remove_reply_channel(port, sub);
    }
    return code ? code
                : marty__sq_do(&port->db, SQ_SUBSCRIBER_REMOVE, 0,
                               SQ_I((int64_t)port->member, (int64_t)sub->number));
}
