/* SPDX-License-Identifier: Apache-2.0
 * Asking with done never waits: not for the reply channel of the first query either, on a bus with
 * workers, a driven one and a simulated one. The request goes out when the channel stands, or not
 * at all. */
#include "test_wrap.h"

#include <poll.h>
#include <pthread.h>

static atomic_int answered;
static atomic_int last;
static char last_text[512];                                /* written before answered counts it */
static pthread_mutex_t noting = PTHREAD_MUTEX_INITIALIZER; /* answers come on several workers */

static void note(void *user, const marty_message *reply, const marty_error *error)
{
    (void)user;
    CHECK(!reply != !error);
    (void)pthread_mutex_lock(&noting);
    (void)snprintf(last_text, sizeof last_text, "%s", error ? error->text : "");
    (void)pthread_mutex_unlock(&noting);
    atomic_store(&last, reply ? MARTY_OK : (int)error->code);
    atomic_fetch_add(&answered, 1);
}

static marty_err answer(void *user, marty_delivery *query)
{
    atomic_fetch_add((atomic_int *)user, 1);
    marty_message reply = {.data = marty_text("yes")};
    return marty_reply(query, &reply, NULL);
}

static atomic_int asked;

static marty_bus *wrap_open_bus(const marty_bus_options *options)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    if (marty_bus_open(&bus, "wrap:", options, &why)) {
        (void)fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
    return bus;
}

static marty_bus *open_asker(const marty_bus_options *options)
{
    marty_error why = {0};
    atomic_store(&answered, 0);
    atomic_store(&asked, 0);
    atomic_store(&last, -1);
    atomic_store(&wrap.held_reply, 0);
    wrap.refuse_reply = MARTY_OK;
    marty_bus *bus = wrap_open_bus(options);
    CHECK_INT(marty_handle_queries(bus, "profile", answer, &asked, NULL, NULL, &why), MARTY_OK);
    return bus;
}

static marty_err ask(marty_bus *bus, int32_t timeout_ms, const void *key)
{
    marty_error why = {0};
    marty_query_options options = {.done = note, .timeout_ms = timeout_ms, .cancel_key = key};
    int64_t began = check_now_ms();
    marty_err err = marty_query(bus, "user", "profile", marty_text("?"), &options, NULL, &why);
    CHECK(check_now_ms() - began < 15000); /* of those that wait 20 s when they wait */
    return err;
}

static void let_it_stand(void)
{
    atomic_store(&wrap.hold_reply, false);
    wrap.port->outer->subscribed(wrap.port->outer, atomic_load(&wrap.held_reply), MARTY_OK, "");
}

static void the_first_query_waits_for_its_reply_channel_by_itself(void)
{
    marty_error why = {0};
    atomic_store(&wrap.hold_reply, true);
    marty_bus *bus = open_asker(&(marty_bus_options){.service = "user"});
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    CHECK_INT(ask(bus, 20000, NULL), MARTY_OK);
    CHECK_INT(ask(bus, 20000, NULL), MARTY_OK);
    CHECK_SOON(atomic_load(&wrap.held_reply) != 0, 5000);
    CHECK_INT(atomic_load(&answered), 0);
    CHECK_INT(atomic_load(&asked), 0);
    let_it_stand();
    CHECK_SOON(atomic_load(&answered) == 2, 5000);
    CHECK_INT(atomic_load(&last), MARTY_OK);
    wrap_close_bus(bus);
}

static void a_query_that_waits_ends_at_its_deadline(void)
{
    marty_error why = {0};
    atomic_store(&wrap.hold_reply, true);
    marty_bus *bus = open_asker(&(marty_bus_options){.service = "user"});
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    CHECK_INT(ask(bus, 100, NULL), MARTY_OK);
    CHECK_SOON(atomic_load(&answered) == 1, 5000);
    CHECK_INT(atomic_load(&last), MARTY_E_TIMEOUT);
    CHECK_HAS(last_text, "not sent in time, as the reply channel was not ready");
    CHECK_SOON(atomic_load(&wrap.held_reply) != 0, 5000);
    let_it_stand();
    CHECK_INT(ask(bus, 20000, NULL), MARTY_OK);
    CHECK_SOON(atomic_load(&answered) == 2, 5000);
    CHECK_INT(atomic_load(&asked), 1);
    wrap_close_bus(bus);
}

