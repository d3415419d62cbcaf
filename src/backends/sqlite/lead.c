/* SPDX-License-Identifier: Apache-2.0
 * A publisher that waits for its commit does it itself while the port's thread sleeps, so that its
 * messages need not travel to another core, nor it wait for two wake-ups. From lead to serve the
 * thread has all that is the writer's; who queues something meanwhile wakes nobody, and at the end
 * the writer is called for what is left. It waits for no lock of another process: then, and for
 * whatever may be long, it calls the writer, too. */
#include "work.h"

enum { COMMITS_LEFT = 8, SAME_NS = 1000 }; /* times of the file are in us */

/* Time for more commits than one, by the last: nobody can be called back from a slow disk. */
static bool has_time(const marty_port *port, int64_t until_ns)
{
    int64_t now_ns = port->sink->env->monotonic_ns(port->sink->env->user);
    return now_ns < until_ns && (until_ns - now_ns) / COMMITS_LEFT > port->commit_ns;
}

bool marty__sq_lead(marty_port *port, int64_t until_ns)
{
    marty__lock(&port->lock);
    bool leads = port->resting && !port->led && port->up && !port->closing &&
                 has_time(port, until_ns) && !marty__sq_shared_wanted(&port->shared);
    port->led = port->led || leads;
    marty__unlock(&port->lock);
    return leads;
}

/* Something that the writer would not find by itself in time. */
static bool calls_for_writer(marty_port *port)
{
    return port->down_err || port->retry_ns || port->reclaim || port->sweep ||
           !marty__list_empty(&port->work_controls) || !marty__list_empty(&port->work_settles) ||
           !marty__list_empty(&port->work_extends) || !marty__list_empty(&port->hungry) ||
           marty__sq_due_ns(port) + SAME_NS < port->rest_until_ns ||
           marty__sq_checkpoint_due(&port->db);
}

static void hand_back(marty_port *port)
{
    bool call = calls_for_writer(port);
    marty__lock(&port->lock);
    call = call || port->left || port->closing || port->ring_head != port->ring_tail;
    port->led = false;
    sq_slot *sleeper = call ? marty__sq_swing(port) : NULL;
    port->resting = port->resting && !call;
    marty__unlock(&port->lock);
    marty__wake_one(&port->returned);
    if (sleeper) {
        marty__sq_bell_wake(sleeper);
    }
}

void marty__sq_serve(marty_port *port)
{
    bool goes_on = true;
    marty__sq_collect(port);
    marty__sq_publish_expire(port, false);
    marty__lock(&port->lock);
    uint64_t tail = port->ring_tail;
    marty__unlock(&port->lock);
    while (goes_on && port->ring_head < tail && marty__list_empty(&port->work_controls)) {
        goes_on = marty__sq_round_led(port);
    }
    hand_back(port);
}
