/* SPDX-License-Identifier: Apache-2.0
 * Every case of every contract in one table: contract, name, function, what it says, flags, kinds,
 * bits it needs on each of these kinds, bits that a pass shows there, limit in seconds. A contract
 * may need several cases; the report is by contract. */
#ifndef TESTS_CONFORMANCE_CONTRACTS_H
#define TESTS_CONFORMANCE_CONTRACTS_H
#include "suite.h"

#define K(kind) SUITE_KIND(MARTY_KIND_##kind)
#define CAN(bit) MARTY_CAN_##bit
#define KEPT SUITE_KEPT
#define ALL (KEPT | K(REQUEST) | K(BROADCAST))
#define ONE_PROCESS 0
#define PROCESSES (SUITE_PROCESSES | SUITE_DURABLE)

#define SUITE_CASES(X)                                                                             \
    X("C01", "attributes", c01_attributes, "everything a sender sets comes out", 0, ALL, 0,        \
      CAN(CONFIRM), 30)                                                                            \
    X("C01", "empty", c01_empty, "an empty body, no headers, nothing but a type", 0, ALL, 0, 0,    \
      30)                                                                                          \
    X("C02", "bytes", c02_bytes, "bodies are bytes, exactly", 0, ALL, 0, 0, 30)                    \
    X("C03", "headers", c03_headers, "hostile headers come whole or are refused", 0, ALL, 0, 0,    \
      60)                                                                                          \
    X("C03", "reserved", c03_reserved, "names of brokers and envelopes do no harm", 0, ALL, 0, 0,  \
      60)                                                                                          \
    X("C03", "many", c03_many, "many headers", 0, ALL, 0, 0, 30)                                   \
    X("C04", "sizes", c04_sizes, "sizes up to the limit", 0, ALL, 0, 0, 60)                        \
    X("C04", "limit", c04_limit, "limit + 1 is a typed error, and the connection lives", 0, ALL,   \
      0, 0, 60)                                                                                    \
    X("C05", "queue", c05_queue, "a queue keeps what came before its first handler", 0, K(QUEUE),  \
      0, 0, 30)                                                                                    \
    X("C05", "stream", c05_stream, "a late joiner reads a stream from its start", 0, K(STREAM), 0, \
      0, 30)                                                                                       \
    X("C05", "topic_now", c05_topic_now, "a new group of a topic starts now", 0, K(TOPIC), 0, 0,   \
      30)                                                                                          \
    X("C05", "topic_kept", c05_topic_kept, "a group gets what came while nobody of it was there",  \
      0, K(TOPIC), CAN(GROUPS), 0, 30)                                                             \
    X("C05", "earliest", c05_earliest, "a topic from its start", 0, K(TOPIC), CAN(REPLAY),         \
      CAN(REPLAY), 30)                                                                             \
    X("C05", "stream_now", c05_stream_now, "a stream from now", 0, K(STREAM), CAN(REPLAY), 0, 30)  \
    X("C05", "time_and_position", c05_time_and_position, "starts at a time and at a position", 0,  \
      K(STREAM), CAN(REPLAY), CAN(REPLAY), 30)                                                     \
    X("C05", "seek", c05_seek, "a group goes elsewhere in the log", 0, K(STREAM), CAN(REPLAY), 0,  \
      40)                                                                                          \
    X("C06", "topics", c06_topics, "subscribers of one type get no other", 0, K(TOPIC), 0, 0, 30)  \
    X("C06", "handlers_of_a_group", c06_handlers_of_a_group, "one delivery has one handler", 0,    \
      K(TOPIC), 0, 0, 30)                                                                          \
    X("C06", "services", c06_services, "names that look alike are different places", 0,            \
      K(QUEUE) | K(STREAM), 0, 0, 60)                                                              \
    X("C06", "hostile_types", c06_hostile_types, "hostile names are mapped back or refused", 0,    \
      K(TOPIC), 0, 0, 60)                                                                          \
    X("C06", "wildcard", c06_wildcard, "patterns that span channels", 0, K(TOPIC) | K(BROADCAST),  \
      CAN(WILDCARD), CAN(WILDCARD), 60)                                                            \
    X("C06", "wildcard_streams", c06_wildcard_streams, "all streams at once", 0, K(STREAM),        \
      CAN(WILDCARD), CAN(WILDCARD), 60)                                                            \
    X("C07", "groups", c07_groups, "two groups each get all", 0, K(TOPIC), CAN(GROUPS),            \
      CAN(GROUPS), 30)                                                                             \
    X("C07", "stream_groups", c07_stream_groups, "two groups of a stream each get all", 0,         \
      K(STREAM), CAN(GROUPS), CAN(GROUPS), 30)                                                     \
    X("C07", "share_topic", c07_share_topic, "members of a group share a topic", 0, K(TOPIC),      \
      CAN(GROUPS), CAN(GROUPS), 40)                                                                \
    X("C07", "share_queue", c07_share_queue, "instances share a queue", 0, K(QUEUE), 0,            \
      CAN(GROUPS), 40)                                                                             \
    X("C07", "share_stream", c07_share_stream, "members of a group share a stream", 0, K(STREAM),  \
      CAN(GROUPS), 0, 40)                                                                          \
    X("C07", "broadcast", c07_broadcast, "a broadcast reaches each instance once", 0,              \
      K(BROADCAST), 0, CAN(GROUPS), 30)                                                            \
    X("C07", "instance_group", c07_instance_group, "a group of one instance alone", 0, K(TOPIC),   \
      CAN(GROUPS), 0, 30)                                                                          \
    X("C08", "threads", c08_threads, "four publishers, three subscribers, all counted", 0,         \
      K(TOPIC), 0, 0, 60)                                                                          \
    X("C08", "processes", c08_processes, "the same as processes", PROCESSES, K(TOPIC), 0, 0, 90)   \
    X("C09", "keys", c09_keys, "order per key, keys side by side", 0, K(STREAM),                   \
      CAN(ORDER_BY_KEY), CAN(ORDER_BY_KEY), 40)                                                    \
    X("C09", "instances", c09_instances, "order per key over two instances", 0, K(STREAM),         \
      CAN(ORDER_BY_KEY), 0, 40)                                                                    \
    X("C09", "retry_keeps_order", c09_retry_keeps_order, "kept under retry, others go on", 0,      \
      K(STREAM), CAN(ORDER_BY_KEY), 0, 40)                                                         \
    X("C09", "batches", c09_batches, "kept in batches of which some is retried", 0, K(STREAM),     \
      CAN(ORDER_BY_KEY), 0, 40)                                                                    \
    X("C09", "topic", c09_topic, "order per key on a topic", 0, K(TOPIC), CAN(ORDER_BY_KEY),       \
      CAN(ORDER_BY_KEY), 40)                                                                       \
    X("C09", "queue", c09_queue, "order per key on a queue", 0, K(QUEUE), CAN(ORDER_BY_KEY),       \
      CAN(ORDER_BY_KEY), 40)                                                                       \
    X("C10", "ordered_blocks", c10_ordered_blocks, "an unsettled message blocks its key", 0,       \
      K(STREAM), CAN(ORDER_BY_KEY), 0, 30)                                                         \
    X("C10", "unordered_goes_on", c10_unordered_goes_on, "without order it blocks nothing", 0,     \
      K(TOPIC), 0, 0, 30)                                                                          \
    X("C10", "stuck_stream", c10_stuck_stream, "a key that is stuck leaves room for others", 0,    \
      K(STREAM), CAN(ORDER_BY_KEY) | CAN(HOLD_KEY), CAN(HOLD_KEY), 60)                             \
    X("C10", "stuck_topic", c10_stuck_topic, "the same on a topic", 0, K(TOPIC),                   \
      CAN(ORDER_BY_KEY) | CAN(HOLD_KEY), CAN(HOLD_KEY), 60)                                        \
    X("C10", "stuck_queue", c10_stuck_queue, "the same on a queue", 0, K(QUEUE),                   \
      CAN(ORDER_BY_KEY) | CAN(HOLD_KEY), CAN(HOLD_KEY), 60)                                        \
    X("C10", "stuck_kept", c10_stuck_kept, "the same behind one that is kept", 0, K(STREAM),       \
      CAN(ORDER_BY_KEY) | CAN(HOLD_KEY), 0, 60)                                                    \
    X("C10", "stalled", c10_stalled, "when stuck keys have all room, it is told with a key", 0,    \
      K(STREAM), CAN(ORDER_BY_KEY), 0, 60)                                                         \
    X("C10", "moved_shards", c10_moved_shards,                                                     \
      "what is lost with a shard comes to its next owner", 0, K(STREAM), CAN(ORDER_BY_KEY), 0, 60) \
    X("C11", "retry", c11_retry, "a retry comes again", 0, KEPT, 0, 0, 60)                         \
    X("C11", "reject", c11_reject, "a reject does not", 0, KEPT, 0, 0, 60)                         \
    X("C11", "delay", c11_delay, "a retry is never early and not late", 0, KEPT, 0,                \
      CAN(DELAYED_RETRY), 60)                                                                      \
    X("C11", "long_delay", c11_long_delay, "a retry later than memory may hold", 0, K(TOPIC), 0,   \
      CAN(DELAYED_RETRY), 40)                                                                      \
    X("C12", "closed", c12_closed, "what a closed instance kept comes again", 0, KEPT, 0, 0, 60)   \
    X("C12", "slow", c12_slow, "a slow handler keeps its delivery", 0, K(QUEUE), 0, 0, 40)         \
    X("C12", "killed", c12_killed, "what a killed process had comes again", PROCESSES, K(TOPIC),   \
      0, 0, 60)                                                                                    \
    X("C12", "frozen", c12_frozen, "what a frozen process has comes again", PROCESSES, K(TOPIC),   \
      0, 0, 60)                                                                                    \
    X("C12", "asked_slow", c12_asked_slow, "a lease that was asked for is renewed in time", 0,     \
      K(QUEUE), 0, 0, 40)                                                                          \
    X("C12", "asked_killed", c12_asked_killed, "after a kill it comes within the lease asked for", \
      PROCESSES, K(TOPIC), 0, 0, 60)                                                               \
    X("C12", "asked_frozen", c12_asked_frozen, "the same of a frozen process", PROCESSES,          \
      K(TOPIC), 0, 0, 60)                                                                          \
    X("C13", "topic", c13_topic, "acks out of order skip nothing over a restart", 0, K(TOPIC), 0,  \
      0, 40)                                                                                       \
    X("C13", "queue", c13_queue, "the same on a queue", 0, K(QUEUE), 0, 0, 40)                     \
    X("C13", "stream", c13_stream, "the same on a stream", 0, K(STREAM), 0, 0, 40)                 \
    X("C14", "twice", c14_twice, "settling twice is a defined error", 0, K(QUEUE), 0, 0, 40)       \
    X("C14", "release", c14_release, "released unsettled is retried and counted", 0, K(QUEUE), 0,  \
      0, 40)                                                                                       \
    X("C15", "attempts", c15_attempts, "attempts are counted", 0, KEPT, 0, 0, 60)                  \
    X("C15", "instances", c15_instances, "over instances too", 0, K(TOPIC), 0, 0, 40)              \
    X("C15", "crash", c15_crash, "over crashes too", PROCESSES, K(QUEUE), 0, 0, 60)                \
    X("C16", "exhausted", c16_exhausted, "dead exactly at attempt n, with all that it was", 0,     \
      KEPT, 0, CAN(DEAD_LETTER), 60)                                                               \
    X("C16", "rejected", c16_rejected, "a reject is kept with its cause", 0, KEPT, 0, 0, 60)       \
    X("C16", "one_group_only", c16_one_group_only, "dead in one group, alive in another", 0,       \
      K(TOPIC), CAN(GROUPS), 0, 40)                                                                \
    X("C16", "folds", c16_folds, "a lost ack leaves one dead letter", 0, K(DEAD),                  \
      CAN(DEDUPLICATE), CAN(DEDUPLICATE), 40)                                                      \
    X("C17", "list_and_discard", c17_list_and_discard, "list, look, discard", 0, K(DEAD), 0,       \
      CAN(BROWSE) | CAN(CONFIRM), 40)                                                              \
    X("C17", "replay", c17_replay, "replay keeps id and order, and goes to its group", 0,          \
      K(TOPIC), CAN(GROUPS), 0, 40)                                                                \
    X("C17", "loop_guard", c17_loop_guard, "a fourth replay needs force", 0, K(TOPIC), 0, 0, 40)   \
    X("C17", "mend", c17_mend, "a letter is mended and replayed", 0, K(QUEUE), 0, 0, 40)           \
    X("C17", "wild_streams", c17_wild_streams, "dead letters of who reads all streams", 0,         \
      K(STREAM), CAN(WILDCARD), 0, 60)                                                             \
    X("C18", "garbled", c18_garbled, "what cannot be read is kept as it came", 0, K(TOPIC), 0, 0,  \
      40)                                                                                          \
    X("C18", "foreign", c18_foreign, "bytes of a foreign client that are no event", SUITE_SERVER,  \
      K(TOPIC), 0, 0, 40)                                                                          \
    X("C19", "outcomes", c19_outcomes, "a batch: each its outcome, in order, once", 0, K(STREAM),  \
      0, 0, 30)                                                                                    \
    X("C19", "partial", c19_partial, "a partial failure names exactly the failed", 0, K(STREAM),   \
      0, 0, 30)                                                                                    \
    X("C19", "too_large", c19_too_large, "one too large in a batch", 0, K(STREAM), 0, 0, 40)       \
    X("C20", "each_alone", c20_each_alone, "items of a batch settle alone", 0, K(QUEUE), 0, 0, 30) \
    X("C20", "wait_and_bytes", c20_wait_and_bytes, "batches by wait and by bytes", SUITE_ALONE,    \
      K(QUEUE) | K(STREAM), 0, 0, 30)                                                              \
    X("C20", "pull", c20_pull, "batches by pull", 0, K(QUEUE), 0, 0, 30)                           \
    X("C21", "topic", c21_topic, "a scheduled event is not early and not late", 0, K(TOPIC),       \
      CAN(DELAY), CAN(DELAY), 30)                                                                  \
    X("C21", "queue", c21_queue, "a scheduled command", 0, K(QUEUE), CAN(DELAY), CAN(DELAY), 30)   \
    X("C21", "stream", c21_stream, "a scheduled message of a stream", 0, K(STREAM), CAN(DELAY),    \
      CAN(DELAY), 30)                                                                              \
    X("C21", "absolute", c21_absolute, "at a time, and at a time that is past", 0, K(TOPIC),       \
      CAN(DELAY), 0, 30)                                                                           \
    X("C21", "restart", c21_restart, "a schedule outlives the instance", 0, K(TOPIC), CAN(DELAY),  \
      0, 30)                                                                                       \
    X("C21", "crash", c21_crash, "a schedule outlives the process", PROCESSES, K(QUEUE),           \
      CAN(DELAY), 0, 40)                                                                           \
    X("C21", "cancel", c21_cancel, "a scheduled message can be taken back", 0, KEPT, CAN(CANCEL),  \
      CAN(CANCEL), 40)                                                                             \
    X("C22", "expired", c22_expired, "what has expired is never handed over", 0, KEPT, 0, 0, 40)   \
    X("C22", "native", c22_native, "the broker itself drops it", 0, KEPT, CAN(TIME_TO_LIVE),       \
      CAN(TIME_TO_LIVE), 40)                                                                       \
    X("C22", "message_says", c22_message_says, "the message's own time", 0, K(TOPIC), 0, 0, 30)    \
    X("C22", "waiting", c22_waiting, "a broadcast that waits expires", 0, K(BROADCAST),            \
      CAN(TIME_TO_LIVE), CAN(TIME_TO_LIVE), 30)                                                    \
    X("C22", "waiting_query", c22_waiting_query, "a query that waits expires", 0, K(REQUEST),      \
      CAN(TIME_TO_LIVE), CAN(TIME_TO_LIVE), 30)                                                    \
    X("C23", "many", c23_many, "150 queries at once get their own replies", 0,                     \
      K(REQUEST) | K(REPLY), 0, CAN(REPLY) | CAN(CONFIRM), 40)                                     \
    X("C23", "late", c23_late, "time-outs hold, late replies are dropped and counted", 0,          \
      K(REQUEST), 0, 0, 30)                                                                        \
    X("C23", "errors", c23_errors, "the responder's errors are typed", 0, K(REQUEST), 0, 0, 30)    \
    X("C23", "unknown_type", c23_unknown_type, "a query that its service does not handle", 0,      \
      K(REQUEST), 0, 0, 30)                                                                        \
    X("C23", "nobody", c23_nobody, "nobody there is said at once", 0, K(REQUEST),                  \
      CAN(NO_RESPONDER), CAN(NO_RESPONDER), 30)                                                    \
    X("C23", "deadline", c23_deadline, "the deadline travels", 0, K(REQUEST), 0, 0, 30)            \
    X("C24", "credit", c24_credit, "credit bounds what is held", SUITE_ALONE, K(QUEUE), 0, 0, 40)  \
    X("C24", "inflight", c24_inflight, "the in-flight limit bounds what is published", 0,          \
      K(QUEUE), 0, 0, 40)                                                                          \
    X("C25", "pause", c25_pause, "paused, resumed, nothing lost", 0, KEPT, 0, 0, 40)               \
    X("C25", "starts_paused", c25_starts_paused, "begins paused, and is a member", 0, K(TOPIC), 0, \
      0, 30)                                                                                       \
    X("C26", "drain", c26_drain, "drain: no new one, running ones settle, the rest goes back", 0,  \
      K(QUEUE), 0, 0, 40)                                                                          \
    X("C26", "deadline", c26_deadline, "the drain's deadline holds", SUITE_ALONE, K(QUEUE), 0, 0,  \
      30)                                                                                          \
    X("C26", "from_a_handler", c26_from_a_handler, "close in a handler only begins it", 0,         \
      K(QUEUE), 0, 0, 30)                                                                          \
    X("C26", "concurrent", c26_concurrent, "close from four threads", 0, K(QUEUE), 0, 0, 30)       \
    X("C26", "run", c26_run, "run until stop", 0, K(TOPIC), 0, 0, 30)                              \
    X("C27", "topic", c27_topic, "kill -9 at each step, on a topic", PROCESSES, K(TOPIC), 0, 0,    \
      120)                                                                                         \
    X("C27", "queue", c27_queue, "kill -9 at each step, on a queue", PROCESSES, K(QUEUE), 0, 0,    \
      120)                                                                                         \
    X("C27", "stream", c27_stream, "kill -9 at each step, on a stream", PROCESSES, K(STREAM), 0,   \
      0, 120)                                                                                      \
    X("C28", "killed", c28_killed, "the broker is killed twice under load", SUITE_SERVER,          \
      K(QUEUE), 0, 0, 90)                                                                          \
    X("C28", "stopped", c28_stopped, "the broker is restarted under load", SUITE_SERVER, K(QUEUE), \
      0, 0, 90)                                                                                    \
    X("C28", "frozen", c28_frozen, "the broker stands still under load", SUITE_SERVER, K(QUEUE),   \
      0, 0, 90)                                                                                    \
    X("C28", "cut", c28_cut, "connections are cut under load", SUITE_SERVER, K(QUEUE), 0, 0, 90)   \
    X("C28", "half_open", c28_half_open, "connections swallow bytes under load", SUITE_SERVER,     \
      K(QUEUE), 0, 0, 90)                                                                          \
    X("C28", "slow", c28_slow, "a slow network under load", SUITE_SERVER, K(QUEUE), 0, 0, 90)      \
    X("C28", "leader", c28_leader, "the leader is killed under load", SUITE_CLUSTER, K(QUEUE), 0,  \
      0, 120)                                                                                      \
    X("C29", "credentials", c29_credentials, "wrong, revoked and rotated credentials",             \
      SUITE_SERVER, K(QUEUE), 0, 0, 60)                                                            \
    X("C30", "created", c30_created, "a missing channel is made, told, removed", 0, K(QUEUE), 0,   \
      0, 30)                                                                                       \
    X("C30", "check_only", c30_check_only, "with topology=check it is NOT_FOUND", 0, K(QUEUE), 0,  \
      0, 30)                                                                                       \
    X("C30", "live_group", c30_live_group, "a channel in use is not removed", 0, K(QUEUE), 0, 0,   \
      30)                                                                                          \
    X("C30", "different", c30_different, "a different channel is told, not altered", 0, K(TOPIC),  \
      CAN(ORDER_BY_KEY), 0, 30)                                                                    \
    X("C31", "query", c31_query, "cancel a blocked query", 0, K(REQUEST), 0, 0, 40)                \
    X("C31", "receive", c31_receive, "stop a blocked receive", 0, K(QUEUE), 0, 0, 40)              \
    X("C31", "publish", c31_publish, "cancel a blocked publish", SUITE_SERVER, K(QUEUE), 0, 0, 40) \
    X("C32", "after_close", c32_after_close, "use after close, closing twice", 0, K(TOPIC), 0, 0,  \
      30)                                                                                          \
    X("C33", "concurrency", c33_concurrency, "lanes changed while running", 0, K(STREAM), 0, 0,    \
      60)                                                                                          \
    X("C34", "publisher_killed", c34_publisher_killed, "confirmed, then the process is killed",    \
      PROCESSES, K(QUEUE), 0, CAN(PERSIST), 60)                                                    \
    X("C34", "broker_killed", c34_broker_killed, "confirmed, then the broker is killed",           \
      SUITE_SERVER, K(QUEUE), 0, CAN(PERSIST), 60)                                                 \
    X("C34", "kinds", c34_kinds, "the same for topics and streams", PROCESSES,                     \
      K(TOPIC) | K(STREAM), 0, CAN(PERSIST), 60)                                                   \
    X("C34", "dead", c34_dead, "the same for dead letters", PROCESSES, K(DEAD), 0, CAN(PERSIST),   \
      60)                                                                                          \
    X("C34", "level", c34_level, "the level that is said is the level that is", 0, KEPT, 0,        \
      CAN(CONFIRM), 30)                                                                            \
    X("C35", "window", c35_window, "the same id inside the window, and beyond it", SUITE_ALONE,    \
      KEPT, CAN(DEDUPLICATE), CAN(DEDUPLICATE), 40)                                                \
    X("C35", "other_source", c35_other_source, "an id is one message per source", 0, K(TOPIC),     \
      CAN(DEDUPLICATE), 0, 30)                                                                     \
    X("C38", "trace", c38_trace, "a trace goes on through retry, dead letter, replay, effect", 0,  \
      K(TOPIC), 0, 0, 40)                                                                          \
    X("C39", "claimed", c39_claimed, "every claim has a case that shows it", 0, 0, 0, 0, 30)       \
    X("C39", "priority", c39_priority, "what is urgent comes first", 0, K(TOPIC) | K(QUEUE),       \
      CAN(PRIORITY), CAN(PRIORITY), 30)                                                            \
    X("C39", "unclaimed", c39_unclaimed, "what is not claimed is not there", 0, 0, 0, 0, 240)      \
    X("C42", "ten_thousand", c42_ten_thousand, "10,000 subscriptions", SUITE_ALONE, K(TOPIC), 0,   \
      0, 120)                                                                                      \
    X("C42", "leave", c42_leave, "unsubscribing under load loses nothing", 0, K(TOPIC),            \
      CAN(GROUPS), 0, 40)                                                                          \
    X("C42", "unsubscribes_itself", c42_unsubscribes_itself, "a handler unsubscribes itself", 0,   \
      K(QUEUE), 0, 0, 40)                                                                          \
    X("C42", "last_ack", c42_last_ack, "a handler that runs at the stop still acks", 0, KEPT, 0,   \
      0, 60)                                                                                       \
    X("C42", "kept_ack", c42_kept_ack, "what is kept is acked after unsubscribing", 0, KEPT, 0, 0, \
      60)                                                                                          \
    X("C42", "shared_leave", c42_shared_leave, "two handlers of a group leave one by one", 0,      \
      K(TOPIC), CAN(GROUPS), 0, 40)                                                                \
    X("C43", "ahead", c43_ahead, "a schedule by a clock an hour ahead", 0, K(QUEUE), CAN(DELAY),   \
      0, 40)                                                                                       \
    X("C43", "behind", c43_behind, "a schedule by a clock an hour behind", 0, K(QUEUE),            \
      CAN(DELAY), 0, 40)                                                                           \
    X("C43", "expiry", c43_expiry, "a time to live by a clock an hour behind", 0, K(QUEUE), 0, 0,  \
      40)                                                                                          \
    X("C43", "query_ahead", c43_query_ahead, "a query by a clock an hour ahead", 0, K(REQUEST), 0, \
      0, 40)                                                                                       \
    X("C43", "query_behind", c43_query_behind, "a query by a clock an hour behind", 0, K(REQUEST), \
      0, 0, 40)                                                                                    \
    X("C43", "query_near", c43_query_near, "a slow answer, by clocks that are seconds apart", 0,   \
      K(REQUEST), 0, 0, 40)                                                                        \
    X("C43", "jump", c43_jump, "our clock jumps while a delivery is held", 0, K(QUEUE), 0, 0, 40)  \
    X("C44", "fork", c44_fork, "a forked child is told, the parent goes on", 0, K(TOPIC), 0, 0,    \
      60)                                                                                          \
    X("C44", "signals", c44_signals, "our threads take no signals", 0, K(TOPIC), 0, 0, 30)         \
    X("C44", "threads_that_end", c44_threads_that_end, "threads that publish and end", 0,          \
      K(TOPIC), 0, 0, 30)                                                                          \
    X("C45", "foreign_reads", c45_foreign_reads, "a foreign client reads us", SUITE_SERVER,        \
      K(TOPIC), 0, 0, 40)                                                                          \
    X("C45", "we_read", c45_we_read, "we read a foreign client", SUITE_SERVER, K(TOPIC), 0, 0, 40) \
    X("C45", "foreign_asks", c45_foreign_asks, "we answer a foreign client", SUITE_SERVER,         \
      K(REQUEST), 0, 0, 40)                                                                        \
    X("C46", "handlers_one_by_one", c46_handlers_one_by_one, "no message misses its handler", 0,   \
      K(TOPIC), CAN(GROUPS), 0, 60)                                                                \
    X("C47", "outage", c47_outage, "an outage downstream kills nothing", 0, KEPT, 0, 0, 60)        \
    X("C48", "once", c48_once, "an effect published once is one effect", 0, K(QUEUE),              \
      CAN(DEDUPLICATE), 0, 40)                                                                     \
    X("C49", "settles", c49_settles, "a cause is acked only if its effect is stored", PROCESSES,   \
      K(QUEUE), 0, 0, 120)                                                                         \
    X("C49", "not_stored", c49_not_stored, "an effect refused: the cause is retried", 0, K(QUEUE), \
      0, 0, 40)

#define SUITE_DECLARE(contract, name, function, ...) void function(void);
SUITE_CASES(SUITE_DECLARE)

#define SUITE_ROLES(X)                                                                             \
    X(publisher, role_publisher)                                                                   \
    X(subscriber, role_subscriber)                                                                 \
    X(die_at_first, role_die_at_first)                                                             \
    X(stall, role_stall)                                                                           \
    X(schedule_and_die, role_schedule_and_die)                                                     \
    X(victim, role_victim)                                                                         \
    X(confirm_and_die, role_confirm_and_die)                                                       \
    X(confirm_kinds_and_die, role_confirm_kinds_and_die)                                           \
    X(bury_and_die, role_bury_and_die)                                                             \
    X(wrong_clock, role_wrong_clock)                                                               \
    X(settler, role_settler)
#define SUITE_DECLARE_ROLE(name, function) void function(int count, char *words[]);
SUITE_ROLES(SUITE_DECLARE_ROLE)
#endif
