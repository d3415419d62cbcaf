/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MARTY_BACKEND_H
#define MARTY_BACKEND_H
#include <marty/marty.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MARTY_BACKEND_ABI 1u
typedef struct marty_port marty_port;
typedef struct marty_sink marty_sink; /* the adapter's own object; core's */
typedef struct marty_channel {        /* name: ours, or with native the broker's as it is. group:
           subscribing, NULL = every instance; publishing, set = that        group only, through its retry place,
           which its subscribe reads too. order: fixed when made. Publishing to REPLY: name is the opaque
           reply_to */
    marty_kind kind;
    marty_order order;
    bool native;
    const char *name, *group;
    uint32_t shards;
} marty_channel;
typedef struct marty_outgoing { /* borrowed until the op returns: ref the message to keep it.
                                   reply_to: our logical one. 0 = now; monotonic: answered by it,
                                   not begun after it */
    uint64_t token;
    marty_channel channel;
    const marty_message *message;
    const char *reply_to;
    int64_t deliver_at_us, deadline_ns;
} marty_outgoing;
typedef struct marty_published {
    uint64_t token;
    marty_err err;
    marty_level level;
    const char *text;
    char position[48];
} marty_published; /* text: why not */
typedef struct marty_want {
    marty_channel channel;
    const char *const *patterns;
    size_t pattern_count;
    marty_start start;
    bool reset;
    uint32_t credit;
} marty_want;
typedef struct marty_incoming { /* message: a reference handed to core. NULL = unreadable: raw and
                                   headers go to the dead letters. reply_to: native, opaque */
    uint64_t subscription, tag;
    marty_message *message;
    const char *reply_to, *position;
    uint32_t attempt, shard;
    int64_t lease_until_ns;
    marty_bytes raw;
    const marty_header *headers;
    size_t header_count;
} marty_incoming;
typedef struct marty_settling { /* GIVE_BACK: uncounted where the broker can. dead: REJECT where
                                   DEAD_LETTER is granted: stored in place of the original,
                                   atomically */
    uint64_t subscription, tag;
    marty_verb verb;
    uint32_t delay_ms, attempt;
    const marty_outgoing *dead;
} marty_settling;
/* Core's side. Each may be called from any thread, also inside an op; none blocks, none fails, none
 * calls an op. */
struct marty_sink {
    uint32_t abi, size;
    const marty_env *env; /* env: no slot is NULL here; all clocks and chance come from it */
    /** Up with what is granted, or down, blocked, closed with the reason. Before down, the adapter
     * answers every token it holds. */
    void (*state)(const marty_sink *sink, marty_state state, const marty_capabilities *granted,
                  marty_err reason, const char *text);
    void (*published)(const marty_sink *sink, const marty_published results[],
                      size_t count); /* each token exactly once */
    void (*delivered)(const marty_sink *sink, const marty_incoming batch[],
                      size_t count); /* never more than granted */
    /** Of these tags, for that verb: OK = done, LOST = too late, other = failed. Each settling is
     * answered once. */
    void (*settled)(const marty_sink *sink, uint64_t subscription, marty_verb verb,
                    const uint64_t tags[], size_t count, marty_err result, int64_t lease_until_ns);
    /** OK = the broker has it now; CLOSED = unsubscribed, nothing comes any more; other = gone,
     * core tries again. */
    void (*subscribed)(const marty_sink *sink, uint64_t subscription, marty_err reason,
                       const char *text);
    /** Shards gained; or lost at a deadline: settle what is running until then, after it is LOST.
     */
    void (*assigned)(const marty_sink *sink, uint64_t subscription, const uint32_t shards[],
                     size_t count);
    void (*revoked)(const marty_sink *sink, uint64_t subscription, const uint32_t shards[],
                    size_t count, int64_t deadline_ns);
    void (*timer)(const marty_sink *sink, int64_t at_ns, void (*call)(void *user),
                  void *user); /* as an op; INT64_MAX = off */
    /** A line for the log of the bus: level 0 error .. 3 debug; copied. Never secrets. */
    void (*log)(const marty_sink *sink, int level, const char *text);
};
/* An adapter is one static table; only topology and cancel may be NULL. Subscription and token are
 * never 0; settle of an unsubscribed one is answered LOST; an op that returns an error took
 * nothing. Core calls the ops of one port one at a time (topology beside them), from any thread,
 * holding no lock. None waits for the network, save topology. `why` is never NULL here: fill text,
 * core sets the code. */
typedef struct marty_backend {
    uint32_t abi, size;
    const char *scheme, *package;     /* MARTY_BACKEND_ABI, sizeof (marty_backend); "nats"; what to
                                         install when missing */
    const marty_capabilities *claims; /* the most it can grant */
    /** Parse and check the URL; no I/O. sink lives until free returns. */
    marty_err (*open)(marty_port **ret_port, const char *url, const marty_sink *sink,
                      marty_error *why);
    /** Begin one attempt to connect; the answer is state. Core decides when to try again, and
     * subscribes again after up. */
    marty_err (*connect)(marty_port *port, marty_error *why);
    /** Take the first ret_taken messages; each taken is answered once. FULL = the rest later, after
     * the next published. */
    marty_err (*publish)(marty_port *port, const marty_outgoing batch[], size_t count,
                         size_t *ret_taken, marty_error *why);
    marty_err (*cancel)(marty_port *port, const marty_channel *channel, const char *id,
                        uint64_t token,
                        marty_error *why); /* a scheduled one; the answer is published */
    /** The answer is subscribed. patterns are a hint to filter. The same number again: reset false
     * = new patterns, what is in flight stays; reset true = the group moves (seek), older tags are
     * LOST. grant: that many more. */
    marty_err (*subscribe)(marty_port *port, uint64_t subscription, const marty_want *want,
                           marty_error *why);
    void (*grant)(marty_port *port, uint64_t subscription, uint32_t credit);
    void (*settle)(marty_port *port, const marty_settling batch[], size_t count);
    void (*unsubscribe)(marty_port *port, uint64_t subscription);
    void (*close)(marty_port *port,
                  int64_t deadline_ns); /* flush, disconnect; the answer is state closed */
    void (*free)(marty_port *port);     /* joins the adapter's threads */
    /** ensure, check, inspect, remove, list, browse, erase; NULL = none. Blocks up to the deadline.
     * Answers in JSON, bodies in base64. browse: from start.position, at most credit; erase: the
     * one at start.position; remove: reset = force; inspect without a name: the server {version,
     * tls, unsafe: [{what, mend}]}. */
    marty_err (*topology)(marty_port *port, const char *verb, const marty_want *what,
                          int64_t deadline_ns, marty_message **ret_answer, marty_error *why);
} marty_backend;
/** Add a backend of this program; a module instead exports `const marty_backend marty_module`. Kept
 * for ever. E: EXISTS, UNSUPPORTED (abi). */
