/* SPDX-License-Identifier: Apache-2.0
 * One attempt to connect: the worker asks each server of the list in turn, proves who we are, finds
 * out what the server can do, and reports up with what it grants. Trying again is core's: the
 * library is set never to reconnect. */
#include "parts.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PORT 4222

/* ---- options of the library */

/* What the library said last, without its place in its own source. */
static const char *last_said(natsStatus status)
{
    const char *text = nats_GetLastError(NULL);
    text = text && *text ? text : natsStatus_GetText(status);
    const char *behind = *text == '(' ? strstr(text, "): ") : NULL; /* "(conn.c:733): ..." */
    return behind ? behind + 3 : text;
}

static natsStatus set_tls(const nats__options *from, natsOptions *options, const char *host)
{
    natsStatus s = natsOptions_SetSecure(options, true);
    if (!s && from->tls_ca) {
        s = natsOptions_LoadCATrustedCertificates(options, from->tls_ca);
    }
    if (!s && from->tls_cert) {
        s = natsOptions_LoadCertificatesChain(options, from->tls_cert, from->tls_key);
    }
    return s ? s : natsOptions_SetExpectedHostname(options, from->tls_host ? from->tls_host : host);
}

/* The library says not why it cannot read a file. */
static marty_err check_files(const nats__options *from, marty_error *why)
{
    const char *files[][2] = {
        {"tls_ca", from->tls_ca}, {"tls_cert", from->tls_cert}, {"tls_key", from->tls_key}};
    for (size_t i = 0; i < 3; i++) {
        if (files[i][1] && access(files[i][1], R_OK) != 0) {
            return marty_error_set(why, MARTY_E_TLS, "nats: %s=%s: %s", files[i][0], files[i][1],
                                   strerror(errno));
        }
    }
    return MARTY_OK;
}

static marty_err set_credentials(const nats__options *from, natsOptions *options, marty_error *why)
{
    natsStatus s = NATS_OK;
    if (from->user) {
        s = natsOptions_SetUserInfo(options, from->user, from->password);
    } else if (from->token) {
        s = natsOptions_SetToken(options, from->token);
    } else if (from->creds) {
        s = natsOptions_SetUserCredentialsFromFiles(options, from->creds, NULL);
    } else if (from->nkey) {
        char public_key[57];
        marty_err err = nats__nkey_public(from->nkey, public_key, why);
        if (err) {
            return err;
        }
        s = natsOptions_SetNKeyFromSeed(options, public_key, from->nkey);
    }
    return s ? marty_error_set(why, MARTY_E_CONFIG, "nats: credentials: %s", natsStatus_GetText(s))
             : MARTY_OK;
}

static marty_err set_options(nats__wire *wire, natsOptions *options, const char *host,
                             uint16_t number, marty_error *why)
{
    const nats__options *from = &wire->port->options;
    char url[320];
    bool v6 = strchr(host, ':') != NULL;
    (void)snprintf(url, sizeof url, "nats://%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "",
                   (unsigned)number);
    natsStatus s = natsOptions_SetURL(options, url);
    s = s ? s : natsOptions_SetAllowReconnect(options, false);
    s = s ? s : natsOptions_SetTimeout(options, NATS__CONNECT_MS);
    s = s ? s : natsOptions_SetWriteDeadline(options, NATS__CONNECT_MS);
    s = s ? s : natsOptions_SetPingInterval(options, 0); /* the loop asks: only it may close */
    s = s ? s : natsOptions_SetName(options, from->name);
    s = s ? s : natsOptions_SetIgnoreDiscoveredServers(options, true);
    s = s ? s : nats__error_options(wire->port, options);
    s = s ? s : nats__wire_options(wire, options);
    if (s) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: %s", natsStatus_GetText(s));
    }
    marty_err err = set_credentials(from, options, why);
    err = err || !from->tls ? err : check_files(from, why);
    if (!err && from->tls && (s = set_tls(from, options, host)) != NATS_OK) {
        err = marty_error_set(why, MARTY_E_TLS,
                              "nats: tls_ca, tls_cert or tls_key cannot be used: %s", last_said(s));
    }
    return err;
}

/* ---- one connection */

static bool has(const char *text, const char *word)
{
    return text && strcasestr(text, word) != NULL;
}

/* "SSL handshake error: 20:reason:expected=b:cert=/CN=a:issuer=/CN=c" as "reason: wanted b, it is
 * of /CN=a". */
static void certificate_reason(const char *text, char *out, size_t size)
{
    const char *at = strstr(text, "error: "), *name = strstr(text, "cert=");
    const char *wanted = strstr(text, "expected=");
    at = at ? at + 7 : text;
    at += strspn(at, "0123456789:");
    int used = snprintf(out, size, "%.*s", (int)strcspn(at, ":"), at);
    if (wanted && used > 0 && (size_t)used < size) {
        wanted += 9;
        used += snprintf(out + used, size - (size_t)used, ": wanted %.*s",
                         (int)strcspn(wanted, ":"), wanted);
    }
    if (name && used > 0 && (size_t)used < size) {
        name += 5;
        (void)snprintf(out + used, size - (size_t)used, ", it is of %.*s", (int)strcspn(name, ":"),
                       name);
    }
}

