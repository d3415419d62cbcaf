/* SPDX-License-Identifier: Apache-2.0
 * Timers come out in the order of their time, whatever was armed, armed anew and disarmed between.
 */
#include "heap.h"

#include "random.h"
#include "tests/check.h"

enum { TIMERS = 500, STEPS = 50000 };
static marty__timer timers[TIMERS];

static uint32_t chance(uint32_t below)
{
    uint32_t value = 0;
    marty__random_bytes(&value, sizeof value);
    return value % below;
}

static int64_t earliest(void)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < TIMERS; i++) {
        if (timers[i].armed && timers[i].at_ns < first) {
            first = timers[i].at_ns;
        }
    }
    return first;
}

static void an_empty_heap_has_no_next(void)
{
    marty__heap heap = {0};
    marty__timer timer = {0};
    CHECK_INT(marty__heap_next_ns(&heap), INT64_MAX);
    CHECK(!marty__heap_pop(&heap, INT64_MAX));
    marty__heap_remove(&heap, &timer); /* fine when it is not armed */
    marty__heap_add(&heap, &timer, 5);
    CHECK(timer.armed);
    CHECK(!marty__heap_pop(&heap, 4));
    CHECK_INT(marty__heap_next_ns(&heap), 5);
    CHECK(marty__heap_pop(&heap, 5) == &timer);
    CHECK(!timer.armed);
    CHECK_INT(marty__heap_next_ns(&heap), INT64_MAX);
}

static void arming_anew_moves_a_timer(void)
{
    marty__heap heap = {0};
    marty__timer a = {0}, b = {0};
    marty__heap_add(&heap, &a, 1);
    marty__heap_add(&heap, &b, 2);
    marty__heap_add(&heap, &a, 3);
    CHECK(marty__heap_pop(&heap, 10) == &b);
    CHECK(marty__heap_pop(&heap, 10) == &a);
    CHECK(!marty__heap_pop(&heap, 10));
}

static void a_long_random_use_keeps_order(void)
{
    marty__heap heap = {0};
    unsigned wrong = 0;
    for (int step = 0; step < STEPS; step++) {
        marty__timer *timer = &timers[chance(TIMERS)];
        switch (chance(4)) {
        case 0:
        case 1:
            marty__heap_add(&heap, timer, (int64_t)chance(1000) - 500);
            break;
        case 2:
            marty__heap_remove(&heap, timer);
            wrong += timer->armed;
            break;
        default:
            timer = marty__heap_pop(&heap, (int64_t)chance(1000) - 500);
            wrong += timer && timer->at_ns > earliest(); /* it is no longer among the armed */
            break;
        }
        if (step % 16 == 0) {
            wrong += marty__heap_next_ns(&heap) != earliest();
        }
    }
    int64_t last = INT64_MIN;
    for (marty__timer *timer; (timer = marty__heap_pop(&heap, INT64_MAX));) {
        wrong += timer->at_ns < last;
        last = timer->at_ns;
    }
    wrong += earliest() != INT64_MAX;
    CHECK_INT(wrong, 0);
}

static void many_in_order_need_no_deep_stack(void)
{
    enum { MANY = 200000 };
    marty__heap heap = {0};
    marty__timer *many = calloc(MANY, sizeof *many);
    REQUIRE(many);
    for (size_t i = 0; i < MANY; i++) {
        marty__heap_add(&heap, &many[i], (int64_t)i);
    }
    unsigned wrong = 0;
    for (size_t i = 0; i < MANY; i++) {
        wrong += marty__heap_pop(&heap, INT64_MAX) != &many[i];
    }
    CHECK_INT(wrong, 0);
    free(many);
}

int main(void)
{
    an_empty_heap_has_no_next();
    arming_anew_moves_a_timer();
    a_long_random_use_keeps_order();
    many_in_order_need_no_deep_stack();
    return check_result();
}
