/* SPDX-License-Identifier: Apache-2.0
 * Names of channels that the program may look at after the call that found them: outcomes promise
 * them for the life of the bus. Up to a limit, since a service may use ever new ones; who gets none
 * does without. Any thread. */
#include "internal.h"

#include "base/alloc.h"

#include <string.h>

const char *marty__bus_keep_name(marty_bus *bus, const char *name, size_t limit)
{
    size_t size = strlen(name);
    marty__lock(&bus->kept_lock);
    char *kept = marty__map_get(&bus->kept_names, name, size);
    if (!kept && bus->kept_names.count < limit) {
        kept = marty__strdup(name);
        if (kept && !marty__map_put(&bus->kept_names, kept, size, kept)) {
            marty_free(kept);
            kept = NULL;
        }
    }
    marty__unlock(&bus->kept_lock);
    return kept;
}

void marty__bus_free_names(marty_bus *bus)
{
    size_t at = 0;
    char *name;
    while ((name = marty__map_next(&bus->kept_names, &at)) != NULL) {
        (void)marty__map_take(&bus->kept_names, name, strlen(name));
        marty_free(name);
    }
    marty__map_free(&bus->kept_names);
}
