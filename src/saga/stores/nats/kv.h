/* SPDX-License-Identifier: Apache-2.0
 * The insides of the store of sagas on JetStream, a part of the nats module. All of a store is one
 * bucket: a stream that keeps the last message of each key. A saga is one key whose message holds
 * its facts (a header), state, outbox and latest history: a transition is one message, written only
 * over the revision that it was decided on. Each call drives its connection itself, under the lock
 * of its link: there are no threads here. */
#ifndef MARTY_SAGA_STORES_NATS_KV_H
#define MARTY_SAGA_STORES_NATS_KV_H
#include "backends/nats/common.h"
#include "base/gate.h"

#include <marty/saga_store.h>

#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

enum {
    KV_TRY_MS = 2000,     /* silence after which a call is tried again */
    KV_PAUSE_MS = 5,      /* before what was refused for now is tried again */
    KV_SUBJECT_MAX = 512, /* bytes of a subject */
    KV_RUN_MAX = 8192,    /* bytes of history beside the state; more moves to a key of its own */
    KV_KNOWN = 8192,      /* sagas of which the revision is remembered */
    KV_NAME_MAX = 64,     /* bytes of a bucket's name */
    KV_FACTS_MAX = 2048,  /* bytes of the facts as a header */
    KV_WRONG_REVISION = 10071,
    KV_BUSY_REVISION = 10164, /* the same; another write of that key is on its way */
    KV_NO_MESSAGE = 10037,
    KV_TOO_LARGE = 10054
};

/* One connection, and who uses it: taken from enter to leave, also while a local step runs; others
 * wait for it to their own deadlines. */
typedef struct kv_link {
    marty__gate gate;               /* all below is whose it is */
    natsConnection *nc;             /* NULL = none */
    natsSubscription *inbox, *feed; /* feed: the index's */
    int fd;
    bool wants_write, lost;
    char base[96];    /* of the subjects that answers come to */
    uint64_t next;    /* number of the next call */
    size_t host_next; /* which server of the URL is tried first */
    marty_error why;  /* it could not be connected the last time */
    sigset_t before;
} kv_link;

/* A request to the server and its answer. Built by kv_put, kv_get and the like; kv_end frees. */
typedef struct kv_call {
    char subject[KV_SUBJECT_MAX];
    char text[KV_SUBJECT_MAX + 128]; /* the body of an API call */
    char facts[KV_FACTS_MAX];        /* the header of a saga; "" = none */
    bool puts, gone;                 /* writes a key; as removed */
    bool expects;                    /* only over this revision, 0 = none */
    uint64_t expected;
    marty_bytes body; /* borrowed until it is answered */
    bool answered, unsent;
    int code;     /* 0 = done; else the API's error */
    uint64_t seq; /* of what was written */
    json_t *json;
} kv_call;

/* A message as it is stored; one allocation with its data, to be freed with marty_free. */
typedef struct kv_value {
    uint64_t seq;
    int64_t at_us; /* when, by the server's clock */
    bool gone;     /* marked as removed */
    char key[KV_SUBJECT_MAX];
    char facts[KV_FACTS_MAX];
    marty_bytes data;
} kv_value;

/* A saga's facts with their texts. */
typedef struct kv_facts {
    marty_saga_facts facts;
    char id[40], name[65], key[129], definition[65], stuck[201];
} kv_facts;

/* The parts of a saga's message. */
typedef struct kv_body {
    marty_bytes state, outbox, run; /* run: the latest batches of history */
} kv_body;

/* One batch of a run. */
typedef struct kv_batch {
    uint64_t version, token; /* token: of the write that brought it */
    int64_t at_us;
    marty_bytes batch;
} kv_batch;

/* What a saga's start has settled for ever. */
typedef struct kv_birth {
    char name[65], key[129];
    uint32_t shard;
    int64_t started_us;
} kv_birth;

/* A bound counts for so long: by then every server knows who leads, and what is older was removed.
 */
#define KV_BOUND_NS INT64_C(60000000000)

/* What was last seen of a saga. */
typedef struct kv_known {
    char id[40];
    kv_birth birth;
    uint64_t seq, version;
    char *run;
    size_t run_size;
} kv_known;

