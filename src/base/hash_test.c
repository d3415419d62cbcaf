/* SPDX-License-Identifier: Apache-2.0
 * Hashes: murmur2 as Kafka has it, the stable one stable, the seeded one seeded. */
#include "hash.h"

#include "tests/check.h"

#include <sys/wait.h>
#include <unistd.h>

static void murmur2_is_kafkas(void)
{
    static const struct { /* from the tests of Kafka's own clients */
        const char *key;
        int32_t hash;
    } cases[] = {{"21", -973932308},
                 {"foobar", -790332482},
                 {"a-little-bit-long-string", -985981536},
                 {"a-little-bit-longer-string", -1486304829},
                 {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                 {"abc", 479470107},
                 {"", 275646681}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_INT((int32_t)marty__murmur2(cases[i].key, strlen(cases[i].key)), cases[i].hash);
    }
}

static void the_stable_hash_never_changes(void)
{
    char text[64];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)i;
    }
    /* written down once: where a key goes must stay so for ever */
    CHECK(marty__hash_stable("", 0) == UINT64_C(15130871412783076140)); /* as Rust has it, too */
    CHECK(marty__hash_stable("order-7", 7) == UINT64_C(7316114294436611852));
    CHECK(marty__hash_stable(text, sizeof text) == UINT64_C(8493894268803903686));
}

static void the_seeded_hash_is_of_this_process(void)
{
    CHECK(marty__hash("a", 1) == marty__hash("a", 1));
    CHECK(marty__hash("a", 1) != marty__hash("b", 1));
    CHECK(marty__hash("a", 1) != marty__hash_stable("a", 1));
}

static void lengths_and_bits_matter(void)
{
    char zeros[40] = {0};
    unsigned wrong = 0;
    for (size_t i = 0; i < sizeof zeros; i++) {
        for (size_t j = 0; j < i; j++) {
            wrong += marty__hash_stable(zeros, i) == marty__hash_stable(zeros, j);
        }
    }
    uint64_t plain = marty__hash_stable(zeros, sizeof zeros);
    for (size_t bit = 0; bit < 8 * sizeof zeros; bit++) {
        zeros[bit / 8] = (char)(1 << bit % 8);
        uint64_t changed = marty__hash_stable(zeros, sizeof zeros) ^ plain;
        int count = __builtin_popcountll(changed);
        wrong += count < 10 || count > 54;
        zeros[bit / 8] = 0;
    }
    CHECK_INT(wrong, 0);
}

static void bytes_as_hexadecimal_text(void)
{
    char text[9] = "????????";
    marty__hex(text, "\x00\x9f\xaB\xff", 4);
    CHECK_TEXT(text, "009fabff");
    marty__hex(text, "", 0);
    CHECK_TEXT(text, "");
}

int main(void)
{
    bytes_as_hexadecimal_text();
    murmur2_is_kafkas();
    the_stable_hash_never_changes();
    the_seeded_hash_is_of_this_process();
    lengths_and_bits_matter();
    return check_result();
}
