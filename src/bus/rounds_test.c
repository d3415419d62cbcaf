/* SPDX-License-Identifier: Apache-2.0
 * Whoever comes first runs the ops of a port, those of others, too; but not for ever: what is left
 * after his share is the housekeeping thread's, which sees to a stop in between. */
#include "test_script.h"
#include "test_simulated.h"

#include <stdatomic.h>

enum { PUBLISHES = 10000, SHARE = 64, SHARE_OF_PUBLISHERS = 4096, LIMIT_MS = 20000 };

static struct {
    marty_bus *bus;
    atomic_int published, answered;
    atomic_int ops;
} world;

static marty_err publish_next(void);

static void on_done(void *user, const marty_outcome outcomes[], size_t count)
{
    (void)user;
    for (size_t i = 0; i < count; i++) {
        CHECK_INT(outcomes[i].err, MARTY_OK);
        atomic_fetch_add(&world.answered, 1);
    }
}

/* Each op queues another publish, as a busy program does while one runs. */
static marty_err publish_and_go_on(marty_port *port, const marty_outgoing batch[], size_t count,
                                   size_t *ret_taken, marty_error *why)
{
    atomic_fetch_add(&world.ops, 1);
    CHECK_INT(publish_next(), MARTY_OK);
    return op_publish(port, batch, count, ret_taken, why);
}

static marty_err publish_next(void)
{
    if (atomic_fetch_add(&world.published, 1) >= PUBLISHES) {
        return MARTY_OK;
    }
    const marty_message message = {.type = "a.b"}, *list[] = {&message};
    marty_publish_options options = {.done = on_done};
    return marty_publish(world.bus, MARTY_EVENT, NULL, list, 1, &options, NULL);
}

/* On one thread, so nobody else can be at it. */
static void open_alone(void)
{
    marty_error why = {0};
    marty_bus_options options = {.service = "s", .driven = true, .env = &surroundings};
    atomic_store(&world.published, 0);
    atomic_store(&world.answered, 0);
    atomic_store(&world.ops, 0);
    REQUIRE(!marty_bus_open(&world.bus, "rounds:", &options, &why));
    REQUIRE(!marty_bus_start(world.bus, &why));
}

/* Of a share at most, by a call that has returned; the rest is run from process. */
static void check_and_close(int most)
{
    CHECK(atomic_load(&world.ops) > 0);
    CHECK(atomic_load(&world.ops) <= most);
    for (int i = 0; i < PUBLISHES && atomic_load(&world.answered) < PUBLISHES; i++) {
        simulated_ns += MS;
        CHECK_INT(marty_bus_process(world.bus, 0, NULL, NULL), MARTY_OK);
    }
    CHECK_INT(atomic_load(&world.answered), PUBLISHES);
    CHECK_INT(marty_bus_close(world.bus, 0, NULL), MARTY_OK);
    marty_bus_free(world.bus);
}

static void who_publishes_is_let_go(void)
{
    open_alone();
    CHECK_INT(publish_next(), MARTY_OK);
    check_and_close(SHARE_OF_PUBLISHERS);
}

/* While he is at it, somebody begins to publish. */
static marty_err subscribe_and_publish(marty_port *port, uint64_t number, const marty_want *want,
                                       marty_error *why)
{
    marty_err err = op_subscribe(port, number, want, why);
    CHECK_INT(publish_next(), MARTY_OK);
    return err;
}

static void who_subscribes_is_let_go_sooner(void)
{
    marty_error why = {0};
    open_alone();
    CHECK_INT(marty_subscribe_to_events(world.bus, "order.*", handle, NULL, NULL, NULL, &why),
              MARTY_OK);
    check_and_close(10 * SHARE); /* it looks more than once */
}

/* ---- each answer publishes the next, until the bus takes no more */
static atomic_int refused;

static void publish_another(void *user, const marty_outcome outcomes[], size_t count)
{
    const marty_message message = {.type = "a.b"}, *list[] = {&message};
    marty_publish_options options = {.done = publish_another, .user = user, .at_once = true};
    (void)outcomes;
    (void)count;
    atomic_fetch_add(&world.answered, 1);
    marty_err err = marty_publish(user, MARTY_EVENT, NULL, list, 1, &options, NULL);
    atomic_store(&refused, err);
}

static void a_bus_without_a_pause_can_be_closed(const char *url)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    atomic_store(&world.answered, 0);
    atomic_store(&refused, MARTY_OK);
    REQUIRE(!marty_bus_open(&bus, url, NULL, &why));
    REQUIRE(!marty_bus_start(bus, &why));
    publish_another(bus, NULL, 0);
    CHECK_SOON(atomic_load(&world.answered) > PUBLISHES, LIMIT_MS); /* by housekeeping */
    CHECK_INT(marty_bus_close(bus, LIMIT_MS, &why), MARTY_OK);
    CHECK_INT(atomic_load(&refused), MARTY_E_CLOSED);
    marty_bus_free(bus);
}

int main(void)
{
    static marty_backend backend;
    marty_error why = {0};
    REQUIRE(!marty_backend_register(&script_backend, &why));
    backend = script_backend;
    backend.scheme = "rounds";
    backend.publish = publish_and_go_on;
    backend.subscribe = subscribe_and_publish;
    REQUIRE(!marty_backend_register(&backend, &why));
    who_publishes_is_let_go();
    who_subscribes_is_let_go_sooner();
    a_bus_without_a_pause_can_be_closed("script:");
    a_bus_without_a_pause_can_be_closed("memory:");
    return check_result();
}
