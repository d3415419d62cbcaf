/* SPDX-License-Identifier: Apache-2.0
 * Where a configuration comes from (a URL, a file, a text, the environment), and how it is shown.
 * Loading is one thread's; the result is immutable. */
#include "config.h"

#include "backend/capability.h"
#include "base/alloc.h"
#include "config_read.h"
#include "route.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct loaded { /* one allocation: the configuration and what its strings live in */
    marty__config config;
    marty__arena arena;
} loaded;

const char *marty__topology_word(marty__topology topology)
{
    static const char *const words[] = {"create", "check", "none"};
    return words[topology];
}

/* Whether it is a URL and not a path: a path with a colon is written "./a:b". */
static bool is_url(const char *where)
{
    size_t size = 0;
    while (isalnum((unsigned char)where[size]) ||
           (size && strchr("+.-", where[size]) && where[size])) {
        size++;
    }
    return size && isalpha((unsigned char)where[0]) && where[size] == ':';
}

static marty_err load_url(const marty__config_reader *r, const char *url)
{
    r->config->backends = marty__arena_alloc(r->arena, sizeof *r->config->backends);
    if (!r->config->backends) {
        return marty__config_no_memory(r);
    }
    marty_err err = marty__config_add_backend(r, 0, NULL, "main", url, r->file);
    return err ? err : marty__config_read_routes(r, NULL);
}

static marty_err load_text(const marty__config_reader *r, const char *text, size_t size)
{
    const marty__yaml *root = NULL;
    marty_err err = marty__yaml_parse(&root, r->arena, r->file, text, size, r->why);
    return err ? err : marty__config_read(r, root);
}

static marty_err missing(const marty__config_reader *r, const char *advice)
{
    return marty_error_set(r->why, MARTY_E_NOT_FOUND, "%s: no such file%s", r->file, advice);
}

static marty_err read_file(const marty__config_reader *r, const char *advice, char **ret_text,
                           size_t *ret_size)
{
    int file = open(r->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat state;
    if (file < 0 && errno == ENOENT) {
        return missing(r, advice);
    }
    if (file < 0 || fstat(file, &state) != 0) {
        return marty_error_set(r->why, MARTY_E_CONFIG, "%s: cannot be read: %s", r->file,
                               strerror(errno));
    }
    marty_err err = MARTY_OK;
    char *text = S_ISREG(state.st_mode) ? marty_alloc(MARTY__YAML_BYTES_MAX + 1) : NULL;
    size_t size = 0;
    ssize_t more = text ? 1 : 0;
    while (more > 0 && size <= MARTY__YAML_BYTES_MAX) {
        more = read(file, text + size, MARTY__YAML_BYTES_MAX + 1 - size);
        size += more > 0 ? (size_t)more : 0;
    }
    if (!S_ISREG(state.st_mode)) {
        err = marty_error_set(r->why, MARTY_E_CONFIG, "%s: is no file", r->file);
    } else if (!text) {
        err = marty__config_no_memory(r);
    } else if (more < 0) {
        err = marty_error_set(r->why, MARTY_E_CONFIG, "%s: cannot be read: %s", r->file,
                              strerror(errno));
    }
    (void)close(file);
    *ret_text = text;
    *ret_size = size;
    return err;
}

static marty_err load_file(const marty__config_reader *r, const char *advice)
{
    char *text = NULL;
    size_t size = 0;
    marty_err err = read_file(r, advice, &text, &size);
    err = err ? err : load_text(r, text, size);
    marty_free(text);
    return err;
}

static marty_err load_where(marty__config_reader *r, const char *where,
                            const marty_bus_options *options)
{
    const char *text = options ? options->config_text : NULL;
    const char *variable = NULL;
    const char *advice = "; give a URL, such as sqlite:orders.db or memory:, or the path of a "
                         "configuration file";
    if (!where && text) {
        r->file = r->config->from = "config_text";
        return load_text(r, text, strlen(text));
    }
    if (!where) {
        variable = getenv("MARTY_CONFIG");
        advice = variable ? ", which $MARTY_CONFIG names; set it to a configuration file or a URL"
                          : " here; give a URL, such as sqlite:orders.db or memory:, the path of a "
                            "configuration file, or set MARTY_CONFIG";
        where = variable && *variable ? variable : "marty.yaml";
    }
    bool url = is_url(where);
    r->file = url ? (variable ? "$MARTY_CONFIG" : "the URL")
                  : marty__arena_text(r->arena, where, strlen(where));
    r->config->from = r->file;
    if (!r->file) {
        r->file = "the configuration";
        return marty__config_no_memory(r);
    }
    return url ? load_url(r, where) : load_file(r, advice);
}

static marty_err take_service(const marty__config_reader *r, const marty_bus_options *options)
{
    char segment[MARTY__CHANNEL_ROOM];
    if (!options || !options->service) {
        return MARTY_OK;
    }
    marty_err err = marty__name_segment(segment, "service", options->service, r->why);
    if (err) {
        return err;
    }
    r->config->service = marty__arena_text(r->arena, options->service, strlen(options->service));
    r->config->service_from = "the program";
    return r->config->service ? MARTY_OK : marty__config_no_memory(r);
}

marty_err marty__config_load(marty__config **ret, const char *where,
                             const marty_bus_options *options, marty_error *why)
{
    marty_error ignored;
    loaded *made = marty_alloc_zero(1, sizeof *made);
    why = why ? why : &ignored;
    if (!made) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "out of memory");
    }
    made->config.memory = made;
    marty__config_reader r = {&made->config, &made->arena, "the configuration", why};
    marty__config_defaults(&made->config);
    marty_err err = take_service(&r, options);
    err = err ? err : load_where(&r, where, options);
    if (err) {
        marty__config_free(&made->config);
        return err;
    }
    *ret = &made->config;
    return MARTY_OK;
}

