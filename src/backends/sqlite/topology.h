/* SPDX-License-Identifier: Apache-2.0
 * Parts of the topology op: the caller waits, the writer answers inside a round. */
#ifndef MARTY_BACKENDS_SQLITE_TOPOLOGY_H
#define MARTY_BACKENDS_SQLITE_TOPOLOGY_H
#include "work.h"

struct sq_ask { /* on the stack of its caller, who outwaits the writer once that has it */
    marty__cond answered;
    sq_control control;
    const char *verb;
    const marty_want *want;
    marty__buffer json;
    marty_err err;
    marty_error why;
    int64_t until_ns; /* monotonic, of the machine */
    bool began, done; /* under the lock; began: the writer has it in its own list */
};

/** The channel that is asked about, by name alone; not there: ask->err, *ret_found false. */
int marty__sq_ask_channel(marty_port *port, struct sq_ask *ask, sq_channel *ret_channel,
                          char name[300], bool *ret_found);
int marty__sq_ask_inspect(marty_port *port, struct sq_ask *ask);
int marty__sq_ask_list(marty_port *port, struct sq_ask *ask);
int marty__sq_ask_browse(marty_port *port, struct sq_ask *ask);
int marty__sq_ask_erase(marty_port *port, struct sq_ask *ask);
int marty__sq_ask_remove(marty_port *port, struct sq_ask *ask);
/** A name without the port's prefix. */
const char *marty__sq_short_name(const marty_port *port, const char *name);
/** Those of a channel, or of a group, that live. */
int marty__sq_members(marty_port *port, sq_op op, int64_t id, int64_t *ret_count);
#endif
