/* SPDX-License-Identifier: Apache-2.0
 * Where sagas are kept: what a store of sagas must do, for the stores of the library (memory,
 * sqlite), of its modules (postgres, nats) and of yours. A store knows nothing of what a saga
 * means: state, history and outbox are bytes to it. It promises three things. A transition is
 * written whole or not at all. It is written only over the version that it was decided on and,
 * where it names an epoch, only while that epoch holds its shard. What was answered MARTY_OK
 * survives what the store's line of description says. Every call blocks, up to a deadline, and may
 * come from any thread, several at once. */
#ifndef MARTY_SAGA_STORE_H
#define MARTY_SAGA_STORE_H
#include <marty/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Shards of every store: a saga's is a hash of its id. Whoever has the lease of a shard looks
 * after its timers and its outbox. @since 0.1 @source docs/design/0013-saga-stores.md */
#define MARTY_SAGA_SHARDS 256

/** A set of shards, a bit for each. @since 0.1 @source docs/design/0013-saga-stores.md */
typedef struct marty_saga_shards {
    uint64_t bits[MARTY_SAGA_SHARDS / 64]; /**< Shard n is bit n % 64 of word n / 64. */
} marty_saga_shards;

/** How a saga stands. @since 0.1 @source docs/design/0013-saga-stores.md */
typedef enum marty_saga_status {
    MARTY_SAGA_RUNNING = 1,  /**< Goes forward. */
    MARTY_SAGA_COMPENSATING, /**< Undoes what was done. */
    MARTY_SAGA_COMPLETED,    /**< Ended: every step of its path done. */
    MARTY_SAGA_COMPENSATED,  /**< Ended: every effect undone. */
    MARTY_SAGA_ABANDONED     /**< Ended by a person; what is left is listed in its state. */
} marty_saga_status;

/** How `stuck` begins of a saga that goes on by itself, but a step of which has been tried in vain
 * for ten seconds or longer. @since 0.1 @source docs/design/0018-retries-of-sagas.md */
#define MARTY_SAGA_FAILING "failing: "

/** What is indexed of a saga, beside its bytes. @since 0.1 @source docs/design/0013-saga-stores.md
 */
typedef struct marty_saga_facts {
    const char *id;   /**< At most 39 characters, [A-Za-z0-9_-]. */
    const char *name; /**< Of its definition, at most 64 characters. */
    const char
        *key; /**< Its start key, at most 128 bytes; "" = none. One saga for a name and key. */
    const char *definition; /**< The hash that it is pinned to, at most 64 characters. */
    const char *stuck; /**< Why it waits for a person, or begins with MARTY_SAGA_FAILING and says
                        *   what it tries in vain; at most 200 bytes; "" = neither. */
    marty_saga_status status; /**< How it stands. */
    bool paused;              /**< A person has paused it. */
    uint32_t shard;           /**< Below MARTY_SAGA_SHARDS. */
    uint64_t version;         /**< 1, 2, 3, ...: how many transitions it has had. */
    int64_t started_us;       /**< Unix time of the first. */
    int64_t changed_us;       /**< Unix time of the last. */
    int64_t due_us;           /**< When it must be looked at; INT64_MAX = no timer. */
    bool unsent;              /**< Its outbox may hold what nobody has published yet. */
} marty_saga_facts;

/** A saga as it was read: one allocation, yours to give to marty_free.
 *  @since 0.1 @source docs/design/0013-saga-stores.md */
typedef struct marty_saga_record {
    marty_saga_facts facts; /**< What is indexed. */
    uint64_t epoch;         /**< Of its shard, read together with it; 0 = nobody ever had it. */
    marty_bytes state;      /**< As it was written. */
    marty_bytes outbox;     /**< As it was written. */
    int64_t place; /**< Where the store has it, in the store's own words; 0 = it does not say. */
} marty_saga_record;

