/* SPDX-License-Identifier: Apache-2.0
 * Messages that came and wait here, for credit or for their turn. The loop's; lock held. */
#ifndef MARTY_BACKENDS_NATS_KEPT_H
#define MARTY_BACKENDS_NATS_KEPT_H
#include "nats.h"

/** Keep a copy of one that came then. False: there is no memory, or more came than two pulls ask
 * for. */
bool nats__keep_locked(nats__source *source, const nats__message *from, int64_t since_ns);
/** The first one, for the caller to free. There is one. */
nats__message *nats__kept_take_locked(nats__source *source);
/** Ordered: whether one before it is kept. */
bool nats__kept_before_locked(nats__source *source, uint64_t sequence);
/** Give back or renew what has had half its lease, and forget what is past it. */
void nats__kept_look_locked(nats__source *source, int64_t now_ns);
/** That one came again: its lease was over, sooner than we knew. */
void nats__kept_forget_locked(nats__source *source, uint64_t sequence);

/* ---- of deliver.c and settle.c */
/** Its place in the stream, 0 = unknown. */
uint64_t nats__sequence_of(nats__source *source, const nats__message *message);
/** Ordered: what comes from now on stays behind this one until it has come again. */
void nats__await_locked(nats__source *source, uint64_t sequence, uint32_t delay_ms);
/** Its lease begins anew. */
void nats__renew_locked(nats__wire *wire, const char *ack_subject);
#endif
