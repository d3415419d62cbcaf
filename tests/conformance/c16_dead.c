/* SPDX-License-Identifier: Apache-2.0
 * C16 (dead exactly at the last attempt, with all that it was), C17 (list, discard, replay, guard),
 * C18 (what cannot be read is kept as it came). */
#include "contracts.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static const marty_pattern kept[] = {MARTY_EVENT, MARTY_COMMAND, MARTY_STREAM};
static const char *const names[] = {"order.*", "order.pay", "clicks"};
static const char *const channels[] = {"events.order", "commands.billing", "streams.clicks"};
static const char body[] = "bytes \xff\x01 of the original";

static marty_err fail_with_reason(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)delivery, (void)what;
    return MARTY_E_FAILED;
}

static void publish_rich(marty_bus *bus, marty_pattern pattern, const char *id)
{
    marty_error why = {0};
    marty_header header = {"x-kept", marty_text("yes"), MARTY_HEADER};
    marty_message message = {.type = "order.pay",
                             .id = id,
                             .key = "k1",
                             .subject = "orders/7",
                             .data = {body, sizeof body - 1},
                             .content_type = "application/octet-stream",
                             .headers = &header,
                             .header_count = 1};
    EXPECT_OK(suite_try_publish(bus, pattern, suite_to(pattern, "billing", "clicks"), &message,
                                NULL, NULL, &why),
              &why, "publishing");
}

static void expect_dead(const suite_dead *dead, size_t i, uint32_t attempts)
{
    const char *name = suite_pattern_name(kept[i]);
    EXPECT(dead->readable && dead->size == sizeof body - 1 &&
               memcmp(dead->body, body, sizeof body - 1) == 0,
           "%s: the dead letter's bytes are not the original's (%zu of %zu)", name, dead->size,
           sizeof body - 1);
    EXPECT(strcmp(dead->header, "yes") == 0, "%s: the original's header is \"%s\"", name,
           dead->header);
    EXPECT(strcmp(dead->type, "order.pay") == 0, "%s: its type is %s", name, dead->type);
    EXPECT(dead->attempts == attempts, "%s: it says %u attempts, there were %u", name,
           (unsigned)dead->attempts, (unsigned)attempts);
    EXPECT(strcmp(dead->channel, channels[i]) == 0, "%s: it says it came from \"%s\", it was %s",
           name, dead->channel, channels[i]);
    EXPECT(strcmp(dead->group, "billing") == 0, "%s: it says group \"%s\"", name, dead->group);
    EXPECT(dead->cause[0], "%s: it does not say why", name);
}

void c16_exhausted(void)
{
    for (size_t i = 0; i < 3; i++) {
        marty_bus *bus = suite_open("billing", NULL);
        recorder *heard_ = recorder_new(fail_with_reason, NULL);
        suite_subscribe(bus, kept[i], names[i], heard_,
                        &(marty_subscribe_options){.retry = {.attempts = 3, .first_ms = 10}});
        suite_start(bus);
        publish_rich(bus, kept[i], "doomed");
        suite_dead dead[4];
        size_t count = suite_wait_dead(bus, channels[i], 1, dead, 4);
        EXPECT(count == 1, "%s: %zu dead letters of one message", suite_pattern_name(kept[i]),
               count);
        EXPECT(recorder_total(heard_) == 3, "%s: with 3 attempts the handler ran %zu times",
               suite_pattern_name(kept[i]), recorder_total(heard_));
        EXPECT(strcmp(dead[0].id, "doomed") == 0, "%s: the dead letter is of %s",
               suite_pattern_name(kept[i]), dead[0].id);
        expect_dead(&dead[0], i, 3);
        EXPECT(dead[0].code == MARTY_E_FAILED, "%s: its code is %s", suite_pattern_name(kept[i]),
               suite_err(dead[0].code));
        recorder_expect_quiet(heard_, 150);
        suite_close(bus);
    }
}

static marty_err reject_first(void *user, marty_delivery *delivery, const heard *what)
{
    (void)user, (void)what;
    return marty_reject(delivery, "no such customer");
}