/** One transition to be written. @since 0.1 @source docs/design/0013-saga-stores.md */
typedef struct marty_saga_write {
    /** As they are to be; version is the new one: one above what was read, 1 to start. Name, key,
     *  shard and start are those of version 1 for ever. */
    marty_saga_facts facts;
    /** The epoch of the shard under which it was decided; 0 = by one who has no lease. */
    uint64_t epoch;
    marty_bytes state;   /**< At most 1 MiB. */
    marty_bytes outbox;  /**< At most 1 MiB. */
    marty_bytes history; /**< The batch of this version; at most 1 MiB. */
    /** In: the place of the record that it was decided on, or of the write before; 0 = not known.
     *  Out, once written: where it is now. A store finds it sooner by it, and never trusts it. */
    int64_t place;
    /** NULL, or called inside the transaction before anything of this one is written, with the
     *  store's own handle (sqlite3, PGconn; NULL where there is none): a local step does its work
     *  there and fills in what is to be written. An error undoes it and is this write's result.
     *  Called once for each time the transaction is tried. */
    marty_err (*fill)(struct marty_saga_write *write, void *transaction);
    void *user; /**< For fill. */
    /** Set by fill: what it did in the transaction is taken back, and the write is made all the
     *  same (the step has refused). */
    bool undo;
    /** Out: MARTY_OK; MARTY_E_STATE = the version is another by now; MARTY_E_LOST = the epoch is;
     *  MARTY_E_EXISTS = a saga of that name and key is there, `existing` says which;
     *  MARTY_E_MAYBE_STORED = nobody knows: read it again (after `settle`) before deciding
     * anything; any other: not written. */
    marty_err result;
    char existing[40]; /**< Out, with MARTY_E_EXISTS: the id. */
} marty_saga_write;

/** A shard that one has or had. @since 0.1 @source docs/design/0013-saga-stores.md */
typedef struct marty_saga_shard {
    uint32_t shard; /**< Which. */
    uint64_t epoch; /**< Raised whenever it is taken; renewing leaves it. */
} marty_saga_shard;

/** The claim of one engine. @since 0.1 @source docs/design/0013-saga-stores.md */
typedef struct marty_saga_lease {
    const char *owner; /**< Who, unique for each start of a process; at most 63 characters. */
    uint32_t term_ms;  /**< How long a lease holds from now, by the store's clock. */
    uint32_t want;     /**< How many shards to have; what is free or has run out is taken. */
    /** In: what one has. Out: what one has now; those lost to another are gone. */
    marty_saga_shard held[MARTY_SAGA_SHARDS];
    uint32_t count;   /**< Of held. */
    uint32_t members; /**< Out: engines alive, this one too. */
} marty_saga_lease;

/** Which sagas to list. Zero = all. @since 0.1 @source docs/design/0013-saga-stores.md */
typedef struct marty_saga_filter {
    const char *name;          /**< Of the definition; NULL = any. */
    const char *key;           /**< The start key; NULL = any. */
    marty_saga_status status;  /**< 0 = any. */
    bool stuck;                /**< Only those with a text in `stuck`; they have not ended. */
    bool open;                 /**< Only those that have not ended. */
    int64_t changed_before_us; /**< 0 = any. */
    const char
        *after;     /**< The id after which to go on, in the order of ids; NULL = from the first. */
    uint32_t limit; /**< 0 = 100; at most 10,000. */
    uint64_t reserved[4]; /**< Leave it 0. */
} marty_saga_filter;

/**
 * Takes what a call finds, one after another. It must not call the store.
 *
 * @param user As given to the call.
 * @param facts Of one saga. Borrowed until the return.
 * @return false ends the call.
 * @threads The one that called.
 * @since 0.1
 * @source docs/design/0013-saga-stores.md
 */
typedef bool (*marty_saga_found)(void *user, const marty_saga_facts *facts);

