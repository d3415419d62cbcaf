/* SPDX-License-Identifier: Apache-2.0
 * Which publishes the server has refused, when it says the subject alone: never one that it has
 * stored. No server: publishes are put on the way, answered and refused by hand. */
#include "denied.h"
#include "parts.h"

#include "tests/check.h"

#include <string.h>

static int64_t now_ns;

static int64_t monotonic(void *user)
{
    (void)user;
    return now_ns;
}

static const marty_env surroundings = {.monotonic_ns = monotonic};
static int told[8]; /* by token; -1 = nothing */

static void published(const marty_sink *sink, const marty_published batch[], size_t count)
{
    (void)sink;
    for (size_t i = 0; i < count; i++) {
        CHECK_INT(told[batch[i].token], -1);
        told[batch[i].token] = (int)batch[i].err;
    }
}

static void write_log(const marty_sink *sink, int level, const char *text)
{
    (void)sink;
    (void)level;
    CHECK_HAS(text, "Permissions Violation");
}

static const marty_sink sink = {.env = &surroundings, .published = published, .log = write_log};
static nats__pending pending[8];
static nats__channel channel;
static marty_port port;

static void begin(void)
{
    memset(&port, 0, sizeof port);
    memset(pending, 0, sizeof pending);
    for (size_t i = 0; i < 8; i++) {
        told[i] = -1;
    }
    (void)pthread_mutex_init(&port.lock, NULL);
    (void)pthread_cond_init(&port.changed, NULL);
    marty__list_init(&port.calls);
    port.sink = &sink;
    port.wires[0].port = port.wires[1].port = &port;
    port.pending = pending;
    port.pending_count = 8;
    port.pending_due_ns = INT64_MAX;
    channel.in_flight = 0;
    now_ns = 1;
}

static void end(void)
{
    (void)pthread_cond_destroy(&port.changed);
    (void)pthread_mutex_destroy(&port.lock);
}

static void publish(uint32_t token, const char *subject, int64_t deadline_ns)
{
    pending[token] = (nats__pending){.token = token,
                                     .channel = &channel,
                                     .serial = token,
                                     .deadline_ns = deadline_ns,
                                     .subject_hash = nats__hash(subject)};
    port.pending_used++;
    channel.in_flight++;
    port.pending_due_ns = deadline_ns < port.pending_due_ns ? deadline_ns : port.pending_due_ns;
    nats__forbidden_note_locked(&port, pending[token].subject_hash, true);
}

static void store(uint32_t token)
{
    nats__acked_note_locked(&port, pending[token].subject_hash);
    nats__pending_free_locked(&port, token);
    nats__forbidden_look_locked(&port);
}

static void store_one(const char *subject)
{
    publish(5, subject, 100);
    store(5);
}

static void refuse(int wire)
{
    nats__permission_denied(&port.wires[wire], "Permissions Violation for Publish to \"a.b\"");
}

static void where_nothing_was_permitted_it_is_the_oldest(void)
{
    begin();
    store_one("a.c");
    publish(7, "a.b", 100);
    for (uint32_t i = 1; i < 7; i++) { /* one after another, each refused while the next is out */
        publish(i, "a.b", 100);
        pending[i].serial = i + 7;
        refuse(0);
        CHECK_INT(told[i == 1 ? 7 : i - 1], MARTY_E_DENIED);
        CHECK_INT(told[i], -1);
    }
    refuse(0);
    CHECK_INT(told[6], MARTY_E_DENIED);
    refuse(0); /* nobody waits for it */
    CHECK_INT(port.pending_used, 0);
    CHECK_INT(port.forbidden_count, 0);
    end();
}

static void what_an_older_connection_permitted_says_nothing(void)
{
    begin();
    store_one("a.b");
    publish(1, "a.b", 100);
    publish(2, "a.b", 100);
    refuse(0);
    CHECK_INT(told[1], -1);
    nats__forbidden_forget_locked(&port);
    CHECK_INT(port.forbidden_count, 0);
    refuse(0);
    CHECK_INT(told[1], MARTY_E_DENIED);
    CHECK_INT(told[2], -1);
    end();
}

static void each_word_is_of_one_publish(void)
{
    begin();
    store_one("a.b");
    publish(1, "a.b", 100);
    publish(2, "a.b", 100);
    publish(3, "a.c", 100);
    refuse(0);
    CHECK_INT(told[1], -1);
    publish(4, "a.b", 100);
    refuse(0);
    refuse(0);
    CHECK_INT(told[1], MARTY_E_DENIED);
    CHECK_INT(told[2], MARTY_E_DENIED);
    CHECK_INT(told[3], -1);
    CHECK_INT(told[4], MARTY_E_DENIED);
    CHECK_INT(port.forbidden_count, 0);
    refuse(0); /* nobody waits for it */
    CHECK_INT(port.forbidden_count, 0);
    end();
}

static void one_that_is_stored_is_never_among_them(void)
{
    begin();
    store_one("a.b");
    publish(1, "a.b", 100); /* stored; then it is not permitted any more */
    publish(2, "a.b", 100);
    refuse(0); /* before the ack of the first */
    CHECK_INT(told[1], -1);
    CHECK_INT(told[2], -1);
    store(1);
    CHECK_INT(told[1], -1);
    CHECK_INT(told[2], MARTY_E_DENIED);
    end();
}

static void one_past_its_deadline_is_in_doubt(void)
{
    begin();
    store_one("a.b");
    publish(1, "a.b", 100);
    publish(2, "a.b", 200);
    refuse(0);
    now_ns = 150;
    (void)nats__pending_expire(&port, now_ns);
    CHECK_INT(told[1], MARTY_E_MAYBE_STORED);
    CHECK_INT(told[2], -1); /* it was perhaps the other one */
    now_ns = 250;
    (void)nats__pending_expire(&port, now_ns);
    CHECK_INT(told[2], MARTY_E_MAYBE_STORED);
    CHECK_INT(port.forbidden_count, 0);
    end();
}

static void a_word_about_the_other_connection_is_of_none(void)
{
    begin();
    publish(1, "a.b", 100);
    refuse(1);
    CHECK_INT(told[1], -1);
    end();
}

int main(void)
{
    where_nothing_was_permitted_it_is_the_oldest();
    what_an_older_connection_permitted_says_nothing();
    each_word_is_of_one_publish();
    one_that_is_stored_is_never_among_them();
    one_past_its_deadline_is_in_doubt();
    a_word_about_the_other_connection_is_of_none();
    return check_result();
}
