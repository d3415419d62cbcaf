/* SPDX-License-Identifier: Apache-2.0
 * Opening a bus and what every call of it asks first. Its memory lives until the owner, every
 * handle and every kept delivery are given back; its threads and connections end with the close. */
#include "internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/hash.h"
#include "message/uuid.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- fork */
static atomic_uint forks;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void in_child(void)
{
    (void)atomic_fetch_add(&forks, 1);
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, in_child);
}

unsigned marty__fork_generation(void)
{
    return atomic_load_explicit(&forks, memory_order_relaxed);
}

/* ---- small things */
marty_err marty__bus_enter(const marty_bus *bus, marty__phase until, marty_error *why)
{
    if (!bus) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "bus is NULL; open one with marty_bus_open");
    }
    if (bus->fork_generation != marty__fork_generation()) {
        return marty_error_set(why, MARTY_E_FORKED,
                               "this bus was opened before fork; open another in the child");
    }
    if ((marty__phase)atomic_load(&bus->phase) >= until) {
        return marty_error_set(why, MARTY_E_CLOSED, "the bus is stopping or closed");
    }
    return MARTY_OK;
}

int64_t marty__bus_now(const marty_bus *bus)
{
    return bus->env.monotonic_ns(bus->env.user);
}

int64_t marty__bus_wall(const marty_bus *bus)
{
    return bus->env.wall_us(bus->env.user);
}

int64_t marty__bus_deadline(const marty_bus *bus, int32_t timeout_ms, int32_t otherwise_ms)
{
    int32_t ms = timeout_ms == 0 ? otherwise_ms : timeout_ms < 0 ? 0 : timeout_ms;
    return marty__deadline_ns(marty__bus_now(bus), ms);
}

void marty__bus_log(marty_bus *bus, int level, const char *format, ...)
{
    if (!bus->on_log) {
        return;
    }
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    bus->on_log(bus->user, level, text);
}

marty_bus *marty__bus_ref(marty_bus *bus)
{
    (void)atomic_fetch_add_explicit(&bus->refs, 1, memory_order_relaxed);
    return bus;
}

void marty__bus_unref(marty_bus *bus)
{
    if (atomic_fetch_sub_explicit(&bus->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < bus->port_count; i++) {
        marty__port_free(&bus->ports[i]);
    }
    if (bus->upper_free) {
        bus->upper_free(bus->upper);
    }
    marty__driven_close(bus);
    marty__clockwork_free(bus);
    marty__config_free(bus->config);
    marty_free(bus->ports);
    marty_free(bus->service);
    marty_free(bus->instance);
    marty_free(bus->source);
    marty__bus_free_names(bus);
    marty__places_free(bus);
    marty__cond_free(&bus->changed);
    marty__mutex_free(&bus->lock);
    marty__mutex_free(&bus->kept_lock);
    marty__mutex_free(&bus->close_lock);
    marty_free(bus);
}

/* ---- opening */
marty_err marty__reserved_check(const uint64_t *slots, size_t count, const char *what,
                                marty_error *why)
{
    for (size_t i = 0; i < count; i++) {
        if (slots[i]) {
            return marty_error_set(why, MARTY_E_UNSUPPORTED,
                                   "%s.reserved[%zu] is set: made for a newer Marty than %s", what,
                                   i, marty_version());
        }
    }
    return MARTY_OK;
}

static marty_err check_options(const marty_bus_options *options, marty_error *why)
{
    marty_err err = marty__reserved_check(
        options->reserved, sizeof options->reserved / sizeof options->reserved[0], "options", why);
    if (err) {
        return err;
    }
    if (options->workers > MARTY__WORKERS_MAX) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "options.workers is %u; expected at most %d",
                               options->workers, MARTY__WORKERS_MAX);
    }
    if (options->env && !options->driven) {
        return marty_error_set(
            why, MARTY_E_ARGUMENT,
            "options.env needs options.driven = true: process does all the work then");
    }
    return MARTY_OK;
}

static void fill(marty_bus *bus, const marty_bus_options *options)
{
    bus->fork_generation = marty__fork_generation();
    bus->env = marty__env_complete(options->env);
    bus->simulated = options->env != NULL;
    bus->driven = options->driven;
    bus->timeout_ms = options->timeout_ms ? options->timeout_ms : MARTY__TIMEOUT_MS;
    bus->waits = options->timeout_ms > 0;
    bus->drain_ms = options->drain_ms ? options->drain_ms : MARTY__DRAIN_MS;
    bus->inflight_max = options->inflight_max ? options->inflight_max : MARTY__INFLIGHT_MAX;
    bus->inflight_bytes_max =
        options->inflight_bytes_max ? options->inflight_bytes_max : MARTY__INFLIGHT_BYTES_MAX;
    bus->on_state = options->on_state;
    bus->on_log = options->on_log;
    bus->user = options->user;
    bus->wake_fd = bus->clockwork.wake_fd = -1;
    marty__list_init(&bus->subscriptions);
    marty__list_init(&bus->events);
    marty__list_init(&bus->pool.tasks);
}

/* The last 26 characters, lower case, of a random UUID in base 32 would do; 26 hex digits of it are
 * as good and need no table. */
