/* SPDX-License-Identifier: Apache-2.0
 * The sqlite store: opening, closing, definitions, and its table of calls. */
#include "sqlite.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

static marty_err read_word(const marty_url *url, const char *key, const char *const known[],
                           const char **ret_word, marty_error *why)
{
    const char *word = marty_url_get(url, key);
    *ret_word = word ? word : known[0];
    for (size_t i = 0; known[i]; i++) {
        if (strcmp(*ret_word, known[i]) == 0) {
            return MARTY_OK;
        }
    }
    return marty_error_set(why, MARTY_E_CONFIG, "%s: %s is %s or %s, not %s", url->redacted, key,
                           known[0], known[1], word);
}

static marty_err read_url(const marty_url *url, saga_db_how *ret, marty_error *why)
{
    static const char *const keys[] = {"sync", "create", NULL};
    static const char *const syncs[] = {"full", "extra", "normal", NULL};
    static const char *const creates[] = {"yes", "no", NULL};
    const char *create = NULL;
    marty_err err = marty_url_check(url, keys, why);
    err = err ? err : read_word(url, "sync", syncs, &ret->sync, why);
    err = err ? err : read_word(url, "create", creates, &create, why);
    if (!err && (!url->path || !*url->path || strcmp(url->path, ":memory:") == 0)) {
        err = marty_error_set(why, MARTY_E_CONFIG,
                              "%s names no file: write sqlite:sagas.db (or take memory:)",
                              url->redacted);
    }
    ret->path = url->path;
    ret->there = create && strcmp(create, "no") == 0;
    return err;
}

static void sqlite_close(marty_saga_store *store)
{
    marty__saga_db_close(&store->reader);
    marty__saga_db_close(&store->writer);
    marty_free(store);
}

static marty_err sqlite_open(marty_saga_store **ret_store, const marty_url *url,
                             const marty_env *env, int64_t until_ns, marty_error *why)
{
    saga_db_how how = {.writes = true};
    marty_err err = read_url(url, &how, why);
    if (err) {
        return err;
    }
    marty_saga_store *store = marty_alloc_zero(1, sizeof *store);
    if (!store) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "opening %s", url->redacted);
    }
    store->env = marty__env_complete(env);
    how.env = &store->env;
    (void)snprintf(
        store->line, sizeof store->line,
        "sqlite: %.120s, WAL, synchronous=%s; all transitions that wait are one commit%s", how.path,
        how.sync,
        strcmp(how.sync, "normal") == 0
            ? "; UNSAFE: the last commits are lost when the machine loses power"
            : "");
    err = marty__saga_db_open(&store->writer, &how, until_ns, why);
    how.writes = false;
    err = err ? err : marty__saga_db_open(&store->reader, &how, until_ns, why);
    if (err) {
        sqlite_close(store);
        return err;
    }
    *ret_store = store;
    return MARTY_OK;
}

static const char *sqlite_describe(const marty_saga_store *store)
{
    return store->line;
}

marty_err marty__saga_sqlite_define(marty_saga_store *store, const char *name, uint32_t version,
                                    const char *hash, marty_bytes document, int64_t until_ns,
                                    marty_error *why)
{
    saga_db *db = &store->writer;
    bool same = false;
    marty_err entered = marty__saga_db_enter(db, until_ns, why);
    if (entered) {
        return entered;
    }
    int code = marty__saga_db_run(db, SAGA_BIND(db, SAGA_SQL_DEFINE, saga_text(name),
                                                saga_int((int64_t)version), saga_text(hash),
                                                saga_blob(document)));
    if (!code) {
        sqlite3_stmt *row =
            SAGA_BIND(db, SAGA_SQL_DEFINITION, saga_text(name), saga_int((int64_t)version));
        code = row ? sqlite3_step(row) : marty__saga_db_code(db);
        same = code == SQLITE_ROW && strcmp(marty__saga_db_text(row, 0), hash) == 0;
        code = code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
        (void)sqlite3_reset(row);
    }
    marty_err err = code ? marty__saga_db_fail(db, code, why) : MARTY_OK;
    marty__saga_db_leave(db);
    return err || same ? err
                       : marty_error_set(why, MARTY_E_EXISTS,
                                         "the definition %s version %u is there and is different: "
                                         "give it a new version",
                                         name, (unsigned)version);
}

const marty_saga_store_table marty__saga_sqlite = {
    .abi = MARTY_SAGA_STORE_ABI,
    .scheme = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .describe = sqlite_describe,
    .commit = marty__saga_sqlite_commit,
    .settle = marty__saga_sqlite_settle,
    .load = marty__saga_sqlite_load,
    .find = marty__saga_sqlite_find,
    .due = marty__saga_sqlite_due,
    .unsent = marty__saga_sqlite_unsent,
    .sent = marty__saga_sqlite_sent,
    .lease = marty__saga_sqlite_lease,
    .release = marty__saga_sqlite_release,
    .define = marty__saga_sqlite_define,
    .definitions = marty__saga_sqlite_definitions,
    .list = marty__saga_sqlite_list,
    .history = marty__saga_sqlite_history,
    .purge = marty__saga_sqlite_purge,
};
