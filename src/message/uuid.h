/* SPDX-License-Identifier: Apache-2.0
 * UUIDv7 (RFC 9562): sorts by time. Any thread. */
#ifndef MARTY_MESSAGE_UUID_H
#define MARTY_MESSAGE_UUID_H
#include <marty/bus.h>

enum { MARTY__UUID_TEXT = 37 };

/** Write a new id, lower case, with its NUL. env NULL = the real surroundings: then each id of a
 * thread sorts after the one before, also when the wall clock steps back, and none costs a system
 * call. With other surroundings it depends on their clock and chance alone, so a seed repeats it.
 */
void marty__uuid7(const marty_env *env, char out[MARTY__UUID_TEXT]);
/** The same at a time that was read already. */
void marty__uuid7_at(const marty_env *env, int64_t wall_us, char out[MARTY__UUID_TEXT]);
/** The same in the real surroundings, whose wall clock was read already; id: it as a number. */
void marty__uuid7_next(int64_t wall_us, uint64_t id[2], char out[MARTY__UUID_TEXT]);
/** The text of such an id as a number, the first 48 bits of which are milliseconds. False: it has
 * another form. */
bool marty__uuid7_read(uint64_t id[2], const char *text, size_t size);
#endif
