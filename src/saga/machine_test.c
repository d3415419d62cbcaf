/* SPDX-License-Identifier: Apache-2.0
 * The machine, row by row: what an order saga does when all is well, when a step is refused, when
 * an answer does not come, when people step in. After every event the history folds to the state.
 */
#include "test_machine.h"

static const char order[] =
    "saga: order\n"
    "version: 1\n"
    "steps:\n"
    "  - {name: validate, service: order, command: validate, kind: read_only}\n"
    "  - {name: reserve, service: inventory, command: reserve, compensate: release}\n"
    "  - {name: charge, service: payment, command: charge, kind: pivot, in_doubt: probe}\n"
    "  - {name: ship, service: shipping, command: ship, kind: retriable}\n";

static void a_good_order_completes(void)
{
    world w = world_new(order);
    start(&w, "{\"id\":7}");
    CHECK_TEXT(commands(&w), "forward validate.1");
    CHECK_HAS(last_data(&w), "\"input\":{\"id\":7}");
    answer(&w, "validate", MARTY__SAGA_OK, "{}");
    CHECK_TEXT(commands(&w), "forward reserve.1");
    answer(&w, "reserve", MARTY__SAGA_OK, "{\"ref\":1}");
    CHECK_TEXT(commands(&w), "forward charge.1");
    CHECK_HAS(last_data(&w), "\"reserve\":{\"ref\":1}");
    answer(&w, "charge", MARTY__SAGA_OK, "2");
    CHECK_TEXT(commands(&w), "forward ship.1");
    answer(&w, "ship", MARTY__SAGA_OK, "");
    CHECK_TEXT(word(&w), "completed");
    CHECK(w.history_bytes < 1024);
    printf("history of a finished order: %zu bytes, state %zu\n", w.history_bytes, w.state.size);
    world_free(&w);
}

static void a_refusal_undoes_what_was_done(void)
{
    world w = world_new(order);
    start(&w, "");
    answer(&w, "validate", MARTY__SAGA_OK, "");
    answer(&w, "reserve", MARTY__SAGA_OK, "{\"ref\":1}");
    answer(&w, "charge", MARTY__SAGA_REFUSED, "");
    CHECK_TEXT(commands(&w), "undo reserve.1");
    CHECK_HAS(last_data(&w), "\"outcome\":\"done\",\"result\":{\"ref\":1}");
    CHECK_TEXT(word(&w), "compensating");
    answer_undo(&w, "reserve", MARTY__SAGA_OK);
    CHECK_TEXT(word(&w), "compensated");
    answer(&w, "charge", MARTY__SAGA_OK, "");
    CHECK_INT(w.turn.ignored, MARTY__SAGA_IGNORED_ENDED);
    world_free(&w);
}

static void a_timeout_is_a_doubt_and_not_a_refusal(void)
{
    world w = world_new(order);
    start(&w, "");
    answer(&w, "validate", MARTY__SAGA_OK, "");
    answer(&w, "reserve", MARTY__SAGA_OK, "");
    pass_to_due(&w);
    CHECK_TEXT(commands(&w), "probe charge.1");
    CHECK_TEXT(status(&w, "charge"), "in-doubt");
    answer(&w, "charge", MARTY__SAGA_NOT_DONE, "");
    CHECK_TEXT(commands(&w), "forward charge.1");
    answer(&w, "charge", MARTY__SAGA_WAS_DONE, "");
    CHECK_TEXT(commands(&w), "forward ship.1");
    CHECK(w.turn.decoded->flags & MARTY__SAGA_PIVOT_PASSED);
    world_free(&w);
}

static void people_steer(void)
{
    world w = world_new(order);
    start(&w, "");
    answer(&w, "validate", MARTY__SAGA_OK, "");
    verb(&w, MARTY__SAGA_VERB_PAUSE, NULL, NULL);
    answer(&w, "reserve", MARTY__SAGA_OK, "");
    CHECK_TEXT(commands(&w), "");
    verb(&w, MARTY__SAGA_VERB_RESUME, NULL, NULL);
    CHECK_TEXT(commands(&w), "forward charge.1");
    verb(&w, MARTY__SAGA_VERB_CANCEL, NULL, NULL);
    CHECK_TEXT(word(&w), "running"); /* the pivot decides */
    answer(&w, "charge", MARTY__SAGA_OK, "");
    CHECK_TEXT(commands(&w), "forward ship.1");
    verb(&w, MARTY__SAGA_VERB_CANCEL, NULL, NULL);
    CHECK_HAS(w.turn.refused, "too late");
    answer(&w, "ship", MARTY__SAGA_REFUSED, "");
    CHECK_TEXT(word(&w), "stuck-forward");
    verb(&w, MARTY__SAGA_VERB_RETRY, "ship", NULL);
    CHECK_TEXT(commands(&w), "forward ship.1");
    answer(&w, "ship", MARTY__SAGA_OK, "");
    CHECK_TEXT(word(&w), "completed");
    world_free(&w);
}

