/* SPDX-License-Identifier: Apache-2.0
 * The envelope of the Python services, byte for byte, both ways. */
#include "test_tools.h"

#include <jansson.h>

static marty_message *wire_of(marty_message *to, const char *body)
{
    *to = (marty_message){.data = marty_text(body)};
    return to;
}

static void what_python_would_write_is_written(void)
{
    const marty_header headers[] = {{"tenant", {"bl\xc3\xbc", 4}, MARTY_HEADER},
                                    {"replyto", {"_INBOX.x", 8}, MARTY_ATTRIBUTE}};
    marty_message template_ = {
        .type = "user_registered",
        .data = marty_text("{\"user_id\":\"123\",\"big\":12345678901234567890,\"f\":1.0,"
                           "\"n\":[1, 2],\n\"u\":\"\xc3\xbc \xf0\x9f\x98\x80 / \\/ \\u00fc\","
                           "\"e\":{},\"t\":true}"),
        .id = "0198c0de-0000-7000-8000-000000000000",
        .correlation_id = "c",
        .time_us = INT64_C(1767323045678901),
        .expires_us = INT64_C(1767323135678901),
        .key = "k",
        .headers = headers,
        .header_count = 2};
    marty_message *wire = encode(&template_, MARTY_LEGACY, NULL);
    const char *want =
        "{\"data\": {\"user_id\": \"123\", \"big\": 12345678901234567890, \"f\": 1.0, "
        "\"n\": [1, 2], \"u\": \"\\u00fc \\ud83d\\ude00 / / \\u00fc\", \"e\": {}, \"t\": true}, "
        "\"metadata\": {\"message_id\": \"0198c0de-0000-7000-8000-000000000000\", "
        "\"correlation_id\": \"c\", \"causation_id\": null, "
        "\"timestamp\": \"2026-01-02T03:04:05.678901\", \"ttl\": 90.0, \"priority\": 0, "
        "\"content_type\": \"application/json\", \"headers\": {\"tenant\": \"bl\\u00fc\"}, "
        "\"routing_key\": \"k\", \"reply_to\": \"_INBOX.x\", "
        "\"message_type\": \"user_registered\"}}";
    CHECK_BYTES(wire->data.data, wire->data.size, want, strlen(want));
    if (wire->data.size != strlen(want) || memcmp(wire->data.data, want, strlen(want)) != 0) {
        fprintf(stderr, "    have %.*s\n    want %s\n", MARTY_BYTES_ARGS(wire->data), want);
    }
    CHECK_INT(wire->header_count, 0);
    marty_message *back = decode(wire, NULL);
    CHECK_TEXT(back->type, "user_registered");
    CHECK_TEXT(back->id, template_.id);
    CHECK_TEXT(back->correlation_id, "c");
    CHECK_TEXT(back->causation_id, NULL);
    CHECK_INT(back->time_us, template_.time_us);
    CHECK_INT(back->expires_us, template_.expires_us);
    CHECK_TEXT(back->key, "k");
    CHECK_TEXT(header(back, "tenant"), "bl\xc3\xbc");
    CHECK_TEXT(header(back, "replyto"), "_INBOX.x");
    CHECK_TEXT(back->source, "/marty"); /* what the wire message says beside the envelope */
    marty_message *again = encode(back, MARTY_LEGACY, NULL);
    CHECK_BYTES(again->data.data, again->data.size, want, strlen(want));
    marty_message_unref(again);
    marty_message_unref(back);
    marty_message_unref(wire);
}

