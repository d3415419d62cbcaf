/* SPDX-License-Identifier: Apache-2.0
 * Torture of the sqlite: port: one run of everything it does, again and again, in which the n-th
 * allocation or I/O call fails, once or from then on. After each the faults are taken away, and a
 * fresh port must find every message that was confirmed and not settled, and none that was. No call
 * may crash, hang, leak (under the address sanitizer) or leave a token unanswered.
 *     sqlite_torture KIND SECONDS (0 = all points); faults.h has the kinds */
#include "backends/sqlite/test_file.h"
#include "faults.h"

#include <stdlib.h>

enum { MESSAGES = 10, SETTLES_MAX = 200, ANSWER_MS = 20000, SOON_MS = 250 };

/* ---- one run */
typedef struct run { /* asked: settlings whose answers are read once all is closed, one of each
                        delivery seen */
    probe *p;
    bool stored[MESSAGES], maybe[MESSAGES], settled[MESSAGES], doubtful[MESSAGES];
    struct {
        uint64_t subscription, tag;
        marty_verb verb;
        int number;
    } asked[SETTLES_MAX];
    size_t asked_count, subscribes, seen;
} run;

static void drop_notes(probe *p)
{
    faults_exempt(true);
    probe_forget(p);
    faults_exempt(false);
}

/* Up, after some tries: with faults that last it stays down. */
static bool come_up(probe *p)
{
    marty_error why = {0};
    for (int i = 0; i < 3 && p->state != MARTY_STATE_UP; i++) {
        size_t before = p->states;
        if (test_backend->connect(p->port, &why) == MARTY_OK) {
            REQUIRE(probe_wait(p, &p->states, before + 1, ANSWER_MS));
        }
    }
    return p->state == MARTY_STATE_UP;
}

static void subscribe(run *r, uint64_t number, marty_kind kind, const char *name)
{
    probe *p = r->p;
    marty_error why = {0};
    size_t before = p->subscribes;
    marty_want want = {.channel = {.kind = kind, .name = name, .group = "g"}, .credit = 100};
    want.channel.group = kind == MARTY_KIND_REPLY || kind == MARTY_KIND_BROADCAST ? NULL : "g";
    if (test_backend->subscribe(p->port, number, &want, &why) == MARTY_OK) {
        r->subscribes++;
        (void)probe_wait(p, &p->subscribes, before + 1, SOON_MS);
    }
}

static void subscribe_all(run *r)
{
    subscribe(r, 1, MARTY_KIND_QUEUE, "commands.q");
    subscribe(r, 2, MARTY_KIND_STREAM, "streams.s");
    subscribe(r, 3, MARTY_KIND_TOPIC, "events.*");
    subscribe(r, 4, MARTY_KIND_REQUEST, "queries.q");
    subscribe(r, 5, MARTY_KIND_REPLY, "replies.q.1");
    subscribe(r, 6, MARTY_KIND_BROADCAST, "broadcast.b");
}

/* Its code: OK, in doubt, or any other = not stored. */
static marty_err try_publish(probe *p, marty_outgoing out, const marty_message *template_)
{
    marty_error why = {0};
    size_t taken = 0, before = p->publishes;
    faults_exempt(true);
    marty_message *message = message_of(template_);
    faults_exempt(false);
    out.message = message;
    out.token = ++p->next_token;
    bool leads =
        out.token % 2 && test_backend->lead(p->port, INT64_MAX); /* some commits are made here */
    marty_err err = test_backend->publish(p->port, &out, 1, &taken, &why);
    marty_message_unref(message);
    if (leads) {
        test_backend->serve(p->port);
    }
    if (err || !taken) {
        return err ? err : MARTY_E_FULL;
    }
    REQUIRE(probe_wait(p, &p->publishes, before + 1, ANSWER_MS));
    REQUIRE(p->published[before].token == out.token);
    return p->published[before].err;
}

