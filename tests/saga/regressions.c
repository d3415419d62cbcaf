/* SPDX-License-Identifier: Apache-2.0
 * What other engines got wrong where it takes a store or two engines to show it, each under the
 * name that their users gave it. Those of the machine alone are in src/saga/regressions_test.c. */
#include "rig.h"

static const char two[] =
    "saga: two\nsteps:\n"
    "  - {name: a, service: s, command: a, kind: read_only, timeout: 1s, retry: {jitter: none}}\n"
    "  - {name: b, service: s, command: b, kind: read_only, timeout: 30s}\n";

static const char patient[] =
    "saga: patient\nsteps:\n"
    "  - {name: a, service: s, command: a, kind: read_only, timeout: 10m, retry: {jitter: none}}\n";

/* ---- a message was sent before the saga was saved, and the reply beat the save */
static void answer_at_once(rig *r, const rig_sent *sent)
{
    rig_engine *other = &r->b;
    CHECK(sent->durable);
    rig_answer(other, sent, MARTY__SAGA_OK); /* at the other engine, before the send has returned */
    if (rig_status(r, sent->saga) == MARTY_SAGA_RUNNING) {
        (void)marty__saga_core_turn(other->core);
    }
}

static void reply_before_save(void)
{
    rig r;
    rig_open(&r, two);
    rig_start(&r.b, &r, "b");
    r.a.while_sending = r.b.while_sending = answer_at_once;
    rig_begin(&r.a, "s1");
    rig_turn(&r.a);
    rig_turn(&r.b);
    CHECK_INT(rig_status(&r, "s1"), MARTY_SAGA_COMPLETED);
    CHECK_INT(rig_count(&r.a, "forward a.1") + rig_count(&r.b, "forward a.1"), 1);
    CHECK_INT(rig_count(&r.a, "forward b.1") + rig_count(&r.b, "forward b.1"), 1);
    rig_pass(&r, 60000); /* and no timer of it finds anything to do */
    CHECK_INT(r.a.sent_count + r.b.sent_count, 2);
    rig_close(&r);
}

/* ---- a sweeper read the saga, a worker moved it on, the sweeper acted on what it had read */
static void moved_on(rig *r)
{
    r->a.after_due = NULL;
    rig_answer(&r->b, &r->a.sent[0], MARTY__SAGA_OK);
    rig_turn(&r->b);
}

static void sweeper_stale_read(void)
{
    rig r;
    rig_open(&r, two);
    rig_begin(&r.a, "s1");
    rig_turn(&r.a);
    CHECK_INT(rig_count(&r.a, "forward a.1"), 1);
    rig_start(&r.b, &r, "b");
    r.now_us += 1000000; /* the attempt's time is over */
    r.a.after_due = moved_on;
    rig_turn(&r.a);
    CHECK(r.a.after_due == NULL);
    CHECK_INT(marty__saga_core_counts(r.a.core)->conflicts, 1);
    CHECK_INT(rig_count(&r.b, "forward b.1"), 1);
    rig_pass(&r, 5000);
    CHECK_INT(rig_count(&r.a, "forward a.2") + rig_count(&r.b, "forward a.2"), 0);
    CHECK_INT(rig_status(&r, "s1"), MARTY_SAGA_RUNNING);
    rig_answer(&r.a, &r.b.sent[0], MARTY__SAGA_OK); /* nothing is left of what it had decided */
    rig_turn(&r.a);
    CHECK_INT(rig_status(&r, "s1"), MARTY_SAGA_COMPLETED);
    rig_close(&r);
}

/* ---- a process that was draining claimed back what it had just handed over */
static void draining_owner_reclaims(void)
{
    rig r;
    rig_open(&r, two);
    rig_begin(&r.a, "s1");
    rig_turn(&r.a);
    rig_start(&r.b, &r, "b");
    rig_pass(&r, 400);
    marty__saga_core_stop(r.a.core); /* it drains: it still makes turns, for what is on its way */
    rig_turn(&r.a);
    r.a.leases = 0;
    CHECK_INT(marty__saga_core_shards(r.a.core), 0);
    rig_pass(&r, 4000);
    CHECK_INT(marty__saga_core_shards(r.b.core), MARTY_SAGA_SHARDS); /* without a lease's end */
    CHECK(rig_count(&r.b, "forward a.2") == 1);                      /* and it does the work */
    rig_kill(&r.b);
    rig_pass(&r, 30000); /* nobody has them now, and still they are not for one who leaves */
    CHECK_INT(r.a.leases, 0);
    CHECK_INT(marty__saga_core_shards(r.a.core), 0);
    CHECK_INT(rig_count(&r.a, "forward a.2"), 0);
    rig_close(&r);
}

/* ---- the database restarted within the recovery scan, and what it had not reached was stranded */
static void recovery_db_restart(void)
{
    rig r;
    rig_open(&r, two);
    rig_begin(&r.a, "s1");
    rig_begin(&r.a, "s2");
    (void)marty__saga_core_turn(r.a.core);
    CHECK_INT(rig_count(&r.a, "forward a.1"), 2);
    rig_kill(&r.a); /* it could not say that they were sent, so they are sent again */
    r.now_us += 500000;
    r.trouble = 3;
    rig_start(&r.b, &r, "b");
    rig_pass(&r, 13000); /* its lease ends, and what it left is looked for, in vain at first */
    CHECK_INT(r.b.bad_unsent + r.b.bad_due + r.b.bad_load, 0);
    CHECK(rig_count(&r.b, "forward a.2") >= 2); /* the attempt's time was over meanwhile */
    for (int i = 0; i < r.b.sent_count; i++) {
        rig_answer(&r.b, &r.b.sent[i], MARTY__SAGA_OK);
        rig_turn(&r.b);
    }
    CHECK_INT(rig_status(&r, "s1"), MARTY_SAGA_COMPLETED);
    CHECK_INT(rig_status(&r, "s2"), MARTY_SAGA_COMPLETED);
    rig_close(&r);
}