static void times_and_durations_are_pythons(void)
{
    static const struct {
        int64_t time_us, expires_us;
        const char *part;
    } cases[] = {
        {INT64_C(1767323045000000), 0, "\"timestamp\": \"2026-01-02T03:04:05\", \"ttl\": null,"},
        {INT64_C(1767323045000001), 0, "\"timestamp\": \"2026-01-02T03:04:05.000001\""},
        {1000000, 1500000, "\"ttl\": 0.5,"},
        {1000000, 1001000, "\"ttl\": 0.001,"},
        {1000000, 1000100, "\"ttl\": 0.0001,"},
        {1000000, 1000099, "\"ttl\": 9.9e-05,"},
        {1000000, 1000010, "\"ttl\": 1e-05,"},
        {1000000, 1000003, "\"ttl\": 3e-06,"},
        {3000000, 1000000, "\"ttl\": -2.0,"},
        {1000000, 3601234567, "\"ttl\": 3600.234567,"},
        {1000000, 1000000, "\"ttl\": null,"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        marty_message template_ = {.type = "t"};
        template_.time_us = cases[i].time_us;
        template_.expires_us = cases[i].expires_us;
        marty_message *wire = encode(&template_, MARTY_LEGACY, NULL), *back = decode(wire, NULL);
        CHECK_HAS(wire->data.data, cases[i].part);
        CHECK_INT(back->time_us, cases[i].time_us);
        CHECK_INT(back->expires_us,
                  cases[i].expires_us == cases[i].time_us ? 0 : cases[i].expires_us);
        marty_message_unref(back);
        marty_message_unref(wire);
    }
}

static void an_event_of_the_original_is_read(void)
{
    marty_message wire;
    marty_message *message = decode(
        wire_of(
            &wire,
            "{\"data\": {\"user_id\": \"1\", \"x\": NaN, \"y\": -Infinity, \"z\": \"\\ud800\"}, "
            "\"metadata\": {\"message_id\": \"m-1\", \"correlation_id\": null, "
            "\"causation_id\": null, \"timestamp\": \"2026-01-02T03:04:05.678901\", "
            "\"ttl\": 90, \"priority\": 5, \"content_type\": \"application/json\", "
            "\"headers\": {\"saga_id\": \"s\", \"step_id\": null, \"n\": 5, \"o\": {\"a\": 1}, "
            "\"many\": [\"a\", \"b\"], \"mixed\": [\"a\", 1], \"Content-Type\": \"x/y\", "
            "\"gr\\u00f6\\u00dfe\": \"1\", \"\\u0063e-id\": \"no\", \"line\": \"a\\nb\"}, "
            "\"routing_key\": \"k\", \"reply_to\": null, \"message_type\": \"OrderPlaced\", "
            "\"extra\": [1]}}"),
        NULL);
    CHECK_TEXT(message->id, "m-1");
    CHECK_TEXT(message->correlation_id, "m-1");
    CHECK_TEXT(message->type, "OrderPlaced");
    CHECK_TEXT(message->key, "k");
    CHECK_INT(message->priority, 5);
    CHECK_INT(message->time_us, INT64_C(1767323045678901));
    CHECK_INT(message->expires_us, INT64_C(1767323135678901));
    CHECK_HAS(message->data.data, "\"x\": NaN");
    CHECK_TEXT(header(message, "saga_id"), "s");
    CHECK(!header(message, "step_id"));
    CHECK_TEXT(header(message, "n"), "5");
    CHECK_TEXT(header(message, "o"), "{\"a\": 1}");
    CHECK_TEXT(header(message, "many"), "a");
    CHECK_TEXT(header(message, "mixed"), "[\"a\", 1]");
    CHECK_TEXT(header(message, "raw-Content-Type"), "x/y");
    CHECK_TEXT(header(message, "gr%C3%B6%C3%9Fe"), "1");
    CHECK_TEXT(header(message, "raw-ce-id"), "no");
    CHECK_TEXT(header(message, "line"), "a\nb");
    CHECK_INT(message->header_count, 10);
    marty_message *again = encode(message, MARTY_LEGACY, NULL);
    CHECK_HAS(again->data.data, "\"many\": [\"a\", \"b\"]");
    CHECK_HAS(again->data.data, "{\"user_id\": \"1\", \"x\": NaN, \"y\": -Infinity, "
                                "\"z\": \"\\ud800\"}");
    marty_message_unref(again);
    marty_message_unref(message);
}

static void what_is_missing_is_made_up(void)
{
    static const char *const bodies[] = {"{\"data\": 1}", "{\"data\": 1, \"metadata\": null}",
                                         "{\"data\": 1, \"metadata\": {}}",
                                         " {\"metadata\": {\"headers\": null}, \"data\": 1} "};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        marty_message wire, *message = decode(wire_of(&wire, bodies[i]), NULL);
        CHECK_INT(strlen(message->id), 36);
        CHECK_TEXT(message->type, "unknown");
        CHECK_TEXT(message->source, "/legacy");
        CHECK_TEXT(message->content_type, "application/json");
        CHECK(message->time_us > 0);
        CHECK_BYTES(message->data.data, message->data.size, "1", 1);
        marty_message_unref(message);
    }
}