static void publish_all(run *r)
{
    probe *p = r->p;
    int64_t deadline_ns = marty__monotonic_ns() + SOON_MS * (int64_t)MARTY__NS_PER_MS;
    marty_outgoing queue = {.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"},
                            .deadline_ns = deadline_ns};
    for (int i = 0; i < MESSAGES; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "m%d", i);
        marty_message message = {.id = id, .priority = i % 3};
        queue.deliver_at_us = i == 7 ? marty__wall_us() + 1000 : 0;
        marty_err err = try_publish(p, queue, &message);
        r->stored[i] = err == MARTY_OK;
        r->maybe[i] = err == MARTY_E_MAYBE_STORED;
    }
    const struct {
        marty_kind kind;
        const char *name, *reply_to;
    } others[] = {
        {MARTY_KIND_STREAM, "streams.s", NULL},  {MARTY_KIND_TOPIC, "events.order", NULL},
        {MARTY_KIND_TOPIC, "events.user", NULL}, {MARTY_KIND_REQUEST, "queries.q", "replies.q.1"},
        {MARTY_KIND_REPLY, "replies.q.1", NULL}, {MARTY_KIND_BROADCAST, "broadcast.b", NULL}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        marty_message message = {.key = "k"};
        marty_outgoing out = {.channel = {.kind = others[i].kind, .name = others[i].name},
                              .reply_to = others[i].reply_to,
                              .deadline_ns = deadline_ns};
        (void)try_publish(p, out, &message);
    }
}

static int number_of(const noted_delivery *d)
{
    return d->subscription == 1 && d->message && d->message->id[0] == 'm'
               ? (int)strtol(d->message->id + 1, NULL, 10)
               : -1;
}

/* Ack, retry, give back, reject, extend by turns. */
static void settle_one(run *r, const noted_delivery *d, size_t turn)
{
    static const marty_verb verbs[] = {MARTY_SETTLE_ACK, MARTY_SETTLE_RETRY, MARTY_SETTLE_REJECT,
                                       MARTY_SETTLE_GIVE_BACK, MARTY_SETTLE_EXTEND};
    probe *p = r->p;
    size_t before = p->settlings;
    marty_message letter = {.id = "dead"};
    faults_exempt(true);
    marty_message *message = message_of(&letter);
    faults_exempt(false);
    marty_outgoing dead = {.channel = {.kind = MARTY_KIND_DEAD, .name = "dead.commands.q"},
                           .message = message};
    marty_settling how = {.subscription = d->subscription,
                          .tag = d->tag,
                          .verb = verbs[turn % 5],
                          .dead = turn % 5 == 2 ? &dead : NULL};
    test_backend->settle(p->port, &how, 1);
    marty_message_unref(message);
    r->asked[r->asked_count].subscription = d->subscription;
    r->asked[r->asked_count].tag = d->tag;
    r->asked[r->asked_count].verb = how.verb;
    r->asked[r->asked_count++].number = number_of(d);
    (void)probe_wait(p, &p->settlings, before + 1, SOON_MS);
}

/* Each was answered, once; what that says of our messages. */
static void read_settlings(run *r)
{
    probe *p = r->p;
    CHECK_INT(p->settlings, r->asked_count);
    for (size_t i = 0; i < r->asked_count; i++) {
        size_t answers = 0;
        bool done = false;
        for (size_t k = 0; k < p->settlings; k++) {
            if (p->settled[k].subscription == r->asked[i].subscription &&
                p->settled[k].tag == r->asked[i].tag && p->settled[k].verb == r->asked[i].verb) {
                answers++;
                done = p->settled[k].result == MARTY_OK;
            }
        }
        CHECK_INT(answers, 1);
        bool last = r->asked[i].verb == MARTY_SETTLE_ACK || r->asked[i].verb == MARTY_SETTLE_REJECT;
        if (last && r->asked[i].number >= 0) {
            r->settled[r->asked[i].number] = r->settled[r->asked[i].number] || done;
            r->doubtful[r->asked[i].number] = r->doubtful[r->asked[i].number] || !done;
        }
    }
}

static void ask_all(probe *p)
{
    static const char *const verbs[] = {"list", "inspect", "ensure", "browse", "remove"};
    marty_want what = {.channel = {.kind = MARTY_KIND_DEAD, .name = "dead.commands.q"}};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        marty_error why = {0};
        marty_message *answer = NULL;
        int64_t until_ns = marty__deadline_ns(marty__monotonic_ns(), SOON_MS);
        what.channel.name = i == 4 ? "events.user" : "dead.commands.q";
        what.reset = i == 4;
        if (test_backend->topology(p->port, verbs[i], &what, until_ns, &answer, &why) == MARTY_OK) {
            marty_message_unref(answer);
        }
    }
}

