/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MARTY_PUBLISH_H
#define MARTY_PUBLISH_H
#include <marty/bus.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum marty_level {
    MARTY_LEVEL_ANY,
    MARTY_LEVEL_MEMORY,
    MARTY_LEVEL_WRITTEN,
    MARTY_LEVEL_SYNCED,
    MARTY_LEVEL_REPLICATED
} marty_level;
typedef struct marty_outcome {
    char id[40]; /* of the message: what to publish again with; "" if longer (then it was yours) */
    marty_err err;
    marty_level level; /* OK = stored, this well; MAYBE_STORED = in doubt; other = not stored */
    const char *backend, *channel;
    char position[48];
    uint64_t
        reserved[2]; /* live as long as the bus; the broker's name for it, "42", "3:1807", or "" */
} marty_outcome;
/** Once per accepted call, outcomes in the order of its messages. Exactly once, also on close. */
typedef void (*marty_done)(void *user, const marty_outcome *outcomes, size_t count);
typedef struct marty_publish_options {
    const marty_message *with,
        *cause; /* template for id, key, headers ... of one-message verbs (a counted message lends
             key, subject, headers, content type, schema, priority; never id, source, time, trace,
             expiry); what this follows from */
    marty_delivery *settles; /* kept by an accepted call: all stored = ack, else retry; its message
                                is the cause unless given */
    const char *once; /* with a cause: id = hash(cause's id, its group, once), the same on every
                         attempt, so that a repeat folds */
    int32_t
        timeout_ms; /* 0 = 5,000: for room, a connection and the answer together; bounds done too */
    marty_level
        level; /* at least; a backend that grants less: UNSUPPORTED, before anything is sent */
    int64_t deliver_at_us;                 /* scheduled, Unix time; 0 = now */
    uint32_t deliver_in_ms, expires_in_ms; /* the same from now, as durations where the broker takes
                                              them; 0 = now, never */
    void
        *transaction; /* into the configured outbox, within this open sqlite3 or PGconn transaction;
                         OK = stored if you commit. E: CONFIG (not the outbox's database), STATE (no
                         transaction open), UNSUPPORTED (no outbox). Later issue */
    marty_outcome *outcomes; /* as many as messages, filled before return or done, must live until
                                then; or NULL */
    marty_done done;
    void *user; /* set: return once accepted; no room: FULL at once, and MARTY_STATE_ROOM will
                   follow, unless ... */
    bool wait_for_room; /* ... it shall wait for room, up to timeout_ms */
    const void *cancel_key;
    uint64_t reserved[6]; /* for marty_bus_cancel */
} marty_publish_options;
/** Publish a batch, any pattern but QUERY. to: service of a COMMAND, name of a STREAM, else NULL.
 * Accepted all or none. B: until all are answered or timeout_ms, unless done is set. OK = all
 * stored, else the first bad outcome: of a batch, look at outcomes. E: FULL, UNSUPPORTED,
 * NOT_FOUND, TOO_LARGE (also: over inflight_bytes_max), MALFORMED, UNAVAILABLE, NO_GROUP, STORAGE,
 * DENIED, CANCELLED (none of these stored), MAYBE_STORED. Where DEDUPLICATE is granted, core itself
 * publishes a doubtful one again under its id until timeout_ms. */
MARTY_MUST marty_err marty_publish(marty_bus *bus, marty_pattern pattern, const char *to,
                                   const marty_message *const messages[], size_t count,
                                   const marty_publish_options *options, marty_error *why);
#ifndef MARTY_NO_INLINE
MARTY_INLINE marty_err marty__publish_one(marty_bus *bus, marty_pattern pattern, const char *to,
                                          const char *type, marty_bytes data,
                                          const marty_publish_options *options, marty_error *why)
{
    marty_message message;
    const marty_message *one = &message;
    if (options && options->with) {
        message = *options->with;
    } else {
        memset(&message, 0, sizeof message);
    }
    if (message.marty__self) {
        message.id = message.source = NULL;
    } /* ... and what else a counted message does not lend */
    message.type = type;
    message.data = data;
    return marty_publish(bus, pattern, to, &one, 1, options, why);
}
/* The verbs: inline, so not exported; everything is as for marty_publish. */
MARTY_VERB marty_err marty_publish_event(marty_bus *bus, const char *type, marty_bytes data,
                                         const marty_publish_options *options, marty_error *why)
{
    return marty__publish_one(bus, MARTY_EVENT, NULL, type, data, options, why);
}
MARTY_VERB marty_err marty_send_command(marty_bus *bus, const char *service, const char *type,
                                        marty_bytes data, const marty_publish_options *options,
                                        marty_error *why)
{
    return marty__publish_one(bus, MARTY_COMMAND, service, type, data, options, why);
}
MARTY_VERB marty_err marty_broadcast(marty_bus *bus, const char *type, marty_bytes data,
                                     const marty_publish_options *options, marty_error *why)
{
    return marty__publish_one(bus, MARTY_BROADCAST, NULL, type, data, options, why);
}
MARTY_VERB marty_err marty_stream_events(marty_bus *bus, const char *stream,
                                         const marty_message *const messages[], size_t count,
                                         const marty_publish_options *options, marty_error *why)
{
    return marty_publish(bus, MARTY_STREAM, stream, messages, count, options, why);
}
#endif
/** Take back a scheduled message, named as it was published, from any process. B: 5,000 ms. E:
 * NOT_FOUND (gone out already), UNSUPPORTED, UNAVAILABLE. */
MARTY_MUST marty_err marty_unschedule(marty_bus *bus, marty_pattern pattern, const char *to,
                                      const char *type, const char *id, marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