/* The least revision that a key can have: what was written or read of it before. */
typedef struct kv_bound {
    uint64_t hash, seq; /* of the key */
    int64_t at_ns;
} kv_bound;

/* A write that may still come through. */
typedef struct kv_doubt {
    char id[40];
    uint64_t version;
} kv_doubt;

struct marty_saga_store {
    kv_link writer, reader;
    marty_env env;
    nats__options options;
    char bucket[KV_NAME_MAX + 1];
    char api[96]; /* "$JS.API" */
    uint32_t replicas;
    bool synced;               /* said so in the URL */
    bool there;                /* the bucket is not to be made */
    atomic_size_t payload_max; /* of a message, as the server said last */
    /* Of who has the writer: the token of the next write, unique among all writers; and the writes
     * that may still come through. */
    uint64_t token;
    kv_doubt *doubts;
    size_t doubt_count, doubt_room;
    pthread_mutex_t mutex; /* over what follows */
    kv_known known[KV_KNOWN];
    kv_bound bounds[KV_KNOWN];
    uint64_t seen; /* the highest revision that was written or read here */
    struct kv_index *index;
    char line[400];
};

/* ---- link.c */
bool kv_link_init(kv_link *link);
void kv_link_free(kv_link *link);
/** Lock a link and connect it; else err, and it is not locked. */
marty_err kv_enter(marty_saga_store *store, kv_link *link, int64_t until_ns, marty_error *why);
void kv_leave(kv_link *link);
/** Send all, and wait until all are answered, the link is lost or the time of one try is over. What
 * has no answer then was maybe done, except what is marked as unsent. */
void kv_exchange(marty_saga_store *store, kv_link *link, kv_call *const calls[], size_t count,
                 int64_t until_ns);
/** Read and write what the socket has; wait until then for more. False: the link is lost. */
bool kv_pump(marty_saga_store *store, kv_link *link, int64_t until_ns);
void kv_pause(marty_saga_store *store, kv_link *link, int64_t until_ns);
bool kv_is_late(const marty_saga_store *store, int64_t until_ns);

/* ---- call.c: what is asked of the server, and its answers */
/** Write a key. facts: the header of a saga, else NULL. */
void kv_put(const marty_saga_store *store, kv_call *call, const char *key, const char *facts,
            marty_bytes body);
/** Only over that revision. */
void kv_expect(kv_call *call, uint64_t revision);
/** The last message of a key. */
void kv_get(const marty_saga_store *store, kv_call *call, const char *key);
/** The first message of the keys of a pattern from a revision on. */
void kv_get_next(const marty_saga_store *store, kv_call *call, const char *pattern, uint64_t from);
/** The stream's configuration and state. */
void kv_info(const marty_saga_store *store, kv_call *call);
/** Remove a key up to a revision (0 = all), without a mark. */
void kv_remove(const marty_saga_store *store, kv_call *call, const char *pattern, uint64_t upto);
void kv_end(kv_call *call);
/** What a get has found; NULL with no memory. */
kv_value *kv_value_of(const marty_saga_store *store, const kv_call *call);
/** What a failed call means. */
marty_err kv_refused(const kv_call *call, const char *doing, marty_error *why);
/** One call on a link that is entered, tried until it is answered. Reads and what may be repeated
 * only. E: TIMEOUT. */
marty_err kv_ask(marty_saga_store *store, kv_link *link, kv_call *call, int64_t until_ns,
                 marty_error *why);
/** Read a key; *ret NULL = there is none. */
marty_err kv_read(marty_saga_store *store, kv_link *link, const char *key, kv_value **ret,
                  int64_t until_ns, marty_error *why);
/** Write a key over a revision. E: STATE (it is another now), MAYBE_STORED. */
marty_err kv_write(marty_saga_store *store, kv_link *link, const char *key, const char *facts,
                   bool gone, marty_bytes body, uint64_t over, uint64_t *ret_seq, int64_t until_ns,
                   marty_error *why);

