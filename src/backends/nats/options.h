/* SPDX-License-Identifier: Apache-2.0
 * What the URL says, checked. Strings live in the parsed URL. Read-only after open. */
#ifndef MARTY_BACKENDS_NATS_OPTIONS_H
#define MARTY_BACKENDS_NATS_OPTIONS_H
#include <marty/backend.h>

typedef enum nats__topology { NATS__CREATE, NATS__CHECK, NATS__NONE } nats__topology;
typedef enum nats__envelope {
    NATS__CLOUDEVENTS, /* CloudEvents only */
    NATS__LEGACY,      /* core subjects, legacy bodies, nothing kept */
    NATS__BOTH         /* streams; reads either, writes legacy bodies */
} nats__envelope;

typedef struct nats__options {
    marty_url *url;
    bool tls;
    const char *tls_ca, *tls_cert, *tls_key, *tls_host;
    const char *user, *password, *token, *creds, *nkey;
    const char *prefix, *inbox, *domain, *name;
    nats__topology topology;
    nats__envelope envelope;
    uint64_t lease_ms, dedup_ms;
    uint64_t retention_ms, retention_bytes; /* of topics and streams; 0 = without end */
    bool trim_hard, memory;
    bool stated; /* level= stands in the URL */
    marty_level level;
    uint32_t replicas;
} nats__options;

/** Parse and check. E: CONFIG with the key, what was expected. Freed by nats__options_free. */
marty_err nats__options_parse(nats__options *options, const char *url, marty_error *why);
/** The part of it that says how to connect and who we are, from options->url. */
marty_err nats__options_connection(nats__options *options, marty_error *why);
void nats__options_free(nats__options *options);
#endif
