/* SPDX-License-Identifier: Apache-2.0
 * Where the layers meet: a bus is opened with the hooks of reliability and patterns in it. */
#include "patterns.h"

#include "base/error.h"
#include "reliability/reliability.h"

static const marty__hooks hooks = {.admit = marty__retry_admit,
                                   .failed = marty__retry_failed,
                                   .given_back = marty__retry_given_back,
                                   .rejected = marty__dead_letter,
                                   .unanswered = marty__query_unanswered,
                                   .cancelled = marty__query_cancelled,
                                   .closed = marty__query_closed,
                                   .replied = marty__query_replied};

marty_err marty_bus_open(marty_bus **ret_bus, const char *where, const marty_bus_options *options,
                         marty_error *why)
{
    if (!ret_bus) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "ret_bus is NULL");
    }
    marty_bus *bus = NULL;
    marty_err err = marty__bus_open(&bus, where, options, &hooks, why);
    if (err) {
        return err;
    }
    bus->upper = marty__queries_new(bus);
    bus->upper_free = marty__queries_free;
    if (!bus->upper) {
        bus->user_free = NULL;
        marty_bus_free(bus);
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    *ret_bus = bus;
    return MARTY_OK;
}