void c16_rejected(void)
{
    for (size_t i = 0; i < 3; i++) {
        marty_bus *bus = suite_open("billing", NULL);
        recorder *heard_ = recorder_new(reject_first, NULL);
        suite_subscribe(bus, kept[i], names[i], heard_, NULL);
        suite_start(bus);
        publish_rich(bus, kept[i], "refused");
        suite_dead dead[4];
        size_t count = suite_wait_dead(bus, channels[i], 1, dead, 4);
        EXPECT(count == 1, "%s: %zu dead letters of one reject", suite_pattern_name(kept[i]),
               count);
        expect_dead(&dead[0], i, 1);
        EXPECT(strcmp(dead[0].cause, "no such customer") == 0, "%s: its cause is \"%s\"",
               suite_pattern_name(kept[i]), dead[0].cause);
        recorder_expect_quiet(heard_, 100);
        suite_close(bus);
    }
}

void c16_one_group_only(void)
{
    /* A message dead in one group lives on in another. */
    marty_bus *bus = suite_open("billing", NULL);
    recorder *bad = recorder_new(reject_first, NULL), *good = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", bad, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", good, &(marty_subscribe_options){.group = "ok"});
    suite_start(bus);
    suite_publish_many(bus, MARTY_EVENT, NULL, "order.created", "m", 0, 20, 0);
    recorder_expect(good, "m", 0, 20, 1);
    suite_dead dead[32];
    EXPECT(suite_wait_dead(bus, "events.order", 20, dead, 32) == 20, "not 20 dead letters");
    recorder_expect(bad, "m", 0, 20, 1);
}

/* ---- C17 */

typedef struct walk {
    const char *id;
    marty_dead_verb verb;
    size_t seen, done;
} walk;

static marty_dead_verb on_letter(void *user, const marty_dead_letter *letter,
                                 marty_message *instead)
{
    (void)instead;
    walk *self = user;
    self->seen++;
    if (!self->id || (letter->message && strcmp(letter->message->id, self->id) == 0)) {
        self->done++;
        return self->verb;
    }
    return MARTY_DEAD_LEAVE;
}

/* Does that to one letter (id) or all (NULL); how many it was offered to. */
static size_t walk_dead(marty_bus *bus, const char *channel, const char *id, marty_dead_verb verb)
{
    marty_error why = {0};
    walk self = {id, verb, 0, 0};
    EXPECT_OK(marty_dead_letters(bus, channel, NULL, on_letter, &self, &why), &why,
              "walking the dead letters of %s", channel);
    return self.done;
}

typedef struct patient {
    atomic_bool healthy;
} patient;

static marty_err reject_while_ill(void *user, marty_delivery *delivery, const heard *what)
{
    (void)what;
    patient *self = user;
    return atomic_load(&self->healthy) ? MARTY_OK : marty_reject(delivery, "ill");
}

void c17_list_and_discard(void)
{
    patient self = {false};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(reject_while_ill, &self);
    suite_subscribe(bus, MARTY_COMMAND, "charge", heard_, NULL);
    suite_start(bus);
    for (int i = 0; i < 5; i++) { /* one after the other: the order of death is known */
        suite_publish(bus, MARTY_COMMAND, "billing", "charge", suite_id("m", i), NULL, "x");
        suite_dead dead[8];
        suite_wait_dead(bus, "commands.billing", (size_t)i + 1, dead, 8);
    }
    suite_dead dead[8];
    for (int again = 0; again < 2; again++) { /* looking leaves them */
        size_t count = suite_dead_letters(bus, "commands.billing", dead, 8);
        EXPECT(count == 5, "%zu dead letters listed, 5 are there", count);
        for (int i = 0; i < 5; i++) {
            EXPECT(strcmp(dead[i].id, suite_id("m", i)) == 0, "letter %d is %s: not oldest first",
                   i, dead[i].id);
        }
    }
    size_t everywhere = suite_dead_letters(bus, "*", dead, 8);
    EXPECT(everywhere == 5, "\"*\" lists %zu dead letters, not 5", everywhere);
    EXPECT(walk_dead(bus, "commands.billing", "m-0002", MARTY_DEAD_DISCARD) == 1,
           "m-0002 was not offered");
    size_t count = suite_dead_letters(bus, "commands.billing", dead, 8);
    EXPECT(count == 4, "after a discard %zu are there, not 4", count);
    for (size_t i = 0; i < count; i++) {
        EXPECT(strcmp(dead[i].id, "m-0002") != 0, "the discarded one is still there");
    }
    EXPECT(walk_dead(bus, "commands.billing", NULL, MARTY_DEAD_DISCARD) == 4, "not all offered");
    EXPECT(suite_dead_letters(bus, "commands.billing", dead, 8) == 0, "discarded ones remain");
    EXPECT(recorder_total(heard_) == 5, "discarded or listed letters ran: %zu deliveries",
           recorder_total(heard_));
}

