/* SPDX-License-Identifier: Apache-2.0
 * C43: clocks that are an hour off, or jump: delays, leases, deadlines and times to live hold. A
 * bus with a wall clock of its own has no thread; a thread of the case moves it. */
#include "contracts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

typedef struct shifted {
    atomic_llong wall_shift_us;
} shifted;

static int64_t shifted_wall(void *user)
{
    struct timespec now;
    shifted *self = user;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + atomic_load(&self->wall_shift_us);
}

/* A bus whose wall clock is wrong runs no thread: this one moves it. */
typedef struct mover {
    marty_bus *bus;
    pthread_t thread;
    atomic_bool stop;
} mover;

static void *move(void *user)
{
    mover *self = user;
    while (!atomic_load(&self->stop)) {
        marty_error why = {0};
        marty_err err = marty_bus_process(self->bus, 5, NULL, &why);
        EXPECT(err == MARTY_OK || err == MARTY_E_CLOSED, "process: %s %s", suite_err(err),
               why.text);
        test_wait_for(suite_never, NULL, 1);
    }
    return NULL;
}

static marty_bus *open_shifted(shifted *clock, mover *by, const char *service, marty_env *env)
{
    *env = (marty_env){.user = clock, .wall_us = shifted_wall};
    by->bus =
        suite_open_with(NULL, &(marty_bus_options){.service = service, .driven = true, .env = env});
    return by->bus;
}

static shifted wrong_clock;
static mover wrong_mover;
static marty_env wrong_env;

/* A bus whose clock is off by that much; its queries need another thread than this, and have one.
 */
static marty_bus *open_wrong(int64_t hours)
{
    marty_error why = {0};
    atomic_store(&wrong_clock.wall_shift_us, hours * 3600 * 1000000);
    marty_bus *wrong = open_shifted(&wrong_clock, &wrong_mover, "shop", &wrong_env);
    EXPECT_OK(marty_bus_start(wrong, &why), &why, "starting");
    pthread_create(&wrong_mover.thread, NULL, move, &wrong_mover);
    return wrong;
}

static void delay_with_clock(int64_t hours)
{
    marty_error why = {0};
    marty_bus *wrong = open_wrong(hours), *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "charge", heard_, NULL);
    suite_start(bus);
    int64_t began = test_now_ms();
    marty_message message = {.type = "charge", .id = "later"};
    marty_publish_options options = {.deliver_in_ms = 500};
    EXPECT_OK(suite_try_publish(wrong, MARTY_COMMAND, "billing", &message, &options, NULL, &why),
              &why, "scheduling with a clock that is off by %lld hours", (long long)hours);
    EXPECT(recorder_wait(heard_, 1, 10000), "clock off by %lld hours: due in 500 ms, did not come",
           (long long)hours);
    int64_t after = recorder_at(heard_, 0).at_ms - began;
    EXPECT(after >= 498 && after <= 500 + test_patience(2500),
           "clock off by %lld hours: due in 500 ms, came after %lld", (long long)hours,
           (long long)after);
}

void c43_ahead(void)
{
    delay_with_clock(1);
}

void c43_behind(void)
{
    delay_with_clock(-1);
}

static void expiry_with_clock(int64_t hours)
{
    marty_error why = {0};
    marty_bus *wrong = open_wrong(hours), *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "charge", heard_, NULL);
    suite_start(bus);
    marty_message message = {.type = "charge", .id = "lives"};
    marty_publish_options options = {.expires_in_ms = 60000};
    EXPECT_OK(suite_try_publish(wrong, MARTY_COMMAND, "billing", &message, &options, NULL, &why),
              &why, "publishing with a time to live");
    if (!recorder_wait(heard_, 1, 3000)) {
        suite_skip("open: the sender's clock is off by %lld hours, and a message that lives 60 s "
                   "was dropped as expired",
                   (long long)hours);
    }
}

void c43_expiry(void)
{
    expiry_with_clock(-1);
}

