/* SPDX-License-Identifier: Apache-2.0
 * A core made of notes, to try a port on its own: it writes down what the adapter tells, from any
 * thread, and waits for it with a limit. For tests of backends. Whoever includes it has defined
 * test_backend and test_env with the clocks test_monotonic and test_wall, which may be the test's
 * own, and defines test_wait and pass_ms, which let them go on. */
#ifndef MARTY_BACKEND_TEST_PROBE_H
#define MARTY_BACKEND_TEST_PROBE_H
#include "backend/registry.h"
#include "base/clock.h"
#include "base/thread.h"
#include "check.h"
#include "message/message.h"

#define TOOL CHECK__UNUSED static

enum { NOTES_MAX = 8192, TIMERS_MAX = 8 };
#define WITHIN_MS check__patience(20000) /* twice what connecting may take on a slow disk */

typedef struct noted_delivery {
    uint64_t subscription, tag;
    marty_message *message;
    char reply_to[300], position[48];
    uint32_t attempt, shard;
    int64_t lease_until_ns, at_ns;
    size_t raw_size;
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
    char text[300];
} noted_subscribed;

typedef struct noted_timer {
    void (*call)(void *user);
    void *user;
    int64_t at_ns;
} noted_timer;

typedef struct probe { /* one port; counts grow under the lock */
    marty_sink sink;
    marty_port *port;
    marty__mutex lock;
    marty__cond changed;
    marty_state state;
    marty_err reason;
    char state_text[444];
    marty_capabilities granted;
    noted_delivery delivered[NOTES_MAX];
    marty_published published[NOTES_MAX];
    char why_not[NOTES_MAX][300];
    noted_settled settled[NOTES_MAX];
    noted_subscribed subscribed[NOTES_MAX];
    noted_timer timers[TIMERS_MAX];
    size_t deliveries, publishes, settlings, subscribes, states, timer_count;
    bool lends;                    /* a worker, which is whoever calls probe_lend */
    size_t lent;                   /* how often it was asked */
    void (*lent_call)(void *user); /* NULL = nothing is asked */
    void *lent_user;
    uint64_t next_token;
    struct probe *next;
} probe;

static probe *probes; /* that are open */

/* ---- notes */
static probe *probe_of(const marty_sink *sink)
{
    return (probe *)(uintptr_t)sink;
}