static void groups_loops_and_maps(void)
{
    world w = world_new(
        "saga: shapes\nsteps:\n"
        "  - name: lines\n    each:\n      items: /input/lines\n      cap: 5\n      steps:\n"
        "        - {name: pick, service: s, command: pick, compensate: put, data: {line: /item}}\n"
        "  - name: poll\n    repeat:\n      until: {at: /results/ask, equals: 3}\n      cap: 9\n"
        "      steps:\n        - {name: ask, service: s, command: ask, kind: read_only}\n"
        "  - name: way\n    choice:\n"
        "      - {when: {at: /input/vip, equals: true}, steps: [{name: gift, service: s, command: "
        "gift, compensate: ungift}]}\n"
        "      - steps: [{name: card, service: s, command: card, compensate: uncard}]\n");
    start(&w, "{\"lines\":[\"a\",\"b\"],\"vip\":true}");
    CHECK_TEXT(commands(&w), "forward lines[0]/pick.1 forward lines[1]/pick.1");
    CHECK_TEXT(last_data(&w), "{\"line\":\"b\"}");
    answer(&w, "lines[1]/pick", MARTY__SAGA_OK, "");
    CHECK_TEXT(commands(&w), "");
    answer(&w, "lines[0]/pick", MARTY__SAGA_OK, "1");
    CHECK_TEXT(commands(&w), "forward poll[0]/ask.1");
    CHECK_HAS(last_data(&w), "\"lines\":[{\"pick\":1},{\"pick\":null}]");
    answer(&w, "poll[0]/ask", MARTY__SAGA_OK, "1");
    CHECK_TEXT(commands(&w), "forward poll[1]/ask.1");
    answer(&w, "poll[1]/ask", MARTY__SAGA_OK, "3.0");
    CHECK_TEXT(commands(&w), "forward gift.1");
    answer(&w, "gift", MARTY__SAGA_REFUSED, "");
    CHECK_TEXT(commands(&w), "undo lines[1]/pick.1 undo lines[0]/pick.1");
    answer_undo(&w, "lines[0]/pick", MARTY__SAGA_OK);
    answer_undo(&w, "lines[1]/pick", MARTY__SAGA_OK);
    CHECK_TEXT(word(&w), "compensated");
    world_free(&w);
}

static void signals_count_once(void)
{
    world w = world_new("saga: waits\nsteps:\n"
                        "  - {name: nap, timer: 5s}\n"
                        "  - {name: approval, signal: approved, ttl: 1h}\n"
                        "  - {name: pay, service: s, command: pay, compensate: refund}\n");
    start(&w, "");
    signal_(&w, "approved", "s1", "{\"by\":\"me\"}");
    signal_(&w, "approved", "s1", "{\"by\":\"me\"}");
    CHECK_INT(w.turn.ignored, MARTY__SAGA_IGNORED_DUPLICATE);
    pass_to_due(&w);
    CHECK_TEXT(commands(&w), "forward pay.1");
    CHECK_HAS(last_data(&w), "\"approval\":{\"by\":\"me\"}");
    world_free(&w);
}

static void probes_are_not_without_end(void)
{
    world w = world_new("saga: s\nversion: 1\nsteps:\n"
                        "  - {name: charge, service: payment, command: charge, kind: pivot, "
                        "in_doubt: probe, retry: {attempts: 5}}\n"
                        "  - {name: ship, service: shipping, command: ship, kind: retriable}\n");
    start(&w, "");
    for (int probe = 0; probe < 21; probe++) {
        CHECK(!marty__saga_state_stuck(w.turn.decoded));
        pass_to_due(&w);
    }
    CHECK_TEXT(word(&w), "stuck-forward");
    CHECK_INT(w.turn.due_us, 0);
    marty__saga_event event = {.kind = MARTY__SAGA_EVENT_VERB,
                               .verb = MARTY__SAGA_VERB_SUPPLY,
                               .id = "n1",
                               .who = "ann",
                               .no_effect = true};
    give(&w, &event); /* of which key? */
    CHECK_INT(w.err, MARTY_E_ARGUMENT);
    event.key = "0123456789abcdef0123456789abcdef";
    give(&w, &event);
    CHECK_INT(w.err, MARTY_E_STATE);
    verb(&w, MARTY__SAGA_VERB_SUPPLY, NULL, "{\"by\":\"hand\"}"); /* the only one stuck */
    CHECK_TEXT(commands(&w), "forward ship.1");
    world_free(&w);
}

