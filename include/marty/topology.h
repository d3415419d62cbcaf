/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MARTY_TOPOLOGY_H
#define MARTY_TOPOLOGY_H
#include <marty/bus.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What lies on the brokers: verb is "ensure", "check", "inspect", "list", "remove" (force: also
 * with live members); channel is our name, NULL = all that the configuration and the subscriptions
 * name. Answers as JSON in a message, yours to unref. B: 10,000 ms. E: NOT_FOUND, EXISTS
 * (different), UNSUPPORTED, DENIED. */
MARTY_MUST marty_err marty_topology(marty_bus *bus, const char *verb, const char *channel,
                                    bool force, marty_message **ret_report, marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
