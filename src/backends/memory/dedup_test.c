/* SPDX-License-Identifier: Apache-2.0
 * De-duplication against a model that forgets nothing: never a false alarm, never a miss within the
 * window among the last that it promises to remember, for ids of ours and others, made now or long
 * ago. */
#include "memory.h"
#include "message/message.h"

#include "check.h"

enum { IDS = 60000, WINDOW_MS = 5000, PROMISED_OURS = 12000 * 63, PROMISED_OTHERS = 190000 };

typedef struct one {
    char id[40];
    int64_t seen_ms; /* when it was remembered last; -1 = never */
} one;

static one ids[IDS];

/* An id of our form, made at a time. */
static void make_ours(char id[40], uint64_t made_ms, unsigned number)
{
    (void)snprintf(id, 40, "%08x-%04x-7%03x-8%03x-%012x", (unsigned)(made_ms >> 16),
                   (unsigned)(made_ms & 0xffff), number & 0xfff, number >> 12, number);
}

static fingerprint print_of(const dedup *d, const channel *c, const char *id, const char *group_)
{
    marty_message message = {.id = id, .source = "/test"};
    return marty__mem_fingerprint_in(marty__mem_fingerprint(d, &message),
                                     marty__mem_salt(c, group_));
}

static bool publish(dedup *d, const channel *c, one *what, int64_t now_ms)
{
    fingerprint of = print_of(d, c, what->id, NULL);
    int64_t now_ns = now_ms * MARTY__NS_PER_MS;
    bool found = marty__mem_dedup_seen(d, of, now_ns, WINDOW_MS);
    bool want = what->seen_ms >= 0 && now_ms - what->seen_ms < WINDOW_MS;
    if (found != want) {
        fprintf(stderr, "    %s at %lld, seen at %lld\n", what->id, (long long)now_ms,
                (long long)what->seen_ms);
    }
    CHECK(found == want);
    if (!found) {
        REQUIRE(marty__mem_dedup_reserve(d, of, now_ns));
        marty__mem_dedup_remember(d, of, now_ns);
        what->seen_ms = now_ms;
    }
    return found;
}

static void it_agrees_with_a_model(bool ours, unsigned step_per_ms)
{
    dedup d = {.window_ms = WINDOW_MS};
    channel c = {.number = 3};
    marty__mem_dedup_init(&d);
    unsigned seed = 11, repeated = 0;
    int64_t now_ms = 1000000;
    for (unsigned i = 0; i < IDS; i++) {
        seed = seed * 1664525 + 1013904223;
        uint64_t late_ms = seed >> 29 ? seed >> 24 & 3 : seed >> 8 & 0xfffff; /* some long ago */
        uint64_t made_ms = 1800000000000u + (uint64_t)now_ms - late_ms;
        if (ours) {
            make_ours(ids[i].id, made_ms, i);
        } else {
            (void)snprintf(ids[i].id, sizeof ids[i].id, "order-%u", i);
        }
        ids[i].seen_ms = -1;
        CHECK(!publish(&d, &c, &ids[i], now_ms));
        seed = seed * 1664525 + 1013904223;
        repeated += publish(&d, &c, &ids[(seed >> 8) % (i + 1)], now_ms);
        unsigned near = (seed >> 4) % 1000;
        repeated += publish(&d, &c, &ids[i > near ? i - near : 0], now_ms);
        now_ms += i % step_per_ms == 0;
    }
    CHECK(repeated > IDS / 20);
    marty__mem_dedup_free(&d);
}

static void a_quiet_time_empties_it(void)
{
    dedup d = {.window_ms = WINDOW_MS};
    channel c = {.number = 1};
    one a = {.seen_ms = -1}, b = {.id = "b", .seen_ms = -1};
    make_ours(a.id, 1800000000000u, 1);
    for (int64_t now_ms = 5; now_ms < 1000000; now_ms += 1 + now_ms % 4999) {
        (void)publish(&d, &c, &a, now_ms);
        (void)publish(&d, &c, &b, now_ms);
    }
    CHECK(!publish(&d, &c, &a, (int64_t)1 << 33)); /* past the turn of the stamps */
    CHECK(!publish(&d, &c, &b, (int64_t)1 << 33));
    marty__mem_dedup_free(&d);
}

