/* SPDX-License-Identifier: Apache-2.0
 * Core's parts, for its own files: the sagas it has in memory, their outboxes, definitions, shards.
 * Only the thread that makes turns touches them; `mutex` guards the two queues that others fill. */
#ifndef MARTY_SAGA_ENGINE_INSIDE_H
#define MARTY_SAGA_ENGINE_INSIDE_H
#include "base/map.h"
#include "base/thread.h"
#include "core.h"
#include "saga/mutant.h"

enum {
    SAGA_BATCH_MAX = 256,  /* inputs of a turn */
    SAGA_MARKS_MAX = 4096, /* sagas to be marked as sent */
    SAGA_QUIET_MS = 500,   /* when nothing is unsent for so long, the store is told */
    SAGA_TRIES_MAX = 50,   /* of an input that meets others' transitions */
    SAGA_CALL_MS = 10000,  /* the longest that a call of the store may take */
    SAGA_SCAN_MS = 500,    /* timers of others' transitions are found within this */
    SAGA_UNSENT_MS = 2000, /* an outbox that nobody has sent for so long is sent again */
    SAGA_RESEND_MS = 200,  /* first pause after a publish that failed; doubles */
    SAGA_RESEND_MAX_MS = 5000,
    SAGA_PUT_OFF_MS = 1000, /* first pause of a timer that is due and cannot act; doubles */
    SAGA_PUT_OFF_MAX_MS = 10000,
    SAGA_REFUSAL_BYTES = 256
};

/* A saga in memory: what the store has of it, and the commands of its outbox that are not known to
 * be sent. */
typedef struct saga_entry {
    marty__link used; /* the least recently used first */
    marty_saga_record *record;
    const marty__saga_definition *definition; /* of those known */
    marty__link items;
    bool to_mark;  /* in the list of those to be marked as sent */
    bool gone;     /* not what the store has any more: dropped at the end of the turn */
    uint64_t turn; /* in which it was read: then what changes nothing need not be compared */
    struct saga_plan *last; /* the write that this turn has for it */
    char id[MARTY__SAGA_ID_TEXT_MAX + 1];
} saga_entry;

/* What a turn does for one input. */
typedef struct saga_plan {
    marty__saga_core *core;
    marty__saga_input *input;
    saga_entry *entry;
    const marty__saga_definition *definition; /* of the state after it */
    marty__saga_turn turn;
    marty__link fresh; /* items of the turn's commands, until they are sent */
    marty_saga_write write;
    marty__buffer outbox;
    bool writes;               /* else it changes nothing */
    bool holds;                /* written, and to be told once all is on its way */
    marty_saga_record *before; /* what its write has replaced, until then */
    marty_error why;
    char stuck[200], hash[65];
} saga_plan;

typedef struct saga_mark {
    char id[40];
    uint64_t version;
    int64_t due_ns;
} saga_mark;

struct marty__saga_item {
    marty__link link;    /* of its saga */
    marty__link outcome; /* in the queue of outcomes, or of those to be sent later */
    saga_entry *entry;   /* NULL: the saga was forgotten meanwhile */
    marty__saga_core *core;
    marty__saga_input input; /* of a command to another saga, or of a local one inside */
    /* NULL, or the event that changes nothing and that this answers: in no outbox, so the event is
     * done with only once this has been sent. */
    marty__saga_input *cause;
    marty__saga_command command;
    int64_t later_ns;
    unsigned tries;
    marty_err result;
    char refusal[80]; /* the broker's, for the step's reason */
    bool busy;        /* being sent: an outcome will come */
    char saga[40];
    size_t size;
    char bytes[]; /* as in the store; the command's texts point into it */
};

/* A saga whose timer is due and cannot act: it is left out for a while, so that those that can act
 * are not behind it. */
typedef struct saga_put_off {
    int64_t until_ns;
    unsigned tries;
    char id[40];
} saga_put_off;

typedef struct saga_known { /* a definition */
    marty__saga_definition *definition;
    char hash[65];
    struct saga_known *next;
} saga_known;

typedef struct saga_named { /* the definition that a name and version were found to mean */
    const marty__saga_definition *definition;
    uint32_t version;
    uint64_t turn;
} saga_named;

struct marty__saga_core {
    marty__saga_core_options options;
    char owner[64];
    marty__mutex mutex;
    marty__link inputs;               /* under the mutex */
    marty__link outcomes;             /* under the mutex */
    bool closed;                      /* under the mutex */
    size_t waiting, taken;            /* inputs: for a turn, by the present one; under the mutex */
    size_t busy;                      /* items being sent; under the mutex */
    char refusal[SAGA_REFUSAL_BYTES]; /* what the store said last time, or ""; under the mutex */

    marty__map entries;
    marty__link used;
    size_t entry_count;
    saga_known *known;               /* under the mutex */
    saga_named named;                /* of this turn, or an old one */
    marty__link later;               /* items whose publish failed, by time of the next try */
    saga_mark marks[SAGA_MARKS_MAX]; /* to be marked as sent, the first that is due first */
    size_t mark_count;
    marty_saga_lease lease;
    marty_saga_shards shards; /* those of the lease */
    uint64_t epochs[MARTY_SAGA_SHARDS];
    int64_t lease_next_ns, lease_until_ns; /* when to renew; until when it surely holds */
    marty__map put_off;                    /* id -> saga_put_off */
    int64_t scan_ns, unsent_ns;            /* when to look for timers, for unsent outboxes */
    int64_t soonest_us; /* the earliest timer that this turn has written for a shard of ours */
    bool unsent_all;    /* shards were taken: look at all unsent outboxes, however new */
    bool has_left;      /* it has handed its shards over, and takes no more */
    bool doubt;         /* a commit has no known end: settle before anything else */
    saga_plan plans[SAGA_BATCH_MAX];
    uint64_t turn;
    marty__saga_counts counts;
};

