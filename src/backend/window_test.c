/* SPDX-License-Identifier: Apache-2.0
 * The window on a log: the position never passes what is open, whatever the order of settling; and
 * what is saved and read again leaves out nothing that was open and repeats nothing that fitted. */
#include <marty/backend.h>

#include "check.h"

static int thing; /* an item: any address will do */

static marty_window *window_at(uint64_t position, const char *saved)
{
    marty_window *window = NULL;
    REQUIRE(marty_window_new(&window, position, saved) == MARTY_OK);
    return window;
}

static marty_err add(marty_window *window, uint64_t offset)
{
    uint32_t attempts = 0;
    return marty_window_add(window, offset, &thing, &attempts);
}

static void the_position_stays_at_the_oldest_open_one(void)
{
    marty_window *window = window_at(100, NULL);
    CHECK_INT(marty_window_position(window), 100);
    for (uint64_t offset = 100; offset < 110; offset++) {
        CHECK_INT(add(window, offset), MARTY_OK);
    }
    CHECK(marty_window_take(window, 101) == &thing);
    CHECK(marty_window_take(window, 105) == &thing);
    CHECK_INT(marty_window_position(window), 100);
    CHECK(!marty_window_take(window, 105)); /* once only */
    CHECK(marty_window_take(window, 100) == &thing);
    CHECK_INT(marty_window_position(window), 102);
    CHECK_INT(marty_window_count(window), 7);
    for (uint64_t offset = 102; offset < 110; offset++) {
        (void)marty_window_take(window, offset);
    }
    CHECK_INT(marty_window_position(window), 110);
    CHECK_INT(marty_window_count(window), 0);
    CHECK_INT(add(window, 109), MARTY_E_EXISTS); /* read before */
    marty_window_free(window);
}

static void gaps_of_the_log_are_no_obstacle(void)
{
    marty_window *window = window_at(5, NULL);
    CHECK_INT(add(window, 7), MARTY_OK);
    CHECK_INT(add(window, 1000000), MARTY_OK);
    CHECK_INT(marty_window_position(window), 7);
    CHECK(!marty_window_take(window, 8));
    CHECK(marty_window_take(window, 7) == &thing);
    CHECK_INT(marty_window_position(window), 1000000);
    marty_window_free(window);
}

static void low_bits_find_the_whole_offset(void)
{
    uint64_t base = ((uint64_t)1 << 40) + 250, found = 0;
    marty_window *window = window_at(base, NULL);
    for (uint64_t i = 0; i < 12; i++) {
        CHECK_INT(add(window, base + i), MARTY_OK);
    }
    CHECK(marty_window_find(window, (base + 9) & 0xff, 8, &found) == &thing);
    CHECK_INT(found, base + 9);
    CHECK(!marty_window_find(window, (base + 12) & 0xff, 8, &found));
    CHECK(marty_window_find(window, base + 3, 64, NULL) == &thing);
    marty_window_free(window);
}

static void what_is_saved_is_not_repeated(void)
{
    char text[64];
    uint32_t attempts = 0;
    marty_window *window = window_at(40, NULL);
    for (uint64_t offset = 40; offset < 50; offset++) {
        CHECK_INT(add(window, offset), MARTY_OK);
    }
    (void)marty_window_take(window, 42);
    (void)marty_window_take(window, 43);
    (void)marty_window_take(window, 48);
    marty_window_tried(window, 40, 2);
    marty_window_tried(window, 45, 3);
    CHECK_INT(marty_window_save(window, text, sizeof text), strlen("0x2,2-3,5x3,8"));
    CHECK_TEXT(text, "0x2,2-3,5x3,8");
    marty_window *again = window_at(marty_window_position(window), text);
    for (uint64_t offset = 40; offset < 50; offset++) {
        bool settled = offset == 42 || offset == 43 || offset == 48;
        marty_err err = marty_window_add(again, offset, &thing, &attempts);
        CHECK_INT(err, settled ? MARTY_E_EXISTS : MARTY_OK);
        CHECK_INT(attempts, offset == 40 ? 2 : offset == 45 ? 3 : 0);
    }
    CHECK_INT(marty_window_count(again), 7);
    CHECK_INT(marty_window_save(again, text, sizeof text), strlen("0x2,2-3,5x3,8"));
    CHECK_TEXT(text, "0x2,2-3,5x3,8");
    marty_window_free(window);
    marty_window_free(again);
}

static void what_does_not_fit_comes_again(void)
{
    char text[8];
    uint32_t attempts;
    marty_window *window = window_at(0, NULL);
    for (uint64_t offset = 0; offset < 20; offset++) {
        CHECK_INT(add(window, offset), MARTY_OK);
    }
    for (uint64_t offset = 1; offset < 20; offset += 2) {
        (void)marty_window_take(window, offset);
    }
    CHECK_INT(marty_window_save(window, text, sizeof text), 7);
    CHECK_TEXT(text, "1,3,5,7");
    marty_window *again = window_at(0, text);
    CHECK_INT(marty_window_add(again, 7, &thing, &attempts), MARTY_E_EXISTS);
    CHECK_INT(marty_window_add(again, 9, &thing, &attempts), MARTY_OK);
    marty_window_free(window);
    marty_window_free(again);
}

static void what_cannot_be_read_counts_as_nothing(void)
{
    static const char *const texts[] = {
        "",    "x",    "-",        "1-",  "4-2",
        "1x",  "1x0",  "1,,2",     "9,3", "abc",
        "1 2", "3-5x", "\xff\xfe", ",",   "99999999999999999999999"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        marty_window *window = window_at(7, texts[i]);
        CHECK_INT(marty_window_position(window), 7);
        CHECK_INT(add(window, 7), MARTY_OK);
        marty_window_free(window);
    }
}

/* Against a plain list of flags, through a few thousand settlings in chance order. */
static void it_agrees_with_a_list(void)
{
    enum { MANY = 2000 };
    static bool settled[MANY];
    uint32_t chance = 12345;
    uint64_t read = 0;
    marty_window *window = window_at(0, NULL);
    for (int step = 0; step < 3 * MANY; step++) {
        chance = chance * 1664525u + 1013904223u;
        if (read < MANY && chance >> 31) {
            CHECK_INT(add(window, read++), MARTY_OK);
        } else if (read) {
            uint64_t offset = (chance >> 8) % read;
            CHECK((marty_window_take(window, offset) != NULL) == !settled[offset]);
            settled[offset] = true;
        }
        uint64_t lowest = 0, open = 0;
        while (lowest < read && settled[lowest]) {
            lowest++;
        }
        for (uint64_t i = lowest; i < read; i++) {
            open += settled[i] ? 0 : 1;
        }
        if (marty_window_position(window) != lowest || marty_window_count(window) != open) {
            CHECK_INT(marty_window_position(window), lowest);
            CHECK_INT(marty_window_count(window), open);
            break;
        }
    }
    size_t at = 0, count = 0;
    while (marty_window_each(window, &at, NULL)) {
        count++;
    }
    CHECK_INT(count, marty_window_count(window));
    marty_window_free(window);
}

int main(void)
{
    the_position_stays_at_the_oldest_open_one();
    gaps_of_the_log_are_no_obstacle();
    low_bits_find_the_whole_offset();
    what_is_saved_is_not_repeated();
    what_does_not_fit_comes_again();
    what_cannot_be_read_counts_as_nothing();
    it_agrees_with_a_list();
    return check_result();
}
