/* SPDX-License-Identifier: Apache-2.0
 * What programs do to a bus at bad moments: subscribe twice at once, stop in the middle of a batch,
 * close while others publish or hold deliveries, change lanes under a retried key, seek with a
 * delivery in hand, lose the connection in a drain. Nothing hangs, nothing is lost, order stays. */
#include "test_wrap.h"

#include "base/clock.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static atomic_int seen, freed;

static marty_err count(void *user, marty_delivery *delivery)
{
    (void)user;
    for (marty_delivery *one = delivery; one; one = one->next) {
        atomic_fetch_add(&seen, 1);
    }
    return MARTY_OK;
}

/* Whose drain is cut off after drain_ms, however slowly this program closes it. */
static marty_bus *open_cut_off(const char *where, const char *service, int32_t drain_ms)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_bus_options options = {.service = service, .workers = 2, .drain_ms = drain_ms};
    if (marty_bus_open(&bus, where, &options, &why)) {
        (void)fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
    atomic_store(&seen, 0);
    return bus;
}

static marty_bus *open_bus(const char *where, const char *service)
{
    return open_cut_off(where, service, 0);
}

static void publish(marty_bus *bus, const char *id, const char *key)
{
    marty_error why = {0};
    marty_message message = {.type = "order.created", .id = id, .key = key};
    const marty_message *one = &message;
    CHECK_INT(key ? marty_stream_events(bus, "clicks", &one, 1, NULL, &why)
                  : marty_publish(bus, MARTY_EVENT, NULL, &one, 1, NULL, &why),
              MARTY_OK);
}

/* ---- two at once */
enum { ROUNDS = 200 };
static pthread_barrier_t together;

static void *subscribe_it(void *bus)
{
    marty_error why = {0};
    pthread_barrier_wait(&together);
    marty_err err = marty_subscribe_to_events(bus, "order.*", count, NULL, NULL, NULL, &why);
    marty_message *report = NULL; /* while the other one is being made */
    CHECK_INT(marty_bus_report(bus, MARTY_REPORT_SUBSCRIPTIONS, &report, &why), MARTY_OK);
    marty_message_unref(report);
    return (void *)(uintptr_t)err;
}

static void of_two_that_subscribe_alike_one_gets_all(void)
{
    REQUIRE(pthread_barrier_init(&together, NULL, 2) == 0);
    for (int round = 0; round < ROUNDS; round++) {
        marty_error why = {0};
        pthread_t threads[2];
        void *errs[2];
        marty_bus *bus = open_bus("memory:ends", "billing");
        CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
        for (int i = 0; i < 2; i++) {
            REQUIRE(pthread_create(&threads[i], NULL, subscribe_it, bus) == 0);
        }
        for (int i = 0; i < 2; i++) {
            pthread_join(threads[i], &errs[i]);
        }
        bool first = (uintptr_t)errs[0] == MARTY_OK;
        CHECK_INT((uintptr_t)errs[first ? 0 : 1], MARTY_OK);
        CHECK_INT((uintptr_t)errs[first ? 1 : 0], MARTY_E_EXISTS);
        publish(bus, NULL, NULL);
        CHECK_SOON(atomic_load(&seen) == 1, 5000);
        wrap_close_bus(bus);
    }
    pthread_barrier_destroy(&together);
}

/* ---- a batch that ends its subscription */
static marty_subscription *_Atomic its;

static void note_free(void *user)
{
    (void)user;
    atomic_fetch_add(&freed, 1);
}

static marty_err stop_and_fail(void *user, marty_delivery *first)
{
    (void)user;
    atomic_fetch_add(&seen, 1);
    CHECK_SOON(atomic_load(&its) != NULL, 5000);
    CHECK(first->next != NULL); /* of the same key */
    marty_subscription_stop(atomic_load(&its));
    return MARTY_E_FAILED;
}

static void what_stood_behind_a_failed_one_goes_back(void)
{
    marty_error why = {0};
    marty_subscription *subscription = NULL;
    marty_bus *keeper = open_bus("memory:ends", "shop"), *bus = open_bus("memory:ends", "billing");
    marty_subscribe_options options = {.batch_max = 4,
                                       .batch_wait_ms = 2500, /* all four are in it */
                                       .start = {.from = MARTY_FROM_EARLIEST},
                                       .user_free = note_free};
    atomic_store(&its, NULL);
    atomic_store(&freed, 0);
    CHECK_INT(
        marty_process_stream(bus, "clicks", stop_and_fail, NULL, &options, &subscription, &why),
        MARTY_OK);
    atomic_store(&its, subscription);
    for (int i = 0; i < 4; i++) {
        publish(keeper, NULL, "k");
    }
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    CHECK_SOON(atomic_load(&seen) == 1, 5000);
    CHECK_INT(marty_unsubscribe(subscription, 20000, &why), MARTY_OK);
    CHECK_SOON(atomic_load(&freed) == 1, 5000); /* nothing of it is left anywhere */
    marty_bus *other = open_bus("memory:ends", "billing");
    CHECK_INT(marty_process_stream(other, "clicks", count, NULL, NULL, NULL, &why), MARTY_OK);
    CHECK_INT(marty_bus_start(other, &why), MARTY_OK);
    CHECK_SOON(atomic_load(&seen) == 4, 5000);
    wrap_close_bus(other);
    wrap_close_bus(bus);
    wrap_close_bus(keeper);
}

