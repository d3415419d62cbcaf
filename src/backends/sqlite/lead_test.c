/* SPDX-License-Identifier: Apache-2.0
 * A thread that publishes and waits does the commit itself while the port's own sleeps: what is
 * queued then waits for it, what it leaves is done, and a lock that another has is not waited for.
 */
#include "port.h"
#include "test_file.h"

#include <sqlite3.h>

static const marty_channel queue = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"};

/* The thread of the port sleeps sooner or later; then this one leads. */
static void take_the_lead(probe *p)
{
    bool leads = false;
    SOON(leads || (leads = test_backend->lead(p->port, INT64_MAX)));
}

static marty_err put(probe *p, const char *id, int64_t deadline_ns)
{
    marty_message *message = message_of(&(marty_message){.id = id});
    marty_outgoing out = {
        .token = ++p->next_token, .channel = queue, .message = message, .deadline_ns = deadline_ns};
    marty_error why = {0};
    size_t taken = 0;
    marty_err err = test_backend->publish(p->port, &out, 1, &taken, &why);
    marty_message_unref(message);
    CHECK_INT(taken, 1);
    return err;
}

static void nobody_leads_for_a_moment(void)
{
    probe *a = probe_open("moment.db");
    take_the_lead(a);
    test_backend->serve(a->port);
    CHECK(!test_backend->lead(a->port, marty__monotonic_ns()));
    probe_close(a);
}

static void who_leads_commits(void)
{
    probe *a = probe_open("commits.db");
    take_the_lead(a);
    CHECK(!test_backend->lead(a->port, INT64_MAX)); /* one at a time */
    CHECK_INT(put(a, "m1", 0), MARTY_OK);
    CHECK_INT(a->publishes, 0); /* nobody else does it */
    test_backend->serve(a->port);
    REQUIRE(a->publishes == 1); /* done in this thread */
    CHECK_INT(a->published[0].err, MARTY_OK);
    CHECK_INT(a->published[0].level, MARTY_LEVEL_SYNCED);
    take_the_lead(a);
    test_backend->serve(a->port); /* nothing to do */
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "m2", NULL), MARTY_OK);
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    await(a, 2);
    CHECK_TEXT(heard(a), "m1 m2");
    probe_close(a);
}

/* What others queue while one leads is done by it, or after it. */
static void nothing_that_is_queued_meanwhile_is_left(void)
{
    probe *a = probe_open("meanwhile.db");
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "m1", NULL), MARTY_OK);
    take_the_lead(a);
    marty_error why = {0};
    marty_want want = {.channel = queue, .credit = 9};
    want.channel.group = "q";
    CHECK_INT(test_backend->subscribe(a->port, 1, &want, &why), MARTY_OK);
    CHECK_INT(put(a, "m2", 0), MARTY_OK);
    test_backend->serve(a->port);
    await(a, 2);
    CHECK_TEXT(heard(a), "m1 m2");
    marty_settling acks[2];
    for (size_t i = 0; i < 2; i++) {
        acks[i] = (marty_settling){
            .subscription = 1, .tag = a->delivered[i].tag, .verb = MARTY_SETTLE_ACK};
    }
    take_the_lead(a);
    test_backend->settle(a->port, acks, 2);
    test_backend->serve(a->port); /* no publish of its own: left to the port */
    CHECK(probe_wait(a, &a->settlings, 2, WITHIN_MS));
    probe_close(a);
}

/* Another process rings while one leads: its messages come all the same. */
static void news_of_another_come(void)
{
    probe *a = probe_open("news.db"), *b = probe_open("news.db");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    take_the_lead(a);
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "commands.q", "m1", NULL), MARTY_OK);
    CHECK_INT(put(a, "m2", 0), MARTY_OK);
    test_backend->serve(a->port);
    await(a, 2);
    CHECK_TEXT(heard(a), "m1 m2");
    probe_close(b);
    probe_close(a);
}

static bool rests(probe *p)
{
    marty__lock(&p->port->lock);
    bool resting = p->port->resting;
    marty__unlock(&p->port->lock);
    return resting;
}

/* Who leads in a loop would keep the woken thread of the port from its turn for ever. */
static void who_is_awake_is_the_next(void)
{
    probe *a = probe_open("next.db"), *b = probe_open("next.db");
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    take_the_lead(a);
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "commands.q", "m1", NULL), MARTY_OK);
    SOON(!rests(a)); /* and nobody leads from now on until it has had its turn */
    test_backend->serve(a->port);
    await(a, 1);
    probe_close(b);
    probe_close(a);
}

static void a_lock_of_another_is_not_waited_for(void)
{
    probe *a = probe_open("locked.db");
    sqlite3 *other = NULL;
    CHECK_INT(say(a, MARTY_KIND_QUEUE, "commands.q", "m1", NULL), MARTY_OK);
    take_the_lead(a);
    REQUIRE(sqlite3_open(test_file("locked.db"), &other) == SQLITE_OK);
    REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    int64_t deadline_ns = marty__deadline_ns(marty__monotonic_ns(), 3000);
    CHECK_INT(put(a, "late", deadline_ns), MARTY_OK);
    CHECK_INT(put(a, "m2", 0), MARTY_OK);
    test_backend->serve(a->port); /* comes back, though the lock is held */
    CHECK(probe_wait(a, &a->publishes, 2, WITHIN_MS));
    CHECK_INT(a->published[1].err, MARTY_E_UNAVAILABLE);
    CHECK(marty__monotonic_ns() >= deadline_ns);
    REQUIRE(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    CHECK(probe_wait(a, &a->publishes, 3, WITHIN_MS));
    CHECK_INT(a->published[2].err, MARTY_OK);
    (void)sqlite3_close(other);
    probe_close(a);
}

static void closing_waits_for_who_leads(void)
{
    probe *a = probe_open("close.db");
    take_the_lead(a);
    CHECK_INT(put(a, "m1", 0), MARTY_OK);
    test_backend->close(a->port, marty__deadline_ns(marty__monotonic_ns(), WITHIN_MS));
    CHECK_INT(state_of(a), MARTY_STATE_UP);
    test_backend->serve(a->port);
    CHECK(await_state(a, MARTY_STATE_CLOSED));
    REQUIRE(a->publishes == 1);
    CHECK_INT(a->published[0].err, MARTY_OK);
    CHECK(!test_backend->lead(a->port, INT64_MAX));
    probe_free(a);
}

int main(void)
{
    nobody_leads_for_a_moment();
    who_leads_commits();
    nothing_that_is_queued_meanwhile_is_left();
    news_of_another_come();
    who_is_awake_is_the_next();
    a_lock_of_another_is_not_waited_for();
    closing_waits_for_who_leads();
    test_folder_remove();
    return check_result();
}
