/* SPDX-License-Identifier: Apache-2.0
 * Rows on their way into a table, and the virtual table that SQLite reads them from. */
#include "append.h"

#include <string.h>

typedef struct append_table {
    sqlite3_vtab base;
    sq_append *rows;
} append_table;
typedef struct append_cursor {
    sqlite3_vtab_cursor base;
    unsigned at;
} append_cursor;
enum { COLUMN_ID, COLUMN_AT, COLUMN_EXPIRES, COLUMN_KEY, COLUMN_BODY };

static sq_append *rows_of(const sqlite3_vtab_cursor *cursor)
{
    return ((append_table *)(void *)cursor->pVtab)->rows;
}

static append_cursor *cursor_of(sqlite3_vtab_cursor *cursor)
{
    return (append_cursor *)(void *)cursor;
}

static int on_connect(sqlite3 *handle, void *rows, int count, const char *const *words,
                      sqlite3_vtab **ret_table, char **ret_why)
{
    (void)count;
    (void)words;
    (void)ret_why;
    int code = sqlite3_declare_vtab(handle, "CREATE TABLE x(id, at_us, expires_us, key, body)");
    append_table *table = code ? NULL : sqlite3_malloc((int)sizeof *table);
    if (!code && table) {
        *table = (append_table){.rows = rows};
        *ret_table = &table->base;
    }
    return code || table ? code : SQLITE_NOMEM;
}

static int on_disconnect(sqlite3_vtab *table)
{
    sqlite3_free(table);
    return SQLITE_OK;
}

static int on_best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
    (void)table;
    info->estimatedCost = SQ_APPEND_ROWS;
    return SQLITE_OK;
}

static int on_open(sqlite3_vtab *table, sqlite3_vtab_cursor **ret_cursor)
{
    (void)table;
    append_cursor *cursor = sqlite3_malloc((int)sizeof *cursor);
    if (!cursor) {
        return SQLITE_NOMEM;
    }
    *cursor = (append_cursor){.at = 0};
    *ret_cursor = &cursor->base;
    return SQLITE_OK;
}

static int on_close(sqlite3_vtab_cursor *cursor)
{
    sqlite3_free(cursor);
    return SQLITE_OK;
}

static int on_filter(sqlite3_vtab_cursor *cursor, int index, const char *text, int count,
                     sqlite3_value **values)
{
    (void)index;
    (void)text;
    (void)count;
    (void)values;
    cursor_of(cursor)->at = 0;
    return SQLITE_OK;
}

static int on_next(sqlite3_vtab_cursor *cursor)
{
    sq_append *rows = rows_of(cursor);
    int64_t id = rows->rows[cursor_of(cursor)->at++].id;
    rows->edge = id > rows->edge ? id : rows->edge;
    return SQLITE_OK;
}

static int on_end(sqlite3_vtab_cursor *cursor)
{
    return cursor_of(cursor)->at >= rows_of(cursor)->count;
}

static void give_number(sqlite3_context *out, int64_t number, bool none)
{
    if (none) {
        sqlite3_result_null(out);
    } else {
        sqlite3_result_int64(out, number);
    }
}

static int on_column(sqlite3_vtab_cursor *cursor, sqlite3_context *out, int column)
{
    const sq_append *rows = rows_of(cursor);
    const sq_appended *row = &rows->rows[cursor_of(cursor)->at];
    switch (column) {
    case COLUMN_ID:
        give_number(out, row->id, row->id == rows->edge + 1);
        break;
    case COLUMN_AT:
        give_number(out, row->at_us, false);
        break;
    case COLUMN_EXPIRES:
        give_number(out, row->expires_us, !row->expires_us);
        break;
    case COLUMN_KEY:
        give_number(out, row->key, !row->key);
        break;
    default:
        sqlite3_result_blob64(out, rows->bodies.data + row->body_at, row->body_size, SQLITE_STATIC);
        break;
    }
    return SQLITE_OK;
}

static int on_row_id(sqlite3_vtab_cursor *cursor, sqlite3_int64 *ret_id)
{
    *ret_id = cursor_of(cursor)->at;
    return SQLITE_OK;
}

static const sqlite3_module module = {.xConnect = on_connect,
                                      .xBestIndex = on_best_index,
                                      .xDisconnect = on_disconnect,
                                      .xOpen = on_open,
                                      .xClose = on_close,
                                      .xFilter = on_filter,
                                      .xNext = on_next,
                                      .xEof = on_end,
                                      .xColumn = on_column,
                                      .xRowid = on_row_id};

int marty__sq_append_register(sqlite3 *handle, sq_append *rows)
{
    return sqlite3_create_module(handle, "marty_rows", &module, rows);
}

int marty__sq_append_take(sq_append *rows, const sq_appended *row, marty_bytes body)
{
    size_t at = rows->bodies.size;
    marty__buffer_add(&rows->bodies, body.data, body.size);
    if (rows->bodies.failed) {
        return SQLITE_NOMEM;
    }
    rows->rows[rows->count] = *row;
    rows->rows[rows->count].body_at = at;
    rows->rows[rows->count++].body_size = body.size;
    return SQLITE_OK;
}

void marty__sq_append_clear(sq_append *rows)
{
    rows->count = 0;
    if (rows->bodies.failed || rows->bodies.capacity > 2 * SQ_APPEND_BYTES) {
        marty__buffer_free(&rows->bodies);
    }
    marty__buffer_clear(&rows->bodies);
}