static void the_subject_tells_the_type(void)
{
    static const struct {
        const char *subject, *told, *want;
    } cases[] = {{"user.made", "null", "user.made"},
                 {"saga.OrderPlaced", "\"OrderPlaced\"", "saga.OrderPlaced"},
                 {"sagaOrderPlaced", "\"OrderPlaced\"", "OrderPlaced"},
                 {"other", "\"OrderPlaced\"", "OrderPlaced"},
                 {NULL, "\"OrderPlaced\"", "OrderPlaced"},
                 {NULL, "\"\"", "unknown"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"data\": 1, \"metadata\": {\"message_type\": %s}}",
                 cases[i].told);
        marty_message wire;
        wire_of(&wire, body)->type = cases[i].subject;
        marty_message *message = decode(&wire, NULL);
        CHECK_TEXT(message->type, cases[i].want);
        marty_message_unref(message);
    }
}

static void attributes_survive_in_the_headers(void)
{
    const marty_header headers[] = {{"martyreply", {"ok", 2}, MARTY_ATTRIBUTE},
                                    {"number", {"-7", 2}, MARTY_ATTRIBUTE_INTEGER},
                                    {"flag", {"false", 5}, MARTY_ATTRIBUTE_BOOLEAN},
                                    {"x", {"1", 1}, MARTY_HEADER},
                                    {"x", {"2", 1}, MARTY_HEADER}};
    marty_message template_ = {.type = "t",
                               .data = marty_text("\"s\""),
                               .subject = "s\xc3\xbc"
                                          "b",
                               .schema = "https://example.com/s",
                               .trace_parent =
                                   "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                               .trace_state = "a=b",
                               .causation_id = "cause",
                               .priority = 9,
                               .headers = headers,
                               .header_count = 5};
    marty_message *message = make(&template_, NULL), *wire = encode(message, MARTY_LEGACY, NULL);
    json_error_t error;
    json_t *json = json_loadb(wire->data.data, wire->data.size, JSON_REJECT_DUPLICATES, &error);
    CHECK(json != NULL);
    json_decref(json);
    CHECK_HAS(wire->data.data, "\"headers\": {\"ce-martyreply\": \"ok\", \"ce-number\": -7, "
                               "\"ce-flag\": false, \"x\": [\"1\", \"2\"], ");
    marty_message *back = decode(wire, NULL);
    CHECK(same(back, message, true));
    marty_message_unref(back);
    marty_message_unref(wire);
    marty_message_unref(message);
}

static void text_is_carried_as_a_string(void)
{
    marty_message template_ = {.type = "t", .content_type = "text/plain"};
    template_.data = marty_text("a \"b\"\n\xc3\xbc\x7f");
    marty_message *wire = encode(&template_, MARTY_LEGACY, NULL), *back = decode(wire, NULL);
    CHECK_HAS(wire->data.data, "{\"data\": \"a \\\"b\\\"\\n\\u00fc\x7f\", ");
    CHECK_BYTES(back->data.data, back->data.size, template_.data.data, template_.data.size);
    marty_message_unref(back);
    marty_message_unref(wire);
    wire = encode(&(marty_message){.type = "t"}, MARTY_LEGACY, NULL);
    CHECK_HAS(wire->data.data, "{\"data\": null, ");
    marty_message_unref(wire);
}

static void what_has_no_form_is_refused(void)
{
    marty_message template_ = {.type = "t", .data = {"\xff", 1}}, *wire = NULL;
    marty_error why = {0};
    CHECK_INT(marty_message_encode(&wire, &template_, MARTY_LEGACY, NULL, &why), MARTY_E_MALFORMED);
    CHECK_HAS(why.text, "not valid JSON");
    template_.content_type = "application/octet-stream";
    CHECK_INT(marty_message_encode(&wire, &template_, MARTY_LEGACY, NULL, &why), MARTY_E_MALFORMED);
    CHECK_HAS(why.text, "carries JSON and text only");
    const marty_header binary = {"x", {"\xff", 1}, MARTY_HEADER};
    template_ = (marty_message){.type = "t", .headers = &binary, .header_count = 1};
    CHECK_INT(marty_message_encode(&wire, &template_, MARTY_LEGACY, NULL, &why), MARTY_E_MALFORMED);
    CHECK_HAS(why.text, "header x");
    CHECK(!wire);
}

