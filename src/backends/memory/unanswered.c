/* SPDX-License-Identifier: Apache-2.0
 * Queries that wait on a channel when the last one that handles them leaves: nobody will answer, so
 * their askers are told now and not by their deadline. With the broker's lock held. */
#include "memory.h"

#include "message/message.h"

static void tell_asker(marty_port *port, channel *reply, const marty_message *query)
{
    marty_header nobody = {"martyreply", marty_text("MARTY_E_NO_RESPONDER"), MARTY_ATTRIBUTE};
    marty_message answer = {.type = query->type,
                            .causation_id = query->id,
                            .correlation_id = query->correlation_id,
                            .headers = &nobody,
                            .header_count = 1};
    marty_message *made = NULL;
    marty_error why;
    if (marty__message_new(&made, &answer, NULL, port->sink->env, query->source, &why)) {
        return; /* without memory the deadline tells it */
    }
    storing what = {.port = port, .channel = reply, .message = made};
    if (!marty__mem_store(&what, &why)) {
        marty__mem_dispatch_channel(reply);
    }
    marty_message_unref(made);
}

static bool has_asker(const channel *reply)
{
    return reply && !marty__list_empty(&reply->groups) &&
           MARTY__OWNER(reply->groups.next, group, link)->member_count;
}

void marty__mem_nobody_answers(marty_port *port, group *g)
{
    channel *c = g->channel;
    while (c->log.first < c->log.next) {
        entry *e = marty__mem_entry(&c->log, c->log.first);
        if (e->message && has_asker(e->of.reply)) {
            tell_asker(port, e->of.reply, e->message);
        }
        marty__mem_entry_clear(c, e);
        marty__mem_log_advance(c->broker, &c->log, 1);
        g->next++;
    }
    while (!marty__list_empty(&g->returned)) {
        item *it = MARTY__OWNER(g->returned.next, item, link);
        if (has_asker(it->of.reply)) {
            tell_asker(port, it->of.reply, it->message);
        }
        marty__mem_item_free(it);
    }
}
