/* SPDX-License-Identifier: Apache-2.0
 * Messages in a log: appending, removing, making room, finding a place by time, and positions as
 * text. Counts are kept in the log's row, so nothing is ever counted by reading. The writer's
 * thread. */
#include "work.h"

#include "base/number.h"

enum { TRIM_AT_ONCE = 500, TRIM_ROUNDS = 64, GROUPS_MAX = 64 };

/* times: at, expires (0 = never), and the key (0 = none), as the columns are. */
int marty__sq_log_append(marty_port *port, sq_log *log, const int64_t times[3], marty_bytes body,
                         int64_t *ret_message)
{
    int64_t message = marty__sq_first_of(log->id) + log->next;
    int64_t at_us = times[0] > log->last_us ? times[0] : log->last_us; /* never back in a log */
    const sq_appended row = {
        .id = message, .at_us = at_us, .expires_us = times[1], .key = times[2]};
    int code = marty__sq_append(&port->db, marty__sq_table_of(message), &row, body);
    if (code) {
        return code;
    }
    log->next++;
    log->messages++;
    log->bytes += (int64_t)body.size;
    log->last_us = at_us;
    marty__sq_log_dirty(port, log);
    marty__sq_touch(port, log->bit);
    *ret_message = message;
    return SQLITE_OK;
}

/* A run of neighbours in one statement. */
static int remove_run(marty_port *port, int64_t first, int64_t last)
{
    unsigned table = marty__sq_table_of(first);
    return first == last
               ? marty__sq_do(&port->db, SQ_MESSAGE_REMOVE, table, SQ_I(first))
               : marty__sq_do(&port->db, SQ_MESSAGE_REMOVE_RANGE, table, SQ_I(first, last));
}

int marty__sq_log_remove(marty_port *port, const int64_t messages[], const uint32_t bytes[],
                         size_t count)
{
    int code = SQLITE_OK;
    for (size_t first = 0, next; first < count && !code; first = next) {
        sq_log *log = NULL;
        code = marty__sq_log_load(port, marty__sq_log_of(messages[first]), &log);
        int64_t size = 0;
        for (next = first;
             next < count && messages[next] == messages[first] + (int64_t)(next - first); next++) {
            size += bytes[next];
        }
        code = code ? code : remove_run(port, messages[first], messages[next - 1]);
        if (!code && log) {
            int changes = sqlite3_changes(port->db.handle);
            log->messages -= changes;
            log->bytes -= size * changes / (int64_t)(next - first);
            log->bytes = log->messages > 0 && log->bytes > 0 ? log->bytes : 0;
            marty__sq_log_dirty(port, log);
        }
    }
    return code;
}

/* Groups that had not come so far miss what age or a hard limit takes. */
static int note_missed(marty_port *port, const sq_log *log, int64_t first, int64_t last)
{
    int code;
    int64_t grps[GROUPS_MAX], missed[GROUPS_MAX], after = marty__sq_place_of(last) + 1;
    size_t count = 0;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_CURSOR_OF_LOG, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(log->id));
    while (!code && count < GROUPS_MAX && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        code = SQLITE_OK;
        int64_t next = sqlite3_column_int64(rows, 1), from = marty__sq_place_of(first);
        if (next < after) {
            grps[count] = sqlite3_column_int64(rows, 0);
            missed[count++] = after - (next > from ? next : from);
        }
    }
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    code = code == SQLITE_DONE ? SQLITE_OK : code;
    for (size_t i = 0; i < count && !code; i++) {
        code = marty__sq_do(&port->db, SQ_CURSOR_SET, 0, SQ_I(grps[i], log->id, after));
        code = code ? code : marty__sq_do(&port->db, SQ_GROUP_MISSED, 0, SQ_I(grps[i], missed[i]));
    }
    return code;
}

