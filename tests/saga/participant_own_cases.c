/* SPDX-License-Identifier: Apache-2.0
 * What a participant of this library must do beside: effects that go wrong, or end the transaction
 * that they were given, are not answered as done, leave nothing behind, and hinder no other. */
#include "participant.h"

static void what_fails_is_asked_again(world *w)
{
    char order[32];
    world_order(w, order);
    command charge = {.order = order, .key = key_of(order, "f"), .act = "fail"};
    world_expect(w, &charge, "retry");
    CHECK_INT(w->count(w, "charge", order), 0);
    charge.act = "none";
    charge.attempt = 2;
    world_expect(w, &charge, "ok");
    CHECK_INT(w->count(w, "charge", order), 1);
}

static void an_effect_that_ends_the_transaction_has_done_nothing(world *w)
{
    static const char *const acts[] = {"commit", "roll back", "begin anew", "commit and begin",
                                       "commit and fail"};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        char order[32];
        world_order(w, order);
        command charge = {.order = order, .key = key_of(order, "f"), .act = acts[i]};
        answer got = world_ask(w, &charge);
        CHECK_TEXT(got.word, "retry");
        CHECK_HAS(got.reason, "ended the transaction");
        if (!CHECK_INT(w->count(w, "charge", order), 0)) {
            fprintf(stderr, "    act %s\n", acts[i]);
        }
        charge.act = "none";
        charge.attempt = 2;
        world_expect(w, &charge, "ok");
        CHECK_INT(w->count(w, "charge", order), 1);
    }
}

/* All of them wait together, so that they are one batch. */
static void it_hinders_no_other(world *w)
{
    enum { OTHERS = 20 };
    char orders[OTHERS][32], bad[32], key[80];
    world_order(w, bad);
    (void)snprintf(key, sizeof key, "%s", key_of(bad, "f"));
    command wrong = {.order = bad, .key = key, .act = "commit"};
    for (int i = 0; i < OTHERS; i++) {
        world_order(w, orders[i]);
        world_send(w, &(command){.order = orders[i], .key = key_of(orders[i], "f")});
        if (i % 7 == 3) {
            world_send(w, &wrong);
        }
    }
    for (int i = 0; i < OTHERS; i++) {
        answer got = {.word = "nothing"};
        CHECK(world_wait(w, key_of(orders[i], "f"), 0, &got));
        CHECK_TEXT(got.word, "ok");
        CHECK_INT(w->count(w, "charge", orders[i]), 1);
    }
    answer got = {.word = "nothing"};
    CHECK(world_wait(w, key, 2, &got)); /* each of the three */
    CHECK_INT(w->count(w, "charge", bad), 0);
}

void participant_own_cases(world *w)
{
    what_fails_is_asked_again(w);
    an_effect_that_ends_the_transaction_has_done_nothing(w);
    it_hinders_no_other(w);
}
