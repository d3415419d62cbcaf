/* SPDX-License-Identifier: Apache-2.0
 * What the files about lanes have in common. */
#ifndef MARTY_BUS_LANE_PARTS_H
#define MARTY_BUS_LANE_PARTS_H
#include "internal.h"

/* ---- lane.c; with subscription->lock held */
/** Whether its handlers may be called now. */
bool marty__lanes_may_run(const marty_subscription *subscription);
/** The first that is ready; NULL also while a batch of another lane has it still, from before the
 * lanes changed, and its handler may be walking there. */
marty__delivery *marty__lane_front(const marty__lane *lane);
/** Have it run if it is due: now (its task goes onto the list, for the pool once the lock is given
 * back) or when its alarm rings. */
void marty__lane_consider(marty__lane *lane, marty__link *due);
/** Ordered: by the key, so that a key stays with one lane. Else an idle one near, so that no
 * message waits behind a slow one while a lane has nothing to do. */
marty__lane *marty__lane_of(marty_subscription *subscription, const marty_message *message);

/* ---- lane_turn.c; no lock held */
/** A turn: the task of a lane. */
void marty__lane_run(marty__task *task);

/* ---- lane_clear.c; no lock held */
/** Not run here: back uncounted, its verdict taken. Nobody else has a query: its asker is told. */
void marty__delivery_return_unrun(marty__delivery *delivery);
#endif
