/* SPDX-License-Identifier: Apache-2.0
 * C43: clocks that are an hour off, or jump: delays, leases, deadlines and times to live hold. A
 * bus with a wall clock of its own has no thread; a thread of the case moves it. */
#include "contracts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
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

static bool is_up(void *user)
{
    marty_error why = {0};
    marty_message *report = NULL;
    EXPECT_OK(marty_bus_report(user, MARTY_REPORT_HEALTH, &report, &why), &why, "asking health");
    bool up = memmem(report->data.data, report->data.size, "\"state\":\"up\"", 12) != NULL;
    marty_message_unref(report);
    return up;
}

/* Opens it, has it moved, and waits until it is connected. */
static marty_bus *open_shifted(shifted *clock, mover *by, const char *service, marty_env *env)
{
    *env = (marty_env){.user = clock, .wall_us = shifted_wall};
    by->bus = suite_open_with(
        NULL, &(marty_bus_options){.service = service, .driven = true, .lazy = true, .env = env});
    pthread_create(&by->thread, NULL, move, by);
    EXPECT(test_wait_for(is_up, by->bus, 10000), "a bus with a clock of its own did not connect");
    return by->bus;
}

/* ---- what the host with the wrong clock does: in a process of its own where that can be */

static void publish_on(marty_bus *bus, const char *id, const marty_publish_options *options)
{
    marty_error why = {0};
    marty_message message = {.type = "charge", .id = id, .data = marty_text("x")};
    EXPECT_OK(suite_try_publish(bus, MARTY_COMMAND, "billing", &message, options, NULL, &why), &why,
              "publishing with a clock that is off");
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

enum { ASK_MS = 8000 };

static void ask_on(marty_bus *bus)
{
    marty_err err = ask(bus, "user", ASK_MS);
    EXPECT(err == MARTY_OK, "the asker's clock is off: its query ends with %s", suite_err(err));
    int64_t began = test_now_ms();
    err = ask(bus, "nobody", 400);
    EXPECT(err == MARTY_E_TIMEOUT || err == MARTY_E_NO_RESPONDER, "asking nobody: %s",
           suite_err(err));
    EXPECT(test_now_ms() - began < 400 + test_patience(SUITE_PAUSE_MS),
           "a timeout of 400 ms took %lld", (long long)(test_now_ms() - began));
}

static void do_it(marty_bus *bus, const char *what)
{
    if (strcmp(what, "schedule") == 0) {
        publish_on(bus, "later", &(marty_publish_options){.deliver_in_ms = 700});
    } else if (strcmp(what, "expire") == 0) {
        publish_on(bus, "lives", &(marty_publish_options){.expires_in_ms = 60000});
    } else {
        ask_on(bus);
    }
}

void role_wrong_clock(int count, char *words[])
{
    EXPECT(count == 1, "what to do?");
    marty_bus *bus = suite_open("shop", NULL);
    suite_start(bus);
    do_it(bus, words[0]);
    suite_close(bus);
}

static void on_a_wrong_host(const char *what, int64_t seconds)
{
    if (suite_has_processes()) {
        const char *words[] = {what, NULL};
        test_process process = suite_spawn_off("wrong_clock", words, (long)seconds);
        suite_join(&process, 15000);
        return;
    }
    marty_error why = {0};
    static shifted wrong;
    static mover by;
    static marty_env env;
    atomic_store(&wrong.wall_shift_us, seconds * 1000000);
    marty_bus *bus = open_shifted(&wrong, &by, "shop", &env);
    EXPECT_OK(marty_bus_start(bus, &why), &why, "starting");
    do_it(bus, what);
}

static void delay_with_clock(int64_t hours)
{
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "charge", heard_, NULL);
    suite_start(bus);
    int64_t began = test_now_ms();
    on_a_wrong_host("schedule", hours * 3600);
    EXPECT(recorder_wait(heard_, 1, 10000), "clock off by %lld hours: due in 700 ms, did not come",
           (long long)hours);
    int64_t after = recorder_at(heard_, 0).at_ms - began;
    EXPECT(after >= 698 && after <= 700 + test_patience(SUITE_PAUSE_MS),
           "clock off by %lld hours: due in 700 ms, came after %lld", (long long)hours,
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

void c43_expiry(void)
{
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "charge", heard_, NULL);
    suite_start(bus);
    on_a_wrong_host("expire", -3600);
    EXPECT(recorder_wait(heard_, 1, 15000), "the sender's clock is an hour behind: a message that "
                                            "lives 60 s was dropped as expired");
}

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_over(void *until_ms)
{
    return test_now_ms() >= *(const int64_t *)until_ms;
}

/* Answers after a while; the asker waits 8 s from now by this clock, whatever its own says. */
static marty_err answer_it(void *user, marty_delivery *query)
{
    marty_error why = {0};
    int64_t left_ms = query->deadline_ms - wall_ms();
    EXPECT(left_ms > ASK_MS - test_patience(SUITE_PAUSE_MS) && left_ms <= ASK_MS + 10,
           "the asker waits %d ms: the handler is told %lld", ASK_MS, (long long)left_ms);
    int64_t until_ms = test_now_ms() + *(const int *)user; /* its work, on any machine as long */
    test_wait_for(is_over, &until_ms, 3000);
    marty_err err = marty_reply(query, NULL, &why);
    EXPECT(err == MARTY_OK, "replying in time: %s %s", suite_err(err), why.text);
    return err;
}

static void query_with_clock(int64_t seconds, int work_ms)
{
    marty_error why = {0};
    marty_bus *bus = suite_open("user", NULL);
    EXPECT_OK(marty_handle_queries(bus, "profile", answer_it, &work_ms, NULL, NULL, &why), &why,
              "handling queries");
    suite_start(bus);
    on_a_wrong_host("ask", seconds);
    suite_close(bus);
}

void c43_query_behind(void)
{
    query_with_clock(-3600, 0);
}

void c43_query_ahead(void)
{
    query_with_clock(3600, 0);
}

void c43_query_near(void)
{
    query_with_clock(1 - ASK_MS / 1000, 1500); /* it seems to have been too late after a second */
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
    if (suite_has_processes()) {
        suite_skip("a clock of its own needs a backend inside the process");
    }
    suite_set_keys("lease=6s"); /* which its renewals outlast, held up or not */
    marty_bus *bus = open_shifted(&clock, &by, "billing", &env);
    recorder *first = recorder_new(keep_one, &self), *second = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "charge", first, NULL);
    EXPECT_OK(marty_bus_start(bus, &why), &why, "starting");
    marty_bus *other = suite_open("billing", NULL);
    suite_publish(other, MARTY_COMMAND, "billing", "charge", "held", NULL, "x");
    EXPECT(recorder_wait(first, 1, 10000), "nothing came");
    atomic_store(&clock.wall_shift_us, 3600LL * 1000000);
    suite_subscribe(other, MARTY_COMMAND, "charge", second, NULL);
    suite_start(other);
    recorder_expect_quiet(second, 7000);
    atomic_store(&clock.wall_shift_us, -3600LL * 1000000);
    recorder_expect_quiet(second, 1500);
    EXPECT(marty_delivery_check(self.kept) == MARTY_OK, "the delivery was lost over a jump");
    EXPECT(marty_ack(self.kept) == MARTY_OK, "acking it");
    marty_delivery_release(self.kept);
    recorder_expect_quiet(second, 1500);
    atomic_store(&by.stop, true);
    pthread_join(by.thread, NULL);
}
