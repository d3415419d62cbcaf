/* SPDX-License-Identifier: Apache-2.0
 * Publishing: events, commands, streams and broadcasts. Every accepted message gets exactly one
 * outcome. A call waits for it, or returns at once and a completion brings it. */
#ifndef MARTY_PUBLISH_H
#define MARTY_PUBLISH_H
#include <marty/bus.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How well something is stored. @since 0.1 @source docs/design/0001-architecture.md */
typedef enum marty_level {
    MARTY_LEVEL_ANY,       /**< Whatever the backend grants. */
    MARTY_LEVEL_MEMORY,    /**< In the memory of the broker. */
    MARTY_LEVEL_WRITTEN,   /**< Written to a file, perhaps not on the disk yet. */
    MARTY_LEVEL_SYNCED,    /**< On the disk. */
    MARTY_LEVEL_REPLICATED /**< On several brokers; that does not imply synced. */
} marty_level;

/** What became of one message. @since 0.1 @source docs/design/0002-public-api.md */
typedef struct marty_outcome {
    /** Of the message: what to publish again with; "" if longer (then it was yours). */
    char id[40];
    /** MARTY_OK = stored; MARTY_E_MAYBE_STORED = in doubt; any other = not stored. */
    marty_err err;
    /** Of MARTY_OK: how well it is stored. */
    marty_level level;
    /** The backend's name in the configuration; lives as long as the bus. */
    const char *backend;
    /** The channel, by our name; lives as long as the bus. NULL once it keeps 10,000 others. */
    const char *channel;
    /** The broker's name for it, "42" or "3:1807", or "". */
    char position[48];
    /** Leave it. */
    uint64_t reserved[2];
} marty_outcome;

/**
 * The completion of a publish: called once per accepted call, never inside it (but see at_once),
 * also on close. It may run before the call has returned, on another thread: prepare `user` first.
 *
 * @param user Of the options of the publish.
 * @param outcomes One per message, in the order of the messages. Borrowed until the return.
 * @param count How many messages.
 * @threads A worker; on a driven bus the thread in marty_bus_process, marty_bus_run or
 *     marty_bus_close; with at_once any.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
typedef void (*marty_done)(void *user, const marty_outcome *outcomes, size_t count);

/** How to publish. Zero means the default: wait for the broker's confirmation, 5,000 ms.
 *  @since 0.1 @source docs/design/0002-public-api.md */
typedef struct marty_publish_options {
    /** A template for id, key, headers and the rest, of the verbs that take one message. A counted
     *  message lends key, subject, headers, content type, schema and priority; never its id,
     *  source, time, trace or expiry. NULL = none. */
    const marty_message *with;
    /** What this follows from: gives correlation and causation. NULL = nothing. */
    const marty_message *cause;
    /** Kept by an accepted call: all stored acks it, else it is retried. Its message is the cause
     *  unless one is given. NULL = none. */
    marty_delivery *settles;
    /** With a cause: the id is a hash of the cause's id, its group and this, so that it is the same
     *  on every attempt and a repeat folds. NULL = a new id. */
    const char *once;
    /** For room, a connection and the answer together; bounds done too; 0 = 5,000. A call without
     *  done may write for its backend (sqlite): a disk that hangs then holds it for longer. */
    int32_t timeout_ms;
    /** At least that well; a backend that grants less: MARTY_E_UNSUPPORTED, and nothing is sent. */
    marty_level level;
    /** Deliver not before, Unix time in microseconds; 0 = now. */
    int64_t deliver_at_us;
    /** The same from now, as a duration where the broker takes one; 0 = now. */
    uint32_t deliver_in_ms;
    /** Worth nothing after, from now, as a duration where the broker takes one; 0 = never. */
    uint32_t expires_in_ms;
    /** Into the configured outbox, within this open transaction (sqlite3 or PGconn); OK = stored if
     *  you commit. Not here yet: set, it is MARTY_E_UNSUPPORTED (no outbox). Once there is one:
     *  MARTY_E_CONFIG (not its database), MARTY_E_STATE (no transaction open). NULL = none. */
    void *transaction;
    /** As many as messages, filled before the return or done; must live until then. NULL = none. */
    marty_outcome *outcomes;
    /** Set: return once accepted. When there is no room: MARTY_E_FULL at once, and MARTY_STATE_ROOM
     *  will follow, unless wait_for_room. NULL = wait. */
    marty_done done;
    /** Given to done. */
    void *user;
    /** With done: wait for room, up to timeout_ms. */
    bool wait_for_room;
    /** With done: call it where the answer comes, also inside the call itself, on whatever thread
     *  that is, and not on a worker. It must be quick, and must not wait for anything. */
    bool at_once;
    /** For marty_bus_cancel; NULL = none. */
    const void *cancel_key;
    /** Leave it 0. */
    uint64_t reserved[6];
} marty_publish_options;

