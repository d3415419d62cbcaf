/* SPDX-License-Identifier: Apache-2.0
 * Who publishes and waits lends its thread to an adapter that can use it: asked before the message
 * is handed over, used after, and never where somebody else moves things. */
#include "test_script.h"

#include <stdatomic.h>

static struct {
    char order[64]; /* l, p, s as they came; L = it does not lead */
    bool refuses;
    marty_outgoing taken;
    const marty_sink *sink;
    int64_t until_ns;
    pthread_t leader;
    atomic_bool serving, go;
} world;

static void note(char what)
{
    size_t size = strlen(world.order);
    REQUIRE(size + 1 < sizeof world.order);
    world.order[size] = what;
}

static bool op_lead(marty_port *port, int64_t until_ns)
{
    (void)port;
    world.until_ns = until_ns;
    note(world.refuses ? 'L' : 'l');
    world.leader = pthread_self();
    return !world.refuses;
}

static void answer(marty_err err)
{
    marty_published one = {
        .token = world.taken.token, .err = err, .level = MARTY_LEVEL_MEMORY, .text = "no"};
    world.sink->published(world.sink, &one, 1);
}

static marty_err hold(marty_port *port, const marty_outgoing batch[], size_t count,
                      size_t *ret_taken, marty_error *why)
{
    (void)why;
    note('p');
    REQUIRE(count == 1);
    world.sink = port->sink;
    world.taken = batch[0];
    *ret_taken = 1;
    if (world.refuses || !world.leader) {
        answer(MARTY_OK);
    }
    return MARTY_OK;
}

static void op_serve(marty_port *port)
{
    (void)port;
    note('s');
    CHECK(pthread_equal(world.leader, pthread_self()));
    atomic_store(&world.serving, true);
    CHECK_SOON(atomic_load(&world.go), 20000);
    answer(MARTY_OK);
}

static marty_bus *open_bus(bool driven)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_bus_options options = {.service = "s", .driven = driven, .workers = 1};
    memset(&world, 0, sizeof world);
    atomic_store(&world.go, true);
    REQUIRE(!marty_bus_open(&bus, "leading:", &options, &why));
    return bus;
}

static marty_err say(marty_bus *bus)
{
    marty_error why = {0};
    return marty_publish_event(bus, "a.b", marty_text("{}"), NULL, &why);
}

typedef struct told {
    marty_bus *bus;
    atomic_bool done;
} told;

/* On a worker, where nobody leads. */
static void done(void *user, const marty_outcome *outcomes, size_t count)
{
    told *one = user;
    (void)outcomes;
    (void)count;
    CHECK_INT(say(one->bus), MARTY_OK);
    atomic_store(&one->done, true);
}

static void who_waits_serves(void)
{
    marty_bus *bus = open_bus(false);
    int64_t before_ns = in_ms(0);
    CHECK_INT(say(bus), MARTY_OK);
    CHECK_TEXT(world.order, "lps");
    CHECK(world.until_ns > before_ns && world.until_ns < INT64_MAX);
    world.refuses = true;
    CHECK_INT(say(bus), MARTY_OK);
    CHECK_TEXT(world.order, "lpsLp");
    marty_bus_free(bus);
}

static void who_does_not_wait_does_not(void)
{
    marty_error why = {0};
    marty_bus *bus = open_bus(false);
    told one = {.bus = bus};
    marty_publish_options options = {.done = done, .user = &one};
    CHECK_INT(marty_publish_event(bus, "a.b", marty_text("{}"), &options, &why), MARTY_OK);
    CHECK_SOON(atomic_load(&one.done), 20000);
    CHECK_TEXT(world.order, "pp");
    marty_bus_free(bus);
    bus = open_bus(true);
    CHECK_INT(say(bus), MARTY_OK);
    CHECK_TEXT(world.order, "p");
    marty_bus_free(bus);
}

/* ---- while it serves */
static void *say_it(void *bus)
{
    CHECK_INT(say(bus), MARTY_OK);
    return NULL;
}

static void *close_it(void *bus)
{
    marty_error why = {0};
    CHECK_INT(marty_bus_close(bus, 20000, &why), MARTY_OK);
    return NULL;
}

static void the_adapter_lives_until_it_has_served(void)
{
    pthread_t teller, closer;
    marty_bus *bus = open_bus(false);
    atomic_store(&world.go, false);
    REQUIRE(!pthread_create(&teller, NULL, say_it, bus));
    CHECK_SOON(atomic_load(&world.serving), 20000);
    REQUIRE(!pthread_create(&closer, NULL, close_it, bus));
    atomic_store(&world.go, true);
    REQUIRE(!pthread_join(teller, NULL));
    REQUIRE(!pthread_join(closer, NULL));
    CHECK_TEXT(world.order, "lps");
    marty_bus_free(bus);
}

int main(void)
{
    static marty_backend backend;
    marty_error why = {0};
    backend = script_backend;
    backend.scheme = "leading";
    backend.publish = hold;
    backend.lead = op_lead;
    CHECK_INT(marty_backend_register(&backend, &why), MARTY_E_ARGUMENT); /* one without the other */
    backend.serve = op_serve;
    REQUIRE(!marty_backend_register(&backend, &why));
    who_waits_serves();
    who_does_not_wait_does_not();
    the_adapter_lives_until_it_has_served();
    return check_result();
}
