/* SPDX-License-Identifier: Apache-2.0
 * Threads, locks and waits with a deadline. */
#include "thread.h"

#include "clock.h"
#include "gate.h"
#include "tests/check.h"

#include <signal.h>

typedef struct shared {
    marty__mutex mutex;
    marty__cond cond;
    int turn;
    long sum;
    bool masked;
    char name[32];
} shared;

static void *take_turns(void *argument)
{
    shared *with = argument;
    sigset_t mask;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &mask);
    marty__lock(&with->mutex);
    with->masked = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGCHLD) == 1;
    for (int i = 0; i < 1000; i++) {
        while (with->turn != 1) {
            (void)marty__wait(&with->cond, &with->mutex, MARTY__NEVER);
        }
        with->sum += i;
        with->turn = 0;
        marty__wake_all(&with->cond);
    }
    (void)pthread_getname_np(pthread_self(), with->name, sizeof with->name);
    marty__unlock(&with->mutex);
    return NULL;
}

static void threads_take_turns(void)
{
    shared with = {.turn = 0};
    pthread_t thread;
    sigset_t before, after;
    REQUIRE(marty__mutex_init(&with.mutex) && marty__cond_init(&with.cond));
    (void)pthread_sigmask(SIG_BLOCK, NULL, &before);
    REQUIRE(marty__thread_start(&thread, "marty-test", take_turns, &with));
    (void)pthread_sigmask(SIG_BLOCK, NULL, &after);
    CHECK_INT(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
    int64_t deadline_ns = marty__deadline_ns(marty__monotonic_ns(), 20000);
    bool late = false;
    marty__lock(&with.mutex);
    for (int i = 0; i < 1000 && !late; i++) {
        with.turn = 1;
        marty__wake_one(&with.cond);
        while (with.turn != 0 && !late) {
            late = !marty__wait(&with.cond, &with.mutex, deadline_ns);
        }
    }
    marty__unlock(&with.mutex);
    REQUIRE(!late);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_INT(with.sum, 999 * 1000 / 2);
    CHECK(with.masked);
    CHECK_TEXT(with.name, "marty-test");
    marty__cond_free(&with.cond);
    marty__mutex_free(&with.mutex);
}

static void a_wait_ends_at_its_deadline(void)
{
    marty__mutex mutex;
    marty__cond cond;
    REQUIRE(marty__mutex_init(&mutex) && marty__cond_init(&cond));
    marty__lock(&mutex);
    int64_t now_ns = marty__monotonic_ns();
    bool woken = true;
    while (woken) { /* it may wake by itself */
        woken = marty__wait(&cond, &mutex, marty__deadline_ns(now_ns, 5));
    }
    CHECK(marty__monotonic_ns() >= marty__deadline_ns(now_ns, 5));
    CHECK(!marty__wait(&cond, &mutex, now_ns)); /* long past */
    marty__unlock(&mutex);
    marty__cond_free(&cond);
    marty__mutex_free(&mutex);
}

static void *go_through(void *argument)
{
    marty__gate *gate = argument;
    bool mine = marty__gate_enter(gate, MARTY__NEVER);
    marty__gate_leave(gate);
    return mine ? argument : NULL;
}

static void a_gate_is_waited_for_up_to_a_deadline(void)
{
    marty__gate gate;
    pthread_t thread;
    void *went = NULL;
    REQUIRE(marty__gate_init(&gate));
    CHECK(marty__gate_enter(&gate, 0)); /* nobody has it, so there is nothing to wait for */
    CHECK(!marty__gate_enter(&gate, marty__deadline_ns(marty__monotonic_ns(), 5)));
    REQUIRE(pthread_create(&thread, NULL, go_through, &gate) == 0);
    marty__gate_leave(&gate);
    CHECK(pthread_join(thread, &went) == 0);
    CHECK(went == &gate);
    CHECK(marty__gate_enter(&gate, 0));
    marty__gate_leave(&gate);
    marty__gate_free(&gate);
}

int main(void)
{
    a_gate_is_waited_for_up_to_a_deadline();
    threads_take_turns();
    a_wait_ends_at_its_deadline();
    return check_result();
}
