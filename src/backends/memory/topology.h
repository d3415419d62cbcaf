/* SPDX-License-Identifier: Apache-2.0
 * What the files of the topology verbs share. */
#ifndef MARTY_BACKENDS_MEMORY_TOPOLOGY_H
#define MARTY_BACKENDS_MEMORY_TOPOLOGY_H
#include "base/buffer.h"
#include "memory.h"

/** The buffer as an answer; it is freed, whatever comes of it. */
marty_err marty__mem_answer(marty_message **ret_answer, marty__buffer *json, marty_error *why);
void marty__mem_json_text(marty__buffer *json, const char *text);
/** A full name without the port's prefix. */
const char *marty__mem_short_name(const marty_port *port, const char *name);
/** Messages that are there: kept, or not settled. With the lock held. */
uint64_t marty__mem_channel_messages(const channel *c);

marty_err marty__mem_inspect(marty_port *port, const marty_want *what, marty_message **ret_answer,
                             marty_error *why);
marty_err marty__mem_browse(marty_port *port, const marty_want *what, marty_message **ret_answer,
                            marty_error *why);
marty_err marty__mem_erase(marty_port *port, const marty_want *what, marty_message **ret_answer,
                           marty_error *why);
#endif
