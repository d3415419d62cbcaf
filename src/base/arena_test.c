/* SPDX-License-Identifier: Apache-2.0
 * Memory that is freed all at once. */
#include "arena.h"

#include "alloc.h"
#include "tests/check.h"

static bool refuse(size_t size)
{
    (void)size;
    return false;
}

static void blocks_are_zeroed_aligned_and_apart(void)
{
    marty__arena arena = {0};
    unsigned char *before = NULL;
    unsigned wrong = 0;
    for (size_t size = 1; size < 3000; size += 7) {
        unsigned char *block = marty__arena_alloc(&arena, size);
        REQUIRE(block);
        wrong += (uintptr_t)block % 16 != 0 || block == before;
        for (size_t i = 0; i < size; i++) {
            wrong += block[i] != 0;
        }
        memset(block, 0xa5, size);
        before = block;
    }
    CHECK_INT(wrong, 0);
    CHECK(marty__arena_alloc(&arena, 1000000) != NULL);
    CHECK(!arena.failed);
    marty__arena_free(&arena);
    CHECK(!arena.blocks);
}

static void texts_are_copied(void)
{
    marty__arena arena = {0};
    char source[] = "source";
    char *text = marty__arena_text(&arena, source, 4);
    char *made = marty__arena_format(&arena, "%s-%0300d", "x", 7);
    memset(source, '?', 6);
    CHECK_TEXT(text, "sour");
    CHECK_INT(strlen(made), 302);
    CHECK_TEXT(marty__arena_text(&arena, "", 0), "");
    marty__arena_free(&arena);
    marty__arena_free(&arena);
}

static void a_failure_is_remembered(void)
{
    marty__arena arena = {0};
    marty__alloc_set_hook(refuse);
    CHECK(!marty__arena_alloc(&arena, 10));
    marty__alloc_set_hook(NULL);
    CHECK(arena.failed);
    marty__arena_free(&arena);
    CHECK(!arena.failed);
    CHECK(marty__arena_alloc(&arena, 10) != NULL);
    marty__arena_free(&arena);
}

int main(void)
{
    blocks_are_zeroed_aligned_and_apart();
    texts_are_copied();
    a_failure_is_remembered();
    return check_result();
}
