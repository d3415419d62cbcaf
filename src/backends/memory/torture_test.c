/* SPDX-License-Identifier: Apache-2.0
 * Every allocation of the memory: port fails in turn, once, or from then on until the end of the
 * storm. Nothing crashes or leaks; an op that fails says NO_MEMORY; what was answered OK is there
 * when the storm is over, and what was not is not. */
#include "base/alloc.h"
#include "test_port.h"
#include "tests/storm.h"

enum { MESSAGES = 12 };

static void expect_fine(marty_err err)
{
    CHECK(err == MARTY_OK || (err == MARTY_E_NO_MEMORY && storm_failed));
}

typedef struct stored {
    bool topic[MESSAGES], queue[MESSAGES], scheduled[MESSAGES];
} stored;

static marty_message *messages[MESSAGES]; /* made before the storm */

static marty_err say_one(probe *p, marty_kind kind, marty_order order, const char *name,
                         int64_t deliver_at_us, unsigned number)
{
    marty_outgoing out = {.token = ++p->next_token,
                          .channel = {.kind = kind, .order = order, .name = name},
                          .message = messages[number],
                          .deliver_at_us = deliver_at_us};
    marty_error why = {0};
    size_t taken = 0, before = p->publishes;
    CHECK_INT(test_backend->publish(p->port, &out, 1, &taken, &why), MARTY_OK);
    REQUIRE(taken == 1 && p->publishes == before + 1);
    expect_fine(p->published[before].err);
    return p->published[before].err;
}

static bool listen_one(probe *p, uint64_t number, marty_kind kind, marty_order order,
                       const char *name, uint32_t credit)
{
    marty_want want = {.channel = {.kind = kind, .order = order, .name = name, .group = "g"},
                       .credit = credit};
    marty_error why = {0};
    marty_err err = test_backend->subscribe(p->port, number, &want, &why);
    expect_fine(err);
    return err == MARTY_OK;
}

static bool listen_wild(probe *p, uint64_t number, const char *name, uint32_t credit)
{
    marty_want want = {.channel = {.kind = MARTY_KIND_TOPIC, .name = name, .group = "wild"},
                       .credit = credit};
    marty_error why = {0};
    marty_err err = test_backend->subscribe(p->port, number, &want, &why);
    expect_fine(err);
    return err == MARTY_OK;
}

static void ask_one(probe *p)
{
    marty_outgoing out = {.token = ++p->next_token,
                          .channel = {.kind = MARTY_KIND_REQUEST, .name = "queries.u"},
                          .message = messages[0],
                          .reply_to = "replies.a.1"};
    marty_error why = {0};
    size_t taken = 0;
    bool handler = listen_one(p, 5, MARTY_KIND_REQUEST, MARTY_ORDER_DEFAULT, "queries.u", 4);
    (void)listen_one(p, 6, MARTY_KIND_BROADCAST, MARTY_ORDER_DEFAULT, "broadcast.b", 4);
    CHECK_INT(test_backend->publish(p->port, &out, 1, &taken, &why), MARTY_OK);
    marty_err err = p->published[p->publishes - 1].err;
    CHECK(err == MARTY_OK || err == MARTY_E_NO_MEMORY || (err == MARTY_E_NO_RESPONDER && !handler));
}

static void look(probe *p, const char *verb, marty_kind kind, const char *name)
{
    marty_want what = {.channel = {.kind = kind, .name = name}, .credit = 10};
    marty_message *answer = NULL;
    marty_error why = {0};
    marty_err err = test_backend->topology(p->port, verb, &what, INT64_MAX, &answer, &why);
    CHECK(err == MARTY_E_NOT_FOUND || err == MARTY_OK || err == MARTY_E_NO_MEMORY);
    marty_message_unref(answer);
}

static void reject_one(probe *p, const noted_delivery *d)
{
    marty_outgoing dead = {.channel = {.kind = MARTY_KIND_DEAD, .name = "dead.commands.q"},
                           .message = d->message};
    marty_settling how = {
        .subscription = d->subscription, .tag = d->tag, .verb = MARTY_SETTLE_REJECT, .dead = &dead};
    test_backend->settle(p->port, &how, 1);
    expect_fine(p->settled[p->settlings - 1].result);
    if (p->settled[p->settlings - 1].result) { /* not stored: then it is still ours */
        CHECK_INT(settle(p, d, MARTY_SETTLE_ACK, 0), MARTY_OK);
    }
}

static void publish_all(probe *p, stored *ok)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        ok->topic[i] = !say_one(p, MARTY_KIND_TOPIC, MARTY_ORDER_KEY, "events.t", 0, i);
        ok->queue[i] = !say_one(p, MARTY_KIND_QUEUE, MARTY_ORDER_DEFAULT, "commands.q", 0, i);
        ok->scheduled[i] = !say_one(p, MARTY_KIND_STREAM, MARTY_ORDER_DEFAULT, "streams.s",
                                    test_wall_us + 1000000, i);
    }
}

