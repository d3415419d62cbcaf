/* SPDX-License-Identifier: Apache-2.0
 * Ends of transactions, checkpoints, and what SQLite's codes mean. The log is moved into the
 * database by us alone, after answers have gone out, when it has grown to 8 MiB (2 MiB when there
 * is nothing else to do); and sooner where the disk has less room left than the log has bytes: then
 * it is cut off, so that it never fills a disk by itself. Our readers are short, so it begins anew
 * each time; a reader of another program that stays can make it grow: past 1 GiB nothing more is
 * taken. */
#include "db.h"

#include "backend/sqlite/errors.h"
#include "backend/sqlite/log.h"
#include "base/assert.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>

enum {
    LOOK_FRAMES = 16,
    IDLE_FRAMES = 256,
    BUSY_FRAMES = 1000,
    STUCK_FRAMES = 8000,
    FULL_FRAMES = 131072,
    STUCK_WAIT_NS = 20 * MARTY__NS_PER_MS
};

static void ended(sq_db *db)
{
    db->in_transaction = false;
    if (db->shared) {
        marty__sq_shared_ended(db->shared);
    }
}

int marty__sq_begin_read(sq_db *db)
{
    return marty__sq_exec(db, "BEGIN");
}

void marty__sq_end_read(sq_db *db)
{
    if (!sqlite3_get_autocommit(db->handle)) {
        (void)marty__sq_exec(db, "COMMIT");
    }
}

void marty__sq_rollback(sq_db *db)
{
    char text[sizeof db->text];
    memcpy(text, db->text, sizeof text); /* why we roll back, not how that went */
    if (!sqlite3_get_autocommit(db->handle)) {
        (void)marty__sq_exec(db, "ROLLBACK");
    }
    memcpy(db->text, text, sizeof text);
    marty__sq_append_clear(&db->append);
    if (db->in_transaction) {
        ended(db);
    }
}

int marty__sq_commit(sq_db *db)
{
    marty__assert(!db->append.count);
    int code = marty__sq_exec(db, "COMMIT");
    if (code) {
        marty__sq_rollback(db);
    } else if (db->in_transaction) {
        ended(db);
    }
    return code;
}

/* Whether enough was written since it was last tried: a reader may have kept it from ending. */
static bool has_grown(sq_db *db, bool idle)
{
    db->wal_tried = db->wal_frames < db->wal_tried ? 0 : db->wal_tried; /* the log began anew */
    return db->wal_frames - db->wal_tried >= (idle ? IDLE_FRAMES : BUSY_FRAMES);
}

/* Looked at now and then, but for one that is: until it was tried to mend that. */
static bool is_crowded(sq_db *db)
{
    db->wal_looked = db->wal_frames < db->wal_looked ? 0 : db->wal_looked;
    if (db->wal_frames - db->wal_looked < LOOK_FRAMES) {
        return false;
    }
    bool crowded = marty__sqlite_log_crowds(db->handle);
    db->wal_looked = crowded ? db->wal_looked : db->wal_frames;
    return crowded;
}

bool marty__sq_checkpoint_due(sq_db *db)
{
    return has_grown(db, false) || is_crowded(db);
}

static void move(sq_db *db, int mode)
{
    int frames = 0, moved = 0;
    db->wal_tried = db->wal_looked = db->wal_frames;
    db->busy_until_ns = marty__monotonic_ns() + STUCK_WAIT_NS;
    db->busy_seen = db->shared ? marty__sq_shared_commits(db->shared) : 0;
    int code = sqlite3_wal_checkpoint_v2(db->handle, NULL, mode, &frames, &moved);
    if (code == SQLITE_OK && frames == moved) {
        db->wal_frames = db->wal_tried = db->wal_looked = 0;
    }
    if (db->shared) {
        marty__sq_shared_unwant(db->shared);
    }
}

void marty__sq_checkpoint(sq_db *db, bool idle)
{
    bool due = has_grown(db, idle), crowded = is_crowded(db);
    if (due || crowded) {
        move(db, crowded                         ? SQLITE_CHECKPOINT_TRUNCATE
                 : db->wal_frames > STUCK_FRAMES ? SQLITE_CHECKPOINT_RESTART
                                                 : SQLITE_CHECKPOINT_PASSIVE);
    }
}

void marty__sq_log_cut(sq_db *db)
{
    move(db, SQLITE_CHECKPOINT_TRUNCATE);
}

bool marty__sq_wal_full(const sq_db *db)
{
    return db->wal_frames > FULL_FRAMES;
}

/* ---- what codes mean */
marty_err marty__sq_explain(const sq_db *db, int code, const char *path, marty_error *why)
{
    return marty__sqlite_error(code, db->text, path, why);
}

bool marty__sq_is_fatal(int code)
{
    switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return true;
    default:
        return false;
    }
}
