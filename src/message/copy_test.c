/* SPDX-License-Identifier: Apache-2.0
 * Copies that core makes: what they share, what they change, how long they keep things alive. */
#include "base/limits.h"
#include "block.h"
#include "test_tools.h"

static marty_message *copy_of(const marty_message *message, const marty__change *change)
{
    marty_message *copy = NULL;
    marty_error why = {0};
    if (!CHECK_INT(marty__message_copy_with(&copy, message, change, &why), MARTY_OK)) {
        fprintf(stderr, "    %s\n", why.text);
        exit(1);
    }
    return copy;
}

static void a_copy_shares_what_does_not_change(void)
{
    const marty_header headers[] = {{"x", {"1", 1}, MARTY_HEADER},
                                    {"keep", {"2", 1}, MARTY_ATTRIBUTE},
                                    {"gone", {"3", 1}, MARTY_ATTRIBUTE},
                                    {"martyattempts", {"1", 1}, MARTY_ATTRIBUTE_INTEGER},
                                    {"martyattempts", {"plain", 5}, MARTY_HEADER},
                                    {"x", {"4", 1}, MARTY_HEADER}};
    const marty_header set[] = {
        {"martyattempts", {"2", 1}, MARTY_ATTRIBUTE_INTEGER},
        {"gone", {NULL, 0}, MARTY_ATTRIBUTE},
        {"martydeadcause", {"line\nbreak \xff \xc2\x85!", 16}, MARTY_ATTRIBUTE}};
    marty_message template_ = {.type = "t",
                               .data = marty_text("data"),
                               .expires_us = 7,
                               .headers = headers,
                               .header_count = 6};
    marty_message *message = make(&template_, NULL);
    const marty__change change = {.id = "new", .set = set, .set_count = 3, .expires = true};
    marty_message *copy = copy_of(message, &change);
    CHECK_TEXT(copy->id, "new");
    CHECK_TEXT(copy->type, "t");
    CHECK_INT(copy->expires_us, 0);
    CHECK(copy->data.data == message->data.data);
    CHECK(copy->type == message->type);
    CHECK_TEXT(copy->correlation_id, message->id);
    CHECK_INT(copy->header_count, 6);
    CHECK_TEXT(copy->headers[0].value.data, "1");
    CHECK_TEXT(copy->headers[1].name, "keep");
    CHECK_TEXT(copy->headers[2].value.data, "plain");
    CHECK_TEXT(copy->headers[3].value.data, "4");
    CHECK_TEXT(copy->headers[4].value.data, "2");
    CHECK_INT(copy->headers[4].kind, MARTY_ATTRIBUTE_INTEGER);
    CHECK_TEXT(copy->headers[5].value.data, "line break ?  !");
    CHECK_INT(copy->headers[5].value.size, 15);
    marty_message_unref(message);
    CHECK_BYTES(copy->data.data, copy->data.size, "data", 4); /* kept alive */
    marty_message *wire = encode(copy, MARTY_BINARY, "ce-");  /* and fit to be sent */
    CHECK_TEXT(header(wire, "ce-id"), "new");
    CHECK_TEXT(header(wire, "ce-martydeadcause"), "line%20break%20?%20%20!");
    marty_message_unref(copy);
    marty_message_unref(wire);
}

static void chains_of_copies_are_cut(void)
{
    marty_message *message = make(&(marty_message){.type = "t", .data = marty_text("data")}, NULL);
    uint16_t deepest = 0;
    for (int i = 0; i < 50; i++) {
        const marty__change change = {.type = i % 2 ? "odd" : NULL};
        marty_message *copy = copy_of(message, &change);
        marty_message_unref(message);
        message = copy;
        uint16_t depth = marty__block_of(message)->depth;
        deepest = depth > deepest ? depth : deepest;
    }
    CHECK_TEXT(message->type, "odd");
    CHECK_BYTES(message->data.data, message->data.size, "data", 4);
    CHECK(deepest > 1 && deepest <= 5);
    CHECK(marty__message_cost(message) < 8192);
    marty_message_unref(message);
}

static void a_template_can_be_copied(void)
{
    const marty__change change = {.type = "other"};
    marty_message *copy = copy_of(&(marty_message){.type = "t"}, &change);
    CHECK_TEXT(copy->type, "other");
    CHECK_INT(strlen(copy->id), 36);
    marty_message_unref(copy);
    marty_message *bad = NULL;
    CHECK_INT(marty__message_copy_with(&bad, &(marty_message){.type = ""}, &change, NULL),
              MARTY_E_MALFORMED);
    CHECK(!bad);
}

