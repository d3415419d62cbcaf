/* SPDX-License-Identifier: Apache-2.0
 * One message at a time through a bus, by any pattern, to be compared with what went in. For C01 to
 * C04. One thread. */
#ifndef TESTS_CONFORMANCE_ROUND_TRIP_H
#define TESTS_CONFORMANCE_ROUND_TRIP_H
#include "suite.h"

/** Opens a bus whose handlers of every pattern keep what comes: types "trip.>", service and stream
 * "trip". */
void trip_open(void);
marty_bus *trip_bus(void);
/** Sends it and waits for it; a message of yours. NULL: refused, why says so. A query is answered
 * with the request's own template, and the reply is given back. */
marty_message *trip(marty_pattern pattern, const marty_message *message, marty_error *why);
/** Fails unless both are the same in all that a sender sets. */
void trip_expect_same(marty_pattern pattern, const marty_message *sent, const marty_message *came);
void trip_close(void);
#endif
