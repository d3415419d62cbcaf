/* SPDX-License-Identifier: Apache-2.0
 * When leases are looked at: as often as the shortest that came needs; the shortest that a member
 * of a consumer asks for is what its adapter hears; and what is kept too long is given up once. */
#include "bus/internal.h"

#include "test_script.h"

static const int64_t s = INT64_C(1000000000);

static void renewals_go_by_what_came(void)
{
    marty__consumer consumer = {.bus = NULL};
    CHECK_INT(marty__lease_note(&consumer, 103 * s, 100 * s), 101 * s); /* a third of it */
    CHECK_INT(marty__lease_note(&consumer, 103 * s - s / 10, 100 * s), MARTY__NEVER);
    CHECK_INT(marty__lease_note(&consumer, 130 * s, 100 * s), MARTY__NEVER);
    CHECK_INT(consumer.lease_ns, 30 * s);
    CHECK_INT(marty__lease_note(&consumer, 101 * s, 100 * s), 100 * s); /* at once */
    CHECK_INT(consumer.lease_short_ns, s);
    CHECK_INT(consumer.lease_ns, 30 * s);
    consumer.lease_on = false; /* nothing is unsettled any more */
    CHECK_INT(marty__lease_note(&consumer, 109 * s, 100 * s), 103 * s);
    CHECK_INT(consumer.lease_ns, 9 * s);
    CHECK_INT(marty__lease_note(&consumer, 99 * s, 100 * s), 100 * s); /* it is over: at once */
    CHECK_INT(consumer.lease_short_ns, s / 5); /* no more often than the shortest that may be */
    CHECK_INT(marty__lease_note(&consumer, 98 * s, 100 * s), MARTY__NEVER);
    consumer.lease_on = false;
    CHECK_INT(marty__lease_note(&consumer, 100 * s + s / 100, 100 * s), 100 * s);
    CHECK_INT(consumer.lease_short_ns, s / 5);
}

static uint32_t asked(void)
{
    pthread_mutex_lock(&script.lock);
    uint32_t ms = script.lease_ms;
    pthread_mutex_unlock(&script.lock);
    return ms;
}

static void the_shortest_of_the_members_is_asked_for(void)
{
    marty_error why = {0};
    marty_subscription *second = NULL;
    marty_subscribe_options options = {.lease_ms = 5000};
    marty_bus *bus = begin(true, &options);
    CHECK_INT(asked(), 5000);
    CHECK_INT(marty_subscribe_to_events(bus, "order.*.late", handle, NULL, NULL, &second, &why),
              MARTY_OK);
    CHECK_INT(asked(), 5000);
    CHECK_INT(marty_unsubscribe(second, 0, &why), MARTY_OK);
    options.lease_ms = 300;
    CHECK_INT(marty_subscribe_to_events(bus, "order.*.late", handle, NULL, &options, &second, &why),
              MARTY_OK);
    CHECK_SOON(asked() == 300, 5000); /* its consumer stands already, so nobody waited for it */
    CHECK_INT(marty_unsubscribe(second, 0, &why), MARTY_OK);
    CHECK_SOON(asked() == 5000, 2000);
    options.lease_ms = 199;
    CHECK_INT(marty_subscribe_to_events(bus, "order.*.late", handle, NULL, &options, &second, &why),
              MARTY_E_ARGUMENT);
    CHECK_HAS(why.text, "lease_ms is 199; at least 200");
    end(bus);
}

/* What it has may come to others sooner from now on: it is renewed sooner. */
static void what_is_there_is_renewed_by_a_shorter_one(void)
{
    marty_error why = {0};
    marty_bus *bus = begin(true, NULL);
    deliver(1, 0, NULL, in_ms(3600000), NULL);
    CHECK_INT(settled(1, MARTY_SETTLE_EXTEND), 0);
    CHECK_INT(marty_subscribe_to_events(bus, "order.*.late", handle, NULL,
                                        &(marty_subscribe_options){.lease_ms = 200}, NULL, &why),
              MARTY_OK);
    CHECK_SOON(settled(1, MARTY_SETTLE_EXTEND) > 0, 5000);
    end(bus);
}

