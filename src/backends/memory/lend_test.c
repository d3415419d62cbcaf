/* SPDX-License-Identifier: Apache-2.0
 * What is published waits for a worker of whoever gets it, unless it must not wait. The worker is
 * the test, so that each moment between asking for it and its coming can be chosen. */
#include "test_port.h"

static probe *lending(const char *name)
{
    probe *p = probe_open(name);
    p->lends = true;
    return p;
}

/* The worker comes, if it is asked for; whether it was. */
static bool work(probe *p)
{
    marty__lock(&p->lock);
    void (*call)(void *user) = p->lent_call;
    p->lent_call = NULL;
    marty__unlock(&p->lock);
    if (call) {
        call(p->lent_user);
    }
    return call != NULL;
}

static void say_event(probe *p, const char *id)
{
    CHECK_INT(say(p, MARTY_KIND_TOPIC, "events.x", id, NULL), MARTY_OK);
}

static void it_is_asked_once_and_tells_in_order(void)
{
    probe *a = lending("");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 2000);
    say_event(a, "a");
    say_event(a, "b");
    CHECK_INT(a->lent, 1);
    CHECK_INT(a->deliveries, 0);
    CHECK(work(a));
    CHECK_TEXT(heard(a), "a b");
    CHECK(!work(a));
    say_event(a, "c");
    CHECK_INT(a->lent, 2);
    CHECK(work(a));
    CHECK_TEXT(heard(a), "a b c");
    ack_all(a);
    probe_close(a);
}

static void it_is_asked_again_for_what_one_batch_does_not_hold(void)
{
    enum { MANY = 600 };
    probe *a = lending("?dedup=0s");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", MANY);
    for (int i = 0; i < MANY; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "m%d", i);
        say_event(a, id);
    }
    CHECK_INT(a->lent, 1);
    CHECK(work(a));
    CHECK(a->deliveries > 0 && a->deliveries < MANY);
    while (work(a)) {
        continue;
    }
    CHECK_INT(a->deliveries, MANY);
    for (size_t i = 0; i < MANY; i++) {
        CHECK_INT(strtoul(a->delivered[i].message->id + 1, NULL, 10), i);
    }
    ack_all(a);
    probe_close(a);
}

static void where_none_is_lent_it_is_told_at_once(void)
{
    probe *a = lending("");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 10);
    say_event(a, "a");
    marty__lock(&a->lock);
    a->lends = false;
    marty__unlock(&a->lock);
    say_event(a, "b"); /* one is on its way already */
    CHECK_INT(a->deliveries, 0);
    CHECK(work(a));
    CHECK_TEXT(heard(a), "a b");
    say_event(a, "c");
    CHECK_TEXT(heard(a), "a b c");
    ack_all(a);
    probe_close(a);
}

/* ---- what must not wait */
static void what_ends_by_itself_takes_along_what_waits_before_it(void)
{
    probe *a = lending("");
    marty_outgoing out = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x"}};
    marty_message soon_over = {.id = "b", .expires_us = test_wall_us + 1000000};
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 10);
    say_event(a, "a");
    CHECK_INT(a->deliveries, 0);
    CHECK_INT(publish(a, out, &soon_over).err, MARTY_OK);
    CHECK_TEXT(heard(a), "a b");
    say_event(a, "c"); /* and waits itself again */
    CHECK_INT(a->deliveries, 2);
    CHECK(work(a));
    CHECK_TEXT(heard(a), "a b c");
    ack_all(a);
    probe_close(a);
}

static void leases_queries_replies_and_broadcasts_do_not_wait(void)
{
    probe *a = lending("?lease=3s");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 10);
    say_event(a, "a");
    CHECK_TEXT(heard(a), "a");
    ack_all(a);
    probe_close(a);
    a = lending("");
    listen_to(a, 1, MARTY_KIND_REQUEST, "queries.x", "g", 10);
    listen_to(a, 2, MARTY_KIND_REPLY, "replies.me", NULL, 10);
    listen_to(a, 3, MARTY_KIND_BROADCAST, "news", NULL, 10);
    CHECK_INT(say(a, MARTY_KIND_REQUEST, "queries.x", "q", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_REPLY, "replies.me", "r", NULL), MARTY_OK);
    CHECK_INT(say(a, MARTY_KIND_BROADCAST, "news", "n", NULL), MARTY_OK);
    CHECK_TEXT(heard(a), "q r n");
    CHECK_INT(a->lent, 0);
    probe_close(a);
}