/* ---- form.c: keys and bytes */
typedef char kv_key[KV_SUBJECT_MAX];
void kv_saga_key(kv_key ret, const char *id);
void kv_start_key(kv_key ret, const char *name, const char *key);
void kv_chunk_key(kv_key ret, const char *id, uint64_t first, uint64_t last);
void kv_definition_key(kv_key ret, const char *name, uint32_t version);
/** The escaped text at a place, as far as there is room; the place behind it. */
size_t kv_text_write(char *to, size_t at, size_t room, const char *text);
/** Of an escaped text, up to a space or a dot. */
void kv_text_read(char *ret, size_t size, const char *from);
void kv_facts_write(char ret[KV_FACTS_MAX], const marty_saga_facts *facts);
/** id: of the key. False: not ours. */
bool kv_facts_read(kv_facts *ret, const char *id, const char *text);
/** The bytes of a saga's message, or NULL; run is followed by the new batch unless that is NULL. */
char *kv_body_write(marty_bytes state, marty_bytes outbox, marty_bytes run, const kv_batch *batch,
                    size_t *ret_size, size_t *ret_run_at);
bool kv_body_read(marty_bytes from, kv_body *ret);
/** The batch at *at of a run, which moves on; false at its end. */
bool kv_run_next(marty_bytes run, size_t *at, kv_batch *ret);

/* ---- known.c: what is remembered of sagas */
/** A copy; its run is yours to free. False: nothing is known. */
bool kv_known_get(marty_saga_store *store, const char *id, kv_known *ret);
void kv_known_put(marty_saga_store *store, const marty_saga_facts *facts, uint64_t seq,
                  marty_bytes run);
void kv_birth_take(kv_birth *birth, const marty_saga_facts *facts);
void kv_known_drop(marty_saga_store *store, const char *id);
void kv_known_free(marty_saga_store *store);
/** A key was seen to have that revision. */
void kv_saw(marty_saga_store *store, const char *key, uint64_t seq);
/** Whether that answer (0 = none) is older than what was seen: from a leader that is none any more
 * and does not know it. */
bool kv_is_old(marty_saga_store *store, const char *key, uint64_t seq);
/** A key was removed. */
void kv_forget(marty_saga_store *store, const char *key);
/** The bucket is another: nothing of the old one holds. */
void kv_forget_all(marty_saga_store *store);
/** Revisions that must be seen by a scan from now on. */
void kv_seen(marty_saga_store *store, uint64_t seq);
uint64_t kv_seen_last(marty_saga_store *store);

/* ---- start.c: the steps of a write that are about start keys */
typedef enum kv_stage {
    KV_FETCH = 1, /* read the saga */
    KV_CLAIM,     /* write the start key */
    KV_LOOK,      /* read the start key */
    KV_OTHER,     /* read the saga that has the key */
    KV_FENCE,     /* keep that saga from starting: the key's owner has not begun */
    KV_CHUNK,     /* move old history to a key of its own */
    KV_WRITE,     /* write the saga */
    KV_DONE
} kv_stage;

typedef struct kv_one {
    marty_saga_write *write;
    kv_stage stage;
    kv_call call;
    bool fetched, filled, maybe, waits;
    kv_birth birth;
    uint64_t seq, version; /* what is to be written over */
    char *run;
    size_t run_size;
    uint64_t token, claim_seq, other_seq;
    char other[40];
    char *body;
    size_t body_size, run_at;
} kv_one;

/** Where a write begins that starts a saga. */
void kv_start_begin(kv_one *one);
void kv_start_call(const marty_saga_store *store, kv_one *one);
void kv_start_end(const marty_saga_store *store, kv_one *one);
void kv_finish(kv_one *one, marty_err result);
bool kv_is_conflict(const kv_call *call);

/* ---- tree.c: sagas in three orders */
typedef enum kv_order { KV_BY_ID, KV_BY_DUE, KV_BY_UNSENT, KV_ORDERS } kv_order;
typedef struct kv_entry kv_entry;
typedef struct kv_node {
    kv_entry *left, *right, *up;
} kv_node;
struct kv_entry {
    kv_node nodes[KV_ORDERS];
    marty_saga_facts facts; /* its texts are behind it */
    uint64_t seq;
    int64_t at_us; /* when it was written, by the server's clock */
    uint32_t weight;
    bool gone; /* only a mark is left */
};
typedef struct kv_trees {
    kv_entry *roots[KV_ORDERS];
    uint64_t chance;
} kv_trees;
/** Put in what was written of a saga, in place of what was there unless that is newer. */
bool kv_trees_put(kv_trees *trees, const marty_saga_facts *facts, uint64_t seq, int64_t at_us,
                  bool gone);
