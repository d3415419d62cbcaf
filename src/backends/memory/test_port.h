/* SPDX-License-Identifier: Apache-2.0
 * A core made of notes, to try a port on its own: it writes down what the adapter tells, answers
 * nothing by itself, and has a clock that only the test moves. One thread, save where said. */
#ifndef MARTY_BACKENDS_MEMORY_TEST_PORT_H
#define MARTY_BACKENDS_MEMORY_TEST_PORT_H
#include "backend/registry.h"
#include "base/clock.h"
#include "message/message.h"

#include <stdarg.h>

#include "check.h"

enum { NOTES_MAX = 4096, TIMERS_MAX = 8 };

typedef struct noted_delivery {
    uint64_t subscription, tag;
    marty_message *message;
    char reply_to[300], position[48];
    uint32_t attempt, shard;
    int64_t lease_until_ns;
} noted_delivery;
typedef struct noted_settled {
    uint64_t subscription, tag;
    marty_verb verb;
    marty_err result;
    int64_t lease_until_ns;
} noted_settled;
typedef struct noted_subscribed {
    uint64_t subscription;
    marty_err reason;
    char text[160];
} noted_subscribed;
typedef struct noted_timer {
    void (*call)(void *user);
    void *user;
    int64_t at_ns;
} noted_timer;

typedef struct probe { /* one port */
    marty_sink sink;
    marty_port *port;
    marty_state state;
    marty_capabilities granted;
    noted_delivery delivered[NOTES_MAX];
    marty_published published[NOTES_MAX];
    char why_not[NOTES_MAX][160];
    noted_settled settled[NOTES_MAX];
    noted_subscribed subscribed[NOTES_MAX];
    noted_timer timers[TIMERS_MAX];
    size_t deliveries, publishes, settlings, subscribes, timer_count;
    uint64_t next_token;
    struct probe *next;
} probe;

static int64_t test_now_ns = 1000000000, test_wall_us = 1800000000000000;
static probe *probes;
static const marty_backend *const test_backend = &marty__memory_backend;

static int64_t test_monotonic(void *user)
{
    (void)user;
    return test_now_ns;
}
static int64_t test_wall(void *user)
{
    (void)user;
    return test_wall_us;
}
static void test_random(void *user, void *buffer, size_t size)
{
    (void)user;
    memset(buffer, 7, size);
}
static const marty_env test_env = {
    .monotonic_ns = test_monotonic, .wall_us = test_wall, .random = test_random};

static probe *probe_of(const marty_sink *sink)
{
    return (probe *)(uintptr_t)sink;
}

