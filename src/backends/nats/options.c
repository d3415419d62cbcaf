/* SPDX-License-Identifier: Apache-2.0
 * The keys of a nats: URL. A key that is unknown, a value that is none of those it may have and
 * keys that contradict each other are errors here, before anything is connected. Any thread. */
#include "options.h"

#include <string.h>

static const char *const keys[] = {"inbox", "domain", "name", "storage", NULL};

typedef struct word {
    const char *text;
    int value;
} word;

static const word topologies[] = {
    {"create", NATS__CREATE}, {"check", NATS__CHECK}, {"none", NATS__NONE}, {NULL, 0}};
static const word envelopes[] = {
    {"cloudevents", NATS__CLOUDEVENTS}, {"legacy", NATS__LEGACY}, {"both", NATS__BOTH}, {NULL, 0}};
static const word switches[] = {{"on", 1}, {"off", 0}, {NULL, 0}};
static const word storages[] = {{"file", 0}, {"memory", 1}, {NULL, 0}};
static const word trims[] = {{"soft", 0}, {"hard", 1}, {NULL, 0}};
static const word levels[] = {{"memory", MARTY_LEVEL_MEMORY},
                              {"written", MARTY_LEVEL_WRITTEN},
                              {"synced", MARTY_LEVEL_SYNCED},
                              {"replicated", MARTY_LEVEL_REPLICATED},
                              {NULL, 0}};

static marty_err bad_value(const nats__options *options, const char *key, const char *value,
                           const char *wanted, marty_error *why)
{
    return marty_error_set(why, MARTY_E_CONFIG, "%s: %s=%.64s: expected %s", options->url->redacted,
                           key, value, wanted);
}

static marty_err choose(const nats__options *options, const char *key, const word words[],
                        int *value, marty_error *why)
{
    const char *text = marty_url_get(options->url, key);
    char list[128] = "";
    size_t size = 0;
    for (size_t i = 0; text && words[i].text; i++) {
        if (strcmp(text, words[i].text) == 0) {
            *value = words[i].value;
            return MARTY_OK;
        }
        size_t length = strlen(words[i].text);
        if (size + length + 4 < sizeof list) {
            memcpy(list + size, i ? ", " : "", i ? 2 : 0);
            size += i ? 2 : 0;
            memcpy(list + size, words[i].text, length + 1);
            size += length;
        }
    }
    return text ? bad_value(options, key, text, list, why) : MARTY_OK;
}

static marty_err duration(const nats__options *options, const char *key, uint64_t least_ms,
                          uint64_t *ms, marty_error *why)
{
    const char *text = marty_url_get(options->url, key);
    marty_err err = text ? marty_parse_duration(ms, key, text, why) : MARTY_OK;
    if (!err && text && *ms < least_ms) {
        err = bad_value(options, key, text, least_ms > 100 ? "at least 200ms" : "at least 100ms",
                        why);
    }
    return err;
}

/* "7d", "10GiB" or "7d,10GiB". */
static marty_err parse_retention(nats__options *options, marty_error *why)
{
    const char *text = marty_url_get(options->url, "retention");
    char first[64] = "", second[64] = "";
    if (!text) {
        return MARTY_OK;
    }
    size_t size = strcspn(text, ",");
    const char *rest = text[size] ? text + size + 1 : "";
    if (size >= sizeof first || strlen(rest) >= sizeof second) {
        return bad_value(options, "retention", text, "like 7d, 10GiB or 7d,10GiB", why);
    }
    memcpy(first, text, size);
    memcpy(second, rest, strlen(rest));
    marty_err err = marty_parse_duration(&options->retention_ms, "retention", first, why);
    if (err && !second[0]) {
        options->retention_ms = 7ull * 86400000;
        return marty_parse_size(&options->retention_bytes, "retention", first, why)
                   ? bad_value(options, "retention", text, "like 7d, 10GiB or 7d,10GiB", why)
                   : MARTY_OK;
    }
    return err || !second[0]
               ? err
               : marty_parse_size(&options->retention_bytes, "retention", second, why);
}

static marty_err parse_replicas(nats__options *options, marty_error *why)
{
    const char *text = marty_url_get(options->url, "replicas");
    options->replicas = 1;
    if (!text) {
        return MARTY_OK;
    }
    if (!strchr("12345", text[0]) || !text[0] || text[1]) {
        return bad_value(options, "replicas", text,
                         "a number from 1 to 5 (3 survives the loss of "
                         "a server)",
                         why);
    }
    options->replicas = (uint32_t)(text[0] - '0');
    return MARTY_OK;
}

static const char *text_of(const nats__options *options, const char *key, const char *otherwise)
{
    const char *text = marty_url_get(options->url, key);
    return text ? text : otherwise;
}

