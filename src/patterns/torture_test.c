/* SPDX-License-Identifier: Apache-2.0
 * Every allocation of core over memory: fails in turn, once, or from then on until the end of the
 * storm. A simulated bus publishes, handles, retries, rejects, keeps, asks, replays and drains; a
 * fresh bus looks afterwards. What was confirmed and not acked is there or a dead letter, what was
 * acked never comes again, every call and every query is answered once. Under the address
 * sanitizer nothing leaks. */
#include "base/alloc.h"

#include <marty/marty.h>

#include "tests/storm.h"

enum { MESSAGES = 12, QUERIES = 3, TURNS = 50 };

static void expect_fine(marty_err err)
{
    if (!CHECK(err == MARTY_OK || (storm_failed && err == MARTY_E_NO_MEMORY))) {
        (void)fprintf(stderr, "%s after %u\n", marty_err_describe(err)->name, storm_countdown);
    }
}

/* ---- simulated surroundings */
static int64_t world_ns;

static int64_t simulated_ns(void *user)
{
    (void)user;
    return world_ns;
}

static int64_t simulated_us(void *user)
{
    (void)user;
    return 1800000000000000 + world_ns / 1000;
}

static void simulated_random(void *user, void *buffer, size_t size)
{
    (void)user;
    static uint64_t state = 1;
    unsigned char *out = buffer;
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        out[i] = (unsigned char)(state >> 56);
    }
}

static const marty_env env = {
    .monotonic_ns = simulated_ns, .wall_us = simulated_us, .random = simulated_random};

/* ---- what becomes of each message */
typedef enum place { EVENTS, COMMANDS, STREAM, PLACES } place;

static struct {
    bool stored, acked;
    int answers; /* of the publish */
    int after;   /* seen by the fresh bus */
} fates[PLACES][MESSAGES];
static marty_delivery *kept[PLACES * MESSAGES];
static size_t kept_count;
static bool calm; /* the fresh bus acks all */
static int asked, answered;

static const char *const types[PLACES] = {"order.created", "charge", "click"};

static int number_of(const marty_message *message, place *ret_place)
{
    *ret_place = strcmp(message->type, types[EVENTS]) == 0     ? EVENTS
                 : strcmp(message->type, types[COMMANDS]) == 0 ? COMMANDS
                                                               : STREAM;
    return (int)strtol(message->id + 1, NULL, 10) % MESSAGES;
}

static void note_ack(const marty_delivery *delivery, marty_err err)
{
    place at;
    int i = number_of(delivery->message, &at);
    CHECK(err == MARTY_OK || err == MARTY_E_LOST || err == MARTY_E_CLOSED ||
          err == MARTY_E_STATE); /* behind a retried one of its key: it comes again */
    fates[at][i].acked = fates[at][i].acked || err == MARTY_OK;
}

static marty_err handle_one(marty_delivery *delivery)
{
    place at;
    int i = number_of(delivery->message, &at);
    if (calm) {
        fates[at][i].after++;
        return marty_ack(delivery);
    }
    CHECK(!fates[at][i].acked);
    switch (i % 5) {
    case 1:
        if (delivery->attempt < 2) {
            return marty_retry(delivery, 0, "once more");
        }
        note_ack(delivery, marty_ack(delivery));
        return MARTY_OK;
    case 2:
        return marty_reject(delivery, "bad");
    case 3:
        if (kept_count < sizeof kept / sizeof kept[0]) {
            kept[kept_count++] = marty_delivery_keep(delivery);
        }
        return MARTY_OK;
    case 4:
        return marty_give_back(delivery, 1, NULL);
    default:
        note_ack(delivery, marty_ack(delivery));
        return MARTY_OK;
    }
}

static int given_back;

static marty_err handle(void *user, marty_delivery *first)
{
    (void)user;
    for (marty_delivery *one = first, *next; one; one = next) {
        place at;
        next = one->next;
        bool again = number_of(one->message, &at) % 5 == 4 && ++given_back > 20;
        marty_err err = again && !calm ? MARTY_OK : handle_one(one);
        if (again && !calm) {
            note_ack(one, marty_ack(one));
        }
        CHECK(err == MARTY_OK || err == MARTY_E_LOST || err == MARTY_E_STATE);
    }
    return MARTY_OK;
}

static marty_err answer(void *user, marty_delivery *query)
{
    (void)user;
    marty_error why = {0};
    marty_message reply = {.data = marty_text("yes")};
    marty_err err = marty_reply(query, &reply, &why);
    CHECK(err == MARTY_OK || err == MARTY_E_TIMEOUT || (err == MARTY_E_NO_MEMORY && storm_failed));
    return err;
}

