/* SPDX-License-Identifier: Apache-2.0
 * The topology op: called on any thread beside the others, done by the writer in a round of its
 * own queue, so all SQL stays on one thread. Here are the op, and the verbs that make and compare.
 */
#include "topology.h"

#include "backend/capability.h"
#include "base/clock.h"
#include "base/limits.h"

#include <stdio.h>
#include <string.h>

/* ---- the caller */
static void queue_ask(marty_port *port, struct sq_ask *ask)
{
    ask->control.kind = SQ_TOPOLOGY;
    ask->control.ask = ask;
    marty__list_push(&port->controls, &ask->control.link);
    marty__sq_wake(port);
}

static void too_late(const marty_port *port, struct sq_ask *ask)
{
    ask->err = marty_error_set(&ask->why, MARTY_E_TIMEOUT,
                               "%s: the database did not answer in time", port->options.path);
}

/* Until it is answered; what the writer has not got by the deadline is taken back, else it ends
 * that. Under the lock. */
static void wait_for(marty_port *port, struct sq_ask *ask)
{
    while (!ask->done && marty__wait(&ask->answered, &port->lock, ask->until_ns)) {
        continue;
    }
    if (!ask->done && !ask->began) {
        marty__list_remove(&ask->control.link);
        ask->done = true;
        too_late(port, ask);
    }
    while (!ask->done) {
        (void)marty__wait(&ask->answered, &port->lock, MARTY__NEVER);
    }
}

static marty_err give_answer(struct sq_ask *ask, marty_message **ret_answer, marty_error *why)
{
    marty_err err = ask->err;
    if (err) {
        marty_error_set(why, err, "%s", ask->why.text);
    } else if (ask->json.failed) {
        err = marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for the answer");
    } else {
        marty_message answer = {.type = "marty.topology", .data = {ask->json.data, ask->json.size}};
        err = marty_message_new(ret_answer, &answer, NULL, why);
    }
    marty__buffer_free(&ask->json);
    return err;
}

marty_err marty__sq_topology(marty_port *port, const char *verb, const marty_want *what,
                             int64_t deadline_ns, marty_message **ret_answer, marty_error *why)
{
    const marty_env *env = port->sink->env;
    struct sq_ask ask = {.verb = verb, .want = what};
    marty_err err =
        what->channel.name ? marty__sq_channel_check(port, &what->channel, why) : MARTY_OK;
    if (err || !marty__cond_init(&ask.answered)) {
        return err ? err : marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to ask");
    }
    int64_t left_ns =
        deadline_ns == MARTY__NEVER ? MARTY__NEVER : deadline_ns - env->monotonic_ns(env->user);
    ask.until_ns = left_ns == MARTY__NEVER ? MARTY__NEVER : marty__monotonic_ns() + left_ns;
    marty__lock(&port->lock);
    if (port->up) {
        queue_ask(port, &ask);
        wait_for(port, &ask);
    } else {
        ask.err = marty_error_set(&ask.why, MARTY_E_UNAVAILABLE, "%s: it is not open at the moment",
                                  port->options.path);
    }
    marty__unlock(&port->lock);
    marty__cond_free(&ask.answered);
    return give_answer(&ask, ret_answer, why);
}

/* ---- the writer */
static void end(marty_port *port, struct sq_ask *ask)
{
    marty__lock(&port->lock);
    ask->done = true;
    marty__wake_all(&ask->answered);
    marty__unlock(&port->lock);
}

void marty__sq_topology_answer(marty_port *port, struct sq_ask *ask, marty_err err,
                               const char *text)
{
    if (err) {
        ask->err = marty_error_set(&ask->why, err, "%s", text);
    }
    end(port, ask);
}

void marty__sq_topology_begin(struct sq_ask *ask)
{
    ask->began = true;
}

void marty__sq_topology_expire(marty_port *port, struct sq_ask *ask)
{
    if (marty__monotonic_ns() >= ask->until_ns) {
        marty__list_remove(&ask->control.link);
        too_late(port, ask);
        end(port, ask);
    }
}

const char *marty__sq_short_name(const marty_port *port, const char *name)
{
    size_t prefix = strlen(port->options.prefix);
    return strncmp(name, port->options.prefix, prefix) == 0 ? name + prefix : name;
}

int marty__sq_members(marty_port *port, sq_op op, int64_t id, int64_t *ret_count)
{
    int code;
    *ret_count = 0;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, op, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(id));
    while (!code && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        code = SQLITE_OK;
        *ret_count += marty__sq_shared_alive(&port->shared, sqlite3_column_int(rows, 1),
                                             (uint64_t)sqlite3_column_int64(rows, 0));
    }
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