static bool no_letters(void *user)
{
    suite_dead dead[1];
    return suite_dead_letters(user, "events.order", dead, 1) == 0;
}

void c17_replay(void)
{
    patient self = {false};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *mine = recorder_new(reject_while_ill, &self), *other = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", mine, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", other,
                    &(marty_subscribe_options){.group = "other"});
    suite_start(bus);
    suite_publish_many(bus, MARTY_EVENT, NULL, "order.created", "m", 0, 10, 1);
    suite_dead dead[16];
    suite_wait_dead(bus, "events.order", 10, dead, 16);
    recorder_expect(other, "m", 0, 10, 1);
    size_t before = recorder_total(mine);
    atomic_store(&self.healthy, true);
    EXPECT(walk_dead(bus, "events.order", NULL, MARTY_DEAD_REPLAY) == 10, "not all were offered");
    EXPECT(recorder_wait_total(mine, before + 10, 10000), "of 10 replayed %zu came",
           recorder_total(mine) - before);
    for (size_t i = 0; i < 10; i++) {
        heard what = recorder_at(mine, before + i);
        EXPECT(strcmp(what.id, dead[i].id) == 0, "replay %zu is %s, in order of death it was %s", i,
               what.id, dead[i].id);
    }
    EXPECT(test_wait_for(no_letters, bus, 5000), "replayed letters are still there");
    recorder_expect_quiet(other, 150);
    EXPECT(recorder_total(other) == 10,
           "the other group got %zu, not 10: a replay is for the "
           "group it died in",
           recorder_total(other));
}

void c17_loop_guard(void)
{
    patient self = {false};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(reject_while_ill, &self);
    suite_subscribe(bus, MARTY_EVENT, "order.*", heard_, NULL);
    suite_start(bus);
    suite_publish(bus, MARTY_EVENT, NULL, "order.created", "looping", NULL, "x");
    suite_dead dead[2];
    for (size_t i = 0; i < 3; i++) {
        suite_wait_dead(bus, "events.order", 1, dead, 2);
        EXPECT(dead[0].replays == i, "after %zu replays it says %u", i, (unsigned)dead[0].replays);
        walk_dead(bus, "events.order", "looping", MARTY_DEAD_REPLAY);
        EXPECT(recorder_wait_total(heard_, i + 2, 10000), "replay %zu did not come", i + 1);
    }
    suite_wait_dead(bus, "events.order", 1, dead, 2);
    EXPECT(dead[0].replays == 3, "after 3 replays it says %u", (unsigned)dead[0].replays);
    marty_error why = {0};
    walk once = {"looping", MARTY_DEAD_REPLAY, 0, 0};
    IGNORE(marty_dead_letters(bus, "events.order", NULL, on_letter, &once, &why));
    recorder_expect_quiet(heard_, 200);
    EXPECT(suite_dead_letters(bus, "events.order", dead, 2) == 1,
           "a fourth replay was refused, yet the letter is gone");
    walk_dead(bus, "events.order", "looping", MARTY_DEAD_REPLAY_FORCED);
    EXPECT(recorder_wait_total(heard_, 5, 10000), "a forced replay did not come");
}