static void core_may_add_to_a_full_message(void)
{
    static marty_header full[MARTY__HEADERS_MAX], set[65];
    for (size_t i = 0; i < MARTY__HEADERS_MAX; i++) {
        full[i] = (marty_header){"x", {"y", 1}, MARTY_HEADER};
    }
    static char names[65][8];
    for (size_t i = 0; i < 65; i++) {
        snprintf(names[i], sizeof names[i], "m%zu", i);
        set[i] = (marty_header){names[i], {"1", 1}, MARTY_ATTRIBUTE};
    }
    marty_message template_ = {.type = "t", .headers = full, .header_count = MARTY__HEADERS_MAX};
    marty_message *message = make(&template_, NULL);
    marty__change change = {.set = set, .set_count = 64};
    marty_message *copy = copy_of(message, &change), *wire = encode(copy, MARTY_BINARY, "ce-");
    marty_message *back = decode(wire, "ce-");
    CHECK_INT(back->header_count, MARTY__HEADERS_MAX + 64);
    change.set_count = 65;
    marty_message *bad = NULL;
    CHECK_INT(marty__message_copy_with(&bad, message, &change, NULL), MARTY_E_TOO_LARGE);
    marty_message_unref(back);
    marty_message_unref(wire);
    marty_message_unref(copy);
    marty_message_unref(message);
}

static void the_unreadable_is_kept_whole(void)
{
    const marty_header headers[] = {{"ce-type", {"\xff\n", 2}, MARTY_HEADER},
                                    {"Content-Type", {"x", 1}, MARTY_HEADER},
                                    {"a b", {NULL, 0}, MARTY_HEADER},
                                    {"", {"x", 1}, MARTY_HEADER},
                                    {"fine", {"y", 1}, MARTY_HEADER}};
    marty_message *message = NULL;
    REQUIRE(marty__message_unreadable(&message, "marty.unreadable", (marty_bytes){"\0\xff", 2},
                                      headers, 5, NULL, NULL) == MARTY_OK);
    CHECK_TEXT(message->type, "marty.unreadable");
    CHECK_TEXT(message->content_type, "application/octet-stream");
    CHECK_BYTES(message->data.data, message->data.size, "\0\xff", 2);
    CHECK_TEXT(header(message, "raw-ce-type"), "%FF%0A");
    marty_message *wire = encode(message, MARTY_BINARY, "ce-"); /* any broker can carry it */
    marty_message_unref(wire);
    CHECK_TEXT(header(message, "raw-content-type"), "x");
    CHECK_TEXT(header(message, "a%20b"), "");
    CHECK_TEXT(header(message, "fine"), "y");
    CHECK_INT(message->header_count, 4);
    marty_message_unref(message);
}

static void text_is_cleaned_and_cut_between_characters(void)
{
    static const struct {
        const char *text, *want;
        size_t room;
    } cases[] = {{"plain", "plain", 64},
                 {"plain", "pla", 4},
                 {"\xc3\xbc\xc3\xbc", "\xc3\xbc", 4},
                 {"\xc3\xbc", "", 2},
                 {"a\r\nb", "a  b", 64},
                 {"\xff\xfe", "??", 64},
                 {"\xef\xbf\xbf", "?", 64},
                 {"", "", 1},
                 {"x", "", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[64];
        size_t size = marty__text_clean(out, cases[i].room, cases[i].text, strlen(cases[i].text));
        CHECK_TEXT(out, cases[i].want);
        CHECK_INT(size, strlen(cases[i].want));
    }
}

static void cost_counts_what_is_kept(void)
{
    static char data[100000];
    marty_message *small = make(&(marty_message){.type = "t"}, NULL);
    marty_message *large = make(&(marty_message){.type = "t", .data = {data, sizeof data}}, NULL);
    const marty__change change = {.id = "x"};
    marty_message *copy = copy_of(large, &change);
    CHECK(marty__message_cost(small) < 1024);
    CHECK(marty__message_cost(large) > sizeof data);
    CHECK(marty__message_cost(copy) > marty__message_cost(large));
    CHECK(marty__message_cost(&(marty_message){.type = "t", .data = {data, 7}}) >= 7);
    marty_message_unref(copy);
    marty_message_unref(large);
    marty_message_unref(small);
}

static marty_err copy_twice(void *user)
{
    marty_message *one = NULL, *two = NULL;
    const marty_header set[] = {{"martyattempts", {"2", 1}, MARTY_ATTRIBUTE}};
    const marty__change change = {.id = "x", .set = set, .set_count = 1};
    marty_error why;
    marty_err err = marty__message_copy_with(&one, user, &change, &why);
    err = err ? err : marty__message_copy_with(&two, one, &change, &why);
    marty_message_unref(two);
    marty_message_unref(one);
    return err;
}

static marty_err keep_unreadable(void *user)
{
    marty_message *message = NULL;
    marty_error why;
    (void)user;
    marty_err err = marty__message_unreadable(&message, "t", marty_text("x"), NULL, 0, NULL, &why);
    marty_message_unref(message);
    return err;
}

static void want_of_memory_is_answered(void)
{
    marty_message *message = make(&(marty_message){.type = "t"}, NULL);
    CHECK_INT(torture(copy_twice, message), 2);
    CHECK_INT(torture(keep_unreadable, NULL), 1);
    marty_message_unref(message);
}

int main(void)
{
    a_copy_shares_what_does_not_change();
    chains_of_copies_are_cut();
    a_template_can_be_copied();
    core_may_add_to_a_full_message();
    the_unreadable_is_kept_whole();
    text_is_cleaned_and_cut_between_characters();
    cost_counts_what_is_kept();
    want_of_memory_is_answered();
    return check_result();
}
