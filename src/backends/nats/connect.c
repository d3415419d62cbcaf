/* SPDX-License-Identifier: Apache-2.0
 * One attempt to connect: the worker asks each server of the list in turn, proves who we are, finds
 * out what the server can do, and reports up with what it grants. Trying again is core's: the
 * library is set never to reconnect. */
#include "denied.h"
#include "parts.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static marty_err set_options(nats__wire *wire, natsOptions *options, const char *host,
                             uint16_t number, marty_error *why)
{
    const nats__options *from = &wire->port->options;
    natsStatus s = nats__error_options(wire->port, options);
    s = s ? s : nats__wire_options(wire, options);
    return s ? marty_error_set(why, MARTY_E_NO_MEMORY, "nats: %s", natsStatus_GetText(s))
             : nats__library_options(from, options, host, number, why);
}

/* ---- one connection */

static marty_err check_tls(const nats__options *options, const nats__greeting *greeting,
                           const char *where, marty_error *why)
{
    bool offers = greeting->tls_required || greeting->tls_available;
    if (options->tls && !offers) {
        return marty_error_set(why, MARTY_E_TLS,
                               "%s: TLS was asked for and the server has none; give it a "
                               "certificate, or take tls=on away to talk in plain text",
                               where);
    }
    if (!options->tls && greeting->tls_required) {
        return marty_error_set(why, MARTY_E_TLS,
                               "%s: the server demands TLS; add tls=on (and tls_ca=FILE for a CA "
                               "of your own)",
                               where);
    }
    return MARTY_OK;
}

static marty_err open_wire(marty_port *port, int index, const marty_url_host *host,
                           const nats__greeting *greeting, const char *where,
                           natsConnection **ret_nc, marty_error *why)
{
    nats__wire *wire = &port->wires[index];
    natsOptions *options = NULL;
    uint16_t number = host->port ? host->port : NATS__PORT;
    if (natsOptions_Create(&options) != NATS_OK) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory to connect");
    }
    marty_err err = set_options(wire, options, host->host, number, why);
    if (!err) {
        natsStatus s = natsConnection_Connect(ret_nc, options);
        err = s ? nats__refused(&port->options, greeting->tls_verify, where, s, why) : MARTY_OK;
    }
    natsOptions_Destroy(options);
    return err;
}

/* ---- both */

/* False: the loop ends, and with it whoever would read and close them. */
static bool publish_wires(marty_port *port, natsConnection *connections[2],
                          const nats__greeting *greeting, const char *server)
{
    int64_t now_ns = nats__now_ns(port);
    pthread_mutex_lock(&port->lock);
    if (atomic_load(&port->stop)) {
        pthread_mutex_unlock(&port->lock);
        return false;
    }
    (void)snprintf(port->server, sizeof port->server, "%s", server);
    (void)snprintf(port->version, sizeof port->version, "%s", greeting->version);
    port->payload_max = greeting->payload_max;
    port->lost_err = MARTY_OK;           /* of an older one */
    nats__forbidden_forget_locked(port); /* with TLS it may have been noted after its end */
    for (int i = 0; i < 2; i++) {
        nats__wire *wire = &port->wires[i];
        wire->nc = connections[i];
        wire->tls = port->options.tls;
        wire->last_read_ns = now_ns;
        wire->ping_ns = 0;
        wire->confirm_at_ns = INT64_MAX;
        atomic_store(&wire->lost, false);
        (void)snprintf(wire->base, sizeof wire->base, "%.24s.%s%u.%d", port->options.inbox,
                       port->id, port->epoch, i);
    }
    port->due_ns = 0;
    pthread_mutex_unlock(&port->lock);
    nats__wake(port, true);
    return true;
}

