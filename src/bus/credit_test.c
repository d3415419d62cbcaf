/* SPDX-License-Identifier: Apache-2.0
 * Credit is neither lost nor made, whatever handlers answer and whatever changes meanwhile: lanes,
 * pauses, members of one group that come and go, a connection that is lost. Played from a seed. */
#include "test_script.h"

enum { ROUNDS = 3000, CREDIT = 16, OTHERS_CREDIT = 8 };

static uint32_t seed = 20261125;
static uint64_t delivered;

static uint32_t chance(uint32_t of)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % of;
}

static marty_err answer(void *user, marty_delivery *delivery)
{
    static const marty_err answers[] = {MARTY_OK, MARTY_OK, MARTY_OK, MARTY_E_FAILED,
                                        MARTY_E_UNAVAILABLE};
    (void)user;
    uint64_t number = (uint64_t)strtoull(delivery->message->id + 1, NULL, 10);
    if (number % 7 == 0) {
        (void)marty_give_back(delivery, 0, NULL);
        return MARTY_OK;
    }
    return answers[number % 5];
}

/* Deliver as long as the credit allows, up to some. */
static void deliver_some(uint64_t count)
{
    while (count-- > 0 && granted() > 0) {
        pthread_mutex_lock(&script.lock);
        script.granted--;
        pthread_mutex_unlock(&script.lock);
        deliver(++delivered, 0, NULL, INT64_MAX, NULL);
    }
}

static void change_something(marty_bus *bus, marty_subscription *one, marty_subscription **other)
{
    marty_error why = {0};
    marty_subscribe_options options = {.credit = OTHERS_CREDIT};
    switch (chance(6)) {
    case 0:
        CHECK_INT(marty_subscription_concurrency(one, 1 + chance(6), &why), MARTY_OK);
        break;
    case 1:
        CHECK_INT(marty_subscription_pause(one, true, &why), MARTY_OK);
        break;
    case 2:
        CHECK_INT(marty_subscription_pause(one, false, &why), MARTY_OK);
        break;
    case 3:
        if (!*other) {
            CHECK_INT(
                marty_subscribe_to_events(bus, "order.other", answer, NULL, &options, other, &why),
                MARTY_OK);
        }
        break;
    default:
        if (*other) {
            CHECK_INT(marty_unsubscribe(*other, 0, &why), MARTY_OK);
            *other = NULL;
        }
        break;
    }
}

static void credit_is_neither_lost_nor_made(void)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_subscription *one = NULL, *other = NULL;
    const marty_retry_policy soon = {.attempts = UINT32_MAX, .first_ms = 1, .max_ms = 1};
    marty_subscribe_options options = {.credit = CREDIT, .concurrency = 3, .retry = soon};
    script.count = script.granted = 0;
    REQUIRE(
        !marty_bus_open(&bus, "script:", &(marty_bus_options){.service = "s", .workers = 3}, &why));
    REQUIRE(!marty_subscribe_to_events(bus, "order.made", answer, NULL, &options, &one, &why));
    REQUIRE(!marty_bus_start(bus, &why));
    CHECK_SOON(granted() == CREDIT, 5000);
    for (int round = 0; round < ROUNDS; round++) {
        deliver_some(1 + chance(5));
        CHECK(granted() <= CREDIT + OTHERS_CREDIT);
        if (chance(10) == 0) {
            change_something(bus, one, &other);
        }
    }
    CHECK_INT(marty_unsubscribe(other, 0, &why), MARTY_OK);
    CHECK_INT(marty_subscription_pause(one, false, &why), MARTY_OK);
    for (int i = 0; i < 200; i++) { /* what the other had is paid off by what is settled */
        CHECK_SOON(granted() > 0, 5000);
        deliver_some(1);
    }
    CHECK_SOON(granted() >= CREDIT - 1, 5000); /* one is less than an eighth: not told alone */
    if (granted() < CREDIT) {
        deliver_some(1);
    }
    CHECK_SOON(granted() == CREDIT, 5000);
    CHECK_INT(marty_unsubscribe(one, 0, &why), MARTY_OK);
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    marty_bus_free(bus);
}

enum { BATCH = 9 };

static marty_delivery *kept[BATCH];
static atomic_size_t kept_count;

static marty_err keep_all(void *user, marty_delivery *batch)
{
    (void)user;
    for (size_t i = 0; batch && i < BATCH; batch = batch->next, i++) {
        kept[i] = marty_delivery_keep(batch);
        atomic_store(&kept_count, i + 1);
    }
    return MARTY_OK;
}

/* One that is held back would be missing: no batch would be full any more. */
static void batches_that_are_waited_for_get_full(void)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_subscribe_options options = {
        .credit = BATCH, .batch_max = BATCH, .batch_wait_ms = 600000};
    script.count = script.granted = 0;
    REQUIRE(!marty_bus_open(&bus, "script:", &(marty_bus_options){.service = "s"}, &why));
    REQUIRE(!marty_subscribe_to_events(bus, "order.made", keep_all, NULL, &options, NULL, &why));
    REQUIRE(!marty_bus_start(bus, &why));
    for (int round = 0; round < 3; round++) {
        CHECK_SOON(granted() == BATCH, 5000);
        atomic_store(&kept_count, 0);
        deliver_some(BATCH);
        CHECK_SOON(atomic_load(&kept_count) == BATCH, 5000);
        for (size_t i = 0; i < BATCH && kept[i]; i++) {
            size_t before = settled(0, MARTY_SETTLE_ACK);
            CHECK_INT(marty_settle(kept[i], MARTY_SETTLE_ACK, 0, NULL), MARTY_OK);
            CHECK_SOON(settled(0, MARTY_SETTLE_ACK) == before + 1, 5000); /* each by itself */
            marty_delivery_release(kept[i]);
            kept[i] = NULL;
        }
    }
    CHECK_SOON(granted() == BATCH, 5000);
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    marty_bus_free(bus);
}

int main(void)
{
    marty_error why = {0};
    REQUIRE(!marty_backend_register(&script_backend, &why));
    credit_is_neither_lost_nor_made();
    batches_that_are_waited_for_get_full();
    return check_result();
}