int marty__sq_ask_channel(marty_port *port, struct sq_ask *ask, sq_channel *ret_channel,
                          char name[300], bool *ret_found)
{
    const marty_channel *asked = &ask->want->channel;
    (void)snprintf(name, 300, "%s%s", asked->native ? "" : port->options.prefix,
                   asked->name ? asked->name : "");
    *ret_channel = (sq_channel){.name = name, .bit = marty__sq_news_bit(name)};
    int code = marty__sq_channel_find(port, ret_channel, ret_found);
    if (!code && !*ret_found) {
        ask->err = marty_error_set(&ask->why, MARTY_E_NOT_FOUND, "there is no channel %s in %s",
                                   asked->name ? asked->name : "", port->options.path);
    }
    if (!code && *ret_found && marty__sq_kind_keeps(ret_channel->kind)) {
        code = marty__sq_log_read_channel(port, ret_channel);
    }
    return code;
}

/* ---- ensure, check */
static void differs(struct sq_ask *ask, const char *field, const char *wanted, const char *found)
{
    if (!ask->err) {
        ask->err = marty_error_set(&ask->why, MARTY_E_EXISTS,
                                   "channel %s: %s: %s is wanted, %s is there; nothing was changed",
                                   ask->want->channel.name, field, wanted, found);
    }
}

static void differs_number(struct sq_ask *ask, const char *field, int64_t wanted, int64_t found)
{
    char want[32], have[32];
    (void)snprintf(want, sizeof want, "%lld", (long long)wanted);
    (void)snprintf(have, sizeof have, "%lld", (long long)found);
    if (wanted != found) {
        differs(ask, field, want, have);
    }
}

static void compare(const marty_port *port, struct sq_ask *ask, const sq_channel *found)
{
    const marty_channel *want = &ask->want->channel;
    bool ordered = marty__sq_channel_ordered(want->kind, want->order);
    bool logged = want->kind == MARTY_KIND_TOPIC || want->kind == MARTY_KIND_STREAM;
    if (want->kind && want->kind != found->kind) {
        differs(ask, "kind", marty__kind_name(want->kind), marty__kind_name(found->kind));
    }
    if (want->order != MARTY_ORDER_DEFAULT && marty__sq_kind_keeps(found->kind) &&
        ordered != found->ordered) {
        differs(ask, "order", ordered ? "key" : "none", found->ordered ? "key" : "none");
    }
    if (logged && port->options.age_given) {
        differs_number(ask, "retention (seconds)", port->options.age_us / 1000000,
                       found->age_us / 1000000);
    }
    if (logged && port->options.bytes_max) {
        differs_number(ask, "retention (bytes)", port->options.bytes_max, found->bytes_max);
    }
}

static int ensure_group(marty_port *port, struct sq_ask *ask, sq_channel *channel, bool make)
{
    int64_t grp = 0;
    const char *group = ask->want->channel.group;
    bool grouped = channel->kind == MARTY_KIND_TOPIC || channel->kind == MARTY_KIND_STREAM;
    if (!group || !grouped || ask->err) {
        return SQLITE_OK;
    }
    int code = marty__sq_group_find(port, channel, group, &grp);
    if (code || grp) {
        return code;
    }
    if (!make) {
        ask->err = marty_error_set(&ask->why, MARTY_E_NOT_FOUND, "channel %s has no group %s",
                                   ask->want->channel.name, group);
        return SQLITE_OK;
    }
    return marty__sq_group_make(port, channel, group, &ask->want->start);
}

static int ensure(marty_port *port, struct sq_ask *ask, bool make)
{
    char name[300];
    sq_channel channel;
    bool found = false;
    const marty_channel *want = &ask->want->channel;
    int code = marty__sq_ask_channel(port, ask, &channel, name, &found);
    if (code || (!found && !make)) {
        return code;
    }
    if (!found) {
        ask->err = MARTY_OK;
        channel.kind = want->kind;
        code = marty__sq_channel_make(port, &channel, want->order);
    } else {
        compare(port, ask, &channel);
    }
    code = code ? code : ensure_group(port, ask, &channel, make);
    marty__buffer_text(&ask->json, "{\"channel\":");
    marty__buffer_json(&ask->json, want->name, strlen(want->name));
    marty__buffer_format(&ask->json, ",\"kind\":\"%s\",\"created\":%s,\"differences\":[]}",
                         marty__kind_name(channel.kind), found ? "false" : "true");
    return code;
}

int marty__sq_topology_apply(marty_port *port, struct sq_ask *ask)
{
    ask->err = MARTY_OK;
    marty__buffer_clear(&ask->json);
    if (strcmp(ask->verb, "ensure") == 0 || strcmp(ask->verb, "check") == 0) {
        return ensure(port, ask, ask->verb[0] == 'e');
    }
    if (strcmp(ask->verb, "inspect") == 0) {
        return marty__sq_ask_inspect(port, ask);
    }
    if (strcmp(ask->verb, "list") == 0) {
        return marty__sq_ask_list(port, ask);
    }
    if (strcmp(ask->verb, "browse") == 0) {
        return marty__sq_ask_browse(port, ask);
    }
    if (strcmp(ask->verb, "erase") == 0) {
        return marty__sq_ask_erase(port, ask);
    }
    if (strcmp(ask->verb, "remove") == 0) {
        return marty__sq_ask_remove(port, ask);
    }
    ask->err =
        marty_error_set(&ask->why, MARTY_E_UNSUPPORTED, "sqlite has no verb %.32s", ask->verb);
    return SQLITE_OK;
}
