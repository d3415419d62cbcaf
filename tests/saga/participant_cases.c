/* SPDX-License-Identifier: Apache-2.0
 * What every participant must do, in whatever language: the rules of docs/guide/participants.md. */
#include "participant.h"

static command undo_of(const command *charge)
{
    return (command){.type = "refund",
                     .order = charge->order,
                     .direction = "undo",
                     .key = key_of(charge->order, "u"),
                     .forward = charge->key};
}

static void once_however_often_it_is_asked(world *w)
{
    char order[32];
    world_order(w, order);
    command charge = {.order = order, .key = key_of(order, "f")};
    answer first = world_ask(w, &charge);
    CHECK_TEXT(first.word, "ok");
    CHECK_INT(w->count(w, "charge", order), 1);
    for (charge.attempt = 2; charge.attempt < 5; charge.attempt++) {
        answer again = world_ask(w, &charge);
        CHECK_TEXT(again.word, "ok");
        CHECK_TEXT(again.data, first.data);
        CHECK_INT(again.attempt, charge.attempt);
    }
    CHECK_INT(w->count(w, "charge", order), 1);
}

static void refused_for_good(world *w)
{
    char order[32];
    world_order(w, order);
    command charge = {.order = order, .key = key_of(order, "f"), .card = "4000-0000"};
    world_expect(w, &charge, "rejected");
    charge.card = "4000-0001"; /* also when it would do it now */
    answer again = world_ask(w, &charge);
    CHECK_TEXT(again.word, "rejected");
    CHECK_TEXT(again.reason, "card refused");
    CHECK(!again.tombstone);
    CHECK_INT(w->count(w, "charge", order), 0);
    command undo = undo_of(&charge);
    world_expect(w, &undo, "ok");
    CHECK_INT(w->count(w, "refund", order), 0);
    command probe = {.order = order, .key = charge.key, .direction = "probe"};
    world_expect(w, &probe, "not_done");
}

static void undone_once(world *w)
{
    char order[32];
    world_order(w, order);
    command charge = {.order = order, .key = key_of(order, "f")};
    command undo = undo_of(&charge);
    world_expect(w, &charge, "ok");
    for (undo.attempt = 1; undo.attempt < 4; undo.attempt++) {
        world_expect(w, &undo, "ok");
    }
    CHECK_INT(w->count(w, "refund", order), 1);
    charge.attempt = 2; /* a late one changes nothing */
    world_expect(w, &charge, "ok");
    CHECK_INT(w->count(w, "charge", order), 1);
    command probe = {.order = order, .key = charge.key, .direction = "probe"};
    world_expect(w, &probe, "done"); /* undone since, but done */
}

static void an_undo_that_came_first_seals_its_forward(world *w)
{
    char order[32];
    world_order(w, order);
    command charge = {.order = order, .key = key_of(order, "f")};
    command undo = undo_of(&charge);
    world_expect(w, &undo, "ok");
    world_expect(w, &charge, "tombstone");
    world_expect(w, &charge, "tombstone");
    world_expect(w, &undo, "ok");
    CHECK_INT(w->count(w, "charge", order), 0);
    CHECK_INT(w->count(w, "refund", order), 0);
    command probe = {.order = order, .key = charge.key, .direction = "probe"};
    world_expect(w, &probe, "not_done");
}

static void what_was_forgotten_is_undone_by_its_result(world *w)
{
    char order[32];
    world_order(w, order);
    command undo = {.type = "refund",
                    .order = order,
                    .direction = "undo",
                    .key = key_of(order, "u"),
                    .forward = key_of(order, "f"),
                    .known = true};
    world_expect(w, &undo, "ok");
    world_expect(w, &undo, "ok");
    CHECK_INT(w->count(w, "refund", order), 1);
}

static void a_probe_of_what_is_unknown_seals_it(world *w)
{
    char order[32];
    world_order(w, order);
    command charge = {.order = order, .key = key_of(order, "f")};
    command probe = {.order = order, .key = charge.key, .direction = "probe"};
    world_expect(w, &probe, "not_done");
    world_expect(w, &charge, "tombstone");
    CHECK_INT(w->count(w, "charge", order), 0);
    world_expect(w, &probe, "not_done");
    command undo = undo_of(&charge);
    world_expect(w, &undo, "ok");
    CHECK_INT(w->count(w, "refund", order), 0);
}

static void a_probe_of_what_is_done_says_its_result(world *w)
{
    char order[32];
    world_order(w, order);
    command charge = {.order = order, .key = key_of(order, "f")};
    command probe = {.order = order, .key = charge.key, .direction = "probe"};
    answer first = world_ask(w, &charge), asked = world_ask(w, &probe);
    CHECK_TEXT(asked.word, "done");
    CHECK_TEXT(asked.data, first.data);
}

/* It is not done, and not refused for good either: a clock that is ahead must not refuse all. */
static void an_expired_command_is_not_done(world *w)
{
    char order[32];
    world_order(w, order);
    command charge = {.order = order, .key = key_of(order, "f"), .expires_ms = 300};
    command next = {.order = order, .key = key_of(order, "next")};
    if (w->freeze) {
        w->freeze(w, true);
        world_send(w, &charge);
        int64_t sent_ms = check_now_ms();
        CHECK_SOON(check_now_ms() > sent_ms + 500, ANSWER_MS); /* its time is over */
        w->freeze(w, false);
        world_expect(w, &next, "ok"); /* what was sent before was handled before */
        CHECK_INT(w->count(w, "charge", order), 1);
        answer got = {.word = "nothing"};
        CHECK(world_wait(w, charge.key, 0, &got));
        CHECK_TEXT(got.word, "retry");
    }
    charge.expires_ms = 0;
    charge.attempt = 2;
    int before = w->count(w, "charge", order);
    world_expect(w, &charge, "ok");
    CHECK_INT(w->count(w, "charge", order), before + 1);
}

static void what_it_answered_it_knows_after_kill_9(world *w)
{
    char order[32];
    world_order(w, order);
    if (!w->restart) {
        return;
    }
    command charge = {.order = order, .key = key_of(order, "f")};
    command none = {.order = order, .key = key_of(order, "none"), .card = "4000-0000"};
    world_expect(w, &charge, "ok");
    world_expect(w, &none, "rejected");
    command more = {.order = order, .key = key_of(order, "more")};
    world_send(w, &more); /* it may be killed anywhere in it */
    w->restart(w);
    charge.attempt = none.attempt = more.attempt = 2;
    world_expect(w, &charge, "ok");
    world_expect(w, &none, "rejected");
    world_expect(w, &more, "ok");
    CHECK_INT(w->count(w, "charge", order), 2);
}

/* Nobody could be answered: the next one is. */
static void what_lacks_attributes_stops_nobody(world *w)
{
    char order[32];
    world_order(w, order);
    command nameless = {.order = order};
    world_send(w, &nameless);
    command charge = {.order = order, .key = key_of(order, "f")};
    world_expect(w, &charge, "ok");
    CHECK_INT(w->count(w, "charge", order), 1);
}

void participant_cases(world *w)
{
    once_however_often_it_is_asked(w);
    refused_for_good(w);
    undone_once(w);
    an_undo_that_came_first_seals_its_forward(w);
    what_was_forgotten_is_undone_by_its_result(w);
    a_probe_of_what_is_unknown_seals_it(w);
    a_probe_of_what_is_done_says_its_result(w);
    an_expired_command_is_not_done(w);
    what_it_answered_it_knows_after_kill_9(w);
    what_lacks_attributes_stops_nobody(w);
}
