/* SPDX-License-Identifier: Apache-2.0
 * Accepting calls that publish: all messages or none, within what may be in flight; then they are
 * queued at their ports, and the deadline of the call is set. It belongs to the call: what is still
 * queued then is not stored; what was sent gets a moment more for its answer, then it is in doubt.
 */
#include "call_parts.h"

#include "base/error.h"

enum { GRACE_MS = 1000 };

static bool has_room(const marty__port *port, size_t count, uint64_t bytes)
{
    return port->inflight + count <= port->bus->inflight_max &&
           port->inflight_bytes + bytes <= port->bus->inflight_bytes_max;
}

/* With port->lock held: room for so many, waited for if asked. */
static marty_err reserve(marty__call *call, marty__port *port, size_t count, uint64_t bytes,
                         bool wait)
{
    bool blocked = wait && !has_room(port, count, bytes);
    if (blocked) {
        marty__pool_block(port->bus);
    }
    while (wait && !has_room(port, count, bytes) && !port->closed &&
           marty__bus_wait(port->bus, &port->changed, &port->lock, call->deadline_ns)) {
    }
    if (blocked) {
        marty__pool_unblock(port->bus);
    }
    if (!has_room(port, count, bytes)) {
        port->room_wanted = true;
        return MARTY_E_FULL;
    }
    if (!marty__tokens_reserve(port, count)) {
        return MARTY_E_NO_MEMORY;
    }
    port->inflight += count;
    port->inflight_bytes += bytes;
    port->room_wanted = false;
    return MARTY_OK;
}

static marty_err say_refused(marty__port *port, marty_err err, marty_error *why)
{
    if (err == MARTY_E_FULL) {
        (void)marty__alarm_set_earlier(port->bus, &port->room_alarm,
                                       marty__bus_now(port->bus) +
                                           1000 * (int64_t)MARTY__NS_PER_MS);
        return marty_error_set(why, err,
                               "%s: %u messages or %llu bytes are published and not answered, the "
                               "limit; wait for state room, or raise inflight_max",
                               port->name, port->bus->inflight_max,
                               (unsigned long long)port->bus->inflight_bytes_max);
    }
    return err == MARTY_E_CLOSED ? marty_error_set(why, err, "the bus was closed meanwhile")
                                 : marty__error_code(why, err);
}

/* With port->lock held. */
static void unreserve(marty__port *port, size_t count, uint64_t bytes)
{
    port->inflight -= count;
    port->inflight_bytes -= bytes;
    marty__wake_all(&port->changed);
}

void marty__room_tell(marty__port *port)
{
    (void)marty__alarm_set_earlier(port->bus, &port->room_alarm, marty__bus_now(port->bus));
}

static size_t posts_of(const marty__call *call, const marty__port *port, uint64_t *ret_bytes)
{
    size_t count = 0;
    *ret_bytes = 0;
    for (size_t i = 0; i < call->way_count; i++) {
        const marty__way *way = &call->ways[i];
        if (way->port == port) {
            count += way->count;
            *ret_bytes += way->bytes;
        }
    }
    return count;
}

/* A call that could never be accepted. */
static marty_err check_size(const marty_bus *bus, size_t count, uint64_t bytes, marty_error *why)
{
    if (count > bus->inflight_max || bytes > bus->inflight_bytes_max) {
        return marty_error_set(
            why, MARTY_E_TOO_LARGE,
            "a batch of %zu messages, %llu bytes; at most %u and %llu may be in flight: raise "
            "inflight_max, inflight_bytes_max or send less at once",
            count, (unsigned long long)bytes, bus->inflight_max,
            (unsigned long long)bus->inflight_bytes_max);
    }
    return MARTY_OK;
}

/* With port->lock held. */
static void enqueue(marty__call *call, marty__port *port)
{
    marty__link *last = port->posts.before;
    for (size_t i = 0; i < call->way_count; i++) {
        const marty__way *way = &call->ways[i];
        marty__post *posts = &call->posts[way->first];
        if (way->port == port) {
            marty__tokens_take(port, posts, way->count);
            for (size_t k = 0; k < way->count; k++) {
                last->next = &posts[k].link;
                posts[k].link.before = last;
                last = &posts[k].link;
            }
        }
    }
    marty__list_end(&port->posts, last);
}

/* Its messages are about to be queued: whoever finds one of them finds the call. */
static void make_known(marty__call *call)
{
    marty__call_ref(call);
    (void)atomic_fetch_add(&call->bus->open_calls, 1);
}

static bool is_closed(const marty_bus *bus)
{
    return atomic_load(&bus->phase) == MARTY__CLOSED;
}

