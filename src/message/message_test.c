/* SPDX-License-Identifier: Apache-2.0
 * Messages made from templates: what is completed, what is refused and in which words, and how
 * references and copies live. */
#include "base/clock.h"
#include "base/limits.h"
#include "block.h"
#include "test_tools.h"

#include <pthread.h>

#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void a_template_is_completed(void)
{
    int64_t before_us = marty__wall_us();
    marty_message *message =
        make(&(marty_message){.type = "order.created", .data = marty_text("{}")}, NULL);
    CHECK_TEXT(message->type, "order.created");
    CHECK_TEXT(message->source, "/marty");
    CHECK_TEXT(message->content_type, "application/json");
    CHECK_INT(strlen(message->id), 36);
    CHECK_TEXT(message->correlation_id, message->id);
    CHECK_TEXT(message->causation_id, message->id);
    CHECK_TEXT(message->subject, NULL);
    CHECK_TEXT(message->key, NULL);
    CHECK_TEXT(message->schema, NULL);
    CHECK_TEXT(message->trace_parent, NULL);
    CHECK(message->time_us >= before_us && message->time_us <= marty__wall_us());
    CHECK_INT(message->expires_us, 0);
    CHECK_INT(message->header_count, 0);
    CHECK_BYTES(message->data.data, message->data.size, "{}", 2);
    CHECK(message->marty__self == message);
    marty_message_unref(message);
}

static void everything_is_copied(void)
{
    char type[] = "a.b", value[] = "value", name[] = "x-name", data[] = "data";
    marty_header headers[] = {{name, {value, 5}, MARTY_HEADER},
                              {"ext", {NULL, 0}, MARTY_ATTRIBUTE}};
    marty_message *message = make(
        &(marty_message){.type = type, .data = {data, 4}, .headers = headers, .header_count = 2},
        NULL);
    memset(type, '?', 3);
    memset(value, '?', 5);
    memset(name, '?', 6);
    memset(data, '?', 4);
    memset(headers, 0, sizeof headers);
    CHECK_TEXT(message->type, "a.b");
    CHECK_TEXT(header(message, "X-NAME"), "value");
    CHECK_TEXT(header(message, "ext"), "");
    CHECK_INT(marty_message_header(message, "ext").size, 0);
    CHECK_BYTES(message->data.data, message->data.size, "data", 4);
    CHECK(((uintptr_t)message->data.data & 15) == 0); /* data is aligned for any type */
    marty_message_unref(message);
}

static void a_cause_lends_correlation_and_trace(void)
{
    marty_message cause = {
        .type = "t", .id = "cause", .trace_parent = PARENT, .trace_state = "a=b"};
    marty_message *first = make(&cause, NULL);
    marty_message *second = make(&(marty_message){.type = "t"}, first);
    marty_message *third = make(&(marty_message){.type = "t"}, second);
    CHECK_TEXT(second->correlation_id, "cause");
    CHECK_TEXT(second->causation_id, "cause");
    CHECK_TEXT(third->correlation_id, "cause");
    CHECK_TEXT(third->causation_id, second->id);
    CHECK_TEXT(third->trace_parent, PARENT);
    CHECK_TEXT(third->trace_state, "a=b");
    marty_message_unref(third);
    const char *other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-00";
    third = make(
        &(marty_message){
            .type = "t", .correlation_id = "c", .causation_id = "d", .trace_parent = other},
        second);
    CHECK_TEXT(third->correlation_id, "c");
    CHECK_TEXT(third->causation_id, "d");
    CHECK_TEXT(third->trace_parent, other);
    CHECK_TEXT(third->trace_state, NULL); /* that belongs to the other trace */
    marty_message_unref(third);
    marty_message_unref(second);
    marty_message_unref(first);
    third = make(&(marty_message){.type = "t"}, &(marty_message){.type = "t", .id = "x"});
    CHECK_TEXT(third->correlation_id, "x"); /* a template may be the cause */
    marty_message_unref(third);
}

static int64_t fixed_wall(void *user)
{
    (void)user;
    return 1000;
}

static void fixed_random(void *user, void *buffer, size_t size)
{
    (void)user;
    memset(buffer, 0, size);
}

