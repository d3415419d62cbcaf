/* SPDX-License-Identifier: Apache-2.0
 * Binary mode: what is written, what is read leniently, what is refused, and that nothing changes
 * on the way. */
#include "base/limits.h"
#include "test_tools.h"

static const marty_header event_headers[] = {
    {"X-Tenant", {"blue", 4}, MARTY_HEADER},
    {"comexampleother", {"5", 1}, MARTY_ATTRIBUTE_INTEGER},
    {"x-tenant", {"green", 5}, MARTY_HEADER},
    {"empty", {"", 0}, MARTY_HEADER},
    {"flag", {"true", 4}, MARTY_ATTRIBUTE_BOOLEAN},
    {"greeting", {"gr\xc3\xbc\xc3\x9f \"dich\" 100%", 18}, MARTY_ATTRIBUTE},
    {"blob", {"AAEC/w==", 8}, MARTY_ATTRIBUTE_BINARY},
    {"place", {"/a/b?c=%20", 10}, MARTY_ATTRIBUTE_URI},
    {"when", {"2026-01-02T03:04:05.5+01:00", 27}, MARTY_ATTRIBUTE_TIMESTAMP}};

static marty_message event(void)
{
    return event_with(event_headers, sizeof event_headers / sizeof event_headers[0]);
}

static void attributes_become_headers(void)
{
    marty_message template_ = event();
    marty_message *message = make(&template_, NULL), *wire = encode(message, MARTY_BINARY, "ce-");
    CHECK_TEXT(header(wire, "ce-specversion"), "1.0");
    CHECK_TEXT(header(wire, "ce-id"), "A234-1234-1234");
    CHECK_TEXT(header(wire, "ce-source"), "/mycontext");
    CHECK_TEXT(header(wire, "ce-type"), "order.created");
    CHECK_TEXT(header(wire, "ce-subject"), "gr%C3%B6%C3%9Fe%201");
    CHECK_TEXT(header(wire, "ce-partitionkey"), "customer%207");
    CHECK_TEXT(header(wire, "ce-dataschema"), "https://example.com/order.json");
    CHECK_TEXT(header(wire, "ce-correlationid"), "c-1");
    CHECK_TEXT(header(wire, "ce-causationid"), "c-0");
    CHECK_TEXT(header(wire, "ce-traceparent"), template_.trace_parent);
    CHECK_TEXT(header(wire, "ce-tracestate"), template_.trace_state);
    CHECK_TEXT(header(wire, "ce-time"), "2026-01-02T03:04:05.678901Z");
    CHECK_TEXT(header(wire, "ce-expirytime"), "2026-01-02T03:05:05Z");
    CHECK_TEXT(header(wire, "ce-martypriority"), "-3");
    CHECK_TEXT(header(wire, "content-type"), "application/json");
    CHECK_TEXT(header(wire, "ce-comexampleother"), "5");
    CHECK_TEXT(header(wire, "ce-greeting"), "gr%C3%BC%C3%9F%20%22dich%22%20100%25");
    CHECK_TEXT(header(wire, "X-Tenant"), "blue");
    CHECK(!header(wire, "ce-datacontenttype"));
    CHECK(wire->data.data == message->data.data); /* nothing is copied */
    marty_message_unref(message);
    CHECK_TEXT(header(wire, "ce-id"), "A234-1234-1234"); /* and the wire keeps it alive */
    marty_message_unref(wire);
}

static void an_event_comes_back_as_it_was(void)
{
    static const char *const prefixes[] = {"ce-", "ce_", "cloudEvents_", "cloudEvents:", "my-"};
    marty_message template_ = event();
    marty_message *message = make(&template_, NULL);
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        marty_message *wire = encode(message, MARTY_BINARY, prefixes[i]);
        marty_message *back = decode(wire, prefixes[i]);
        CHECK(back->header_count == message->header_count);
        size_t plain = 0,
               kept = 0; /* plain ones and attributes keep their order among themselves */
        for (size_t j = 0; j < back->header_count; j++) {
            plain += back->headers[j].kind == MARTY_HEADER;
            marty_bytes value = back->headers[j].value;
            kept += strcmp(back->headers[j].name, message->headers[j].name) == 0 &&
                    value.size == message->headers[j].value.size &&
                    memcmp(value.data, message->headers[j].value.data, value.size) == 0;
        }
        CHECK_INT(plain, 3);
        CHECK_INT(kept, back->header_count);
        CHECK(same(back, message, false));
        marty_message_unref(back);
        marty_message_unref(wire);
    }
    marty_message_unref(message);
}