static void note_answer(void *user, const marty_message *reply, const marty_error *error)
{
    (void)user;
    CHECK(!reply != !error);
    CHECK(!error || storm_failed);
    answered++;
}

static void note_stored(void *user, const marty_outcome *outcomes, size_t count)
{
    CHECK_INT(count, 1);
    size_t which = (size_t)(uintptr_t)user;
    fates[which / MESSAGES][which % MESSAGES].stored = outcomes[0].err == MARTY_OK;
    fates[which / MESSAGES][which % MESSAGES].answers++;
    CHECK(outcomes[0].err == MARTY_OK || storm_failed);
}

/* ---- the bus */
static bool listen_to(marty_bus *bus)
{
    marty_error why = {0};
    marty_subscribe_options options = {.batch_max = 4,
                                       .timeout_ms = MARTY_NO_WAIT,
                                       .retry = {.first_ms = 1, .max_ms = 5, .attempts = 8}};
    marty_subscribe_options stream = options;
    stream.start.from = MARTY_FROM_EARLIEST;
    marty_err err = marty_subscribe_to_events(bus, "order.*", handle, NULL, &options, NULL, &why);
    expect_fine(err);
    marty_err all = err;
    err = marty_handle_commands(bus, "charge", handle, NULL, &options, NULL, &why);
    expect_fine(err);
    all = all ? all : err;
    err = marty_process_stream(bus, "clicks", handle, NULL, &stream, NULL, &why);
    expect_fine(err);
    all = all ? all : err;
    err = marty_handle_queries(bus, "profile", answer, NULL, NULL, NULL, &why);
    expect_fine(err);
    return !all && !err;
}

static marty_bus *open_bus(const char *service)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_bus_options options = {.service = service, .driven = true, .env = &env};
    marty_err err = marty_bus_open(&bus, "memory:torture", &options, &why);
    expect_fine(err);
    return err ? NULL : bus;
}

static marty_bus *keeper; /* keeps the broker alive, and its timers */

static void process(marty_bus *bus, int turns)
{
    marty_error why = {0};
    for (int i = 0; i < turns; i++) {
        int32_t wait_ms = 0;
        CHECK_INT(marty_bus_process(keeper, 0, &wait_ms, &why), MARTY_OK);
        CHECK_INT(marty_bus_process(bus, 0, &wait_ms, &why), MARTY_OK);
        world_ns += INT64_C(1000000) * (wait_ms <= 0 ? 1 : wait_ms < 50 ? wait_ms : 50);
    }
}

static void close_bus(marty_bus *bus)
{
    marty_error why = {0};
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    marty_bus_free(bus);
}

static void publish_some(marty_bus *bus, size_t from, size_t end)
{
    static const marty_pattern patterns[PLACES] = {MARTY_EVENT, MARTY_COMMAND, MARTY_STREAM};
    static const char *const to[PLACES] = {NULL, "billing", "clicks"};
    for (size_t which = 0; which < PLACES * MESSAGES; which++) {
        char id[16], key[4];
        marty_error why = {0};
        size_t at = which / MESSAGES, i = which % MESSAGES;
        if (i < from || i >= end) {
            continue;
        }
        (void)snprintf(id, sizeof id, "m%zu", i);
        (void)snprintf(key, sizeof key, "k%zu", i % 3);
        marty_message message = {.id = id,
                                 .type = types[at],
                                 .key = at == STREAM ? key : NULL,
                                 .data = marty_text("{}"),
                                 .subject = "all of it"};
        const marty_message *one = &message;
        marty_publish_options options = {.done = note_stored, .user = (void *)(uintptr_t)which};
        marty_err err = marty_publish(bus, patterns[at], to[at], &one, 1, &options, &why);
        expect_fine(err);
        fates[at][i].answers -= err == MARTY_OK ? 1 : 0; /* one is due */
    }
}

static void ask_all(marty_bus *bus)
{
    for (int i = 0; i < QUERIES; i++) {
        marty_error why = {0};
        marty_query_options options = {.done = note_answer, .timeout_ms = 50};
        marty_err err =
            marty_query(bus, "billing", "profile", marty_text("?"), &options, NULL, &why);
        expect_fine(err);
        asked += err == MARTY_OK ? 1 : 0;
    }
}

