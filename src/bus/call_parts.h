/* SPDX-License-Identifier: Apache-2.0
 * What the files about calls that publish have in common. */
#ifndef MARTY_BUS_CALL_PARTS_H
#define MARTY_BUS_CALL_PARTS_H
#include "internal.h"

/* ---- call.c */
void marty__call_ref(marty__call *call);

/* ---- call_tokens.c; with port->lock held */
/** Places for so many more than are in flight. */
bool marty__tokens_reserve(marty__port *port, size_t count);
/** To each of them the next number whose place is free: half of them are. */
void marty__tokens_take(marty__port *port, marty__post *posts, size_t count);
/** Where its message stands, to be set to NULL once it is answered; NULL: no such token, or
 * answered already. */
MARTY_INLINE marty__post **marty__token_place(const marty__port *port, uint64_t token)
{
    marty__post **place = port->sent_room ? &port->sent[token & (port->sent_room - 1)] : NULL;
    return place && *place && (*place)->token == token ? place : NULL;
}

/* ---- call_accept.c */
/** Somebody was told FULL: look at once whether there is room now. */
void marty__room_tell(marty__port *port);
/** Of the first so many ports. Who was told FULL meanwhile hears of it. */
void marty__call_make_room(const marty__call *call, size_t port_count);

/* ---- call_answers.c */
/** Settle what it settles, by what became of its messages. */
void marty__call_settle(marty__call *call);
/** All answered: tell whoever asked. No lock held; perhaps inside an op. Consumes the reference of
 * the unanswered messages. */
void marty__call_complete(marty__call *call);
void marty__calls_complete(marty__link *finished);
/** With port->lock held. said: by the backend; NULL = by us. That it is answered is still to be
 * counted. */
void marty__post_answer(marty__post *post, marty_err err, const marty_published *said);
/** True for the first only: it says in call->text why. */
bool marty__call_may_word(marty__call *call);
/** So many of a call are answered: the call when these were its last ones. Who is not told so must
 * not look at it any more. */
marty__call *marty__call_count(marty__call *call, size_t count);
/** For marty__calls_complete, unless it is NULL. */
void marty__call_note(marty__link *finished, marty__call *call);
#endif