static void limits_hold(void)
{
    static const struct {
        const char *input, *want;
    } cases[] = {{"{}", "there is no array where the items should be"},
                 {"{\"l\":[1,2,3]}", "more items than the cap allows"},
                 {"{\"l\":[1]}", "fewer items than must succeed"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world w =
            world_new("saga: m\nsteps:\n- name: e\n  each: {items: /input/l, cap: 2, join: 2, "
                      "steps: [{name: a, service: s, command: a, compensate: b}]}\n");
        start(&w, cases[i].input);
        CHECK_TEXT(word(&w), "compensated");
        CHECK_BYTES(w.turn.decoded->reason.data, w.turn.decoded->reason.size, cases[i].want,
                    strlen(cases[i].want));
        world_free(&w);
    }
    world w = world_new("saga: m\nsteps:\n- name: e\n  each: {items: /input/l, cap: 2, "
                        "steps: [{name: a, service: s, command: a, compensate: b}]}\n");
    start(&w, "{\"l\":[]}");
    CHECK_TEXT(word(&w), "completed");
    world_free(&w);
}

static void a_result_over_the_limit_is_dropped_and_the_step_is_done(void)
{
    world w = world_new(order);
    size_t size = MARTY__SAGA_RESULT_BYTES_MAX + 10;
    char *big = calloc(1, size + 1);
    REQUIRE(big);
    memset(big, 'x', size);
    big[0] = big[size - 1] = '"';
    big[size] = '\0';
    start(&w, "");
    answer(&w, "validate", MARTY__SAGA_OK, big);
    CHECK_TEXT(commands(&w), "forward reserve.1");
    CHECK_HAS(last_data(&w), "\"validate\":null");
    CHECK(w.turn.alert != NULL);
    free(big);
    world_free(&w);
}

static void a_saga_may_go_on_under_another_definition(void)
{
    world w = world_new(order);
    marty__saga_definition *to = NULL;
    start(&w, "");
    answer(&w, "validate", MARTY__SAGA_OK, "");
    const marty__saga_event event = {.kind = MARTY__SAGA_EVENT_VERB, .id = "m1", .who = "ann"};
    static const struct {
        const char *steps, *wrong;
    } cases[] = {
        {"- {name: check, service: o, command: c, kind: read_only}\n", "step validate is not in"},
        {"- {name: validate, timer: 1s}\n", "step validate is of another kind"},
        {"- {name: new, timer: 1s}\n- {name: validate, service: order, command: validate, kind: "
         "read_only}\n- {name: reserve, service: i, command: r, compensate: u}\n",
         "step validate has begun, and a step that is new beside it would never run"},
        {"- {name: validate, service: order, command: validate, kind: read_only}\n- {name: "
         "reserve, "
         "service: i, command: r, compensate: u}\n- {name: pack, service: p, command: pack, "
         "compensate: unpack}\n",
         NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[600];
        marty__saga_definition_free(to);
        int size =
            snprintf(text, sizeof text, "saga: order\nversion: 2\nsteps:\n%s", cases[i].steps);
        REQUIRE(!marty__saga_definition_read(&to, "m.yaml", text, (size_t)size, &w.why));
        marty_err err =
            marty__saga_migrate(w.definition, to, NULL, (marty_bytes){w.state.data, w.state.size},
                                &event, w.now_us, &w.turn, &w.why);
        CHECK_INT(err, cases[i].wrong ? MARTY_E_STATE : MARTY_OK);
        if (cases[i].wrong) {
            CHECK_HAS(w.why.text, cases[i].wrong);
        }
    }
    REQUIRE(w.turn.changed);
    fold(&w);
    marty__buffer_clear(&w.state);
    marty__buffer_add(&w.state, w.turn.state.data, w.turn.state.size);
    marty__saga_definition_free(w.definition);
    w.definition = to;
    answer(&w, "reserve", MARTY__SAGA_OK, "");
    CHECK_TEXT(commands(&w), "forward pack.1");
    world_free(&w);
}

/* What a store can keep. */
static void ids_and_keys_have_their_limits(void)
{
    char id[64], key[160];
    for (size_t more = 0; more < 3; more++) {
        world w = world_new(order);
        size_t id_size = MARTY__SAGA_ID_TEXT_MAX + more % 2;
        size_t key_size = MARTY__SAGA_START_KEY_MAX + more / 2;
        memset(id, 'i', sizeof id);
        memset(key, 'k', sizeof key);
        id[id_size] = key[key_size] = '\0';
        give(&w, &(marty__saga_event){.kind = MARTY__SAGA_EVENT_START,
                                      .saga = id,
                                      .start_key = key,
                                      .data = marty_text("{}")});
        CHECK_INT(w.err, more ? MARTY_E_ARGUMENT : MARTY_OK);
        world_free(&w);
    }
}

int main(void)
{
    probes_are_not_without_end();
    limits_hold();
    a_result_over_the_limit_is_dropped_and_the_step_is_done();
    a_saga_may_go_on_under_another_definition();
    a_good_order_completes();
    a_refusal_undoes_what_was_done();
    a_timeout_is_a_doubt_and_not_a_refusal();
    people_steer();
    groups_loops_and_maps();
    signals_count_once();
    ids_and_keys_have_their_limits();
    return check_result();
}
