/* SPDX-License-Identifier: Apache-2.0
 * Removing channels and groups, and telling subscriptions whose group is gone: every port compares
 * a count of removals at the start of its rounds. The writer's thread. */
#include "topology.h"

#include <string.h>

static int log_gone(marty_port *port, int64_t log)
{
    int64_t first = marty__sq_first_of(log);
    int code = marty__sq_do(&port->db, SQ_MESSAGE_REMOVE_RANGE, marty__sq_table_of(first),
                            SQ_I(first, marty__sq_first_of(log + 1) - 1));
    code = code ? code
                : marty__sq_do(&port->db, SQ_RETRY_REMOVE_LOG, 0,
                               SQ_I(first, marty__sq_first_of(log + 1)));
    code = code ? code : marty__sq_do(&port->db, SQ_CURSOR_REMOVE_LOG, 0, SQ_I(log));
    return code ? code : marty__sq_do(&port->db, SQ_LOG_REMOVE, 0, SQ_I(log));
}

static int logs_gone(marty_port *port, int64_t channel)
{
    int code = SQLITE_OK;
    for (bool found = true; found && !code;) {
        int64_t log = 0;
        code = marty__sq_get(&port->db, SQ_LOG_OF_CHANNEL, SQ_I(channel), &log, 1, &found);
        code = code || !found ? code : log_gone(port, log);
    }
    return code;
}

/* Those of a pattern stay: they have other channels. */
static int groups_gone(marty_port *port, const sq_channel *channel)
{
    int code = SQLITE_OK;
    for (bool found = true; found && !code;) {
        int64_t grp = 0;
        code = marty__sq_group_scoped(port, channel->name, &grp);
        found = grp != 0;
        code = code || !found ? code : marty__sq_group_remove(port, grp);
    }
    return code;
}

static int remove_channel(marty_port *port, const sq_channel *channel)
{
    static const sq_op ops[] = {SQ_POST_REMOVE_CHANNEL, SQ_LATER_REMOVE_CHANNEL, SQ_CHANNEL_REMOVE};
    int code = marty__sq_logs_save(port);
    code = code ? code : groups_gone(port, channel);
    code = code ? code : logs_gone(port, channel->id);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0] && !code; i++) {
        code = marty__sq_do(&port->db, ops[i], 0, SQ_I(channel->id));
    }
    return code;
}

static int refuse_live(marty_port *port, struct sq_ask *ask, sq_op op, int64_t id)
{
    int64_t members = 0;
    int code = ask->want->reset ? SQLITE_OK : marty__sq_members(port, op, id, &members);
    if (!code && members) {
        ask->err = marty_error_set(&ask->why, MARTY_E_STATE,
                                   "%s has %lld live subscriptions; stop them, or remove by force",
                                   ask->want->channel.name, (long long)members);
    }
    return code;
}

/* Everyone looks what is still there before the next round, and we have one at once: what a port
 * changes itself rings no bell of its own, and does not move its data version. */
static int note_removal(marty_port *port)
{
    int code = marty__sq_do(&port->db, SQ_STATE_REMOVED, 0, NULL, 0);
    code = code ? code : marty__sq_topology_changed(port);
    marty__sq_logs_forget(port);
    memset(&port->touched.news, 0xff, sizeof port->touched.news);
    port->touched.any_news = port->touched.removed = true;
    return code;
}

static int remove_group(marty_port *port, struct sq_ask *ask, const sq_channel *channel)
{
    int64_t grp = 0;
    const char *group = ask->want->channel.group;
    int code = marty__sq_group_find(port, channel, group, &grp);
    if (!code && !grp) {
        ask->err = marty_error_set(&ask->why, MARTY_E_NOT_FOUND, "there is no group %s on %s",
                                   group, ask->want->channel.name);
    }
    code = code || ask->err ? code : refuse_live(port, ask, SQ_SUBSCRIBER_OF_GROUP, grp);
    code = code || ask->err ? code : marty__sq_group_remove(port, grp);
    return code || ask->err ? code : note_removal(port);
}