static void surroundings_and_source_can_be_given(void)
{
    const marty_env env = {.monotonic_ns = marty__env_real()->monotonic_ns,
                           .wall_us = fixed_wall,
                           .random = fixed_random};
    marty_message *message = NULL;
    REQUIRE(marty__message_new(&message, &(marty_message){.type = "t"}, NULL, &env, "/orders",
                               NULL) == MARTY_OK);
    CHECK_TEXT(message->id, "00000000-0001-7000-8000-000000000000");
    CHECK_INT(message->time_us, 1000);
    CHECK_TEXT(message->source, "/orders");
    marty_message_unref(message);
}

static void a_counted_message_is_only_referenced(void)
{
    marty_message *message = make(&(marty_message){.type = "t"}, NULL),
                  *again = make(message, NULL);
    CHECK(again == message);
    marty_message copy = *message; /* but a copy of it is a template, with the same id */
    copy.subject = "changed";
    marty_message *third = make(&copy, NULL);
    CHECK(third != message);
    CHECK_TEXT(third->id, message->id);
    CHECK_TEXT(third->subject, "changed");
    CHECK(marty_message_ref(&copy) == NULL);
    CHECK(marty_message_ref(NULL) == NULL);
    marty_message_unref(&copy);
    marty_message_unref(NULL);
    marty_message_unref(third);
    marty_message_unref(again);
    CHECK_TEXT(message->type, "t");
    marty_message_unref(message);
}

static void a_copy_of_what_was_read_is_accepted(void)
{
    const marty_header headers[] = {{"ce_specversion", {"1.0", 3}, MARTY_HEADER},
                                    {"ce_id", {"1", 1}, MARTY_HEADER},
                                    {"ce_source", {"my service", 10}, MARTY_HEADER},
                                    {"ce_type", {"t", 1}, MARTY_HEADER},
                                    {"bytes", {"\0\r\n", 3}, MARTY_HEADER}};
    marty_message wire = {.headers = headers, .header_count = 5};
    marty_message *message = decode(&wire, "ce_"), copy = *message;
    copy.subject = "changed";
    marty_message *again = make(&copy, NULL);
    CHECK_TEXT(again->source, "my service");
    CHECK_INT(marty_message_header(again, "bytes").size, 3);
    copy.subject = "a\nb"; /* but never what no attribute may have */
    marty_message *bad = NULL;
    CHECK_INT(marty_message_new(&bad, &copy, NULL, NULL), MARTY_E_MALFORMED);
    marty_message_unref(again);
    marty_message_unref(message);
}

static void refuse(const marty_message *template_, marty_err want, const char *part)
{
    marty_message *message = NULL;
    marty_error why = {0};
    CHECK_INT(marty_message_new(&message, template_, NULL, &why), want);
    CHECK_INT(why.code, want);
    CHECK_HAS(why.text, part);
    CHECK(!message);
    CHECK_INT(marty_message_new(&message, template_, NULL, NULL), want);
}

