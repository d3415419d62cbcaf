/* SPDX-License-Identifier: Apache-2.0
 * What the server does not permit: whose publish it was, and what the log says of it. Functions
 * named ..._locked expect the lock; the others take it. */
#ifndef MARTY_BACKENDS_NATS_DENIED_H
#define MARTY_BACKENDS_NATS_DENIED_H
#include "nats.h"

/** The server's word about something that came on that connection. */
void nats__permission_denied(nats__wire *wire, const char *text);
/** Of a subject that something was refused on: one more publish, or one less, is not answered. */
void nats__forbidden_note_locked(marty_port *port, uint64_t subject_hash, bool more);
/** An answer to a publish came: that subject was permitted on this connection. */
void nats__acked_note_locked(marty_port *port, uint64_t subject_hash);
/** A new connection: what was refused or permitted on an older one says nothing. */
void nats__forbidden_forget_locked(marty_port *port);
/** One is past its deadline; perhaps it was that. */
void nats__forbidden_expired_locked(marty_port *port, uint64_t subject_hash);
/** Answer those of which it is clear by now. */
void nats__forbidden_look_locked(marty_port *port);
/** The loop: say what was counted since; when to look again. */
int64_t nats__denied_look(marty_port *port, int64_t now_ns);

#endif
