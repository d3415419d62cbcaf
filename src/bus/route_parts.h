/* SPDX-License-Identifier: Apache-2.0
 * What publishing (route.c) and subscribing (route_subscribe.c) have in common. Pure functions. */
#ifndef MARTY_BUS_ROUTE_PARTS_H
#define MARTY_BUS_ROUTE_PARTS_H
#include "route.h"

/* What the placeholders of a template stand for; NULL where it has none. */
typedef struct marty__route_parts {
    const char *type, *service, *name; /* type may be a pattern; name may be "*" */
} marty__route_parts;

/** Fill a template in; its placeholders were checked when it was loaded. E: ARGUMENT (too long). */
marty_err marty__route_expand(const char *template_, const marty__route_parts *from,
                              char ret[MARTY__CHANNEL_ROOM], marty_error *why);
/** A place as the route says, its channel still to be named unless it is native. */
void marty__route_fill(const marty__config *config, size_t index, marty__place *ret);
/** Say that no route takes that name: NOT_FOUND. */
marty_err marty__route_missing(const marty__config *config, marty_pattern pattern, const char *name,
                               marty_error *why);
/** Whether messages of the pattern go to a service. */
bool marty__route_for_service(marty_pattern pattern);
/** Whether a route of services or streams takes all of the one called so. */
bool marty__route_takes_name(const marty__config_route *route, const char *name);
#endif
