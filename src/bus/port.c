/* SPDX-License-Identifier: Apache-2.0
 * One port: an adapter and what is queued for it. Its ops are run one at a time by whoever comes
 * first (the runner), with no lock held; others leave their work in the queues and go on. So a
 * batch forms by itself while an op runs. A runner is let go after some rounds, as there may always
 * be more; then the housekeeping thread is the runner. */
#include "internal.h"

#include "backend/registry.h"
#include "base/alloc.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>

bool marty__port_usable_held(const marty__port *port)
{
    return (port->state == MARTY_STATE_UP || port->state == MARTY_STATE_BLOCKED) && !port->closed;
}

bool marty__port_usable(marty__port *port)
{
    marty__lock(&port->lock);
    bool is = marty__port_usable_held(port);
    marty__unlock(&port->lock);
    return is;
}

marty_err marty__port_check(marty__port *port, marty_error *why)
{
    marty__lock(&port->lock);
    marty_err err =
        marty__port_usable_held(port)
            ? MARTY_OK
            : marty_error_set(why, MARTY_E_UNAVAILABLE, "%s: %s", port->name, port->text);
    marty__unlock(&port->lock);
    return err;
}

/* With port->lock held. */
static bool has_work(const marty__port *port)
{
    if (!marty__list_empty(&port->commands) || !marty__list_empty(&port->settles) ||
        !marty__list_empty(&port->grants) || !marty__list_empty(&port->extends)) {
        return true;
    }
    if (port->reply_refused && port->reply && !marty__list_empty(&port->asks)) {
        return true;
    }
    return !marty__list_empty(&port->posts) && !port->full && marty__port_usable_held(port);
}

/* These are run with the lock held and give it up during each op. */
static void run_grants(marty__port *port)
{
    marty__link *link;
    while ((link = marty__list_pop(&port->grants)) != NULL) {
        marty__consumer *consumer = MARTY__OWNER(link, marty__consumer, grant_link);
        uint32_t grant = consumer->grant;
        bool take_back = consumer->take_back;
        consumer->grant = 0;
        consumer->take_back = false;
        bool live =
            port->adapter && marty__port_usable_held(port) && consumer->asked && !consumer->gone;
        marty__unlock(&port->lock);
        if (live && take_back) {
            port->backend->grant(port->adapter, consumer->number, 0);
        }
        if (live && grant) {
            port->backend->grant(port->adapter, consumer->number, grant);
        }
        marty__consumer_unref(consumer);
        marty__lock(&port->lock);
    }
}

static void run_commands(marty__port *port)
{
    marty__link *link;
    while ((link = marty__list_pop(&port->commands)) != NULL) {
        marty__command *command = MARTY__OWNER(link, marty__command, link);
        marty__unlock(&port->lock);
        command->run(port, command);
        marty__lock(&port->lock);
    }
}

static void run_unlocked(marty__port *port, void (*run)(marty__port *port))
{
    marty__unlock(&port->lock);
    run(port);
    marty__lock(&port->lock);
}

/* One round of what is there, each queue only if it has something. */
static void run_round(marty__port *port)
{
    if (!marty__list_empty(&port->settles)) {
        run_unlocked(port, marty__settles_run);
    }
    if (!marty__list_empty(&port->extends)) {
        run_unlocked(port, marty__extends_run);
    }
    run_commands(port);
    run_grants(port);
    if (!marty__list_empty(&port->posts)) {
        marty__posts_run(port);
    }
    if (port->reply_refused && !marty__list_empty(&port->asks)) {
        run_unlocked(port, marty__asks_run);
    }
}

enum { ROUNDS = 64, ROUNDS_OF_PUBLISHERS = 4096, GAP_NS = 200000 };

MARTY__LOCAL unsigned marty__in_sink;
static MARTY__LOCAL const marty__port *own; /* whose ops this thread runs */

/* With the lock held; gives it up: on the housekeeping thread, unless whoever runs the ops looks
 * again anyway. */
static void kick_after_held(marty__port *port, int64_t wait_ns)
{
    bool needed = own != port && marty__port_waits(port);
    marty__unlock(&port->lock);
    if (needed) {
        (void)marty__alarm_set_earlier(port->bus, &port->kick_alarm,
                                       marty__bus_now(port->bus) + wait_ns);
    }
}

