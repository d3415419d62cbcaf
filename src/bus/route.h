/* SPDX-License-Identifier: Apache-2.0
 * From a pattern and names to places: which backend, which channel, of which kind. Logical names
 * are segments joined by "."; a name given by the program (service, stream, group) is one segment,
 * its own dots become "_x2e_"; only a type keeps its dots, and it comes last. Pure functions over
 * an immutable configuration: any thread. */
#ifndef MARTY_BUS_ROUTE_H
#define MARTY_BUS_ROUTE_H
#include "config.h"

enum { MARTY__CHANNEL_ROOM = 256 };

typedef struct marty__place {
    size_t backend, route; /* indexes of the configuration's backends and routes */
    marty_kind kind;
    marty_order order;
    uint32_t shards;
    uint64_t need;     /* MARTY_CAN_... that its routes ask for */
    bool native, wild; /* native: channel is the broker's own name; wild: it has wildcards, which
                          needs MARTY_CAN_WILDCARD */
    char channel[MARTY__CHANNEL_ROOM];
} marty__place;

/** Where to publish. to: service of a COMMAND or QUERY, name of a STREAM, else NULL. E: ARGUMENT,
 * NOT_FOUND (no route). */
marty_err marty__route_publish(const marty__config *config, marty_pattern pattern, const char *to,
                               const char *type, marty__place *ret, marty_error *why);
/** Where to subscribe: name is a pattern of types, for a STREAM its name or "*"; service: of
 * COMMAND and QUERY. One place per channel concerned, in the order of the routes. E: ARGUMENT,
 * NOT_FOUND (no route), UNSUPPORTED (spans channels that have no common name), CONFIG (routes that
 * contradict each other). */
marty_err marty__route_subscribe(const marty__config *config, marty_pattern pattern,
                                 const char *name, const char *service, marty__place places[],
                                 size_t max, size_t *ret_count, marty_error *why);
/** Whether what is granted covers the `need` of its routes. E: UNSUPPORTED, naming what is missing.
 */
marty_err marty__route_needs(const marty__config *config, const marty__place *place,
                             const marty_capabilities *granted, marty_error *why);
/** The place of a channel by its name: of the first route that names it so; false: none does, and
 * ret has only the kind (of dead letters, or by the first word), order and shards by default. */
bool marty__route_find(const marty__config *config, const char *channel, marty__place *ret);
/** The name of the stream that a channel is of, as publishing takes it; false: of none. */
bool marty__route_stream(const marty__config *config, const char *channel,
                         char ret_name[MARTY__CHANNEL_ROOM]);
/** Channel of the dead letters of a channel; wildcards in it are encoded. E: ARGUMENT (too long).
 */
marty_err marty__dead_channel(const marty__config *config, const char *channel,
                              char ret[MARTY__CHANNEL_ROOM], marty_error *why);
/** Channel of the replies to an instance: "replies.<service>.<instance>"; service NULL = "none". */
marty_err marty__reply_channel(const char *service, const char *instance,
                               char ret[MARTY__CHANNEL_ROOM], marty_error *why);
/** Check a type to publish: 1 to 255 bytes, segments not empty, no wildcard. E: ARGUMENT. */
marty_err marty__type_check(const char *type, marty_error *why);
/** Check a name and make it one segment; what: "service", "stream", "group". E: ARGUMENT. */
marty_err marty__name_segment(char ret[MARTY__CHANNEL_ROOM], const char *what, const char *name,
                              marty_error *why);
/** Whether a channel may be named so by a configuration: its first segment is not reserved, or is
 * the one of `pattern` (0 = none). Returns the reserved word that forbids it, or NULL. */
const char *marty__name_reserved(const char *channel, marty_pattern pattern);
/** The channel's template of a pattern: "events.{domain}", ... Static. */
const char *marty__route_template(marty_pattern pattern);
#endif
