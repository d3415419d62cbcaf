/* SPDX-License-Identifier: Apache-2.0
 * What lies on the brokers: make it, compare it with what is wanted, look at it, remove it. */
#ifndef MARTY_TOPOLOGY_H
#define MARTY_TOPOLOGY_H
#include <marty/bus.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Make, check, inspect, list or remove channels. The answer is JSON in the data of a message.
 *
 * @param bus The bus.
 * @param verb "ensure", "check", "inspect", "list" or "remove". Borrowed.
 * @param channel A channel, by our name; NULL = all that the configuration and the subscriptions
 *     name. Borrowed.
 * @param force Of remove: also with live members.
 * @param ret_report The answer; yours to unref.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, or there is no report.
 * @errors The common ones; MARTY_E_NOT_FOUND, MARTY_E_EXISTS (it is there and different: the text
 *     names field, wanted and found), MARTY_E_STATE (remove: it has live members),
 *     MARTY_E_UNSUPPORTED, MARTY_E_DENIED.
 * @threads Any.
 * @blocks Until the brokers have answered, at most 10,000 ms.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_MUST marty_err marty_topology(marty_bus *bus, const char *verb, const char *channel,
                                    bool force, marty_message **ret_report, marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