/** Let go what was sent. */
void marty__saga_flush(marty__saga_core *core);

/* ---- outbox.c */
/** Make an item of a command; its bytes are the command's encoding. NULL without memory. */
marty__saga_item *marty__saga_item_new(marty__saga_core *core, const char *saga,
                                       const marty__saga_command *command);
/** Make an item of an encoding that a buffer or the outbox of a record holds at *at, and go past
 * it; NULL with *ret_err. */
marty__saga_item *marty__saga_item_read(marty__saga_core *core, const char *saga, marty_bytes from,
                                        size_t *at, marty_err *ret_err);
/** Send one now: over the wire, to another saga, or by running it. */
void marty__saga_item_send(marty__saga_item *item);
/** Take outcomes and pauses that are over. */
void marty__saga_items_work(marty__saga_core *core, int64_t now_ns);
/** No turn takes outcomes any more: tell those events that wait for one. */
void marty__saga_causes_end(marty__saga_core *core);
/** Forget an item. */
void marty__saga_item_free(marty__saga_item *item);
/** Once nothing of the saga is unsent, the store may know it too: in a while. */
void marty__saga_note_quiet(marty__saga_core *core, saga_entry *entry);
/** Mark as sent what has been quiet. */
void marty__saga_marks_work(marty__saga_core *core, int64_t now_ns, bool all);

/* ---- cache.c */
/** The saga, from memory or the store. E: NOT_FOUND, as load. */
marty_err marty__saga_entry_get(marty__saga_core *core, const char *id, saga_entry **ret_entry,
                                marty_error *why);
/** Read those that are not in memory, in one call, where the store has one for many: then entry_get
 * finds them. Orders and shortens ids. */
void marty__saga_entries_fetch(marty__saga_core *core, const char *ids[], size_t count);
/** Whether it is what the store has. Its items stay as they are: dropping and reading it again
 * would put them off, and again and again where two sagas keep telling each other what they know.
 */
marty_err marty__saga_entry_confirm(marty__saga_core *core, saga_entry *entry, bool *ret_true,
                                    marty_error *why);
/** An entry for one that is about to start; record is NULL. */
marty_err marty__saga_entry_new(marty__saga_core *core, const char *id, saga_entry **ret_entry,
                                marty_error *why);
/** Forget one: the next look reads the store. Items that are being sent stay until their outcome.
 */
void marty__saga_entry_drop(marty__saga_core *core, saga_entry *entry);
/** Drop what is over the limit and idle. */
void marty__saga_entries_trim(marty__saga_core *core);
/** Compiled, by hash; from the store when need be. E: NOT_FOUND. */
marty_err marty__saga_definition_by_hash(marty__saga_core *core, const char *hash,
                                         const marty__saga_definition **ret, marty_error *why);
/** By name; version 0 = the newest. E: NOT_FOUND. */
marty_err marty__saga_definition_by_name(marty__saga_core *core, const char *name, uint32_t version,
                                         const marty__saga_definition **ret, marty_error *why);

/* ---- decide.c */
/** Decide an input into a plan. False: it was answered, or put into `again`; there is no plan. */
bool marty__saga_plan_make(marty__saga_core *core, saga_plan *plan, marty__saga_input *input,
                           marty__link *again);
/** After the commit: take it into memory and send, or put into `again`, or answer an error. */
void marty__saga_plan_end(saga_plan *plan, marty__link *again);
/** After all of the turn have ended and are sent: answer, forget what is not true any more; ready
 * for another. */
void marty__saga_plan_done(saga_plan *plan);
/** Free what it has kept; fine for one that was never made. */
void marty__saga_plan_free(saga_plan *plan);

/* ---- shards.c */
/** Renew, take and give back shards, when it is time. */
void marty__saga_lease_work(marty__saga_core *core, int64_t now_ns);
/** Hand all shards over, for good: once, and not while a commit is in doubt. */
void marty__saga_lease_leave(marty__saga_core *core);
/** Forget all timers that were put off. */
void marty__saga_put_off_free(marty__saga_core *core);
/** Put in ticks of what is due, and send again what nobody has sent. */
void marty__saga_scan_work(marty__saga_core *core, int64_t now_ns);
/** Another has that shard now. */
void marty__saga_shard_lost(marty__saga_core *core, uint32_t shard);
/** The epoch to write under; 0 = not ours. */
uint64_t marty__saga_epoch(const marty__saga_core *core, uint32_t shard);

MARTY_INLINE int64_t marty__saga_now_ns(const marty__saga_core *core)
{
    return core->options.env.monotonic_ns(core->options.env.user);
}
MARTY_INLINE int64_t marty__saga_now_us(const marty__saga_core *core)
{
    return core->options.env.wall_us(core->options.env.user);
}
/** Deadline of a call of the store. */
int64_t marty__saga_call_until(const marty__saga_core *core);
void marty__saga_log(marty__saga_core *core, int level, const char *format, ...)
    MARTY__ATTRIBUTE(format(printf, 3, 4));
#endif
