/* SPDX-License-Identifier: Apache-2.0
 * The allocator and its hook. */
#include "alloc.h"

#include "tests/check.h"

static size_t last_size;
static bool answer;

static bool ask(size_t size)
{
    last_size = size;
    return answer;
}

static void what_is_asked_for_is_given(void)
{
    char *block = marty_alloc(0);
    CHECK(block != NULL);
    marty_free(block);
    marty_free(NULL);
    unsigned char *zeros = marty_alloc_zero(10, 10);
    REQUIRE(zeros);
    unsigned sum = 0;
    for (size_t i = 0; i < 100; i++) {
        sum += zeros[i];
    }
    CHECK_INT(sum, 0);
    zeros[0] = 7;
    zeros = marty_realloc(zeros, 1000);
    REQUIRE(zeros);
    CHECK_INT(zeros[0], 7);
    marty_free(zeros);
    volatile size_t large = SIZE_MAX;
    CHECK(!marty_alloc_zero(large / 2, 3));
    char *copy = marty__strdup("text");
    CHECK_TEXT(copy, "text");
    marty_free(copy);
    copy = marty__memdup("a\0b", 3);
    CHECK(copy && memcmp(copy, "a\0b", 3) == 0);
    marty_free(copy);
    copy = marty__memdup(NULL, 0);
    CHECK(copy != NULL);
    marty_free(copy);
}

static void the_hook_may_refuse_each(void)
{
    char *block = marty_alloc(10);
    REQUIRE(block);
    block[0] = 'x';
    marty__alloc_set_hook(ask);
    CHECK(!marty_alloc(11));
    CHECK_INT(last_size, 11);
    CHECK(!marty_alloc_zero(3, 4));
    CHECK_INT(last_size, 12);
    CHECK(!marty_realloc(block, 13));
    CHECK_INT(last_size, 13);
    CHECK_INT(block[0], 'x'); /* still valid */
    CHECK(!marty__strdup("four"));
    CHECK_INT(last_size, 5);
    CHECK(!marty__memdup("x", 1));
    CHECK(!marty__alloc_allowed(99));
    CHECK_INT(last_size, 99);
    answer = true;
    CHECK(marty__alloc_allowed(1));
    block = marty_realloc(block, 13);
    CHECK(block != NULL);
    marty__alloc_set_hook(NULL);
    CHECK(marty__alloc_allowed(1));
    marty_free(block);
}

int main(void)
{
    what_is_asked_for_is_given();
    the_hook_may_refuse_each();
    return check_result();
}
