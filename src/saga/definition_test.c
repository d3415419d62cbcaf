/* SPDX-License-Identifier: Apache-2.0
 * Definitions: a document and C structs give the same hash, the canonical form reads back as
 * itself, mistakes name their place, and lint finds each kind of mistake by its word. */
#include "saga/definition.h"

#include "check.h"

static marty__saga_definition *read_text(const char *text, marty_error *why)
{
    marty__saga_definition *made = NULL;
    return marty__saga_definition_read(&made, "s.yaml", text, strlen(text), why) ? NULL : made;
}

static void c_and_yaml_are_the_same(void)
{
    static const marty_step steps[] = {
        {.name = "reserve",
         .service = "inventory",
         .command = "reserve",
         .compensate = "release",
         .retry = {.attempts = 5}},
        {.name = "charge",
         .service = "payment",
         .command = "charge",
         .kind = MARTY_STEP_PIVOT,
         .in_doubt = MARTY_IN_DOUBT_PROBE},
        {.name = "ship", .service = "shipping", .command = "ship", .kind = MARTY_STEP_RETRIABLE}};
    const marty_saga saga = {
        .name = "order", .version = 2, .steps = steps, .step_count = 3, .deadline_ms = 60000};
    marty__saga_definition *from_c = NULL;
    marty_error why = {0};
    REQUIRE(!marty__saga_definition_build(&from_c, &saga, &why));
    marty__saga_definition *from_yaml =
        read_text("saga: order\nversion: 2\ndeadline: 1m\nsteps:\n"
                  "- {name: reserve, service: inventory, command: reserve, compensate: release,"
                  " retry: {attempts: 5}}\n"
                  "- name: charge\n  service: payment\n  command: charge\n  kind: pivot\n"
                  "  in_doubt: probe\n"
                  "- {name: ship, service: shipping, command: ship, kind: retriable}\n",
                  &why);
    REQUIRE(from_yaml);
    CHECK_TEXT(from_yaml->json, from_c->json);
    CHECK_BYTES(from_yaml->hash, sizeof from_yaml->hash, from_c->hash, sizeof from_c->hash);
    marty__saga_definition *again = read_text(from_c->json, &why);
    REQUIRE(again);
    CHECK_TEXT(again->json, from_c->json);
    CHECK_BYTES(again->hash, sizeof again->hash, from_c->hash, sizeof from_c->hash);
    marty__saga_definition_free(from_c);
    marty__saga_definition_free(from_yaml);
    marty__saga_definition_free(again);
}

static const char everything[] =
    "saga: all\nversion: 3\nundo_completed: true\nundo_order: strict\nevents: true\nsteps:\n"
    "- {name: a, local: f, outside: true, compensate: {local: g, timeout: 3s}, data: /input}\n"
    "- {name: b, saga: child, saga_version: 4, data: {x: /input/x, \"y \\\"z\": /results/a}}\n"
    "- name: c\n  parallel: {join: 1, on_refusal: cut, branches: [[{name: d, service: s, command: "
    "d, compensate: e, at_most_once: true, in_doubt: hold}], [{name: h, timer: 90s}]]}\n"
    "- name: i\n  choice:\n"
    "  - {when: [{at: /input/n, at_least: 3}, {at: /input/m, exists: false}], steps: [{name: j, "
    "signal: go, ttl: 2h}]}\n  - steps: []\n"
    "- name: k\n  repeat: {while: {at: /results/l/v, differs: ''}, cap: 7, steps: [{name: l, "
    "service: s, command: l, compensate: m, retry: {attempts: 3, first: 1s, max: 9s, jitter: "
    "none}, heartbeat: 2s, start_timeout: 4s, total_timeout: 5m}]}\n"
    "- name: n\n  each: {items: /input/list, cap: 9, at_once: 2, join: 1, steps: [{name: o, "
    "service: s, command: o, compensate: {command: p, service: q}}]}\n";

static void the_canonical_form_reads_back_as_itself(void)
{
    marty_error why = {0};
    marty__saga_definition *first = read_text(everything, &why);
    if (!first) {
        fprintf(stderr, "%s\n", why.text);
    }
    REQUIRE(first);
    marty__saga_definition *again = read_text(first->json, &why);
    if (!again) {
        fprintf(stderr, "%s\n%s\n", why.text, first->json);
    }
    REQUIRE(again);
    CHECK_TEXT(again->json, first->json);
    marty__saga_definition_free(first);
    marty__saga_definition_free(again);
}

