/* SPDX-License-Identifier: Apache-2.0
 * A worker that an adapter borrows: it comes once and soon, beside workers in slow handlers too,
 * and not after the end; and where nobody may come, the adapter is told so. Over memory:, what is
 * published while no worker is free comes all the same, by whichever bus is there then; and of a
 * batch that was pulled, what is kept is kept alone. */
#include "bus/internal.h"

#include "test_script.h"

enum { SOON_MS = 20000 };

static struct {
    atomic_int calls, late;
    atomic_bool held, over;
} lent;

static void come(void *user)
{
    (void)user;
    atomic_fetch_add(&lent.calls, 1);
    atomic_fetch_add(&lent.late, atomic_load(&lent.over));
    while (atomic_load(&lent.held)) {
        (void)sched_yield();
    }
}

static bool ask_for_one(void)
{
    REQUIRE(script.sink != NULL);
    return script.sink->later(script.sink, come, &lent);
}

static void it_comes_once_until_it_begins(void)
{
    marty_bus *bus = begin(false, NULL);
    atomic_store(&lent.calls, 0);
    atomic_store(&lent.held, true);
    CHECK(ask_for_one());
    CHECK_SOON(atomic_load(&lent.calls) == 1, SOON_MS);
    CHECK(ask_for_one()); /* it has begun: another time */
    CHECK_SOON(atomic_load(&lent.calls) == 2, SOON_MS);
    atomic_store(&lent.held, false);
    int calls = atomic_load(&lent.calls);
    for (int i = 0; i < 100; i++) {
        CHECK(ask_for_one());
    }
    CHECK_SOON(atomic_load(&lent.calls) > calls, SOON_MS);
    CHECK(atomic_load(&lent.calls) <= calls + 100);
    end(bus);
}

static void a_driven_bus_lends_none(void)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_bus_options options = {.service = "s", .driven = true};
    REQUIRE(!marty_bus_open(&bus, "script:", &options, &why));
    CHECK(!ask_for_one());
    marty_bus_free(bus);
}

static void where_somebody_pulls_there_is_none(void)
{
    marty_error why = {0};
    marty_subscription *pulled = NULL;
    marty_bus *bus = begin(false, NULL);
    CHECK_INT(marty_subscribe_to_events(bus, "other.*", NULL, NULL, NULL, &pulled, &why), MARTY_OK);
    CHECK(!ask_for_one());
    CHECK_INT(marty_unsubscribe(pulled, 0, &why), MARTY_OK);
    CHECK_SOON(ask_for_one(), SOON_MS); /* once the last reference is gone */
    end(bus);
}

static void none_comes_after_the_end(void)
{
    for (int i = 0; i < 50; i++) {
        marty_bus *bus = begin(false, NULL);
        marty_error why = {0};
        atomic_store(&lent.over, false);
        (void)ask_for_one();
        CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
        atomic_store(&lent.over, true);
        CHECK(!ask_for_one());
        end(bus);
    }
    CHECK_INT(atomic_load(&lent.late), 0);
}

/* Who asks as one that looked at the bus while it was still open: from the moment that the adapter
 * is freed, it would be called with what is gone. */
static bool lent_when_freed;

static void ask_and_free(marty_port *port)
{
    const marty__port *core = (const marty__port *)(const void *)port->sink;
    int phase = atomic_exchange(&core->bus->phase, MARTY__OPEN);
    lent_when_freed = ask_for_one();
    atomic_store(&core->bus->phase, phase);
    op_free(port);
}

static void none_is_lent_from_the_end_of_the_pool_on(void)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_backend backend = script_backend;
    backend.scheme = "asks";
    backend.free = ask_and_free;
    REQUIRE(!marty_backend_register(&backend, &why));
    REQUIRE(!marty_bus_open(&bus, "asks:", &(marty_bus_options){.service = "s"}, &why));
    atomic_store(&lent.calls, 0);
    lent_when_freed = true;
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    CHECK(!lent_when_freed);
    CHECK_INT(atomic_load(&lent.calls), 0);
    marty_bus_free(bus);
}

/* ---- memory: */
static atomic_int seen;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static marty_err wait_at_gate(void *user, marty_delivery *delivery)
{
    (void)delivery;
    atomic_fetch_add((atomic_int *)user, 1);
    (void)pthread_mutex_lock(&gate);
    (void)pthread_mutex_unlock(&gate);
    return MARTY_OK;
}

static marty_err note(void *user, marty_delivery *delivery)
{
    (void)user, (void)delivery;
    atomic_fetch_add(&seen, 1);
    return MARTY_OK;
}

static marty_bus *open_memory(uint32_t workers)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_bus_options options = {.service = "s", .workers = workers};
    REQUIRE(!marty_bus_open(&bus, "memory:lending", &options, &why));
    return bus;
}

static void tell(marty_bus *bus, const char *type, int count)
{
    marty_error why = {0};
    for (int i = 0; i < count; i++) {
        CHECK_INT(marty_publish_event(bus, type, marty_text("{}"), NULL, &why), MARTY_OK);
    }
}

static void handle_with(marty_bus *bus, const char *pattern, marty_handler handler, void *user)
{
    marty_error why = {0};
    CHECK_INT(marty_subscribe_to_events(bus, pattern, handler, user, NULL, NULL, &why), MARTY_OK);
}

