/* SPDX-License-Identifier: Apache-2.0
 * sqlite:PATH?sync=...: parsed and checked, no file touched. A relative path is of the folder that
 * the program is in now, whatever it changes to later. */
#include "port.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LEASE_MS = 30000, DEDUP_MS = 600000, PATH_BYTES = 4096 };

static const char *const keys[] = {"sync", "lease",    "dedup",  "retention",
                                   "trim", "topology", "prefix", NULL};

/* One of the words, by its index. */
static marty_err parse_word(int *ret_index, const char *key, const char *value,
                            const char *const words[], marty_error *why)
{
    char known[100] = "";
    for (int i = 0; words[i]; i++) {
        if (strcmp(value, words[i]) == 0) {
            *ret_index = i;
            return MARTY_OK;
        }
        size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", words[i]);
    }
    return marty_error_set(why, MARTY_E_CONFIG, "%s=%s: expected one of %s", key, value, known);
}

static marty_err parse_time(int64_t *ret_us, const char *key, const char *value, marty_error *why)
{
    uint64_t ms = 0;
    marty_err err = marty_parse_duration(&ms, key, value, why);
    if (!err && ms > INT64_MAX / 1000) {
        err = marty_error_set(why, MARTY_E_CONFIG, "%s=%s: too long", key, value);
    }
    *ret_us = err ? *ret_us : (int64_t)ms * 1000;
    return err;
}

/* "7d", "10GiB" or both with a comma. */
static marty_err parse_retention(sq_options *options, const char *value, marty_error *why)
{
    char part[64];
    marty_error ignored;
    while (*value) {
        size_t size = strcspn(value, ",");
        if (!size || size >= sizeof part) {
            return marty_error_set(why, MARTY_E_CONFIG,
                                   "retention=%s: expected an age, a size or both, such as "
                                   "7d,10GiB",
                                   value);
        }
        memcpy(part, value, size);
        part[size] = '\0';
        uint64_t bytes = 0;
        if (parse_time(&options->age_us, "retention", part, &ignored) == MARTY_OK) {
            options->age_given = true;
        } else {
            marty_err err = marty_parse_size(&bytes, "retention", part, why);
            if (err || bytes > INT64_MAX) {
                return marty_error_set(why, MARTY_E_CONFIG,
                                       "retention=%s: neither an age (7d) nor a size (10GiB)",
                                       part);
            }
            options->bytes_max = (int64_t)bytes;
        }
        value += size + (value[size] == ',');
    }
    return MARTY_OK;
}

/* It goes before every name, with a dot. */
static marty_err parse_prefix(sq_options *options, const char *value, marty_error *why)
{
    size_t size = strlen(value);
    if (!size || size > 100 || strpbrk(value, "*>") || value[0] == '.' || value[size - 1] == '.') {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "prefix=%.100s: 1 to 100 bytes without * and >, no dot at its ends",
                               value);
    }
    marty_free(options->prefix);
    options->prefix = marty_alloc(size + 2);
    if (!options->prefix) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a URL");
    }
    memcpy(options->prefix, value, size);
    memcpy(options->prefix + size, ".", 2);
    return MARTY_OK;
}

/* Keys that mean something elsewhere may be given with the one value that is true here. */
static marty_err check_given(const char *key, const char *value, marty_error *why)
{
    const char *only = strcmp(key, "replicas") == 0 ? "1" : strcmp(key, "wait") == 0 ? "0" : NULL;
    only = strcmp(key, "envelope") == 0 ? "cloudevents" : only;
    if (!only) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "level=%s: here it is read from the database; set sync=full, "
                               "normal or off",
                               value);
    }
    return strcmp(value, only) == 0
               ? MARTY_OK
               : marty_error_set(why, MARTY_E_CONFIG, "%s=%s: only %s=%s is true of sqlite:", key,
                                 value, key, only);
}

