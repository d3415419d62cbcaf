/* SPDX-License-Identifier: Apache-2.0
 * The document of a configuration, key by key, and the defaults of what it leaves open. */
#include "config_read.h"

#include "base/limits.h"
#include "match.h"
#include "route.h"

#include <stdio.h>
#include <string.h>

void marty__config_defaults(marty__config *config)
{
    config->retry = (marty_retry_policy){.attempts = MARTY__RETRY_ATTEMPTS,
                                         .first_ms = MARTY__RETRY_FIRST_MS,
                                         .max_ms = MARTY__RETRY_MAX_MS};
    config->hold_max_ms = MARTY__HOLD_MAX_MS;
    config->dead_channel = "dead.{channel}";
    config->topology = MARTY__TOPOLOGY_CREATE;
    config->retry_from = config->dead_from = config->topology_from = "default";
}

/* ---- templates */

static bool placeholder_known(marty_pattern pattern, const char *word, size_t size)
{
    static const char *const known[][3] = {
        [0] = {"channel"},
        [MARTY_EVENT] = {"domain", "type"},
        [MARTY_COMMAND] = {"service", "type"},
        [MARTY_QUERY] = {"service", "type"},
        [MARTY_STREAM] = {"name"},
        [MARTY_BROADCAST] = {"domain", "type"},
    };
    for (size_t i = 0; known[pattern][i]; i++) {
        if (strlen(known[pattern][i]) == size && memcmp(known[pattern][i], word, size) == 0) {
            return true;
        }
    }
    return false;
}

/* What is wrong with a template, or NULL. */
static const char *template_fault(const char *template_, marty_pattern pattern)
{
    marty_error ignored;
    if (marty__pattern_check(template_, &ignored) || strpbrk(template_, "*>")) {
        return "expected words joined by dots, without wildcards";
    }
    if (template_[0] == '{') {
        return "it must begin with a word, so that channels of different kinds stay apart";
    }
    for (const char *at = template_; (at = strpbrk(at, "{}")); at++) {
        size_t size = strcspn(at + 1, "}");
        if (*at == '}' || !at[size + 1] || !placeholder_known(pattern, at + 1, size)) {
            return pattern == 0              ? "the only placeholder is {channel}"
                   : pattern == MARTY_STREAM ? "the only placeholder is {name}"
                   : pattern == MARTY_COMMAND || pattern == MARTY_QUERY
                       ? "the placeholders are {service} and {type}"
                       : "the placeholders are {domain} and {type}";
        }
        if (memmem(at + size + 2, strlen(at + size + 2), at, size + 2)) {
            return "a placeholder is in it twice";
        }
        bool type = strncmp(at, "{type}", 6) == 0;
        if (type && (at[-1] != '.' || at[6])) {
            return "{type} has dots of its own, so it must be the last segment, after a dot";
        }
        at += size + 1;
    }
    return NULL;
}

marty_err marty__config_template(const marty__config_reader *r, const marty__yaml *node,
                                 const char *path, marty_pattern pattern, const char **ret)
{
    const char *text = NULL;
    marty_err err = marty__config_text(r, node, path, &text);
    if (err) {
        return err;
    }
    const char *fault = template_fault(text, pattern);
    if (fault) {
        return marty__config_wrong(r, MARTY_E_CONFIG, node->line, path,
                                   "\"%.80s\" is no name of channels: %s", node->raw, fault);
    }
    const char *reserved = marty__name_reserved(text, pattern);
    if (reserved && (pattern || strcmp(reserved, "dead") != 0)) {
        return marty__config_wrong(r, MARTY_E_CONFIG, node->line, path,
                                   "\"%.80s\": \"%s\" is reserved for channels of another kind",
                                   node->raw, reserved);
    }
    *ret = text;
    return MARTY_OK;
}

/* ---- backends */

static bool backend_name_fine(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size <= MARTY__BACKEND_NAME_BYTES_MAX && strcmp(name, "auto") != 0 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == size;
}

/* The URL with topology=... added, unless it says so itself. */
static const char *with_topology(const marty__config_reader *r, const marty_url *parsed,
                                 const char *url)
{
    const marty__config *config = r->config;
    if (config->topology == MARTY__TOPOLOGY_CREATE || marty_url_get(parsed, "topology")) {
        return url;
    }
    return marty__arena_format(r->arena, "%s%ctopology=%s", url, strchr(url, '?') ? '&' : '?',
                               marty__topology_word(config->topology));
}

