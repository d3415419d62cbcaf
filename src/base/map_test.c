/* SPDX-License-Identifier: Apache-2.0
 * The map, against a plain array that knows what should be in it. */
#include "map.h"

#include "alloc.h"
#include "random.h"
#include "tests/check.h"

enum { KEYS = 3000, STEPS = 60000 };
static char names[KEYS][8];
static int values[KEYS];
static bool inside[KEYS];

static bool refuse(size_t size)
{
    (void)size;
    return false;
}

static void bytes_are_found_replaced_and_taken(void)
{
    marty__map map = {0};
    int one = 1, two = 2;
    CHECK(!marty__map_get(&map, "a", 1));
    CHECK(!marty__map_take(&map, "a", 1));
    CHECK(marty__map_put(&map, "a", 1, &one));
    CHECK(marty__map_put(&map, "", 0, &two));
    CHECK(marty__map_get(&map, "a", 1) == &one);
    CHECK(marty__map_get(&map, "", 0) == &two);
    CHECK(!marty__map_get(&map, "ab", 2));
    CHECK(marty__map_put(&map, "a", 1, &two));
    CHECK(marty__map_get(&map, "a", 1) == &two);
    CHECK_INT(map.count, 2);
    CHECK(marty__map_take(&map, "a", 1) == &two);
    CHECK(!marty__map_get(&map, "a", 1));
    CHECK_INT(map.count, 1);
    marty__map_free(&map);
    CHECK_INT(map.capacity, 0);
}

static void numbers_and_bytes_do_not_meet(void)
{
    marty__map map = {0};
    uint64_t number = 42;
    int one = 1, two = 2;
    CHECK(marty__map_put_u64(&map, number, &one));
    CHECK(marty__map_put(&map, &number, sizeof number, &two));
    CHECK(marty__map_get_u64(&map, number) == &one);
    CHECK(marty__map_get(&map, &number, sizeof number) == &two);
    CHECK(!marty__map_get_u64(&map, 43));
    CHECK(marty__map_take_u64(&map, number) == &one);
    CHECK(!marty__map_take_u64(&map, number));
    CHECK(marty__map_get(&map, &number, sizeof number) == &two);
    marty__map_free(&map);
}

static uint32_t chance(uint32_t below)
{
    uint32_t value = 0;
    marty__random_bytes(&value, sizeof value);
    return value % below;
}

static void a_long_random_use_stays_right(void)
{
    marty__map map = {0};
    size_t count = 0;
    unsigned wrong = 0;
    for (size_t i = 0; i < KEYS; i++) {
        snprintf(names[i], sizeof names[i], "%zu", i);
    }
    for (int step = 0; step < STEPS; step++) {
        uint32_t i = chance(KEYS);
        size_t size = strlen(names[i]);
        if (chance(3)) {
            wrong += !marty__map_put(&map, names[i], size, &values[i]);
            count += !inside[i];
            inside[i] = true;
        } else {
            wrong += marty__map_take(&map, names[i], size) != (inside[i] ? &values[i] : NULL);
            count -= inside[i];
            inside[i] = false;
        }
        wrong += map.count != count;
    }
    for (size_t i = 0; i < KEYS; i++) {
        void *want = inside[i] ? &values[i] : NULL;
        wrong += marty__map_get(&map, names[i], strlen(names[i])) != want;
    }
    CHECK_INT(wrong, 0);
    CHECK(map.capacity <= 16384); /* removed places are used again */
    marty__map_free(&map);
}

static void a_walk_sees_each_once_and_may_take(void)
{
    marty__map map = {0};
    uint64_t keys[500];
    unsigned seen[500] = {0}, wrong = 0;
    for (size_t i = 0; i < 500; i++) {
        keys[i] = i;
        wrong += !marty__map_put_u64(&map, i, &keys[i]);
    }
    size_t at = 0;
    for (uint64_t *key; (key = marty__map_next(&map, &at));) {
        seen[*key]++;
        if (*key % 2) {
            wrong += marty__map_take_u64(&map, *key) != key;
        }
    }
    for (size_t i = 0; i < 500; i++) {
        wrong += seen[i] != 1;
    }
    CHECK_INT(wrong, 0);
    CHECK_INT(map.count, 250);
    marty__map_free(&map);
    at = 0;
    CHECK(!marty__map_next(&map, &at));
}

static void want_of_memory_changes_nothing(void)
{
    marty__map map = {0};
    int values_[64];
    unsigned wrong = 0;
    marty__alloc_set_hook(refuse);
    CHECK(!marty__map_put_u64(&map, 1, &values_[0]));
    CHECK(!marty__map_reserve(&map, 1));
    marty__alloc_set_hook(NULL);
    REQUIRE(marty__map_reserve(&map, 64));
    marty__alloc_set_hook(refuse);
    for (size_t i = 0; i < 64; i++) { /* there is room, so they cannot fail */
        wrong += !marty__map_put_u64(&map, i, &values_[i]);
    }
    bool grew = true;
    for (size_t i = 64; i < 1000 && grew; i++) {
        grew = marty__map_put_u64(&map, i, &values_[0]);
    }
    CHECK(!grew);
    for (size_t i = 0; i < 64; i++) {
        wrong += marty__map_get_u64(&map, i) != &values_[i];
        wrong += marty__map_take_u64(&map, i) != &values_[i];
    }
    marty__alloc_set_hook(NULL);
    CHECK_INT(wrong, 0);
    marty__map_free(&map);
}

int main(void)
{
    bytes_are_found_replaced_and_taken();
    numbers_and_bytes_do_not_meet();
    a_long_random_use_stays_right();
    a_walk_sees_each_once_and_may_take();
    want_of_memory_changes_nothing();
    return check_result();
}
