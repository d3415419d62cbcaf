/* SPDX-License-Identifier: Apache-2.0
 * A child saga and what its parent is told: of the start, again and again; of a cancel and an undo,
 * before the start, in the middle, too late, after the end. */
#include "test_machine.h"

static const char forward_key[] = "0123456789abcdef0123456789abcdef";
static const char undo_key[] = "fedcba9876543210fedcba9876543210";
#define STEPS                                                                                      \
    "steps:\n"                                                                                     \
    "- {name: p, service: s, command: p, kind: pivot, compensate: unp}\n"                          \
    "- {name: r, service: s, command: r, kind: retriable, compensate: unr}\n"
static const char can_undo[] = "saga: child\nundo_completed: true\n" STEPS;
static const char cannot_undo[] = "saga: child\n" STEPS;

static void parent(world *w, marty__saga_event_kind kind, const char *key, uint32_t attempt)
{
    give(w,
         &(marty__saga_event){
             .kind = kind, .saga = "saga-1", .key = key, .attempt = attempt, .parent = "parent-1"});
}

static void start_child(world *w, uint32_t attempt)
{
    parent(w, MARTY__SAGA_EVENT_START, forward_key, attempt);
}

/* The answer among the commands: its reply; 0 = there is none. */
static marty__saga_reply told(const world *w, const char *key)
{
    for (size_t i = 0; i < w->turn.command_count; i++) {
        const marty__saga_command *command = &w->turn.commands[i];
        if (command->kind == MARTY__SAGA_ANSWER) {
            CHECK_TEXT(command->key, key);
            CHECK_TEXT(command->child, "parent-1");
            return command->reply;
        }
    }
    return 0;
}

static void a_start_is_answered_again(void)
{
    world w = world_new(can_undo);
    start_child(&w, 1);
    CHECK_INT(told(&w, forward_key), MARTY__SAGA_ACCEPTED);
    start_child(&w, 2);
    CHECK(!w.turn.changed);
    CHECK_INT(told(&w, forward_key), MARTY__SAGA_PROGRESS);
    answer(&w, "p", MARTY__SAGA_OK, "1");
    answer(&w, "r", MARTY__SAGA_OK, "2");
    CHECK_INT(told(&w, forward_key), MARTY__SAGA_OK);
    CHECK_TEXT(last_data(&w), "{\"r\":2,\"p\":1}");
    start_child(&w, 3);
    CHECK(!w.turn.changed);
    CHECK_INT(told(&w, forward_key), MARTY__SAGA_OK);
    world_free(&w);
}

static void an_undo_may_come_before_its_start(void)
{
    world w = world_new(can_undo);
    parent(&w, MARTY__SAGA_EVENT_PARENT_UNDO, undo_key, 1);
    CHECK_TEXT(word(&w), "compensated");
    CHECK_INT(told(&w, undo_key), MARTY__SAGA_OK);
    start_child(&w, 1);
    CHECK(!w.turn.changed);
    CHECK_INT(told(&w, forward_key), MARTY__SAGA_REFUSED);
    CHECK(w.turn.commands[0].tombstone);
    world_free(&w);
    w = world_new(can_undo);
    parent(&w, MARTY__SAGA_EVENT_PARENT_CANCEL, forward_key, 1);
    CHECK_INT(told(&w, forward_key), MARTY__SAGA_REFUSED);
    CHECK(w.turn.commands[0].tombstone);
    start_child(&w, 1);
    CHECK_INT(told(&w, forward_key), MARTY__SAGA_REFUSED);
    world_free(&w);
}