void kv_trees_forget(kv_trees *trees, const char *id);
void kv_trees_free(kv_trees *trees);
/** The first of an order; with an id, the first behind it by id. */
kv_entry *kv_trees_first(const kv_trees *trees, kv_order order, const char *after);
kv_entry *kv_trees_next(kv_entry *entry, kv_order order);

/* ---- index.c: the facts of all sagas, kept current by reading the stream */
typedef struct kv_index {
    kv_link link; /* its lock is that of all here */
    kv_trees trees;
    uint64_t applied;  /* the last revision that was read */
    uint64_t expected; /* the number of the feed's next message */
    int64_t look_ns;   /* when to ask how far the stream goes */
    int64_t behind_ns; /* since when it ends before what was read; 0 = it does not */
} kv_index;
/** Bring it up to what this store has seen (all = to the end of the stream) and lock it. */
marty_err kv_index_enter(marty_saga_store *store, bool all, int64_t until_ns, marty_error *why);
void kv_index_leave(marty_saga_store *store);

/* ---- lease.c */
/** The epochs of all shards, of the value of their key (NULL = nobody ever had one); of one that is
 * damaged, those that it will be made anew with. */
marty_err kv_epochs(const kv_value *value, uint64_t ret_epochs[MARTY_SAGA_SHARDS],
                    marty_error *why);
#define KV_SHARDS_KEY "shards"

/* The calls of the table, by file. */
marty_err kv_commit(marty_saga_store *store, marty_saga_write *const writes[], size_t count,
                    int64_t until_ns, marty_error *why);
marty_err kv_settle(marty_saga_store *store, int64_t until_ns, marty_error *why);
marty_err kv_sent(marty_saga_store *store, const marty_saga_facts sagas[], size_t count,
                  int64_t until_ns, marty_error *why);
marty_err kv_purge(marty_saga_store *store, int64_t before_us, uint32_t limit, uint32_t *ret_count,
                   int64_t until_ns, marty_error *why);
marty_err kv_load(marty_saga_store *store, const char *id, marty_saga_record **ret_record,
                  int64_t until_ns, marty_error *why);
marty_err kv_find(marty_saga_store *store, const char *name, const char *key, char ret_id[40],
                  int64_t until_ns, marty_error *why);
marty_err kv_history(marty_saga_store *store, const char *id, uint64_t from, marty_saga_batch found,
                     void *user, int64_t until_ns, marty_error *why);
marty_err kv_due(marty_saga_store *store, const marty_saga_shards *shards, int64_t now_us,
                 uint32_t limit, marty_saga_found found, void *user, int64_t *ret_next_us,
                 int64_t until_ns, marty_error *why);
marty_err kv_unsent(marty_saga_store *store, const marty_saga_shards *shards, int64_t before_us,
                    uint32_t limit, marty_saga_found found, void *user, int64_t until_ns,
                    marty_error *why);
marty_err kv_list(marty_saga_store *store, const marty_saga_filter *filter, marty_saga_found found,
                  void *user, int64_t until_ns, marty_error *why);
marty_err kv_lease(marty_saga_store *store, marty_saga_lease *lease, int64_t until_ns,
                   marty_error *why);
marty_err kv_release(marty_saga_store *store, const char *owner, const marty_saga_shard shards[],
                     size_t count, int64_t until_ns, marty_error *why);
marty_err kv_define(marty_saga_store *store, const char *name, uint32_t version, const char *hash,
                    marty_bytes document, int64_t until_ns, marty_error *why);
marty_err kv_definitions(marty_saga_store *store, const char *name, const char *hash,
                         marty_saga_document found, void *user, int64_t until_ns, marty_error *why);
#endif
