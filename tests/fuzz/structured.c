/* SPDX-License-Identifier: Apache-2.0
 * Structured events: what we read, jansson reads too, and the same in it. */
#include "tests/fuzz/fuzz.h"

#include <jansson.h>

/* A string attribute as the library has it; absent, null and empty are alike. */
static void check_attribute(const json_t *json, const char *name, const char *have)
{
    const json_t *value = json_object_get(json, name);
    const char *want = json_string_value(value);
    if (!want || !json_string_length(value)) {
        FUZZ_CHECK(!have || strcmp(name, "datacontenttype") == 0 ||
                   strcmp(name, "correlationid") == 0);
        return;
    }
    if (have || !strstr(name, "trace")) { /* a bad trace is dropped */
        FUZZ_CHECK(have && strlen(have) == json_string_length(value) && strcmp(have, want) == 0);
    }
}

static void check_extensions(const json_t *json, const marty_message *event)
{
    for (size_t i = 0; i < event->header_count; i++) {
        const marty_header *header = &event->headers[i];
        const json_t *value = json_object_get(json, header->name);
        const char *text = header->value.data;
        if (header->kind == MARTY_ATTRIBUTE) {
            FUZZ_CHECK(json_is_string(value) && json_string_length(value) == header->value.size);
            FUZZ_CHECK(memcmp(json_string_value(value), text, header->value.size) == 0);
        } else if (header->kind == MARTY_ATTRIBUTE_INTEGER) {
            FUZZ_CHECK(json_is_integer(value) &&
                       json_integer_value(value) == strtoll(text, NULL, 10));
        } else if (header->kind == MARTY_ATTRIBUTE_BOOLEAN) {
            FUZZ_CHECK(json_is_boolean(value) && json_is_true(value) == (text[0] == 't'));
        }
    }
}

static void check_oracle(const char *body, size_t size, const marty_message *event)
{
    json_error_t error;
    json_t *json = json_loadb(body, size, JSON_ALLOW_NUL, &error);
    if (!json) { /* JSON that this library cannot hold */
        FUZZ_CHECK(FUZZ_JANSSON_LIMIT(&error));
        return;
    }
    check_attribute(json, "id", event->id);
    check_attribute(json, "type", event->type);
    check_attribute(json, "source", event->source);
    check_attribute(json, "subject", event->subject);
    check_attribute(json, "partitionkey", event->key);
    check_attribute(json, "datacontenttype", event->content_type);
    check_attribute(json, "dataschema", event->schema);
    check_attribute(json, "correlationid", event->correlation_id);
    check_attribute(json, "causationid", event->causation_id);
    check_attribute(json, "traceparent", event->trace_parent);
    check_attribute(json, "tracestate", event->trace_state);
    check_extensions(json, event);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const marty_header header = {"content-type", marty_text("application/cloudevents+json"),
                                 MARTY_HEADER};
    char *body = fuzz_text(data, size);
    marty_message wire = {.headers = &header, .header_count = 1, .data = {body, size}};
    marty_message *event = NULL;
    marty_error why = {0};
    if (marty_message_decode(&event, &wire, "ce-", &why) == MARTY_OK) {
        check_oracle(body, size, event);
        fuzz_event(event);
        marty_message_unref(event);
    } else {
        FUZZ_CHECK(!event && why.code && why.text[0]);
    }
    free(body);
    return 0;
}
