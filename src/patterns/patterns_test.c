/* SPDX-License-Identifier: Apache-2.0
 * The five patterns through the whole bus, on the backend of the URL given (memory: by default).
 * The conformance suite has the contracts; this is the first thing to run after a change of the
 * bus. */
#include <marty/marty.h>

#include "tests/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static const char *url = "memory:";
static atomic_int seen, bad, discard;
static const marty_query_options patient = {.timeout_ms = 20000};

static marty_bus *open_bus(const char *service)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_bus_options options = {.service = service};
    if (marty_bus_open(&bus, url, &options, &why)) {
        (void)fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
    return bus;
}

static void close_bus(marty_bus *bus)
{
    marty_error why = {0};
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    marty_bus_free(bus);
}

static marty_err count(void *user, marty_delivery *delivery)
{
    (void)user;
    for (marty_delivery *each = delivery; each; each = each->next) {
        atomic_fetch_add(&seen, 1);
    }
    return MARTY_OK;
}

static void an_event_published_before_start_is_handled(void)
{
    marty_error why = {0};
    atomic_store(&seen, 0);
    marty_bus *bus = open_bus("billing");
    CHECK_INT(marty_subscribe_to_events(bus, "order.*", count, NULL, NULL, NULL, &why), MARTY_OK);
    CHECK_INT(marty_publish_event(bus, "order.created", marty_text("{\"id\":7}"), NULL, &why),
              MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    CHECK_SOON(atomic_load(&seen) == 1, 5000);
    close_bus(bus);
}

static void many_events_are_handled_once(void)
{
    marty_error why = {0};
    atomic_store(&seen, 0);
    marty_bus *bus = open_bus("billing");
    marty_subscribe_options options = {.concurrency = 4, .batch_max = 16, .credit = 256};
    CHECK_INT(marty_subscribe_to_events(bus, "order.*", count, NULL, &options, NULL, &why),
              MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    for (int i = 0; i < 1000; i++) {
        CHECK_INT(marty_publish_event(bus, "order.created", marty_text("{}"), NULL, &why),
                  MARTY_OK);
    }
    CHECK_SOON(atomic_load(&seen) == 1000, 10000);
    close_bus(bus);
    CHECK_INT(atomic_load(&seen), 1000);
}

static void a_command_reaches_its_service(void)
{
    marty_error why = {0};
    atomic_store(&seen, 0);
    marty_bus *bus = open_bus("payment");
    CHECK_INT(marty_handle_commands(bus, "charge", count, NULL, NULL, NULL, &why), MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    CHECK_INT(marty_send_command(bus, "payment", "charge", marty_text("{}"), NULL, &why), MARTY_OK);
    CHECK_SOON(atomic_load(&seen) == 1, 5000);
    close_bus(bus);
}

static marty_err profile(void *user, marty_delivery *query)
{
    (void)user;
    if (query->message->data.size == 3 && memcmp(query->message->data.data, "bad", 3) == 0) {
        return marty_fail(query, MARTY_CLASS_CALLER, "not_found", "no such user");
    }
    marty_message reply = {.data = marty_text("{\"name\":\"Ada\"}")};
    return marty_reply(query, &reply, NULL);
}

static marty_err silent(void *user, marty_delivery *query)
{
    (void)user;
    (void)query;
    return MARTY_OK;
}

static void a_query_is_answered(void)
{
    marty_error why = {0};
    marty_bus *bus = open_bus("user");
    marty_message *reply = NULL;
    CHECK_INT(marty_handle_queries(bus, "profile", profile, NULL, NULL, NULL, &why), MARTY_OK);
    CHECK_INT(marty_handle_queries(bus, "silent", silent, NULL, NULL, NULL, &why), MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    CHECK_INT(marty_query(bus, "user", "profile", marty_text("{}"), &patient, &reply, &why),
              MARTY_OK);
    CHECK(reply && reply->data.size == 14);
    marty_message_unref(reply);
    CHECK_INT(marty_query(bus, "user", "profile", marty_text("bad"), &patient, &reply, &why),
              MARTY_E_REMOTE);
    CHECK_TEXT(why.remote, "not_found");
    CHECK_TEXT(why.text, "no such user");
    CHECK_INT(marty_query(bus, "user", "silent", marty_text("{}"), &patient, &reply, &why),
              MARTY_E_REMOTE);
    CHECK_TEXT(why.remote, "unanswered");
    CHECK_INT(marty_query(bus, "user", "unknown", marty_text("{}"), &patient, &reply, &why),
              MARTY_E_REMOTE);
    marty_query_options quick = {.timeout_ms = 200};
    marty_err err = marty_query(bus, "nobody", "profile", marty_text("{}"), &quick, &reply, &why);
    CHECK(err == MARTY_E_NO_RESPONDER || err == MARTY_E_TIMEOUT);
    close_bus(bus);
}

enum { ASKERS = 8, ROUNDS = 20 };
static pthread_barrier_t together;

static void *ask_first(void *bus)
{
    marty_error why = {0};
    marty_message *reply = NULL;
    pthread_barrier_wait(&together);
    CHECK_INT(marty_query(bus, "user", "profile", marty_text("{}"), &patient, &reply, &why),
              MARTY_OK);
    marty_message_unref(reply);
    return NULL;
}

/* The reply channel is opened by the first query: once, whoever else asks at that moment. */
static void first_queries_from_many_threads_are_answered(void)
{
    marty_error why = {0};
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t askers[ASKERS];
        marty_bus *bus = open_bus("user");
        CHECK_INT(marty_handle_queries(bus, "profile", profile, NULL, NULL, NULL, &why), MARTY_OK);
        CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
        REQUIRE(pthread_barrier_init(&together, NULL, ASKERS) == 0);
        for (int i = 0; i < ASKERS; i++) {
            REQUIRE(pthread_create(&askers[i], NULL, ask_first, bus) == 0);
        }
        for (int i = 0; i < ASKERS; i++) {
            pthread_join(askers[i], NULL);
        }
        pthread_barrier_destroy(&together);
        close_bus(bus);
    }
}

static int last_of_key[8];

static marty_err in_order(void *user, marty_delivery *first)
{
    (void)user;
    unsigned retried = 0;
    for (marty_delivery *each = first; each; each = each->next) {
        int key = each->message->key[0] - 'a',
            number = (int)strtol((const char *)each->message->data.data, NULL, 10);
        if (number != last_of_key[key] + 1 && !(retried & 1u << key)) {
            if (!atomic_fetch_add(&bad, 1)) {
                (void)fprintf(stderr, "key %d: %d after %d\n", key, number, last_of_key[key]);
            }
        }
        if (number % 10 == 3 && each->attempt == 1) {
            CHECK_INT(marty_retry(each, 1, "once more"), MARTY_OK);
            retried |= 1u << key;
        } else if (!(retried & 1u << key)) {
            last_of_key[key] = number;
            atomic_fetch_add(&seen, 1);
            CHECK_INT(marty_ack(each), MARTY_OK);
        } else {
            CHECK_INT(marty_ack(each),
                      MARTY_E_STATE); /* behind a retried one of its key: it comes again */
        }
    }
    return MARTY_OK;
}

static void a_stream_keeps_order_by_key(void)
{
    marty_error why = {0};
    atomic_store(&seen, 0);
    memset(last_of_key, 0, sizeof last_of_key);
    marty_bus *bus = open_bus("clicks");
    marty_subscribe_options options = {
        .concurrency = 3, .batch_max = 8, .start = {.from = MARTY_FROM_EARLIEST}};
    CHECK_INT(marty_process_stream(bus, "clicks", in_order, NULL, &options, NULL, &why), MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    for (int i = 1; i <= 40; i++) {
        marty_message messages[8];
        const marty_message *list[8];
        char numbers[8][16], keys[8][2];
        for (int k = 0; k < 8; k++) {
            (void)snprintf(numbers[k], sizeof numbers[k], "%d", i);
            (void)snprintf(keys[k], sizeof keys[k], "%c", 'a' + k);
            messages[k] = (marty_message){
                .type = "click", .key = keys[k], .data = {numbers[k], strlen(numbers[k]) + 1}};
            list[k] = &messages[k];
        }
        if (!CHECK_INT(marty_stream_events(bus, "clicks", list, 8, NULL, &why), MARTY_OK)) {
            (void)fprintf(stderr, "%s\n", why.text);
        }
    }
    CHECK_SOON(atomic_load(&seen) == 320, 10000);
    CHECK_INT(atomic_load(&bad), 0);
    close_bus(bus);
}

static void a_broadcast_reaches_its_listeners(void)
{
    marty_error why = {0};
    atomic_store(&seen, 0);
    marty_bus *bus = open_bus("cache");
    CHECK_INT(marty_subscribe_to_broadcasts(bus, "cache.*", count, NULL, NULL, NULL, &why),
              MARTY_OK);
    CHECK_INT(marty_subscribe_to_broadcasts(bus, "cache.clear", count, NULL, NULL, NULL, &why),
              MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    CHECK_INT(marty_broadcast(bus, "cache.clear", marty_text("{}"), NULL, &why), MARTY_OK);
    CHECK_SOON(atomic_load(&seen) == 2, 5000);
    close_bus(bus);
}

static marty_err failing(void *user, marty_delivery *delivery)
{
    (void)user;
    (void)delivery;
    atomic_fetch_add(&seen, 1);
    return MARTY_E_FAILED;
}

static marty_dead_verb look(void *user, const marty_dead_letter *letter, marty_message *instead)
{
    int *found = user;
    ++*found;
    CHECK(letter->message && instead);
    CHECK_INT(letter->attempts, 3);
    CHECK_TEXT(letter->channel, "events.order");
    CHECK_TEXT(letter->group, "billing");
    CHECK(letter->message && letter->message->data.size == 5);
    return atomic_load(&discard) ? MARTY_DEAD_DISCARD : MARTY_DEAD_LEAVE;
}

static void what_fails_ends_in_the_dead_letters(void)
{
    marty_error why = {0};
    int found = 0;
    atomic_store(&seen, 0);
    marty_bus *bus = open_bus("billing");
    marty_subscribe_options options = {.retry = {.attempts = 3, .first_ms = 1, .max_ms = 5}};
    CHECK_INT(marty_subscribe_to_events(bus, "order.*", failing, NULL, &options, NULL, &why),
              MARTY_OK);
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    CHECK_INT(marty_publish_event(bus, "order.created", marty_text("hello"), NULL, &why), MARTY_OK);
    CHECK_SOON(atomic_load(&seen) == 3, 5000);
    CHECK_SOON(
        (found = 0, marty_dead_letters(bus, "events.order", NULL, look, &found, &why) == MARTY_OK &&
                        found == 1),
        5000);
    CHECK_INT(atomic_load(&seen), 3);
    for (int expected = 1; expected >= 0; expected--) {
        found = 0;
        atomic_store(&discard, 1);
        CHECK(marty_dead_letters(bus, "events.order", NULL, look, &found, &why) !=
              MARTY_E_INTERNAL);
        CHECK_INT(found, expected);
    }
    close_bus(bus);
}

static void receiving_pulls(void)
{
    marty_error why = {0};
    marty_bus *bus = open_bus("puller");
    marty_subscription *subscription = NULL;
    marty_delivery *first = NULL;
    marty_subscribe_options options = {.batch_max = 2};
    CHECK_INT(marty_subscribe_to_events(bus, "order.*", NULL, NULL, &options, &subscription, &why),
              MARTY_OK);
    CHECK_INT(marty_receive(subscription, 50, &first, &why), MARTY_E_TIMEOUT);
    CHECK_INT(marty_publish_event(bus, "order.created", marty_text("a"), NULL, &why), MARTY_OK);
    CHECK_INT(marty_receive(subscription, 20000, &first, &why), MARTY_OK);
    CHECK(first && first->attempt == 1);
    CHECK_INT(marty_ack(first), MARTY_OK);
    CHECK_INT(marty_ack(first), MARTY_E_STATE);
    marty_delivery_release_all(first);
    CHECK_INT(marty_unsubscribe(subscription, 0, &why), MARTY_OK);
    close_bus(bus);
}

static void the_names_in_an_outcome_live_as_long_as_the_bus(void)
{
    marty_error why = {0};
    marty_bus *bus = open_bus("billing");
    marty_outcome outcomes[3] = {0};
    const char *types[] = {"order.created", "user.created", "order.paid"};
    for (int i = 0; i < 3; i++) {
        marty_publish_options options = {.outcomes = &outcomes[i]};
        CHECK_INT(marty_publish_event(bus, types[i], marty_text("1"), &options, &why), MARTY_OK);
    }
    CHECK_TEXT(outcomes[0].channel, "events.order");
    CHECK_TEXT(outcomes[1].channel, "events.user");
    CHECK(outcomes[2].channel == outcomes[0].channel);
    CHECK_TEXT(outcomes[0].backend, "main");
    close_bus(bus);
}

int main(int argc, char **argv)
{
    url = argc > 1 ? argv[1] : url;
    an_event_published_before_start_is_handled();
    many_events_are_handled_once();
    a_command_reaches_its_service();
    a_query_is_answered();
    first_queries_from_many_threads_are_answered();
    a_stream_keeps_order_by_key();
    a_broadcast_reaches_its_listeners();
    what_fails_ends_in_the_dead_letters();
    receiving_pulls();
    the_names_in_an_outcome_live_as_long_as_the_bus();
    return check_result();
}