int marty__sq_log_trim(marty_port *port, sq_log *log, int64_t before_us, int64_t limit,
                       int64_t ret[2])
{
    int64_t first = marty__sq_first_of(log->id), last = 0, oldest = 0, place = 0;
    unsigned table = marty__sq_table_of(first);
    ret[0] = ret[1] = 0;
    int code = marty__sq_log_place_at(port, log, before_us, &place);
    if (code || place <= 1) {
        return code;
    }
    sqlite3_stmt *row = marty__sq_statement(&port->db, SQ_MESSAGE_OLDEST, table, &code);
    code = code ? code : marty__sq_bind(row, SQ_I(first, first + place, limit));
    code = code ? code : marty__sq_step(&port->db, row);
    if (code == SQLITE_ROW) {
        ret[0] = sqlite3_column_int64(row, 0);
        ret[1] = sqlite3_column_int64(row, 1);
        last = sqlite3_column_int64(row, 2);
        oldest = sqlite3_column_int64(row, 3);
        code = SQLITE_OK;
    }
    if (row) {
        (void)sqlite3_reset(row);
    }
    if (code || !ret[0]) {
        return code;
    }
    code = marty__sq_do(&port->db, SQ_MESSAGE_REMOVE_RANGE, table, SQ_I(oldest, last));
    log->messages -= ret[0];
    log->bytes -= ret[1];
    marty__sq_log_dirty(port, log);
    return code ? code : note_missed(port, log, oldest, last);
}

/* ---- room */
static int channel_bytes(marty_port *port, sq_channel *channel, int64_t *ret_bytes)
{
    int code = SQLITE_OK;
    *ret_bytes = 0;
    for (unsigned i = 0; i < channel->log_count && !code; i++) {
        sq_log *log = NULL;
        code = marty__sq_log_load(port, channel->logs[i], &log);
        *ret_bytes += log ? log->bytes : 0;
    }
    return code;
}