static void what_is_no_envelope_is_refused(void)
{
    static const struct {
        const char *body, *part;
    } cases[] = {
        {"", "an object is expected"},
        {"[1]", "an object is expected"},
        {"{}", "data is missing"},
        {"{\"foo\": 1}", "data is missing"},
        {"\xef\xbb\xbf{\"data\": 1}", "an object is expected"},
        {"{\"data\": \"\xff\"}", "it is not UTF-8"},
        {"{\"data\": 1, \"data\": 2}", "data is there twice"},
        {"{\"data\": 1} x", "something follows"},
        {"{\"data\": 1, \"metadata\": 5}", "metadata, at byte 0: an object is expected"},
        {"{\"data\": 1, \"metadata\": {\"timestamp\": 5}}", "timestamp: ISO time"},
        {"{\"data\": 1, \"metadata\": {\"timestamp\": \"now\"}}", "timestamp: ISO time"},
        {"{\"data\": 1, \"metadata\": {\"ttl\": \"5\"}}", "ttl: a number"},
        {"{\"data\": 1, \"metadata\": {\"ttl\": NaN}}", "ttl: a number"},
        {"{\"data\": 1, \"metadata\": {\"ttl\": -Infinity}}", "ttl: a number"},
        {"{\"data\": 1, \"metadata\": {\"priority\": 1.5}}", "martypriority"},
        {"{\"data\": 1, \"metadata\": {\"priority\": \"1\"}}", "priority: an integer"},
        {"{\"data\": 1, \"metadata\": {\"message_id\": []}}", "id: a text is expected"},
        {"{\"data\": 1, \"metadata\": {\"headers\": 1}}", "headers, at byte 0"},
        {"{\"data\": 1, \"metadata\": {\"message_type\": \"a\\nb\"}}", "type: it has a control"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        marty_message wire;
        refused(wire_of(&wire, cases[i].body), NULL, MARTY_E_MALFORMED, cases[i].part);
    }
    marty_message wire;
    refused(wire_of(&wire, "{\"data\": 1}"), "ce-", MARTY_E_MALFORMED, "not a CloudEvent");
}

static void extreme_durations_never_end(void)
{
    static const char *const ttls[] = {"1e300", "9e99999", "123456789012345678901234567890"};
    for (size_t i = 0; i < 3; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"data\": 1, \"metadata\": {\"ttl\": %s}}", ttls[i]);
        marty_message wire, *message = decode(wire_of(&wire, body), NULL);
        CHECK_INT(message->expires_us, 0);
        marty_message_unref(message);
    }
    marty_message wire, *message = decode(wire_of(&wire, "{\"data\": 1, \"metadata\": "
                                                         "{\"ttl\": 1e-300}}"),
                                          NULL);
    CHECK_INT(message->expires_us, 0);
    marty_message_unref(message);
}

static marty_err round_trip(void *user)
{
    marty_message *wire = NULL, *back = NULL;
    marty_error why;
    marty_err err = marty_message_encode(&wire, user, MARTY_LEGACY, NULL, &why);
    err = err ? err : marty_message_decode(&back, wire, NULL, &why);
    marty_message_unref(back);
    marty_message_unref(wire);
    return err;
}

static void want_of_memory_is_answered(void)
{
    const marty_header headers[] = {{"a", {"b", 1}, MARTY_HEADER}};
    marty_message template_ = {.type = "t", .headers = headers, .header_count = 1};
    template_.data = marty_text("{\"a\":\"\xc3\xbc\"}");
    CHECK(torture(round_trip, &template_) >= 4);
}

int main(void)
{
    what_python_would_write_is_written();
    times_and_durations_are_pythons();
    an_event_of_the_original_is_read();
    what_is_missing_is_made_up();
    the_subject_tells_the_type();
    attributes_survive_in_the_headers();
    text_is_carried_as_a_string();
    what_has_no_form_is_refused();
    what_is_no_envelope_is_refused();
    extreme_durations_never_end();
    want_of_memory_is_answered();
    return check_result();
}
