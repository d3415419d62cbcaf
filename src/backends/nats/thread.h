/* SPDX-License-Identifier: Apache-2.0
 * Threads and waits of the module: all signals blocked, waits on the monotonic clock. */
#ifndef MARTY_BACKENDS_NATS_THREAD_H
#define MARTY_BACKENDS_NATS_THREAD_H
#include "nats.h"

#include <time.h>

/** Start a thread with all signals blocked; false when there is none to be had. */
bool nats__thread(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *argument);
/** A condition whose timed waits are on the monotonic clock. */
bool nats__cond_init(pthread_cond_t *cond);
/** Wait until signalled or a time by the port's clock; false once that has passed. */
bool nats__wait_locked(marty_port *port, pthread_cond_t *cond, int64_t until_ns);
/** For threads that may wait: so long, or until the port stops. */
void nats__pause(marty_port *port, int64_t ns);
#endif
