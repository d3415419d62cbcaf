/* SPDX-License-Identifier: Apache-2.0
 * Structured mode: the shape that is written (checked by another JSON library), what is read from
 * others, what is refused. */
#include "base/limits.h"
#include "test_tools.h"

#include <jansson.h>

#define JSON_TYPE "application/cloudevents+json"

static const marty_header event_headers[] = {
    {"X-Tenant", {"blue", 4}, MARTY_HEADER},
    {"comexampleother", {"5", 1}, MARTY_ATTRIBUTE_INTEGER},
    {"flag", {"true", 4}, MARTY_ATTRIBUTE_BOOLEAN},
    {"greeting", {"gr\xc3\xbc\xc3\x9f \"dich\" \\ 100%", 20}, MARTY_ATTRIBUTE},
    {"empty", {"", 0}, MARTY_ATTRIBUTE},
    {"blob", {"AAEC/w==", 8}, MARTY_ATTRIBUTE_BINARY}};

static marty_message event(void)
{
    marty_message made = event_with(event_headers, sizeof event_headers / sizeof event_headers[0]);
    made.subject = "gr\xc3\xb6\xc3\x9f"
                   "e \"1\"";
    made.data = marty_text("{\"id\": 7, \"name\": \"\xc3\xbc\"}");
    made.priority = INT32_MIN;
    return made;
}

static json_t *parse(const marty_message *wire)
{
    json_error_t error;
    json_t *json = json_loadb(wire->data.data, wire->data.size, JSON_REJECT_DUPLICATES, &error);
    if (!CHECK(json)) {
        fprintf(stderr, "    %s: %.*s\n", error.text, MARTY_BYTES_ARGS(wire->data));
        exit(1);
    }
    return json;
}