static void the_last_ones_are_remembered_whatever_comes(void)
{
    dedup d = {.window_ms = UINT32_MAX};
    channel c = {.number = 1};
    char id[40];
    unsigned missed = 0;
    for (unsigned i = 0; i < 2 * PROMISED_OURS; i++) {
        make_ours(id, 1800000000000u + i / 100, i);
        fingerprint of = print_of(&d, &c, id, NULL);
        missed += marty__mem_dedup_seen(&d, of, 1000000, UINT32_MAX);
        REQUIRE(marty__mem_dedup_reserve(&d, of, 1000000));
        marty__mem_dedup_remember(&d, of, 1000000);
    }
    CHECK_INT(missed, 0);
    for (unsigned i = 2 * PROMISED_OURS - 1; i >= PROMISED_OURS; i--) {
        make_ours(id, 1800000000000u + i / 100, i);
        missed += !marty__mem_dedup_seen(&d, print_of(&d, &c, id, NULL), 1000000, UINT32_MAX);
    }
    CHECK_INT(missed, 0);
    make_ours(id, 1800000000000u, 0); /* and memory is bounded: the first is forgotten */
    CHECK(!marty__mem_dedup_seen(&d, print_of(&d, &c, id, NULL), 1000000, UINT32_MAX));
    for (unsigned i = 0; i < 3 * PROMISED_OTHERS; i++) {
        (void)snprintf(id, sizeof id, "other-%u", i);
        fingerprint of = print_of(&d, &c, id, NULL);
        REQUIRE(marty__mem_dedup_reserve(&d, of, 1000000));
        marty__mem_dedup_remember(&d, of, 1000000);
    }
    for (unsigned i = 2 * PROMISED_OTHERS; i < 3 * PROMISED_OTHERS; i++) {
        (void)snprintf(id, sizeof id, "other-%u", i);
        missed += !marty__mem_dedup_seen(&d, print_of(&d, &c, id, NULL), 1000000, UINT32_MAX);
    }
    CHECK_INT(missed, 0);
    marty__mem_dedup_free(&d);
}

/* Those that nobody can have said before are listed; whoever looks later finds each, in lists of
 * every length, and with others between them. */
static void what_is_listed_is_found(void)
{
    enum { COUNT = 100000 };
    dedup d = {.window_ms = WINDOW_MS};
    channel c = {.number = 1};
    char id[40];
    unsigned missed = 0, wrong = 0, looked = 0;
    marty__mem_dedup_init(&d);
    for (unsigned i = 0; i < COUNT; i++) {
        make_ours(id, 1800000000000u + i / 100, i);
        fingerprint of = print_of(&d, &c, id, NULL);
        REQUIRE(marty__mem_dedup_reserve(&d, of, 1000000));
        if (i % 7) {
            marty__mem_dedup_list(&d, &of, 1, 0, 1000000);
        } else {
            marty__mem_dedup_remember(&d, of, 1000000);
        }
        for (unsigned back = 1; i % 20011 == 20010 && back < 20011; back += 97, looked++) {
            make_ours(id, 1800000000000u + (i - back) / 100, i - back);
            missed += !marty__mem_dedup_seen(&d, print_of(&d, &c, id, NULL), 1000000, WINDOW_MS);
            make_ours(id, 1800000000000u + (i - back) / 100, i + COUNT);
            wrong += marty__mem_dedup_seen(&d, print_of(&d, &c, id, NULL), 1000000, WINDOW_MS);
        }
    }
    CHECK(looked > 500);
    CHECK_INT(missed, 0);
    CHECK_INT(wrong, 0);
    marty__mem_dedup_free(&d);
}

static void channels_groups_and_sources_keep_apart(void)
{
    dedup d = {.window_ms = WINDOW_MS};
    channel c = {.number = 1}, other = {.number = 2};
    marty__mem_dedup_init(&d);
    marty_message elsewhere = {.id = "a", .source = "/other"};
    fingerprint of = print_of(&d, &c, "a", NULL);
    fingerprint far[4] = {print_of(&d, &other, "a", NULL), print_of(&d, &c, "a", "g"),
                          print_of(&d, &c, "b", NULL),
                          marty__mem_fingerprint_in(marty__mem_fingerprint(&d, &elsewhere),
                                                    marty__mem_salt(&c, NULL))};
    for (unsigned i = 0; i < 4; i++) {
        CHECK(far[i].hash != of.hash);
    }
    marty__mem_dedup_free(&d);
}

int main(void)
{
    it_agrees_with_a_model(true, 10);
    it_agrees_with_a_model(true, 1000);
    it_agrees_with_a_model(false, 10);
    it_agrees_with_a_model(false, 3);
    a_quiet_time_empties_it();
    the_last_ones_are_remembered_whatever_comes();
    what_is_listed_is_found();
    channels_groups_and_sources_keep_apart();
    return check_result();
}