MARTY_MUST marty_err marty_backend_register(const marty_backend *backend, marty_error *why);
/** The table of a scheme: built in, registered, or its module loaded; for a backend that wraps
 * another. Lives for ever. B: the file system. E: CONFIG, MISSING_MODULE, UNSUPPORTED (abi). */
MARTY_MUST marty_err marty_backend_find(const marty_backend **ret_backend, const char *scheme,
                                        marty_error *why);
typedef enum marty_format { MARTY_BINARY = 1, MARTY_STRUCTURED, MARTY_LEGACY } marty_format;
/** Our name to the broker's and back (port-mapping section 2): allowed = the bytes that need no
 * encoding; max = bytes without NUL. E: ARGUMENT (too long, malformed). */
MARTY_MUST marty_err marty_name_encode(char *ret_name, size_t max, const char *name,
                                       const char *allowed, marty_error *why);
MARTY_MUST marty_err marty_name_decode(char *ret_name, size_t max, const char *native,
                                       const char *allowed, marty_error *why);
/* ---- helpers that adapters share: exported, so a third party's module has the same */
/** Memory of the library's allocator (one hook for all, so torture reaches adapters too). NULL when
 * there is none. Free with marty_free. */
MARTY_API void *marty_alloc(size_t size);
/** The same, zeroed; count * size checked for overflow. */
MARTY_API void *marty_alloc_zero(size_t count, size_t size);
/** As realloc: on NULL the old block is still valid. */
MARTY_API void *marty_realloc(void *block, size_t size);
/** NULL is fine. */
MARTY_API void marty_free(void *block);
/** Fill why (NULL is fine) with code, its class and a printf-like text, cut to fit; returns code:
 * `return marty_error_set(why, ...)`. */
MARTY_API marty_err marty_error_set(marty_error *why, marty_err code, const char *format, ...)
    MARTY__ATTRIBUTE(format(printf, 3, 4));
/** printf-like line to sink->log. */
MARTY_API void marty_port_log(const marty_sink *sink, int level, const char *format, ...)
    MARTY__ATTRIBUTE(format(printf, 3, 4));
/* A parsed URL: scheme:[//[user[:password]@]host[:port][,host[:port]...]][/path][?key=value&...].
 * Percent-decoded. One allocation. */
typedef struct marty_url_host {
    const char *host;
    uint16_t port; /* 0 = none given */
} marty_url_host;
typedef struct marty_url {
    const char *scheme, *user, *password,
        *path; /* NULL = absent; path as given after scheme: or the hosts */
    const marty_url_host *hosts;
    size_t host_count;
    const marty_header *parameters;
    size_t parameter_count; /* in order */
    const char *redacted;   /* the URL as it may be shown: no password, no secret parameters */
} marty_url;
/** Parse; yours to free with marty_url_free. E: CONFIG with the place. */
MARTY_MUST marty_err marty_url_parse(marty_url **ret_url, const char *text, marty_error *why);
/** NULL is fine. */
MARTY_API void marty_url_free(marty_url *url);
/** Value of a parameter, NULL when absent. Borrowed. */
MARTY_API const char *marty_url_get(const marty_url *url, const char *name);
/** Every parameter must be in the NULL-ended list (and the keys common to all backends). E: CONFIG,
 * naming the unknown key and the known ones. */
MARTY_MUST marty_err marty_url_check(const marty_url *url, const char *const known[],
                                     marty_error *why);
/** "30s", "200ms", "5m", "2h", "7d" to milliseconds. E: CONFIG naming the key. */
MARTY_MUST marty_err marty_parse_duration(uint64_t *ret_ms, const char *key, const char *text,
                                          marty_error *why);
/** "64KiB", "10GiB", "1000000" to bytes. E: CONFIG naming the key. */
MARTY_MUST marty_err marty_parse_size(uint64_t *ret_bytes, const char *key, const char *text,
                                      marty_error *why);
/** To wire form: a message whose data is the body and whose headers are the transport's ("ce-" +
 * name). Yours to unref. E: MALFORMED. */
MARTY_MUST marty_err marty_message_encode(marty_message **ret_wire, const marty_message *from,
                                          marty_format format, const char *prefix,
                                          marty_error *why);
/** From wire form, format found by the headers; the inverse of encode. Yours to unref. E:
 * MALFORMED, TOO_LARGE. */
MARTY_MUST marty_err marty_message_decode(marty_message **ret_message, const marty_message *wire,
                                          const char *prefix, marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
