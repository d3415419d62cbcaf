/* SPDX-License-Identifier: Apache-2.0
 * The outcome of a publish is told exactly once, also when the backend never answers, and the bus
 * is closed meanwhile: with workers, driven, and with simulated surroundings. */
#include "test_script.h"

#include <stdatomic.h>

enum { MANY = 3000, EACH = 7 };

typedef struct told {
    atomic_int times, err;
} told;

static told all[MANY];
static atomic_int bad;
static bool at_once;

static void done(void *user, const marty_outcome *outcomes, size_t count)
{
    told *one = user;
    atomic_fetch_add(&one->times, 1);
    atomic_store(&one->err, outcomes[0].err);
    atomic_fetch_add(&bad, count != 1);
}

static int64_t simulated_ns;

static int64_t monotonic(void *user)
{
    (void)user;
    return simulated_ns += 1000000; /* it goes on whenever it is read */
}

static int64_t wall(void *user)
{
    (void)user;
    return simulated_ns / 1000;
}

static void random_bytes(void *user, void *buffer, size_t size)
{
    static unsigned char next;
    (void)user;
    for (size_t i = 0; i < size; i++) {
        ((unsigned char *)buffer)[i] = next++;
    }
}

static const marty_env surroundings = {
    .monotonic_ns = monotonic, .wall_us = wall, .random = random_bytes};

static void publish_many(marty_bus *bus, size_t *ret_refused)
{
    *ret_refused = 0;
    for (size_t i = 0; i < MANY; i++) {
        marty_error why = {0};
        marty_publish_options options = {
            .done = done, .user = &all[i], .timeout_ms = 60000, .at_once = at_once};
        all[i] = (told){0};
        if (marty_publish_event(bus, "a.b", marty_text("{}"), &options, &why)) {
            atomic_store(&all[i].times, -1); /* refused: it must never be told */
            ++*ret_refused;
        }
    }
}

static void each_is_told_once(marty_bus_options options, int answers_each)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    size_t refused = 0, stored = 0, in_doubt = 0;
    options.service = "s";
    options.drain_ms = 50;
    script.answers_each = answers_each;
    script.taken = 0;
    REQUIRE(!marty_bus_open(&bus, "script:", &options, &why));
    publish_many(bus, &refused);
    CHECK_INT(refused, 0);
    CHECK_INT(marty_bus_close(bus, 20000, &why), MARTY_OK); /* drain_ms cuts it off at 50 */
    for (size_t i = 0; i < MANY; i++) {
        CHECK_INT(atomic_load(&all[i].times), 1);
        stored += atomic_load(&all[i].err) == MARTY_OK;
        in_doubt += atomic_load(&all[i].err) == MARTY_E_MAYBE_STORED;
    }
    CHECK_INT(stored, answers_each > 0 ? MANY / EACH : 0);
    CHECK_INT(stored + in_doubt, MANY);
    marty_bus_free(bus);
    for (size_t i = 0; i < MANY; i++) {
        CHECK_INT(atomic_load(&all[i].times), 1);
    }
    CHECK_INT(atomic_load(&bad), 0);
}

static void on_every_bus(int answers_each)
{
    each_is_told_once((marty_bus_options){.workers = 2}, answers_each);
    each_is_told_once((marty_bus_options){.driven = true}, answers_each);
    each_is_told_once((marty_bus_options){.driven = true, .env = &surroundings}, answers_each);
}

/* Its number is passed over while it is in flight, however many others come and go. */
static void one_that_is_answered_late_keeps_its_token(void)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_published late = {.level = MARTY_LEVEL_MEMORY};
    marty_bus_options options = {
        .service = "s", .driven = true, .drain_ms = 50}; /* on this thread */
    REQUIRE(!marty_bus_open(&bus, "script:", &options, &why));
    for (size_t i = 0; i < 1000; i++) { /* far more than the table has places */
        script.answers_each = i == 10 ? -1 : 0;
        all[i] = (told){0};
        marty_publish_options how = {
            .done = done, .user = &all[i], .timeout_ms = 60000, .at_once = true};
        CHECK_INT(marty_publish_event(bus, "a.b", marty_text("{}"), &how, &why), MARTY_OK);
        late.token = i == 10 ? script.token : late.token;
    }
    CHECK_INT(atomic_load(&all[10].times), 0);
    script.sink->published(script.sink, &late, 1);
    script.sink->published(script.sink, &late, 1); /* once too often */
    CHECK_INT(marty_bus_close(bus, 20000, &why), MARTY_OK);
    for (size_t i = 0; i < 1000; i++) {
        CHECK_INT(atomic_load(&all[i].times), 1);
        CHECK_INT(atomic_load(&all[i].err), MARTY_OK);
    }
    marty_bus_free(bus);
}

/* ---- a cancel, while the broker is in doubt about another message of the same key */
static uint64_t tokens[2];

static void done_and_doubt_the_other(void *user, const marty_outcome *outcomes, size_t count)
{
    const marty_published doubt = {.token = tokens[user == &all[0] ? 1 : 0],
                                   .err = MARTY_E_MAYBE_STORED};
    done(user, outcomes, count);
    if (atomic_load(&all[0].times) + atomic_load(&all[1].times) == 1) {
        script.sink->published(script.sink, &doubt, 1); /* so it gets another token */
    }
}

static void a_cancel_finds_what_is_published_again(size_t before)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_bus_options options = {
        .service = "s", .driven = true, .drain_ms = 50}; /* on this thread */
    marty_publish_options how = {.timeout_ms = 60000, .at_once = true};
    script.answers_each = 0;
    REQUIRE(!marty_bus_open(&bus, "script:", &options, &why));
    for (size_t i = 0; i < before; i++) { /* where in the table the next ones are */
        CHECK_INT(marty_publish_event(bus, "a.b", marty_text("{}"), &how, &why), MARTY_OK);
    }
    script.answers_each = -1;
    how.cancel_key = &options;
    how.done = done_and_doubt_the_other;
    for (size_t i = 0; i < 2; i++) {
        all[i] = (told){0};
        how.user = &all[i];
        CHECK_INT(marty_publish_event(bus, "a.b", marty_text("{}"), &how, &why), MARTY_OK);
        tokens[i] = script.token;
    }
    CHECK_INT(marty_bus_cancel(bus, &options), 2);
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(atomic_load(&all[i].times), 1);
        CHECK_INT(atomic_load(&all[i].err), MARTY_E_MAYBE_STORED);
    }
    CHECK_INT(marty_bus_cancel(bus, &options), 0);
    CHECK_INT(marty_bus_close(bus, 20000, &why), MARTY_OK);
    marty_bus_free(bus);
}

int main(void)
{
    marty_error why = {0};
    REQUIRE(!marty_backend_register(&script_backend, &why));
    for (int round = 0; round < 2; round++) {
        at_once = round == 1;
        on_every_bus(-1);
        on_every_bus(EACH);
    }
    one_that_is_answered_late_keeps_its_token();
    script.granted_more.can[MARTY_KIND_TOPIC] = MARTY_CAN_DEDUPLICATE;
    for (size_t before = 0; before < 64; before++) { /* as many as the table has places */
        a_cancel_finds_what_is_published_again(before);
    }
    return check_result();
}