/**
 * Takes one batch of a history. It must not call the store.
 *
 * @param user As given to the call.
 * @param version Which transition wrote it.
 * @param at_us When, Unix time.
 * @param batch As it was written. Borrowed until the return.
 * @return false ends the call.
 * @threads The one that called.
 * @since 0.1
 * @source docs/design/0013-saga-stores.md
 */
typedef bool (*marty_saga_batch)(void *user, uint64_t version, int64_t at_us, marty_bytes batch);

/**
 * Takes one definition. It must not call the store.
 *
 * @param user As given to the call.
 * @param name Of the definition. Borrowed until the return.
 * @param version Of the definition.
 * @param hash Of the document. Borrowed until the return.
 * @param document Canonical. Borrowed until the return.
 * @return false ends the call.
 * @threads The one that called.
 * @since 0.1
 * @source docs/design/0013-saga-stores.md
 */
typedef bool (*marty_saga_document)(void *user, const char *name, uint32_t version,
                                    const char *hash, marty_bytes document);

/**
 * Takes one saga that was read. It must not call the store.
 *
 * @param user As given to the call.
 * @param record Its own from then on, to be given to marty_free.
 * @return false ends the call.
 * @threads The one that called.
 * @since 0.1
 * @source docs/design/0013-saga-stores.md
 */
typedef bool (*marty_saga_loaded)(void *user, marty_saga_record *record);

/** A store's private object. @since 0.1 @source docs/design/0013-saga-stores.md */
typedef struct marty_saga_store marty_saga_store;

/** What a store does; every slot but `load_many` is filled. `until_ns` is a deadline by the
 * monotonic clock. Errors that any may give: UNAVAILABLE, TIMEOUT, STORAGE, NO_MEMORY, DENIED:
 * nothing was done.
 *  @since 0.1 @source docs/design/0013-saga-stores.md */
