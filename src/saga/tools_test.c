/* SPDX-License-Identifier: Apache-2.0
 * Lint, graph and replay, as a program calls them. */
#include "check.h"

#include <marty/saga_tools.h>

static const char order[] =
    "saga: order\nversion: 1\nsteps:\n"
    "- {name: reserve, service: inventory, command: reserve, compensate: release}\n"
    "- name: lines\n  each: {items: /input/lines, cap: 3, steps: [{name: pick, service: s, "
    "command: "
    "pick, compensate: put}]}\n"
    "- name: way\n  choice: [{when: {at: /input/vip, equals: true}, steps: [{name: gift, service: "
    "s, command: gift, compensate: ungift}]}]\n"
    "- {name: charge, service: payment, command: charge, kind: pivot, in_doubt: probe}\n";

static void lint(void)
{
    marty_message *report = NULL;
    marty_error why = {0};
    REQUIRE(!marty_saga_lint("o.yaml", marty_text(order), &report, &why));
    CHECK_HAS(report->data.data, "\"errors\":0,\"findings\":[]");
    CHECK_HAS(report->data.data, "\"canonical\":{\"saga\":\"order\"");
    marty_message_unref(report);
    const char *bad = "saga: x\nsteps:\n- {name: a, service: s, command: c}\n";
    REQUIRE(!marty_saga_lint("o.yaml", marty_text(bad), &report, &why));
    CHECK_HAS(report->data.data, "\"errors\":1");
    CHECK_HAS(report->data.data, "\"code\":\"no-undo\",\"line\":3,\"step\":\"a\"");
    marty_message_unref(report);
    CHECK_INT(marty_saga_lint("o.yaml", marty_text("steps: 1\n"), &report, &why), MARTY_E_CONFIG);
    CHECK_HAS(why.text, "o.yaml:1: steps: expected a list");
}

static void graph(void)
{
    marty_message *report = NULL;
    marty_error why = {0};
    REQUIRE(!marty_saga_graph("o.yaml", marty_text(order), "dot", &report, &why));
    CHECK_HAS(report->data.data, "digraph saga {");
    CHECK_HAS(report->data.data, "label=\"charge\\npivot\", shape=doubleoctagon");
    CHECK_HAS(report->data.data, "label=\"release\", shape=box, style=dashed");
    marty_message_unref(report);
    REQUIRE(!marty_saga_graph("o.yaml", marty_text(order), "mermaid", &report, &why));
    CHECK_HAS(report->data.data, "flowchart LR");
    CHECK_HAS(report->data.data, "n0 --> n1");
    marty_message_unref(report);
    CHECK_INT(marty_saga_graph("o.yaml", marty_text(order), "png", &report, &why),
              MARTY_E_ARGUMENT);
}

static void replay(void)
{
    static const char events[] =
        "# an order of one line\n"
        "{\"event\":\"start\",\"at\":\"2026-01-01T00:00:00Z\",\"saga\":\"s1\",\"input\":{\"lines\":"
        "[7]}}\n"
        "{\"event\":\"reply\",\"step\":\"reserve\",\"reply\":\"ok\",\"data\":{\"ref\":1}}\n"
        "{\"event\":\"reply\",\"step\":\"reserve\",\"reply\":\"ok\",\"data\":{\"ref\":1}}\n"
        "\n"
        "{\"event\":\"reply\",\"step\":\"lines[0]/pick\",\"reply\":\"ok\"}\n"
        "{\"event\":\"verb\",\"verb\":\"retry\",\"step\":\"charge\",\"id\":\"v1\",\"who\":\"ann\"}"
        "\n"
        "{\"event\":\"tick\",\"after_ms\":30000}\n"
        "{\"event\":\"reply\",\"step\":\"charge\",\"reply\":\"not_done\"}\n"
        "{\"event\":\"reply\",\"step\":\"charge\",\"reply\":\"rejected\",\"reason\":\"no "
        "money\"}\n";
    marty_message *report = NULL;
    marty_error why = {0};
    marty_err err =
        marty_saga_replay("o.yaml", marty_text(order), marty_text(events), &report, &why);
    if (err) {
        fprintf(stderr, "%s\n", why.text);
    }
    REQUIRE(!err);
    const char *out = report->data.data;
    CHECK_HAS(out, "{\"line\":2,\"changed\":true,\"due\":\"2026-01-01T00:00:30Z\",\"commands\":[{"
                   "\"command\":\"forward\",\"step\":\"reserve\",\"service\":\"inventory\"");
    CHECK_HAS(out, "{\"line\":4,\"changed\":false,\"ignored\":\"duplicate\"");
    CHECK_HAS(out, "{\"line\":7,\"error\":\"saga s1: the step is neither stuck nor in doubt, nor "
                   "was an attempt in vain\"}");
    CHECK_HAS(out, "\"command\":\"probe\",\"step\":\"charge\"");
    CHECK_HAS(out, "\"command\":\"undo\",\"step\":\"lines[0]/pick\"");
    CHECK_HAS(out, "\"state\":\"compensating\"");
    marty_message_unref(report);
    CHECK_INT(marty_saga_replay("o.yaml", marty_text(order),
                                marty_text("\n{\"event\":\"dance\"}\n"), &report, &why),
              MARTY_E_MALFORMED);
    CHECK_TEXT(why.text, "events:2: event: not one that is known");
    CHECK_INT(marty_saga_replay("o.yaml", marty_text(order),
                                marty_text("{\"event\":\"reply\",\"key\":\"k\",\"reply\":"
                                           "\"ok\",\"attempt\":4294967297}\n"),
                                &report, &why),
              MARTY_E_MALFORMED);
    CHECK_TEXT(why.text, "events:1: attempt: over 4294967295");
}

