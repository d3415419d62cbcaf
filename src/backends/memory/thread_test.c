/* SPDX-License-Identifier: Apache-2.0
 * The memory: port on many threads at once: publishers, consumers that retry and give back, ports
 * that come and go. Nothing is lost, each group handles each message once, a key is at one port at
 * a time, credit holds, and nothing is told after CLOSED. Ops of one port come one at a time;
 * beside them two consumers of the same port settle, and a worker that is lent comes, as core does
 * it. */
#include "backend/registry.h"
#include "base/clock.h"
#include "base/thread.h"

#include "check.h"

enum { QUEUE_MAX = 512, KEYS = 13, PER_KEY = 800, GROUPS = 2, CREDIT = 32, LIMIT_MS = 50000 };

typedef struct timer_note {
    void (*call)(void *user);
    void *user;
    int64_t at_ns;
} timer_note;

typedef struct actor { /* a port and its core */
    marty_sink sink;
    marty_port *port;
    marty__mutex ops, notes; /* one op at a time; what was told */
    marty_incoming queue[QUEUE_MAX];
    size_t queued;
    timer_note timers[4];
    int64_t credit; /* granted and not delivered */
    unsigned answers, group;
    bool closed, told_after_close;
    atomic_bool stop, no_worker;
    atomic_uint lent;                /* how often the worker was there */
    pthread_t thread, worker, other; /* other: the second consumer */
    bool consumes;
    void (*lent_call)(void *user); /* NULL = nothing is asked of the worker */
    void *lent_user;
    marty__cond asked; /* of notes */
} actor;

static atomic_uint handled[GROUPS][KEYS][PER_KEY]; /* how often acked */
static atomic_uint holders[GROUPS][KEYS];          /* deliveries of a key being handled */
static atomic_uint holder_of[GROUPS][KEYS];        /* by which actor */
static atomic_uint done;
static unsigned worked; /* how often workers were lent */

static bool is_done_or_above(unsigned count)
{
    unsigned now = atomic_load(&done);
    return now > count || now == GROUPS * KEYS * PER_KEY;
}

static actor *actor_of(const marty_sink *sink)
{
    return (actor *)(uintptr_t)sink;
}

static void told(actor *self)
{
    self->told_after_close = self->told_after_close || self->closed;
}

static void on_state(const marty_sink *sink, marty_state state, const marty_capabilities *granted,
                     marty_err reason, const char *text)
{
    (void)granted, (void)reason, (void)text;
    actor *self = actor_of(sink);
    marty__lock(&self->notes);
    told(self);
    self->closed = state == MARTY_STATE_CLOSED;
    marty__unlock(&self->notes);
}
static void on_published(const marty_sink *sink, const marty_published results[], size_t count)
{
    actor *self = actor_of(sink);
    marty__lock(&self->notes);
    for (size_t i = 0; i < count; i++) {
        CHECK(results[i].err == MARTY_OK);
    }
    self->answers += (unsigned)count;
    marty__unlock(&self->notes);
}
static void on_delivered(const marty_sink *sink, const marty_incoming batch[], size_t count)
{
    actor *self = actor_of(sink);
    marty__lock(&self->notes);
    told(self);
    self->credit -= (int64_t)count;
    REQUIRE(self->credit >= 0 && self->queued + count <= QUEUE_MAX);
    memcpy(self->queue + self->queued, batch, count * sizeof *batch);
    self->queued += count;
    marty__unlock(&self->notes);
}
static void on_settled(const marty_sink *sink, uint64_t subscription, marty_verb verb,
                       const uint64_t tags[], size_t count, marty_err result,
                       int64_t lease_until_ns)
{
    (void)sink, (void)subscription, (void)verb, (void)tags, (void)count, (void)lease_until_ns;
    CHECK(result == MARTY_OK);
}
static void on_subscribed(const marty_sink *sink, uint64_t subscription, marty_err reason,
                          const char *text)
{
    (void)subscription, (void)reason, (void)text;
    marty__lock(&actor_of(sink)->notes);
    told(actor_of(sink));
    marty__unlock(&actor_of(sink)->notes);
}
static void on_timer(const marty_sink *sink, int64_t at_ns, void (*call)(void *user), void *user)
{
    actor *self = actor_of(sink);
    marty__lock(&self->notes);
    size_t i = 0;
    while (self->timers[i].call && self->timers[i].call != call) {
        i++;
    }
    self->timers[i] = (timer_note){call, user, at_ns};
    marty__unlock(&self->notes);
}
static void on_log(const marty_sink *sink, int level, const char *text)
{
    (void)sink, (void)level, (void)text;
}

static bool on_later(const marty_sink *sink, void (*call)(void *user), void *user)
{
    actor *self = actor_of(sink);
    marty__lock(&self->notes);
    self->lent_call = call;
    self->lent_user = user;
    marty__wake_all(&self->asked);
    marty__unlock(&self->notes);
    return true;
}