static void only_dash_prefixes_are_percent_encoded(void)
{
    marty_message template_ = event();
    marty_message *wire = encode(&template_, MARTY_BINARY, "ce_");
    CHECK_TEXT(header(wire, "ce_subject"), template_.subject);
    marty_message_unref(wire);
    wire = encode(&template_, MARTY_BINARY, "cloudEvents_");
    CHECK_TEXT(header(wire, "cloudEvents_subject"), template_.subject);
    CHECK_TEXT(header(wire, "cloudEvents_specversion"), "1.0");
    CHECK_TEXT(header(wire, "content-type"), "application/json");
    marty_message_unref(wire);
}

/* The table of the HTTP binding's specification. */
static void percent_encoding_is_the_specs(void)
{
    static const char *const cases[][2] = {
        {"Euro \xe2\x82\xac \xf0\x9f\x98\x80", "Euro%20%E2%82%AC%20%F0%9F%98%80"},
        {"\"quoted\"", "%22quoted%22"},
        {"100%", "100%25"},
        {"!#$&'()*+,/:;=?@[]^_`{|}~", "!#$&'()*+,/:;=?@[]^_`{|}~"},
        {" ", "%20"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        marty_message template_ = {.type = "t", .subject = cases[i][0]};
        marty_message *wire = encode(&template_, MARTY_BINARY, "ce-"), *back = decode(wire, "ce-");
        CHECK_TEXT(header(wire, "ce-subject"), cases[i][1]);
        CHECK_TEXT(back->subject, cases[i][0]);
        marty_message_unref(back);
        marty_message_unref(wire);
    }
}

static void a_content_type_is_not_encoded(void)
{
    marty_message template_ = {.type = "t", .content_type = "text/plain; charset=\"utf-8\""};
    marty_message *wire = encode(&template_, MARTY_BINARY, "ce-"), *back = decode(wire, "ce-");
    CHECK_TEXT(header(wire, "content-type"), template_.content_type);
    CHECK_TEXT(back->content_type, template_.content_type);
    marty_message_unref(back);
    marty_message_unref(wire);
}

static void an_event_within_an_event_stays_within(void)
{
    marty_message template_ = {.type = "t",
                               .content_type = "Application/CloudEvents+json; x=\"y\""};
    template_.data = marty_text("{\"specversion\":\"1.0\"}");
    marty_message *message = make(&template_, NULL);
    static const char *const prefixes[] = {"ce-", "ce_", "cloudEvents:"};
    for (size_t i = 0; i < 3; i++) {
        marty_message *wire = encode(message, MARTY_BINARY, prefixes[i]);
        CHECK(!header(wire, "content-type"));
        marty_message *back = decode(wire, prefixes[i]);
        CHECK(same(back, message, true));
        marty_message_unref(back);
        marty_message_unref(wire);
    }
    marty_message_unref(message);
}

static void every_byte_passes_as_data(void)
{
    unsigned char bytes[512];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)i;
    }
    marty_message template_ = {.type = "t", .data = {bytes, sizeof bytes}};
    template_.content_type = "application/octet-stream";
    marty_message *message = make(&template_, NULL), *wire = encode(message, MARTY_BINARY, "ce-");
    marty_message *back = decode(wire, "ce-");
    CHECK(same(back, message, true));
    marty_message_unref(back);
    marty_message_unref(wire);
    marty_message_unref(message);
}