/* ---- the answer that the dead engine had came to another one just before the take-over: what it
 * had read of the saga then was taken for what it is sending itself */
static void answer_before_takeover(void)
{
    rig r;
    rig_open(&r, two);
    rig_begin(&r.a, "s1");
    rig_turn(&r.a);
    rig_start(&r.b, &r, "b");
    rig_turn(&r.b);
    rig_answer(&r.a, &r.a.sent[0], MARTY__SAGA_OK);
    rig_turn(&r.a);
    CHECK_INT(rig_count(&r.a, "forward b.1"), 1);
    rig_kill(&r.a);     /* on its way, for all that the store knows */
    rig_pass(&r, 9500); /* its lease is 10 s */
    rig_answer(&r.b, &r.a.sent[0], MARTY__SAGA_OK);
    rig_turn(&r.b);
    CHECK_INT(rig_count(&r.b, "forward b.1"), 0);
    rig_pass(&r, 1000);
    CHECK_INT(marty__saga_core_shards(r.b.core), MARTY_SAGA_SHARDS);
    CHECK_INT(rig_count(&r.b, "forward b.1"), 1);
    rig_close(&r);
}

/* ---- timers that cannot act must not be in the way of those that can */
static void break_it(rig *r, int number)
{
    char id[40];
    (void)snprintf(id, sizeof id, "broken%03d", number);
    marty_saga_write write = {.facts = {.id = id,
                                        .name = "two",
                                        .key = "",
                                        .definition = "of nobody",
                                        .stuck = "",
                                        .status = MARTY_SAGA_RUNNING,
                                        .shard = marty__saga_shard(id),
                                        .version = 1,
                                        .due_us = 1},
                              .state = marty_text("no state"),
                              .history = marty_text("no history")};
    marty_saga_write *const writes[] = {&write};
    CHECK_INT(r->memory->commit(r->shared, writes, 1, INT64_MAX, NULL), MARTY_OK);
    CHECK_INT(write.result, MARTY_OK);
}

static void stuck_timers_starve_nobody(void)
{
    rig r;
    rig_open(&r, two);
    for (int i = 0; i < 700; i++) {
        break_it(&r, i);
    }
    rig_begin(&r.a, "s1");
    rig_turn(&r.a);
    rig_pass(&r, 2500);
    CHECK_INT(rig_count(&r.a, "forward a.2"), 1); /* its attempt's timer, and that of the retry */
    uint64_t failures = marty__saga_core_counts(r.a.core)->timer_failures;
    CHECK(failures >= 700);
    rig_pass(&r, 60000);
    failures = marty__saga_core_counts(r.a.core)->timer_failures - failures;
    CHECK(failures >= 700 && failures < 700 * 10); /* they are tried again, and not all the time */
    rig_close(&r);
}

/* ---- a pause in the middle of a turn, for longer than the lease: the fence is what stops it */
static void long_pause(rig *r)
{
    r->a.after_due = NULL;
    r->now_us += 12000000;
    rig_start(&r->b, r, "b");
    CHECK_INT(marty__saga_core_shards(r->b.core), MARTY_SAGA_SHARDS);
}

static void paused_past_its_lease(void)
{
    rig r;
    rig_open(&r, two);
    rig_begin(&r.a, "s1");
    rig_turn(&r.a);
    r.now_us += 600000; /* not yet time to renew; time to scan */
    rig_answer(&r.a, &r.a.sent[0], MARTY__SAGA_OK);
    r.a.after_due = long_pause;
    rig_turn(&r.a);
    CHECK(r.a.after_due == NULL);
    CHECK_INT(marty__saga_core_counts(r.a.core)->fence_losses, 1);
    rig_pass(&r, 100); /* decided again, as one without a lease */
    CHECK_INT(rig_count(&r.a, "forward b.1"), 1);
    rig_close(&r);
}

/* ---- a broker that refuses for good is said at once, and not found out by a timeout */
static void refused_by_the_broker(void)
{
    rig r;
    marty_saga_record *record = NULL;
    rig_open(&r, patient);
    r.a.refuses = MARTY_E_UNAVAILABLE; /* that may pass: the same attempt, again and again */
    rig_begin(&r.a, "s1");
    rig_pass(&r, 15000);
    CHECK(rig_count(&r.a, "forward a.1") > 3);
    CHECK_INT(rig_count(&r.a, "forward a.2"), 0);
    r.a.refuses = MARTY_E_DENIED;
    rig_pass(&r, 20000);
    CHECK(rig_count(&r.a, "forward a.3") > 0);
    REQUIRE(r.memory->load(r.shared, "s1", &record, INT64_MAX, NULL) == MARTY_OK);
    CHECK_HAS(record->facts.stuck, "failing: a: ");
    CHECK_HAS(record->facts.stuck, "not sent: credentials refused or no permission");
    marty_free(record);
    r.a.refuses = MARTY_OK;
    rig_pass(&r, 60000);
    rig_answer(&r.a, &r.a.sent[r.a.sent_count - 1], MARTY__SAGA_OK);
    rig_turn(&r.a);
    CHECK_INT(rig_status(&r, "s1"), MARTY_SAGA_COMPLETED);
    rig_close(&r);
}

int main(void)
{
    reply_before_save();
    sweeper_stale_read();
    draining_owner_reclaims();
    recovery_db_restart();
    answer_before_takeover();
    stuck_timers_starve_nobody();
    paused_past_its_lease();
    refused_by_the_broker();
    return check_result();
}
