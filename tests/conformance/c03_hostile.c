/* SPDX-License-Identifier: Apache-2.0
 * C03 (hostile headers: carried whole or refused, never mangled) and C04 (sizes up to the limit and
 * one beyond). */
#include "contracts.h"
#include "round_trip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const marty_pattern all[] = {MARTY_EVENT, MARTY_COMMAND, MARTY_QUERY, MARTY_STREAM,
                                    MARTY_BROADCAST};

static bool is_refusal(marty_err err)
{
    return err == MARTY_E_MALFORMED || err == MARTY_E_ARGUMENT || err == MARTY_E_TOO_LARGE ||
           err == MARTY_E_UNSUPPORTED;
}

/* One header: comes as it was, or is refused with a text; never changes id or type, never splits.
 * Returns whether it was carried. */
static bool try_header(marty_pattern pattern, const char *name, marty_bytes value)
{
    static int number;
    marty_error why = {0};
    marty_header header = {name, value, MARTY_HEADER};
    const char *id = suite_id("hostile", ++number);
    marty_message sent = {.type = "trip.hostile",
                          .id = id,
                          .data = marty_text("body"),
                          .headers = &header,
                          .header_count = 1};
    marty_message *came = trip(pattern, &sent, &why);
    if (!came) {
        EXPECT(is_refusal(why.code), "%s: the header \"%s\" ended with %s (%s), not a refusal",
               suite_pattern_name(pattern), name, suite_err(why.code), why.text);
        EXPECT(strlen(why.text) > 10, "%s: the refusal of a header says only \"%s\"",
               suite_pattern_name(pattern), why.text);
        return false;
    }
    trip_expect_same(pattern, &sent, came);
    size_t plain = 0;
    for (size_t i = 0; i < came->header_count; i++) {
        plain += came->headers[i].kind == MARTY_HEADER;
    }
    EXPECT(plain == 1, "%s: one header \"%s\" was sent, %zu came", suite_pattern_name(pattern),
           name, plain);
    marty_message_unref(came);
    return true;
}

void c03_headers(void)
{
    static const char *const names[] = {"x-plain",  "x_under", "X-UPPER",      "x.dot",
                                        "x space",  "x:colon", "x\r\nevil: 1", "x\ttab",
                                        "",         "x\x80",   "\xc3\xbc",     "x\"quote",
                                        "x=equals", "x%41",    "x\x7f",        "x/slash"};
    static const marty_bytes values[] = {{"plain", 5},         {"", 0},
                                         {" spaces ", 8},      {"a\r\nx-evil: 1", 13},
                                         {"a\nb", 3},          {"nul\0inside", 10},
                                         {"\xff\xfe", 2},      {"\xc3\xbc\xe2\x82\xac", 5},
                                         {"100%41%0d%0a", 12}, {"\"quoted\"", 8},
                                         {"tab\there", 8},     {"\x01\x1f", 2}};
    size_t carried = 0, refused = 0;
    trip_open();
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
            try_header(all[i], names[k], values[0]) ? carried++ : refused++;
        }
        for (size_t k = 0; k < sizeof values / sizeof values[0]; k++) {
            try_header(all[i], "x-value", values[k]) ? carried++ : refused++;
        }
        EXPECT(try_header(all[i], "x-plain", values[7]), "%s: an UTF-8 value was refused",
               suite_pattern_name(all[i]));
    }
    suite_note("%zu hostile headers carried whole, %zu refused", carried, refused);
    trip_close();
}

void c03_reserved(void)
{
    static const char *const names[] = {
        "ce-id",        "ce-type",        "ce-source",    "ce-specversion",
        "content-type", "Nats-Msg-Id",    "Nats-TTL",     "Nats-Expected-Stream",
        "Nats-Rollup",  "Nats-Schedule",  "Status",       "traceparent",
        "martyreply",   "martydeadcause", "martyattempts"};
    size_t carried = 0, refused = 0;
    trip_open();
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
            try_header(all[i], names[k], marty_text("all")) ? carried++ : refused++;
        }
    }
    suite_note("%zu names of brokers and envelopes carried whole, %zu refused", carried, refused);
    trip_close();
}

void c03_many(void)
{
    enum { MANY = 200 };
    static char names[MANY][16], values[MANY][32];
    static marty_header headers[MANY];
    uint32_t limit = suite_capabilities()->header_count_max;
    size_t count = limit && limit < MANY + 16 ? limit / 2 : MANY;
    count = count > 100 ? 100 : count;
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "x-%zu", i);
        snprintf(values[i], sizeof values[i], "value of %zu", i);
        headers[i] = (marty_header){names[i], marty_text(values[i]), MARTY_HEADER};
    }
    trip_open();
    for (size_t i = 0; i < 5; i++) {
        marty_error why = {0};
        marty_message sent = {.type = "trip.many", .headers = headers, .header_count = count};
        marty_message *came = trip(all[i], &sent, &why);
        EXPECT(came, "a %s with %zu headers was refused: %s", suite_pattern_name(all[i]), count,
               why.text);
        trip_expect_same(all[i], &sent, came);
        marty_message_unref(came);
    }
    suite_note("%zu headers", count);
    trip_close();
}

/* ---- C04 */

static void try_size(marty_pattern pattern, const char *bytes, size_t size)
{
    marty_error why = {0};
    marty_message sent = {
        .type = "trip.size", .data = {bytes, size}, .content_type = "application/octet-stream"};
    marty_message *came = trip(pattern, &sent, &why);
    EXPECT(came, "a %s of %zu bytes was refused: %s: %s", suite_pattern_name(pattern), size,
           suite_err(why.code), why.text);
    trip_expect_same(pattern, &sent, came);
    marty_message_unref(came);
}

void c04_sizes(void)
{
    enum { MOST = 4 << 20 };
    size_t limit = (size_t)suite_capabilities()->payload_bytes_max;
    size_t most = limit && limit < MOST ? limit : MOST;
    char *bytes = suite_alloc(most + 2);
    for (size_t i = 0; i < most + 2; i++) {
        bytes[i] = (char)(i * 31 + (i >> 8));
    }
    const size_t sizes[] = {0, 1, 127, 1024, 4096, 65535, 65536, most - 4096};
    trip_open();
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            try_size(all[i], bytes, sizes[k]);
        }
    }
    suite_note("up to %zu bytes", most - 4096);
    trip_close();
}

void c04_limit(void)
{
    size_t limit = (size_t)suite_capabilities()->payload_bytes_max;
    if (!limit || limit > 64u << 20) {
        suite_skip("no limit below 64 MiB is known for this backend");
    }
    char *bytes = suite_alloc(limit + 1);
    memset(bytes, 'x', limit + 1);
    trip_open();
    for (size_t i = 0; i < 5; i++) {
        marty_error why = {0};
        marty_message sent = {.type = "trip.limit", .data = {bytes, limit + 1}};
        marty_message *came = trip(all[i], &sent, &why);
        EXPECT(!came, "a %s of limit + 1 = %zu bytes was taken", suite_pattern_name(all[i]),
               limit + 1);
        EXPECT_ERR(why.code, MARTY_E_TOO_LARGE, &why, "a %s of limit + 1 bytes",
                   suite_pattern_name(all[i]));
        try_size(all[i], bytes, 100); /* the connection lives */
    }
    suite_note("limit %zu bytes", limit);
    trip_close();
}