static void an_undo_that_is_too_late_to_cancel_undoes_the_end(void)
{
    world w = world_new(can_undo);
    start_child(&w, 1);
    parent(&w, MARTY__SAGA_EVENT_PARENT_UNDO, undo_key, 1);
    CHECK_INT(told(&w, undo_key), MARTY__SAGA_ACCEPTED);
    answer(&w, "p", MARTY__SAGA_OK, "");
    CHECK_TEXT(commands(&w), "forward r.1");
    parent(&w, MARTY__SAGA_EVENT_PARENT_UNDO, undo_key, 2);
    CHECK(!w.turn.changed);
    CHECK_INT(told(&w, undo_key), MARTY__SAGA_PROGRESS);
    answer(&w, "r", MARTY__SAGA_OK, "");
    CHECK_TEXT(commands(&w), "undo r.1");
    CHECK_TEXT(word(&w), "compensating");
    answer_undo(&w, "r", MARTY__SAGA_OK);
    answer_undo(&w, "p", MARTY__SAGA_OK);
    CHECK_TEXT(word(&w), "compensated");
    CHECK_INT(told(&w, undo_key), MARTY__SAGA_OK);
    start_child(&w, 9); /* what was told of F stays as it was: it had completed */
    CHECK_INT(told(&w, forward_key), MARTY__SAGA_OK);
    world_free(&w);
}

static void an_undo_of_what_was_purged_is_not_empty(void)
{
    world w = world_new(can_undo);
    marty__saga_event event = {.kind = MARTY__SAGA_EVENT_PARENT_UNDO,
                               .cause = "parent",
                               .saga = "saga-1",
                               .parent = "parent-1",
                               .key = undo_key,
                               .attempt = 1,
                               .known = true};
    give(&w, &event);
    CHECK_TEXT(word(&w), "abandoned");
    CHECK_INT(told(&w, undo_key), MARTY__SAGA_LEFT);
    parent(&w, MARTY__SAGA_EVENT_PARENT_UNDO, undo_key, 2);
    CHECK_INT(told(&w, undo_key), MARTY__SAGA_LEFT);
    world_free(&w);
}

static void what_cannot_be_undone_refuses_it(void)
{
    world w = world_new(cannot_undo);
    start_child(&w, 1);
    answer(&w, "p", MARTY__SAGA_OK, "");
    parent(&w, MARTY__SAGA_EVENT_PARENT_UNDO, undo_key, 1);
    answer(&w, "r", MARTY__SAGA_OK, "");
    CHECK_TEXT(word(&w), "completed");
    CHECK_INT(told(&w, undo_key), MARTY__SAGA_REFUSED);
    parent(&w, MARTY__SAGA_EVENT_PARENT_UNDO, undo_key, 2);
    CHECK_INT(told(&w, undo_key), MARTY__SAGA_REFUSED);
    world_free(&w);
}

static void what_is_left_is_told_as_left(void)
{
    world w = world_new(can_undo);
    start_child(&w, 1);
    verb(&w, MARTY__SAGA_VERB_ABANDON, NULL, NULL);
    CHECK_TEXT(word(&w), "abandoned");
    CHECK_INT(told(&w, forward_key), MARTY__SAGA_LEFT);
    parent(&w, MARTY__SAGA_EVENT_PARENT_UNDO, undo_key, 1);
    CHECK_INT(told(&w, undo_key), MARTY__SAGA_LEFT);
    world_free(&w);
}

static void a_cancel_waits_for_the_pivot(void)
{
    world w = world_new(can_undo);
    start_child(&w, 1);
    parent(&w, MARTY__SAGA_EVENT_PARENT_CANCEL, forward_key, 1);
    CHECK_INT(told(&w, forward_key), 0);
    answer(&w, "p", MARTY__SAGA_REFUSED, "");
    CHECK_TEXT(word(&w), "compensated");
    CHECK_INT(told(&w, forward_key), MARTY__SAGA_REFUSED);
    parent(&w, MARTY__SAGA_EVENT_PARENT_CANCEL, forward_key, 2);
    CHECK(!w.turn.changed);
    CHECK_INT(told(&w, forward_key), MARTY__SAGA_REFUSED);
    world_free(&w);
}

int main(void)
{
    a_start_is_answered_again();
    an_undo_may_come_before_its_start();
    an_undo_that_is_too_late_to_cancel_undoes_the_end();
    an_undo_of_what_was_purged_is_not_empty();
    what_cannot_be_undone_refuses_it();
    what_is_left_is_told_as_left();
    a_cancel_waits_for_the_pivot();
    return check_result();
}