static marty_err refused_by_server(const nats__options *options, const char *where,
                                   const char *text, marty_error *why)
{
    bool noise = has(text, "(null)") || has(text, "'PONG'"); /* it hung up in the middle */
    return marty_error_set(
        why, MARTY_E_TLS, "%s: TLS failed: %s%s%s", where, noise ? "" : text, noise ? "" : "; ",
        options->tls_cert ? "the server does not trust the client certificate in tls_cert"
                          : "the server wants a client certificate: set tls_cert and tls_key");
}

static marty_err explain(const nats__options *options, const nats__greeting *greeting,
                         const char *where, natsStatus status, marty_error *why)
{
    const char *text = last_said(status);
    bool refused_us = has(text, "alert") || (greeting->tls_verify && options->tls);
    if (status == NATS_CONNECTION_AUTH_FAILED || has(text, "authorization") ||
        has(text, "authentication")) {
        return marty_error_set(why, MARTY_E_DENIED,
                               "%s: credentials refused (%s); check user and password, token, "
                               "creds or nkey",
                               where, text);
    }
    if (has(text, "certificate verify failed") || has(text, ":depth=") || has(text, "expected=")) {
        char reason[200];
        certificate_reason(text, reason, sizeof reason);
        return marty_error_set(why, MARTY_E_TLS,
                               "%s: the server's certificate is refused: %s; tls_ca= names whom to "
                               "trust, tls_host= the name to expect",
                               where, reason);
    }
    if (options->tls && greeting->tls_verify && (status == NATS_SSL_ERROR || refused_us)) {
        return refused_by_server(options, where, text, why);
    }
    if (options->tls && (status == NATS_SSL_ERROR || refused_us)) {
        return marty_error_set(why, MARTY_E_TLS, "%s: TLS failed: %s", where, text);
    }
    return marty_error_set(why, MARTY_E_UNAVAILABLE, "%s: %s", where, text);
}

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
    uint16_t number = host->port ? host->port : DEFAULT_PORT;
    if (natsOptions_Create(&options) != NATS_OK) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory to connect");
    }
    marty_err err = set_options(wire, options, host->host, number, why);
    if (!err) {
        natsStatus s = natsConnection_Connect(ret_nc, options);
        err = s ? explain(&port->options, greeting, where, s, why) : MARTY_OK;
    }
    natsOptions_Destroy(options);
    return err;
}

/* ---- both */

static void publish_wires(marty_port *port, natsConnection *connections[2])
{
    int64_t now_ns = nats__now_ns(port);
    pthread_mutex_lock(&port->lock);
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
    char where[300];
    uint16_t number = host->port ? host->port : DEFAULT_PORT;
    (void)snprintf(where, sizeof where, "nats://%s:%u", host->host, (unsigned)number);
    marty_err err = nats__probe(port, host->host, number, &greeting, why);
    err = err ? err : check_tls(&port->options, &greeting, where, why);
    for (int i = 0; i < 2 && !err; i++) {
        err = open_wire(port, i, host, &greeting, where, &connections[i], why);
    }
    if (err || atomic_load(&port->stop)) {
        natsConnection_Destroy(connections[0]);
        natsConnection_Destroy(connections[1]);
        return err ? err : MARTY_E_CLOSED;
    }
    (void)snprintf(port->server, sizeof port->server, "%.240s:%u", host->host, (unsigned)number);
    (void)snprintf(port->version, sizeof port->version, "%s", greeting.version);
    port->payload_max = greeting.payload_max;
    publish_wires(port, connections);
    return MARTY_OK;
}

static void set_life(marty_port *port, nats__life life)
{
    pthread_mutex_lock(&port->lock);
    port->life = life;
    pthread_mutex_unlock(&port->lock);
}

static void open_library_once(void)
{
    struct sigaction before;
    bool known = sigaction(SIGPIPE, NULL, &before) == 0;
    (void)nats_Open(-1); /* ignores SIGPIPE for the whole program: not ours to decide */
    if (known) {
        (void)sigaction(SIGPIPE, &before, NULL);
    }
}

void nats__connect_run(marty_port *port, nats__job *job)
{
    static pthread_once_t opened = PTHREAD_ONCE_INIT;
    static const marty_url_host local = {"127.0.0.1", DEFAULT_PORT};
    const marty_url *url = port->options.url;
    size_t count = url->host_count ? url->host_count : 1;
    marty_error why = {0};
    marty_err err = MARTY_E_UNAVAILABLE;
    (void)job;
    (void)pthread_once(&opened, open_library_once);
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
    pthread_mutex_unlock(&port->lock);
    if (up) {
        port->sink->state(port->sink, MARTY_STATE_UP, &granted, MARTY_OK, NULL);
    }
}
