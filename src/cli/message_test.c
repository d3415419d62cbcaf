/* SPDX-License-Identifier: Apache-2.0
 * A message is shown as JSON with every digit as it came, and a peer reads back what it was shown.
 */
#include "message.h"
#include "peer.h"

#include "check.h"
#include <marty/adapter.h>

static char *json_of(const marty_message *message, bool exact)
{
    cli_text text = {0};
    cli_message_json(&text, message, NULL, exact);
    return text.data;
}

static void data_keeps_its_digits(void)
{
    marty_message message = {.type = "a.b",
                             .data =
                                 marty_text("{\"amount\": 99.99, \"big\": "
                                            "123456789012345678901234567890,\n \"s\": \"x y\"}")};
    char *json = json_of(&message, false);
    CHECK_TEXT(json, "{\"type\":\"a.b\",\"data\":{\"amount\":99.99,\"big\":"
                     "123456789012345678901234567890,\"s\":\"x y\"}}");
    marty_free(json);
}

static void data_that_is_no_json_is_text_or_base64(void)
{
    marty_message message = {.type = "a", .data = marty_text("{broken")};
    char *json = json_of(&message, false);
    CHECK_TEXT(json, "{\"type\":\"a\",\"data_base64\":\"e2Jyb2tlbg==\"}");
    marty_free(json);
    message.content_type = "text/plain; charset=utf-8";
    json = json_of(&message, false);
    CHECK_TEXT(json, "{\"type\":\"a\",\"content_type\":\"text/plain; charset=utf-8\","
                     "\"data\":\"{broken\"}");
    marty_free(json);
    message.data = marty_text("\xff");
    json = json_of(&message, false);
    CHECK_HAS(json, "\"data_base64\":\"/w==\"");
    marty_free(json);
    message.content_type = "application/vnd.x+json";
    message.data = marty_text("1");
    json = json_of(&message, true);
    CHECK_HAS(json, "\"data_base64\":\"MQ==\"");
    marty_free(json);
}

static void headers_repeat_in_order_and_attributes_have_types(void)
{
    const marty_header headers[] = {{"x", marty_text("1"), MARTY_HEADER},
                                    {"n", marty_text("-7"), MARTY_ATTRIBUTE_INTEGER},
                                    {"x", marty_text("2"), MARTY_HEADER},
                                    {"b", marty_text("true"), MARTY_ATTRIBUTE_BOOLEAN},
                                    {"u", marty_text("a:b"), MARTY_ATTRIBUTE_URI}};
    marty_message message = {.type = "a", .headers = headers, .header_count = 5};
    char *json = json_of(&message, false);
    CHECK_TEXT(json, "{\"type\":\"a\",\"headers\":{\"x\":[\"1\",\"2\"]},\"attributes\":"
                     "{\"n\":-7,\"b\":true,\"u\":{\"uri\":\"a:b\"}}}");
    marty_free(json);
}

static void a_peer_reads_what_it_was_shown(void)
{
    static const char shown[] =
        "{\"type\":\"a\",\"id\":\"1\",\"source\":\"/s\",\"time\":\"2026-11-01T10:00:00Z\","
        "\"key\":\"k\",\"priority\":3,\"headers\":{\"x\":[\"1\",\"2\"],\"y\":\"z\"},"
        "\"attributes\":{\"n\":-7,\"b\":true,\"u\":{\"uri\":\"a:b\"}},"
        "\"data\":{\"amount\":99.990,\"big\":123456789012345678901234567890,\"one\":1.0,\"t\":"
        "\"\xc3\xbc\",\"a\":[1,null,false]}}";
    json_error_t wrong;
    json_t *object = peer_parse(shown, strlen(shown), true, &wrong);
    cli_template made;
    marty_error why = {0};
    char *json;
    REQUIRE(peer_template(&made, object, &why) == MARTY_OK);
    json = json_of(&made.message, false);
    CHECK_TEXT(json, shown);
    marty_free(json);
    cli_template_free(&made);
    json_decref(object);
}

static void a_peer_is_told_what_is_wrong(void)
{
    static const struct {
        const char *request, *says;
    } cases[] = {{"{\"data\":1,\"data_base64\":\"\"}", "give one of them"},
                 {"{\"data_base64\":\"*\"}", "no base64"},
                 {"{\"type\":1}", "type: a text"},
                 {"{\"typ\":\"a\"}", "unknown field \"typ\""},
                 {"[]", "an object was expected"},
                 {"{\"time\":\"soon\"}", "time: a time such as"},
                 {"{\"headers\":[]}", "headers: an object"},
                 {"{\"headers\":{\"x\":1}}", "header \"x\": a text"},
                 {"{\"attributes\":{\"x\":1.5}}", "attribute \"x\""},
                 {"{\"content_type\":\"text/plain\",\"data\":{}}", "data: a text was expected"}};
    size_t i;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_error_t wrong;
        json_t *object = peer_parse(cases[i].request, strlen(cases[i].request), true, &wrong);
        cli_template made;
        marty_error why = {0};
        CHECK_INT(peer_template(&made, object, &why), MARTY_E_ARGUMENT);
        CHECK_HAS(why.text, cases[i].says);
        json_decref(object);
    }
}

static void requests_are_parsed_as_they_come(void)
{
    static const struct {
        const char *text, *becomes; /* NULL: no JSON */
    } cases[] = {{"{\"message\": {\"data\": {\"n\": [1, \"]\\\"\"]}}}",
                  "{\"message\": {\"data\": \"{\\\"n\\\":[1,\\\"]\\\\\\\"\\\"]}\"}}"},
                 {"{\"messages\":[{\"d\\u0061ta\":1},{\"data\":null}]}",
                  "{\"messages\": [{\"data\": \"1\"}, {\"data\": \"null\"}]}"},
                 {"{\"data\":1,\"message\":{\"headers\":{\"data\":\"x\"}}}",
                  "{\"data\": 1, \"message\": {\"headers\": {\"data\": \"x\"}}}"},
                 {"[1]", "[1]"},
                 {"{\"message\":7}", "{\"message\": 7}"},
                 {"{\"message\":{\"data\":01}}", NULL},
                 {"{\"message\":{\"data\":}}", NULL},
                 {"{\"message\":{\"data\"", NULL},
                 {"{\"message\":{\"data\":1,\"data\":2}}", NULL},
                 {"{\"id\":123456789012345678901}", NULL},
                 {"{\"a\":\"", NULL},
                 {"", NULL}};
    size_t i;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_error_t wrong = {0};
        json_t *object = peer_parse(cases[i].text, strlen(cases[i].text), false, &wrong);
        char *json = object ? json_dumps(object, 0) : NULL;
        CHECK_TEXT(json, cases[i].becomes);
        CHECK(object || wrong.text[0]);
        free(json);
        json_decref(object);
    }
}

int main(void)
{
    requests_are_parsed_as_they_come();
    data_keeps_its_digits();
    data_that_is_no_json_is_text_or_base64();
    headers_repeat_in_order_and_attributes_have_types();
    a_peer_reads_what_it_was_shown();
    a_peer_is_told_what_is_wrong();
    return check_result();
}