static void settle_kept(void)
{
    for (size_t i = 0; i < kept_count; i++) {
        note_ack(kept[i], marty_ack(kept[i]));
        marty_delivery_release(kept[i]);
    }
    kept_count = 0;
}

static marty_dead_verb replay_some(void *user, const marty_dead_letter *letter,
                                   marty_message *instead)
{
    (void)letter, (void)instead;
    int *count = user;
    return (*count)++ % 2 ? MARTY_DEAD_LEAVE : MARTY_DEAD_REPLAY;
}

static marty_dead_verb note_dead(void *user, const marty_dead_letter *letter,
                                 marty_message *instead)
{
    (void)user, (void)instead;
    place at;
    if (CHECK(letter->message != NULL)) {
        int i = number_of(letter->message, &at);
        fates[at][i].after++;
    }
    return MARTY_DEAD_DISCARD;
}

/* One allocation failed, and that is over: all that was stored is handled, without a new
 * connection. */
static void expect_nothing_stuck(marty_bus *bus)
{
    for (int i = 0; i < 3; i++) {
        process(bus, 25);
        settle_kept();
    }
    for (size_t which = 0; which < PLACES * MESSAGES; which++) {
        size_t at = which / MESSAGES, i = which % MESSAGES;
        if (fates[at][i].stored && i % 5 != 2 && !CHECK(fates[at][i].acked)) {
            (void)fprintf(stderr, "%s m%zu is stuck\n", types[at], i);
        }
    }
}

static void rage(void)
{
    marty_error why = {0};
    int seen = 0;
    marty_bus *bus = open_bus("billing");
    if (!bus) {
        return;
    }
    bool listens = listen_to(bus);
    publish_some(bus, 0, 8);
    process(bus, 12);
    ask_all(bus);
    process(bus, 25);
    marty_err err = marty_dead_letters(bus, "events.order", NULL, replay_some, &seen, &why);
    CHECK(err == MARTY_OK || err == MARTY_E_NOT_FOUND || storm_failed);
    process(bus, 12);
    settle_kept();
    process(bus, 12);
    if (listens && !storm_for_ever) {
        expect_nothing_stuck(bus);
    }
    publish_some(bus, 8, MESSAGES); /* what the drain finds */
    close_bus(bus);
    settle_kept();
}

static void look(void)
{
    marty_error why = {0};
    calm = true;
    marty_bus *bus = open_bus("billing");
    REQUIRE(bus);
    CHECK(listen_to(bus));
    process(bus, TURNS);
    for (size_t i = 0; i < 3; i++) {
        static const char *const channels[] = {"events.order", "commands.billing",
                                               "streams.clicks"};
        marty_err err = marty_dead_letters(bus, channels[i], NULL, note_dead, NULL, &why);
        CHECK(err == MARTY_OK || err == MARTY_E_NOT_FOUND);
    }
    close_bus(bus);
    for (size_t which = 0; which < PLACES * MESSAGES; which++) {
        size_t at = which / MESSAGES, i = which % MESSAGES;
        bool fine = CHECK_INT(fates[at][i].answers, 0) &&
                    CHECK(!fates[at][i].stored || fates[at][i].acked || fates[at][i].after) &&
                    CHECK(!fates[at][i].acked || !fates[at][i].after);
        if (!fine) {
            (void)fprintf(stderr, "%s m%zu: stored %d, acked %d, came %d times afterwards\n",
                          types[at], i, fates[at][i].stored, fates[at][i].acked,
                          fates[at][i].after);
        }
    }
    CHECK_INT(answered, asked);
}

/* False once the storm is over before it began. */
static bool round_of(unsigned nth, bool ever)
{
    memset(fates, 0, sizeof fates);
    kept_count = 0;
    asked = answered = given_back = 0;
    calm = false;
    keeper = open_bus("keeper");
    marty_bus *first = open_bus("billing");
    REQUIRE(keeper && first);
    CHECK(listen_to(first)); /* its groups stay */
    process(first, 3);
    close_bus(first);
    storm_begin(nth, ever);
    rage();
    storm = false;
    look();
    close_bus(keeper);
    return storm_failed;
}

int main(int argc, char **argv)
{
    unsigned once = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1, ever = once;
    marty__alloc_set_hook(storm_may_allocate);
    while (round_of(once, false)) {
        once++;
    }
    while (round_of(ever, true)) {
        ever++;
    }
    marty__alloc_set_hook(NULL);
    CHECK(once > 100 && ever > 100);
    printf("%u allocations failed once, %u for ever\n", once, ever);
    return check_result();
}
