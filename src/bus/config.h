/* SPDX-License-Identifier: Apache-2.0
 * The configuration of a bus: from a URL, a YAML file or text, and for each value the place that it
 * came from. Immutable once loaded, so any thread may read it. Secrets are in the URLs only, and no
 * error and no report shows them. Reference: docs/reference/configuration.md. */
#ifndef MARTY_BUS_CONFIG_H
#define MARTY_BUS_CONFIG_H
#include "base/buffer.h"

#include <marty/backend.h>

typedef enum marty__topology {
    MARTY__TOPOLOGY_CREATE,
    MARTY__TOPOLOGY_CHECK,
    MARTY__TOPOLOGY_NONE
} marty__topology;
typedef struct marty__config_backend {
    const char *name, *url, *redacted, *from; /* url: with its secrets, never shown */
} marty__config_backend;
typedef struct marty__config_route {
    marty_pattern pattern;
    const char *match;   /* a checked pattern */
    size_t backend;      /* index of backends */
    const char *channel; /* template; never NULL */
    const char *native;  /* `name:`, the broker's own name as it is, or NULL */
    const char *
        *channels; /* what a subscription that spans channels reads, in place of a wildcard */
    size_t channel_count;
    marty_order order;        /* NONE or KEY */
    uint32_t shards;          /* 0 = not a log of shards */
    uint64_t need;            /* MARTY_CAN_... bits that the backend must grant */
    const char *label, *from; /* "routes[3]"; "marty.yaml:9" */
} marty__config_route;
typedef struct marty__config {
    const char *service, *service_from; /* NULL = none; from: NULL then */
    marty__config_backend *backends;
    size_t backend_count;
    marty__config_route *routes; /* the first that matches wins */
    size_t route_count;
    marty_retry_policy retry;
    uint32_t hold_max_ms;
    const char *retry_from;
    const char *dead_channel, *dead_from; /* template, "dead.{channel}" */
    marty__topology topology;
    const char *topology_from;
    const char *from; /* the file, "the URL" or "config_text" */
    void *memory;     /* all of its strings and arrays */
} marty__config;

/** Load. where: a URL, the path of a YAML file, or NULL: options->config_text, else $MARTY_CONFIG,
 * else marty.yaml. options may be NULL. Yours to free. E: CONFIG and UNSUPPORTED, naming file, line
 * and field; NOT_FOUND; NO_MEMORY. */
marty_err marty__config_load(marty__config **ret, const char *where,
                             const marty_bus_options *options, marty_error *why);
/** NULL is fine. */
void marty__config_free(marty__config *config);
/** Append it as the JSON of MARTY_REPORT_CONFIG, without secrets. */
void marty__config_json(const marty__config *config, marty__buffer *to);
/** "event", "command", "query", "stream", "broadcast". Static. */
const char *marty__pattern_word(marty_pattern pattern);
/** "create", "check", "none". Static. */
const char *marty__topology_word(marty__topology topology);
#endif