int marty__sq_ask_remove(marty_port *port, struct sq_ask *ask)
{
    char name[300];
    sq_channel channel;
    bool found = false;
    const char *group = ask->want->channel.group,
               *removed = group ? group : ask->want->channel.name;
    int code = marty__sq_ask_channel(port, ask, &channel, name, &found);
    if (code || !found) {
        return code;
    }
    bool grouped = channel.kind == MARTY_KIND_TOPIC || channel.kind == MARTY_KIND_STREAM;
    if (group && grouped) {
        code = remove_group(port, ask, &channel);
    } else {
        code = refuse_live(port, ask, SQ_SUBSCRIBER_OF_CHANNEL, channel.id);
        code = code || ask->err ? code : remove_channel(port, &channel);
        code = code || ask->err ? code : note_removal(port);
    }
    marty__buffer_text(&ask->json, "{\"removed\":[");
    marty__buffer_json(&ask->json, removed, strlen(removed));
    marty__buffer_text(&ask->json, "]}");
    return code;
}

/* ---- whose group or channel is gone */
static int check_sub(marty_port *port, const sq_sub *sub, bool *ret_there)
{
    int64_t one = 0;
    *ret_there = true;
    if (sub->grp) {
        return marty__sq_get(&port->db, SQ_GROUP_EXISTS, SQ_I(sub->grp), &one, 1, ret_there);
    }
    return sub->channel_id ? marty__sq_get(&port->db, SQ_CHANNEL_EXISTS, SQ_I(sub->channel_id),
                                           &one, 1, ret_there)
                           : SQLITE_OK;
}

int marty__sq_check_subs(marty_port *port, marty__link *head)
{
    int code = SQLITE_OK;
    for (marty__link *at = head->next; at != head && !code; at = at->next) {
        sq_sub *sub = MARTY__OWNER(at, sq_sub, bucket);
        bool there = true;
        code = sub->ready && !sub->gone ? check_sub(port, sub, &there) : SQLITE_OK;
        sub->orphan = sub->orphan || !there;
        port->orphans = port->orphans || !there;
    }
    return code;
}

/* A control for it is queued: it will be refused, or unsubscribed. Under the lock. */
static bool is_asked(const marty_port *port, const sq_sub *sub)
{
    for (const marty__link *at = port->controls.next; at != &port->controls; at = at->next) {
        if (MARTY__OWNER(at, const sq_control, link)->sub == sub) {
            return true;
        }
    }
    return false;
}

static void expel(marty_port *port, marty__link *head)
{
    for (marty__link *at = head->next, *next; at != head; at = next) {
        sq_sub *sub = MARTY__OWNER(at, sq_sub, bucket);
        next = at->next;
        if (!sub->orphan || sub->gone) {
            continue;
        }
        uint64_t number = sub->number;
        marty__lock(&port->lock);
        bool listed = marty__map_get_u64(&port->subs, number) == sub && !is_asked(port, sub);
        if (listed) {
            marty__map_take_u64(&port->subs, number);
        }
        marty__unlock(&port->lock);
        if (!listed) {
            port->orphans = true;
            continue;
        }
        marty__sq_claims_drop(port, sub);
        marty__lock(&port->lock);
        marty__sq_sub_free(port, sub);
        marty__unlock(&port->lock);
        port->sink->subscribed(port->sink, number, MARTY_E_UNAVAILABLE,
                               "its channel or group was removed");
    }
}

void marty__sq_expel_orphans(marty_port *port)
{
    if (!port->orphans) {
        return;
    }
    port->orphans = false;
    expel(port, &port->wild);
    for (unsigned bit = 0; bit < SQ_NEWS_BITS; bit++) {
        expel(port, &port->buckets[bit]);
    }
}
