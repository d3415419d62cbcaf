/* SPDX-License-Identifier: Apache-2.0
 * A saga's definition and, behind a line of "%%", events: no crash; what reads has a canonical form
 * that reads back as itself, can be linted and drawn; what replays gives lines of JSON. */
#include "saga/definition.h"
#include "tests/fuzz/fuzz.h"

#include <jansson.h>
#include <marty/saga_tools.h>

static void check_json(const char *text, size_t size)
{
    json_error_t error;
    json_t *json = json_loadb(text, size, 0, &error);
    FUZZ_CHECK(json || FUZZ_JANSSON_LIMIT(&error));
    json_decref(json);
}

static void check_canonical(const marty__saga_definition *definition)
{
    marty__saga_definition *again = NULL;
    marty_error why;
    FUZZ_CHECK(marty__saga_definition_read(&again, "again", definition->json, definition->json_size,
                                           &why) == MARTY_OK);
    FUZZ_CHECK(again->json_size == definition->json_size &&
               memcmp(again->json, definition->json, again->json_size) == 0);
    FUZZ_CHECK(memcmp(again->hash, definition->hash, sizeof again->hash) == 0);
    marty__saga_definition_free(again);
    check_json(definition->json, definition->json_size);
}

static void check_views(marty_bytes text)
{
    marty_message *report = NULL;
    marty_error why;
    FUZZ_CHECK(marty_saga_lint("f", text, &report, &why) == MARTY_OK);
    check_json(report->data.data, report->data.size);
    marty_message_unref(report);
    FUZZ_CHECK(marty_saga_graph("f", text, "dot", &report, &why) == MARTY_OK);
    marty_message_unref(report);
}

static void check_lines(marty_bytes lines)
{
    const char *at = lines.data, *end = at + lines.size;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        FUZZ_CHECK(stop);
        check_json(at, (size_t)(stop - at));
        at = stop + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    marty__saga_definition *definition = NULL;
    marty_message *report = NULL;
    marty_error why;
    const char *text = (const char *)data;
    const char *events = size ? memmem(text, size, "\n%%\n", 4) : NULL;
    size_t own = events ? (size_t)(events - text) + 1 : size;
    marty_bytes document = {text, own};
    if (marty__saga_definition_read(&definition, "f", text, own, &why)) {
        FUZZ_CHECK(why.text[0]);
        return 0;
    }
    check_canonical(definition);
    marty__saga_definition_free(definition);
    check_views(document);
    if (events) {
        marty_bytes lines = {events + 4, size - own - 3};
        if (marty_saga_replay("f", document, lines, &report, &why) == MARTY_OK) {
            check_lines(report->data);
            marty_message_unref(report);
        }
    }
    return 0;
}