/* With the lock held: the rounds that there are, or so many that whoever runs them has done his
 * share of the work of others. True: there is more. Once closed, somebody waits for all of it. */
static bool run_rounds(marty__port *port, int most)
{
    const marty__port *before = own;
    port->busy = true;
    own = port;
    for (int round = 0; has_work(port) && (round < most || port->closed); round++) {
        run_round(port);
    }
    own = before;
    port->busy = false;
    marty__wake_all(&port->changed);
    return has_work(port);
}

/* What is left is the housekeeping thread's after a while, in which somebody else may come. */
static void run_share_held(marty__port *port, int most, int64_t wait_ns)
{
    if (marty__in_sink) { /* an adapter is calling us, perhaps under its locks: no op of it from
                             here */
        kick_after_held(port, 0);
    } else if (!port->busy && run_rounds(port, most)) {
        kick_after_held(port, wait_ns);
    } else {
        marty__unlock(&port->lock);
    }
}

void marty__port_kick_held(marty__port *port)
{
    run_share_held(port, ROUNDS_OF_PUBLISHERS, 0);
}

void marty__port_kick(marty__port *port)
{
    marty__lock(&port->lock);
    run_share_held(port, ROUNDS, 0);
}

/* Whoever publishes has what he publishes in his cache, so it is he who should run it. */
static void kick_rang(marty__alarm *alarm)
{
    marty__port *port = MARTY__OWNER(alarm, marty__port, kick_alarm);
    marty__lock(&port->lock);
    run_share_held(port, ROUNDS, GAP_NS);
}

bool marty__port_waits(const marty__port *port)
{
    return !port->busy && has_work(port);
}

void marty__port_kick_later(marty__port *port)
{
    if (own != port) { /* else we look again after this one */
        marty__lock(&port->lock);
        kick_after_held(port, 0);
    }
}

bool marty__port_command(marty__port *port, marty__command *command)
{
    marty__lock(&port->lock);
    bool added = !command->link.next;
    if (added) {
        marty__list_push(&port->commands, &command->link);
    }
    marty__unlock(&port->lock);
    return added;
}

/* ---- connecting */
static void run_connect(marty__port *port, marty__command *command)
{
    (void)command;
    marty__lock(&port->lock);
    bool go = !port->closing && port->state == MARTY_STATE_DOWN && !port->connecting;
    port->connecting = port->connecting || go;
    marty__unlock(&port->lock);
    if (!go) {
        return;
    }
    marty_error why = {0};
    marty_err err = port->backend->connect(port->adapter, &why);
    if (err) {
        port->sink.state(&port->sink, MARTY_STATE_DOWN, NULL, err, why.text);
    }
}

void marty__port_connect(marty__port *port)
{
    (void)marty__port_command(port, &port->connect_command);
    marty__port_kick(port);
}

static void reconnect_rang(marty__alarm *alarm)
{
    marty__port *port = MARTY__OWNER(alarm, marty__port, reconnect_alarm);
    marty__lock(&port->lock);
    bool ever_up = port->ever_up;
    marty__unlock(&port->lock);
    if (port->failures || ever_up || atomic_load(&port->bus->phase) == MARTY__OPEN) {
        marty__port_connect(port); /* else it was closed before it ever began */
    }
}

/** Full jitter under an exponential ceiling, so that a thousand clients of a broker that restarts
 * do not come at once. */
static int64_t backoff_ns(marty__port *port, uint32_t failures)
{
    uint32_t doublings = failures < 7 ? failures : 7;
    uint64_t ceiling_ms = (uint64_t)MARTY__RECONNECT_FIRST_MS << doublings;
    ceiling_ms = ceiling_ms > MARTY__RECONNECT_MAX_MS ? MARTY__RECONNECT_MAX_MS : ceiling_ms;
    uint32_t chance = 0;
    port->bus->env.random(port->bus->env.user, &chance, sizeof chance);
    uint64_t ms = ceiling_ms / 2 + chance % (ceiling_ms / 2 + 1);
    return (int64_t)ms * MARTY__NS_PER_MS;
}

