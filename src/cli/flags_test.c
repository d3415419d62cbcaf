/* SPDX-License-Identifier: Apache-2.0
 * Flags are parsed as their tables say, and a slip is answered with what was perhaps meant. */
#include "flags.h"

#include "check.h"
#include <marty/adapter.h>

static const cli_flag one[] = {{"count", 'n', CLI_NUMBER, "N", "How many."},
                               {"lines", 'l', CLI_SWITCH, NULL, "By line."},
                               {"header", 'H', CLI_LIST, "NAME:VALUE", "A header."},
                               {0}};
static const cli_flag two[] = {{"output", 'o', CLI_CHOICE, "table|json", "Form."},
                               {"timeout", 't', CLI_DURATION, "DURATION", "Time."},
                               {"key", 0, CLI_STRING, "KEY", "Key."},
                               {0}};
static const cli_flag *const tables[] = {one, two, NULL};

static void every_form_of_a_flag_is_understood(void)
{
    const char *words[] = {"a",    "--count=3", "-l",     "-Hx:1", "--header", "y:2",   "-o",
                           "json", "-t",        "1500ms", "b",     "--",       "--key", "-"};
    cli_given given;
    cli_text why = {0};
    REQUIRE(cli_flags_parse(&given, tables, words, sizeof words / sizeof words[0], &why));
    CHECK_INT(cli_flags_value(&given, "count")->number, 3);
    CHECK(cli_flags_value(&given, "lines")->set);
    CHECK_INT(cli_flags_value(&given, "header")->count, 2);
    CHECK_TEXT(cli_flags_value(&given, "header")->list[0], "x:1");
    CHECK_TEXT(cli_flags_value(&given, "header")->list[1], "y:2");
    CHECK_TEXT(cli_flags_value(&given, "output")->text, "json");
    CHECK_INT(cli_flags_value(&given, "timeout")->number, 1500);
    CHECK(!cli_flags_value(&given, "key")->set);
    REQUIRE(given.argument_count == 4);
    CHECK_TEXT(given.arguments[2], "--key"); /* after "--" nothing is a flag */
    CHECK_TEXT(given.arguments[3], "-");
    cli_flags_free(&given);
    cli_text_free(&why);
}

static void a_wrong_flag_says_what_was_expected(void)
{
    static const struct {
        const char *words[2];
        const char *says;
    } cases[] = {{{"--cuont", "3"}, "did you mean \"--count\""},
                 {{"--count", "many"}, "is not a number"},
                 {{"--count", "-1"}, "is not a number"},
                 {{"--count", "1.5"}, "is not a number"},
                 {{"--output", "xml"}, "is not one of table|json"},
                 {{"--timeout", "soon"}, "is not a duration"},
                 {{"--lines=yes", "x"}, "takes no value"},
                 {{"x", "--key"}, "needs a value: --key KEY"},
                 {{"-z", "x"}, "unknown flag \"-z\""}};
    size_t i;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cli_given given;
        cli_text why = {0};
        CHECK(!cli_flags_parse(&given, tables, cases[i].words, 2, &why));
        CHECK_HAS(why.data ? why.data : "", cases[i].says);
        cli_flags_free(&given);
        cli_text_free(&why);
    }
}

static void numbers_have_units(void)
{
    uint64_t number = 0;
    CHECK(cli_number_parse(&number, "20k"));
    CHECK_INT(number, 20000);
    CHECK(cli_number_parse(&number, "1.5M"));
    CHECK_INT(number, 1500000);
    CHECK(!cli_number_parse(&number, ""));
    CHECK(!cli_number_parse(&number, "k"));
    CHECK(!cli_number_parse(&number, "0x10"));
    CHECK(!cli_number_parse(&number, "20kk"));
    CHECK(!cli_number_parse(&number, "1.0005k2"));
}

static void a_near_word_is_suggested_and_a_far_one_is_not(void)
{
    static const char *const words[] = {"publish", "subscribe", "ls", "reply"};
    CHECK_TEXT(cli_suggest("pubilsh", words, 4), "publish");
    CHECK_TEXT(cli_suggest("subs", words, 4), "subscribe");
    CHECK_TEXT(cli_suggest("sl", words, 4), "ls");
    CHECK_TEXT(cli_suggest("replay", words, 4), "reply");
    CHECK(!cli_suggest("zebra", words, 4));
    CHECK(!cli_suggest("", words, 4));
}

int main(void)
{
    every_form_of_a_flag_is_understood();
    a_wrong_flag_says_what_was_expected();
    numbers_have_units();
    a_near_word_is_suggested_and_a_far_one_is_not();
    return check_result();
}