static marty_err answer_it(void *user, marty_delivery *query)
{
    (void)user;
    marty_error why = {0};
    return marty_reply(query, NULL, &why);
}

typedef struct answered {
    atomic_bool done;
    marty_err err;
} answered;

static void on_answer(void *user, const marty_message *reply, const marty_error *error)
{
    (void)reply;
    answered *self = user;
    self->err = error ? error->code : MARTY_OK;
    atomic_store(&self->done, true);
}

static bool is_answered(void *user)
{
    return atomic_load(&((answered *)user)->done);
}

static marty_err ask(marty_bus *bus, const char *service, int32_t timeout_ms)
{
    answered self = {0};
    marty_error why = {0};
    marty_query_options options = {.timeout_ms = timeout_ms, .done = on_answer, .user = &self};
    EXPECT_OK(marty_query(bus, service, "profile", marty_text("x"), &options, NULL, &why), &why,
              "asking");
    EXPECT(test_wait_for(is_answered, &self, timeout_ms + 3000), "a query was never answered");
    return self.err;
}

static void query_with_clock(int64_t hours)
{
    marty_error why = {0};
    marty_bus *wrong = open_wrong(hours), *bus = suite_open("user", NULL);
    EXPECT_OK(marty_handle_queries(bus, "profile", answer_it, NULL, NULL, NULL, &why), &why,
              "handling queries");
    suite_start(bus);
    marty_err err = ask(wrong, "user", 3000);
    if (err) {
        suite_skip("open: the asker's clock is off by %lld hours, and its query ends with %s",
                   (long long)hours, suite_err(err));
    }
    int64_t began = test_now_ms();
    err = ask(wrong, "nobody", 400);
    EXPECT(err == MARTY_E_TIMEOUT || err == MARTY_E_NO_RESPONDER, "asking nobody: %s",
           suite_err(err));
    EXPECT(test_now_ms() - began < 400 + test_patience(1500), "a timeout of 400 ms took %lld",
           (long long)(test_now_ms() - began));
}

void c43_query_behind(void)
{
    query_with_clock(-1);
}

void c43_query_ahead(void)
{
    query_with_clock(1);
}

typedef struct jumper {
    marty_delivery *kept;
} jumper;

static marty_err keep_one(void *user, marty_delivery *delivery, const heard *what)
{
    (void)what;
    jumper *self = user;
    self->kept = marty_delivery_keep(delivery);
    return MARTY_OK;
}

void c43_jump(void)
{
    /* Our clock jumps while a delivery is held: its lease is by the monotonic clock. */
    static shifted clock;
    static mover by;
    static marty_env env;
    jumper self = {0};
    marty_error why = {0};
    suite_set_keys("lease=1s");
    marty_bus *bus = open_shifted(&clock, &by, "billing", &env);
    recorder *first = recorder_new(keep_one, &self), *second = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "charge", first, NULL);
    EXPECT_OK(marty_bus_start(bus, &why), &why, "starting");
    pthread_create(&by.thread, NULL, move, &by);
    marty_bus *other = suite_open("billing", NULL);
    suite_publish(other, MARTY_COMMAND, "billing", "charge", "held", NULL, "x");
    EXPECT(recorder_wait(first, 1, 10000), "nothing came");
    atomic_store(&clock.wall_shift_us, 3600LL * 1000000);
    suite_subscribe(other, MARTY_COMMAND, "charge", second, NULL);
    suite_start(other);
    recorder_expect_quiet(second, 2500);
    atomic_store(&clock.wall_shift_us, -3600LL * 1000000);
    recorder_expect_quiet(second, 1500);
    EXPECT(marty_delivery_check(self.kept) == MARTY_OK, "the delivery was lost over a jump");
    EXPECT(marty_ack(self.kept) == MARTY_OK, "acking it");
    marty_delivery_release(self.kept);
    recorder_expect_quiet(second, 1500);
    atomic_store(&by.stop, true);
    pthread_join(by.thread, NULL);
}