void marty__port_retry(marty__port *port)
{
    marty__lock(&port->lock);
    uint32_t relapses = port->relapses;
    marty__unlock(&port->lock);
    uint32_t failures = atomic_load(&port->failures) + (relapses > 1 ? relapses - 1 : 0);
    int64_t wait_ns = failures == 0 ? 0 : backoff_ns(port, failures);
    (void)atomic_fetch_add(&port->failures, 1);
    (void)marty__alarm_set(port->bus, &port->reconnect_alarm, marty__bus_now(port->bus) + wait_ns);
}

/* ---- room */
static void room_rang(marty__alarm *alarm)
{
    marty__port *port = MARTY__OWNER(alarm, marty__port, room_alarm);
    marty__lock(&port->lock);
    bool room = port->inflight < port->bus->inflight_max &&
                port->inflight_bytes < port->bus->inflight_bytes_max;
    bool tell = port->room_wanted && room && !port->closing;
    bool again = port->room_wanted && !port->closing;
    marty__unlock(&port->lock);
    if (tell) {
        marty__event(port->bus, MARTY_STATE_ROOM, port, NULL, MARTY_OK,
                     "there is room to publish again");
    }
    if (again) {
        (void)marty__alarm_set(port->bus, &port->room_alarm,
                               marty__bus_now(port->bus) + 1000 * (int64_t)MARTY__NS_PER_MS);
    }
}

/* ---- opening and closing */
static void run_close(marty__port *port, marty__command *command)
{
    (void)command;
    marty__lock(&port->lock);
    bool closed = port->closed;
    int64_t deadline_ns = port->close_deadline_ns;
    marty__unlock(&port->lock);
    if (!closed) {
        port->backend->close(port->adapter, deadline_ns);
    }
}

void marty__port_close(marty__port *port, int64_t deadline_ns)
{
    marty__lock(&port->lock);
    bool first = !port->closing;
    port->closing = true;
    port->close_deadline_ns = deadline_ns;
    marty__unlock(&port->lock);
    (void)marty__alarm_cancel(port->bus, &port->reconnect_alarm);
    (void)marty__alarm_cancel(port->bus, &port->room_alarm);
    if (first && port->adapter) {
        (void)marty__port_command(port, &port->close_command);
        marty__port_kick(port);
    }
}

marty_err marty__port_open(marty_bus *bus, size_t index, marty_error *why)
{
    marty__port *port = &bus->ports[index];
    const marty__config_backend *configured = &bus->config->backends[index];
    port->bus = bus;
    port->index = index;
    port->name = configured->name;
    port->state = MARTY_STATE_DOWN;
    port->next_number = 1;
    port->reason = MARTY_E_UNAVAILABLE;
    marty__list_init(&port->posts);
    marty__list_init(&port->asks);
    marty__list_init(&port->settles);
    marty__list_init(&port->extends);
    marty__list_init(&port->grants);
    marty__list_init(&port->commands);
    port->reconnect_alarm.ring = reconnect_rang;
    port->kick_alarm.ring = kick_rang;
    port->room_alarm.ring = room_rang;
    port->connect_command.run = run_connect;
    port->close_command.run = run_close;
    port->lent_task.run = marty__lent_run;
    if (!marty__mutex_init(&port->lock) || !marty__cond_init(&port->changed)) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no more locks to be had from the system");
    }
    marty_error inner = {0};
    marty_url *url = NULL;
    marty_err err = marty_url_parse(&url, configured->url, why);
    if (err) {
        return err;
    }
    port->url = marty__strdup(url->redacted);
    port->backend = marty__backend_find(url->scheme, &inner);
    marty_url_free(url);
    (void)snprintf(port->text, sizeof port->text, "%s: not connected yet",
                   port->url ? port->url : port->name);
    if (!port->url || !port->backend) {
        return port->url ? marty_error_set(why, inner.code, "%s", inner.text)
                         : marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    atomic_store(&port->granted, port->backend->claims);
    marty__sink_init(port);
    err = port->backend->open(&port->adapter, configured->url, &port->sink, &inner);
    return err ? marty_error_set(why, err, "%s", inner.text) : MARTY_OK;
}

/* ---- beside the ops: only while there is an adapter, which is kept for it */
bool marty__port_enter_held(marty__port *port)
{
    bool up = marty__port_usable_held(port);
    port->asking += up ? 1 : 0;
    return up;
}

void marty__port_leave_held(marty__port *port)
{
    port->asking--;
    if (port->closed) {
        marty__wake_all(&port->changed);
    }
}