/* ---- closing while others are at it */
static marty_delivery *_Atomic held;

static marty_err hold_it(void *user, marty_delivery *delivery)
{
    (void)user;
    atomic_store(&held, marty_delivery_keep(delivery));
    return MARTY_OK;
}

static void a_delivery_is_released_after_its_adapter_has_gone(void)
{
    marty_error why = {0};
    atomic_store(&held, NULL);
    atomic_store(&wrap.hold_closed, true);
    marty_bus *bus = open_cut_off("wrap:", "billing", 100);
    CHECK_INT(marty_subscribe_to_events(bus, "order.*", hold_it, NULL, NULL, NULL, &why), MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    publish(bus, NULL, NULL);
    CHECK_SOON(atomic_load(&held) != NULL, 5000);
    CHECK_INT(marty_bus_close(bus, 20000, &why), MARTY_OK);
    CHECK_INT(marty_ack(atomic_load(&held)), MARTY_E_CLOSED);
    marty_delivery_release(atomic_load(&held));
    marty_bus_free(bus);
    atomic_store(&wrap.hold_closed, false);
}

static atomic_int outcomes;

static void *publish_for_long(void *bus)
{
    marty_error why = {0};
    marty_publish_options options = {.timeout_ms = 60000};
    marty_err err = marty_publish_event(bus, "order.created", marty_text("1"), &options, &why);
    CHECK(err == MARTY_E_CLOSED || err == MARTY_E_MAYBE_STORED || err == MARTY_E_FULL ||
          err == MARTY_E_UNAVAILABLE);
    atomic_fetch_add(&outcomes, 1);
    return NULL;
}

static bool reports(marty_bus *bus, marty_report what, const char *words)
{
    marty_error why = {0};
    marty_message *report = NULL;
    REQUIRE(!marty_bus_report(bus, what, &report, &why));
    char *text = calloc(1, report->data.size + 1);
    REQUIRE(text);
    memcpy(text, report->data.data, report->data.size);
    bool has = strstr(text, words) != NULL;
    free(text);
    marty_message_unref(report);
    return has;
}

static void stop_and_wait(marty_bus *bus)
{
    marty_bus_stop(bus);
    CHECK_SOON(reports(bus, MARTY_REPORT_HEALTH, "\"draining\""), 5000);
}

static void who_waits_to_publish_is_told_of_the_close(void)
{
    enum { PUBLISHERS = 4 };
    marty_error why = {0};
    marty_bus *bus = NULL;
    pthread_t threads[PUBLISHERS];
    atomic_store(&outcomes, 0);
    atomic_store(&wrap.hold_published, true);
    REQUIRE(!marty_bus_open(&bus, "wrap:", &(marty_bus_options){.inflight_max = 1}, &why));
    for (int i = 0; i < PUBLISHERS; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, publish_for_long, bus) == 0);
    }
    CHECK_SOON(reports(bus, MARTY_REPORT_METRICS, "\"open_calls\":1,"),
               5000); /* one is at the broker, the others wait for room */
    int64_t began = check_now_ms();
    (void)marty_bus_close(bus, 200, &why);
    CHECK_SOON(atomic_load(&outcomes) == PUBLISHERS, 10000);
    CHECK(check_now_ms() - began < 20000);
    for (int i = 0; i < PUBLISHERS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_INT(marty_bus_close(bus, 20000, &why), MARTY_OK);
    marty_bus_free(bus);
    atomic_store(&wrap.hold_published, false);
}

/* ---- lanes that change under a key */
enum { KEYS = 4, OF_A_KEY = 50 };
static int last_of[KEYS];
static atomic_int bad;

static marty_err in_order(void *user, marty_delivery *delivery)
{
    (void)user;
    int key = delivery->message->key[0] - 'a';
    int number = (int)strtol(delivery->message->id + 1, NULL, 10);
    if (number % 7 == 3 && delivery->attempt == 1) {
        return MARTY_E_FAILED;
    }
    atomic_fetch_add(&bad, number != last_of[key] + 1);
    last_of[key] = number;
    atomic_fetch_add(&seen, 1);
    return MARTY_OK;
}