/* What one group still needs of a log: what it has not read, what waits, what is out. */
static int needed_by(marty_port *port, const sq_log *log, int64_t grp, int64_t *place)
{
    int code;
    int64_t first = marty__sq_first_of(log->id), end = marty__sq_first_of(log->id + 1), waits = 0;
    bool found = false;
    code = marty__sq_get(&port->db, SQ_RETRY_FIRST, SQ_I(grp, first, end), &waits, 1, &found);
    *place = waits && waits - first < *place ? waits - first : *place;
    sqlite3_stmt *rows = code ? NULL : marty__sq_statement(&port->db, SQ_CLAIM_OF_GROUP, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(grp));
    while (!code && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        sq_held *held = NULL;
        size_t count = 0;
        code = marty__sq_items_unpack(sqlite3_column_blob(rows, 4),
                                      (size_t)sqlite3_column_bytes(rows, 4), &held, &count);
        for (size_t i = 0; i < count; i++) {
            int64_t at = held[i].message - first;
            *place = at > 0 && held[i].message < end && at < *place ? at : *place;
        }
        marty_free(held);
    }
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* The first place of a log that some group still needs. No group yet: all is, one may come. */
static int needed_from(marty_port *port, const sq_log *log, int64_t *ret_place)
{
    int code;
    int64_t grps[GROUPS_MAX], next[GROUPS_MAX];
    size_t count = 0;
    sqlite3_stmt *rows = marty__sq_statement(&port->db, SQ_CURSOR_OF_LOG, 0, &code);
    code = code ? code : marty__sq_bind(rows, SQ_I(log->id));
    while (!code && count < GROUPS_MAX && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        code = SQLITE_OK;
        grps[count] = sqlite3_column_int64(rows, 0);
        next[count++] = sqlite3_column_int64(rows, 1);
    }
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    code = code == SQLITE_DONE ? SQLITE_OK : code;
    *ret_place = count && count < GROUPS_MAX ? log->next : 1;
    for (size_t i = 0; i < count && !code && count < GROUPS_MAX; i++) {
        *ret_place = next[i] < *ret_place ? next[i] : *ret_place;
        code = needed_by(port, log, grps[i], ret_place);
    }
    return code;
}

/* Remove the oldest up to a place, as far as `need` bytes ask for it. */
static int remove_until(marty_port *port, sq_log *log, int64_t place, int64_t *need)
{
    int code = SQLITE_OK;
    for (int round = 0; round<TRIM_ROUNDS && * need> 0 && !code; round++) {
        int64_t ids[TRIM_AT_ONCE], first = marty__sq_first_of(log->id);
        uint32_t bytes[TRIM_AT_ONCE];
        size_t count = 0;
        sqlite3_stmt *rows =
            marty__sq_statement(&port->db, SQ_MESSAGE_SIZES, marty__sq_table_of(first), &code);
        code = code ? code : marty__sq_bind(rows, SQ_I(first, first + place, TRIM_AT_ONCE));
        while (!code && *need > 0 && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
            code = SQLITE_OK;
            ids[count] = sqlite3_column_int64(rows, 0);
            bytes[count] = (uint32_t)sqlite3_column_int64(rows, 2);
            *need -= bytes[count++];
        }
        if (rows) {
            (void)sqlite3_reset(rows);
        }
        bool last = code == SQLITE_DONE && count < TRIM_AT_ONCE;
        code = code == SQLITE_DONE ? SQLITE_OK : code;
        code = code || !count ? code : marty__sq_log_remove(port, ids, bytes, count);
        code = code || !count ? code : note_missed(port, log, ids[0], ids[count - 1]);
        if (last) {
            break;
        }
    }
    return code;
}

int marty__sq_log_make_room(marty_port *port, sq_channel *channel, int64_t need, bool *ret_room)
{
    int64_t bytes = 0;
    int code = channel_bytes(port, channel, &bytes);
    int64_t over = bytes + need - channel->bytes_max;
    for (unsigned i = channel->log_count; i-- > 0 && over > 0 && !code;) {
        sq_log *log = NULL; /* the lowest priority goes first */
        int64_t place = 0;
        code = marty__sq_log_load(port, channel->logs[i], &log);
        if (code || !log || channel->kind == MARTY_KIND_QUEUE) {
            continue;
        }
        place = log->next;
        code = channel->trim_hard ? SQLITE_OK : needed_from(port, log, &place);
        code = code ? code : remove_until(port, log, place, &over);
    }
    *ret_room = over <= 0;
    return code;
}

/* ---- places */
int marty__sq_log_place_at(marty_port *port, const sq_log *log, int64_t time_us, int64_t *ret_place)
{
    int64_t low = 1, high = log->next, base = marty__sq_first_of(log->id);
    int code = SQLITE_OK;
    while (low < high && !code) { /* times never go back, so halving finds it */
        int64_t middle = low + (high - low) / 2;
        sqlite3_stmt *row =
            marty__sq_statement(&port->db, SQ_MESSAGE_FROM, marty__sq_table_of(base), &code);
        code = code ? code : marty__sq_bind(row, SQ_I(base + middle, base + high));
        code = code ? code : marty__sq_step(&port->db, row);
        if (code == SQLITE_ROW && sqlite3_column_int64(row, 1) < time_us) {
            low = marty__sq_place_of(sqlite3_column_int64(row, 0)) + 1;
        } else {
            high = middle;
        }
        code = code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
        if (row) {
            (void)sqlite3_reset(row);
        }
    }
    *ret_place = low;
    return code;
}

/* Digits of a number that is not negative, no NUL; where they end. */
static char *put_digits(char *out, int64_t number)
{
    char digits[20];
    size_t size = 0;
    do {
        digits[size++] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    while (size) {
        *out++ = digits[--size];
    }
    return out;
}

void marty__sq_position_write(char out[SQ_POSITION_BYTES], int64_t message, int64_t first_log)
{
    int64_t log = marty__sq_log_of(message);
    if (log != first_log) {
        out = put_digits(out, log);
        *out++ = ':';
    }
    *put_digits(out, marty__sq_place_of(message)) = '\0';
}

int64_t marty__sq_position_read(const char *text, int64_t first_log)
{
    uint64_t log = (uint64_t)first_log, place = 0;
    const char *colon = text ? strchr(text, ':') : NULL, *at = colon ? colon + 1 : text;
    if (colon && !marty__number_read(&log, text, (size_t)(colon - text),
                                     (UINT64_C(1) << (62 - SQ_SEQ_BITS)) - 1)) {
        return 0;
    }
    bool good = at && marty__number_read(&place, at, strlen(at), (UINT64_C(1) << SQ_SEQ_BITS) - 1);
    return good && place && log ? marty__sq_first_of((int64_t)log) + (int64_t)place : 0;
}
