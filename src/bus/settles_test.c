/* SPDX-License-Identifier: Apache-2.0
 * A handler publishes what would settle its delivery, and is refused as there is no room: then the
 * delivery is as if it had not tried, its handler's to return for, or its keeper's to settle. */
#include "test_script.h"

#include <stdatomic.h>

enum { LIMIT_MS = 20000, LASTS_MS = 40000 }; /* the latter beside waits */

static struct {
    marty_bus *bus;
    bool keeps; /* before it publishes */
    marty_delivery *kept;
    atomic_int runs, told;
} it;

static void on_done(void *user, const marty_outcome outcomes[], size_t count)
{
    (void)user;
    (void)outcomes;
    atomic_fetch_add(&it.told, (int)count);
}

static marty_err publish(marty_delivery *settles)
{
    const marty_message message = {.type = "a.b"}, *list[] = {&message};
    marty_publish_options options = {.done = on_done, .settles = settles, .timeout_ms = LASTS_MS};
    return marty_publish(it.bus, MARTY_EVENT, NULL, list, 1, &options, NULL);
}

static marty_err publish_and_return(void *user, marty_delivery *delivery)
{
    (void)user;
    atomic_fetch_add(&it.runs, 1);
    if (it.keeps && !it.kept) {
        it.kept = marty_delivery_keep(delivery);
    }
    CHECK_INT(publish(delivery), MARTY_E_FULL);
    return MARTY_OK;
}

/* With a publish in the way that is not answered. */
static void begin_full(bool keeps)
{
    marty_error why = {0};
    uint64_t token = 0;
    marty_bus_options options = {
        .service = "s", .workers = 2, .inflight_max = 1, .drain_ms = LASTS_MS};
    marty_subscribe_options one = {.concurrency = 1};
    script.count = 0;
    script.granted = 0;
    script.answers_each = -1;
    it.keeps = keeps;
    it.kept = NULL;
    atomic_store(&it.runs, 0);
    atomic_store(&it.told, 0);
    REQUIRE(!marty_bus_open(&it.bus, "script:", &options, &why));
    REQUIRE(
        !marty_subscribe_to_events(it.bus, "order.*", publish_and_return, NULL, &one, NULL, &why));
    REQUIRE(!marty_bus_start(it.bus, &why));
    CHECK_SOON(granted() > 0, LIMIT_MS);
    uint64_t before = taken(&token);
    CHECK_INT(publish(NULL), MARTY_OK);
    CHECK_SOON(taken(&token) == before + 1, LIMIT_MS);
}

static void end_full(int runs)
{
    marty_error why = {0};
    uint64_t token = 0;
    (void)taken(&token);
    marty_published stored = {.token = token, .level = MARTY_LEVEL_MEMORY};
    script.sink->published(script.sink, &stored, 1);
    CHECK_SOON(atomic_load(&it.told) == 1, LIMIT_MS);
    int64_t until_ms = check_now_ms() + LIMIT_MS;
    CHECK_INT(marty_bus_close(it.bus, LASTS_MS, &why), MARTY_OK);
    CHECK(check_now_ms() < until_ms); /* the drain waited for nobody */
    marty_bus_free(it.bus);
    CHECK_INT(atomic_load(&it.runs), runs);
    CHECK_INT(settled(0, 0), runs);
    CHECK_INT(settled(0, MARTY_SETTLE_ACK), runs);
}

static void its_return_settles_it(void)
{
    begin_full(false);
    deliver(1, 0, NULL, INT64_MAX, NULL);
    CHECK_SOON(settled(1, MARTY_SETTLE_ACK) == 1, LIMIT_MS);
    end_full(1);
}

static void what_was_kept_before_stays_its_keepers(void)
{
    begin_full(true);
    deliver(1, 0, NULL, INT64_MAX, NULL);
    deliver(2, 0, NULL, INT64_MAX, NULL);
    CHECK_SOON(settled(2, MARTY_SETTLE_ACK) == 1, LIMIT_MS); /* so the first has returned */
    CHECK_INT(settled(1, 0), 0);
    CHECK_INT(marty_ack(it.kept), MARTY_OK);
    marty_delivery_release(it.kept);
    CHECK_SOON(settled(1, MARTY_SETTLE_ACK) == 1, LIMIT_MS);
    end_full(2);
}

int main(void)
{
    marty_error why = {0};
    REQUIRE(!marty_backend_register(&script_backend, &why));
    its_return_settles_it();
    what_was_kept_before_stays_its_keepers();
    return check_result();
}