static void note_state(const marty_sink *sink, marty_state state, const marty_capabilities *granted,
                       marty_err reason, const char *text)
{
    (void)reason, (void)text;
    probe_of(sink)->state = state;
    if (granted) {
        probe_of(sink)->granted = *granted;
    }
}
static void note_published(const marty_sink *sink, const marty_published results[], size_t count)
{
    probe *p = probe_of(sink);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(p->publishes < NOTES_MAX);
        p->published[p->publishes] = results[i];
        (void)snprintf(p->why_not[p->publishes], sizeof p->why_not[0], "%s",
                       results[i].text ? results[i].text : "");
        p->publishes++;
    }
}
static void note_delivered(const marty_sink *sink, const marty_incoming batch[], size_t count)
{
    probe *p = probe_of(sink);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(p->deliveries < NOTES_MAX && batch[i].message && batch[i].tag);
        noted_delivery *d = &p->delivered[p->deliveries++];
        *d = (noted_delivery){.subscription = batch[i].subscription,
                              .tag = batch[i].tag,
                              .message = batch[i].message,
                              .attempt = batch[i].attempt,
                              .shard = batch[i].shard,
                              .lease_until_ns = batch[i].lease_until_ns};
        (void)snprintf(d->reply_to, sizeof d->reply_to, "%s",
                       batch[i].reply_to ? batch[i].reply_to : "");
        (void)snprintf(d->position, sizeof d->position, "%s",
                       batch[i].position ? batch[i].position : "");
    }
}
static void note_settled(const marty_sink *sink, uint64_t subscription, marty_verb verb,
                         const uint64_t tags[], size_t count, marty_err result,
                         int64_t lease_until_ns)
{
    probe *p = probe_of(sink);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(p->settlings < NOTES_MAX);
        p->settled[p->settlings++] =
            (noted_settled){subscription, tags[i], verb, result, lease_until_ns};
    }
}
static void note_subscribed(const marty_sink *sink, uint64_t subscription, marty_err reason,
                            const char *text)
{
    probe *p = probe_of(sink);
    REQUIRE(p->subscribes < NOTES_MAX);
    noted_subscribed *s = &p->subscribed[p->subscribes++];
    *s = (noted_subscribed){.subscription = subscription, .reason = reason};
    (void)snprintf(s->text, sizeof s->text, "%s", text ? text : "");
}
static void note_timer(const marty_sink *sink, int64_t at_ns, void (*call)(void *user), void *user)
{
    probe *p = probe_of(sink);
    size_t i = 0;
    while (i < p->timer_count && (p->timers[i].call != call || p->timers[i].user != user)) {
        i++;
    }
    REQUIRE(i < TIMERS_MAX);
    p->timer_count = i == p->timer_count ? i + 1 : p->timer_count;
    p->timers[i] = (noted_timer){call, user, at_ns};
}
static void note_log(const marty_sink *sink, int level, const char *text)
{
    (void)sink, (void)level, (void)text;
}
static void note_shards(const marty_sink *sink, uint64_t subscription, const uint32_t shards[],
                        size_t count)
{
    (void)sink, (void)subscription, (void)shards, (void)count;
}
static void note_revoked(const marty_sink *sink, uint64_t subscription, const uint32_t shards[],
                         size_t count, int64_t deadline_ns)
{
    (void)sink, (void)subscription, (void)shards, (void)count, (void)deadline_ns;
}
static const marty_sink noting_sink = {.abi = MARTY_BACKEND_ABI,
                                       .size = sizeof(marty_sink),
                                       .env = &test_env,
                                       .state = note_state,
                                       .published = note_published,
                                       .delivered = note_delivered,
                                       .settled = note_settled,
                                       .subscribed = note_subscribed,
                                       .assigned = note_shards,
                                       .revoked = note_revoked,
                                       .timer = note_timer,
                                       .log = note_log};

CHECK__UNUSED static probe *probe_open(const char *url)
{
    probe *p = calloc(1, sizeof *p);
    REQUIRE(p != NULL);
    marty_error why = {0};
    p->sink = noting_sink;
    if (test_backend->open(&p->port, url, &p->sink, &why)) {
        fprintf(stderr, "    %s: %s\n", url, why.text);
        exit(1);
    }
    REQUIRE(test_backend->connect(p->port, &why) == MARTY_OK && p->state == MARTY_STATE_UP);
    p->next = probes;
    probes = p;
    return p;
}

/** Forget what was noted. */
CHECK__UNUSED static void probe_forget(probe *p)
{
    for (size_t i = 0; i < p->deliveries; i++) {
        marty_message_unref(p->delivered[i].message);
    }
    p->deliveries = p->publishes = p->settlings = p->subscribes = 0;
}

CHECK__UNUSED static void probe_close(probe *p)
{
    test_backend->close(p->port, INT64_MAX);
    CHECK_INT(p->state, MARTY_STATE_CLOSED);
    test_backend->free(p->port);
    probe **at = &probes;
    while (*at != p) {
        at = &(*at)->next;
    }
    *at = p->next;
    probe_forget(p);
    free(p);
}

/** Let time pass, ringing what is due at its moment. */
CHECK__UNUSED static void pass_ms(int64_t ms)
{
    int64_t end_ns = test_now_ns + ms * MARTY__NS_PER_MS;
    for (;;) {
        noted_timer *first = NULL;
        for (probe *p = probes; p; p = p->next) {
            for (size_t i = 0; i < p->timer_count; i++) {
                if (p->timers[i].at_ns <= end_ns && (!first || p->timers[i].at_ns < first->at_ns)) {
                    first = &p->timers[i];
                }
            }
        }
        int64_t at_ns = first && first->at_ns > test_now_ns ? first->at_ns : test_now_ns;
        at_ns = first ? at_ns : end_ns;
        test_wall_us += (at_ns - test_now_ns) / 1000;
        test_now_ns = at_ns;
        if (!first) {
            return;
        }
        first->at_ns = INT64_MAX;
        first->call(first->user);
    }
}

