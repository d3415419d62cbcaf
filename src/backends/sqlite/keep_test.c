/* SPDX-License-Identifier: Apache-2.0
 * What the sqlite: port keeps and for how long: what is shared by all backends, bytes exact, and
 * very many ids. */
#include "message/uuid.h"
#include "test_file.h"

#include "backend/test_keep.h"

static void same_text(const char *have, const char *want)
{
    CHECK_TEXT(have, want);
}

static void check_same(const marty_message *have, const marty_message *want)
{
    const char *const texts[][2] = {
        {have->type, want->type},
        {have->id, want->id},
        {have->source, want->source},
        {have->subject, want->subject},
        {have->key, want->key},
        {have->content_type, want->content_type},
        {have->schema, want->schema},
        {have->correlation_id, want->correlation_id},
        {have->causation_id, want->causation_id},
        {have->trace_parent, want->trace_parent},
        {have->trace_state, want->trace_state},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        same_text(texts[i][0], texts[i][1]);
    }
    CHECK_INT(have->time_us, want->time_us);
    CHECK_INT(have->expires_us, want->expires_us);
    CHECK_INT(have->priority, want->priority);
    CHECK_BYTES(have->data.data, have->data.size, want->data.data, want->data.size);
    CHECK_INT(have->header_count, want->header_count);
    for (size_t i = 0; i < want->header_count; i++) {
        CHECK_TEXT(have->headers[i].name, want->headers[i].name);
        CHECK_INT(have->headers[i].kind, want->headers[i].kind);
        CHECK_BYTES(have->headers[i].value.data, have->headers[i].value.size,
                    want->headers[i].value.data, want->headers[i].value.size);
    }
}

static void every_byte_comes_back(void)
{
    probe *a = probe_open("bytes");
    char all[256];
    for (int i = 0; i < 256; i++) {
        all[i] = (char)i;
    }
    const marty_header headers[] = {
        {"x-a", {"1", 1}, MARTY_HEADER},
        {"X-A", {"2", 1}, MARTY_HEADER},
        {"x-empty", {NULL, 0}, MARTY_HEADER},
        {"text", {"gr\xc3\xbc\xc3\x9f", 6}, MARTY_ATTRIBUTE},
        {"number", {"-7", 2}, MARTY_ATTRIBUTE_INTEGER},
        {"truth", {"true", 4}, MARTY_ATTRIBUTE_BOOLEAN},
        {"bytes", {"AAEC", 4}, MARTY_ATTRIBUTE_BINARY},
        {"place", {"/a/b", 4}, MARTY_ATTRIBUTE_URI},
        {"moment", {"2026-01-02T03:04:05Z", 20}, MARTY_ATTRIBUTE_TIMESTAMP},
        {"x-a", {"3", 1}, MARTY_HEADER}};
    const marty_message full = {.type = "order.created",
                                .id = "id-1",
                                .source = "/a/source",
                                .subject = "subject",
                                .key = "key",
                                .content_type = "application/octet-stream",
                                .schema = "https://example.com/s",
                                .correlation_id = "c-1",
                                .causation_id = "c-2",
                                .trace_parent =
                                    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                .trace_state = "a=b",
                                .time_us = 1700000000123456,
                                .expires_us = marty__wall_us() + 3600000000,
                                .priority = -7,
                                .headers = headers,
                                .header_count = sizeof headers / sizeof headers[0],
                                .data = {all, sizeof all}};
    const marty_message empty = {.type = "t", .id = "id-2", .source = "s", .time_us = 5};
    listen_to(a, 1, MARTY_KIND_QUEUE, "commands.q", "q", 9);
    marty_message *messages[2] = {message_of(&full), message_of(&empty)};
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(publish(a, to(MARTY_KIND_QUEUE, "commands.q"), messages[i]).err, MARTY_OK);
        await(a, i + 1);
        check_same(a->delivered[i].message, messages[i]);
        marty_message_unref(messages[i]);
    }
    CHECK_INT(say_big(a, MARTY_KIND_QUEUE, "commands.q", "big", 16 << 20), MARTY_OK);
    CHECK_INT(say_big(a, MARTY_KIND_QUEUE, "commands.q", "bigger", (16 << 20) + 1),
              MARTY_E_TOO_LARGE);
    CHECK_HAS(a->why_not[a->publishes - 1], "the limit of sqlite is 16777216");
    await(a, 3);
    CHECK_INT(a->delivered[2].message->data.size, 16 << 20);
    probe_close(a);
}

