/* SPDX-License-Identifier: Apache-2.0
 * The rules that the makers of messages do not show well: media types, traces, runs of bytes. */
#include "rules.h"

#include "ascii.h"
#include "tests/check.h"

static void media_types_are_told(void)
{
    static const struct {
        const char *type;
        bool json, text;
    } cases[] = {{"application/json", true, false},
                 {"Application/JSON", true, false},
                 {"text/json", true, true},
                 {"application/vnd.x+json", true, false},
                 {"application/problem+JSON ; charset=utf-8", true, false},
                 {"application/jsonx", false, false},
                 {"application/xjson", false, false},
                 {"json", false, false},
                 {"text/plain", false, true},
                 {"TEXT/html;x=/json", false, true},
                 {"application/xml", false, true},
                 {"application/soap+xml", false, true},
                 {"application/octet-stream", false, false},
                 {"", false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = strlen(cases[i].type);
        CHECK_INT(marty__content_is_json(cases[i].type, size), cases[i].json);
        CHECK_INT(marty__content_is_text(cases[i].type, size), cases[i].text);
    }
}

static void states_are_checked(void)
{
    char many[33 * 4 + 1] = "", key[300], value[300];
    static const struct {
        const char *state;
        bool good;
    } cases[] = {
        {"a=b", true},         {"a=b,c=d", true},
        {" a=b , c=d ", true}, {"a=b\t", false} /* fine for W3C, but no attribute may have it */,
        {"a=b,,c=d", true},    {"0tenant@system=x y!", true},
        {"a_-*/b=1", true},    {"", false},
        {",", false},          {"a", false},
        {"a=", false},         {"=b", false},
        {"A=b", false},        {"_a=b", false},
        {"a=b=c", false},      {"a b=c", false},
        {"a=\x01", false},     {"a=\xc3\xbc", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK(!marty__trace_state_wrong(cases[i].state, strlen(cases[i].state)) == cases[i].good);
    }
    for (size_t i = 0; i < 33; i++) {
        memcpy(many + 4 * i, "a=b,", 4);
    }
    CHECK(marty__trace_state_wrong(many, 33 * 4 - 1) != NULL);
    CHECK(!marty__trace_state_wrong(many, 32 * 4 - 1));
    memset(key, 'k', 256);
    memcpy(key + 256, "=v", 3);
    CHECK(!marty__trace_state_wrong(key, 258));
    memset(key, 'k', 257);
    memcpy(key + 257, "=v", 3);
    CHECK(marty__trace_state_wrong(key, 259) != NULL);
    memset(value, 'v', sizeof value);
    memcpy(value, "k=", 2);
    CHECK(!marty__trace_state_wrong(value, 258));
    CHECK(marty__trace_state_wrong(value, 259) != NULL);
}

static void runs_end_at_the_first_special_byte(void)
{
    char text[64];
    unsigned bad = 0;
    for (size_t size = 0; size <= sizeof text; size++) {
        for (size_t at = 0; at <= size; at++) {
            for (int byte = 0; byte < 256; byte++) {
                memset(text, 'x', sizeof text);
                if (at < size) {
                    text[at] = (char)byte;
                }
                bool special = byte < 0x20 || byte > 0x7e;
                size_t want = at < size && special ? at : size;
                bad += marty__plain_run(text, size, false) != want;
                want = at < size && (special || byte == '"' || byte == '\\') ? at : size;
                bad += marty__plain_run(text, size, true) != want;
                want =
                    at < size && (special || byte == 'a' || byte == 'b' || byte == 'c') ? at : size;
                bad += marty__run(text, size, 'a', 'b', 'c') != want;
            }
        }
    }
    CHECK_INT(bad, 0);
}

static void short_copies_are_copies(void)
{
    char from[80], to[82];
    unsigned bad = 0;
    for (size_t i = 0; i < sizeof from; i++) {
        from[i] = (char)(i + 1);
    }
    for (size_t size = 0; size <= sizeof from; size++) {
        memset(to, 0, sizeof to);
        marty__copy(to + 1, from, size);
        bad += to[0] != 0 || to[size + 1] != 0 || memcmp(to + 1, from, size) != 0;
    }
    CHECK_INT(bad, 0);
}

static void words_are_compared_in_any_case(void)
{
    CHECK(marty__same_word("Content-Type", 12, "content-tYPE", 12));
    CHECK(!marty__same_word("a", 1, "ab", 2));
    CHECK(!marty__same_word("[", 1, "{", 1)); /* 0x20 apart, but no letters */
    CHECK(!marty__same_word("\xc3\x9c", 2, "\xc3\xbc", 2));
}

int main(void)
{
    media_types_are_told();
    states_are_checked();
    runs_end_at_the_first_special_byte();
    short_copies_are_copies();
    words_are_compared_in_any_case();
    return check_result();
}