/* ---- publishing */
CHECK__UNUSED static marty_message *message_of(const marty_message *template_)
{
    marty_message filled = *template_, *message = NULL;
    marty_error why = {0};
    filled.type = filled.type ? filled.type : "order.created";
    filled.source = filled.source ? filled.source : "/test";
    if (marty__message_new(&message, &filled, NULL, &test_env, NULL, &why)) {
        fprintf(stderr, "    %s\n", why.text);
        exit(1);
    }
    return message;
}

/** Publish one, all of it given; the result, whose text is in why_not of the same index. */
CHECK__UNUSED static marty_published publish(probe *p, marty_outgoing out,
                                             const marty_message *template_)
{
    marty_message *message = message_of(template_);
    marty_error why = {0};
    size_t taken = 0, before = p->publishes;
    out.message = message;
    out.token = ++p->next_token;
    CHECK_INT(test_backend->publish(p->port, &out, 1, &taken, &why), MARTY_OK);
    marty_message_unref(message);
    REQUIRE(taken == 1 && p->publishes == before + 1);
    REQUIRE(p->published[before].token == out.token);
    return p->published[before];
}

/** The common case: kind, channel, id and key. */
CHECK__UNUSED static marty_err say(probe *p, marty_kind kind, const char *name, const char *id,
                                   const char *key)
{
    marty_outgoing out = {.channel = {.kind = kind, .name = name}};
    marty_message message = {.id = id, .key = key};
    return publish(p, out, &message).err;
}

/* ---- subscribing and settling */
CHECK__UNUSED static marty_err subscribe_with(probe *p, uint64_t number, marty_want want)
{
    marty_error why = {0};
    size_t before = p->subscribes;
    marty_err err = test_backend->subscribe(p->port, number, &want, &why);
    if (err) {
        CHECK(why.text[0] != '\0');
        return err;
    }
    REQUIRE(p->subscribes == before + 1 && p->subscribed[before].subscription == number);
    return p->subscribed[before].reason;
}

CHECK__UNUSED static void listen_to(probe *p, uint64_t number, marty_kind kind, const char *name,
                                    const char *group, uint32_t credit)
{
    marty_want want = {.channel = {.kind = kind, .name = name, .group = group}, .credit = credit};
    CHECK_INT(subscribe_with(p, number, want), MARTY_OK);
}

CHECK__UNUSED static marty_err settle(probe *p, const noted_delivery *d, marty_verb verb,
                                      uint32_t delay_ms)
{
    marty_settling how = {
        .subscription = d->subscription, .tag = d->tag, .verb = verb, .delay_ms = delay_ms};
    size_t before = p->settlings;
    test_backend->settle(p->port, &how, 1);
    REQUIRE(p->settlings == before + 1 && p->settled[before].tag == d->tag);
    REQUIRE(p->settled[before].verb == verb);
    return p->settled[before].result;
}

CHECK__UNUSED static void ack_all(probe *p)
{
    for (size_t i = 0; i < p->deliveries; i++) {
        CHECK_INT(settle(p, &p->delivered[i], MARTY_SETTLE_ACK, 0), MARTY_OK);
    }
}

/** What was delivered, as ids with a blank between: "a b c". */
CHECK__UNUSED static const char *heard(const probe *p)
{
    static char text[8][16384];
    static unsigned turn;
    char *out = text[turn++ % 8];
    size_t size = 0;
    out[0] = '\0';
    for (size_t i = 0; i < p->deliveries; i++) {
        size += (size_t)snprintf(out + size, sizeof text[0] - size, "%s%s", i ? " " : "",
                                 p->delivered[i].message->id);
        REQUIRE(size < sizeof text[0]);
    }
    return out;
}

/* ---- topology */
/** The JSON of an answer, or "" with the code in ret_err. */
CHECK__UNUSED static const char *ask(probe *p, const char *verb, marty_want what,
                                     marty_err *ret_err)
{
    static char text[65536];
    marty_message *answer = NULL;
    marty_error why = {0};
    marty_err err = test_backend->topology(p->port, verb, &what, INT64_MAX, &answer, &why);
    text[0] = '\0';
    if (!err) {
        (void)snprintf(text, sizeof text, "%.*s", MARTY_BYTES_ARGS(answer->data));
    } else {
        (void)snprintf(text, sizeof text, "%s", why.text);
    }
    if (ret_err) {
        *ret_err = err;
    } else {
        CHECK_INT(err, MARTY_OK);
    }
    marty_message_unref(answer);
    return text;
}
#endif