static void order_stays_while_lanes_change(void)
{
    marty_error why = {0};
    marty_subscription *subscription = NULL;
    marty_bus *bus = open_bus("memory:ends", "billing");
    marty_subscribe_options options = {.concurrency = 4,
                                       .start = {.from = MARTY_FROM_EARLIEST},
                                       .retry = {.first_ms = 1, .max_ms = 3}};
    memset(last_of, 0, sizeof last_of);
    atomic_store(&bad, 0);
    CHECK_INT(marty_process_stream(bus, "clicks", in_order, NULL, &options, &subscription, &why),
              MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    for (int i = 1; i <= OF_A_KEY; i++) {
        for (int k = 0; k < KEYS; k++) {
            char id[16], key[2] = {(char)('a' + k), '\0'};
            (void)snprintf(id, sizeof id, "%c%d", key[0], i);
            publish(bus, id, key);
        }
        CHECK_INT(marty_subscription_concurrency(subscription, (uint32_t)(i * 5 % 8 + 1), &why),
                  MARTY_OK);
    }
    CHECK_SOON(atomic_load(&seen) == KEYS * OF_A_KEY, 20000);
    CHECK_INT(atomic_load(&bad), 0);
    CHECK_INT(marty_unsubscribe(subscription, 0, &why), MARTY_OK);
    wrap_close_bus(bus);
}

/* ---- seeking with a delivery in hand */
static void what_was_delivered_before_a_seek_is_lost_and_comes_again(void)
{
    marty_error why = {0};
    marty_subscription *subscription = NULL;
    marty_delivery *first = NULL;
    marty_start start = {.from = MARTY_FROM_EARLIEST};
    marty_bus *bus = open_bus("memory:ends", "billing");
    CHECK_INT(marty_process_stream(bus, "clicks", NULL, NULL,
                                   &(marty_subscribe_options){.start = start}, &subscription, &why),
              MARTY_OK);
    publish(bus, "once", "k");
    CHECK_INT(marty_receive(subscription, 20000, &first, &why), MARTY_OK);
    CHECK_INT(marty_subscription_seek(subscription, &start, 1, &why), MARTY_OK);
    CHECK_INT(marty_ack(first), MARTY_E_LOST);
    marty_delivery_release_all(first);
    first = NULL;
    CHECK_INT(marty_receive(subscription, 20000, &first, &why), MARTY_OK);
    CHECK(first && strcmp(first->message->id, "once") == 0);
    CHECK_INT(marty_ack(first), MARTY_OK);
    marty_delivery_release_all(first);
    CHECK_INT(marty_unsubscribe(subscription, 0, &why), MARTY_OK);
    wrap_close_bus(bus);
}

/* ---- a drain that is paused, and one that loses the connection */
static atomic_bool gate;

static marty_err wait_at_gate(void *user, marty_delivery *delivery)
{
    (void)user, (void)delivery;
    atomic_fetch_add(&seen, 1);
    CHECK_SOON(atomic_load(&gate), 20000);
    return MARTY_OK;
}

static void a_drain_ends_in_spite_of_a_pause(void)
{
    marty_error why = {0};
    marty_subscription *subscription = NULL;
    marty_bus *keeper = open_bus("memory:ends", "shop"), *bus = open_bus("memory:ends", "billing");
    atomic_store(&gate, false);
    CHECK_INT(
        marty_subscribe_to_events(bus, "order.*", wait_at_gate, NULL, NULL, &subscription, &why),
        MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    for (int i = 0; i < 5; i++) {
        publish(keeper, NULL, NULL);
    }
    CHECK_SOON(atomic_load(&seen) == 1, 5000);
    stop_and_wait(bus);
    CHECK_INT(marty_subscription_pause(subscription, true, &why), MARTY_OK);
    CHECK_INT(marty_subscription_pause(subscription, false, &why), MARTY_OK);
    atomic_store(&gate, true);
    CHECK_INT(marty_bus_close(bus, 10000, &why), MARTY_OK);
    marty_subscription_stop(subscription);
    CHECK_INT(marty_unsubscribe(subscription, 0, &why), MARTY_E_CLOSED);
    marty_bus_free(bus);
    bus = open_bus("memory:ends", "billing");
    CHECK_INT(marty_subscribe_to_events(bus, "order.*", count, NULL, NULL, NULL, &why), MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    CHECK_SOON(atomic_load(&seen) == 4, 5000);
    wrap_close_bus(bus);
    wrap_close_bus(keeper);
}

static void a_drain_ends_in_spite_of_a_lost_connection(void)
{
    marty_error why = {0};
    marty_bus *keeper = open_bus("memory:ends", "shop"), *bus = open_bus("wrap:", "billing");
    atomic_store(&gate, false);
    CHECK_INT(marty_subscribe_to_events(bus, "order.*", wait_at_gate, NULL, NULL, NULL, &why),
              MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    publish(keeper, "late", NULL);
    CHECK_SOON(atomic_load(&seen) == 1, 5000);
    stop_and_wait(bus);
    wrap.port->outer->state(wrap.port->outer, MARTY_STATE_DOWN, NULL, MARTY_E_UNAVAILABLE, "gone");
    atomic_store(&gate, true);
    CHECK_INT(marty_bus_close(bus, 10000, &why), MARTY_OK);
    marty_bus_free(bus);
    bus = open_bus("memory:ends", "billing");
    CHECK_INT(marty_subscribe_to_events(bus, "order.*", count, NULL, NULL, NULL, &why), MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    CHECK_SOON(atomic_load(&seen) == 1, 5000); /* its ack was lost with the connection */
    wrap_close_bus(bus);
    wrap_close_bus(keeper);
}

/* ---- cancelled while the adapter reads it */
static const int cancel_key;
static atomic_bool in_op, op_ended;

static void wait_in_op(void)
{
    atomic_store(&in_op, true);
    for (int64_t until_ns = marty__monotonic_ns() + 100000000; marty__monotonic_ns() < until_ns;) {
        (void)sched_yield(); /* a cancel that does not wait is through by then */
    }
    atomic_store(&op_ended, true);
}

static void *cancel_it(void *bus)
{
    CHECK_SOON(atomic_load(&in_op), 5000);
    (void)marty_bus_cancel(bus, &cancel_key);
    CHECK(atomic_load(&op_ended));
    return NULL;
}

static void a_cancel_waits_for_the_op_that_reads_the_message(void)
{
    marty_error why = {0};
    marty_bus *bus = open_bus("wrap:", "shop");
    pthread_t thread;
    marty_publish_options options = {.cancel_key = &cancel_key};
    wrap.before_publish = wait_in_op;
    REQUIRE(pthread_create(&thread, NULL, cancel_it, bus) == 0);
    CHECK_INT(marty_publish_event(bus, "order.created", marty_text("1"), &options, &why), MARTY_OK);
    REQUIRE(pthread_join(thread, NULL) == 0);
    wrap.before_publish = NULL;
    wrap_close_bus(bus);
}

/* ---- handles that outlive the bus */
static marty_delivery *in_hand;

static marty_err take_in_hand(void *user, marty_delivery *delivery)
{
    (void)user;
    in_hand = marty_delivery_keep(delivery);
    atomic_fetch_add(&seen, 1);
    return MARTY_OK;
}

/* The address sanitizer sees it when a handle that is given back late keeps the bus for ever. */
static void handles_that_outlive_a_close_are_given_back(void)
{
    marty_error why = {0};
    marty_bus *bus = open_cut_off("memory:", "billing", 1);
    marty_subscription *some[3] = {NULL};
    CHECK_INT(marty_subscribe_to_events(bus, "order.*", take_in_hand, NULL, NULL, &some[0], &why),
              MARTY_OK);
    CHECK_INT(marty_subscribe_to_broadcasts(bus, "shop.*", count, NULL, NULL, &some[1], &why),
              MARTY_OK);
    CHECK_INT(marty_handle_queries(bus, "total.*", count, NULL, NULL, &some[2], &why), MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    publish(bus, "kept", NULL);
    CHECK_SOON(atomic_load(&seen) == 1, 5000);
    CHECK_INT(marty_bus_close(bus, 20000, &why), MARTY_OK);
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT(marty_unsubscribe(some[i], 0, &why), MARTY_E_CLOSED);
    }
    marty_delivery_release(in_hand);
    marty_bus_free(bus);
}

int main(void)
{
    wrap_register();
    of_two_that_subscribe_alike_one_gets_all();
    what_stood_behind_a_failed_one_goes_back();
    a_delivery_is_released_after_its_adapter_has_gone();
    who_waits_to_publish_is_told_of_the_close();
    order_stays_while_lanes_change();
    what_was_delivered_before_a_seek_is_lost_and_comes_again();
    a_drain_ends_in_spite_of_a_pause();
    a_drain_ends_in_spite_of_a_lost_connection();
    a_cancel_waits_for_the_op_that_reads_the_message();
    handles_that_outlive_a_close_are_given_back();
    return check_result();
}