static void mistakes_name_their_place(void)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"saga: x\nsteps:\n- name: a\n  comand: b\n", "s.yaml:4: steps[0]: unknown key \"comand\""},
        {"saga: x\nsteps:\n- name: a\n  command: b\n", "s.yaml:3: step \"a\": service"},
        {"saga: x\nsteps:\n- {name: a, timer: 5s}\n- {name: a, timer: 5s}\n",
         "s.yaml:4: step \"a\": name: another step"},
        {"saga: x\nsteps:\n- {name: a, timer: five}\n", "s.yaml:3: steps[0].timer"},
        {"saga: x\nsteps:\n- {name: a}\n", "must be exactly one of command"},
        {"saga: x\nsteps:\n- {name: a, timer: 1s, signal: b}\n", "must be exactly one of command"},
        {"saga: x\nsteps:\n- {name: a, each: {items: /input, steps: []}}\n", "cap"},
        {"saga: x\nsteps:\n- {name: a, each: {items: input, cap: 2, steps: []}}\n", "JSON pointer"},
        {"saga: x\nsteps:\n- {name: a, repeat: {cap: 2, steps: []}}\n",
         "either \"while\" or \"until\""},
        {"saga: x\nsteps: []\n", "there are none"},
        {"# of x\nsaga: x y\nsteps:\n- {name: a, timer: 1s}\n",
         "s.yaml:2: saga: its name must have"},
        {"saga: x\nsteps:\n- {name: a, local: f, compensate: {command: g}}\n",
         "expected \"local\""},
        {"saga: x\nsteps:\n- {name: a, choice: [{when: {at: /input}, steps: []}]}\n",
         "a test needs"},
        {"", "nothing in it"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        marty_error why = {0};
        marty__saga_definition *made = read_text(cases[i].text, &why);
        CHECK(!made);
        CHECK_HAS(why.text, cases[i].want);
        marty__saga_definition_free(made);
    }
}

static void lint_finds_each_mistake(void)
{
#define CMD(name, more) "{name: " name ", service: s, command: " name more "}"
#define C(name) CMD(name, ", compensate: un")
#define PIVOT(name) CMD(name, ", kind: pivot")
    static const struct {
        const char *steps, *code;
    } cases[] = {
        {"- " C("a") "\n- " PIVOT("b") "\n- " CMD("c", ", kind: retriable") "\n", NULL},
        {"- " CMD("a", "") "\n", "no-undo"},
        {"- " PIVOT("a") "\n- " PIVOT("b") "\n", "two-pivots"},
        {"- " PIVOT("a") "\n- " C("b") "\n", "after-pivot"},
        {"- " CMD("a", ", kind: retriable") "\n", "retriable-before-pivot"},
        {"- {name: g, parallel: {branches: [[" PIVOT("a") "], [" C("b") "]]}}\n", "pivot-beside"},
        {"- {name: g, each: {items: /input, cap: 2, steps: [" PIVOT("a") "]}}\n", "pivot-repeats"},
        {"- {name: g, repeat: {cap: 2, until: {at: /input, exists: true}, steps: [" PIVOT(
             "a") "]}}\n",
         "pivot-repeats"},
        {"- " CMD("a", ", kind: pivot, in_doubt: compensate") "\n", "doubt-without-undo"},
        {"- {name: a, local: f, compensate: g, in_doubt: probe}\n", "probe-local"},
        {"- " CMD("a", ", compensate: un, at_most_once: true") "\n", "once-and-again"},
        {"- {name: g, choice: [{steps: [" C("a") "]}, {steps: []}]}\n", "unreachable"},
        {"- {name: g, parallel: {join: 1, branches: [[" C("a") ", " C("b") "], [" C("c") "]]}}\n",
         "effect-before-failure"},
        {"- " CMD("a", ", compensate: un, data: /results/zz") "\n", "unknown-step"},
        {"- " CMD("a", ", compensate: un, data: /foo") "\n", "unknown-pointer"},
        {"- " CMD("a", ", compensate: un, data: /item") "\n", "item-outside"},
        {"- " CMD("a", ", compensate: un, data: /results/b") "\n- " C("b") "\n", "late-result"},
        {"- " CMD("a", ", kind: read_only, compensate: un") "\n", "needless-undo"},
        {"- " CMD("a", ", compensate: un, heartbeat: 60s") "\n", "slow-heartbeat"},
        {"- " CMD("a", ", compensate: un, total_timeout: 1s") "\n", "total-below-attempt"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1000];
        marty_error why = {0};
        marty__arena arena = {0};
        const marty__saga_finding *found = NULL;
        snprintf(text, sizeof text, "saga: x\nsteps:\n%s", cases[i].steps);
        marty__saga_definition *made = read_text(text, &why);
        if (!made) {
            fprintf(stderr, "%s: %s\n", cases[i].steps, why.text);
        }
        REQUIRE(made);
        REQUIRE(!marty__saga_lint(made, &arena, &found, &why));
        CHECK_TEXT(found ? found->code : NULL, cases[i].code);
        marty__arena_free(&arena);
        marty__saga_definition_free(made);
    }
}

int main(void)
{
    c_and_yaml_are_the_same();
    the_canonical_form_reads_back_as_itself();
    mistakes_name_their_place();
    lint_finds_each_mistake();
    return check_result();
}