static void note_state(const marty_sink *sink, marty_state state, const marty_capabilities *granted,
                       marty_err reason, const char *text)
{
    probe *p = probe_of(sink);
    marty__lock(&p->lock);
    p->state = state;
    p->reason = reason;
    p->states++;
    (void)snprintf(p->state_text, sizeof p->state_text, "%s", text ? text : "");
    if (granted) {
        p->granted = *granted;
    }
    marty__wake_all(&p->changed);
    marty__unlock(&p->lock);
}
static void note_published(const marty_sink *sink, const marty_published results[], size_t count)
{
    probe *p = probe_of(sink);
    marty__lock(&p->lock);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(p->publishes < NOTES_MAX);
        marty_published *note = &p->published[p->publishes];
        *note = results[i];
        note->text = NULL;
        if (note->offset && !note->position[0]) { /* as core does */
            (void)snprintf(note->position, sizeof note->position, "%llu",
                           (unsigned long long)note->offset);
        }
        (void)snprintf(p->why_not[p->publishes], sizeof p->why_not[0], "%s",
                       results[i].text ? results[i].text : "");
        p->publishes++;
    }
    marty__wake_all(&p->changed);
    marty__unlock(&p->lock);
}
static void note_delivered(const marty_sink *sink, const marty_incoming batch[], size_t count)
{
    probe *p = probe_of(sink);
    marty__lock(&p->lock);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(p->deliveries < NOTES_MAX && batch[i].tag);
        noted_delivery *d = &p->delivered[p->deliveries++];
        *d = (noted_delivery){.subscription = batch[i].subscription,
                              .tag = batch[i].tag,
                              .message = batch[i].message,
                              .attempt = batch[i].attempt,
                              .shard = batch[i].shard,
                              .lease_until_ns = batch[i].lease_until_ns,
                              .at_ns = test_monotonic(NULL),
                              .raw_size = batch[i].raw.size};
        (void)snprintf(d->reply_to, sizeof d->reply_to, "%s",
                       batch[i].reply_to ? batch[i].reply_to : "");
        (void)snprintf(d->position, sizeof d->position, "%s",
                       batch[i].position ? batch[i].position : "");
    }
    marty__wake_all(&p->changed);
    marty__unlock(&p->lock);
}
static void note_settled(const marty_sink *sink, uint64_t subscription, marty_verb verb,
                         const uint64_t tags[], size_t count, marty_err result,
                         int64_t lease_until_ns)
{
    probe *p = probe_of(sink);
    marty__lock(&p->lock);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(p->settlings < NOTES_MAX);
        p->settled[p->settlings++] =
            (noted_settled){subscription, tags[i], verb, result, lease_until_ns};
    }
    marty__wake_all(&p->changed);
    marty__unlock(&p->lock);
}
static void note_subscribed(const marty_sink *sink, uint64_t subscription, marty_err reason,
                            const char *text)
{
    probe *p = probe_of(sink);
    marty__lock(&p->lock);
    REQUIRE(p->subscribes < NOTES_MAX);
    noted_subscribed *s = &p->subscribed[p->subscribes++];
    *s = (noted_subscribed){.subscription = subscription, .reason = reason};
    (void)snprintf(s->text, sizeof s->text, "%s", text ? text : "");
    marty__wake_all(&p->changed);
    marty__unlock(&p->lock);
}
static void note_timer(const marty_sink *sink, int64_t at_ns, void (*call)(void *user), void *user)
{
    probe *p = probe_of(sink);
    size_t i = 0;
    marty__lock(&p->lock);
    while (i < p->timer_count && (p->timers[i].call != call || p->timers[i].user != user)) {
        i++;
    }
    REQUIRE(i < TIMERS_MAX);
    p->timer_count = i == p->timer_count ? i + 1 : p->timer_count;
    p->timers[i] = (noted_timer){call, user, at_ns};
    marty__unlock(&p->lock);
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
static bool note_later(const marty_sink *sink, void (*call)(void *user), void *user)
{
    probe *p = probe_of(sink);
    marty__lock(&p->lock);
    bool lends = p->lends;
    p->lent_call = lends ? call : NULL;
    p->lent_user = user;
    p->lent += lends;
    marty__unlock(&p->lock);
    return lends;
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
                                       .log = note_log,
                                       .later = note_later};

/* ---- waiting */
/** Under the lock of a probe: let time go on until it is told something, or a moment; false once
 * it is past until_ns. */
static bool test_wait(probe *p, int64_t until_ns);
/** Let that much time pass. */
TOOL void pass_ms(int64_t ms);
/** The same, until then. */
TOOL void pass_until(int64_t at_ns)
{
    int64_t left_ns = at_ns - test_monotonic(NULL);
    if (left_ns > 0) {
        pass_ms(left_ns / MARTY__NS_PER_MS + 1);
    }
}
/** The condition comes true as time passes. */
#define SOON(condition)                                                                            \
    do {                                                                                           \
        int64_t soon_until = marty__deadline_ns(test_monotonic(NULL), WITHIN_MS);                  \
        while (!(condition) && test_monotonic(NULL) < soon_until) {                                \
            pass_ms(1);                                                                            \
        }                                                                                          \
        CHECK(condition);                                                                          \
    } while (0)

/** Until *count is at least want; false in time. */
TOOL bool probe_wait(probe *p, const size_t *count, size_t want, int64_t within_ms)
{
    int64_t until_ns = marty__deadline_ns(test_monotonic(NULL), within_ms);
    marty__lock(&p->lock);
    while (*count < want && test_wait(p, until_ns)) {
        continue;
    }
    bool there = *count >= want;
    marty__unlock(&p->lock);
    return there;
}

TOOL size_t deliveries_of(probe *p)
{
    marty__lock(&p->lock);
    size_t count = p->deliveries;
    marty__unlock(&p->lock);
    return count;
}

TOOL marty_state state_of(probe *p)
{
    marty__lock(&p->lock);
    marty_state state = p->state;
    marty__unlock(&p->lock);
    return state;
}

TOOL void await(probe *p, size_t deliveries)
{
    CHECK(probe_wait(p, &p->deliveries, deliveries, WITHIN_MS));
    CHECK_INT(p->deliveries, deliveries);
}

TOOL bool await_state(probe *p, marty_state state)
{
    int64_t until_ns = marty__deadline_ns(test_monotonic(NULL), WITHIN_MS);
    marty__lock(&p->lock);
    while (p->state != state && test_wait(p, until_ns)) {
        continue;
    }
    bool there = p->state == state;
    marty__unlock(&p->lock);
    return there;
}

/* ---- opening */
TOOL probe *probe_new(const char *url)
{
    probe *p = calloc(1, sizeof *p);
    marty_error why = {0};
    REQUIRE(p != NULL && marty__mutex_init(&p->lock) && marty__cond_init(&p->changed));
    p->sink = noting_sink;
    if (test_backend->open(&p->port, url, &p->sink, &why)) {
        fprintf(stderr, "    %s: %s\n", url, why.text);
        exit(1);
    }
    p->next = probes;
    probes = p;
    return p;
}

/** Connect and wait for the answer. */
TOOL marty_state probe_connect(probe *p)
{
    marty_error why = {0};
    size_t before = p->states;
    REQUIRE(test_backend->connect(p->port, &why) == MARTY_OK);
    REQUIRE(probe_wait(p, &p->states, before + 1, WITHIN_MS));
    return p->state;
}

TOOL probe *probe_open_url(const char *url)
{
    probe *p = probe_new(url);
    if (probe_connect(p) != MARTY_STATE_UP) {
        fprintf(stderr, "    %s: %s\n", url, p->state_text);
        exit(1);
    }
    return p;
}

/** Forget what was noted. */
TOOL void probe_forget(probe *p)
{
    marty__lock(&p->lock);
    for (size_t i = 0; i < p->deliveries; i++) {
        marty_message_unref(p->delivered[i].message);
    }
    p->deliveries = p->publishes = p->settlings = p->subscribes = 0;
    marty__unlock(&p->lock);
}

TOOL void probe_free(probe *p)
{
    probe **at = &probes;
    test_backend->free(p->port);
    while (*at != p) {
        at = &(*at)->next;
    }
    *at = p->next;
    probe_forget(p);
    marty__mutex_free(&p->lock);
    marty__cond_free(&p->changed);
    free(p);
}

TOOL void probe_close(probe *p)
{
    test_backend->close(p->port, marty__deadline_ns(test_monotonic(NULL), WITHIN_MS));
    CHECK(await_state(p, MARTY_STATE_CLOSED));
    probe_free(p);
}

#endif