/* Beside the ops, and until the port is freed. */
static void *work(void *user)
{
    actor *self = user;
    marty__lock(&self->notes);
    while (!atomic_load(&self->no_worker)) {
        void (*call)(void *user) = self->lent_call;
        self->lent_call = NULL;
        if (call) {
            marty__unlock(&self->notes);
            call(self->lent_user);
            atomic_fetch_add(&self->lent, 1);
            marty__lock(&self->notes);
        } else {
            (void)marty__wait(&self->asked, &self->notes, INT64_MAX);
        }
    }
    marty__unlock(&self->notes);
    return NULL;
}

static actor *actor_new(unsigned group, const char *url)
{
    actor *self = calloc(1, sizeof *self);
    REQUIRE(self && marty__mutex_init(&self->ops) && marty__mutex_init(&self->notes) &&
            marty__cond_init(&self->asked));
    REQUIRE(marty__thread_start(&self->worker, "worker", work, self));
    self->group = group;
    self->sink = (marty_sink){.abi = MARTY_BACKEND_ABI,
                              .size = sizeof(marty_sink),
                              .env = marty__env_real(),
                              .state = on_state,
                              .published = on_published,
                              .delivered = on_delivered,
                              .settled = on_settled,
                              .subscribed = on_subscribed,
                              .timer = on_timer,
                              .log = on_log,
                              .later = on_later};
    marty_error why = {0};
    REQUIRE(marty__memory_backend.open(&self->port, url, &self->sink, &why) == MARTY_OK);
    REQUIRE(marty__memory_backend.connect(self->port, &why) == MARTY_OK);
    return self;
}

static bool is_closed(actor *self)
{
    marty__lock(&self->notes);
    bool closed = self->closed;
    marty__unlock(&self->notes);
    return closed;
}

static void actor_free(actor *self)
{
    marty__lock(&self->ops);
    marty__memory_backend.close(self->port, INT64_MAX);
    CHECK_SOON(is_closed(self), 5000);
    marty__lock(&self->notes);
    atomic_store(&self->no_worker, true);
    marty__wake_all(&self->asked);
    marty__unlock(&self->notes);
    CHECK(pthread_join(self->worker, NULL) == 0);
    marty__memory_backend.free(self->port);
    marty__unlock(&self->ops);
    CHECK(!self->told_after_close);
    for (size_t i = 0; i < self->queued; i++) {
        marty_message_unref(self->queue[i].message);
    }
    worked += atomic_load(&self->lent);
    marty__cond_free(&self->asked);
    marty__mutex_free(&self->ops);
    marty__mutex_free(&self->notes);
    free(self);
}

static void subscribe(actor *self)
{
    static const char *const names[GROUPS] = {"g0", "g1"};
    marty_error why = {0};
    marty_want want = {.channel = {.kind = MARTY_KIND_TOPIC,
                                   .order = MARTY_ORDER_KEY,
                                   .name = "events.t",
                                   .group = names[self->group]},
                       .start = {.from = MARTY_FROM_EARLIEST},
                       .credit = CREDIT};
    self->credit = CREDIT;
    marty__lock(&self->ops);
    CHECK_INT(marty__memory_backend.subscribe(self->port, 1, &want, &why), MARTY_OK);
    marty__unlock(&self->ops);
}

static void ring_timers(actor *self)
{
    int64_t now_ns = marty__monotonic_ns();
    for (size_t i = 0; i < 4; i++) {
        marty__lock(&self->notes);
        timer_note due = self->timers[i];
        bool ring = due.call && due.at_ns <= now_ns;
        if (ring) {
            self->timers[i].at_ns = INT64_MAX;
        }
        marty__unlock(&self->notes);
        if (ring) {
            marty__lock(&self->ops);
            due.call(due.user);
            marty__unlock(&self->ops);
        }
    }
}

/* Handle one, with notes held, as its other consumer has some of the same key: what an older one of
 * its key was given back goes back too. */
static marty_settling handle(actor *self, const marty_incoming *in, unsigned *seed)
{
    unsigned key = 0, number = 0, me = (unsigned)((uintptr_t)self >> 4);
    marty_settling how = {.subscription = 1, .tag = in->tag, .verb = MARTY_SETTLE_ACK};
    CHECK(sscanf(in->message->id, "%u-%u", &key, &number) == 2);
    if (atomic_fetch_add(&holders[self->group][key], 1)) {
        CHECK(atomic_load(&holder_of[self->group][key]) == me);
    } else {
        atomic_store(&holder_of[self->group][key], me);
    }
    bool turn = number == 0 || atomic_load(&handled[self->group][key][number - 1]);
    *seed = *seed * 1664525 + 1013904223;
    if (!turn) {
        how.verb = MARTY_SETTLE_GIVE_BACK;
    } else if (*seed >> 29 == 0) {
        how.verb = *seed >> 28 & 1 ? MARTY_SETTLE_RETRY : MARTY_SETTLE_GIVE_BACK;
        how.delay_ms = *seed >> 27 & 1;
    } else {
        CHECK(atomic_fetch_add(&handled[self->group][key][number], 1) == 0);
        atomic_fetch_add(&done, 1);
    }
    return how;
}

