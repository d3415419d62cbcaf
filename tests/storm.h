/* SPDX-License-Identifier: Apache-2.0
 * A storm for torture: the n-th allocation in it fails, and with for_ever all that come after, too.
 * Give storm_may_allocate to marty__alloc_set_hook. One thread. */
#ifndef MARTY_TESTS_STORM_H
#define MARTY_TESTS_STORM_H
#include "check.h"

static unsigned storm_countdown; /* allocations until the one that fails */
static bool storm_for_ever, storm, storm_failed;

/** Begin. */
static void storm_begin(unsigned nth, bool for_ever)
{
    storm_countdown = nth;
    storm_for_ever = for_ever;
    storm_failed = false;
    storm = true;
}

static bool storm_may_allocate(size_t size)
{
    (void)size;
    if (!storm) {
        return true;
    }
    bool fails = storm_countdown ? --storm_countdown == 0 : storm_for_ever;
    storm_failed = storm_failed || fails;
    return !fails;
}
#endif
