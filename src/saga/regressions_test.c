/* SPDX-License-Identifier: Apache-2.0
 * What other engines got wrong, each under the name that their users gave it. Those that need a
 * store, a broker or two engines are in tests/saga. */
#include "test_machine.h"

static const char two[] =
    "saga: two\nsteps:\n"
    "  - {name: a, service: s, command: a, compensate: una, retry: {attempts: 2, jitter: none}}\n"
    "  - {name: b, service: s, command: b, compensate: unb, in_doubt: compensate}\n";

static void timer_after_end(void)
{
    world w = world_new(two);
    start(&w, "");
    uint64_t token = w.turn.decoded->slots[1].timers[MARTY__SAGA_TIMER_MAIN].token;
    CHECK(token != 0);
    answer(&w, "a", MARTY__SAGA_OK, "");
    answer(&w, "b", MARTY__SAGA_OK, "");
    CHECK_TEXT(word(&w), "completed");
    CHECK_INT(w.turn.due_us, 0);
    w.now_us += INT64_C(3600) * 1000000;
    give(&w, &(marty__saga_event){.kind = MARTY__SAGA_EVENT_TIMER, .token = token});
    CHECK_INT(w.turn.ignored, MARTY__SAGA_IGNORED_STALE);
    tick(&w);
    CHECK_INT(w.turn.ignored, MARTY__SAGA_IGNORED_ENDED);
    world_free(&w);
}

static void double_failure_handler(void)
{
    world w = world_new("saga: p\nsteps:\n"
                        "  - {name: a, service: s, command: a, compensate: una}\n"
                        "  - name: g\n    parallel:\n      branches:\n"
                        "      - [{name: b, service: s, command: b, compensate: unb}]\n"
                        "      - [{name: c, service: s, command: c, compensate: unc}]\n");
    start(&w, "");
    answer(&w, "a", MARTY__SAGA_OK, "");
    answer(&w, "b", MARTY__SAGA_REFUSED, "");
    CHECK_TEXT(commands(&w), ""); /* c is awaited */
    answer(&w, "c", MARTY__SAGA_REFUSED, "");
    CHECK_TEXT(commands(&w), "undo a.1"); /* one undo for two failures */
    answer(&w, "c", MARTY__SAGA_REFUSED, "");
    CHECK_TEXT(commands(&w), "");
    CHECK_INT(w.turn.ignored, MARTY__SAGA_IGNORED_DUPLICATE);
    world_free(&w);
}

static void cancel_then_undo(void)
{
    world w = world_new(two);
    start(&w, "");
    answer(&w, "a", MARTY__SAGA_OK, "");
    verb(&w, MARTY__SAGA_VERB_CANCEL, NULL, NULL);
    CHECK_TEXT(commands(&w), "undo b.1");          /* its doubt is undone at once */
    verb(&w, MARTY__SAGA_VERB_CANCEL, NULL, NULL); /* a second cancel stops no undo */
    answer_undo(&w, "b", MARTY__SAGA_OK);
    CHECK_TEXT(commands(&w), "undo a.1");
    answer_undo(&w, "a", MARTY__SAGA_OK);
    CHECK_TEXT(word(&w), "compensated");
    world_free(&w);
}

static void pause_with_reply_in_flight(void)
{
    world w = world_new(two);
    start(&w, "");
    verb(&w, MARTY__SAGA_VERB_PAUSE, NULL, NULL);
    answer(&w, "a", MARTY__SAGA_OK, "{\"x\":1}");
    CHECK(w.turn.changed); /* recorded */
    CHECK_TEXT(commands(&w), "");
    CHECK_TEXT(status(&w, "a"), "done");
    verb(&w, MARTY__SAGA_VERB_RESUME, NULL, NULL);
    CHECK_TEXT(commands(&w), "forward b.1");
    world_free(&w);
}

static void undo_before_forward(void)
{
    world w = world_new(two);
    start(&w, "");
    answer(&w, "a", MARTY__SAGA_OK, "");
    pass_to_due(&w); /* no answer of b: it may never have arrived */
    CHECK_TEXT(commands(&w), "undo b.1");
    CHECK_HAS(last_data(&w), "\"outcome\":\"unknown\"");
    CHECK(!w.turn.commands[0].known);
    CHECK_INT(w.turn.commands[0].expires_us, 0); /* a late undo is a right undo */
    answer_undo(&w, "b", MARTY__SAGA_OK);
    CHECK_TEXT(commands(&w), "undo a.1");
    world_free(&w);
}

static void late_success_after_undo(void)
{
    world w = world_new(two);
    start(&w, "");
    answer(&w, "a", MARTY__SAGA_OK, "");
    pass_to_due(&w);
    answer(&w, "b", MARTY__SAGA_OK, "{\"late\":1}");
    CHECK_TEXT(status(&w, "b"), "undoing");
    CHECK_TEXT(commands(&w), "");
    CHECK(w.turn.changed); /* recorded, once */
    answer(&w, "b", MARTY__SAGA_OK, "{\"late\":1}");
    CHECK(!w.turn.changed);
    answer_undo(&w, "b", MARTY__SAGA_RETRY);
    pass_to_due(&w);
    CHECK_TEXT(commands(&w), "undo b.2");
    CHECK_HAS(last_data(&w), "\"outcome\":\"unknown\""); /* the mark that it began with */
    world_free(&w);
}

static void child_create_lost(void)
{
    world w = world_new("saga: parent\nsteps:\n"
                        "  - {name: c, saga: child, retry: {first: 1s, jitter: none}}\n");
    start(&w, "");
    CHECK_TEXT(commands(&w), "start c.1");
    char child[MARTY__SAGA_TEXT];
    snprintf(child, sizeof child, "%s", w.turn.commands[0].child);
    pass_to_due(&w);
    pass_to_due(&w);
    CHECK_TEXT(commands(&w), "start c.2"); /* asked again, for the same one */
    CHECK_TEXT(w.turn.commands[0].child, child);
    verb(&w, MARTY__SAGA_VERB_CANCEL, NULL, NULL);
    CHECK_TEXT(commands(&w), "cancel c.2");
    pass_to_due(&w);
    pass_to_due(&w);
    CHECK_TEXT(commands(&w), "cancel c.3"); /* and never started after that */
    world_free(&w);
}

static void undo_retry_limit(void)
{
    world w = world_new("saga: l\nsteps:\n"
                        "  - {name: a, service: s, command: a, compensate: {command: una, retry: "
                        "{attempts: 3, jitter: none}}}\n"
                        "  - {name: b, service: s, command: b, compensate: unb}\n");
    start(&w, "");
    answer(&w, "a", MARTY__SAGA_OK, "");
    answer(&w, "b", MARTY__SAGA_REFUSED, "");
    for (int attempt = 1; attempt <= 3; attempt++) {
        CHECK_TEXT(status(&w, "a"), "undoing");
        pass_to_due(&w);
        if (attempt < 3) {
            pass_to_due(&w);
        }
    }
    CHECK_TEXT(word(&w), "stuck-undo");
    CHECK(w.turn.alert != NULL);
    CHECK_INT(w.turn.due_us, 0);
    verb(&w, MARTY__SAGA_VERB_WAIVE, "a", NULL);
    CHECK_TEXT(word(&w), "compensated");
    CHECK(w.turn.decoded->flags & MARTY__SAGA_RESIDUE);
    world_free(&w);
}

int main(void)
{
    timer_after_end();
    double_failure_handler();
    cancel_then_undo();
    pause_with_reply_in_flight();
    undo_before_forward();
    late_success_after_undo();
    child_create_lost();
    undo_retry_limit();
    return check_result();
}
