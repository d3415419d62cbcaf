/* SPDX-License-Identifier: Apache-2.0
 * What operators watch: each number of an engine moves when what it counts happens, and the hook is
 * told the same. The test is the participant, so that it can be silent, and late. */
#include <marty/adapter.h>
#include <marty/marty.h>
#include <marty/saga.h>

#include "base/clock.h"
#include "saga/attributes.h"
#include "saga/stores/stores.h"

#include "check.h"

static const char document[] =
    "saga: one\nsteps:\n"
    "  - {name: a, service: s, command: a, timeout: 50ms, retry: {attempts: 1},\n"
    "     compensate: {command: una, retry: {attempts: 1}}}\n"
    "  - {name: b, service: s, command: b, compensate: unb}\n";

static marty_saga_engine *engine;
static marty_bus *bus;
static atomic_int ended, doubts, answered, undo_stuck, alerts;

static void on_change(void *user, const marty_saga_change *change)
{
    atomic_fetch_add((atomic_int *)user, change->facts->status >= MARTY_SAGA_COMPLETED);
    atomic_fetch_add(&doubts, (int)change->in_doubt);
    atomic_fetch_add(&undo_stuck, (int)change->undo_stuck);
    atomic_fetch_add(&answered, change->operation_us > 0);
    atomic_fetch_add(&alerts, change->alert != NULL);
}

/* Whole: a store that is held for long by another thread is left out of one. */
static const char *report(void)
{
    static char text[8192];
    int64_t until_ms = check_now_ms() + check__patience(10000);
    do {
        marty_message *message = NULL;
        marty_error why = {0};
        REQUIRE(marty_saga_report(engine, &message, &why) == MARTY_OK);
        (void)snprintf(text, sizeof text, "%.*s", (int)message->data.size,
                       (const char *)message->data.data);
        marty_message_unref(message);
    } while (strstr(text, "\"store_error\"") && check_now_ms() < until_ms);
    return text;
}

static int64_t number(const char *name)
{
    char key[64];
    (void)snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(report(), key);
    return at ? strtoll(at + strlen(key), NULL, 10) : -1;
}

/* A number inside of an object. */
static int64_t part(const char *object, const char *name)
{
    char key[64];
    (void)snprintf(key, sizeof key, "\"%s\":{", object);
    const char *at = strstr(report(), key);
    (void)snprintf(key, sizeof key, "\"%s\":", name);
    at = at ? strstr(at, key) : NULL;
    return at ? strtoll(at + strlen(key), NULL, 10) : -1;
}

/* The op key of a step, from the saga itself. */
static void key_of(const char *id, const char *step, const char *direction, char ret[40])
{
    marty_message *message = NULL;
    char name[60];
    REQUIRE(marty_saga_show(engine, id, false, &message, NULL) == MARTY_OK);
    (void)snprintf(name, sizeof name, "{\"step\":\"%s\"", step);
    const char *at = strstr(message->data.data, name);
    (void)snprintf(name, sizeof name, "\"%s\":{\"key\":\"", direction);
    at = at ? strstr(at, name) : NULL;
    (void)snprintf(ret, 40, "%.32s", at ? at + strlen(name) : "");
    marty_message_unref(message);
}

static void answer(const char *id, const char *step, const char *direction, const char *word)
{
    char key[40];
    key_of(id, step, direction, key);
    marty_header headers[4];
    size_t count = 0;
    marty__saga_attribute_add(headers, &count, "sagaid", id);
    marty__saga_attribute_add(headers, &count, "sagaop", key);
    marty__saga_attribute_add(headers, &count, "sagaattempt", "1");
    marty__saga_attribute_add(headers, &count, "sagareply", word);
    const marty_message with = {.headers = headers, .header_count = count};
    marty_publish_options options = {.with = &with};
    CHECK_INT(marty_send_command(bus, "orders", "saga.reply", marty_text("{}"), &options, NULL),
              MARTY_OK);
}

static bool stands(const char *id, const char *part_of)
{
    marty_message *message = NULL;
    REQUIRE(marty_saga_show(engine, id, false, &message, NULL) == MARTY_OK);
    bool there = strstr(message->data.data, part_of) != NULL;
    marty_message_unref(message);
    return there;
}

