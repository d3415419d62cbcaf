/* SPDX-License-Identifier: Apache-2.0
 * UUIDv7: form, order, time inside, and repeatable with given surroundings. */
#include "uuid.h"

#include "base/clock.h"
#include "tests/check.h"

#include <pthread.h>

static bool has_form(const char *id)
{
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (id[i] >= '0' && id[i] <= '9') || (id[i] >= 'a' && id[i] <= 'f');
        if (dash ? id[i] != '-' : !hex) {
            return false;
        }
    }
    return !id[36] && id[14] == '7' && strchr("89ab", id[19]);
}

static void ids_have_the_form_and_sort_by_time(void)
{
    enum { COUNT = 20000 };
    char before[MARTY__UUID_TEXT] = "", id[MARTY__UUID_TEXT];
    bool formed = true, sorted = true;
    for (int i = 0; i < COUNT; i++) {
        marty__uuid7(NULL, id);
        formed = formed && has_form(id);
        sorted = sorted && strcmp(before, id) < 0;
        memcpy(before, id, sizeof id);
    }
    CHECK(formed);
    CHECK(sorted);
}

static void ids_carry_the_time_in_milliseconds(void)
{
    char id[MARTY__UUID_TEXT], hex[13] = "";
    int64_t before_ms = marty__wall_us() / 1000;
    marty__uuid7(NULL, id);
    memcpy(hex, id, 8);
    memcpy(hex + 8, id + 9, 4);
    int64_t ms = (int64_t)strtoull(hex, NULL, 16);
    CHECK(ms >= before_ms && ms <= before_ms + 10000);
}

static int64_t fixed_wall(void *user)
{
    return *(int64_t *)user;
}

static void fixed_random(void *user, void *buffer, size_t size)
{
    (void)user;
    memset(buffer, 0xff, size);
}

static void given_surroundings_repeat_an_id(void)
{
    int64_t now_us = INT64_C(1645557742000) * 1000; /* the time of the example of RFC 9562 */
    marty_env env = *marty__env_real();
    env.user = &now_us;
    env.wall_us = fixed_wall;
    env.random = fixed_random;
    char id[MARTY__UUID_TEXT], again[MARTY__UUID_TEXT];
    marty__uuid7(&env, id);
    marty__uuid7(&env, again);
    CHECK_TEXT(id, "017f22e2-79b0-7000-bfff-ffffffffffff");
    CHECK_TEXT(again, id);
    now_us += 999;
    marty__uuid7(&env, id);
    CHECK_TEXT(id, "017f22e2-79b0-7ffb-bfff-ffffffffffff");
    now_us = -5;
    marty__uuid7(&env, id);
    CHECK_TEXT(id, "00000000-0000-7000-bfff-ffffffffffff");
}

static void an_id_is_the_same_as_a_number(void)
{
    char before[MARTY__UUID_TEXT], id[MARTY__UUID_TEXT];
    uint64_t number[2], again[2];
    marty__uuid7(NULL, before);
    for (int i = 0; i < 5000; i++) {
        marty__uuid7_next(marty__wall_us() - i % 3, number, id);
        REQUIRE(marty__uuid7_read(again, id, strlen(id)));
        if (!has_form(id) || strcmp(before, id) >= 0 || again[0] != number[0] ||
            again[1] != number[1]) {
            CHECK_TEXT(id, "a later one, and its number");
        }
        memcpy(before, id, sizeof id);
    }
    CHECK(marty__uuid7_read(number, "017f22e2-79b0-7000-bfff-ffffffffffff", 36));
    CHECK(number[0] == 0x017f22e279b07000u && number[1] == 0xbfffffffffffffffu);
    static const char *const others[] = {
        "017f22e2-79b0-4000-bfff-ffffffffffff",    "017F22E2-79B0-7000-BFFF-FFFFFFFFFFFF",
        "017f22e2x79b0-7000-bfff-ffffffffffff",    "017f22e2-79b0-7000-bfff-ffffffffff/f",
        "017f22e2-79b0-7000-bfff-fffffffffff\xff", "order-12"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        CHECK(!marty__uuid7_read(number, others[i], strlen(others[i])));
    }
}

enum { THREADS = 4, EACH = 2000 };
static char many[THREADS][EACH][MARTY__UUID_TEXT];

static void *make_many(void *argument)
{
    char(*own)[MARTY__UUID_TEXT] = argument;
    for (size_t i = 0; i < EACH; i++) {
        marty__uuid7(NULL, own[i]);
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void threads_make_different_ids(void)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, make_many, many[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    }
    qsort(many, (size_t)THREADS * EACH, MARTY__UUID_TEXT, compare);
    const char *all = many[0][0];
    bool different = true;
    for (size_t i = 1; i < (size_t)THREADS * EACH; i++) {
        different =
            different && strcmp(all + (i - 1) * MARTY__UUID_TEXT, all + i * MARTY__UUID_TEXT) != 0;
    }
    CHECK(different);
}

int main(void)
{
    ids_have_the_form_and_sort_by_time();
    ids_carry_the_time_in_milliseconds();
    given_surroundings_repeat_an_id();
    an_id_is_the_same_as_a_number();
    threads_make_different_ids();
    return check_result();
}
