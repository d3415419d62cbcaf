/* SPDX-License-Identifier: Apache-2.0
 * A backend around another: everything passes through, and hooks may change it. Schemes:
 *   saboteur:FAULT:URL    breaks one contract (saboteur.c); the suite must notice
 *   twist:TOOL:URL        what a contract needs to see core's side of it (twist.c)
 *   mask:WORD+WORD:URL    takes capabilities away, so that core emulates them
 *   claim:WORD+WORD:URL   grants capabilities that the inner one did not; WORD = [kind.]bit
 * Hooks run inside ops or inside calls of the inner adapter, so several at once: they lock. */
#ifndef TESTS_CONFORMANCE_WRAP_H
#define TESTS_CONFORMANCE_WRAP_H
#include <marty/backend.h>
#include <pthread.h>

typedef struct marty_port wrap; /* here the port is the wrapper */
typedef struct fault {
    const char *name, *says;
    const char *caught_by; /* "C13.restart": the case that must fail; NULL = a tool */
    const char *inner;     /* "sqlite" = only around that; NULL = any */
    const char *keys;      /* more URL keys that show it, or NULL */
    /** Each message on its way to the broker; ret_answer is preset to OK. False: it goes no
     * further and is answered so (answer->token 0: never answered). */
    bool (*publish)(wrap *self, marty_outgoing *one, marty_published *ret_answer);
    /** Each answer on its way back. */
    void (*published)(wrap *self, marty_published *one);
    /** Each delivery; false: nobody gets it (the hook has dealt with it). */
    bool (*deliver)(wrap *self, marty_incoming *one);
    /** A batch of deliveries, to be put in another order. */
    void (*arrange)(wrap *self, marty_incoming batch[], size_t count);
    /** Each settling; false: it goes no further and is answered OK. */
    bool (*settle)(wrap *self, marty_settling *one);
    /** Before and after a subscribe; before: false = refused silently (answered OK). */
    bool (*subscribe)(wrap *self, uint64_t subscription, marty_want *want);
    /** False: not told to the broker. */
    bool (*unsubscribe)(wrap *self, uint64_t subscription);
    uint32_t (*grant)(wrap *self, uint32_t credit);
    /** False: answered OK, not done. */
    bool (*cancel)(wrap *self);
    bool (*topology)(wrap *self, const char *verb);
    void (*granted)(wrap *self, marty_capabilities *granted);
} fault;

enum { WRAP_SEEN = 4096 };
struct marty_port {
    marty_sink sink;        /* what the inner adapter calls; first */
    const marty_sink *core; /* what we call */
    const marty_backend *inner;
    marty_port *port;
    const fault *fault;
    marty_capabilities add, take; /* of mask and claim: only `can` counts */
    pthread_mutex_t lock;         /* what follows: memory of the faults */
    uint64_t count, other;
    uint64_t first_subscription;
    marty_outgoing late; /* one held back, with its message */
    marty_message *held;
    marty_incoming held_delivery;
    size_t seen_count;
    uint32_t seen[WRAP_SEEN]; /* hashes of ids */
};

/** Registers the four schemes; once per process. */
void wrap_register(void);
/** The table of faults and tools; NULL-named at its end. */
extern const fault saboteur_faults[], twist_tools[];
/** The wrappers twist:hold confirm what they hold back, and all that comes. From no op or hook. */
void twist_let_go(void);
/** Whether that id was here before (under a salt); remembers it. Lock not held. */
bool wrap_seen(wrap *self, const char *id, uint32_t salt);
/** Counts, and says whether this is one of each n. */
bool wrap_every(wrap *self, uint64_t n);
/** A counted message like `from`, changed by the caller's template; aborts when it cannot be. */
marty_message *wrap_remake(const marty_message *template_);
/** Replaces the message of a delivery. */
void wrap_replace(marty_incoming *one, const marty_message *template_);
/** The channel's kind of a subscription, as subscribed (0 = not known). */
marty_kind wrap_kind(wrap *self, uint64_t subscription);
#endif