static void every_character_passes_as_an_attribute(void)
{
    char value[8], prefix_bad = 0;
    for (uint32_t point = 0x20; point < 0x3000; point++) {
        if (point >= 0x7f && point <= 0x9f) {
            continue;
        }
        size_t size = 1;
        if (point < 0x80) {
            value[0] = (char)point;
        } else if (point < 0x800) {
            value[0] = (char)(0xc0 | point >> 6);
            value[1] = (char)(0x80 | (point & 0x3f));
            size = 2;
        } else {
            value[0] = (char)(0xe0 | point >> 12);
            value[1] = (char)(0x80 | (point >> 6 & 0x3f));
            value[2] = (char)(0x80 | (point & 0x3f));
            size = 3;
        }
        marty_header attribute = {"a", {value, size}, MARTY_ATTRIBUTE};
        marty_message template_ = {.type = "t", .headers = &attribute, .header_count = 1};
        marty_message *wire = encode(&template_, MARTY_BINARY, "ce-"), *back = decode(wire, "ce-");
        marty_bytes got = back->headers[0].value;
        prefix_bad |= got.size != size || memcmp(got.data, value, size) != 0;
        marty_message_unref(back);
        marty_message_unref(wire);
    }
    CHECK(!prefix_bad);
}

/* A wire message of headers given as name, value pairs. */
typedef struct wire {
    marty_header headers[40];
    marty_message message;
} wire_message;

static marty_message *wire_of(wire_message *to, const char *const pairs[], const char *body)
{
    memset(to, 0, sizeof *to);
    size_t count = 0;
    for (; pairs[2 * count]; count++) {
        to->headers[count] =
            (marty_header){pairs[2 * count], marty_text(pairs[2 * count + 1]), MARTY_HEADER};
    }
    to->message.headers = to->headers;
    to->message.header_count = count;
    to->message.data = marty_text(body);
    return &to->message;
}

static void what_others_write_is_read(void)
{
    wire_message wire;
    /* percent-encoded too much (Python), any case (HTTP), Content-Type, raw UTF-8 (JS), quotes */
    const char *const pairs[] = {"CE-SpecVersion",
                                 "1.0",
                                 "Ce-Id",
                                 "%41-1",
                                 "ce-source",
                                 "%2Fpath%2Fto",
                                 "CE-TYPE",
                                 "order%2Ecreated",
                                 "ce-time",
                                 "2026-01-02T03%3A04%3A05Z",
                                 "ce-subject",
                                 "5 \xe2\x82\xac",
                                 "Content-Type",
                                 "application/json; charset=utf-8",
                                 "ce-Quoted",
                                 "\"a \\\"b\\\" %43\"",
                                 "ce-loose",
                                 "100% %zz %4",
                                 "ce-partitionkey",
                                 "",
                                 NULL};
    marty_message *message = decode(wire_of(&wire, pairs, "{}"), "ce-");
    CHECK_TEXT(message->id, "A-1");
    CHECK_TEXT(message->source, "/path/to");
    CHECK_TEXT(message->type, "order.created");
    CHECK_INT(message->time_us, INT64_C(1767323045000000));
    CHECK_TEXT(message->subject, "5 \xe2\x82\xac");
    CHECK_TEXT(message->content_type, "application/json; charset=utf-8");
    CHECK_TEXT(message->key, NULL);
    CHECK_TEXT(message->correlation_id, "A-1");
    CHECK_TEXT(message->headers[0].name, "quoted");
    CHECK_TEXT(header(message, "quoted"), "a \"b\" C");
    CHECK_TEXT(header(message, "loose"), "100% %zz %4");
    CHECK_INT(message->header_count, 2);
    marty_message_unref(message);
}