static char *new_instance(marty_bus *bus)
{
    unsigned char random[13];
    char *text = marty_alloc(27);
    bus->env.random(bus->env.user, random, sizeof random);
    if (text) {
        marty__hex(text, random, sizeof random);
    }
    return text;
}

static marty_err name(marty_bus *bus, const marty_bus_options *options, marty_error *why)
{
    const char *service = options->service ? options->service : bus->config->service;
    char source[MARTY__NAME_BYTES_MAX + 2];
    char segment[MARTY__CHANNEL_ROOM];
    marty_err err = service ? marty__name_segment(segment, "service", service, why) : MARTY_OK;
    if (err) {
        return err;
    }
    (void)snprintf(source, sizeof source, "/%s", service ? service : "marty");
    bus->service = service ? marty__strdup(service) : NULL;
    bus->source = marty__strdup(options->source ? options->source : source);
    bus->instance = options->instance ? marty__strdup(options->instance) : new_instance(bus);
    bus->source_hash = bus->source ? marty__hash(bus->source, strlen(bus->source)) : 0;
    bool made = bus->source && bus->instance && (bus->service || !service);
    return made ? MARTY_OK : marty__error_code(why, MARTY_E_NO_MEMORY);
}

static marty_err open_ports(marty_bus *bus, marty_error *why)
{
    bus->ports = marty_alloc_zero(bus->config->backend_count, sizeof *bus->ports);
    if (!bus->ports) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    for (size_t i = 0; i < bus->config->backend_count; i++) {
        bus->port_count = i + 1;
        marty_err err = marty__port_open(bus, i, why);
        if (err) {
            return err;
        }
    }
    return MARTY_OK;
}

/* Whether a try that failed was the last: waiting for a broker to come up must be asked for. */
static bool hopeless(const marty__port *port)
{
    marty_class class_ = marty_err_describe(port->reason)->error_class;
    return port->failures && (!port->bus->waits || class_ != MARTY_CLASS_RETRY);
}

static marty_err wait_for_port(marty__port *port, int64_t deadline, marty_error *why)
{
    bool in_time = true;
    marty_err err = MARTY_OK;
    marty__lock(&port->lock);
    while (port->state == MARTY_STATE_DOWN && in_time && !hopeless(port)) {
        in_time = marty__bus_wait(port->bus, &port->changed, &port->lock, deadline);
    }
    if (port->state == MARTY_STATE_DOWN && !in_time && !port->failures) {
        err = marty_error_set(why, port->reason,
                              "%s: connecting takes longer than was to be waited for (timeout_ms, "
                              "--wait 30s)",
                              port->url);
    } else if (port->state == MARTY_STATE_DOWN || port->closed) {
        err = marty_error_set(why, port->reason, "%s", port->text);
    }
    marty__unlock(&port->lock);
    return err;
}

static marty_err connect_all(marty_bus *bus, bool lazy, marty_error *why)
{
    int64_t deadline = marty__bus_deadline(bus, bus->timeout_ms, MARTY__TIMEOUT_MS);
    marty_err err = MARTY_OK;
    for (size_t i = 0; i < bus->port_count; i++) {
        if (lazy && bus->simulated) { /* process does all, this too */
            (void)marty__alarm_set(bus, &bus->ports[i].reconnect_alarm, marty__bus_now(bus));
        } else {
            marty__port_connect(&bus->ports[i]);
        }
    }
    for (size_t i = 0; i < bus->port_count && !lazy && !err; i++) {
        err = wait_for_port(&bus->ports[i], deadline, why);
    }
    return err;
}

static marty_err open_parts(marty_bus *bus, const char *where, const marty_bus_options *options,
                            marty_error *why)
{
    if (!marty__mutex_init(&bus->lock) || !marty__mutex_init(&bus->close_lock) ||
        !marty__mutex_init(&bus->kept_lock) || !marty__cond_init(&bus->changed)) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no more locks to be had from the system");
    }
    marty__life_init(bus);
    marty_err err = marty__clockwork_open(bus, why);
    err = err ? err
              : marty__pool_open(bus, options->workers ? options->workers : marty__cores(), why);
    err = err ? err : marty__driven_open(bus, why);
    err = err ? err : marty__config_load(&bus->config, where, options, why);
    err = err ? err : name(bus, options, why);
    err = err ? err : open_ports(bus, why);
    return err ? err : connect_all(bus, options->lazy, why);
}

marty_err marty__bus_open(marty_bus **ret_bus, const char *where, const marty_bus_options *options,
                          const marty__hooks *hooks, marty_error *why)
{
    static const marty_bus_options none;
    options = options ? options : &none;
    marty_err err = check_options(options, why);
    if (err) {
        return err;
    }
    (void)pthread_once(&fork_once, watch_forks);
    marty_bus *bus = marty_alloc_zero(1, sizeof *bus);
    if (!bus) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    atomic_init(&bus->refs, 1);
    bus->hooks = hooks;
    fill(bus, options);
    err = open_parts(bus, where, options, why);
    if (err) {
        atomic_store(&bus->on_state, (marty_on_state)0); /* nothing of a bus that never was */
        marty_bus_free(bus);
        return err;
    }
    bus->user_free = options->user_free;
    *ret_bus = bus;
    return MARTY_OK;
}
