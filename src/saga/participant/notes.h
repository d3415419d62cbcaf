/* SPDX-License-Identifier: Apache-2.0
 * What a participant remembers: for each operation's key, how it was answered. The note is in the
 * same transaction as the effect. One transaction at a time per object; any thread may begin it. */
#ifndef MARTY_SAGA_PARTICIPANT_NOTES_H
#define MARTY_SAGA_PARTICIPANT_NOTES_H
#include <marty/backend.h>

typedef enum marty__note_kind {
    MARTY__NOTE_NONE,
    MARTY__NOTE_DONE,     /* text = its result */
    MARTY__NOTE_REFUSED,  /* text = the reason */
    MARTY__NOTE_TOMBSTONE /* it never happened, and never will */
} marty__note_kind;

typedef struct marty__note {
    marty__note_kind kind;
    char *text; /* yours to free; may be NULL */
    size_t size;
} marty__note;

typedef struct marty__notes marty__notes;

/** The layout of the table; a module says whether it knows it. */
#define MARTY__NOTES_ABI 1u

/** Where notes are kept. A batch of operations is one transaction: begin; for each operation enter,
 *  its effect, add, leave; commit. Whoever begins holds the notes until commit or roll_back. */
typedef struct marty__notes_table {
    uint32_t abi;
    const char *scheme;
    /** Open a database, and make the table of notes. `env` gives the time, and outlives the notes.
     *  E: CONFIG, UNAVAILABLE, STORAGE, NO_MEMORY. */
    marty_err (*open)(marty__notes **ret_notes, const marty_url *url, const marty_env *env,
                      int64_t until_ns, marty_error *why);
    void (*close)(marty__notes *notes);
    /** Begin a transaction that writes; *ret_transaction is what an effect gets. */
    marty_err (*begin)(marty__notes *notes, int64_t until_ns, void **ret_transaction,
                       marty_error *why);
    /** An operation begins here: what is known of its key. Nobody else works on that key until the
     *  transaction ends. */
    marty_err (*enter)(marty__notes *notes, const char *key, marty__note *ret_note,
                       marty_error *why);
    /** What is known of another key, which nobody else works on from then on. */
    marty_err (*find)(marty__notes *notes, const char *key, marty__note *ret_note,
                      marty_error *why);
    /** Note it. E: FAILED, as leave. */
    marty_err (*add)(marty__notes *notes, const char *key, marty__note_kind kind, const char *text,
                     size_t size, int64_t at_us, marty_error *why);
    /** Take back what this operation has done. E: FAILED, as leave. */
    marty_err (*undo)(marty__notes *notes, marty_error *why);
    /** The operation is done. E: FAILED: what its effect did cannot be committed (it has ended the
     *  transaction, its SQL has failed), so nothing counts that was done in it; roll back. */
    marty_err (*leave)(marty__notes *notes, marty_error *why);
    /** End it. E: FAILED: something in it cannot be committed, so nothing is. After another error
     *  nobody knows whether it was committed: begin, and look. */
    marty_err (*commit)(marty__notes *notes, marty_error *why);
    /** Always works. */
    void (*roll_back)(marty__notes *notes);
    /** Forget notes made before; within no transaction. */
    marty_err (*purge)(marty__notes *notes, int64_t before_us, int64_t until_ns, marty_error *why);
} marty__notes_table;

extern const marty__notes_table marty__notes_sqlite;

/** The notes of a URL's scheme, of the library or of a module; NULL with why. Any thread. */
const marty__notes_table *marty__notes_find(const marty_url *url, marty_error *why);

/** What a module with notes exports, under the name `marty_notes_module`. */
typedef const marty__notes_table *(*marty__notes_entry)(uint32_t abi);

/** The text of FAILED. */
#define MARTY__NOTES_ENDED                                                                         \
    "the effect has ended the transaction that it was given: it must neither commit nor roll back"
#endif