static void many_ids_fold_too(void)
{
    enum { COUNT = 3000 };
    probe *a = probe_open("many?sync=off"), *b = probe_open("many?sync=off");
    static marty_message *messages[COUNT];
    marty_want queue = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.n"}};
    for (int i = 0; i < COUNT; i++) {
        marty_message fresh = {.subject = "s"};
        messages[i] = message_of(&fresh);
        CHECK_INT(publish(i % 2 ? a : b, to(MARTY_KIND_QUEUE, "commands.n"), messages[i]).err,
                  MARTY_OK);
    }
    for (int i = 0; i < COUNT; i++) {
        CHECK_INT(publish(i % 2 ? b : a, to(MARTY_KIND_QUEUE, "commands.n"), messages[i]).err,
                  MARTY_OK);
        marty_message_unref(messages[i]);
    }
    CHECK_HAS(ask(a, "inspect", queue, NULL), "\"messages\":3000,");
    probe_close(a);
    probe_close(b);
}

/* More rounds than share a row of their times, from two hours of the wall clock. */
static void ids_of_another_hour_fold_too(void)
{
    enum { COUNT = 400 };
    const int64_t hour_us = 3600 * INT64_C(1000000);
    probe *a = probe_open("hours?sync=off"), *b = probe_open("hours?sync=off");
    static marty_message *messages[COUNT];
    marty_want queue = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.n"}};
    for (int i = 0; i < COUNT; i++) {
        test_wall_ahead_us = i < 300 ? hour_us : 0;
        char id[MARTY__UUID_TEXT];
        marty__uuid7_at(&test_env, test_wall(NULL), id);
        marty_message fresh = {.id = id};
        messages[i] = message_of(&fresh);
        CHECK_INT(publish(i % 3 ? a : b, to(MARTY_KIND_QUEUE, "commands.n"), messages[i]).err,
                  MARTY_OK);
    }
    test_wall_ahead_us = 2 * hour_us;
    probe *c = probe_open("hours?sync=off");
    probe *again[] = {a, b, c};
    for (int i = 0; i < COUNT; i++) {
        CHECK_INT(publish(again[i % 3], to(MARTY_KIND_QUEUE, "commands.n"), messages[i]).err,
                  MARTY_OK);
        marty_message_unref(messages[i]);
    }
    CHECK_HAS(ask(a, "inspect", queue, NULL), "\"messages\":400,");
    test_wall_ahead_us = 0;
    probe_close(a);
    probe_close(b);
    probe_close(c);
}

static void what_is_out_has_not_passed(void)
{
    probe *a = probe_open("out?retention=64KiB");
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 1);
    CHECK_INT(say_big(a, MARTY_KIND_TOPIC, "events.x", "m1", 40000), MARTY_OK);
    await(a, 1);
    CHECK_INT(say_big(a, MARTY_KIND_TOPIC, "events.x", "m2", 40000), MARTY_E_FULL);
    CHECK_HAS(a->why_not[1], "its limit is 65536 bytes");
    ack_all(a);
    CHECK_INT(say_big(a, MARTY_KIND_TOPIC, "events.x", "m2", 40000), MARTY_OK);
    probe_close(a);
}

int main(void)
{
    keep_cases();
    what_is_out_has_not_passed();
    every_byte_comes_back();
    many_ids_fold_too();
    ids_of_another_hour_fold_too();
    test_folder_remove();
    return check_result();
}