/* Before they are settled: then another may have the key. */
static void let_go(const actor *self, const marty_incoming taken[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned key = (unsigned)strtoul(taken[i].message->id, NULL, 10);
        atomic_fetch_sub(&holders[self->group][key], 1);
        marty_message_unref(taken[i].message);
    }
}

/* Beside the ops; what it frees is granted by one. */
static void settle(actor *self, const marty_settling settlings[], size_t count)
{
    if (!count) { /* granting 0 would take back what is granted */
        return;
    }
    marty__memory_backend.settle(self->port, settlings, count);
    marty__lock(&self->ops);
    marty__lock(&self->notes);
    self->credit += (int64_t)count;
    marty__unlock(&self->notes);
    marty__memory_backend.grant(self->port, 1, (uint32_t)count);
    marty__unlock(&self->ops);
}

static void *consume(void *user)
{
    static atomic_uint seeds;
    actor *self = user;
    unsigned seed = atomic_fetch_add(&seeds, 7919);
    while (!atomic_load(&self->stop)) {
        marty_incoming taken[QUEUE_MAX];
        marty_settling settlings[QUEUE_MAX];
        marty__lock(&self->notes);
        size_t count = self->queued;
        memcpy(taken, self->queue, count * sizeof *taken);
        self->queued = 0;
        for (size_t i = 0; i < count; i++) {
            settlings[i] = handle(self, &taken[i], &seed);
        }
        marty__unlock(&self->notes);
        let_go(self, taken, count);
        settle(self, settlings, count);
        ring_timers(self);
        if (!count) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void publish_one(actor *self, unsigned key, unsigned number)
{
    char id[16], key_text[8];
    marty_message *message = NULL;
    marty_error why = {0};
    size_t taken = 0;
    (void)snprintf(id, sizeof id, "%u-%u", key, number);
    (void)snprintf(key_text, sizeof key_text, "k%u", key);
    marty_message template_ = {.type = "t", .id = id, .key = key_text};
    REQUIRE(marty_message_new(&message, &template_, NULL, &why) == MARTY_OK);
    marty_outgoing out = {
        .token = 1,
        .channel = {.kind = MARTY_KIND_TOPIC, .order = MARTY_ORDER_KEY, .name = "events.t"},
        .message = message};
    marty__lock(&self->ops);
    CHECK_INT(marty__memory_backend.publish(self->port, &out, 1, &taken, &why), MARTY_OK);
    marty__unlock(&self->ops);
    marty_message_unref(message);
}

static void *publish_half(void *user)
{
    actor *self = user;
    for (unsigned number = 0; number < PER_KEY; number++) {
        for (unsigned key = self->group; key < KEYS; key += 2) {
            publish_one(self, key, number);
        }
        ring_timers(self);
    }
    while (!atomic_load(&self->stop)) { /* it keeps the broker's clock */
        ring_timers(self);
        (void)sched_yield();
    }
    CHECK(self->answers > 0);
    return NULL;
}

static void start(actor *self, void *(*run)(void *))
{
    REQUIRE(marty__thread_start(&self->thread, "test", run, self));
}

static void stop(actor *self)
{
    atomic_store(&self->stop, true);
    CHECK(pthread_join(self->thread, NULL) == 0);
    CHECK(!self->consumes || pthread_join(self->other, NULL) == 0);
    actor_free(self);
}

/* Every other one has leases, whose deliveries wait for no worker. */
static actor *consumer_new(unsigned which)
{
    static const char *const urls[] = {"memory:threads", "memory:threads?lease=10m"};
    static unsigned turn;
    actor *self = actor_new(which % GROUPS, urls[turn++ % 2]);
    subscribe(self);
    start(self, consume);
    self->consumes = true;
    REQUIRE(marty__thread_start(&self->other, "other", consume, self));
    return self;
}

int main(void)
{
    actor *publishers[2] = {actor_new(0, "memory:threads"), actor_new(1, "memory:threads")};
    actor *consumers[GROUPS * 2];
    int64_t until_ms = check_now_ms() + check__patience(LIMIT_MS);
    for (unsigned i = 0; i < GROUPS * 2; i++) {
        consumers[i] = consumer_new(i);
    }
    start(publishers[0], publish_half);
    start(publishers[1], publish_half);
    for (unsigned turn = 0; atomic_load(&done) < GROUPS * KEYS * PER_KEY; turn++) {
        REQUIRE(check_now_ms() < until_ms);
        unsigned which = turn % (GROUPS * 2);
        unsigned before = atomic_load(&done);
        CHECK_SOON(is_done_or_above(before + 500), LIMIT_MS);
        stop(consumers[which]); /* it goes, in the midst of it, and another one comes */
        consumers[which] = consumer_new(which);
    }
    for (unsigned i = 0; i < GROUPS * 2; i++) {
        stop(consumers[i]);
    }
    stop(publishers[0]);
    stop(publishers[1]);
    CHECK_INT(atomic_load(&done), GROUPS * KEYS * PER_KEY);
    CHECK(worked > 0);
    return check_result();
}
