/* SPDX-License-Identifier: Apache-2.0
 * Shards that are revoked at a deadline, leases that are lost one by one, and what is told of
 * attempts, each moment chosen by the test. */
#include "test_script.h"

/* ---- shards */
static void what_waits_goes_back_at_once_and_what_runs_may_finish(void)
{
    marty_bus *bus = begin(true, NULL);
    deliver(1, 7, NULL, INT64_MAX, NULL);
    deliver(2, 7, NULL, INT64_MAX, NULL);
    deliver(3, 8, NULL, INT64_MAX, NULL);
    CHECK_SOON(atomic_load(&service.running) == 1, 2000);
    revoke(7, in_ms(60000));
    CHECK_SOON(settled(2, MARTY_SETTLE_GIVE_BACK) == 1, 2000);
    CHECK_INT(settled(3, 0), 0); /* of another shard */
    CHECK_INT(settled(1, 0), 0);
    go_on();
    CHECK_SOON(settled(1, MARTY_SETTLE_ACK) == 1, 2000);
    CHECK_INT(service.last, MARTY_OK);
    CHECK_SOON(settled(3, MARTY_SETTLE_ACK) == 1, 2000);
    end(bus);
    CHECK_INT(settled(2, 0), 1);
}

static void what_runs_past_the_deadline_is_lost_and_its_credit_comes_back(void)
{
    marty_bus *bus = begin(true, &(marty_subscribe_options){.credit = 1});
    deliver(1, 7, NULL, INT64_MAX, NULL);
    CHECK_SOON(atomic_load(&service.running) == 1, 2000);
    CHECK_INT(granted(), 0);
    revoke(7, in_ms(30));
    CHECK_SOON(granted() == 1, 2000); /* while its handler still runs */
    CHECK_INT(atomic_load(&service.running), 1);
    go_on();
    CHECK_SOON(atomic_load(&service.running) == 0, 2000);
    CHECK_INT(service.last, MARTY_E_LOST);
    deliver(2, 7, NULL, INT64_MAX, NULL); /* the shard is ours again */
    CHECK_SOON(settled(2, MARTY_SETTLE_ACK) == 1, 2000);
    CHECK_SOON(granted() == 2, 2000);
    end(bus);
    CHECK_INT(settled(1, 0), 0); /* LOST is never sent */
    CHECK_INT(granted(), 2);
}

static void what_is_kept_is_lost_too(void)
{
    marty_bus *bus = begin(false, &(marty_subscribe_options){.credit = 4});
    service.keep = true;
    deliver(1, 7, NULL, INT64_MAX, NULL);
    CHECK_SOON(service.kept_count == 1 && atomic_load(&service.running) == 0, 2000);
    CHECK_INT(marty_delivery_check(service.kept[0]), MARTY_OK);
    revoke(7, in_ms(30));
    CHECK_SOON(granted() >= 1, 2000);
    CHECK_INT(marty_delivery_check(service.kept[0]), MARTY_E_LOST);
    CHECK_INT(marty_ack(service.kept[0]), MARTY_E_LOST);
    CHECK_INT(granted(), 1);
    end(bus);
    CHECK_INT(settled(1, 0), 0);
}

static void a_shard_that_is_gone_already_takes_all_with_it(void)
{
    marty_bus *bus = begin(true, &(marty_subscribe_options){.credit = 3});
    deliver(1, 7, NULL, INT64_MAX, NULL);
    deliver(2, 7, NULL, INT64_MAX, NULL);
    deliver(3, 7, NULL, INT64_MAX, NULL);
    CHECK_SOON(atomic_load(&service.running) == 1, 2000);
    revoke(7, in_ms(-1));
    CHECK_SOON(granted() == 3, 2000);
    go_on();
    end(bus);
    CHECK_INT(settled(0, 0), 0);
    CHECK_INT(atomic_load(&service.runs), 1);
}

/* A failed one of an ordered subscription is held in memory; not past its shard. */
static void what_fails_meanwhile_is_not_held(void)
{
    marty_bus *bus = begin(true, &(marty_subscribe_options){.order = MARTY_ORDER_KEY});
    service.answer = MARTY_E_FAILED;
    deliver(1, 7, "k", INT64_MAX, NULL);
    CHECK_SOON(atomic_load(&service.running) == 1, 2000);
    revoke(7, in_ms(60000));
    go_on();
    CHECK_SOON(settled(1, MARTY_SETTLE_RETRY) == 1, 2000);
    CHECK_INT(last_of(1).attempt, 1);
    end(bus);
    CHECK_INT(settled(1, 0), 1);
}

