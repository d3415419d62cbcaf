/* SPDX-License-Identifier: Apache-2.0
 * How the library is opened, told who we are and whom to trust, and what it means when a server
 * does not take us: for the adapter and for the store of sagas. Any thread. */
#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void open_library_once(void)
{
    struct sigaction before;
    bool known = sigaction(SIGPIPE, NULL, &before) == 0;
    (void)nats_Open(-1); /* ignores SIGPIPE for the whole program: not ours to decide */
    if (known) {
        (void)sigaction(SIGPIPE, &before, NULL);
    }
}

void nats__library_open(void)
{
    static pthread_once_t opened = PTHREAD_ONCE_INIT;
    (void)pthread_once(&opened, open_library_once);
}

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

marty_err nats__library_options(const nats__options *from, natsOptions *options, const char *host,
                                uint16_t number, marty_error *why)
{
    char url[320];
    bool v6 = strchr(host, ':') != NULL;
    (void)snprintf(url, sizeof url, "nats://%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "",
                   (unsigned)number);
    natsStatus s = natsOptions_SetURL(options, url);
    s = s ? s : natsOptions_SetAllowReconnect(options, false);
    s = s ? s : natsOptions_SetTimeout(options, NATS__CONNECT_MS);
    s = s ? s : natsOptions_SetWriteDeadline(options, NATS__CONNECT_MS);
    s = s ? s : natsOptions_SetPingInterval(options, 0); /* only whose loop reads it may close it */
    s = s ? s : natsOptions_SetName(options, from->name);
    s = s ? s : natsOptions_SetIgnoreDiscoveredServers(options, true);
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

/* ---- what a refusal means */

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

marty_err nats__refused(const nats__options *options, bool verifies, const char *where,
                        natsStatus status, marty_error *why)
{
    const char *text = last_said(status);
    bool refused_us = has(text, "alert") || (verifies && options->tls);
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
    if (options->tls && verifies && (status == NATS_SSL_ERROR || refused_us)) {
        return refused_by_server(options, where, text, why);
    }
    if (options->tls && (status == NATS_SSL_ERROR || refused_us)) {
        return marty_error_set(why, MARTY_E_TLS, "%s: TLS failed: %s", where, text);
    }
    return marty_error_set(why, MARTY_E_UNAVAILABLE, "%s: %s; start one with: nats-server -js",
                           where, text);
}
