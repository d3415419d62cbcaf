/* SPDX-License-Identifier: Apache-2.0
 * Every limit and default of core in one place. Times in ms, sizes in bytes. */
#ifndef MARTY_BASE_LIMITS_H
#define MARTY_BASE_LIMITS_H

enum {
    MARTY__NAME_BYTES_MAX = 255,        /* types, services, groups, streams */
    MARTY__ATTRIBUTE_BYTES_MAX = 65536, /* one attribute or header value */
    MARTY__HEADERS_MAX = 1024,          /* headers of one message */
    MARTY__SEGMENTS_MAX = 32,           /* segments of a name */
    MARTY__WORKERS_MAX = 1024,
    MARTY__INFLIGHT_MAX = 10000,
    MARTY__INFLIGHT_BYTES_MAX = 64 << 20,
    MARTY__CREDIT = 64,
    MARTY__TIMEOUT_MS = 5000,
    MARTY__DRAIN_MS = 10000,
    MARTY__KEEP_MAX_MS = 30 * 60 * 1000,
    MARTY__RETRY_ATTEMPTS = 5,
    MARTY__RETRY_FIRST_MS = 200,
    MARTY__RETRY_MAX_MS = 30000,
    MARTY__HOLD_MAX_MS = 5000, /* the longest that a retry is held in memory */
    MARTY__SHARDS = 12,
    MARTY__REASON_BYTES_MAX = 200,
    MARTY__REPLAYS_MAX = 3,
};
#endif
