/* SPDX-License-Identifier: Apache-2.0
 * Housekeeping: what is older than its channel keeps it, what de-duplication remembers past its
 * window, posts that nobody took. Whichever port's turn it is does a bounded part in one
 * transaction, so that publishing waits for it but little. The writer's thread. */
#include "work.h"

#include "base/clock.h"

enum { LOGS_AT_ONCE = 32, ROWS_AT_ONCE = 500, EVERY_MS_MAX = 5000, EVERY_MS_MIN = 100 };

int64_t marty__sq_sweep_every_ns(const marty_port *port)
{
    int64_t ms = EVERY_MS_MAX;
    const int64_t times_us[] = {port->options.age_given ? port->options.age_us : 0,
                                port->options.dedup_us};
    for (size_t i = 0; i < sizeof times_us / sizeof times_us[0]; i++) {
        int64_t quarter_ms = times_us[i] / 4000;
        ms = times_us[i] && quarter_ms < ms ? quarter_ms : ms;
    }
    return (ms < EVERY_MS_MIN ? EVERY_MS_MIN : ms) * MARTY__NS_PER_MS;
}

/* Some logs in turn, so that thousands of channels do not make one long transaction. */
static int trim_logs(marty_port *port, bool *ret_more)
{
    int code = SQLITE_OK;
    bool found = true;
    for (int i = 0; i < LOGS_AT_ONCE && found && !code; i++) {
        int64_t row[2] = {0, 0}, gone[2] = {0, 0};
        sq_log *log = NULL;
        code = marty__sq_get(&port->db, SQ_LOG_AGED, SQ_I(port->swept_log), row, 2, &found);
        if (code || !found) {
            break;
        }
        code = marty__sq_log_load(port, row[0], &log);
        if (!code && log) {
            code = marty__sq_log_trim(port, log, port->now_us - row[1], ROWS_AT_ONCE, gone);
        }
        bool more = gone[0] == ROWS_AT_ONCE;
        *ret_more = *ret_more || more;
        port->swept_log = row[0];
    }
    *ret_more = *ret_more || found;
    port->swept_log = found ? port->swept_log : 0;
    return code;
}

static int sweep_rows(marty_port *port, sq_op op, const int64_t values[], int count, bool *ret_more)
{
    int code = marty__sq_do(&port->db, op, 0, values, count);
    *ret_more = *ret_more || (!code && sqlite3_changes(port->db.handle) >= ROWS_AT_ONCE);
    return code;
}

int marty__sq_sweep_run(marty_port *port, bool *ret_more)
{
    int64_t minute_us = 60 * (int64_t)1000000;
    int64_t forget_us = port->now_us - port->options.dedup_us;
    *ret_more = false;
    int code = trim_logs(port, ret_more);
    if (!code && port->options.dedup_us) {
        code = sweep_rows(port, SQ_SEEN_SWEEP, SQ_I(forget_us, ROWS_AT_ONCE), ret_more);
        code = code ? code
                    : sweep_rows(port, SQ_SEEN_SPAN_SWEEP, SQ_I(forget_us, ROWS_AT_ONCE), ret_more);
        code = code ? code
                    : sweep_rows(port, SQ_SEEN_NAME_SWEEP, SQ_I(forget_us, ROWS_AT_ONCE), ret_more);
    }
    return code ? code
                : sweep_rows(port, SQ_POST_SWEEP,
                             SQ_I(port->now_us - minute_us, ROWS_AT_ONCE, port->now_us), ret_more);
}