static void what_several_get_does_not_wait(void)
{
    probe *a = lending("");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "one", 10);
    listen_to(a, 2, MARTY_KIND_TOPIC, "events.x", "two", 10);
    say_event(a, "a");
    CHECK_TEXT(heard(a), "a a");
    CHECK_INT(a->lent, 0);
    ack_all(a);
    probe_close(a);
}

/* ---- before the worker has come */
static void who_leaves_gives_back_what_it_was_not_told(void)
{
    probe *a = lending("shared"), *b = probe_open("shared");
    listen_to(a, 1, MARTY_KIND_QUEUE, "work", "g", 10);
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "work", "a", NULL), MARTY_OK);
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "work", "b", NULL), MARTY_OK);
    unlisten(a, 1);
    listen_to(b, 1, MARTY_KIND_QUEUE, "work", "g", 10);
    CHECK_TEXT(heard(b), "a b");
    CHECK_INT(b->delivered[0].attempt, 1);
    CHECK(work(a));
    CHECK_INT(a->deliveries, 0);
    ack_all(b);
    probe_close(a);
    probe_close(b);
}

static void who_closes_is_told_nothing_more(void)
{
    probe *a = lending("shared"), *b = probe_open("shared");
    listen_to(a, 1, MARTY_KIND_QUEUE, "work", "g", 10);
    CHECK_INT(say(b, MARTY_KIND_QUEUE, "work", "a", NULL), MARTY_OK);
    test_backend->close(a->port, INT64_MAX);
    CHECK_INT(a->state, MARTY_STATE_CLOSED);
    size_t states = a->states;
    CHECK(work(a));
    CHECK_INT(a->deliveries, 0);
    CHECK_INT(a->states, states);
    listen_to(b, 1, MARTY_KIND_QUEUE, "work", "g", 10);
    CHECK_TEXT(heard(b), "a");
    ack_all(b);
    probe_close(a);
    probe_close(b);
}

static void a_seek_forgets_what_was_not_told(void)
{
    probe *a = lending("");
    marty_want want = {.channel = {.kind = MARTY_KIND_STREAM, .name = "streams.x", .group = "g"},
                       .credit = 10,
                       .start = {.from = MARTY_FROM_NOW},
                       .reset = true};
    listen_to(a, 1, MARTY_KIND_STREAM, "streams.x", "g", 10);
    CHECK_INT(say(a, MARTY_KIND_STREAM, "streams.x", "a", NULL), MARTY_OK);
    CHECK_INT(subscribe_with(a, 1, want), MARTY_OK);
    CHECK(work(a));
    CHECK_INT(a->deliveries, 0);
    CHECK_INT(say(a, MARTY_KIND_STREAM, "streams.x", "b", NULL), MARTY_OK);
    CHECK(work(a));
    CHECK_TEXT(heard(a), "b");
    ack_all(a);
    probe_close(a);
}

static void the_broker_counts_it_as_given_out(void)
{
    probe *a = lending("");
    marty_want want = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x", .group = "g"}};
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 1);
    say_event(a, "a");
    say_event(a, "b");
    CHECK_HAS(ask(a, "inspect", want, NULL), "\"lag\":1,\"due\":1,\"unsettled\":1,");
    CHECK(work(a));
    CHECK_TEXT(heard(a), "a");
    ack_all(a);
    test_backend->grant(a->port, 1, 1); /* whoever grants is no publisher: he tells it */
    CHECK_TEXT(heard(a), "a b");
    probe_close(a);
}

int main(void)
{
    it_is_asked_once_and_tells_in_order();
    it_is_asked_again_for_what_one_batch_does_not_hold();
    where_none_is_lent_it_is_told_at_once();
    what_ends_by_itself_takes_along_what_waits_before_it();
    leases_queries_replies_and_broadcasts_do_not_wait();
    what_several_get_does_not_wait();
    who_leaves_gives_back_what_it_was_not_told();
    who_closes_is_told_nothing_more();
    a_seek_forgets_what_was_not_told();
    the_broker_counts_it_as_given_out();
    return check_result();
}
