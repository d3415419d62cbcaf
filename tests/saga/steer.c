/* SPDX-License-Identifier: Apache-2.0
 * Migration and previews over the public calls: what would change is shown and not done, what is
 * done is done once, and a history is told in the words of the definition that it was made under.
 */
#include <marty/marty.h>
#include <marty/saga.h>

#include "check.h"

static const char first[] = "saga: order\nversion: 1\nsteps:\n"
                            "  - {name: reserve, local: reserve, compensate: release}\n"
                            "  - {name: approval, signal: approved}\n"
                            "  - {name: ship, local: ship, compensate: unship}\n";
/* ship has not begun, so it may have something new before it. */
static const char second[] = "saga: order\nversion: 2\nsteps:\n"
                             "  - {name: reserve, local: reserve, compensate: release}\n"
                             "  - {name: approval, signal: approved}\n"
                             "  - {name: pack, local: pack, compensate: unpack}\n"
                             "  - {name: ship, local: ship, compensate: unship}\n";
static const char third[] = "saga: order\nversion: 3\nsteps:\n"
                            "  - {name: check, local: check, compensate: uncheck}\n"
                            "  - {name: reserve, local: reserve, compensate: release}\n"
                            "  - {name: approval, signal: approved}\n";
static const char fourth[] = "saga: order\nversion: 4\nsteps:\n"
                             "  - {name: approval, signal: approved}\n"
                             "  - {name: ship, local: ship, compensate: unship}\n";

static atomic_int packed;

static marty_err done(void *user, marty_operation *operation, void *transaction)
{
    (void)transaction;
    atomic_fetch_add(&packed, strcmp(operation->step, "pack") == 0);
    return marty_operation_reply(operation, marty_text(user));
}

static marty_saga_engine *engine;
static char id[40];

static char *report_of(marty_message *report)
{
    static char text[60000];
    (void)snprintf(text, sizeof text, "%.*s", report ? (int)report->data.size : 0,
                   report ? (const char *)report->data.data : "");
    marty_message_unref(report);
    return text;
}

static char *shown(bool history)
{
    marty_message *report = NULL;
    marty_error why = {0};
    CHECK_INT(marty_saga_show(engine, id, history, &report, &why), MARTY_OK);
    return report_of(report);
}

static marty_saga_order order_to(uint32_t version, const char *own)
{
    return (marty_saga_order){.who = "kim", .note = "new packing", .id = own, .version = version};
}

static void a_preview_changes_nothing(void)
{
    marty_message *report = NULL;
    marty_error why = {0};
    marty_saga_order order = order_to(2, NULL);
    CHECK_INT(marty_saga_preview(engine, id, MARTY_SAGA_MIGRATE, &order, &report, &why), MARTY_OK);
    const char *text = report_of(report);
    CHECK_HAS(text, "\"changed\":true");
    CHECK_HAS(text, "\"entry\":\"migrated\"");
    CHECK_HAS(text, "\"definition_version\":2");
    CHECK_HAS(shown(true), "\"definition_version\":1");
    CHECK(strstr(shown(true), "migrated") == NULL);
}

static void a_preview_of_any_verb(void)
{
    marty_message *report = NULL;
    marty_error why = {0};
    marty_saga_order order = {.who = "kim"};
    CHECK_INT(marty_saga_preview(engine, id, MARTY_SAGA_CANCEL, &order, &report, &why), MARTY_OK);
    const char *text = report_of(report);
    CHECK_HAS(text, "\"command\":\"local-undo\"");
    CHECK_HAS(text, "\"type\":\"release\"");
    CHECK_INT(marty_saga_preview(engine, id, MARTY_SAGA_RETRY, &order, &report, &why),
              MARTY_E_STATE);
    CHECK_HAS(why.text, "nothing is stuck");
    CHECK_HAS(shown(false), "\"state\":\"running\"");
}

