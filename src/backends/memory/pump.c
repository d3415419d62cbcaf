/* SPDX-License-Identifier: Apache-2.0
 * Telling core. What there is to tell hangs on the ports; whoever ends an op tells it for all
 * ports, one thread at a time for each, with the lock given back during each call. So deliveries of
 * a subscription keep their order on any number of threads, and its CLOSED comes after the last
 * one. What is published is left to a worker of whoever gets it, if that can wait. A thread that
 * has told one port for long hands the rest to such a worker, or to that port's own timer. */
#include "memory.h"

#include "message/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS_MAX = 64 };

void marty__mem_lock(marty_port *port)
{
    broker *b = port->broker;
    marty__lock(&b->lock);
    b->env = port->sink->env;
    b->now_ns = b->wall_us = 0;
}

void marty__mem_port_ready(marty_port *port)
{
    if (!port->pumping && !port->ready_link.next) {
        marty__list_push(&port->broker->ready, &port->ready_link);
    }
}

void marty__mem_notice(subscription *s, notice what, marty_err reason, const char *text)
{
    s->notice = what;
    s->reason = reason;
    s->text = text;
    if (!s->notice_link.next) {
        marty__list_push(&s->port->notices, &s->notice_link);
    }
    marty__mem_port_ready(s->port);
}

void marty__mem_log(marty_port *port, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(port->warning, sizeof port->warning, format, arguments);
    va_end(arguments);
    marty__mem_port_ready(port);
}

/* ---- the clock */
static marty_port *keeper(const broker *b)
{
    return marty__list_empty(&b->ports) ? NULL : MARTY__OWNER(b->ports.next, marty_port, link);
}

void marty__mem_clock_changed(broker *b)
{
    marty_port *port = keeper(b);
    if (port && marty__mem_due_ns(b) < port->timer_ns) {
        port->timer_dirty = true;
        marty__mem_port_ready(port);
    }
}

void marty__mem_clock_moved(broker *b)
{
    marty_port *port = keeper(b);
    if (port) {
        port->timer_ns = MARTY__NEVER;
        marty__mem_clock_changed(b);
    }
}

/* ---- the other things */
static bool tell_notice(marty_port *port)
{
    marty__link *link = marty__list_pop(&port->notices);
    if (!link) {
        return false;
    }
    subscription *s = MARTY__OWNER(link, subscription, notice_link);
    uint64_t number = s->number;
    marty_err reason = s->reason;
    const char *text = s->text;
    if (s->notice != NOTICE_SUBSCRIBED) {
        marty__mem_subscription_free(s);
    }
    marty__unlock(&port->broker->lock);
    port->sink->subscribed(port->sink, number, reason, text);
    marty__lock(&port->broker->lock);
    return true;
}

static bool tell_log(marty_port *port)
{
    char text[sizeof port->warning];
    if (!port->warning[0]) {
        return false;
    }
    memcpy(text, port->warning, sizeof text);
    port->warning[0] = '\0';
    marty__unlock(&port->broker->lock);
    port->sink->log(port->sink, 1, text);
    marty__lock(&port->broker->lock);
    return true;
}

static bool tell_timer(marty_port *port)
{
    if (!port->timer_dirty) {
        return false;
    }
    port->timer_dirty = false;
    port->timer_ns = marty__mem_due_ns(port->broker);
    int64_t at_ns = port->timer_ns;
    marty__unlock(&port->broker->lock);
    port->sink->timer(port->sink, at_ns, marty__mem_clock_rang, port);
    marty__lock(&port->broker->lock);
    return true;
}

static bool tell_closed(marty_port *port)
{
    if (!port->close_notice) {
        return false;
    }
    port->close_notice = false;
    marty__unlock(&port->broker->lock);
    port->sink->state(port->sink, MARTY_STATE_CLOSED, NULL, MARTY_OK, "closed");
    marty__lock(&port->broker->lock);
    return true;
}

