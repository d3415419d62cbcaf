/* SPDX-License-Identifier: Apache-2.0
 * A key that is stuck: what waits behind it beyond its share goes back, and nothing of it that is
 * on its way meanwhile overtakes what went back. The suite has the same on real brokers (C10). */
#include "test_script.h"

enum { CREDIT = 8, SHARE = 4, RETRY_MS = 900 };

static marty_bus *begin_ordered(uint32_t concurrency)
{
    const marty_retry_policy late = {
        .attempts = UINT32_MAX, .first_ms = RETRY_MS, .max_ms = RETRY_MS, .no_jitter = true};
    return begin(false, &(marty_subscribe_options){.order = MARTY_ORDER_KEY,
                                                   .credit = CREDIT,
                                                   .concurrency = concurrency,
                                                   .retry = late});
}

static void deliver_some(uint64_t from, uint64_t to, const char *key)
{
    for (uint64_t tag = from; tag <= to; tag++) {
        deliver(tag, 0, key, INT64_MAX, NULL);
    }
}

/* The place of a tag among what was acked; SIZE_MAX = not yet. */
static size_t acked_at(uint64_t tag)
{
    size_t at = SIZE_MAX, acks = 0;
    pthread_mutex_lock(&script.lock);
    for (size_t i = 0; i < script.count; i++) {
        if (script.settles[i].verb == MARTY_SETTLE_ACK) {
            at = script.settles[i].tag == tag ? acks : at;
            acks++;
        }
    }
    pthread_mutex_unlock(&script.lock);
    return at;
}

/* Tags 1 to 8 of key a, of which 1 fails: 2 to 5 stay, 6 to 8 go back and are not answered. */
static marty_bus *begin_stuck(void)
{
    marty_bus *bus = begin_ordered(2);
    script.answers_later = true;
    service.answer = MARTY_E_FAILED;
    deliver_some(1, CREDIT, "a");
    CHECK_SOON(settled(0, MARTY_SETTLE_GIVE_BACK) == CREDIT - 1 - SHARE, 5000);
    for (uint64_t tag = SHARE + 2; tag <= CREDIT; tag++) {
        CHECK_INT(settled(tag, MARTY_SETTLE_GIVE_BACK), 1);
        CHECK_INT(last_of(tag).attempt, 1);
    }
    service.answer = MARTY_OK;
    return bus;
}

static void others_go_on_and_nothing_overtakes(void)
{
    marty_bus *bus = begin_stuck();
    deliver(20, 0, "b", INT64_MAX, NULL);
    CHECK_SOON(settled(20, MARTY_SETTLE_ACK) == 1, 5000);
    deliver(9, 0, "a", INT64_MAX, NULL); /* it was on its way */
    CHECK_SOON(settled(9, MARTY_SETTLE_GIVE_BACK) == 1, 5000);
    answer_all();
    CHECK_SOON(settled(0, MARTY_SETTLE_ACK) == SHARE + 2, 5000);
    deliver_some(16, 19, "a"); /* 6 to 9 again */
    CHECK_SOON(settled(19, MARTY_SETTLE_ACK) == 1, 5000);
    for (uint64_t tag = 2; tag <= SHARE + 1; tag++) {
        CHECK(acked_at(tag - 1) < acked_at(tag));
    }
    for (uint64_t tag = 17; tag <= 19; tag++) {
        CHECK(acked_at(SHARE + 1) < acked_at(tag) && acked_at(tag - 1) < acked_at(tag));
    }
    CHECK_INT(settled(0, MARTY_SETTLE_GIVE_BACK), CREDIT - SHARE);
    end(bus);
}

/* The one that was stuck is done, and all that stayed, before the backend has answered. */
static void not_even_when_nothing_of_the_key_is_left(void)
{
    marty_bus *bus = begin_stuck();
    CHECK_SOON(settled(SHARE + 1, MARTY_SETTLE_ACK) == 1, 5000);
    deliver(9, 0, "a", INT64_MAX, NULL);
    CHECK_SOON(settled(9, MARTY_SETTLE_GIVE_BACK) == 1, 5000);
    answer_all();
    deliver(16, 0, "a", INT64_MAX, NULL);
    CHECK_SOON(settled(16, MARTY_SETTLE_ACK) == 1, 5000);
    end(bus);
}

/* What was on its way back when the connection was lost comes again like all else, whenever it is
 * answered. */
static void a_lost_connection_forgets_them(void)
{
    marty_bus *bus = begin_stuck();
    script.sink->state(script.sink, MARTY_STATE_DOWN, NULL, MARTY_E_UNAVAILABLE, "gone");
    CHECK_SOON(granted() >= CREDIT, 5000); /* up, and subscribed again */
    deliver_some(31, 38, "a");
    CHECK_SOON(settled(38, MARTY_SETTLE_ACK) == 1, 5000);
    CHECK_INT(settled(38, MARTY_SETTLE_GIVE_BACK), 0);
    answer_all();
    end(bus);
}

/* Credit is what went back and what was acked: none is lost, none is made. */
static void the_credit_comes_back(void)
{
    marty_bus *bus = begin_stuck();
    answer_all();
    CHECK_SOON(settled(0, MARTY_SETTLE_ACK) == SHARE + 1, 5000);
    CHECK_SOON(granted() == CREDIT, 5000);
    end(bus);
}

int main(void)
{
    marty_error why = {0};
    REQUIRE(!marty_backend_register(&script_backend, &why));
    others_go_on_and_nothing_overtakes();
    not_even_when_nothing_of_the_key_is_left();
    a_lost_connection_forgets_them();
    the_credit_comes_back();
    return check_result();
}
