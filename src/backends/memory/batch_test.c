/* SPDX-License-Identifier: Apache-2.0
 * What is published in one call is answered one by one, whatever lies beside it in the batch, and
 * what is freed with it is all that has passed. */
#include "base/hash.h"
#include "message/block.h"
#include "test_port.h"

#include <inttypes.h>

enum { MANY = 700, KINDS = 10, ROUNDS = 20 };

static marty_outgoing batch[MANY];
static marty_message *messages[MANY];

static void make(probe *p, size_t i, const marty_message *like, marty_outgoing out)
{
    messages[i] = message_of(like);
    out.token = ++p->next_token;
    out.message = messages[i];
    batch[i] = out;
}

static void publish_all(probe *p, size_t count)
{
    marty_error why = {0};
    size_t taken = 0, before = p->publishes;
    CHECK_INT(test_backend->publish(p->port, batch, count, &taken, &why), MARTY_OK);
    REQUIRE(taken == count && p->publishes == before + count);
    for (size_t i = 0; i < count; i++) {
        CHECK_INT(p->published[before + i].token, batch[i].token);
        marty_message_unref(messages[i]);
    }
}

/* As core makes one whose id nobody can have seen yet. */
static void call_fresh(marty_message *message, uint64_t number)
{
    marty__block *block = marty__block_of(message);
    block->id[0] = UINT64_C(0x0190000000007000);
    block->id[1] = number;
    block->source = 5;
    block->fresh = true;
}

/* The i-th kind of message: what is said of it. */
static marty_err make_kind(probe *p, size_t at, size_t kind, const char *id)
{
    static char large[20000];
    marty_outgoing event = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x"}};
    marty_message plain = {.id = id};
    switch (kind) {
    case 0:
    case 1:
        make(p, at, &plain, event);
        call_fresh(messages[at], at);
        return MARTY_OK;
    case 2: /* its id may have been seen, but was not */
        make(p, at, &plain, event);
        return MARTY_OK;
    case 3: /* was */
        make(p, at, &(marty_message){.id = "again"}, event);
        return MARTY_OK;
    case 4:
        event.deadline_ns = 1;
        make(p, at, &plain, event);
        call_fresh(messages[at], at);
        return MARTY_E_TIMEOUT;
    case 5:
        plain.data = (marty_bytes){large, sizeof large};
        make(p, at, &plain, event);
        call_fresh(messages[at], at);
        return MARTY_E_TOO_LARGE;
    case 6:
        event.channel.group = "nobody";
        make(p, at, &plain, event);
        return MARTY_E_NO_GROUP;
    case 7:
        make(p, at, &plain,
             (marty_outgoing){.channel = {.kind = MARTY_KIND_REQUEST, .name = "queries.none"}});
        return MARTY_E_NO_RESPONDER;
    case 8:
        make(p, at, &plain,
             (marty_outgoing){.channel = {.kind = MARTY_KIND_BROADCAST, .name = "broadcast.x"}});
        return MARTY_OK;
    default:
        make(p, at, &plain,
             (marty_outgoing){.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"}});
        call_fresh(messages[at], at);
        return MARTY_OK;
    }
}

/* Kinds by an order of its own in every round, so that each comes beside each. */
static void a_batch_of_all_kinds_is_answered_one_by_one(void)
{
    probe *a = probe_open("?limit=128KiB");
    marty_err expected[KINDS * ROUNDS];
    char ids[KINDS * ROUNDS][16];
    size_t stored[KINDS * ROUNDS], events = 0, queued = 0;
    bool again = false;
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 1000);
    for (size_t i = 0; i < KINDS * ROUNDS; i++) {
        size_t kind = i / KINDS % 2 ? i * 3 % KINDS : i % KINDS;
        (void)snprintf(ids[i], sizeof ids[i], "m%zu", i);
        expected[i] = make_kind(a, i, kind, ids[i]);
        bool event = kind < 3 || (kind == 3 && !again);
        again = again || kind == 3;
        queued += kind == 9;
        if (event) {
            stored[events++] = i;
        }
    }
    publish_all(a, KINDS * ROUNDS);
    for (size_t i = 0; i < KINDS * ROUNDS; i++) {
        CHECK_INT(a->published[i].err, expected[i]);
        CHECK((a->why_not[i][0] != '\0') == (expected[i] != MARTY_OK));
    }
    REQUIRE(a->deliveries == events);
    for (size_t n = 0; n < events; n++) {
        char position[24];
        bool first = strcmp(a->delivered[n].message->id, "again") == 0;
        (void)snprintf(position, sizeof position, "%zu", n + 1);
        CHECK(first || strcmp(a->delivered[n].message->id, ids[stored[n]]) == 0);
        CHECK_TEXT(a->delivered[n].position, position);
        CHECK_TEXT(a->published[stored[n]].position, position);
    }
    char count[32];
    (void)snprintf(count, sizeof count, "\"messages\":%zu,", queued);
    CHECK_HAS(ask(a, "inspect",
                  (marty_want){.channel = {.kind = MARTY_KIND_QUEUE, .name = "commands.q"}}, NULL),
              count);
    probe_close(a);
}

static void what_was_published_fresh_is_known_when_it_comes_again(void)
{
    probe *a = probe_open("");
    char id[40];
    for (uint64_t i = 0; i < 100; i++) {
        (void)snprintf(id, sizeof id, "01900000-0000-7000-8000-%012" PRIx64, i % 80);
        make(a, i, &(marty_message){.id = id},
             (marty_outgoing){.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x"}});
        if (i < 80) {
            call_fresh(messages[i], UINT64_C(0x8000000000000000) | i);
            marty__block_of(messages[i])->source = marty__hash("/test", 5);
        }
    }
    publish_all(a, 100);
    CHECK_HAS(ask(a, "inspect",
                  (marty_want){.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x"}}, NULL),
              "\"messages\":80,");
    CHECK(a->published[79].position[0] && !a->published[80].position[0]);
    probe_close(a);
}

/* More than an op lists: the rest goes at once. */
static void all_that_has_passed_is_dropped_however_much_it_is(void)
{
    probe *a = probe_open("?history=0&dedup=0s");
    marty_want topic = {.channel = {.kind = MARTY_KIND_TOPIC, .name = "events.x"}};
    listen_to(a, 1, MARTY_KIND_TOPIC, "events.x", "g", 0);
    for (size_t i = 0; i < MANY; i++) {
        make(a, i, &(marty_message){.id = "m"}, (marty_outgoing){.channel = topic.channel});
    }
    publish_all(a, MANY);
    CHECK_HAS(ask(a, "inspect", topic, NULL), "\"messages\":700,");
    test_backend->grant(a->port, 1, MANY);
    REQUIRE(a->deliveries == MANY);
    make(a, 0, &(marty_message){.id = "last"}, (marty_outgoing){.channel = topic.channel});
    publish_all(a, 1);
    CHECK_HAS(ask(a, "inspect", topic, NULL), "\"messages\":1,");
    ack_all(a);
    CHECK_HAS(ask(a, "inspect", topic, NULL), "\"unsettled\":0,");
    test_backend->grant(a->port, 1, 2);
    make(a, 0, &(marty_message){.id = "end"}, (marty_outgoing){.channel = topic.channel});
    publish_all(a, 1);
    CHECK_HAS(ask(a, "inspect", topic, NULL), "\"messages\":0,\"bytes\":0");
    probe_close(a);
}

int main(void)
{
    a_batch_of_all_kinds_is_answered_one_by_one();
    what_was_published_fresh_is_known_when_it_comes_again();
    all_that_has_passed_is_dropped_however_much_it_is();
    return check_result();
}