void marty__config_free(marty__config *config)
{
    if (config) {
        loaded *made = config->memory;
        marty__arena_free(&made->arena);
        marty_free(made);
    }
}

/* ---- as JSON */

static void add_text(marty__buffer *to, const char *key, const char *value)
{
    marty__buffer_format(to, "\"%s\":", key);
    if (value) {
        marty__buffer_json(to, value, strlen(value));
    } else {
        marty__buffer_text(to, "null");
    }
}

static void add_pair(marty__buffer *to, const char *key, const char *value, const char *after)
{
    add_text(to, key, value);
    marty__buffer_text(to, after);
}

static void add_backend(marty__buffer *to, const marty__config_backend *backend)
{
    marty__buffer_byte(to, '{');
    add_pair(to, "name", backend->name, ",");
    add_pair(to, "url", backend->redacted, ",");
    add_pair(to, "from", backend->from, "}");
}

static void add_channels(marty__buffer *to, const marty__config_route *route)
{
    marty__buffer_text(to, "\"channels\":[");
    for (size_t i = 0; i < route->channel_count; i++) {
        marty__buffer_text(to, i ? "," : "");
        marty__buffer_json(to, route->channels[i], strlen(route->channels[i]));
    }
    marty__buffer_text(to, "],");
}

static void add_need(marty__buffer *to, uint64_t need)
{
    bool comma = false;
    marty__buffer_text(to, "\"need\":[");
    for (unsigned i = 0; marty__capability_name(i); i++) {
        if (need >> i & 1) {
            marty__buffer_format(to, "%s\"%s\"", comma ? "," : "", marty__capability_name(i));
            comma = true;
        }
    }
    marty__buffer_text(to, "],");
}

static void add_route(marty__buffer *to, const marty__config *config,
                      const marty__config_route *route)
{
    marty__buffer_byte(to, '{');
    add_pair(to, "pattern", marty__pattern_word(route->pattern), ",");
    add_pair(to, "match", route->match, ",");
    add_pair(to, "to", config->backends[route->backend].name, ",");
    add_pair(to, "channel", route->native ? NULL : route->channel, ",");
    if (route->native) {
        add_pair(to, "name", route->native, ",");
    }
    if (route->channel_count) {
        add_channels(to, route);
    }
    if (route->need) {
        add_need(to, route->need);
    }
    add_pair(to, "order", route->order == MARTY_ORDER_KEY ? "key" : "none", ",");
    if (route->shards) {
        marty__buffer_format(to, "\"shards\":%u,", route->shards);
    }
    add_pair(to, "from", route->from, "}");
}

static void add_retry(marty__buffer *to, const marty__config *config)
{
    marty__buffer_text(to, "\"retry\":{\"attempts\":");
    if (config->retry.attempts == UINT32_MAX) {
        marty__buffer_text(to, "\"unlimited\"");
    } else {
        marty__buffer_format(to, "%u", config->retry.attempts);
    }
    marty__buffer_format(to, ",\"first_ms\":%u,\"max_ms\":%u,", config->retry.first_ms,
                         config->retry.max_ms);
    add_pair(to, "jitter", config->retry.no_jitter ? "none" : "full", ",");
    marty__buffer_format(to, "\"hold_max_ms\":%u,", config->hold_max_ms);
    add_pair(to, "from", config->retry_from, "}");
}

void marty__config_json(const marty__config *config, marty__buffer *to)
{
    marty__buffer_byte(to, '{');
    add_pair(to, "service", config->service, ",");
    add_pair(to, "service_from", config->service_from, ",");
    add_pair(to, "from", config->from, ",");
    marty__buffer_text(to, "\"backends\":[");
    for (size_t i = 0; i < config->backend_count; i++) {
        marty__buffer_text(to, i ? "," : "");
        add_backend(to, &config->backends[i]);
    }
    marty__buffer_text(to, "],\"routes\":[");
    for (size_t i = 0; i < config->route_count; i++) {
        marty__buffer_text(to, i ? "," : "");
        add_route(to, config, &config->routes[i]);
    }
    marty__buffer_text(to, "],");
    add_retry(to, config);
    marty__buffer_text(to, ",\"dead_letter\":{");
    add_pair(to, "channel", config->dead_channel, ",");
    add_pair(to, "from", config->dead_from, "},\"topology\":{");
    add_pair(to, "mode", marty__topology_word(config->topology), ",");
    add_pair(to, "from", config->topology_from, "}}");
}
