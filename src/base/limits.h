/* SPDX-License-Identifier: Apache-2.0
 * Limits that a user can meet, and defaults that a user can change or notice, of core in one place.
 * What only tunes one file stays in that file. Times in ms, sizes in bytes. */
#ifndef MARTY_BASE_LIMITS_H
#define MARTY_BASE_LIMITS_H

enum {                                     /* messages and names */
       MARTY__NAME_BYTES_MAX = 255,        /* types, services, groups, streams */
       MARTY__ATTRIBUTE_BYTES_MAX = 65536, /* one attribute or header value */
       MARTY__HEADERS_MAX = 1024,          /* headers of one message */
       MARTY__SEGMENTS_MAX = 32,           /* segments of a name */
       MARTY__REASON_BYTES_MAX = 200,
};

enum { /* marty.yaml */
       MARTY__YAML_BYTES_MAX = 1 << 20,
       MARTY__YAML_DEPTH_MAX = 16,
       MARTY__YAML_NODES_MAX = 10000,
       MARTY__BACKENDS_MAX = 64,
       MARTY__BACKEND_NAME_BYTES_MAX = 63,
       MARTY__ROUTES_MAX = 2000,
       MARTY__CHANNELS_MAX = 64, /* of one route */
       MARTY__SHARDS_MAX = 4096,
       MARTY__SHARDS = 12,
};

enum { /* a bus */
       MARTY__WORKERS_MAX = 1024,
       MARTY__INFLIGHT_MAX = 10000,
       MARTY__INFLIGHT_BYTES_MAX = 64 << 20,
       MARTY__TIMEOUT_MS = 5000,
       MARTY__DRAIN_MS = 10000,
       MARTY__UNSTARTED_MS = 10000,     /* handlers and no start for so long: STALLED */
       MARTY__RECONNECT_FIRST_MS = 100, /* doubled up to the next, a random part of it */
       MARTY__RECONNECT_MAX_MS = 10000,
       MARTY__RECONNECT_STEADY_MS = 1000, /* one that lasted less, in vain, has failed */
       MARTY__RESUBSCRIBE_FIRST_MS = 200, /* after a refusal that may pass */
       MARTY__RESUBSCRIBE_MAX_MS = 3000,  /* short against what a caller waits for it */
       MARTY__KNOWN_CHANNELS_MAX =
           10000, /* names of channels, kept for who may look at them later */
};

enum { /* a subscription */
       MARTY__CONCURRENCY_MAX = 65536,
       MARTY__BATCH_MAX = 65536,
       MARTY__PLACES_MAX = 64, /* channels that one pattern may span */
       MARTY__CREDIT = 64,
       MARTY__REPLY_CREDIT = 4096,
       MARTY__LEASE_MIN_MS = 200, /* that a subscription may ask for */
       MARTY__KEEP_MAX_MS = 30 * 60 * 1000,
       MARTY__QUIET_MS = 5000, /* messages wait, none comes, or none of a key goes on: STALLED */
};

enum { /* retry and dead letters */
       MARTY__RETRY_ATTEMPTS = 5,
       MARTY__RETRY_FIRST_MS = 200,
       MARTY__RETRY_MAX_MS = 30000,
       MARTY__HOLD_MAX_MS = 5000, /* the longest that a retry is held in memory */
       MARTY__ATTEMPTS_MAX = 999999,
       MARTY__WORN_OUT_EXTRA = 10, /* over twice the attempts: it kills its process */
       MARTY__REPLAYS_MAX = 3,
};

enum { /* a saga */
       /* Of participants and engines, for their commands and answers. A cluster that has lost a
        * server chooses within 4 to 9 s who leads a queue; a busy one needs it twice or thrice. */
       MARTY__LISTEN_MS = 30000,
};
#endif
