/* SPDX-License-Identifier: Apache-2.0
 * What a handler does with other subscriptions and other buses: it pulls and settles, which gives
 * credit back while it still runs, and settles what another bus gave it before it ends that one. */
#include <marty/marty.h>

#include "tests/check.h"

#include <stdatomic.h>

enum { LIMIT_MS = 20000, PULLS = 3 };

static struct {
    marty_bus *other;           /* whose messages the handler takes, and may end */
    marty_subscription *pulled; /* without a handler */
    marty_delivery *kept;       /* of it */
    atomic_int runs, done;      /* of the handler */
    char ids[PULLS + 1];        /* of what it pulled, a letter each */
} it;

static marty_bus *open_bus(const char *url, uint32_t workers)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_bus_options options = {.service = "s", .workers = workers};
    REQUIRE(!marty_bus_open(&bus, url, &options, &why));
    return bus;
}

static marty_subscription *pull_from(marty_bus *bus)
{
    marty_error why = {0};
    marty_subscription *subscription = NULL;
    marty_subscribe_options one = {.credit = 1};
    REQUIRE(!marty_subscribe_to_events(bus, "goods.*", NULL, NULL, &one, &subscription, &why));
    return subscription;
}

static void publish(marty_bus *bus, const char *type, const char *id)
{
    marty_error why = {0};
    const marty_message message = {.type = type, .id = id}, *list[] = {&message};
    CHECK_INT(marty_publish(bus, MARTY_EVENT, NULL, list, 1, NULL, &why), MARTY_OK);
}

static marty_delivery *pull_one(marty_subscription *subscription)
{
    marty_error why = {0};
    marty_delivery *delivery = NULL;
    CHECK_INT(marty_receive(subscription, LIMIT_MS, &delivery, &why), MARTY_OK);
    return delivery;
}

static void close_bus(marty_bus *bus)
{
    marty_error why = {0};
    CHECK_INT(marty_bus_close(bus, LIMIT_MS, &why), MARTY_OK);
    marty_bus_free(bus);
}

/* The bus of a handler, which runs once it is told to go, and is over when that has been handled.
 */
static void run_handler(marty_handler handler, marty_bus *bus)
{
    marty_error why = {0};
    atomic_store(&it.runs, 0);
    atomic_store(&it.done, 0);
    REQUIRE(!marty_subscribe_to_events(bus, "go.*", handler, NULL, NULL, NULL, &why));
    REQUIRE(!marty_bus_start(bus, &why));
    publish(bus, "go.on", "go");
    CHECK_SOON(atomic_load(&it.done) == 1, LIMIT_MS * PULLS);
}

/* ---- with credit for one, each is there only once the one before it is settled */
static marty_err pull_some(void *user, marty_delivery *first)
{
    (void)user;
    (void)first;
    atomic_fetch_add(&it.runs, 1);
    for (size_t i = 0; i < PULLS; i++) {
        marty_delivery *delivery = pull_one(it.pulled);
        if (!delivery) {
            break;
        }
        it.ids[i] = delivery->message->id[0];
        CHECK_INT(marty_ack(delivery), MARTY_OK);
        marty_delivery_release(delivery);
    }
    atomic_store(&it.done, 1);
    return MARTY_OK;
}

static void it_pulls_more_than_its_credit(uint32_t workers)
{
    marty_error why = {0};
    marty_bus *bus = open_bus("memory:", workers);
    it.pulled = pull_from(bus);
    memset(it.ids, 0, sizeof it.ids);
    publish(bus, "goods.sent", "a");
    publish(bus, "goods.sent", "b");
    publish(bus, "goods.sent", "c");
    run_handler(pull_some, bus);
    CHECK_TEXT(it.ids, "abc");
    CHECK_INT(marty_unsubscribe(it.pulled, LIMIT_MS, &why), MARTY_OK);
    close_bus(bus);
    CHECK_INT(atomic_load(&it.runs), 1);
}

/* ---- what it has settled there is settled when that bus is gone */
static marty_err settle_and_end(void *user, marty_delivery *first)
{
    marty_error why = {0};
    (void)user;
    (void)first;
    atomic_fetch_add(&it.runs, 1);
    CHECK_INT(marty_ack(it.kept), MARTY_OK);
    marty_delivery_release(it.kept);
    CHECK_INT(marty_unsubscribe(it.pulled, LIMIT_MS, &why), MARTY_OK);
    close_bus(it.other);
    atomic_store(&it.done, 1);
    return MARTY_OK;
}

static void it_ends_another_bus(const char *own, const char *others)
{
    marty_error why = {0};
    marty_bus *witness = open_bus(others, 0); /* the broker lives as long as somebody is there */
    marty_bus *bus = open_bus(own, 0);
    it.other = open_bus(others, 0);
    it.pulled = pull_from(it.other);
    REQUIRE(!marty_bus_start(it.other, &why));
    publish(it.other, "goods.sent", "a");
    it.kept = pull_one(it.pulled);
    REQUIRE(it.kept != NULL);
    run_handler(settle_and_end, bus);
    marty_subscription *again = pull_from(witness);
    publish(witness, "goods.sent", "b");
    marty_delivery *delivery = pull_one(again);
    REQUIRE(delivery != NULL);
    CHECK_TEXT(delivery->message->id, "b"); /* and not the first again */
    CHECK_INT(marty_ack(delivery), MARTY_OK);
    marty_delivery_release(delivery);
    CHECK_INT(marty_unsubscribe(again, LIMIT_MS, &why), MARTY_OK);
    close_bus(witness);
    close_bus(bus);
    CHECK_INT(atomic_load(&it.runs), 1);
}

int main(void)
{
    it_pulls_more_than_its_credit(0);
    it_pulls_more_than_its_credit(1);
    it_ends_another_bus("memory:within", "memory:within");
    it_ends_another_bus("memory:", "memory:other");
    return check_result();
}