#define VERSION(number, more)                                                                      \
    "{\"saga\":\"s\",\"version\":" number ",\"steps\":[{\"name\":\"ask\",\"signal\":\"go\"}" more  \
    "]}"
#define MIGRATE(definition)                                                                        \
    "{\"event\":\"migrate\",\"id\":\"m1\",\"who\":\"ann\",\"definition\":" definition "}\n"

static void replay_goes_on_under_another_definition(void)
{
    static const char more[] = ",{\"name\":\"tell\",\"service\":\"post\",\"command\":\"tell\","
                               "\"kind\":\"read_only\"}";
    char events[2000];
    marty_message *report = NULL;
    marty_error why = {0};
    snprintf(events, sizeof events, "%s%s%s%s%s",
             "{\"event\":\"start\",\"saga\":\"s1\"}\n"
             "{\"event\":\"migrate\",\"id\":\"m0\",\"who\":\"ann\",\"definition\":{\"saga\":\"s\","
             "\"steps\":[{\"name\":\"other\",\"timer\":\"1s\"}]}}\n"
             "{\"event\":\"migrate\",\"id\":\"m1\",\"who\":\"ann\",\"definition\":{\"saga\":\"s\","
             "\"version\":2,\"steps\":[{\"name\":\"ask\",\"signal\":\"go\"}",
             more, "]}}\n",
             MIGRATE(VERSION("2", ",{\"name\":\"tell\",\"service\":\"post\","
                                  "\"command\":\"tell\",\"kind\":\"read_only\"}")),
             "{\"event\":\"signal\",\"name\":\"go\",\"id\":\"g\"}\n");
    marty_err err = marty_saga_replay("s.json", marty_text(VERSION("1", "")), marty_text(events),
                                      &report, &why);
    CHECK_TEXT(why.text, "");
    REQUIRE(!err);
    const char *out = report->data.data;
    CHECK_HAS(out, "{\"line\":2,\"error\":\"");
    CHECK_HAS(out, "{\"entry\":\"migrated\",\"definition_version\":2");
    CHECK_HAS(out, "{\"line\":4,\"changed\":false,\"ignored\":\"duplicate\"");
    CHECK_HAS(out, "\"command\":\"forward\",\"step\":\"tell\"");
    marty_message_unref(report);
    CHECK_INT(marty_saga_replay("s.json", marty_text(VERSION("1", "")),
                                marty_text("{\"event\":\"migrate\",\"id\":\"m\",\"who\":\"a\"}\n"),
                                &report, &why),
              MARTY_E_MALFORMED);
    CHECK_HAS(why.text, "events:1: definition: is missing");
    err = marty_saga_replay("s.json", marty_text(VERSION("1", "")),
                            marty_text(MIGRATE(VERSION("2", ""))), &report, &why);
    REQUIRE(!err);
    CHECK_HAS((const char *)report->data.data, "\"ignored\":\"unknown\"");
    marty_message_unref(report);
}

int main(void)
{
    replay_goes_on_under_another_definition();
    lint();
    graph();
    replay();
    return check_result();
}