static void of_one_that_completes(void)
{
    char id[40];
    marty_error why = {0};
    CHECK_INT(marty_saga_start(engine, "one", NULL, marty_text("{}"), NULL, id, &why), MARTY_OK);
    CHECK_SOON(stands(id, "\"state\":\"stuck-forward\""), 10000); /* nobody answered within 50 ms */
    CHECK_SOON(number("steps_in_doubt") == 1, 10000);
    CHECK_SOON(number("became_stuck") == 1, 10000);
    CHECK_INT(number("stuck"), 1);
    answer(id, "a", "forward", "ok");
    CHECK_SOON(stands(id, "{\"step\":\"b\",\"status\":\"calling\""), 10000);
    CHECK_INT(number("stuck"), 0);
    answer(id, "b", "forward", "ok");
    marty_saga_status status = 0;
    CHECK_INT(marty_saga_wait(engine, id, 0, &status, &why), MARTY_OK);
    CHECK_SOON(number("completed") == 1, 10000); /* counted at the end of the turn */
    CHECK_INT(number("started"), 1);
    CHECK_INT(part("sagas", "count"), 1);
    CHECK(part("sagas", "max_us") >= 50000);
    CHECK_INT(part("operations", "count"), 2);
    CHECK(part("operations", "p99_us") >= 50000);
    CHECK_INT(number("late_replies"), 0);
    answer(id, "b", "forward", "ok");
    CHECK_SOON(number("late_replies") == 1, 10000);
    CHECK_SOON(atomic_load(&ended) == 1, 10000);
    CHECK_INT(atomic_load(&doubts), 1);
    CHECK_INT(atomic_load(&answered), 2);
    CHECK(atomic_load(&alerts) >= 1);
}

static void of_one_whose_undo_fails(void)
{
    char id[40];
    marty_error why = {0};
    marty_saga_order order = {.who = "kim", .note = "a test", .step = "a"};
    CHECK_INT(marty_saga_start(engine, "one", NULL, marty_text("{}"), NULL, id, &why), MARTY_OK);
    CHECK_SOON(stands(id, "\"state\":\"stuck-forward\""), 10000);
    CHECK_INT(marty_saga_act(engine, id, MARTY_SAGA_COMPENSATE, &order, &why), MARTY_OK);
    CHECK_SOON(stands(id, "\"status\":\"undoing\""), 10000);
    answer(id, "a", "undo", "rejected");
    CHECK_SOON(number("undo_failures") == 1, 10000);
    CHECK_SOON(atomic_load(&undo_stuck) == 1, 10000);
    CHECK_INT(number("stuck"), 1);
    CHECK_INT(marty_saga_act(engine, id, MARTY_SAGA_WAIVE, &order, &why), MARTY_OK);
    CHECK_SOON(number("compensated") == 1, 10000);
    CHECK_INT(number("stuck"), 0);
}

/* Of others, which nobody looks after. */
static void of_what_waits_in_the_store(void)
{
    marty_url *url = NULL;
    marty_saga_store *store = NULL;
    const marty_saga_store_table *table = &marty__saga_memory;
    REQUIRE(marty_url_parse(&url, "memory:numbers", NULL) == MARTY_OK);
    REQUIRE(table->open(&store, url, marty__env_real(), INT64_MAX, NULL) == MARTY_OK);
    int64_t now_us = marty__env_real()->wall_us(NULL);
    marty_saga_write write = {.facts = {.id = "left",
                                        .name = "one",
                                        .key = "",
                                        .definition = "of nobody",
                                        .stuck = "a: in-doubt: ",
                                        .status = MARTY_SAGA_RUNNING,
                                        .shard = marty__saga_shard("left"),
                                        .version = 1,
                                        .started_us = now_us - 9000000,
                                        .changed_us = now_us - 5000000,
                                        .due_us = now_us - 7000000,
                                        .unsent = true},
                              .state = marty_text("no state"),
                              .history = marty_text("no history")};
    marty_saga_write *const writes[] = {&write};
    CHECK_INT(table->commit(store, writes, 1, INT64_MAX, NULL), MARTY_OK);
    CHECK_INT(write.result, MARTY_OK);
    CHECK_INT(number("stuck"), 1);
    CHECK(number("outbox_age_us") >= 5000000);
    CHECK(number("timer_lag_us") >= 7000000);
    CHECK_SOON(number("timer_failures") > 0, 10000);
    table->close(store);
    marty_url_free(url);
}

int main(void)
{
    marty_error why = {0};
    marty_saga_options options = {.on_change = on_change, .user = &ended};
    REQUIRE(marty_bus_open(&bus, "memory:", &(marty_bus_options){.service = "orders"}, &why) == 0);
    REQUIRE(marty_saga_open(&engine, bus, "memory:numbers", &options, &why) == MARTY_OK);
    REQUIRE(marty_bus_start(bus, &why) == MARTY_OK);
    REQUIRE(marty_saga_register(engine, NULL, document, &why) == MARTY_OK);
    static const char *const all[] = {
        "shards",      "events",       "commits",          "commands_sent",
        "conflicts",   "fence_losses", "commits_in_doubt", "last_timer_lag_us",
        "compensated", "duplicates",   "send_failures"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        CHECK(number(all[i]) >= 0);
    }
    CHECK_INT(number("outbox_age_us"), 0);
    CHECK_INT(number("timer_lag_us"), 0);
    of_one_that_completes();
    of_one_whose_undo_fails();
    of_what_waits_in_the_store();
    CHECK_INT(marty_saga_close(engine, 0, NULL), MARTY_OK);
    marty_bus_free(bus);
    return check_result();
}
