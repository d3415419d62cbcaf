/* SPDX-License-Identifier: Apache-2.0
 * What the unit tests of messages share: making them, comparing them, failing allocations. For
 * tests only. */
#ifndef MARTY_MESSAGE_TEST_TOOLS_H
#define MARTY_MESSAGE_TEST_TOOLS_H
#include "base/alloc.h"
#include "message.h"
#include "tests/check.h"

#define TOOL CHECK__UNUSED static

/** A template with every attribute, and these headers. */
TOOL marty_message event_with(const marty_header *headers, size_t count)
{
    return (marty_message){.type = "order.created",
                           .data = marty_text("{\"id\": 7}"),
                           .id = "A234-1234-1234",
                           .source = "/mycontext",
                           .subject = "gr\xc3\xb6\xc3\x9f"
                                      "e 1",
                           .key = "customer 7",
                           .schema = "https://example.com/order.json",
                           .correlation_id = "c-1",
                           .causation_id = "c-0",
                           .trace_parent =
                               "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                           .trace_state = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7",
                           .time_us = INT64_C(1767323045678901),
                           .expires_us = INT64_C(1767323105000000),
                           .priority = -3,
                           .headers = headers,
                           .header_count = count};
}

/** A message made of a template, or the end of the test. */
TOOL marty_message *make(const marty_message *template_, const marty_message *cause)
{
    marty_message *message = NULL;
    marty_error why = {0};
    if (!CHECK_INT(marty_message_new(&message, template_, cause, &why), MARTY_OK)) {
        fprintf(stderr, "    %s\n", why.text);
        exit(1);
    }
    return message;
}

TOOL marty_message *encode(const marty_message *from, marty_format format, const char *prefix)
{
    marty_message *wire = NULL;
    marty_error why = {0};
    if (!CHECK_INT(marty_message_encode(&wire, from, format, prefix, &why), MARTY_OK)) {
        fprintf(stderr, "    %s\n", why.text);
        exit(1);
    }
    return wire;
}

TOOL marty_message *decode(const marty_message *wire, const char *prefix)
{
    marty_message *message = NULL;
    marty_error why = {0};
    if (!CHECK_INT(marty_message_decode(&message, wire, prefix, &why), MARTY_OK)) {
        fprintf(stderr, "    %s\n", why.text);
        exit(1);
    }
    return message;
}

/** What decode says of a wire message that it refuses. */
TOOL void refused(const marty_message *wire, const char *prefix, marty_err want, const char *part)
{
    marty_message *message = NULL;
    marty_error why = {0};
    if (!CHECK_INT(marty_message_decode(&message, wire, prefix, &why), want)) {
        fprintf(stderr, "    wanted: %s\n", part);
    }
    CHECK_HAS(why.text, part);
    CHECK(message == NULL);
    marty_message_unref(message);
}

/** Text of a header or attribute, NULL when absent. */
TOOL const char *header(const marty_message *message, const char *name)
{
    return marty_message_header(message, name).data;
}

TOOL bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/** All that an event has is the same; kinds too, if asked. */
TOOL bool same(const marty_message *a, const marty_message *b, bool kinds)
{
    bool equal =
        same_text(a->type, b->type) && same_text(a->id, b->id) && same_text(a->source, b->source) &&
        same_text(a->subject, b->subject) && same_text(a->key, b->key) &&
        same_text(a->content_type, b->content_type) && same_text(a->schema, b->schema) &&
        same_text(a->correlation_id, b->correlation_id) &&
        same_text(a->causation_id, b->causation_id) &&
        same_text(a->trace_parent, b->trace_parent) && same_text(a->trace_state, b->trace_state);
    equal = equal && a->time_us == b->time_us && a->expires_us == b->expires_us &&
            a->priority == b->priority && a->header_count == b->header_count &&
            a->data.size == b->data.size &&
            (!a->data.size || memcmp(a->data.data, b->data.data, a->data.size) == 0);
    for (size_t i = 0; equal && i < a->header_count; i++) {
        const marty_header *one = &a->headers[i], *two = &b->headers[i];
        equal = strcmp(one->name, two->name) == 0 && one->value.size == two->value.size &&
                memcmp(one->value.data, two->value.data, one->value.size) == 0 &&
                (!kinds || one->kind == two->kind);
    }
    return equal;
}

/* Failing the n-th allocation. */
static atomic_long tool__left;

TOOL bool tool__may_allocate(size_t size)
{
    (void)size;
    return atomic_fetch_sub(&tool__left, 1) != 1;
}

/** Run it with the first, the second ... allocation failing, until it succeeds; it says OK,
 * NO_MEMORY or (a bug) something else. Returns how many there were. */
TOOL long torture(marty_err (*run)(void *user), void *user)
{
    for (long n = 1; n < 1000; n++) {
        atomic_store(&tool__left, n);
        marty__alloc_set_hook(tool__may_allocate);
        marty_err err = run(user);
        marty__alloc_set_hook(NULL);
        if (err == MARTY_OK) {
            return n - 1;
        }
        if (!CHECK_INT(err, MARTY_E_NO_MEMORY)) {
            return -1;
        }
    }
    check__that(false, CHECK__HERE, "it never succeeds");
    return -1;
}
#endif