/* What has come since the last time: nothing is settled twice. */
static void settle_new(run *r)
{
    size_t count = deliveries_of(r->p);
    for (; r->seen < count && r->asked_count < SETTLES_MAX; r->seen++) {
        settle_one(r, &r->p->delivered[r->seen], r->seen);
    }
}

static void use(run *r)
{
    subscribe_all(r);
    publish_all(r);
    (void)probe_wait(r->p, &r->p->deliveries, 8, 20);
    settle_new(r);
    ask_all(r->p);
    settle_new(r);
    test_backend->unsubscribe(r->p->port, 3);
}

static long one_run(const char *url, run *r, long at, bool for_ever)
{
    marty_error why = {0};
    faults_exempt(true);
    probe *p = calloc(1, sizeof *p);
    REQUIRE(p && marty__mutex_init(&p->lock) && marty__cond_init(&p->changed));
    p->sink = noting_sink;
    faults_exempt(false);
    r->p = p;
    faults_arm(at, for_ever);
    if (test_backend->open(&p->port, url, &p->sink, &why) == MARTY_OK) {
        if (come_up(p)) {
            use(r);
        }
        if (p->state == MARTY_STATE_DOWN && come_up(p)) {
            subscribe_all(r);
        }
        test_backend->close(p->port, marty__deadline_ns(marty__monotonic_ns(), 1000));
        REQUIRE(await_state(p, MARTY_STATE_CLOSED));
        test_backend->free(p->port);
    }
    long points = faults_disarm();
    read_settlings(r);
    CHECK(p->subscribes >= r->subscribes);
    drop_notes(p);
    marty__mutex_free(&p->lock);
    marty__cond_free(&p->changed);
    free(p);
    return points;
}

/* ---- what must hold afterwards */
static void verify(const char *url, const run *r, const char *what)
{
    size_t wanted = 0, times[MESSAGES] = {0};
    probe *p = probe_new(url);
    if (!CHECK(probe_connect(p) == MARTY_STATE_UP)) {
        fprintf(stderr, "    after %s: %s\n", what, p->state_text);
        exit(1);
    }
    listen_to(p, 1, MARTY_KIND_QUEUE, "commands.q", "g", 100);
    for (int i = 0; i < MESSAGES; i++) {
        wanted += r->stored[i] && !r->settled[i] && !r->doubtful[i];
    }
    (void)probe_wait(p, &p->deliveries, wanted, WITHIN_MS);
    barrier(p);
    for (size_t i = 0; i < deliveries_of(p); i++) {
        int number = number_of(&p->delivered[i]);
        if (number >= 0 && number < MESSAGES) {
            times[number]++;
        }
    }
    for (int i = 0; i < MESSAGES; i++) {
        bool must = r->stored[i] && !r->settled[i] && !r->doubtful[i];
        bool may = (r->stored[i] || r->maybe[i]) && !r->settled[i];
        if (!CHECK(must ? times[i] == 1 : times[i] <= (may ? 1u : 0u))) {
            fprintf(stderr,
                    "    after %s: m%d came %zu times; stored %d maybe %d settled %d in doubt %d\n",
                    what, i, times[i], r->stored[i], r->maybe[i], r->settled[i], r->doubtful[i]);
            exit(1);
        }
    }
    probe_close(p);
}

static void remove_files(const char *path)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-marty"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        char name[200];
        (void)snprintf(name, sizeof name, "%s%s", path, ends[i]);
        (void)unlink(name);
    }
}

/* The run with a fault at one point; how many points it had. */
static long torture(const char *kind, long at, bool for_ever)
{
    char url[200];
    run r = {.p = NULL};
    bool disk = strncmp(kind, "disk", 4) == 0;
    (void)snprintf(url, sizeof url, "sqlite:%s?lease=5s%s", test_file("torture.db"),
                   disk ? "" : "&sync=off");
    remove_files(test_file("torture.db"));
    long points = one_run(url, &r, at, for_ever);
    verify(url, &r, faults_name(kind, at, for_ever));
    return points;
}

int main(int argc, char **argv)
{
    int result = faults_main(argc, argv, torture);
    test_folder_remove();
    return result;
}