typedef struct marty_saga_store_table {
    uint32_t abi;       /**< MARTY_SAGA_STORE_ABI. */
    const char *scheme; /**< Of its URLs. */
    /** Open it, and make its tables where they are missing. `env` gives the time, every slot is
     * filled; it and the URL outlive the store. E: CONFIG, and as any. */
    marty_err (*open)(marty_saga_store **ret_store, const marty_url *url, const marty_env *env,
                      int64_t until_ns, marty_error *why);
    /** Close and free; nothing may be running. */
    void (*close)(marty_saga_store *store);
    /** One line for the log: which store, how durable (what a crash of the process, of the machine,
     * of one server may take), how it batches, and what is unsafe. Lives as long as the store. */
    const char *(*describe)(const marty_saga_store *store);
    /** Write transitions, of different sagas, as many as given together: each whole or not at all,
     *  each with its own result. What fails of one does not hinder the others.
     *  MARTY_OK: every result is filled in (also when all of them are errors). */
    marty_err (*commit)(marty_saga_store *store, marty_saga_write *const writes[], size_t count,
                        int64_t until_ns, marty_error *why);
    /** Make sure that nothing of a commit that was answered MAYBE_STORED can still be written
     * later: what is read from now on is final. */
    marty_err (*settle)(marty_saga_store *store, int64_t until_ns, marty_error *why);
    /** Read one, with its place, if the store has such. E: NOT_FOUND. */
    marty_err (*load)(marty_saga_store *store, const char *id, marty_saga_record **ret_record,
                      int64_t until_ns, marty_error *why);
    /** The id of a name and key. E: NOT_FOUND. */
    marty_err (*find)(marty_saga_store *store, const char *name, const char *key, char ret_id[40],
                      int64_t until_ns, marty_error *why);
    /** Sagas of these shards that are due by now_us, the earliest first, at most limit; then
     *  *ret_next_us is when the next of them is (INT64_MAX = none). */
    marty_err (*due)(marty_saga_store *store, const marty_saga_shards *shards, int64_t now_us,
                     uint32_t limit, marty_saga_found found, void *user, int64_t *ret_next_us,
                     int64_t until_ns, marty_error *why);
    /** Sagas of these shards whose `unsent` is set and that have not changed since before_us, the
     *  oldest first, at most limit. */
    marty_err (*unsent)(marty_saga_store *store, const marty_saga_shards *shards, int64_t before_us,
                        uint32_t limit, marty_saga_found found, void *user, int64_t until_ns,
                        marty_error *why);
    /** Clear `unsent` of those that still have the version given; others are left alone. Not a
     *  transition. May be lost in a crash. */
    marty_err (*sent)(marty_saga_store *store, const marty_saga_facts sagas[], size_t count,
                      int64_t until_ns, marty_error *why);
    /** Say that one is alive, renew what one has, and take more. want = 0 and count = 0: leave. */
    marty_err (*lease)(marty_saga_store *store, marty_saga_lease *lease, int64_t until_ns,
                       marty_error *why);
    /** Give shards back at once, so that others need not wait; their epochs stay. Those that are
     * not the owner's are left alone. */
    marty_err (*release)(marty_saga_store *store, const char *owner,
                         const marty_saga_shard shards[], size_t count, int64_t until_ns,
                         marty_error *why);
    /** Keep a definition; the same hash again is fine. E: EXISTS (name and version have another).
     */
    marty_err (*define)(marty_saga_store *store, const char *name, uint32_t version,
                        const char *hash, marty_bytes document, int64_t until_ns, marty_error *why);
    /** The definitions of a name, or the one of a hash, or all (both NULL), by name and version. */
    marty_err (*definitions)(marty_saga_store *store, const char *name, const char *hash,
                             marty_saga_document found, void *user, int64_t until_ns,
                             marty_error *why);
    /** The sagas of a filter, in the order of their ids. */
    marty_err (*list)(marty_saga_store *store, const marty_saga_filter *filter,
                      marty_saga_found found, void *user, int64_t until_ns, marty_error *why);
    /** The history of one, from a version on. E: NOT_FOUND. */
    marty_err (*history)(marty_saga_store *store, const char *id, uint64_t from,
                         marty_saga_batch found, void *user, int64_t until_ns, marty_error *why);
    /** Remove sagas that ended before before_us, with their histories, at most limit; *ret_count
     * says how many. */
    marty_err (*purge)(marty_saga_store *store, int64_t before_us, uint32_t limit,
                       uint32_t *ret_count, int64_t until_ns, marty_error *why);
    /** Read some, as load reads one: those that are there, each once, in any order. NULL = they are
     * read one by one: right for a store to which a call is cheap. */
    marty_err (*load_many)(marty_saga_store *store, const char *const ids[], size_t count,
                           marty_saga_loaded loaded, void *user, int64_t until_ns,
                           marty_error *why);
    uint64_t reserved[5]; /**< Leave it 0. */
} marty_saga_store_table;

/** The number of this table's layout. @since 0.1 @source docs/design/0013-saga-stores.md */
#define MARTY_SAGA_STORE_ABI 1u

/**
 * Make a record, for `load`: everything is copied into one allocation.
 *
 * @param facts Borrowed; a NULL text becomes "".
 * @param epoch Of its shard.
 * @param state Borrowed.
 * @param outbox Borrowed.
 * @return The record, to be given to marty_free; NULL without memory.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0013-saga-stores.md
 */
MARTY_API marty_saga_record *marty_saga_record_new(const marty_saga_facts *facts, uint64_t epoch,
                                                   marty_bytes state, marty_bytes outbox);

/**
 * What a module with a store exports, under the name `marty_saga_store_module`.
 *
 * @param abi The library's MARTY_SAGA_STORE_ABI.
 * @return Its table, static; NULL for an abi that it does not know.
 * @threads One at a time, under the registry's lock.
 * @since 0.1
 * @source docs/design/0013-saga-stores.md
 */
typedef const marty_saga_store_table *(*marty_saga_store_entry)(uint32_t abi);

#ifdef __cplusplus
}
#endif
#endif