static void refused_for_a_reason(void)
{
    static const struct {
        uint32_t version;
        marty_err err;
        const char *text;
    } cases[] = {
        {3, MARTY_E_STATE, "step reserve has begun"},
        {4, MARTY_E_STATE, "step reserve is not in the new definition"},
        {9, MARTY_E_NOT_FOUND, "order version 9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        marty_message *report = NULL;
        marty_error why = {0};
        marty_saga_order order = order_to(cases[i].version, NULL);
        CHECK_INT(marty_saga_preview(engine, id, MARTY_SAGA_MIGRATE, &order, &report, &why),
                  cases[i].err);
        CHECK_HAS(why.text, cases[i].text);
        CHECK_INT(marty_saga_act(engine, id, MARTY_SAGA_MIGRATE, &order, &why), cases[i].err);
        CHECK_HAS(why.text, cases[i].text);
    }
    CHECK_HAS(shown(false), "\"definition_version\":1");
}

static void done_once(void)
{
    marty_error why = {0};
    marty_saga_order order = order_to(2, "change-7");
    CHECK_INT(marty_saga_act(engine, id, MARTY_SAGA_MIGRATE, &order, &why), MARTY_OK);
    CHECK_INT(marty_saga_act(engine, id, MARTY_SAGA_MIGRATE, &order, &why), MARTY_OK);
    order.id = "change-8"; /* it is there already */
    CHECK_INT(marty_saga_act(engine, id, MARTY_SAGA_MIGRATE, &order, &why), MARTY_OK);
    const char *text = shown(true), *once = strstr(text, "\"entry\":\"migrated\"");
    CHECK_HAS(text, "\"definition_version\":2");
    CHECK_HAS(text, "\"who\":\"kim\",\"note\":\"new packing\"");
    CHECK(once && strstr(once + 1, "\"entry\":\"migrated\"") == NULL);
}

static void goes_on_under_the_new_one(void)
{
    marty_error why = {0};
    marty_saga_status status = 0;
    marty_saga_order order = {.signal = "approved"};
    CHECK_INT(marty_saga_act(engine, id, MARTY_SAGA_SIGNAL, &order, &why), MARTY_OK);
    CHECK_INT(marty_saga_wait(engine, id, 0, &status, &why), MARTY_OK);
    CHECK_INT(status, MARTY_SAGA_COMPLETED);
    CHECK_INT(atomic_load(&packed), 1);
    const char *text = shown(true);
    CHECK_HAS(text, "\"step\":\"reserve\""); /* opened under the first definition */
    CHECK_HAS(text, "\"step\":\"pack\"");
    order = order_to(1, NULL);
    CHECK_INT(marty_saga_act(engine, id, MARTY_SAGA_MIGRATE, &order, &why), MARTY_E_STATE);
    CHECK_HAS(why.text, "ended");
}

/* Steps that stand elsewhere in the document have other numbers, and keep their names. */
static void history_keeps_its_words(void)
{
    static const char before[] =
        "saga: words\nversion: 1\nsteps:\n"
        "  - {name: a, signal: go}\n  - {name: b, local: b, kind: read_only}\n";
    static const char after[] = "saga: words\nversion: 2\nsteps:\n"
                                "  - name: g\n    parallel:\n      branches:\n"
                                "      - [{name: x, signal: go}]\n";
    marty_error why = {0};
    CHECK_INT(marty_saga_register(engine, NULL, before, &why), MARTY_OK);
    CHECK_INT(marty_saga_start(engine, "words", NULL, marty_text("{}"), NULL, id, &why), MARTY_OK);
    CHECK_INT(marty_saga_register(engine, NULL, after, &why), MARTY_OK);
    CHECK_HAS(shown(true), "\"step\":\"a\""); /* it stays with the first */
    marty_saga_order order = order_to(0, NULL);
    CHECK_INT(marty_saga_act(engine, id, MARTY_SAGA_MIGRATE, &order, &why), MARTY_E_STATE);
    CHECK_HAS(why.text, "step a");
}

static void set_up(marty_bus **ret_bus)
{
    static const char *const functions[] = {"reserve", "release", "ship", "pack"};
    static const char *const documents[] = {first, second, third, fourth};
    marty_error why = {0};
    marty_bus_options options = {.service = "shop"};
    REQUIRE(marty_bus_open(ret_bus, "memory:", &options, &why) == MARTY_OK);
    REQUIRE(marty_saga_open(&engine, *ret_bus, "memory:", NULL, &why) == MARTY_OK);
    REQUIRE(marty_bus_start(*ret_bus, &why) == MARTY_OK);
    for (size_t i = 0; i < 4; i++) {
        CHECK_INT(marty_saga_function(engine, functions[i], done, "{\"x\":1}", &why), MARTY_OK);
        if (!CHECK_INT(marty_saga_register(engine, NULL, documents[i], &why), MARTY_OK)) {
            fprintf(stderr, "%s\n", why.text);
        }
    }
    marty_saga_start_options one = {.version = 1};
    CHECK_INT(marty_saga_start(engine, "order", "o-1", marty_text("{}"), &one, id, &why), MARTY_OK);
    CHECK_SOON(strstr(shown(false), "\"step\":\"approval\"") != NULL, 10000);
}

int main(void)
{
    marty_bus *bus = NULL;
    set_up(&bus);
    a_preview_changes_nothing();
    a_preview_of_any_verb();
    refused_for_a_reason();
    done_once();
    goes_on_under_the_new_one();
    history_keeps_its_words();
    CHECK_INT(marty_saga_close(engine, 0, NULL), MARTY_OK);
    marty_bus_free(bus);
    return check_result();
}
