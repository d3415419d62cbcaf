/* SPDX-License-Identifier: Apache-2.0
 * Patterns and the table of them, against a naive matcher over random patterns and types, with
 * every allocation failing in turn. */
#include "match.h"

#include "base/alloc.h"
#include "tests/check.h"

static uint64_t seed = 20240229;

static uint32_t chance(uint32_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

static const char *const words[] = {"a", "b", "order", "created", "x_y", "*"};

/* A random pattern (wild) or type of 1 to 4 segments, few enough words that they often match. */
static void random_name(char to[64], bool wild)
{
    size_t size = 0;
    for (uint32_t i = 0, count = 1 + chance(4); i < count; i++) {
        bool tail = wild && i + 1 == count && chance(4) == 0;
        const char *word = tail ? ">" : words[chance(wild ? 6 : 5)];
        size += (size_t)snprintf(to + size, 64 - size, "%s%s", i ? "." : "", word);
    }
}

/* The meaning of a pattern, said in another way: segment by segment, by recursion. */
static bool naive(const char *pattern, const char *type)
{
    size_t p = strcspn(pattern, "."), t = strcspn(type, ".");
    if (strcmp(pattern, ">") == 0) {
        return true;
    }
    bool one = strncmp(pattern, "*", p) == 0 || (p == t && strncmp(pattern, type, p) == 0);
    if (!one || !pattern[p] || !type[t]) {
        return one && !pattern[p] && !type[t];
    }
    return naive(pattern + p + 1, type + t + 1);
}

static void test_grammar(void)
{
    static const struct {
        const char *pattern, *complaint; /* NULL = fine */
    } cases[] = {
        {"order.created", NULL},
        {"*", NULL},
        {">", NULL},
        {"order.*.>", NULL},
        {"*.*", NULL},
        {"größe.x", NULL},
        {NULL, "the pattern is NULL"},
        {"", "0 bytes; it must have 1 to 255"},
        {".a", "a segment is empty"},
        {"a.", "a segment is empty"},
        {"a..b", "a segment is empty"},
        {">.a", "must be the last segment"},
        {"a*", "\"a*\" mixes a word and a wildcard"},
        {"a.>b", "\">b\" mixes a word and a wildcard"},
        {"a\nb", "byte 1 of this one is 0x0a"},
        {"a\xff", "must be UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        marty_error why = {0};
        marty_err err = marty__pattern_check(cases[i].pattern, &why);
        CHECK_INT(err, cases[i].complaint ? MARTY_E_ARGUMENT : MARTY_OK);
        if (cases[i].complaint) {
            CHECK_HAS(why.text, cases[i].complaint);
        }
    }
    char longest[257];
    marty_error why = {0};
    memset(longest, 'a', 256);
    longest[256] = '\0';
    CHECK_INT(marty__pattern_check(longest, &why), MARTY_E_ARGUMENT);
    CHECK_HAS(why.text, "256 bytes; it must have 1 to 255");
    longest[255] = '\0';
    CHECK_INT(marty__pattern_check(longest, &why), MARTY_OK);
    for (size_t i = 1; i < 66; i += 2) {
        longest[i] = '.';
    }
    CHECK_INT(marty__pattern_check(longest, &why), MARTY_E_ARGUMENT);
    CHECK_HAS(why.text, "34 segments; the limit is 32");
}

static void test_relations(void)
{
    static const struct {
        const char *a, *b, *both; /* NULL = nothing matches both */
        bool covers;
    } cases[] = {
        {"order.*", "order.created", "order.created", true},
        {"order.*", "*.created", "order.created", false},
        {">", "order.*", "order.*", true},
        {"order.>", ">", "order.>", false},
        {"order.>", "*", NULL, false},
        {"*.b.>", "a.>", "a.b.>", false},
        {"a.>", "*.b", "a.b", false},
        {"*", "*", "*", true},
        {"*", ">", "*", false},
        {">", ">", ">", true},
        {"a.b", "a.c", NULL, false},
        {"a.b", "a.b.c", NULL, false},
        {"a.*.c", "a.b.*", "a.b.c", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char both[MARTY__PATTERN_ROOM];
        bool overlap = cases[i].both != NULL;
        CHECK_INT(marty__pattern_overlaps(cases[i].a, cases[i].b), overlap);
        CHECK_INT(marty__pattern_overlaps(cases[i].b, cases[i].a), overlap);
        CHECK_INT(marty__pattern_covers(cases[i].a, cases[i].b), cases[i].covers);
        CHECK_INT(marty__pattern_intersect(cases[i].a, cases[i].b, both), overlap);
        CHECK_TEXT(overlap ? both : NULL, cases[i].both);
        CHECK_INT(marty__pattern_intersect(cases[i].b, cases[i].a, both), overlap);
        CHECK_TEXT(overlap ? both : NULL, cases[i].both);
    }
    CHECK(marty__pattern_wild("a.*") && marty__pattern_wild(">") && !marty__pattern_wild("a.b"));
    CHECK(!marty__pattern_matches("a.>", "a") && marty__pattern_matches("a.*", "a."));
}

/* Of random types, what matches both patterns is what matches their intersection. */
static void test_relations_at_random(void)
{
    bool agree = true;
    for (int round = 0; round < 20000 && agree; round++) {
        char a[64], b[64], type[64], both[MARTY__PATTERN_ROOM];
        random_name(a, true);
        random_name(b, true);
        random_name(type, false);
        bool in_a = marty__pattern_matches(a, type), in_b = marty__pattern_matches(b, type);
        bool overlap = marty__pattern_intersect(a, b, both);
        agree = in_a == naive(a, type) && in_b == naive(b, type) &&
                (in_a && in_b) == (overlap && marty__pattern_matches(both, type)) &&
                overlap == marty__pattern_overlaps(a, b) &&
                (!marty__pattern_covers(a, b) || !in_b || in_a);
        if (!agree) {
            fprintf(stderr, "a %s  b %s  type %s\n", a, b, type);
        }
    }
    CHECK(agree);
}

enum { MANY = 300 };
typedef struct world {
    marty__match *match;
    char patterns[MANY][64];
    bool in[MANY];
} world;

static bool agrees(world *w, const char *type, const char *pattern)
{
    bool any = false, overlap = false;
    for (size_t i = 0; i < MANY; i++) {
        any = any || (w->in[i] && naive(w->patterns[i], type));
        overlap = overlap || (w->in[i] && marty__pattern_overlaps(w->patterns[i], pattern));
    }
    const char *first = marty__match_first(w->match, type);
    const char *common = marty__match_overlap(w->match, pattern);
    return (first != NULL) == any && (!first || naive(first, type)) &&
           (common != NULL) == overlap && (!common || marty__pattern_overlaps(common, pattern));
}

static void test_table_against_naive(void)
{
    world *w = calloc(1, sizeof *w);
    REQUIRE(w && (w->match = marty__match_new()));
    bool right = true;
    for (int round = 0; round < 4000 && right; round++) {
        size_t i = chance(MANY);
        if (w->in[i]) {
            marty__match_remove(w->match, w->patterns[i], w->patterns[i]);
            marty__match_remove(w->match, w->patterns[i], w->patterns[i]); /* not there: fine */
        } else {
            random_name(w->patterns[i], true);
            right = marty__match_add(w->match, w->patterns[i], w->patterns[i]) == MARTY_OK;
        }
        w->in[i] = !w->in[i];
        char type[64], pattern[64];
        random_name(type, false);
        random_name(pattern, true);
        right = right && agrees(w, type, pattern);
    }
    CHECK(right);
    for (size_t i = 0; i < MANY; i++) {
        marty__match_remove(w->match, w->patterns[i], w->patterns[i]);
    }
    CHECK(!marty__match_overlap(w->match, ">")); /* nothing is left of it */
    CHECK(!marty__match_first(w->match, "a"));
    marty__match_free(w->match);
    free(w);
}

static long allowed = -1;

static bool may_allocate(size_t size)
{
    (void)size;
    return allowed < 0 || allowed-- > 0;
}

static void test_no_memory(void)
{
    static const char *const patterns[] = {"a.b.c", "a.*.c", "a.>", "a.b.c", "a.b.c", "x", "*"};
    enum { COUNT = sizeof patterns / sizeof patterns[0] };
    marty__alloc_set_hook(may_allocate);
    bool done = false;
    for (long limit = 0; !done && limit < 1000; limit++) {
        static int values[COUNT];
        allowed = limit;
        marty__match *match = marty__match_new();
        size_t added = 0;
        while (match && added < COUNT &&
               marty__match_add(match, patterns[added], &values[added]) == MARTY_OK) {
            added++;
        }
        done = added == COUNT;
        allowed = 0; /* finding and removing need no memory */
        for (size_t i = 0; i < added; i++) {
            CHECK(marty__match_overlap(match, patterns[i]) != NULL);
            marty__match_remove(match, patterns[i], &values[i]);
        }
        CHECK(!match || !marty__match_overlap(match, ">"));
        marty__match_free(match);
    }
    CHECK(done);
    allowed = -1;
    marty__alloc_set_hook(NULL);
}

int main(void)
{
    test_grammar();
    test_relations();
    test_relations_at_random();
    test_table_against_naive();
    test_no_memory();
    marty__match_free(NULL);
    return check_result();
}