static void other_spellings_are_read(void)
{
    wire_message wire;
    const char *const amqp[] = {"cloudEvents:specversion",
                                "1.0",
                                "cloudEvents_id",
                                "1",
                                "cloudevents:source",
                                "/s",
                                "cloudEvents:type",
                                "t",
                                NULL};
    marty_message *message = decode(wire_of(&wire, amqp, ""), "cloudEvents_");
    CHECK_TEXT(message->id, "1");
    CHECK_TEXT(message->content_type, "application/json");
    CHECK_INT(message->data.size, 0);
    CHECK_INT(message->time_us, 0);
    marty_message_unref(message);
    message = decode(wire_of(&wire, amqp, "{\"a\": 1}"), "cloudEvents_");
    CHECK_TEXT(message->content_type, "application/json");
    marty_message_unref(message);
    message = decode(wire_of(&wire, amqp, "plain text"), "cloudEvents_");
    CHECK_TEXT(message->content_type, "application/octet-stream");
    marty_message_unref(message);
    const char *const mqtt[] = {"specversion", "1.0",    "id", "1",   "ce-source", "/s", "type",
                                "t",           "X-Mine", "y",  "own", "z",         NULL};
    message = decode(wire_of(&wire, mqtt, ""), "");
    CHECK_TEXT(message->source, "/s");
    CHECK_INT(message->headers[0].kind, MARTY_HEADER);
    CHECK_INT(message->headers[1].kind, MARTY_ATTRIBUTE);
    marty_message_unref(message);
    const char *const kafka[] = {
        "ce_specversion",     "1.0",        "ce_id",  "1",    "ce_source",  "/s",  "ce_type", "t",
        "ce_datacontenttype", "text/plain", "my key", "\r\n", "ce_subject", "%41", NULL};
    message = decode(wire_of(&wire, kafka, "x"), "ce_");
    CHECK_TEXT(message->content_type, "text/plain");
    CHECK_TEXT(message->subject, "%41"); /* not decoded: this binding has no percent-encoding */
    CHECK_TEXT(message->headers[0].name, "my%20key");
    CHECK_TEXT(message->headers[0].value.data, "\r\n");
    marty_error why = {0};
    marty_message *lines = NULL;
    CHECK_INT(marty_message_encode(&lines, message, MARTY_BINARY, "ce-", &why), MARTY_E_MALFORMED);
    CHECK_HAS(why.text, "CR, LF or NUL"); /* binary header values do not fit into lines */
    marty_message_unref(message);
}