/* What stands before the @ counts as user and password; without a password it is a token. */
static marty_err parse_credentials(nats__options *options, marty_error *why)
{
    const marty_url *url = options->url;
    options->user = text_of(options, "user", url->user);
    options->password = text_of(options, "password", url->password);
    options->token = text_of(options, "token", NULL);
    options->creds = text_of(options, "creds", NULL);
    options->nkey = text_of(options, "nkey", NULL);
    if (options->user && !options->password && !options->token) {
        options->token = options->user;
        options->user = NULL;
    }
    int ways = (options->user != NULL) + (options->token != NULL) + (options->creds != NULL) +
               (options->nkey != NULL);
    if (ways > 1) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "%s: give one of user and password, token, creds and nkey, not "
                               "several",
                               url->redacted);
    }
    if (options->password && !options->user) {
        return marty_error_set(why, MARTY_E_CONFIG, "%s: a password needs a user", url->redacted);
    }
    return MARTY_OK;
}

static marty_err parse_tls(nats__options *options, marty_error *why)
{
    bool scheme = strcmp(options->url->scheme, "tls") == 0; /* tls://host says it, too */
    int on = scheme;
    options->tls_ca = text_of(options, "tls_ca", NULL);
    options->tls_cert = text_of(options, "tls_cert", NULL);
    options->tls_key = text_of(options, "tls_key", NULL);
    options->tls_host = text_of(options, "tls_host", NULL);
    marty_err err = choose(options, "tls", switches, &on, why);
    if (err) {
        return err;
    }
    if (scheme && !on) {
        return marty_error_set(
            why, MARTY_E_CONFIG,
            "%s: tls:// asks for TLS and tls=off for plain text; say nats:// for "
            "plain text",
            options->url->redacted);
    }
    options->tls = on != 0;
    if (!on && (options->tls_ca || options->tls_cert || options->tls_key || options->tls_host)) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "%s: tls_ca, tls_cert, tls_key and tls_host need tls=on: without "
                               "it the connection would be in plain text",
                               options->url->redacted);
    }
    if (!options->tls_cert != !options->tls_key) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "%s: tls_cert and tls_key go together: a client certificate and "
                               "its private key",
                               options->url->redacted);
    }
    return MARTY_OK;
}

static marty_err parse_words(nats__options *options, marty_error *why)
{
    int topology = NATS__CREATE, envelope = NATS__CLOUDEVENTS, trim = 0, storage = 0;
    int level = 0;
    marty_err err = choose(options, "topology", topologies, &topology, why);
    err = err ? err : choose(options, "envelope", envelopes, &envelope, why);
    err = err ? err : choose(options, "trim", trims, &trim, why);
    err = err ? err : choose(options, "storage", storages, &storage, why);
    err = err ? err : choose(options, "level", levels, &level, why);
    options->topology = (nats__topology)topology;
    options->envelope = (nats__envelope)envelope;
    options->trim_hard = trim != 0;
    options->memory = storage != 0;
    options->stated = level != 0;
    options->level = (marty_level)level;
    return err;
}

/* A name that becomes a part of subjects as it is. */
static marty_err check_subject(const nats__options *options, const char *key, const char *text,
                               marty_error *why)
{
    for (const char *at = text; at && *at; at++) {
        if (*at <= ' ' || *at > '~' || *at == '*' || *at == '>') {
            return bad_value(options, key, text, "bytes that a subject may have: no space, * or >",
                             why);
        }
    }
    return MARTY_OK;
}

marty_err nats__options_connection(nats__options *options, marty_error *why)
{
    options->inbox = text_of(options, "inbox", "_INBOX");
    options->domain = text_of(options, "domain", NULL);
    options->name = text_of(options, "name", "marty");
    marty_err err = parse_credentials(options, why);
    err = err ? err : parse_tls(options, why);
    err = err ? err : check_subject(options, "inbox", options->inbox, why);
    return err ? err : check_subject(options, "domain", options->domain, why);
}

marty_err nats__options_parse(nats__options *options, const char *url, marty_error *why)
{
    marty_err err = marty_url_parse(&options->url, url, why);
    if (err) {
        return err;
    }
    options->prefix = text_of(options, "prefix", "");
    options->lease_ms = 10000;
    options->dedup_ms = 120000;
    options->retention_ms = 7ull * 86400000;
    err = marty_url_check(options->url, keys, why);
    if (!err && options->url->path && options->url->path[0] && strcmp(options->url->path, "/")) {
        err = marty_error_set(why, MARTY_E_CONFIG,
                              "%s: a nats: URL has no path; write nats://HOST:PORT?key=value",
                              options->url->redacted);
    }
    err = err ? err : parse_words(options, why);
    err = err ? err : nats__options_connection(options, why);
    err = err ? err : parse_replicas(options, why);
    err = err ? err : parse_retention(options, why);
    err = err ? err : duration(options, "lease", 200, &options->lease_ms, why);
    err = err ? err : duration(options, "dedup", 100, &options->dedup_ms, why);
    err = err ? err : check_subject(options, "prefix", options->prefix, why);
    if (err) {
        nats__options_free(options);
    }
    return err;
}

void nats__options_free(nats__options *options)
{
    marty_url_free(options->url);
    options->url = NULL;
}
