/* SPDX-License-Identifier: Apache-2.0
 * Brokers that a case starts for itself, of the kind under test, to kill, freeze, configure or
 * reach through a proxy. One thread. */
#ifndef TESTS_CONFORMANCE_BROKER_H
#define TESTS_CONFORMANCE_BROKER_H
#include "suite.h"

#include "support/proxy.h"
#include "support/server.h"

/** Options for a server of the kind under test (old or new, TLS or not). */
test_server_options broker_options(void);
/** Starts one, or three, and makes suite_url name it. Fails the case. */
void broker_start(test_server *server, const test_server_options *options);
void broker_start_cluster(test_server servers[3]);
/** Names it through a proxy. */
test_proxy *broker_through_proxy(const test_server *server);
void broker_restart(test_server *server);
/** Keys that a TLS server needs ("" without TLS). */
const char *broker_keys(bool tls);
#endif