/* ---- leading. A thread that runs a handler does not: what it is told would wait for the end of
 * the handler's turn. */
static bool may_lead(marty__port *port)
{
    if (!port->backend->lead || port->bus->driven || port->bus->simulated || marty__in_sink ||
        marty__pool_inside_any()) {
        return false;
    }
    marty__lock(&port->lock);
    bool up = marty__port_enter_held(port);
    marty__unlock(&port->lock);
    return up;
}

static void end_asking(marty__port *port)
{
    marty__lock(&port->lock);
    marty__port_leave_held(port);
    marty__unlock(&port->lock);
}

bool marty__port_lead(marty__port *port, int64_t until_ns)
{
    bool may = may_lead(port), leads = may && port->backend->lead(port->adapter, until_ns);
    if (may && !leads) {
        end_asking(port);
    }
    return leads;
}

void marty__port_serve(marty__port *port)
{
    port->backend->serve(port->adapter);
    end_asking(port);
}

/* ---- asking about topology: the same */
static marty_err begin_asking(marty__port *port, const char *verb, marty_error *why)
{
    if (!port->backend->topology) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED, "%s cannot %s channels", port->name, verb);
    }
    marty__lock(&port->lock);
    bool up = marty__port_enter_held(port);
    marty_err err = up ? MARTY_OK
                       : marty_error_set(why, MARTY_E_UNAVAILABLE, "%s: %s", port->name,
                                         port->closed ? "closed" : port->text);
    marty__unlock(&port->lock);
    return err;
}

marty_err marty__port_topology(marty__port *port, const char *verb, const marty_want *what,
                               int64_t deadline_ns, marty_message **ret_answer, marty_error *why)
{
    marty_error inner = {0};
    marty_err err = begin_asking(port, verb, why);
    if (err) {
        return err;
    }
    marty__pool_block(port->bus);
    err = port->backend->topology(port->adapter, verb, what, deadline_ns, ret_answer, &inner);
    marty__pool_unblock(port->bus);
    end_asking(port);
    return err ? marty_error_set(why, err, "%s: %s", port->name,
                                 inner.text[0] ? inner.text : marty_err_describe(err)->text)
               : MARTY_OK;
}

/* Nobody is inside it any more, whatever threads of the program still do; then it goes. What is
 * queued for it, and what comes later, is answered here. */
static void free_adapter(marty__port *port)
{
    marty__lock(&port->lock);
    port->closed = true;
    while (port->busy || port->asking) {
        (void)marty__wait(&port->changed, &port->lock, MARTY__NEVER);
    }
    port->busy = true;
    marty__unlock(&port->lock);
    port->backend->free(port->adapter);
    marty__lock(&port->lock);
    port->adapter = NULL;
    port->busy = false;
    marty__unlock(&port->lock);
    marty__port_kick(port);
}

/* One of those left, counted; NULL = none is. */
static marty__consumer *next_left(marty__port *port, size_t *at)
{
    marty__lock(&port->lock);
    marty__consumer *consumer = marty__map_next(&port->consumers, at);
    if (!consumer && port->consumers.count) { /* who joined just now has moved them */
        *at = 0;
        consumer = marty__map_next(&port->consumers, at);
    }
    if (consumer) {
        (void)marty__consumer_ref(consumer);
    }
    marty__unlock(&port->lock);
    return consumer;
}

/* Threads of the program may be about to subscribe or to ask still: they find the bus closed. */
void marty__port_shut(marty__port *port)
{
    marty__consumer *consumer;
    if (port->adapter) {
        free_adapter(port);
    }
    for (size_t at = 0; (consumer = next_left(port, &at)) != NULL;) {
        marty__consumer_forget(consumer);
        marty__consumer_unref(consumer);
    }
    marty__lock(&port->lock);
    consumer = port->reply;
    port->reply = NULL;
    marty__unlock(&port->lock);
    if (consumer) {
        marty__consumer_unref(consumer);
    }
}

void marty__port_free(marty__port *port)
{
    marty_free(port->sent);
    marty_free(port->url);
    marty__port_free_granted(port);
    marty__map_free(&port->consumers);
    if (port->bus) {
        marty__cond_free(&port->changed);
        marty__mutex_free(&port->lock);
    }
}