marty_err marty__config_add_backend(const marty__config_reader *r, uint32_t line, const char *path,
                                    const char *name, const char *url, const char *from)
{
    marty_url *parsed = NULL;
    marty_error detail;
    marty_err err = marty_url_parse(&parsed, url, &detail);
    if (err == MARTY_E_NO_MEMORY) {
        return marty__config_no_memory(r);
    }
    if (err) {
        return path ? marty__config_wrong(r, err, line, path, "%s", detail.text)
                    : marty_error_set(r->why, err, "%s", detail.text);
    }
    marty__config_backend *backend = &r->config->backends[r->config->backend_count];
    backend->name = marty__arena_text(r->arena, name, strlen(name));
    backend->redacted = marty__arena_text(r->arena, parsed->redacted, strlen(parsed->redacted));
    url = with_topology(r, parsed, url);
    backend->url = url ? marty__arena_text(r->arena, url, strlen(url)) : NULL;
    backend->from = from;
    marty_url_free(parsed);
    if (!backend->name || !backend->redacted || !backend->url || !from) {
        return marty__config_no_memory(r);
    }
    r->config->backend_count++;
    return MARTY_OK;
}

static marty_err read_backend(const marty__config_reader *r, const marty__yaml *node)
{
    char path[MARTY__BACKEND_NAME_BYTES_MAX + 16];
    const char *url = NULL;
    if (!backend_name_fine(node->key)) {
        return marty__config_wrong(r, MARTY_E_CONFIG, node->line, "backends",
                                   "\"%.80s\": the name of a backend has 1 to %d letters, digits, "
                                   "\"_\" and \"-\", and is not \"auto\"",
                                   node->key, MARTY__BACKEND_NAME_BYTES_MAX);
    }
    (void)snprintf(path, sizeof path, "backends.%s", node->key);
    if (node->kind != MARTY__YAML_TEXT || !node->text[0]) {
        return marty__config_wrong(r, MARTY_E_CONFIG, node->line, path,
                                   "expected a URL, such as nats://127.0.0.1:4222 or "
                                   "sqlite:orders.db");
    }
    marty_err err = marty__config_text(r, node, path, &url);
    return err ? err
               : marty__config_add_backend(r, node->line, path, node->key, url,
                                           marty__config_from(r, node));
}

static marty_err read_backends(const marty__config_reader *r, const marty__yaml *node)
{
    if (!node || node->kind != MARTY__YAML_MAP || node->count == 0 ||
        node->count > MARTY__BACKENDS_MAX) {
        return marty__config_wrong(r, MARTY_E_CONFIG, node ? node->line : 0, "backends",
                                   "expected a mapping of 1 to %d names and URLs, such as main: "
                                   "sqlite:orders.db",
                                   MARTY__BACKENDS_MAX);
    }
    r->config->backends = marty__arena_alloc(r->arena, node->count * sizeof *r->config->backends);
    if (!r->config->backends) {
        return marty__config_no_memory(r);
    }
    marty_err err = MARTY_OK;
    for (const marty__yaml *at = node->first; at && !err; at = at->next) {
        err = read_backend(r, at);
    }
    return err;
}

/* ---- the rest */

static marty_err read_service(const marty__config_reader *r, const marty__yaml *node)
{
    char segment[MARTY__CHANNEL_ROOM];
    const char *service = NULL;
    marty_err err = marty__config_text(r, node, "service", &service);
    marty_error detail;
    if (!err && marty__name_segment(segment, "service", service, &detail)) {
        return marty__config_wrong(r, MARTY_E_CONFIG, node->line, "service", "%s",
                                   node->variable ? "what the environment gives is no name"
                                                  : detail.text);
    }
    if (!err && !r->config->service) { /* else the program named it: that counts more */
        r->config->service = service;
        r->config->service_from = marty__config_from(r, node);
        err = r->config->service_from ? MARTY_OK : marty__config_no_memory(r);
    }
    return err;
}

static marty_err read_topology(const marty__config_reader *r, const marty__yaml *node)
{
    static const char *const words[] = {"create", "check", "none", NULL};
    size_t word = 0;
    marty_err err = marty__config_word(r, node, "topology", words, &word);
    if (!err) {
        r->config->topology = (marty__topology)word;
        r->config->topology_from = marty__config_from(r, node);
    }
    return err || r->config->topology_from ? err : marty__config_no_memory(r);
}

static marty_err read_retry_jitter(const marty__config_reader *r, const marty__yaml *retry)
{
    static const char *const words[] = {"full", "none", NULL};
    const marty__yaml *node = marty__yaml_get(retry, "jitter");
    size_t word = 0;
    marty_err err = node ? marty__config_word(r, node, "retry.jitter", words, &word) : MARTY_OK;
    r->config->retry.no_jitter = word == 1;
    return err;
}