/* What was held goes back with the attempts that it has had, so that its next owner goes on. */
static void what_is_held_goes_back_with_its_attempts(void)
{
    marty_header carried = {"martyattempts", marty_text("4"), MARTY_ATTRIBUTE};
    marty_bus *bus = begin(
        false,
        &(marty_subscribe_options){
            .order = MARTY_ORDER_KEY,
            .retry = {.attempts = 20, .first_ms = 60000, .max_ms = 60000, .no_jitter = true}});
    service.answer = MARTY_E_FAILED;
    deliver(1, 7, "k", INT64_MAX, &carried);
    CHECK_SOON(atomic_load(&service.runs) == 1 && atomic_load(&service.running) == 0, 2000);
    deliver(2, 7, "k", INT64_MAX, NULL); /* waits behind it */
    revoke(7, in_ms(60000));
    CHECK_SOON(settled(1, MARTY_SETTLE_GIVE_BACK) + settled(1, MARTY_SETTLE_RETRY) == 1, 2000);
    CHECK_SOON(settled(2, MARTY_SETTLE_GIVE_BACK) == 1, 2000);
    noted back = last_of(1);
    CHECK_INT(back.attempt + (back.verb == MARTY_SETTLE_RETRY ? 1 : 0), 2); /* the broker's count */
    CHECK_INT(last_of(2).attempt, 1);
    end(bus);
}

static void a_key_goes_on_when_its_shard_comes_back(void)
{
    marty_bus *bus = begin(true, &(marty_subscribe_options){.order = MARTY_ORDER_KEY});
    deliver(1, 7, "k", INT64_MAX, NULL);
    deliver(2, 7, "k", INT64_MAX, NULL);
    CHECK_SOON(atomic_load(&service.running) == 1, 2000);
    revoke(7, in_ms(-1));
    deliver(11, 7, "k", INT64_MAX, NULL); /* the same ones, by new tags */
    deliver(12, 7, "k", INT64_MAX, NULL);
    CHECK_INT(atomic_load(&service.running), 1); /* one of a key at once, even so */
    go_on();
    CHECK_SOON(settled(11, MARTY_SETTLE_ACK) == 1 && settled(12, MARTY_SETTLE_ACK) == 1, 2000);
    end(bus);
    CHECK_INT(settled(1, 0) + settled(2, 0), 0);
    CHECK_INT(atomic_load(&service.runs), 3);
}

/* ---- leases */
static void leases_are_renewed_together(void)
{
    marty_bus *bus = begin(true, NULL);
    int64_t until = in_ms(300);
    for (uint64_t tag = 1; tag <= 40; tag++) {
        deliver(tag, 0, NULL, until, NULL);
    }
    CHECK_SOON(settled(0, MARTY_SETTLE_EXTEND) >= 40, 5000);
    CHECK_SOON(last_of(40).together > 1, 5000); /* at the latest when they are asked for again */
    end(bus);
}

static void a_lease_that_is_lost_ends_alone_and_its_key_goes_on(void)
{
    marty_bus *bus = begin(true, &(marty_subscribe_options){.order = MARTY_ORDER_KEY, .credit = 4});
    deliver(1, 0, "k", in_ms(300), NULL);
    CHECK_SOON(atomic_load(&service.running) == 1, 5000); /* it runs before its lease is lost */
    pthread_mutex_lock(&script.lock);
    script.lose_extends = true;
    pthread_mutex_unlock(&script.lock);
    int64_t until = in_ms(300);
    deliver(2, 0, "k", until, NULL);
    deliver(3, 0, "k", until, NULL);
    CHECK_SOON(granted() == 3, 5000);
    CHECK_INT(atomic_load(&service.running), 1);
    deliver(11, 0, "k", INT64_MAX, NULL);
    deliver(12, 0, "k", INT64_MAX, NULL);
    go_on();
    CHECK_SOON(settled(11, MARTY_SETTLE_ACK) == 1 && settled(12, MARTY_SETTLE_ACK) == 1, 2000);
    CHECK_SOON(granted() == 5, 2000);
    end(bus);
    CHECK_INT(settled(1, MARTY_SETTLE_ACK) + settled(2, MARTY_SETTLE_ACK), 0);
    CHECK_INT(atomic_load(&service.runs), 3); /* 1, 11, 12 */
}

int main(void)
{
    marty_error why = {0};
    REQUIRE(!marty_backend_register(&script_backend, &why));
    what_waits_goes_back_at_once_and_what_runs_may_finish();
    what_runs_past_the_deadline_is_lost_and_its_credit_comes_back();
    what_is_kept_is_lost_too();
    a_shard_that_is_gone_already_takes_all_with_it();
    what_fails_meanwhile_is_not_held();
    what_is_held_goes_back_with_its_attempts();
    a_key_goes_on_when_its_shard_comes_back();
    leases_are_renewed_together();
    a_lease_that_is_lost_ends_alone_and_its_key_goes_on();
    return check_result();
}
