/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MARTY_CAPABILITY_H
#define MARTY_CAPABILITY_H
#include <marty/publish.h>
#include <marty/subscribe.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MARTY_CAPABILITIES(                                                                        \
    X) /* append-only; the lower-case name is the word in YAML, CLI and docs */                    \
    X(GROUPS, 0)                                                                                   \
    X(REPLAY, 1) X(DELAY, 2) X(DELAYED_RETRY, 3) X(CANCEL, 4) X(TIME_TO_LIVE, 5)                   \
        X(ORDER_BY_KEY, 6) X(PERSIST, 7) X(CONFIRM, 8) X(DEDUPLICATE, 9) X(DEAD_LETTER, 10)        \
            X(BROWSE, 11) X(WILDCARD, 12) X(REPLY, 13) X(NO_RESPONDER, 14) X(PRIORITY, 15)         \
                X(TRANSACTIONS, 16)
#define MARTY__CAN_ENUM(name, bit) MARTY_CAN_##name = 1 << (bit),
enum { MARTY_CAPABILITIES(MARTY__CAN_ENUM) };
typedef enum marty_kind { /* of a channel; REQUEST, BROADCAST, REPLY keep nothing */
                          MARTY_KIND_TOPIC = 1,
                          MARTY_KIND_QUEUE,
                          MARTY_KIND_REQUEST,
                          MARTY_KIND_STREAM,
                          MARTY_KIND_BROADCAST,
                          MARTY_KIND_REPLY,
                          MARTY_KIND_DEAD
} marty_kind;
typedef enum marty_known { MARTY_UNKNOWN, MARTY_NO, MARTY_YES } marty_known;
typedef struct marty_capabilities {
    uint64_t can[8]; /* MARTY_CAN_... by marty_kind; [0] = on all of them */
    marty_level level;
    uint32_t copies;
    marty_known synced;
    bool assumed, stated; /* of stored: read from the broker's real configuration, else the weakest;
                             stated: by the URL */
    uint32_t header_count_max, name_bytes_max, inflight_max;
    uint64_t payload_bytes_max, header_bytes_max, delay_ms_max, lease_ms, deduplicate_ms,
        reserved[8]; /* 0 = no limit known */
} marty_capabilities;

#ifdef __cplusplus
}
#endif
#endif