static marty_err parse_key(sq_options *options, const char *key, const char *value,
                           marty_error *why)
{
    static const char *const syncs[] = {"off", "normal", "full", "extra", NULL};
    static const char *const topologies[] = {"create", "check", "none", NULL};
    static const char *const trims[] = {"none", "hard", NULL};
    int word = 0;
    marty_err err = MARTY_OK;
    if (strcmp(key, "sync") == 0) {
        return parse_word(&options->sync, key, value, syncs, why);
    }
    if (strcmp(key, "lease") == 0) {
        err = parse_time(&options->lease_us, key, value, why);
        return err || options->lease_us >= 100000
                   ? err
                   : marty_error_set(why, MARTY_E_CONFIG, "lease=%s: at least 100ms", value);
    }
    if (strcmp(key, "dedup") == 0) {
        return parse_time(&options->dedup_us, key, value, why);
    }
    if (strcmp(key, "retention") == 0) {
        return parse_retention(options, value, why);
    }
    if (strcmp(key, "trim") == 0) {
        err = parse_word(&word, key, value, trims, why);
        options->trim_hard = word == 1;
    } else if (strcmp(key, "topology") == 0) {
        err = parse_word(&word, key, value, topologies, why);
        options->topology = (sq_topology)word;
    } else if (strcmp(key, "prefix") == 0) {
        err = parse_prefix(options, value, why);
    } else if (strcmp(key, "level") == 0 || strcmp(key, "replicas") == 0 ||
               strcmp(key, "envelope") == 0 || strcmp(key, "wait") == 0) {
        err = check_given(key, value, why);
    } else {
        err = marty_error_set(why, MARTY_E_CONFIG, "%s: sqlite: has no connection; leave it out",
                              key);
    }
    return err;
}

static marty_err whole_path(char **ret_path, const char *path, marty_error *why)
{
    char folder[PATH_BYTES] = "", whole[2 * PATH_BYTES];
    if (!path || !*path || path[strlen(path) - 1] == '/') {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "sqlite:%s: a file is expected, such as sqlite:orders.db",
                               path ? path : "");
    }
    if (path[0] == ':' || strlen(path) >= PATH_BYTES) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "sqlite:%.100s: a file is expected; for messages in memory use "
                               "memory:",
                               path);
    }
    if (path[0] != '/' && !getcwd(folder, sizeof folder)) {
        return marty_error_set(why, MARTY_E_CONFIG, "sqlite:%s: the current folder is gone", path);
    }
    (void)snprintf(whole, sizeof whole, "%s%s%s", folder, *folder ? "/" : "", path);
    *ret_path = marty__strdup(whole);
    return *ret_path ? MARTY_OK : marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a path");
}

static marty_err parse(sq_options *options, const marty_url *url, marty_error *why)
{
    marty_err err = marty_url_check(url, keys, why);
    if (!err && url->host_count) {
        err = marty_error_set(why, MARTY_E_CONFIG,
                              "%s: a host makes no sense here; write sqlite:orders.db or "
                              "sqlite:/folder/orders.db",
                              url->redacted);
    }
    err = err ? err : whole_path(&options->path, url->path, why);
    for (size_t i = 0; i < url->parameter_count && !err; i++) {
        const marty_header *parameter = &url->parameters[i];
        err = parse_key(options, parameter->name, parameter->value.data, why);
    }
    if (!err && !options->prefix) {
        options->prefix = marty__strdup("");
        err = options->prefix ? MARTY_OK
                              : marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a URL");
    }
    return err;
}

marty_err marty__sq_options_parse(sq_options *options, const char *text, marty_error *why)
{
    marty_url *url = NULL;
    *options = (sq_options){.sync = SQ_SYNC_FULL,
                            .lease_us = (int64_t)LEASE_MS * 1000,
                            .dedup_us = (int64_t)DEDUP_MS * 1000};
    marty_err err = marty_url_parse(&url, text, why);
    if (!err) {
        err = parse(options, url, why);
        marty_url_free(url);
    }
    if (err) {
        marty__sq_options_free(options);
    }
    return err;
}

void marty__sq_options_free(sq_options *options)
{
    marty_free(options->path);
    marty_free(options->prefix);
    *options = (sq_options){0};
}