static void bad_traces_are_dropped(void)
{
    static const struct {
        const char *parent, *state, *want_parent, *want_state;
    } cases[] = {{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b",
                  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b"},
                 {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "A=b",
                  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", NULL},
                 {"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b", NULL, NULL},
                 {"00-00000000000000000000000000000000-b7ad6b7169203331-01", "a=b", NULL, NULL},
                 {"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "a=b", NULL, NULL},
                 {"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b", NULL, NULL},
                 {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", "a=b", NULL, NULL},
                 {"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", "a=b",
                  "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", "a=b"},
                 {"", "a=b", NULL, NULL},
                 {"nonsense", NULL, NULL, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wire_message wire;
        const char *const pairs[] = {"ce-specversion",
                                     "1.0",
                                     "ce-id",
                                     "1",
                                     "ce-source",
                                     "/",
                                     "ce-type",
                                     "t",
                                     "ce-traceparent",
                                     cases[i].parent,
                                     cases[i].state ? "ce-tracestate" : NULL,
                                     cases[i].state,
                                     NULL};
        marty_message *message = decode(wire_of(&wire, pairs, ""), "ce-");
        CHECK_TEXT(message->trace_parent, cases[i].want_parent);
        CHECK_TEXT(message->trace_state, cases[i].want_state);
        marty_message_unref(message);
    }
}

static void a_trace_in_plain_headers_is_taken_too(void)
{
    wire_message wire;
    const char *parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const char *const pairs[] = {
        "ce-specversion", "1.0",  "ce-id",      "1",   "ce-source", "/", "ce-type", "t",
        "Traceparent",    parent, "tracestate", "a=b", NULL};
    marty_message *message = decode(wire_of(&wire, pairs, ""), "ce-");
    CHECK_TEXT(message->trace_parent, parent);
    CHECK_TEXT(message->trace_state, "a=b");
    CHECK_INT(message->header_count, 2); /* and stay what they are */
    marty_message_unref(message);
}

static void what_is_wrong_is_refused(void)
{
    static const struct {
        const char *name, *value, *part;
        marty_err err;
    } cases[] = {
        {"ce-specversion", "0.3", "only 1.0 is understood", MARTY_E_MALFORMED},
        {"ce-id", "", "id: it is empty", MARTY_E_MALFORMED},
        {"ce-type", "", "type: it is empty", MARTY_E_MALFORMED},
        {"ce-source", "", "source: it is empty", MARTY_E_MALFORMED},
        {"ce-time", "yesterday", "time: \"yesterday\" is not RFC 3339", MARTY_E_MALFORMED},
        {"ce-expirytime", "2026-13-01T00:00:00Z", "expirytime", MARTY_E_MALFORMED},
        {"ce-martypriority", "1.5", "martypriority", MARTY_E_MALFORMED},
        {"ce-martypriority", "2147483648", "martypriority", MARTY_E_MALFORMED},
        {"ce-subject", "a%0Ab", "subject: it has a control character", MARTY_E_MALFORMED},
        {"ce-subject", "%C0%80", "subject: it is not UTF-8", MARTY_E_MALFORMED},
        {"ce-subject", "%ED%A0%80", "subject: it is not UTF-8", MARTY_E_MALFORMED},
        {"ce-subject", "%EF%BF%BF", "noncharacter", MARTY_E_MALFORMED},
        {"ce-mine", "\xff", "attribute mine: it is not UTF-8", MARTY_E_MALFORMED},
        {"ce-under_score", "x", "attribute name \"under_score\"", MARTY_E_MALFORMED},
        {"ce-data", "x", "data: no such attribute", MARTY_E_MALFORMED},
        {"", "x", "a header has no name", MARTY_E_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wire_message wire;
        const char *pairs[] = {"ce-specversion", "1.0",          "ce-id",   "1",
                               "ce-source",      "/s",           "ce-type", "t",
                               cases[i].name,    cases[i].value, NULL};
        for (size_t j = 0; j < 8; j += 2) {
            if (strcmp(pairs[j], cases[i].name) == 0) { /* in place of the good one */
                pairs[j + 1] = cases[i].value;
                pairs[8] = NULL;
            }
        }
        refused(wire_of(&wire, pairs, ""), "ce-", cases[i].err, cases[i].part);
    }
}

static void what_is_missing_or_twice_is_refused(void)
{
    wire_message wire;
    const char *const none[] = {"ce-id", "1", NULL};
    refused(wire_of(&wire, none, ""), "ce-", MARTY_E_MALFORMED, "ce-specversion");
    const char *const id[] = {"ce-specversion", "1.0", "ce-source", "/", "ce-type", "t", NULL};
    refused(wire_of(&wire, id, ""), "ce-", MARTY_E_MALFORMED, "ce-id is missing");
    const char *const twice[] = {"ce-specversion", "1.0", "ce-id", "1", "ce-source", "/",
                                 "ce-type",        "t",   "ce-ID", "2", NULL};
    refused(wire_of(&wire, twice, ""), "ce-", MARTY_E_MALFORMED, "id: it is there twice");
    const char *const again[] = {
        "ce-specversion", "1.0", "ce-id", "1", "ce-source", "/", "ce-type", "t",
        "ce-x",           "2",   "ce-X",  "3", NULL};
    refused(wire_of(&wire, again, ""), "ce-", MARTY_E_MALFORMED, "attribute x: it is there twice");
    const char *const batch[] = {"content-type", "application/cloudevents-batch+json", NULL};
    refused(wire_of(&wire, batch, "[]"), "ce-", MARTY_E_MALFORMED, "batches are not read");
    const char *const avro[] = {"content-type", "application/cloudevents+avro", NULL};
    refused(wire_of(&wire, avro, ""), "ce-", MARTY_E_MALFORMED, "application/cloudevents+json");
    refused(NULL, "ce-", MARTY_E_ARGUMENT, "NULL");
}

static void sizes_have_limits(void)
{
    wire_message wire;
    char *large = calloc(1, MARTY__ATTRIBUTE_BYTES_MAX + 2);
    REQUIRE(large);
    memset(large, 'a', MARTY__ATTRIBUTE_BYTES_MAX + 1);
    const char *pairs[] = {"ce-specversion", "1.0", "ce-id", "1",   "ce-source", "/",
                           "ce-type",        "t",   "ce-x",  large, NULL};
    refused(wire_of(&wire, pairs, ""), "ce-", MARTY_E_TOO_LARGE, "header ce-x: 65537 bytes");
    large[MARTY__ATTRIBUTE_BYTES_MAX] = '\0';
    marty_message *message = decode(wire_of(&wire, pairs, ""), "ce-");
    CHECK_INT(marty_message_header(message, "x").size, MARTY__ATTRIBUTE_BYTES_MAX);
    marty_message_unref(message);
    large[MARTY__NAME_BYTES_MAX + 1] = '\0';
    pairs[3] = large;
    refused(wire_of(&wire, pairs, ""), "ce-", MARTY_E_TOO_LARGE, "id: 256 bytes, at most 255");
    pairs[3] = "1";
    large[MARTY__NAME_BYTES_MAX + 1] = 'a';
    large[MARTY__NAME_BYTES_MAX + 4] = '\0';
    pairs[8] = memcpy(large, "ce-", 3);
    refused(wire_of(&wire, pairs, ""), "ce-", MARTY_E_TOO_LARGE, "attribute name");
    free(large);
}

static void many_headers_pass_and_too_many_do_not(void)
{
    static marty_header headers[MARTY__HEADERS_MAX + 200];
    static char names[MARTY__HEADERS_MAX + 200][16];
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        snprintf(names[i], sizeof names[i], "h%zu", i);
        headers[i] =
            (marty_header){names[i], marty_text(names[i]), i % 2 ? MARTY_HEADER : MARTY_ATTRIBUTE};
    }
    marty_message template_ = {.type = "t", .headers = headers, .header_count = MARTY__HEADERS_MAX};
    marty_message *wire = encode(&template_, MARTY_BINARY, "ce-"), *back = decode(wire, "ce-");
    CHECK_INT(back->header_count, MARTY__HEADERS_MAX);
    CHECK_TEXT(back->headers[1023].name, "h1023");
    marty_message_unref(back);
    marty_message_unref(wire);
    marty_message flood = {.headers = headers, .header_count = MARTY__HEADERS_MAX + 200};
    refused(&flood, "ce-", MARTY_E_TOO_LARGE, "headers: 1224, at most 1024");
}

static void headers_that_would_be_misread_are_refused(void)
{
    static const struct {
        const char *name, *prefix;
    } cases[] = {{"x-id", "x-"}, {"X-Id", "x-"}, {"id", ""}, {"tenant", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        marty_header plain = {cases[i].name, {"v", 1}, MARTY_HEADER};
        marty_message template_ = {.type = "t", .headers = &plain, .header_count = 1}, *wire = NULL;
        marty_error why = {0};
        CHECK_INT(marty_message_encode(&wire, &template_, MARTY_BINARY, cases[i].prefix, &why),
                  MARTY_E_MALFORMED);
        CHECK_HAS(why.text, "part of the envelope");
    }
}

static marty_err round_trip(void *user)
{
    marty_message *wire = NULL, *back = NULL;
    marty_error why;
    marty_err err = marty_message_encode(&wire, user, MARTY_BINARY, "ce-", &why);
    err = err ? err : marty_message_decode(&back, wire, "ce-", &why);
    marty_message_unref(back);
    marty_message_unref(wire);
    return err;
}

static void want_of_memory_is_answered(void)
{
    static marty_header many[40];
    marty_message template_ = event();
    CHECK_INT(torture(round_trip, &template_), 3); /* one each: event, wire, event */
    for (size_t i = 0; i < 40; i++) {
        many[i] = (marty_header){"x", {"y", 1}, MARTY_HEADER};
    }
    template_.headers = many;
    template_.header_count = 40;
    CHECK_INT(torture(round_trip, &template_), 5); /* and for more headers than usual */
}

int main(void)
{
    attributes_become_headers();
    an_event_comes_back_as_it_was();
    only_dash_prefixes_are_percent_encoded();
    percent_encoding_is_the_specs();
    a_content_type_is_not_encoded();
    an_event_within_an_event_stays_within();
    every_byte_passes_as_data();
    every_character_passes_as_an_attribute();
    what_others_write_is_read();
    other_spellings_are_read();
    bad_traces_are_dropped();
    a_trace_in_plain_headers_is_taken_too();
    what_is_wrong_is_refused();
    what_is_missing_or_twice_is_refused();
    sizes_have_limits();
    many_headers_pass_and_too_many_do_not();
    headers_that_would_be_misread_are_refused();
    want_of_memory_is_answered();
    return check_result();
}