static const char *text_of(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

static void the_shape_is_the_specs(void)
{
    marty_message template_ = event(), *wire = encode(&template_, MARTY_STRUCTURED, "ce-");
    json_t *json = parse(wire);
    CHECK_TEXT(header(wire, "content-type"), JSON_TYPE);
    CHECK_TEXT(wire->content_type, JSON_TYPE);
    CHECK_TEXT(header(wire, "x-tenant"), "blue");
    CHECK_INT(wire->header_count, 2);
    CHECK_TEXT(text_of(json, "specversion"), "1.0");
    CHECK_TEXT(text_of(json, "id"), "A234-1234-1234");
    CHECK_TEXT(text_of(json, "source"), "/mycontext");
    CHECK_TEXT(text_of(json, "type"), "order.created");
    CHECK_TEXT(text_of(json, "subject"), template_.subject);
    CHECK_TEXT(text_of(json, "time"), "2026-01-02T03:04:05.678901Z");
    CHECK_TEXT(text_of(json, "datacontenttype"), "application/json");
    CHECK_TEXT(text_of(json, "dataschema"), template_.schema);
    CHECK_TEXT(text_of(json, "partitionkey"), "customer 7");
    CHECK_TEXT(text_of(json, "correlationid"), "c-1");
    CHECK_TEXT(text_of(json, "causationid"), "c-0");
    CHECK_TEXT(text_of(json, "traceparent"), template_.trace_parent);
    CHECK_TEXT(text_of(json, "tracestate"), template_.trace_state);
    CHECK_TEXT(text_of(json, "expirytime"), "2026-01-02T03:05:05Z");
    CHECK_INT(json_integer_value(json_object_get(json, "martypriority")), INT32_MIN);
    CHECK_INT(json_integer_value(json_object_get(json, "comexampleother")), 5);
    CHECK(json_is_true(json_object_get(json, "flag")));
    CHECK_TEXT(text_of(json, "greeting"), "gr\xc3\xbc\xc3\x9f \"dich\" \\ 100%");
    CHECK_TEXT(text_of(json, "empty"), "");
    CHECK_TEXT(text_of(json, "blob"), "AAEC/w==");
    CHECK_INT(json_integer_value(json_object_get(json_object_get(json, "data"), "id")), 7);
    CHECK_INT(json_object_size(json), 21);
    json_decref(json);
    marty_message_unref(wire);
}

static void an_event_comes_back_as_it_was(void)
{
    marty_message template_ = event(), *message = make(&template_, NULL);
    marty_message *wire = encode(message, MARTY_STRUCTURED, "ce-"), *back = decode(wire, "ce-");
    CHECK_INT(back->header_count, message->header_count);
    CHECK_INT(back->headers[0].kind, MARTY_ATTRIBUTE_INTEGER); /* plain headers come last */
    CHECK_TEXT(back->headers[5].name, "X-Tenant");
    CHECK_INT(back->headers[5].kind, MARTY_HEADER);
    marty_message *again = encode(back, MARTY_STRUCTURED, "ce-");
    CHECK_BYTES(again->data.data, again->data.size, wire->data.data, wire->data.size);
    marty_message *twice = decode(again, "ce-");
    CHECK(same(twice, back, true));
    marty_message_unref(twice);
    marty_message_unref(again);
    marty_message_unref(back);
    marty_message_unref(wire);
    marty_message_unref(message);
}

static void data_takes_the_form_that_fits(void)
{
    static const struct {
        const char *content_type, *data, *member, *want;
        size_t size;
    } cases[] = {
        {"application/json", "{\"a\":[1,2.50,1e400]}", "data", NULL, 0},
        {"application/json", "  [1]\n", "data", "[1]", 0},
        {"application/json", "\"text\"", "data", NULL, 0},
        {"application/json", "null", "data", NULL, 0},
        {"application/json", "{\"a\":1}x", "data_base64", NULL, 0},
        {"application/json", "{\"a\":NaN}", "data_base64", NULL, 0},
        {"application/json", "\"\xff\"", "data_base64", NULL, 0},
        {"application/vnd.order+json; charset=utf-8", "[true]", "data", NULL, 0},
        {"text/plain", "a \"quote\" \\ \x01\x7f \xc3\xbc\n", "data", NULL, 0},
        {"text/plain", "\xff", "data_base64", NULL, 0},
        {"text/plain", "nul\0here", "data", NULL, 8},
        {"application/xml", "<much wow=\"xml\"/>", "data", NULL, 0},
        {"application/octet-stream", "abc", "data_base64", NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        marty_message template_ = {.type = "t", .content_type = cases[i].content_type};
        size_t size = cases[i].size ? cases[i].size : strlen(cases[i].data);
        template_.data = (marty_bytes){cases[i].data, size};
        marty_message *wire = encode(&template_, MARTY_STRUCTURED, NULL), *back = decode(wire, "");
        const char *want = cases[i].want ? cases[i].want : cases[i].data;
        json_error_t error;
        json_t *json = json_loadb(wire->data.data, wire->data.size,
                                  JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
        CHECK(json || i == 0); /* jansson knows no 1e400, which is JSON */
        CHECK(!json || json_object_get(json, cases[i].member));
        CHECK(!json || json_object_size(json) == 9);
        size = cases[i].want ? strlen(want) : size;
        CHECK_BYTES(back->data.data, back->data.size, want, size);
        CHECK_TEXT(back->content_type, cases[i].content_type);
        json_decref(json);
        marty_message_unref(back);
        marty_message_unref(wire);
    }
}

static void no_data_is_no_member(void)
{
    marty_message *wire = encode(&(marty_message){.type = "t"}, MARTY_STRUCTURED, NULL);
    json_t *json = parse(wire);
    CHECK(!json_object_get(json, "data") && !json_object_get(json, "data_base64"));
    json_decref(json);
    marty_message *back = decode(wire, NULL);
    CHECK_INT(back->data.size, 0);
    marty_message_unref(back);
    marty_message_unref(wire);
}

static void every_size_of_binary_data_passes(void)
{
    unsigned char bytes[300];
    bool all = true;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(i * 7);
    }
    for (size_t size = 0; size <= sizeof bytes; size++) {
        marty_message template_ = {.type = "t", .content_type = "application/octet-stream"};
        template_.data = (marty_bytes){bytes, size};
        marty_message *wire = encode(&template_, MARTY_STRUCTURED, NULL);
        marty_message *back = decode(wire, NULL);
        all = all && back->data.size == size && memcmp(back->data.data, bytes, size) == 0;
        marty_message_unref(back);
        marty_message_unref(wire);
    }
    CHECK(all);
}

typedef struct envelope {
    marty_header content_type;
    marty_message message;
} envelope;

static marty_message *wire_of(envelope *to, const char *body)
{
    to->content_type = (marty_header){"Content-Type", marty_text(JSON_TYPE), MARTY_HEADER};
    to->message = (marty_message){.headers = &to->content_type, .header_count = 1};
    to->message.data = marty_text(body);
    return &to->message;
}

#define START "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\""

static void what_others_write_is_read(void)
{
    envelope wire;
    /* the minimal example of the spec's SDK tests, nulls as unset, escapes as PHP writes them */
    marty_message *message = decode(
        wire_of(&wire,
                " {\n\"specversion\" : \"1.0\", \"id\":\"1\",\"source\":\"http:\\/\\/x\\/y\","
                "\"type\":\"\\u0074\\ud83d\\ude00\",\"subject\":null,\"time\":null,"
                "\"mine\":null, \"datacontenttype\":\"application\\/json\","
                "\"data\": \"quoted\" }\n"),
        "ce-");
    CHECK_TEXT(message->source, "http://x/y");
    CHECK_TEXT(message->type, "t\xf0\x9f\x98\x80");
    CHECK_TEXT(message->subject, NULL);
    CHECK_INT(message->time_us, 0);
    CHECK_INT(message->header_count, 0);
    CHECK_TEXT(message->content_type, "application/json");
    CHECK_BYTES(message->data.data, message->data.size, "\"quoted\"", 8);
    marty_message_unref(message);
    message = decode(wire_of(&wire, START ",\"data_base64\":\"AAE\\/\"}"), "ce-");
    CHECK_TEXT(message->content_type, "application/octet-stream"); /* nothing is assumed */
    CHECK_BYTES(message->data.data, message->data.size, "\0\1?", 3);
    marty_message_unref(message);
    message = decode(wire_of(&wire, START ",\"data\":null}"), "ce-");
    CHECK_BYTES(message->data.data, message->data.size, "null", 4);
    CHECK_TEXT(message->content_type, "application/json"); /* made explicit */
    marty_message_unref(message);
    message =
        decode(wire_of(&wire, START ",\"datacontenttype\":\"text/plain\",\"data\":[ 1 ]}"), "");
    CHECK_BYTES(message->data.data, message->data.size, "[ 1 ]", 5);
    marty_message_unref(message);
    message =
        decode(wire_of(&wire, START ",\"datacontenttype\":\"text/plain\",\"data\":\"a\\nb\"}"), "");
    CHECK_BYTES(message->data.data, message->data.size, "a\nb", 3);
    marty_message_unref(message);
}

static void examples_of_others_are_read(void)
{
    envelope wire;
    /* of the JSON format's specification */
    marty_message *message = decode(
        wire_of(&wire,
                "{\"specversion\" : \"1.0\", \"type\" : \"com.example.someevent\","
                "\"source\" : \"/mycontext\", \"subject\": null, \"id\" : \"C234-1234-1234\","
                "\"time\" : \"2018-04-05T17:31:00Z\", \"comexampleextension1\" : \"value\","
                "\"comexampleothervalue\" : 5, \"datacontenttype\" : "
                "\"application/vnd.apache.thrift.binary\", \"data_base64\" : \"Li4u\"}"),
        "ce-");
    CHECK_TEXT(message->id, "C234-1234-1234");
    CHECK_INT(message->time_us, INT64_C(1522949460000000));
    CHECK_TEXT(header(message, "comexampleothervalue"), "5");
    CHECK_BYTES(message->data.data, message->data.size, "...", 3);
    marty_message_unref(message);
    /* Dapr: extensions of its own, text by default, no dash in names but no schema either */
    message = decode(
        wire_of(&wire,
                "{\"data\":\"hello\",\"datacontenttype\":\"text/plain\",\"expiration\":"
                "\"2026-01-02T03:04:05Z\",\"id\":\"5929aaac-a5e2-4ca1-859c-edfe73f11565\","
                "\"pubsubname\":\"pubsub\",\"source\":\"Dapr\",\"specversion\":\"1.0\",\"time\":"
                "\"2026-01-02T03:03:05.000000123+01:00\",\"topic\":\"orders\",\"traceid\":"
                "\"00-113ad9c4e42b27583ae98ba698d54255-e3743e35ff56f219-01\",\"traceparent\":"
                "\"00-113ad9c4e42b27583ae98ba698d54255-e3743e35ff56f219-01\",\"tracestate\":\"\","
                "\"type\":\"com.dapr.event.sent\"}"),
        "ce-");
    CHECK_TEXT(message->source, "Dapr");
    CHECK_BYTES(message->data.data, message->data.size, "hello", 5);
    CHECK_TEXT(message->trace_parent, "00-113ad9c4e42b27583ae98ba698d54255-e3743e35ff56f219-01");
    CHECK_TEXT(message->trace_state, NULL);
    CHECK_INT(message->time_us, INT64_C(1767319385000000));
    CHECK_INT(message->header_count, 4);
    marty_message_unref(message);
}

static void numeric_limits_are_those_of_the_spec(void)
{
    static const struct {
        const char *number;
        bool good;
    } cases[] = {{"0", true},
                 {"2147483647", true},
                 {"-2147483648", true},
                 {"2147483648", false},
                 {"-2147483649", false},
                 {"9223372036854775807", false},
                 {"99999999999999999999999", false},
                 {"1.0", false},
                 {"1.5", false},
                 {"1e2", false},
                 {"1E2", false},
                 {"-0", false},
                 {"[1]", false},
                 {"{}", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        envelope wire;
        char body[256];
        snprintf(body, sizeof body, START ",\"number\":%s}", cases[i].number);
        if (cases[i].good) {
            marty_message *message = decode(wire_of(&wire, body), "ce-");
            CHECK_TEXT(header(message, "number"), cases[i].number);
            CHECK_INT(message->headers[0].kind, MARTY_ATTRIBUTE_INTEGER);
            marty_message_unref(message);
        } else {
            refused(wire_of(&wire, body), "ce-", MARTY_E_MALFORMED, "attribute number");
        }
    }
}

static void what_is_wrong_is_refused(void)
{
    static const struct {
        const char *body, *part;
    } cases[] = {
        {"", "an object is expected"},
        {"[]", "an object is expected"},
        {"\xef\xbb\xbf{}", "an object is expected"},
        {"{}", "specversion is missing"},
        {"{\"specversion\":\"1.0\"}", "id is missing"},
        {"{\"specversion\":\"0.3\",\"id\":\"1\"}", "only 1.0"},
        {"{\"specversion\":1.0,\"id\":\"1\"}", "specversion: a string is expected"},
        {START, "closing brace is expected"},
        {START "}x", "something follows the end"},
        {START ",}", "a name in quotes is expected"},
        {START ",\"ext\":\"a\\nb\"}", "attribute ext: it has a control character"},
        {START ",\"subject\":\"a\\u0000b\"}", "subject: it has a control character"},
        {START ",\"subject\":\"\\ufffe\"}", "noncharacter"},
        {START ",\"subject\":\"\\ud800\"}", "a surrogate stands alone"},
        {START ",\"subject\":\"\xc3\"}", "it is not UTF-8"},
        {START ",\"subject\":5}", "subject: a string is expected"},
        {START ",\"UPPER\":\"x\"}", "attribute name \"UPPER\""},
        {START ",\"under_score\":\"x\"}", "attribute name \"under_score\""},
        {START ",\"\":\"x\"}", "attribute name \"\""},
        {START ",\"id\":\"2\"}", "id: it is there twice"},
        {START ",\"\\u0069d\":\"2\"}", "id: it is there twice"},
        {START ",\"x\":1,\"x\":2}", "attribute x: it is there twice"},
        {START ",\"x\":1,\"x\":null}", "attribute x: it is there twice"},
        {START ",\"x\":null,\"x\":1}", "attribute x: it is there twice"},
        {START ",\"subject\":null,\"subject\":\"x\"}", "subject: it is there twice"},
        {START ",\"x\":[]}", "attribute x: a string, an integer or a boolean"},
        {START ",\"x\":{\"y\":1}}", "attribute x: a string, an integer or a boolean"},
        {START ",\"data\":1,\"data_base64\":\"\"}", "only one may be"},
        {START ",\"data\":1,\"data\":1}", "data: it is there twice"},
        {START ",\"data_base64\":\"A\"}", "data_base64: it is not base64"},
        {START ",\"data_base64\":\"AB==\"}", "data_base64: it is not base64"},
        {START ",\"data_base64\":7}", "data_base64: a string is expected"},
        {START ",\"data\":01}", "a comma or a closing brace"},
        {START ",\"data\":NaN}", "a value is expected"},
        {START ",\"data\":'x'}", "a value is expected"},
        {START ",\"time\":\"2026\"}", "time: \"2026\" is not RFC 3339"},
        {START ",\"martypriority\":\"x\"}", "martypriority"},
        {START ",\"martypriority\":true}", "martypriority: an integer is expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        envelope wire;
        refused(wire_of(&wire, cases[i].body), "ce-", MARTY_E_MALFORMED, cases[i].part);
    }
}

static void depth_is_bounded(void)
{
    envelope wire;
    char body[512] = START ",\"data\":";
    size_t at = strlen(body);
    memset(body + at, '[', 63);
    memset(body + at + 63, ']', 63);
    memcpy(body + at + 126, "}", 2);
    marty_message_unref(decode(wire_of(&wire, body), "ce-"));
    memset(body + at, '[', 64);
    memset(body + at + 64, ']', 64);
    memcpy(body + at + 128, "}", 2);
    refused(wire_of(&wire, body), "ce-", MARTY_E_MALFORMED, "nested more than 64 deep");
}

static void json_without_a_content_type_is_recognised(void)
{
    marty_message wire = {.data = marty_text(START ",\"data\":1}")};
    marty_message *message = decode(&wire, "ce-");
    CHECK_TEXT(message->id, "1");
    marty_message_unref(message);
    marty_header plain = {"content-type", marty_text("application/json"), MARTY_HEADER};
    wire.headers = &plain;
    wire.header_count = 1;
    refused(&wire, "ce-", MARTY_E_MALFORMED, "not a CloudEvent");
}

static void headers_beside_the_body_stay(void)
{
    marty_header headers[] = {
        {"content-type", marty_text("APPLICATION/CloudEvents+JSON; charset=UTF-8"), MARTY_HEADER},
        {"ce-id", {"other", 5}, MARTY_HEADER},
        {"X-Mine", {"1", 1}, MARTY_HEADER}};
    marty_message wire = {.headers = headers, .header_count = 3, .data = marty_text(START "}")};
    marty_message *message = decode(&wire, "ce-");
    CHECK_TEXT(message->id, "1");
    CHECK_INT(message->header_count, 1);
    CHECK_TEXT(header(message, "x-mine"), "1");
    marty_message_unref(message);
}

static void sizes_have_limits(void)
{
    envelope wire;
    size_t room = MARTY__ATTRIBUTE_BYTES_MAX + 256;
    char *body = malloc(room), *large = malloc(MARTY__ATTRIBUTE_BYTES_MAX + 2);
    REQUIRE(body && large);
    memset(large, 'a', MARTY__ATTRIBUTE_BYTES_MAX + 1);
    large[MARTY__ATTRIBUTE_BYTES_MAX + 1] = '\0';
    snprintf(body, room, START ",\"x\":\"%s\"}", large);
    refused(wire_of(&wire, body), "", MARTY_E_TOO_LARGE, "attribute x: 65537 bytes, at most 65536");
    snprintf(body, room, START ",\"subject\":\"%s\"}", large);
    refused(wire_of(&wire, body), "", MARTY_E_TOO_LARGE, "subject: 65537 bytes");
    snprintf(body, room, "{\"id\":\"%.256s\"}", large);
    refused(wire_of(&wire, body), "", MARTY_E_TOO_LARGE, "id: 256 bytes, at most 255");
    snprintf(body, room, START ",\"%.256s\":1}", large);
    refused(wire_of(&wire, body), "", MARTY_E_MALFORMED, "it is too long");
    free(large);
    free(body);
}

static marty_err round_trip(void *user)
{
    marty_message *wire = NULL, *back = NULL;
    marty_error why;
    marty_err err = marty_message_encode(&wire, user, MARTY_STRUCTURED, "ce-", &why);
    err = err ? err : marty_message_decode(&back, wire, "ce-", &why);
    marty_message_unref(back);
    marty_message_unref(wire);
    return err;
}

static void want_of_memory_is_answered(void)
{
    marty_message template_ = event();
    CHECK_INT(torture(round_trip, &template_), 3);
}

int main(void)
{
    the_shape_is_the_specs();
    an_event_comes_back_as_it_was();
    data_takes_the_form_that_fits();
    no_data_is_no_member();
    every_size_of_binary_data_passes();
    what_others_write_is_read();
    examples_of_others_are_read();
    numeric_limits_are_those_of_the_spec();
    what_is_wrong_is_refused();
    depth_is_bounded();
    json_without_a_content_type_is_recognised();
    headers_beside_the_body_stay();
    sizes_have_limits();
    want_of_memory_is_answered();
    return check_result();
}
