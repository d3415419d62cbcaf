/* SPDX-License-Identifier: Apache-2.0
 * What happens later: scheduled messages, which can be cancelled by id, delayed retries, leases
 * that end, and another try after a shortage of memory. One port of the broker keeps its clock. */
#include "memory.h"

#include "message/message.h"

#include <string.h>

enum { AGAIN_MS = 100 };

int64_t marty__mem_due_ns(const broker *b)
{
    int64_t leases_ns = marty__heap_next_ns(&b->leases);
    int64_t schedules_ns = marty__heap_next_ns(&b->schedules);
    int64_t due_ns = leases_ns < schedules_ns ? leases_ns : schedules_ns;
    return due_ns < b->retry_ns ? due_ns : b->retry_ns;
}

/* ---- scheduled messages */
marty_err marty__mem_schedule(const storing *what, int64_t at_ns, marty_error *why)
{
    channel *c = what->channel;
    broker *b = c->broker;
    const marty_message *message = what->message;
    if (c->keeps_nothing || c->kind == MARTY_KIND_DEAD) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "a %s keeps nothing for later; schedule an event, a command or a "
                               "stream's message",
                               c->kind == MARTY_KIND_DEAD ? "dead letter" : "broadcast or query");
    }
    if (marty__map_get(&c->scheduled, message->id, strlen(message->id))) {
        return MARTY_OK; /* it waits already */
    }
    uint32_t cost = marty__mem_cost(message);
    if (!marty__mem_channel_room(c, cost)) {
        return marty_error_set(why, MARTY_E_FULL, "%s is full: raise limit=", what->port->shown);
    }
    size_t group_size = what->group ? strlen(what->group) + 1 : 0;
    scheduled *s = marty_alloc_zero(1, sizeof *s + group_size);
    if (!s || !marty__map_put(&c->scheduled, message->id, strlen(message->id), s)) {
        marty_free(s);
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to schedule a message");
    }
    s->channel = c;
    s->message = marty_message_ref(message);
    s->expires_ns = what->expires_ns;
    s->bytes = cost;
    s->has_group = what->group != NULL;
    memcpy(s->group, group_size ? what->group : "", group_size);
    b->bytes += cost;
    marty__heap_add(&b->schedules, &s->timer, at_ns);
    marty__mem_clock_changed(b);
    return MARTY_OK;
}

static void forget(scheduled *s)
{
    broker *b = s->channel->broker;
    marty__heap_remove(&b->schedules, &s->timer);
    b->bytes -= s->bytes;
    marty_message_unref(s->message);
    marty_free(s);
}

void marty__mem_scheduled_free(scheduled *s)
{
    (void)marty__map_take(&s->channel->scheduled, s->message->id, strlen(s->message->id));
    forget(s);
}

marty_err marty__mem_cancel(marty_port *port, const marty_channel *wanted, const char *id,
                            uint64_t token, marty_error *why)
{
    char name[FULL_NAME_BYTES];
    marty_err err = marty__mem_full_name(port, name, wanted, false, why);
    if (err) {
        return err;
    }
    marty__mem_lock(port);
    broker *b = port->broker;
    channel *c = marty__mem_channel_find(b, name);
    scheduled *s = c ? marty__map_get(&c->scheduled, id, strlen(id)) : NULL;
    if (s) {
        fingerprint of =
            marty__mem_fingerprint_in(marty__mem_fingerprint(&b->dedup, s->message),
                                      marty__mem_salt(c, s->has_group ? s->group : NULL));
        marty__mem_dedup_forget(&b->dedup, of, marty__mem_now(b));
        marty__mem_scheduled_free(s);
    }
    marty__mem_unlock(port->broker);
    marty_published result = {.token = token,
                              .err = s ? MARTY_OK : MARTY_E_NOT_FOUND,
                              .level = MARTY_LEVEL_MEMORY,
                              .text =
                                  s ? NULL : "no such message is scheduled; it may have gone out"};
    port->sink->published(port->sink, &result, 1);
    return MARTY_OK;
}

static void release(broker *b, marty_port *port, scheduled *s)
{
    marty_error why = {0};
    storing what = {.port = port,
                    .channel = s->channel,
                    .group = s->has_group ? s->group : NULL,
                    .message = s->message,
                    .expires_ns = s->expires_ns};
    b->bytes -= s->bytes;
    marty_err err = marty__mem_store(&what, &why);
    b->bytes += s->bytes;
    if (err && marty_err_describe(err)->error_class == MARTY_CLASS_RETRY &&
        err != MARTY_E_NO_GROUP) {
        marty__heap_add(&b->schedules, &s->timer, marty__deadline_ns(marty__mem_now(b), AGAIN_MS));
        return;
    }
    channel *c = s->channel;
    marty__mem_scheduled_free(s);
    if (err) {
        marty__mem_log(port, "a scheduled message is dropped: %s", why.text);
    }
    marty__mem_dispatch_channel(c);
}

/* ---- the clock */
static void item_due(item *it)
{
    group *g = it->group;
    if (it->state == ITEM_HELD) {
        marty__mem_item_return(it, true, 0); /* its lease has ended */
    } else {
        marty__mem_item_leave(it);
        marty__mem_wait(it);
    }
    marty__mem_dispatch(g);
}

static void feed_starved(broker *b)
{
    b->retry_ns = MARTY__NEVER;
    channel *c;
    for (size_t at = 0; (c = marty__map_next(&b->channels, &at)) != NULL;) {
        for (marty__link *link = c->groups.next; link != &c->groups; link = link->next) {
            group *g = MARTY__OWNER(link, group, link);
            if (g->starved) {
                marty__mem_dispatch(g);
            }
        }
    }
}

void marty__mem_clock_rang(void *user)
{
    marty_port *port = user;
    broker *b = port->broker;
    marty__mem_lock(port);
    port->timer_ns = MARTY__NEVER;
    for (marty__timer *due; (due = marty__heap_pop(&b->leases, marty__mem_now(b))) != NULL;) {
        item_due(MARTY__OWNER(due, item, timer));
    }
    for (marty__timer *due; (due = marty__heap_pop(&b->schedules, marty__mem_now(b))) != NULL;) {
        release(b, port, MARTY__OWNER(due, scheduled, timer));
    }
    if (b->retry_ns <= marty__mem_now(b)) {
        feed_starved(b);
    }
    marty__mem_clock_changed(b);
    marty__mem_unlock(b);
}
