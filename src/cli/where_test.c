/* SPDX-License-Identifier: Apache-2.0
 * Conditions hold when every comparison does, and a mistake says what was expected. */
#include "where.h"

#include "check.h"

static void conditions_hold_or_not(void)
{
    static const struct {
        const char *condition;
        bool holds;
    } cases[] = {{"cause ~ 'time.*out'", true},
                 {"reason ~ 'timeout'", false},
                 {"reason = \"timed out after 5 s\"", true},
                 {"attempts >= 5 and attempts < 6", true},
                 {"attempts > 5", false},
                 {"attempts != 4", true},
                 {"code == MARTY_E_TIMEOUT and reason !~ disk", true},
                 {"age > 1h", true},
                 {"age > 2h", false},
                 {"id = -", true}, /* absent is "-" */
                 {"id < 5", false},
                 {"id >= 0", false},
                 {"cause < 5", false}};
    json_t *row = json_pack("{s:s, s:i, s:s, s:i}", "cause", "timed out after 5 s", "attempts", 5,
                            "code", "MARTY_E_TIMEOUT", "age", 3600001);
    size_t i;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cli_text why = {0};
        cli_where *where = cli_where_parse(cases[i].condition, "cause|attempts|code|age|id", &why);
        REQUIRE(where);
        if (!CHECK(cli_where_holds(where, row) == cases[i].holds)) {
            fprintf(stderr, "  condition: %s\n", cases[i].condition);
        }
        cli_where_free(where);
        cli_text_free(&why);
    }
    CHECK(cli_where_holds(NULL, row));
    json_decref(row);
}

static void mistakes_are_named(void)
{
    static const struct {
        const char *condition, *says;
    } cases[] = {{"", "no field"},
                 {"colour = red", "no field \"colour\"; there are cause|attempts"},
                 {"cause 'x'", "one of = != ~"},
                 {"cause =", "a value was expected"},
                 {"cause = 'x", "a value was expected"},
                 {"attempts > many", "is no number"},
                 {"cause ~ '('", "no regular expression"},
                 {"cause = x or attempts = 1", "\"and\" was expected"}};
    size_t i;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cli_text why = {0};
        CHECK(!cli_where_parse(cases[i].condition, "cause|attempts", &why));
        CHECK_HAS(why.data ? why.data : "", cases[i].says);
        cli_text_free(&why);
    }
}

int main(void)
{
    conditions_hold_or_not();
    mistakes_are_named();
    return check_result();
}
