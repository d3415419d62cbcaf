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

typedef struct marty__notes_table {
    const char *scheme;
    /** Open a database, and make the table of notes. E: CONFIG, UNAVAILABLE, STORAGE, NO_MEMORY. */
    marty_err (*open)(marty__notes **ret_notes, const marty_url *url, int64_t until_ns,
                      marty_error *why);
    void (*close)(marty__notes *notes);
    /** Begin a transaction that writes; *ret_transaction is what an effect gets. Others wait. */
    marty_err (*begin)(marty__notes *notes, int64_t until_ns, void **ret_transaction,
                       marty_error *why);
    /** The next operation of this transaction begins here; what was done before stays. */
    marty_err (*next)(marty__notes *notes, marty_error *why);
    /** What is known of a key; within a transaction. */
    marty_err (*find)(marty__notes *notes, const char *key, marty__note *ret_note,
                      marty_error *why);
    /** Note it; within a transaction. */
    marty_err (*add)(marty__notes *notes, const char *key, marty__note_kind kind, const char *text,
                     size_t size, int64_t at_us, marty_error *why);
    /** Take back what this operation has done; the transaction goes on. */
    marty_err (*undo)(marty__notes *notes, marty_error *why);
    /** End it. After an error nobody knows whether it was committed: begin, and look. */
    marty_err (*commit)(marty__notes *notes, marty_error *why);
    /** Always works. */
    void (*roll_back)(marty__notes *notes);
    /** Forget notes made before; within no transaction. */
    marty_err (*purge)(marty__notes *notes, int64_t before_us, int64_t until_ns, marty_error *why);
} marty__notes_table;

extern const marty__notes_table marty__notes_sqlite;
#endif