/**
 * Publish a batch. It is accepted all or none. Where DEDUPLICATE is granted, Marty itself publishes
 * a doubtful message again under its id, until timeout_ms.
 *
 * @param bus The bus.
 * @param pattern Any but MARTY_QUERY.
 * @param to The service of a command, the name of a stream, else NULL. Borrowed.
 * @param messages Counted ones or templates. Borrowed and copied where kept.
 * @param count How many.
 * @param options NULL for the defaults.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK = all stored (with done: accepted), else the first bad outcome: of a batch, look
 *     at the outcomes. MARTY_E_MAYBE_STORED: publish again with the same id.
 * @errors The common ones; MARTY_E_MAYBE_STORED; and, none of these stored: MARTY_E_FULL,
 *     MARTY_E_UNSUPPORTED, MARTY_E_NOT_FOUND, MARTY_E_TOO_LARGE (also over inflight_bytes_max),
 *     MARTY_E_MALFORMED, MARTY_E_UNAVAILABLE, MARTY_E_NO_GROUP, MARTY_E_STORAGE, MARTY_E_DENIED,
 *     MARTY_E_CANCELLED.
 * @threads Any.
 * @blocks Until all are answered or timeout_ms, unless options->done is set.
 * @since 0.1
 * @source docs/design/0002-public-api.md; CloudEvents 1.0.2 section 3
 */
MARTY_MUST marty_err marty_publish(marty_bus *bus, marty_pattern pattern, const char *to,
                                   const marty_message *const messages[], size_t count,
                                   const marty_publish_options *options, marty_error *why);

#ifndef MARTY_NO_INLINE
/**
 * What the verbs below share: one message, made from options->with. A binding writes them anew, and
 * defines MARTY_NO_INLINE.
 *
 * @param bus The bus.
 * @param pattern Any but MARTY_QUERY.
 * @param to The service of a command, else NULL.
 * @param type CloudEvents type, 1 to 255 bytes. Borrowed.
 * @param data Borrowed for the call; copied once into the message.
 * @param options NULL for the defaults.
 * @param why Details on failure; may be NULL.
 * @return As marty_publish.
 * @errors As marty_publish.
 * @threads Any.
 * @blocks As marty_publish.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_INLINE marty_err marty__publish_one(marty_bus *bus, marty_pattern pattern, const char *to,
                                          const char *type, marty_bytes data,
                                          const marty_publish_options *options, marty_error *why)
{
    marty_message message;
    const marty_message *one = &message;
    memset(&message, 0, sizeof message);
    if (options && options->with) {
        message = *options->with;
        if (message.marty__self == options->with) { /* counted: it lends less than a template */
            message.id = message.source = message.correlation_id = message.causation_id = NULL;
            message.trace_parent = message.trace_state = NULL;
            message.time_us = message.expires_us = 0;
        }
    }
    message.type = type;
    message.data = data;
    return marty_publish(bus, pattern, to, &one, 1, options, why);
}