static void a_query_that_waits_is_cancelled_and_closed(void)
{
    marty_error why = {0};
    static const char key;
    atomic_store(&wrap.hold_reply, true);
    marty_bus *bus = open_asker(&(marty_bus_options){.service = "user", .drain_ms = 300});
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    CHECK_INT(ask(bus, 20000, &key), MARTY_OK);
    CHECK_INT(marty_bus_cancel(bus, &key), 1);
    CHECK_SOON(atomic_load(&answered) == 1, 5000);
    CHECK_INT(atomic_load(&last), MARTY_E_CANCELLED);
    CHECK_INT(ask(bus, 20000, NULL), MARTY_OK);
    CHECK_INT(marty_bus_close(bus, 20000, &why), MARTY_OK);
    marty_bus_free(bus);
    CHECK_INT(atomic_load(&answered), 2);
    CHECK(atomic_load(&last) == MARTY_E_CLOSED || atomic_load(&last) == MARTY_E_UNAVAILABLE);
    CHECK_INT(atomic_load(&asked), 0);
}

static void a_refused_reply_channel_is_said_and_tried_again(void)
{
    marty_error why = {0};
    marty_message *reply = NULL;
    atomic_store(&wrap.hold_reply, false);
    marty_bus *bus = open_asker(&(marty_bus_options){.service = "user"});
    wrap.refuse_reply = MARTY_E_DENIED;
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    CHECK_INT(marty_query(bus, "user", "profile", marty_text("?"), NULL, &reply, &why),
              MARTY_E_DENIED);
    CHECK(strstr(why.text, "refused by the test") != NULL);
    wrap.refuse_reply = MARTY_OK;
    CHECK_INT(marty_query(bus, "user", "profile", marty_text("?"), NULL, &reply, &why), MARTY_OK);
    marty_message_unref(reply);
    wrap_close_bus(bus);
}

static void a_driven_bus_asks_without_waiting(void)
{
    marty_error why = {0};
    atomic_store(&wrap.hold_reply, true);
    marty_bus *bus = open_asker(&(marty_bus_options){.service = "user", .driven = true});
    CHECK_INT(ask(bus, 20000, NULL), MARTY_OK);
    CHECK_INT(marty_bus_process(bus, 0, NULL, &why), MARTY_OK);
    let_it_stand();
    int64_t end = check_now_ms() + check__limit(0);
    while (!atomic_load(&answered) && check_now_ms() < end) {
        struct pollfd on = {.fd = marty_bus_fd(bus), .events = POLLIN};
        (void)poll(&on, 1, 10);
        CHECK_INT(marty_bus_process(bus, 0, NULL, &why), MARTY_OK);
    }
    CHECK_INT(atomic_load(&last), MARTY_OK);
    wrap_close_bus(bus);
}

static int64_t world_ns = 1000000000;

static int64_t simulated_ns(void *user)
{
    (void)user;
    return world_ns;
}

static void a_simulated_bus_asks_without_waiting(void)
{
    marty_error why = {0};
    marty_env env = {.monotonic_ns = simulated_ns};
    atomic_store(&wrap.hold_reply, true);
    marty_bus *bus =
        open_asker(&(marty_bus_options){.service = "user", .driven = true, .env = &env});
    CHECK_INT(ask(bus, 20000, NULL), MARTY_OK);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(marty_bus_process(bus, 0, NULL, &why), MARTY_OK);
        world_ns += 1000000;
    }
    CHECK_INT(atomic_load(&answered), 0);
    let_it_stand();
    for (int i = 0; i < 100 && !atomic_load(&answered); i++) {
        CHECK_INT(marty_bus_process(bus, 0, NULL, &why), MARTY_OK);
        world_ns += 1000000;
    }
    CHECK_INT(atomic_load(&last), MARTY_OK);
    wrap_close_bus(bus);
}

int main(void)
{
    wrap_register();
    the_first_query_waits_for_its_reply_channel_by_itself();
    a_query_that_waits_ends_at_its_deadline();
    a_query_that_waits_is_cancelled_and_closed();
    a_refused_reply_channel_is_said_and_tried_again();
    a_driven_bus_asks_without_waiting();
    a_simulated_bus_asks_without_waiting();
    return check_result();
}
