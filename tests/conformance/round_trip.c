/* SPDX-License-Identifier: Apache-2.0
 * See round_trip.h. */
#include "round_trip.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static marty_bus *bus;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static marty_message *slot;

static marty_err keep(void *user, marty_delivery *delivery)
{
    (void)user;
    pthread_mutex_lock(&lock);
    marty_message_unref(slot);
    slot = marty_message_ref(delivery->message);
    pthread_mutex_unlock(&lock);
    return MARTY_OK;
}

static marty_err echo(void *user, marty_delivery *delivery)
{
    (void)user;
    marty_message answer = *delivery->message;
    answer.marty__self = NULL;
    answer.id = NULL;
    answer.expires_us = 0;
    answer.correlation_id = answer.causation_id = NULL;
    marty_error why = {0};
    keep(NULL, delivery);
    EXPECT_OK(marty_reply(delivery, &answer, &why), &why, "replying to a query");
    return MARTY_OK;
}

static bool has_come(void *user)
{
    marty_message **taken = user;
    pthread_mutex_lock(&lock);
    *taken = slot;
    slot = NULL;
    pthread_mutex_unlock(&lock);
    return *taken != NULL;
}

static bool has_streams(void)
{
    return suite_granted(MARTY_KIND_STREAM, MARTY_CAN_ORDER_BY_KEY);
}

void trip_open(void)
{
    static const marty_pattern patterns[] = {MARTY_EVENT, MARTY_COMMAND, MARTY_STREAM,
                                             MARTY_BROADCAST};
    marty_error why = {0};
    bus = suite_open("trip", NULL);
    for (size_t i = 0; i < 4; i++) {
        const char *name = patterns[i] == MARTY_STREAM ? "trip" : "trip.>";
        if (patterns[i] == MARTY_STREAM && !has_streams()) {
            continue;
        }
        EXPECT_OK(marty_subscribe(bus, patterns[i], name, keep, NULL, NULL, NULL, &why), &why,
                  "subscribing to the %s %s", suite_pattern_name(patterns[i]), name);
    }
    EXPECT_OK(marty_handle_queries(bus, "trip.>", echo, NULL, NULL, NULL, &why), &why,
              "handling queries trip.>");
    suite_start(bus);
}

marty_bus *trip_bus(void)
{
    return bus;
}

static marty_message *ask(const marty_message *message, marty_error *why)
{
    marty_query_options options = {.with = message};
    marty_message *reply = NULL, *request = NULL;
    marty_err err = marty_query(bus, "trip", message->type, message->data, &options, &reply, why);
    if (err) {
        why->code = err;
        return NULL;
    }
    EXPECT(has_come(&request), "a query was answered that no handler saw");
    EXPECT(request->data.size == message->data.size &&
               (!message->data.size ||
                memcmp(request->data.data, message->data.data, message->data.size) == 0),
           "the body of a query changed on its way, from %zu to %zu bytes", message->data.size,
           request->data.size);
    marty_message_unref(request);
    return reply;
}

marty_message *trip(marty_pattern pattern, const marty_message *message, marty_error *why)
{
    if (pattern == MARTY_QUERY) {
        return ask(message, why);
    }
    if (pattern == MARTY_STREAM && !has_streams()) {
        pattern = MARTY_EVENT; /* it has none: an event once more */
    }
    marty_outcome outcome = {0};
    marty_err err = suite_try_publish(bus, pattern, suite_to(pattern, "trip", "trip"), message,
                                      NULL, &outcome, why);
    if (err) {
        why->code = err;
        return NULL;
    }
    marty_message *came = NULL;
    EXPECT(test_wait_for(has_come, &came, 10000),
           "the %s %s was stored and did not come within 10 s", suite_pattern_name(pattern),
           message->type);
    return came;
}

static void same_text(const char *pattern, const char *what, const char *sent, const char *came)
{
    EXPECT((!sent && (!came || !*came)) || (sent && came && strcmp(sent, came) == 0),
           "%s: %s was sent as \"%s\" and came as \"%s\"", pattern, what, sent ? sent : "(none)",
           came ? came : "(none)");
}

/* The nth header of that name, and that none of another origin is before it. */
static const marty_header *nth(const marty_message *message, const char *name, size_t n)
{
    for (size_t i = 0; i < message->header_count; i++) {
        if (strcasecmp(message->headers[i].name, name) == 0 && n-- == 0) {
            return &message->headers[i];
        }
    }
    return NULL;
}

static void same_headers(const char *pattern, const marty_message *sent, const marty_message *came)
{
    for (size_t i = 0; i < sent->header_count; i++) {
        const marty_header *want = &sent->headers[i];
        size_t earlier = 0;
        for (size_t k = 0; k < i; k++) {
            earlier += strcasecmp(sent->headers[k].name, want->name) == 0;
        }
        const marty_header *have = nth(came, want->name, earlier);
        EXPECT(have, "%s: the header %s (number %zu of that name) did not come", pattern,
               want->name, earlier + 1);
        EXPECT(have->value.size == want->value.size &&
                   (!want->value.size ||
                    memcmp(have->value.data, want->value.data, want->value.size) == 0),
               "%s: the header %s was \"%.*s\" and came as \"%.*s\"", pattern, want->name,
               MARTY_BYTES_ARGS(want->value), MARTY_BYTES_ARGS(have->value));
    }
}

void trip_expect_same(marty_pattern pattern, const marty_message *sent, const marty_message *came)
{
    const char *name = suite_pattern_name(pattern);
    bool reply = pattern == MARTY_QUERY; /* a message of its own: id, correlation, time are new */
    same_text(name, "type", sent->type, came->type);
    if (!reply) {
        if (sent->id) {
            same_text(name, "id", sent->id, came->id);
        }
        if (sent->source) {
            same_text(name, "source", sent->source, came->source);
        }
        if (sent->correlation_id) {
            same_text(name, "correlation id", sent->correlation_id, came->correlation_id);
        }
        if (sent->causation_id) {
            same_text(name, "causation id", sent->causation_id, came->causation_id);
        }
        same_text(name, "key", sent->key, came->key);
        EXPECT(!sent->time_us || sent->time_us == came->time_us,
               "%s: time was %lld and came as %lld", name, (long long)sent->time_us,
               (long long)came->time_us);
    }
    EXPECT(came->id && *came->id && came->source && *came->source && came->time_us > 0,
           "%s: id, source and time must be there", name);
    same_text(name, "subject", sent->subject, came->subject);
    same_text(name, "schema", sent->schema, came->schema);
    same_text(name, "content type", sent->content_type ? sent->content_type : "application/json",
              came->content_type ? came->content_type : "application/json");
    EXPECT(sent->data.size == came->data.size, "%s: the body had %zu bytes and came with %zu", name,
           sent->data.size, came->data.size);
    EXPECT(!sent->data.size || memcmp(sent->data.data, came->data.data, sent->data.size) == 0,
           "%s: the body of %zu bytes came with other bytes", name, sent->data.size);
    same_headers(name, sent, came);
}

void trip_close(void)
{
    suite_close(bus);
}
