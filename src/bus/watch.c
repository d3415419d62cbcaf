/* SPDX-License-Identifier: Apache-2.0
 * The watchdog: a consumer that has credit and a backlog at the broker, but gets nothing, has
 * stopped silently. It is told (state STALLED) and subscribed anew. The broker is asked what it
 * could be given (due, of the lag) only after silence, and less often the longer it lasts. */
#include "internal.h"

#include <jansson.h>
#include <string.h>

enum { QUIET_MAX_MS = 60000, ASK_MS = 2000 };

static bool worth_watching(const marty__consumer *consumer)
{
    return marty__consumer_keeps(consumer) && consumer->group &&
           consumer->port->backend->topology && !consumer->bus->simulated;
}

static void watch_in(marty__consumer *consumer, int64_t ms)
{
    marty__consumer_arm(consumer, &consumer->watch_alarm,
                        marty__deadline_ns(marty__bus_now(consumer->bus), ms));
}

void marty__watch_start(marty__consumer *consumer)
{
    if (worth_watching(consumer)) {
        marty__lock(&consumer->lock);
        consumer->watch_rounds = 0;
        marty__unlock(&consumer->lock);
        watch_in(consumer, MARTY__QUIET_MS);
    }
}

/* Credit is out, nothing is unsettled, and nothing has come for a while. */
static bool silent(marty__consumer *consumer)
{
    int64_t quiet_ns = marty__bus_now(consumer->bus) - consumer->last_delivery_ns;
    return consumer->subscribed && !consumer->paused && !consumer->gone &&
           atomic_load(&consumer->bus->started) && consumer->unsettled_count == 0 &&
           quiet_ns >= MARTY__QUIET_MS * (int64_t)MARTY__NS_PER_MS;
}

void marty__watch_rang(marty__alarm *alarm)
{
    marty__consumer *consumer = MARTY__OWNER(alarm, marty__consumer, watch_alarm);
    marty__lock(&consumer->lock);
    bool look = silent(consumer);
    bool ends = consumer->gone || atomic_load(&consumer->bus->phase) != MARTY__OPEN;
    bool asks = look && !ends && !consumer->watching;
    consumer->watching = consumer->watching || asks;
    consumer->suspected = look && consumer->suspected;
    consumer->watch_rounds = look ? consumer->watch_rounds + 1 : 0;
    int64_t next_ms = (int64_t)MARTY__QUIET_MS
                      << (consumer->watch_rounds < 5 ? consumer->watch_rounds : 5);
    marty__unlock(&consumer->lock);
    if (!ends) {
        watch_in(consumer, next_ms > QUIET_MAX_MS ? QUIET_MAX_MS : next_ms);
    }
    if (asks) {
        (void)marty__consumer_ref(consumer);
        if (consumer->bus->driven) {
            marty__watch_look(&consumer->watch_task);
        } else {
            marty__pool_add(consumer->bus, &consumer->watch_task);
        }
    }
    marty__consumer_unref(consumer);
}

static bool lag_in(const char *text, size_t size, const char *group)
{
    json_t *root = json_loadb(text, size, 0, NULL);
    bool lag = false;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(root, "groups"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "group"));
        if (name && strcmp(name, group) == 0) {
            json_t *due = json_object_get(row, "due"); /* a backend that cannot say has lag alone */
            lag = json_integer_value(due ? due : json_object_get(row, "lag")) > 0;
        }
    }
    json_decref(root);
    return lag;
}

static bool has_lag(marty__consumer *consumer)
{
    marty_want want = {.channel = {.kind = consumer->kind,
                                   .name = consumer->channel,
                                   .group = consumer->group,
                                   .native = consumer->native,
                                   .shards = consumer->shards}};
    marty_message *answer = NULL;
    int64_t deadline = marty__deadline_ns(marty__bus_now(consumer->bus), ASK_MS);
    marty_err err = marty__port_topology(consumer->port, "inspect", &want, deadline, &answer, NULL);
    bool lag = !err && lag_in(answer->data.data, answer->data.size, consumer->group);
    marty_message_unref(answer);
    return lag;
}

void marty__watch_look(marty__task *task)
{
    marty__consumer *consumer = MARTY__OWNER(task, marty__consumer, watch_task);
    bool lag = atomic_load(&consumer->bus->phase) == MARTY__OPEN && has_lag(consumer);
    marty__lock(&consumer->lock);
    bool stalled = lag && silent(consumer) && consumer->suspected;
    consumer->suspected = lag && !stalled;
    consumer->watching = false;
    marty__unlock(&consumer->lock);
    if (lag) {
        watch_in(consumer, MARTY__QUIET_MS); /* look again soon */
    }
    if (stalled) {
        marty__event(consumer->bus, MARTY_STATE_STALLED, consumer->port, consumer, MARTY_E_TIMEOUT,
                     "messages wait at the broker and none is delivered; subscribing again");
        marty__consumer_restart(consumer);
    }
    marty__consumer_unref(consumer);
}

void marty__consumer_restart(marty__consumer *consumer)
{
    marty__lock(&consumer->lock);
    bool already = consumer->restarting; /* and it subscribes to what is wanted by then */
    consumer->restarting = true;
    marty__unlock(&consumer->lock);
    if (already) {
        return;
    }
    (void)marty__consumer_ref(consumer);
    if (!marty__port_command(consumer->port, &consumer->restart_command)) {
        marty__consumer_unref(consumer);
    }
    marty__port_kick(consumer->port);
}

void marty__watch_restart(marty__port *port, marty__command *command)
{
    marty__consumer *consumer = MARTY__OWNER(command, marty__consumer, restart_command);
    marty__lock(&consumer->lock);
    bool go = consumer->restarting && marty__port_usable(port); /* else the connection was lost */
    consumer->restarting = go;
    marty__unlock(&consumer->lock);
    if (go) {
        port->backend->unsubscribe(port->adapter, consumer->number);
    }
    marty__consumer_unref(consumer);
}
