/* SPDX-License-Identifier: Apache-2.0
 * A message as the bytes of a row and back, exact: every attribute with its kind, headers in their
 * order and as often as they came, data as it is. Pure functions. */
#ifndef MARTY_BACKENDS_SQLITE_ROW_H
#define MARTY_BACKENDS_SQLITE_ROW_H
#include "base/buffer.h"

/** Append the row of a message (counted) to out; reply_to may be NULL. out->failed: no memory. */
void marty__sq_row_write(marty__buffer *out, const marty_message *message, const char *reply_to);
/** The message of a row, yours to unref; ret_reply_to (may be NULL) is yours to marty_free, NULL
 * when there is none. E: MALFORMED (damaged), NO_MEMORY. */
marty_err marty__sq_row_read(marty_message **ret_message, char **ret_reply_to, const void *row,
                             size_t size, marty_error *why);
#endif