static void a_free_worker_has_work_beside_a_slow_one(void)
{
    marty_error why = {0};
    marty_bus *bus = open_memory(2);
    atomic_int slow = 0;
    atomic_store(&seen, 0);
    handle_with(bus, "slow.*", wait_at_gate, &slow);
    handle_with(bus, "quick.*", note, NULL);
    REQUIRE(!marty_bus_start(bus, &why));
    (void)pthread_mutex_lock(&gate);
    tell(bus, "slow.one", 3);
    CHECK_SOON(atomic_load(&slow) == 1, SOON_MS);
    tell(bus, "quick.one", 5);
    CHECK_SOON(atomic_load(&seen) == 5, SOON_MS);
    (void)pthread_mutex_unlock(&gate);
    CHECK_SOON(atomic_load(&slow) == 3, SOON_MS);
    marty_bus_free(bus);
}

static void who_pulls_waits_for_no_worker(void)
{
    marty_error why = {0};
    marty_bus *bus = open_memory(1);
    marty_subscription *pulled = NULL;
    marty_delivery *first = NULL;
    atomic_int slow = 0;
    handle_with(bus, "slow.*", wait_at_gate, &slow);
    CHECK_INT(marty_subscribe_to_events(bus, "quick.*", NULL, NULL, NULL, &pulled, &why), MARTY_OK);
    REQUIRE(!marty_bus_start(bus, &why));
    (void)pthread_mutex_lock(&gate);
    tell(bus, "slow.one", 1);
    CHECK_SOON(atomic_load(&slow) == 1, SOON_MS);
    tell(bus, "quick.one", 1);
    CHECK_INT(marty_receive(pulled, SOON_MS, &first, &why), MARTY_OK);
    if (first) {
        CHECK_INT(marty_ack(first), MARTY_OK);
        marty_delivery_release_all(first);
    }
    (void)pthread_mutex_unlock(&gate);
    CHECK_INT(marty_unsubscribe(pulled, 0, &why), MARTY_OK);
    marty_bus_free(bus);
}

/* Who keeps one of what he received keeps none of the others. */
static void one_that_is_kept_has_no_next(void)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_subscription *pulled = NULL;
    marty_delivery *first = NULL;
    marty_subscribe_options options = {.batch_max = 3};
    script.granted = 0;
    REQUIRE(!marty_bus_open(&bus, "script:", &(marty_bus_options){.service = "s"}, &why));
    CHECK_INT(marty_subscribe_to_events(bus, "order.*", NULL, NULL, &options, &pulled, &why),
              MARTY_OK);
    REQUIRE(!marty_bus_start(bus, &why));
    CHECK_SOON(granted() >= 3, SOON_MS);
    for (uint64_t tag = 1; tag <= 3; tag++) { /* they all wait here before the first is received */
        deliver(tag, 0, NULL, INT64_MAX, NULL);
    }
    CHECK_INT(marty_receive(pulled, SOON_MS, &first, &why), MARTY_OK);
    REQUIRE(first && first->next && first->next->next);
    for (marty_delivery *one = first; one; one = one->next) {
        CHECK_INT(marty_ack(one), MARTY_OK);
    }
    marty_delivery *kept = marty_delivery_keep(first);
    marty_delivery_release_all(first);
    CHECK(!kept->next);
    marty_delivery_release_all(kept);
    CHECK_INT(marty_unsubscribe(pulled, 0, &why), MARTY_OK);
    marty_bus_free(bus);
}

/* What the only worker, which is busy, has not come for goes to who is there next. */
static void what_nobody_came_for_is_not_lost(void)
{
    marty_error why = {0};
    marty_bus *bus = open_memory(1), *next = open_memory(2);
    atomic_int slow = 0;
    atomic_store(&seen, 0);
    handle_with(bus, "order.*", wait_at_gate, &slow);
    REQUIRE(!marty_bus_start(bus, &why));
    (void)pthread_mutex_lock(&gate);
    tell(next, "order.made", 1);
    CHECK_SOON(atomic_load(&slow) == 1, SOON_MS);
    tell(next, "order.made", 20);
    CHECK_INT(marty_bus_close(bus, MARTY_NO_WAIT, &why), MARTY_E_TIMEOUT); /* it drains */
    handle_with(next, "order.*", note, NULL);
    REQUIRE(!marty_bus_start(next, &why));
    CHECK_SOON(atomic_load(&seen) >= 20, SOON_MS); /* and the one that is cut off, perhaps */
    CHECK_INT(atomic_load(&slow), 1);
    (void)pthread_mutex_unlock(&gate);
    CHECK_INT(marty_bus_close(bus, SOON_MS, &why), MARTY_OK);
    marty_bus_free(bus);
    marty_bus_free(next);
}

int main(void)
{
    marty_error why = {0};
    REQUIRE(!marty_backend_register(&script_backend, &why));
    it_comes_once_until_it_begins();
    a_driven_bus_lends_none();
    where_somebody_pulls_there_is_none();
    none_comes_after_the_end();
    none_is_lent_from_the_end_of_the_pool_on();
    a_free_worker_has_work_beside_a_slow_one();
    who_pulls_waits_for_no_worker();
    one_that_is_kept_has_no_next();
    what_nobody_came_for_is_not_lost();
    return check_result();
}
