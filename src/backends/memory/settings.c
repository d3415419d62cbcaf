/* SPDX-License-Identifier: Apache-2.0
 * What a memory: URL may say. Keys that mean something elsewhere only are refused here when they
 * ask for what memory cannot be. Pure functions. */
#include "memory.h"

#include <string.h>

#define DAY_MS ((uint64_t)24 * 3600 * 1000)
#define DEDUP_MAX_MS (14 * DAY_MS)

static marty_err read_retention(settings *s, const char *text, marty_error *why)
{
    char part[64];
    for (const char *at = text; *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
        size_t size = strcspn(at, ",");
        size = size < sizeof part ? size : sizeof part - 1;
        memcpy(part, at, size);
        part[size] = '\0';
        marty_error ignored;
        uint64_t value = 0;
        if (marty_parse_duration(&value, "retention", part, &ignored) == MARTY_OK) {
            s->retention_ms = value;
        } else if (marty_parse_size(&value, "retention", part, &ignored) == MARTY_OK) {
            s->retention_bytes = value;
        } else {
            return marty_error_set(why, MARTY_E_CONFIG,
                                   "retention: \"%s\" is neither a duration nor a size; write 7d, "
                                   "10GiB or 7d,10GiB",
                                   part);
        }
    }
    return MARTY_OK;
}

/* A key that may be given, but only with the one value that is true of memory. */
static marty_err only(const marty_url *url, const char *key, const char *value, const char *because,
                      marty_error *why)
{
    const char *given = marty_url_get(url, key);
    if (given && strcmp(given, value) != 0) {
        return marty_error_set(why, MARTY_E_CONFIG, "%s: %s: %s, so only %s=%s is true here",
                               url->redacted, key, because, key, value);
    }
    return MARTY_OK;
}

static marty_err check_words(const marty_url *url, marty_error *why)
{
    marty_err err = only(url, "level", "memory", "memory: is lost with the process", why);
    err = err ? err : only(url, "replicas", "1", "memory: is in one process", why);
    err = err ? err : only(url, "wait", "0", "memory: has no copies to wait for", why);
    return err ? err
               : only(url, "envelope", "cloudevents", "memory: passes messages, not bytes", why);
}

static marty_err check_secrets(const marty_url *url, marty_error *why)
{
    static const char *const keys[] = {"tls",  "tls_ca", "tls_cert", "tls_key", "tls_host",
                                       "user", "token",  "password", "creds",   "nkey"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (marty_url_get(url, keys[i])) {
            return marty_error_set(why, MARTY_E_CONFIG,
                                   "%s: %s: memory: has no connection; leave it out", url->redacted,
                                   keys[i]);
        }
    }
    return MARTY_OK;
}

static marty_err read_words(settings *s, const marty_url *url, marty_error *why)
{
    const char *topology = marty_url_get(url, "topology"), *trim = marty_url_get(url, "trim");
    if (topology && strcmp(topology, "create") != 0 && strcmp(topology, "check") != 0 &&
        strcmp(topology, "none") != 0) {
        return marty_error_set(why, MARTY_E_CONFIG, "%s: topology is create, check or none",
                               url->redacted);
    }
    if (trim && strcmp(trim, "hard") != 0) {
        return marty_error_set(why, MARTY_E_CONFIG, "%s: trim can only be hard", url->redacted);
    }
    s->create = !topology || strcmp(topology, "check") != 0;
    s->trim_hard = trim != NULL;
    return MARTY_OK;
}

static marty_err read_numbers(settings *s, const marty_url *url, marty_error *why)
{
    const char *lease = marty_url_get(url, "lease"), *window = marty_url_get(url, "dedup");
    const char *limit = marty_url_get(url, "limit"), *history = marty_url_get(url, "history");
    const char *retention = marty_url_get(url, "retention");
    marty_err err = lease ? marty_parse_duration(&s->lease_ms, "lease", lease, why) : MARTY_OK;
    if (!err && window) {
        err = marty_parse_duration(&s->dedup_ms, "dedup", window, why);
    }
    if (!err && limit) {
        err = marty_parse_size(&s->limit, "limit", limit, why);
        s->limit_set = true;
    }
    if (!err && history) {
        err = marty_parse_size(&s->history, "history", history, why);
        s->history_set = true;
    }
    err = !err && retention ? read_retention(s, retention, why) : err;
    if (!err && s->dedup_ms > DEDUP_MAX_MS) {
        err = marty_error_set(why, MARTY_E_CONFIG, "dedup: at most 14d");
    }
    if (!err && s->limit < 1 << 16) {
        err = marty_error_set(why, MARTY_E_CONFIG, "limit: at least 64KiB");
    }
    return err;
}

marty_err marty__mem_settings_read(settings *s, const marty_url *url, marty_error *why)
{
    static const char *const keys[] = {"limit", "history", NULL};
    *s = (settings){.limit = 256 << 20,
                    .history = 4 << 20,
                    .retention_ms = 7 * DAY_MS,
                    .retention_bytes = UINT64_MAX,
                    .dedup_ms = 10 * 60 * 1000};
    if (url->host_count || url->user) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "%s: memory has no host; write memory: for a broker of this bus "
                               "alone, or memory:NAME for one that buses of this process share",
                               url->redacted);
    }
    marty_err err = marty_url_check(url, keys, why);
    err = err ? err : check_words(url, why);
    err = err ? err : check_secrets(url, why);
    err = err ? err : read_words(s, url, why);
    return err ? err : read_numbers(s, url, why);
}

uint64_t marty__mem_payload_max(const settings *s)
{
    return s->limit / 8;
}
