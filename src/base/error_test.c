/* SPDX-License-Identifier: Apache-2.0
 * The error table and how errors are filled in. */
#include "error.h"

#include "tests/check.h"

static void every_row_is_whole(void)
{
    for (size_t i = 0; i < marty__err_count(); i++) {
        const marty_err_info *row = marty_err_describe((marty_err)i);
        CHECK_INT(row->code, i);
        CHECK(i == 0 || strncmp(row->name, "MARTY_E_", 8) == 0);
        CHECK(row->text && row->text[0]);
        CHECK((row->error_class == MARTY_CLASS_NONE) == (i == 0));
    }
    CHECK(marty__err_count() >= 28);
}

static void unknown_numbers_are_fatal(void)
{
    const int numbers[] = {-1, 100000, (int)marty__err_count()};
    for (size_t i = 0; i < 3; i++) {
        const marty_err_info *row = marty_err_describe((marty_err)numbers[i]);
        REQUIRE(row);
        CHECK_INT(row->error_class, MARTY_CLASS_FATAL);
    }
}

static void an_error_is_filled_in(void)
{
    marty_error why;
    memset(&why, 0xff, sizeof why);
    CHECK_INT(marty_error_set(&why, MARTY_E_FULL, "%s has %d", "queue", 7), MARTY_E_FULL);
    CHECK_INT(why.code, MARTY_E_FULL);
    CHECK_INT(why.error_class, MARTY_CLASS_RETRY);
    CHECK_INT(why.retry_after_ms, 0);
    CHECK_TEXT(why.remote, "");
    CHECK_TEXT(why.text, "queue has 7");
    CHECK_INT(marty_error_set(&why, MARTY_E_STATE, "again: %s", why.text), MARTY_E_STATE);
    CHECK_TEXT(why.text, "again: queue has 7"); /* its own text may be an argument */
    CHECK_INT(marty_error_set(NULL, MARTY_E_STATE, "x"), MARTY_E_STATE);
    marty_error_set(&why, MARTY_E_STATE, "%0600d", 1);
    CHECK_INT(strlen(why.text), sizeof why.text - 1); /* cut to fit */
    CHECK_TEXT(why.text + sizeof why.text - 5, "0...");
    int before = (int)sizeof why.text - 5; /* the dots would begin inside of the character */
    marty_error_set(&why, MARTY_E_STATE, "%0*d\xc3\xa4 and more", before, 1);
    CHECK_TEXT(why.text + before - 1, "1...");
    CHECK_INT(marty__error_code(&why, MARTY_E_NO_MEMORY), MARTY_E_NO_MEMORY);
    CHECK_TEXT(why.text, "out of memory");
}

static void codes_and_classes_have_names(void)
{
    for (size_t i = 0; i < marty__err_count(); i++) {
        marty_err code = (marty_err)i;
        CHECK_INT(marty__err_by_name(marty_err_describe(code)->name, MARTY_E_INTERNAL), code);
    }
    CHECK_INT(marty__err_by_name("MARTY_E_NONE_OF_OURS", MARTY_E_FAILED), MARTY_E_FAILED);
    CHECK_INT(marty__err_by_name(NULL, MARTY_E_FAILED), MARTY_E_FAILED);
    for (int i = MARTY_CLASS_CALLER; i <= MARTY_CLASS_FATAL; i++) {
        const char *word = marty__class_word((marty_class)i);
        CHECK_INT(marty__class_by_word(word, strlen(word)), i);
    }
    CHECK_INT(marty__class_by_word("retr", 4), MARTY_CLASS_CALLER);
    CHECK_INT(marty__class_by_word(NULL, 0), MARTY_CLASS_CALLER);
}

int main(void)
{
    codes_and_classes_have_names();
    every_row_is_whole();
    unknown_numbers_are_fatal();
    an_error_is_filled_in();
    CHECK(marty_version()[0] >= '0' && marty_version()[0] <= '9');
    return check_result();
}