/* NULL: not so many yet. */
static marty_delivery *kept(size_t i)
{
    pthread_mutex_lock(&service.lock);
    marty_delivery *delivery = service.kept_count > i ? service.kept[i] : NULL;
    pthread_mutex_unlock(&service.lock);
    return delivery;
}

static int64_t looks_at_ns(marty__consumer *consumer)
{
    marty__lock(&consumer->bus->clockwork.lock);
    int64_t at_ns = consumer->lease_alarm.timer.armed ? consumer->lease_alarm.timer.at_ns : 0;
    marty__unlock(&consumer->bus->clockwork.lock);
    return at_ns;
}

/* Who says when does so without the lock of the consumer: the soonest stands. */
static void a_later_look_takes_no_sooner_ones_place(void)
{
    marty_bus *bus = begin(false, NULL);
    service.keep = true;
    deliver(1, 0, NULL, in_ms(7200000), NULL); /* looked at in 40 minutes */
    CHECK_SOON(kept(0), 5000);
    REQUIRE(kept(0));
    marty__consumer *consumer = ((marty__delivery *)(void *)kept(0))->consumer;
    int64_t soon = in_ms(1000000);
    marty__lease_start(consumer, soon);
    CHECK_INT(looks_at_ns(consumer), soon);
    marty__lease_start(consumer, soon + s);
    CHECK_INT(looks_at_ns(consumer), soon);
    end(bus);
}

/* Its dead letter is not stored yet: it is renewed meanwhile, like any other. */
static void given_up_with_a_letter_on_its_way(void)
{
    const marty_retry_policy once = {.attempts = 1};
    marty_bus *bus =
        begin(false, &(marty_subscribe_options){.credit = 8, .keep_max_ms = 300, .retry = once});
    marty_published letter = {.level = MARTY_LEVEL_MEMORY};
    uint64_t before = taken(&letter.token);
    script.answers_each = -1;
    service.keep = true;
    deliver(1, 0, NULL, in_ms(600), NULL);
    CHECK_SOON(settled(1, MARTY_SETTLE_EXTEND) >= 10, 20000); /* far beyond the 300 ms */
    CHECK_SOON(taken(&letter.token) == before + 1, 20000);
    CHECK_INT(settled(1, MARTY_SETTLE_ACK), 0);
    script.answers_each = 0;
    script.sink->published(script.sink, &letter, 1);
    CHECK_SOON(settled(1, MARTY_SETTLE_ACK) == 1, 5000);
    end(bus);
}

/* While it waits for its next attempt nobody keeps it. */
static void given_up_once_and_held(void)
{
    const marty_retry_policy twice = {
        .attempts = 2, .first_ms = 500, .max_ms = 500, .no_jitter = true};
    marty_bus *bus = begin(
        false, &(marty_subscribe_options){
                   .order = MARTY_ORDER_KEY, .credit = 8, .keep_max_ms = 300, .retry = twice});
    service.keep = true;
    deliver(1, 0, "a", in_ms(600), NULL);
    CHECK_SOON(kept(1), 20000);
    CHECK_INT(kept(1) ? kept(1)->attempt : 0, 2);
    CHECK_SOON(settled(1, MARTY_SETTLE_ACK) == 1, 20000); /* given up again: the last attempt */
    CHECK_INT(atomic_load(&service.runs), 2);
    end(bus);
}

int main(void)
{
    marty_error why = {0};
    REQUIRE(!marty_backend_register(&script_backend, &why));
    renewals_go_by_what_came();
    the_shortest_of_the_members_is_asked_for();
    what_is_there_is_renewed_by_a_shorter_one();
    a_later_look_takes_no_sooner_ones_place();
    given_up_with_a_letter_on_its_way();
    given_up_once_and_held();
    return check_result();
}