static void a_bad_field_is_named(void)
{
    static char large[MARTY__ATTRIBUTE_BYTES_MAX + 2], name[MARTY__NAME_BYTES_MAX + 2];
    memset(large, 'a', sizeof large - 1);
    memset(name, 'a', sizeof name - 1);
    static const struct {
        marty_message template_;
        marty_err err;
        const char *part;
    } cases[] = {
        {{.type = NULL}, MARTY_E_ARGUMENT, "type: it is required, such as \"order.created\""},
        {{.type = ""}, MARTY_E_MALFORMED, "type: it is empty"},
        {{.type = "a\nb"}, MARTY_E_MALFORMED, "type: it has a control character"},
        {{.type = "a\x7f"}, MARTY_E_MALFORMED, "type: it has a control character"},
        {{.type = "a\xc2\x80"}, MARTY_E_MALFORMED, "type: it has a control character"},
        {{.type = "\xff"}, MARTY_E_MALFORMED, "type: it is not UTF-8"},
        {{.type = "\xc0\x80"}, MARTY_E_MALFORMED, "type: it is not UTF-8"},
        {{.type = "\xed\xa0\x80"}, MARTY_E_MALFORMED, "type: it is not UTF-8"},
        {{.type = "\xef\xbf\xbe"}, MARTY_E_MALFORMED, "type: it has a Unicode noncharacter"},
        {{.type = "\xef\xb7\x90"}, MARTY_E_MALFORMED, "type: it has a Unicode noncharacter"},
        {{.type = "\xf0\x9f\xbf\xbf"}, MARTY_E_MALFORMED, "type: it has a Unicode noncharacter"},
        {{.type = name}, MARTY_E_TOO_LARGE, "type: 256 bytes, at most 255"},
        {{.type = "t", .id = ""}, MARTY_E_MALFORMED, "id: it is empty"},
        {{.type = "t", .id = name}, MARTY_E_TOO_LARGE, "id: 256 bytes, at most 255"},
        {{.type = "t", .source = ""}, MARTY_E_MALFORMED, "source: it is empty"},
        {{.type = "t", .source = "a b"}, MARTY_E_MALFORMED, "source: a URI has no spaces"},
        {{.type = "t", .source = "\xc3\xbc"}, MARTY_E_MALFORMED, "source: a URI has no spaces"},
        {{.type = "t", .source = "%4"}, MARTY_E_MALFORMED, "two hexadecimal digits"},
        {{.type = "t", .subject = ""}, MARTY_E_MALFORMED, "subject: it is empty; leave it out"},
        {{.type = "t", .key = ""}, MARTY_E_MALFORMED, "partitionkey: it is empty"},
        {{.type = "t", .key = large}, MARTY_E_TOO_LARGE, "partitionkey: 65537 bytes"},
        {{.type = "t", .schema = "order.json"}, MARTY_E_MALFORMED, "dataschema: an absolute URI"},
        {{.type = "t", .schema = "1a:x"}, MARTY_E_MALFORMED, "dataschema: an absolute URI"},
        {{.type = "t", .content_type = "json"}, MARTY_E_MALFORMED, "datacontenttype: a media type"},
        {{.type = "t", .content_type = "a/b\r\nX: y"},
         MARTY_E_MALFORMED,
         "datacontenttype: it has"},
        {{.type = "t", .content_type = "a b/c"}, MARTY_E_MALFORMED, "datacontenttype: a media"},
        {{.type = "t", .trace_parent = "00-1"}, MARTY_E_MALFORMED, "traceparent: W3C traceparent"},
        {{.type = "t", .trace_parent = PARENT, .trace_state = "a"},
         MARTY_E_MALFORMED,
         "tracestate: "},
        {{.type = "t", .trace_state = "a=b"}, MARTY_E_MALFORMED, "tracestate: it means nothing"},
        {{.type = "t", .data = {NULL, 1}}, MARTY_E_ARGUMENT, "data: NULL, but its size is 1"},
        {{.type = "t", .data = {"", SIZE_MAX}}, MARTY_E_TOO_LARGE, "data: 18446744073709551615"},
        {{.type = "t", .header_count = 1},
         MARTY_E_ARGUMENT,
         "headers: NULL, but header_count is 1"},
        {{.type = "t", .time_us = INT64_MAX}, MARTY_E_MALFORMED, "time_us is outside"},
        {{.type = "t", .expires_us = INT64_MAX}, MARTY_E_MALFORMED, "0 = never"},
        {{.type = "t", .expires_us = INT64_MIN}, MARTY_E_MALFORMED, "expires_us is outside"},
        {{.type = "t", .reserved = {0, 1}}, MARTY_E_UNSUPPORTED, "made for a newer Marty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        refuse(&cases[i].template_, cases[i].err, cases[i].part);
    }
    refuse(NULL, MARTY_E_ARGUMENT, "message: NULL");
}

static void a_bad_header_is_named(void)
{
    static const struct {
        marty_header header;
        marty_err err;
        const char *part;
    } cases[] = {
        {{NULL, {"v", 1}, MARTY_HEADER}, MARTY_E_ARGUMENT, "headers[0].name: NULL"},
        {{"", {"v", 1}, MARTY_HEADER}, MARTY_E_MALFORMED, "header name \"\": it is empty"},
        {{"a b", {"v", 1}, MARTY_HEADER}, MARTY_E_MALFORMED, "header name \"a b\""},
        {{"a:b", {"v", 1}, MARTY_HEADER}, MARTY_E_MALFORMED, "header name \"a:b\""},
        {{"a\r\nb", {"v", 1}, MARTY_HEADER}, MARTY_E_MALFORMED, "made of letters, digits"},
        {{"\xc3\xbc", {"v", 1}, MARTY_HEADER}, MARTY_E_MALFORMED, "made of letters, digits"},
        {{"a", {"b\r\nEvil: yes", 12}, MARTY_HEADER}, MARTY_E_MALFORMED, "header a: a header's"},
        {{"a", {"b\nc", 3}, MARTY_HEADER}, MARTY_E_MALFORMED, "CR, LF or NUL"},
        {{"a", {"b\0c", 3}, MARTY_HEADER}, MARTY_E_MALFORMED, "CR, LF or NUL"},
        {{"a", {NULL, 3}, MARTY_HEADER}, MARTY_E_MALFORMED, "it has a size but no bytes"},
        {{"a", {"x", 1}, (marty_header_kind)99}, MARTY_E_MALFORMED, "kind"},
        {{"a", {"x", MARTY__ATTRIBUTE_BYTES_MAX + 1}, MARTY_HEADER}, MARTY_E_TOO_LARGE, "65537"},
        {{"Content-Type", {"v", 1}, MARTY_HEADER}, MARTY_E_MALFORMED, "belongs to the envelope"},
        {{"CE-id", {"v", 1}, MARTY_HEADER}, MARTY_E_MALFORMED, "belongs to the envelope"},
        {{"ce_type", {"v", 1}, MARTY_HEADER}, MARTY_E_MALFORMED, "belongs to the envelope"},
        {{"cloudEvents_id", {"v", 1}, MARTY_HEADER}, MARTY_E_MALFORMED, "belongs to"},
        {{"Upper", {"v", 1}, MARTY_ATTRIBUTE}, MARTY_E_MALFORMED, "attribute name \"Upper\""},
        {{"under_score", {"v", 1}, MARTY_ATTRIBUTE}, MARTY_E_MALFORMED, "a to z and 0 to 9 only"},
        {{"", {"v", 1}, MARTY_ATTRIBUTE}, MARTY_E_MALFORMED, "it is empty"},
        {{"data", {"v", 1}, MARTY_ATTRIBUTE}, MARTY_E_MALFORMED, "set the message's data"},
        {{"id", {"v", 1}, MARTY_ATTRIBUTE}, MARTY_E_MALFORMED, "attribute id: it has a field"},
        {{"partitionkey", {"v", 1}, MARTY_ATTRIBUTE}, MARTY_E_MALFORMED, "set key instead"},
        {{"time", {"v", 1}, MARTY_ATTRIBUTE}, MARTY_E_MALFORMED, "set time_us instead"},
        {{"specversion", {"v", 1}, MARTY_ATTRIBUTE}, MARTY_E_MALFORMED, "always 1.0"},
        {{"a", {"\n", 1}, MARTY_ATTRIBUTE}, MARTY_E_MALFORMED, "attribute a: it has a control"},
        {{"a", {"01", 2}, MARTY_ATTRIBUTE_INTEGER}, MARTY_E_MALFORMED, "an integer is"},
        {{"a", {"1.5", 3}, MARTY_ATTRIBUTE_INTEGER}, MARTY_E_MALFORMED, "an integer is"},
        {{"a", {"-", 1}, MARTY_ATTRIBUTE_INTEGER}, MARTY_E_MALFORMED, "an integer is"},
        {{"a", {"", 0}, MARTY_ATTRIBUTE_INTEGER}, MARTY_E_MALFORMED, "an integer is"},
        {{"a", {"2147483648", 10}, MARTY_ATTRIBUTE_INTEGER}, MARTY_E_MALFORMED, "an integer"},
        {{"a", {"-2147483649", 11}, MARTY_ATTRIBUTE_INTEGER}, MARTY_E_MALFORMED, "an integer"},
        {{"a", {"99999999999", 11}, MARTY_ATTRIBUTE_INTEGER}, MARTY_E_MALFORMED, "an integer"},
        {{"a", {"TRUE", 4}, MARTY_ATTRIBUTE_BOOLEAN}, MARTY_E_MALFORMED, "true or false"},
        {{"a", {"YQ", 2}, MARTY_ATTRIBUTE_BINARY}, MARTY_E_MALFORMED, "base64"},
        {{"a", {"YR==", 4}, MARTY_ATTRIBUTE_BINARY}, MARTY_E_MALFORMED, "base64"},
        {{"a", {"YQ==YQ==", 8}, MARTY_ATTRIBUTE_BINARY}, MARTY_E_MALFORMED, "base64"},
        {{"a", {"a b", 3}, MARTY_ATTRIBUTE_URI}, MARTY_E_MALFORMED, "a URI"},
        {{"a", {"", 0}, MARTY_ATTRIBUTE_URI}, MARTY_E_MALFORMED, "it is empty"},
        {{"a", {"2026-01-02", 10}, MARTY_ATTRIBUTE_TIMESTAMP}, MARTY_E_MALFORMED, "RFC 3339"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        marty_message template_ = {.type = "t", .headers = &cases[i].header, .header_count = 1};
        refuse(&template_, cases[i].err, cases[i].part);
    }
    const marty_header twice[] = {{"a", {"1", 1}, MARTY_ATTRIBUTE},
                                  {"a", {"2", 1}, MARTY_ATTRIBUTE}};
    refuse(&(marty_message){.type = "t", .headers = twice, .header_count = 2}, MARTY_E_MALFORMED,
           "attribute a: it is there twice");
    refuse(&(marty_message){.type = "t", .headers = twice, .header_count = MARTY__HEADERS_MAX + 1},
           MARTY_E_TOO_LARGE, "headers: 1025, at most 1024");
}

static void good_values_pass(void)
{
    static char base64[4096 + 4];
    memset(base64, 'A', sizeof base64);
    const marty_header headers[] = {
        {"a", {"-2147483648", 11}, MARTY_ATTRIBUTE_INTEGER},
        {"b", {"0", 1}, MARTY_ATTRIBUTE_INTEGER},
        {"c", {"", 0}, MARTY_ATTRIBUTE_BINARY},
        {"d", {base64, sizeof base64}, MARTY_ATTRIBUTE_BINARY},
        {"e", {"2026-02-28T23:59:60.123456789-23:59", 35}, MARTY_ATTRIBUTE_TIMESTAMP},
        {"f", {"urn:x?y#z", 9}, MARTY_ATTRIBUTE_URI},
        {"0123456789abcdefghijklmnopqrstuvwxyz", {"\xf4\x8f\xbf\xbd", 4}, MARTY_ATTRIBUTE},
        {"!#$%&'*+-.^_`|~", {"\x01\xff", 2}, MARTY_HEADER},
        {"a", {"same name, another class", 24}, MARTY_HEADER}};
    marty_message *message = make(&(marty_message){.type = "t",
                                                   .content_type = "text/plain; charset=utf-8",
                                                   .schema = "urn:x",
                                                   .headers = headers,
                                                   .header_count = 9},
                                  NULL);
    CHECK_INT(message->header_count, 9);
    marty_message_unref(message);
}

static void a_header_is_found_by_any_case(void)
{
    const marty_header headers[] = {{"X-One", {"1", 1}, MARTY_HEADER},
                                    {"x-one", {"2", 1}, MARTY_HEADER},
                                    {"two", {"3", 1}, MARTY_ATTRIBUTE}};
    marty_message template_ = {.type = "t", .headers = headers, .header_count = 3};
    CHECK_TEXT(header(&template_, "x-ONE"), "1");
    CHECK_TEXT(header(&template_, "TWO"), "3");
    CHECK(!header(&template_, "tw"));
    CHECK(!header(&template_, ""));
    CHECK(!header(&template_, NULL));
    CHECK(!header(NULL, "two"));
}

enum { THREADS = 4, ROUNDS = 20000 };

static void *use(void *argument)
{
    marty_message *message = argument;
    for (int i = 0; i < ROUNDS; i++) {
        marty_message *again = marty_message_ref(message);
        marty_message_unref(again);
    }
    marty_message_unref(message);
    return NULL;
}

static void references_are_counted_over_threads(void)
{
    pthread_t threads[THREADS];
    marty_message *message = make(&(marty_message){.type = "t"}, NULL);
    for (size_t i = 0; i < THREADS; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, use, marty_message_ref(message)) == 0);
    }
    marty_message_unref(message); /* the last thread frees it */
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

static marty_err make_one(void *user)
{
    marty_message *message = NULL;
    marty_error why;
    marty_err err = marty_message_new(&message, user, NULL, &why);
    marty_message_unref(message);
    return err;
}

static void want_of_memory_is_answered(void)
{
    marty_header headers[30];
    for (size_t i = 0; i < 30; i++) {
        headers[i] = (marty_header){"x", {"y", 1}, MARTY_HEADER};
    }
    marty_message template_ = {.type = "t", .headers = headers, .header_count = 3};
    CHECK_INT(torture(make_one, &template_), 1); /* one allocation */
    template_.header_count = 30;
    CHECK_INT(torture(make_one, &template_), 2);
}

int main(void)
{
    a_template_is_completed();
    everything_is_copied();
    a_cause_lends_correlation_and_trace();
    surroundings_and_source_can_be_given();
    a_counted_message_is_only_referenced();
    a_copy_of_what_was_read_is_accepted();
    a_bad_field_is_named();
    a_bad_header_is_named();
    good_values_pass();
    a_header_is_found_by_any_case();
    references_are_counted_over_threads();
    want_of_memory_is_answered();
    return check_result();
}