/**
 * Publish an event to everyone who subscribed to its type.
 *
 * @param bus The bus.
 * @param type CloudEvents type, for example "order.created"; 1 to 255 bytes. Borrowed.
 * @param data Borrowed for the call; copied once into the message.
 * @param options NULL for the defaults: wait for the broker's confirmation, 5,000 ms.
 * @param why Details on failure; may be NULL.
 * @return As marty_publish.
 * @errors As marty_publish.
 * @threads Any.
 * @blocks Until stored or the timeout, unless options->done is set.
 * @since 0.1
 * @source docs/design/0002-public-api.md; CloudEvents 1.0.2 section 3
 */
MARTY_VERB marty_err marty_publish_event(marty_bus *bus, const char *type, marty_bytes data,
                                         const marty_publish_options *options, marty_error *why)
{
    return marty__publish_one(bus, MARTY_EVENT, NULL, type, data, options, why);
}

/**
 * Tell one service to do something, once.
 *
 * @param bus The bus.
 * @param service Who shall do it. Borrowed.
 * @param type What, for example "charge"; 1 to 255 bytes. Borrowed.
 * @param data Borrowed for the call; copied once into the message.
 * @param options NULL for the defaults: wait for the broker's confirmation, 5,000 ms.
 * @param why Details on failure; may be NULL.
 * @return As marty_publish.
 * @errors As marty_publish.
 * @threads Any.
 * @blocks Until stored or the timeout, unless options->done is set.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_VERB marty_err marty_send_command(marty_bus *bus, const char *service, const char *type,
                                        marty_bytes data, const marty_publish_options *options,
                                        marty_error *why)
{
    return marty__publish_one(bus, MARTY_COMMAND, service, type, data, options, why);
}

/**
 * Tell every instance that runs now, at most once each.
 *
 * @param bus The bus.
 * @param type CloudEvents type; 1 to 255 bytes. Borrowed.
 * @param data Borrowed for the call; copied once into the message.
 * @param options NULL for the defaults: wait until the broker has it, 5,000 ms.
 * @param why Details on failure; may be NULL.
 * @return As marty_publish.
 * @errors As marty_publish.
 * @threads Any.
 * @blocks Until the broker has it or the timeout, unless options->done is set.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_VERB marty_err marty_broadcast(marty_bus *bus, const char *type, marty_bytes data,
                                     const marty_publish_options *options, marty_error *why)
{
    return marty__publish_one(bus, MARTY_BROADCAST, NULL, type, data, options, why);
}

/**
 * Append a batch to a stream.
 *
 * @param bus The bus.
 * @param stream Its name. Borrowed.
 * @param messages Counted ones or templates; each key keeps its order. Borrowed.
 * @param count How many.
 * @param options NULL for the defaults: wait for the broker's confirmation, 5,000 ms.
 * @param why Details on failure; may be NULL.
 * @return As marty_publish.
 * @errors As marty_publish.
 * @threads Any.
 * @blocks Until all are stored or the timeout, unless options->done is set.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_VERB marty_err marty_stream_events(marty_bus *bus, const char *stream,
                                         const marty_message *const messages[], size_t count,
                                         const marty_publish_options *options, marty_error *why)
{
    return marty_publish(bus, MARTY_STREAM, stream, messages, count, options, why);
}
#endif

/**
 * Take back a scheduled message, named as it was published. Any process may.
 *
 * @param bus The bus.
 * @param pattern As it was published.
 * @param to As it was published.
 * @param type As it was published.
 * @param id The id of the message.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK = it will not be delivered.
 * @errors The common ones; MARTY_E_NOT_FOUND (it has gone out already), MARTY_E_UNSUPPORTED,
 *     MARTY_E_UNAVAILABLE.
 * @threads Any.
 * @blocks Until the broker has answered, at most 5,000 ms.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_MUST marty_err marty_unschedule(marty_bus *bus, marty_pattern pattern, const char *to,
                                      const char *type, const char *id, marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