static marty_err open_control(marty_port *port, marty_error *why)
{
    marty_err err = MARTY_OK;
    pthread_mutex_lock(&port->lock);
    for (int i = 0; i < 2 && !err; i++) {
        char subject[96];
        nats__wire *wire = &port->wires[i];
        wire->control.arrived = nats__control_arrived;
        (void)snprintf(subject, sizeof subject, "%s.c.>", wire->base);
        err = nats__inbox_open_locked(wire, &wire->control, subject, NULL, why);
    }
    for (int i = 0; i < 2 && !err; i++) {
        int64_t until_ns = nats__now_ns(port) + (int64_t)NATS__CONNECT_MS * 1000000;
        err = nats__sign_locked(&port->wires[i], until_ns, why);
    }
    pthread_mutex_unlock(&port->lock);
    return err;
}

/* What JetStream there can do; off is no error here: core NATS works without it. */
static marty_err ask_features(marty_port *port, marty_error *why)
{
    json_t *info = NULL;
    int code = 0;
    marty_err err = nats__api(port, "INFO", NULL, nats__api_deadline(port), &info, &code, why);
    bool off = code == 503 || code == 10039 || code == 10076;
    pthread_mutex_lock(&port->lock);
    port->jetstream = !off;
    port->api_level =
        (uint32_t)json_integer_value(json_object_get(json_object_get(info, "api"), "level"));
    pthread_mutex_unlock(&port->lock);
    json_decref(info);
    return off || err == MARTY_E_TIMEOUT ? MARTY_OK : err; /* no leader yet: it will come */
}

static marty_err connect_host(marty_port *port, const marty_url_host *host, marty_error *why)
{
    nats__greeting greeting;
    natsConnection *connections[2] = {NULL, NULL};
    char where[300], server[sizeof port->server];
    uint16_t number = host->port ? host->port : NATS__PORT;
    (void)snprintf(where, sizeof where, "nats://%s:%u", host->host, (unsigned)number);
    (void)snprintf(server, sizeof server, "%.240s:%u", host->host, (unsigned)number);
    marty_err err = nats__probe(port, host->host, number, &greeting, why);
    err = err ? err : check_tls(&port->options, &greeting, where, why);
    for (int i = 0; i < 2 && !err; i++) {
        err = open_wire(port, i, host, &greeting, where, &connections[i], why);
    }
    err = err || publish_wires(port, connections, &greeting, server) ? err : MARTY_E_CLOSED;
    if (err) {
        natsConnection_Destroy(connections[0]);
        natsConnection_Destroy(connections[1]);
    }
    return err;
}

static void set_life(marty_port *port, nats__life life)
{
    pthread_mutex_lock(&port->lock);
    port->life = life;
    pthread_mutex_unlock(&port->lock);
}

void nats__connect_run(marty_port *port, nats__job *job)
{
    static const marty_url_host local = {"127.0.0.1", NATS__PORT};
    const marty_url *url = port->options.url;
    size_t count = url->host_count ? url->host_count : 1;
    marty_error why = {0};
    marty_err err = MARTY_E_UNAVAILABLE;
    (void)job;
    for (size_t i = 0; i < count && err && !atomic_load(&port->stop); i++) {
        const marty_url_host *host =
            url->host_count ? &url->hosts[port->server_next++ % count] : &local;
        marty_error another = {0};
        err = connect_host(port, host, &another);
        if (i == 0 || err != MARTY_E_UNAVAILABLE) {
            why = another; /* a refusal says more than a server that is not there */
        }
    }
    if (err) {
        set_life(port, NATS__DOWN);
        port->sink->state(port->sink, MARTY_STATE_DOWN, NULL, err, why.text);
        return;
    }
    err = open_control(port, &why);
    err = err ? err : ask_features(port, &why);
    if (err) {
        nats__lose(port, err, why.text); /* the loop reports down */
        return;
    }
    marty_capabilities granted;
    pthread_mutex_lock(&port->lock);
    bool up = port->wires[0].nc && !atomic_load(&port->wires[0].lost) &&
              !atomic_load(&port->wires[1].lost) && !port->closing;
    port->life = up ? NATS__UP : port->life;
    nats__grants(port, &granted);
    if (up) { /* with the lock: that it was lost since must be heard after it */
        port->sink->state(port->sink, MARTY_STATE_UP, &granted, MARTY_OK, NULL);
    }
    pthread_mutex_unlock(&port->lock);
}
