/* SPDX-License-Identifier: Apache-2.0
 * Answering controls once their round is over: subscriptions come alive or are refused, end, or
 * move; cancels and topology calls get their answer. The writer's thread. */
#include "work.h"

#include <stdio.h>

static void subscribed(marty_port *port, sq_control *control, marty_err err, const char *text)
{
    sq_sub *sub = control->sub;
    bool moved = sub->ready && control->reset;
    if (sub->gone) {
        return;
    }
    if (!err && moved) {
        marty__sq_claims_drop(port, sub);
    }
    port->sink->subscribed(port->sink, sub->number, err, err ? text : NULL);
    if (!err) {
        sub->ready = true;
        sub->cursor = sub->cursor_next > sub->cursor ? sub->cursor_next : sub->cursor;
        marty__sq_feed(port, sub);
    }
}

/* One that was refused is still core's: it asks again, or unsubscribes. */
static void unsubscribed(marty_port *port, sq_sub *sub)
{
    const marty_sink *sink = port->sink;
    uint64_t number = sub->number;
    sub->gone = true;
    marty__sq_claims_drop(port, sub);
    marty__lock(&port->lock);
    marty__sq_sub_free(port, sub);
    marty__unlock(&port->lock);
    sink->subscribed(sink, number, MARTY_E_CLOSED, "unsubscribed");
}

static void cancelled(const marty_port *port, const sq_control *control, marty_err err,
                      const char *text)
{
    char gone[200];
    const sq_entry *entry = &control->entry;
    marty_published result = {.token = entry->token, .err = err ? err : entry->err, .text = text};
    if (!err && entry->err) {
        (void)snprintf(gone, sizeof gone,
                       "no such message is scheduled; it went out, or never was");
        result.text = gone;
    } else if (!err) {
        result.level = marty__sq_level(port, MARTY_KIND_QUEUE);
    }
    port->sink->published(port->sink, &result, 1);
}

void marty__sq_controls_collect(marty_port *port)
{
    for (marty__link *at = port->controls.next; at != &port->controls; at = at->next) {
        sq_control *control = MARTY__OWNER(at, sq_control, link);
        if (control->kind == SQ_TOPOLOGY) {
            marty__sq_topology_begin(control->ask);
        }
    }
    marty__list_move(&port->work_controls, &port->controls);
}

void marty__sq_controls_expire(marty_port *port)
{
    for (marty__link *at = port->work_controls.next, *next; at != &port->work_controls; at = next) {
        sq_control *control = MARTY__OWNER(at, sq_control, link);
        next = at->next;
        if (control->kind == SQ_TOPOLOGY) {
            marty__sq_topology_expire(port, control->ask);
        }
    }
}

void marty__sq_controls_answer(marty_port *port, marty_err err, const char *text)
{
    marty__link *link;
    while ((link = marty__list_pop(&port->work_controls)) != NULL) {
        sq_control *control = MARTY__OWNER(link, sq_control, link);
        marty_err result = err ? err : control->err;
        const char *why = err ? text : control->text;
        switch (control->kind) {
        case SQ_SUBSCRIBE:
            subscribed(port, control, result, why);
            break;
        case SQ_UNSUBSCRIBE:
            unsubscribed(port, control->sub);
            continue; /* it was part of the subscription */
        case SQ_CANCEL:
            cancelled(port, control, err, text);
            break;
        case SQ_TOPOLOGY:
            marty__sq_topology_answer(port, control->ask, err, text);
            continue; /* it is its caller's */
        default:
            break;
        }
        marty__sq_control_free(port, control);
    }
}