/* The part in which allocations fail. */
static void storm_over(probe *p, stored *ok)
{
    bool topic = listen_one(p, 1, MARTY_KIND_TOPIC, MARTY_ORDER_KEY, "events.t", 4);
    bool queue = listen_one(p, 2, MARTY_KIND_QUEUE, MARTY_ORDER_DEFAULT, "commands.q", 4);
    bool stream = listen_one(p, 3, MARTY_KIND_STREAM, MARTY_ORDER_DEFAULT, "streams.s", 4);
    (void)listen_wild(p, 4, "events.>", 3);
    publish_all(p, ok);
    (void)say_one(p, MARTY_KIND_BROADCAST, MARTY_ORDER_DEFAULT, "broadcast.b", 0, 0);
    ask_one(p);
    for (size_t i = 0; i < p->deliveries; i++) {
        const noted_delivery d = p->delivered[i];
        if (i == 1 && d.subscription == 2) {
            reject_one(p, &d);
            ok->queue[strtoul(d.message->id + 1, NULL, 10)] = false;
        } else if (d.subscription <= 3 && p->settlings < 20) {
            CHECK_INT(
                settle(p, &d, i % 2 ? MARTY_SETTLE_RETRY : MARTY_SETTLE_GIVE_BACK, i % 3 ? 0 : 5),
                MARTY_OK);
        }
    }
    look(p, "inspect", MARTY_KIND_TOPIC, "events.t");
    look(p, "list", MARTY_KIND_TOPIC, NULL);
    look(p, "browse", MARTY_KIND_DEAD, "dead.commands.q");
    look(p, "ensure", MARTY_KIND_TOPIC, "events.new");
    pass_ms(8);
    storm = false;
    CHECK(topic || listen_one(p, 1, MARTY_KIND_TOPIC, MARTY_ORDER_KEY, "events.t", 4));
    CHECK(queue || listen_one(p, 2, MARTY_KIND_QUEUE, MARTY_ORDER_DEFAULT, "commands.q", 4));
    CHECK(stream || listen_one(p, 3, MARTY_KIND_STREAM, MARTY_ORDER_DEFAULT, "streams.s", 4));
    if (!topic) { /* there was no group yet: nothing was for it */
        memset(ok->topic, 0, sizeof ok->topic);
    }
}

static void expect_heard(const probe *p, uint64_t subscription, const bool ok[MESSAGES])
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        bool heard_it = false;
        for (size_t d = 0; d < p->deliveries && !heard_it; d++) {
            heard_it = p->delivered[d].subscription == subscription &&
                       strcmp(p->delivered[d].message->id, messages[i]->id) == 0;
        }
        CHECK_INT(heard_it, ok[i]);
    }
}

static void calm(probe *p, const stored *ok)
{
    probe_forget(p);
    for (uint64_t number = 1; number <= 6; number++) { /* all over again, and nothing is missing */
        test_backend->unsubscribe(p->port, number);
    }
    CHECK(listen_one(p, 1, MARTY_KIND_TOPIC, MARTY_ORDER_KEY, "events.t", 99));
    CHECK(listen_one(p, 2, MARTY_KIND_QUEUE, MARTY_ORDER_DEFAULT, "commands.q", 99));
    CHECK(listen_one(p, 3, MARTY_KIND_STREAM, MARTY_ORDER_DEFAULT, "streams.s", 99));
    pass_ms(3000);
    expect_heard(p, 1, ok->topic);
    expect_heard(p, 2, ok->queue);
    expect_heard(p, 3, ok->scheduled);
    ack_all(p);
}

static probe *open_in_storm(void)
{
    probe *p = calloc(1, sizeof *p);
    marty_error why = {0};
    p->sink = noting_sink;
    marty_err err = test_backend->open(&p->port, "memory:?lease=1h", &p->sink, &why);
    if (err) {
        expect_fine(err);
        free(p);
        storm = false;
        return NULL;
    }
    CHECK_INT(test_backend->connect(p->port, &why), MARTY_OK);
    p->next = probes;
    probes = p;
    return p;
}

/* False once the storm is over before it began. */
static bool round_of(unsigned nth, bool ever)
{
    stored ok = {0};
    storm_begin(nth, ever);
    probe *p = open_in_storm();
    if (p) {
        storm_over(p, &ok);
        calm(p, &ok);
        probe_close(p);
    }
    storm = false;
    return storm_failed;
}

int main(void)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        char id[8], key[8];
        (void)snprintf(id, sizeof id, "m%u", i);
        (void)snprintf(key, sizeof key, "k%u", i % 5);
        marty_message message = {.id = id, .key = key, .priority = (int32_t)(i % 3) - 1};
        messages[i] = message_of(&message);
    }
    marty__alloc_set_hook(storm_may_allocate);
    unsigned once = 1, ever = 1;
    while (round_of(once, false)) {
        once++;
    }
    while (round_of(ever, true)) {
        ever++;
    }
    marty__alloc_set_hook(NULL);
    CHECK(once > 40 && ever > 40);
    printf("%u allocations failed once, %u for ever\n", once, ever);
    for (unsigned i = 0; i < MESSAGES; i++) {
        marty_message_unref(messages[i]);
    }
    return check_result();
}