static marty_err read_attempts(const marty__config_reader *r, const marty__yaml *node)
{
    uint32_t *attempts = &r->config->retry.attempts;
    if (node && node->kind == MARTY__YAML_TEXT && strcmp(node->text, "unlimited") == 0) {
        *attempts = UINT32_MAX;
        return MARTY_OK;
    }
    return node ? marty__config_number(r, node, "retry.attempts", 1, 1000000, attempts) : MARTY_OK;
}

static marty_err read_retry(const marty__config_reader *r, const marty__yaml *node)
{
    static const char *const keys[] = {"attempts", "first", "max", "jitter", "hold_max", NULL};
    marty__config *config = r->config;
    marty_err err = marty__config_keys(r, node, "retry", keys);
    if (err) {
        return err;
    }
    const marty__yaml *first = marty__yaml_get(node, "first"), *max = marty__yaml_get(node, "max");
    const marty__yaml *hold = marty__yaml_get(node, "hold_max");
    err = read_attempts(r, marty__yaml_get(node, "attempts"));
    err = err || !first ? err : marty__config_ms(r, first, "retry.first", &config->retry.first_ms);
    err = err || !max ? err : marty__config_ms(r, max, "retry.max", &config->retry.max_ms);
    err = err || !hold ? err : marty__config_ms(r, hold, "retry.hold_max", &config->hold_max_ms);
    err = err ? err : read_retry_jitter(r, node);
    if (!err && (config->retry.first_ms == 0 || config->retry.max_ms < config->retry.first_ms)) {
        return marty__config_wrong(r, MARTY_E_CONFIG, node->line, "retry",
                                   "first is %u ms and max is %u ms; expected 1 ms or more, and "
                                   "max no less than first",
                                   config->retry.first_ms, config->retry.max_ms);
    }
    config->retry_from = err ? config->retry_from : marty__config_from(r, node);
    return err || config->retry_from ? err : marty__config_no_memory(r);
}

static marty_err read_dead_letter(const marty__config_reader *r, const marty__yaml *node)
{
    static const char *const keys[] = {"channel", NULL};
    marty_err err = marty__config_keys(r, node, "dead_letter", keys);
    const marty__yaml *channel = err ? NULL : marty__yaml_get(node, "channel");
    if (!channel) {
        return err;
    }
    err = marty__config_template(r, channel, "dead_letter.channel", 0, &r->config->dead_channel);
    r->config->dead_from = err ? r->config->dead_from : marty__config_from(r, channel);
    return err || r->config->dead_from ? err : marty__config_no_memory(r);
}

static marty_err read_outbox(const marty__config_reader *r, const marty__yaml *node)
{
    return marty__config_wrong(r, MARTY_E_UNSUPPORTED, node->line, "outbox",
                               "this version has no outbox; take the key away");
}

static marty_err read_scheduler(const marty__config_reader *r, const marty__yaml *node)
{
    return marty__config_wrong(r, MARTY_E_UNSUPPORTED, node->line, "scheduler",
                               "this version cannot schedule through another backend; take the key "
                               "away, and route delayed messages to a backend that grants delay");
}

static const char *const top_keys[] = {"service",  "backends", "routes",    "retry", "dead_letter",
                                       "topology", "outbox",   "scheduler", NULL};
typedef struct step {
    const char *key;
    marty_err (*read)(const marty__config_reader *r, const marty__yaml *node);
} step;
/* In this order, whatever the order in the document: routes name backends, whose URLs carry the
 * topology. */
static const step steps[] = {{"service", read_service}, {"topology", read_topology},
                             {"retry", read_retry},     {"dead_letter", read_dead_letter},
                             {"outbox", read_outbox},   {"scheduler", read_scheduler}};

marty_err marty__config_read(const marty__config_reader *r, const marty__yaml *root)
{
    bool empty = !root || (root->kind == MARTY__YAML_TEXT && !root->text[0]);
    if (empty) {
        return marty__config_wrong(r, MARTY_E_CONFIG, 0, NULL,
                                   "it is empty; the least is a backend, as in backends: {main: "
                                   "\"sqlite:orders.db\"}");
    }
    marty_err err = marty__config_keys(r, root, NULL, top_keys);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && !err; i++) {
        const marty__yaml *node = marty__yaml_get(root, steps[i].key);
        err = node ? steps[i].read(r, node) : MARTY_OK;
    }
    err = err ? err : read_backends(r, marty__yaml_get(root, "backends"));
    return err ? err : marty__config_read_routes(r, marty__yaml_get(root, "routes"));
}