void marty__mem_go_on(void *user)
{
    marty_port *port = user;
    marty__mem_lock(port);
    marty__mem_port_ready(port);
    marty__mem_unlock(port->broker);
}

static bool has_more(const marty_port *port)
{
    return !marty__list_empty(&port->ready) || !marty__list_empty(&port->notices) ||
           port->warning[0] || port->timer_dirty || port->close_notice;
}

/* Nothing but deliveries, none of them urgent: they may wait for a worker of the port's bus. */
static bool can_wait(const marty_port *port)
{
    return !port->urgent && marty__list_empty(&port->notices) && !port->warning[0] &&
           !port->timer_dirty && !port->close_notice;
}

/* What several subscriptions get is told by whoever published it, in whose cache it lies. */
static bool is_for_one(const marty_port *port)
{
    return port->ready.next == port->ready.before;
}

static void go_on_lent(void *user);

/* Have a worker come for the rest, or the timer; false: there is no worker to be had. Who frees the
 * port waits for us as for one who pumps; the worker need not. */
static bool leave_to(marty_port *port, bool worker)
{
    bool lent = true;
    port->lending++;
    marty__unlock(&port->broker->lock);
    if (worker) {
        lent = port->sink->later(port->sink, go_on_lent, port);
    } else {
        port->sink->timer(port->sink, 0, marty__mem_go_on, port);
    }
    marty__lock(&port->broker->lock);
    port->lending--;
    return lent;
}

static void rest(marty_port *port)
{
    if (port->awaited) {
        marty__wake_all(&port->broker->idle);
    }
}

/* lent: a worker runs what is in one batch before it makes more. */
static void tell(marty_port *port, bool lent)
{
    port->pumping = true;
    marty__list_remove(&port->ready_link);
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        bool told = tell_notice(port) || marty__mem_deliver(port) || tell_log(port) ||
                    tell_timer(port) || tell_closed(port);
        port->told++;
        rest(port);
        if (!told || (lent && can_wait(port))) {
            break;
        }
    }
    port->pumping = false; /* first, else who is asked for the rest would find us at it */
    if (has_more(port) && !(can_wait(port) && leave_to(port, true))) {
        (void)leave_to(port, false);
    }
    rest(port);
}

void marty__mem_unlock(broker *b)
{
    for (marty__link *link; (link = marty__list_pop(&b->ready)) != NULL;) {
        tell(MARTY__OWNER(link, marty_port, ready_link), false);
    }
    marty__unlock(&b->lock);
}

static void unlock_lending(broker *b)
{
    for (marty__link *link; (link = marty__list_pop(&b->ready)) != NULL;) {
        marty_port *port = MARTY__OWNER(link, marty_port, ready_link);
        if ((can_wait(port) && is_for_one(port) && leave_to(port, true)) || port->pumping) {
            rest(port);
        } else {
            tell(port, false);
        }
    }
    marty__unlock(&b->lock);
}

static void go_on_lent(void *user)
{
    marty_port *port = user;
    marty__mem_lock(port);
    if (!port->pumping) {
        tell(port, true);
    }
    unlock_lending(port->broker);
}

void marty__mem_pump_later(broker *b)
{
    marty__lock(&b->lock);
    unlock_lending(b);
}

void marty__mem_pump(broker *b)
{
    marty__lock(&b->lock);
    marty__mem_unlock(b);
}

void marty__mem_pump_wait(marty_port *port)
{
    port->awaited = true;
    while (port->pumping || port->lending) {
        (void)marty__wait(&port->broker->idle, &port->broker->lock, MARTY__NEVER);
    }
}

void marty__mem_told_wait(marty_port *port)
{
    uint64_t before = port->told;
    port->awaited = true;
    while (port->pumping && port->told == before) {
        (void)marty__wait(&port->broker->idle, &port->broker->lock, MARTY__NEVER);
    }
}