static marty_dead_verb mend(void *user, const marty_dead_letter *letter, marty_message *instead)
{
    (void)user, (void)letter;
    instead->data = marty_text("mended");
    return MARTY_DEAD_REPLAY;
}

void c17_mend(void)
{
    patient self = {false};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(reject_while_ill, &self);
    suite_subscribe(bus, MARTY_COMMAND, "charge", heard_, NULL);
    suite_start(bus);
    suite_publish(bus, MARTY_COMMAND, "billing", "charge", "broken", NULL, "torn");
    suite_dead dead[2];
    suite_wait_dead(bus, "commands.billing", 1, dead, 2);
    atomic_store(&self.healthy, true);
    marty_error why = {0};
    EXPECT_OK(marty_dead_letters(bus, "commands.billing", NULL, mend, NULL, &why), &why, "mending");
    EXPECT(recorder_wait_total(heard_, 2, 10000), "the mended one did not come");
    heard what = recorder_at(heard_, 1);
    EXPECT(strcmp(what.id, "broken") == 0 && strcmp(what.body, "mended") == 0,
           "%s came with body \"%s\"", what.id, what.body);
}

/* ---- C18 */

void c18_garbled(void)
{
    /* The wrapper makes the bytes of type order.garbled unreadable, for core to deal with. */
    marty_bus *sender = suite_open("shop", NULL);
    marty_bus *bus = suite_open_with(suite_wrapped("twist:garble", NULL),
                                     &(marty_bus_options){.service = "billing"});
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.>", heard_, NULL);
    suite_start(bus);
    suite_publish(sender, MARTY_EVENT, NULL, "order.created", "good-0000", NULL, "x");
    suite_publish(sender, MARTY_EVENT, NULL, "order.garbled", "bad", NULL, "raw\001bytes");
    suite_publish(sender, MARTY_EVENT, NULL, "order.created", "good-0001", NULL, "x");
    recorder_expect(heard_, "good", 0, 2, 1);
    suite_dead dead[2];
    EXPECT(suite_wait_dead(bus, "events.order", 1, dead, 2) == 1, "not one dead letter");
    EXPECT(!dead[0].readable, "the dead letter of what cannot be read has a message");
    EXPECT(dead[0].raw_size == 9 && memcmp(dead[0].raw, "raw\001bytes", 9) == 0,
           "its raw bytes are %zu: \"%.20s\"", dead[0].raw_size, dead[0].raw);
    EXPECT(dead[0].cause[0] && dead[0].code == MARTY_E_MALFORMED, "it died of %s \"%s\"",
           suite_err(dead[0].code), dead[0].cause);
}

/* ---- a dead letter is written once, though its writer died in between */

void c16_folds(void)
{
    /* Core writes the letter and acks; the ack gets lost: the message comes again, and dies again.
     */
    suite_set_keys("lease=3s");
    marty_bus *control = suite_open("control", NULL); /* keeps what lives in the process */
    marty_bus *bus = suite_open_with(suite_wrapped("mask:dead_letter:twist:forget_acks", NULL),
                                     &(marty_bus_options){.service = "billing"});
    recorder *first = recorder_new(reject_first, NULL), *second = recorder_new(reject_first, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", first, NULL);
    suite_start(bus);
    publish_rich(bus, MARTY_EVENT, "once");
    suite_dead dead[4];
    suite_wait_dead(bus, "events.order", 1, dead, 4);
    marty_error why = {0};
    IGNORE(marty_bus_close(bus, 100, &why));
    marty_bus_free(bus);
    bus = suite_open_with(suite_wrapped("mask:dead_letter", NULL),
                          &(marty_bus_options){.service = "billing"});
    suite_subscribe(bus, MARTY_EVENT, "order.*", second, NULL);
    suite_start(bus);
    EXPECT(recorder_wait_total(second, 1, 15000), "its ack was lost, and it did not come again");
    recorder_expect_quiet(second, 300);
    size_t count = suite_dead_letters(bus, "events.order", dead, 4);
    EXPECT(count == 1, "one message died twice of a lost ack and left %zu dead letters", count);
    marty_bus_free(control);
}