/* The usual case: all go to one port. Then one lock from the look for room to the op. */
static marty_err accept_at(marty__call *call, marty__port *port, uint64_t bytes, bool wait,
                           bool *ret_leads, marty_error *why)
{
    marty_err err = check_size(call->bus, call->count, bytes, why);
    if (err) {
        return err;
    }
    marty__lock(&port->lock);
    err = reserve(call, port, call->count, bytes, wait);
    if (!err && is_closed(call->bus)) { /* while it waited; nobody would answer */
        unreserve(port, call->count, bytes);
        err = MARTY_E_CLOSED;
    }
    if (err) {
        marty__unlock(&port->lock);
        return say_refused(port, err, why);
    }
    make_known(call);
    enqueue(call, port);
    if (call->waited && port->backend->lead) { /* asked without a lock */
        marty__unlock(&port->lock);
        *ret_leads = marty__port_lead(port, call->deadline_ns);
        marty__port_kick(port);
    } else {
        marty__port_kick_held(port);
    }
    return MARTY_OK;
}

void marty__call_make_room(const marty__call *call, size_t port_count)
{
    for (size_t i = 0; i < port_count; i++) {
        marty__port *port = &call->bus->ports[i];
        uint64_t bytes;
        size_t count = posts_of(call, port, &bytes);
        if (count) {
            marty__lock(&port->lock);
            unreserve(port, count, bytes);
            bool wanted = port->room_wanted;
            marty__unlock(&port->lock);
            if (wanted) {
                marty__room_tell(port);
            }
        }
    }
}

static marty_err reserve_all(marty__call *call, bool wait, marty_error *why)
{
    marty_bus *bus = call->bus;
    for (size_t i = 0; i < bus->port_count; i++) {
        marty__port *port = &bus->ports[i];
        uint64_t bytes;
        size_t count = posts_of(call, port, &bytes);
        marty_err err = check_size(bus, count, bytes, why);
        if (!err && count) {
            marty__lock(&port->lock);
            err = reserve(call, port, count, bytes, wait);
            marty__unlock(&port->lock);
            err = err ? say_refused(port, err, why) : MARTY_OK;
        }
        if (err) {
            marty__call_make_room(call, i);
            return err;
        }
    }
    return MARTY_OK;
}

/* To several ports: bus->lock keeps those who look for calls from one that is queued in part. */
static marty_err accept_at_all(marty__call *call, bool wait, bool *ret_leads, marty_error *why)
{
    marty_bus *bus = call->bus;
    marty_err err = reserve_all(call, wait, why);
    if (err) {
        return err;
    }
    marty__lock(&bus->lock);
    bool open = !is_closed(bus);
    if (open) {
        make_known(call);
    }
    for (size_t i = 0; open && i < bus->port_count; i++) {
        marty__lock(&bus->ports[i].lock);
        enqueue(call, &bus->ports[i]);
        marty__unlock(&bus->ports[i].lock);
    }
    marty__unlock(&bus->lock);
    if (!open) {
        marty__call_make_room(call, bus->port_count);
        return say_refused(call->ways[0].port, MARTY_E_CLOSED, why);
    }
    *ret_leads = call->waited && marty__port_lead(call->ways[0].port, call->deadline_ns);
    for (size_t i = 0; i < bus->port_count; i++) {
        marty__port_kick(&bus->ports[i]);
    }
    return MARTY_OK;
}

/* The alarm owns a reference while it is set; who sees that all is answered takes it back. */
static void set_deadline(marty__call *call)
{
    marty__call_ref(call);
    atomic_store(&call->timed, true);
    (void)marty__alarm_set(call->bus, &call->alarm, call->deadline_ns);
    if (!atomic_load(&call->left) && marty__alarm_cancel(call->bus, &call->alarm)) {
        marty__call_unref(call);
    }
}

static void deadline_rang(marty__alarm *alarm)
{
    marty__call *call = MARTY__OWNER(alarm, marty__call, alarm);
    int64_t now = marty__bus_now(call->bus),
            grace = marty__deadline_ns(call->deadline_ns, GRACE_MS);
    marty__call_expire(call, MARTY_E_UNAVAILABLE, now >= grace);
    if (atomic_load(&call->left)) {
        (void)marty__alarm_set(call->bus, alarm,
                               now >= grace ? marty__deadline_ns(now, GRACE_MS) : grace);
        if (atomic_load(&call->left) || !marty__alarm_cancel(call->bus, alarm)) {
            return; /* it rings again, and owns its reference till then */
        }
    }
    marty__call_unref(call);
}

marty_err marty__call_accept(marty__call *call, bool wait, marty_error *why)
{
    marty__port *port = call->ways[0].port;
    uint64_t bytes;
    bool one_port = posts_of(call, port, &bytes) == call->count;
    call->alarm.ring = deadline_rang;
    atomic_init(&call->left, call->count);
    for (size_t i = 0; i < call->way_count; i++) {
        call->ways[i].like.deadline_ns = call->deadline_ns;
    }
    if (call->waited && (!marty__mutex_init(&call->lock) || !marty__cond_init(&call->answered))) {
        call->waited = false;
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    bool leads = false;
    marty_err err = one_port ? accept_at(call, port, bytes, wait, &leads, why)
                             : accept_at_all(call, wait, &leads, why);
    if (!err && atomic_load(&call->left)) { /* else answered already */
        set_deadline(call);
    }
    if (leads) {
        marty__port_serve(port);
    }
    return err;
}
