/* SPDX-License-Identifier: Apache-2.0
 * Torture of the sqlite store of sagas: one run of all that it does, on a file whose log is not yet
 * in it (as after a crash), again and again, with a fault at another point each time. What is
 * answered is also done to a store in memory. Afterwards the file, as a crash would leave it and
 * as it is closed, must hold just that: what was answered OK is there whole, what was in doubt
 * whole or not at all, what was refused is not.
 *     saga_store_torture KIND SECONDS (0 = all points); faults.h has the kinds */
#include "saga_store_torture.h"

#include "base/alloc.h"
#include "base/clock.h"

static const marty_saga_store_table *const sqlite = &marty__saga_sqlite;
static const marty_saga_store_table *const memory = &marty__saga_memory;

static int64_t soon(void)
{
    return marty__deadline_ns(marty__monotonic_ns(), SOON_MS);
}

/* ---- what is written */
void saga_store_text(const scene *of, int which, uint64_t version, marty_saga_write *ret)
{
    static char ids[SAGAS][8], keys[SAGAS][12], states[SAGAS][STATE_BYTES], batches[SAGAS][40];
    (void)snprintf(ids[which], sizeof ids[0], "s%d", which);
    (void)snprintf(keys[which], sizeof keys[0], "key-%d", which);
    (void)snprintf(states[which], sizeof states[0], "%d at %u:%*s", which, (unsigned)version,
                   STATE_BYTES - 40, "end");
    (void)snprintf(batches[which], sizeof batches[0], "batch %u of %d", (unsigned)version, which);
    uint32_t shard = marty__saga_shard(ids[which]);
    *ret = (marty_saga_write){
        .facts = {.id = ids[which],
                  .name = "order",
                  .key = keys[which],
                  .definition = "hash",
                  .stuck = "",
                  .status = which < ENDED ? MARTY_SAGA_COMPLETED : MARTY_SAGA_RUNNING,
                  .shard = shard,
                  .version = version,
                  .started_us = 1000,
                  .changed_us = 1000 + (int64_t)version,
                  .due_us = which % 3 ? INT64_MAX : 5000 + which,
                  .unsent = which % 2},
        .epoch = of->leased ? of->epochs[shard] : 0,
        .state = marty_text(states[which]),
        .outbox = marty_text("outbox"),
        .history = marty_text(batches[which]),
    };
}

/* The same write on the store in memory. */
static marty_err in_memory(scene *of, const marty_saga_write *write)
{
    marty_saga_write copy = *write, *one = &copy;
    copy.fill = NULL;
    faults_exempt(true);
    marty_err err = memory->commit(of->oracle, &one, 1, soon(), NULL);
    faults_exempt(false);
    CHECK_INT(err, MARTY_OK);
    return copy.result;
}

static bool count_step(void *transaction, const marty_saga_write *write)
{
    char sql[100];
    (void)snprintf(sql, sizeof sql, "INSERT INTO step VALUES ('%s', %u)", write->facts.id,
                   (unsigned)write->facts.version);
    return sqlite3_exec(transaction, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static marty_err fill_step(marty_saga_write *write, void *transaction)
{
    return count_step(transaction, write) ? MARTY_OK : MARTY_E_FAILED;
}

static marty_err fill_refused(marty_saga_write *write, void *transaction)
{
    write->undo = true;
    return fill_step(write, transaction);
}

static marty_err fill_failed(marty_saga_write *write, void *transaction)
{
    (void)fill_step(write, transaction);
    return MARTY_E_FAILED;
}

static void take_result(scene *of, int which, const marty_saga_write *write)
{
    switch ((int)write->result) {
    case MARTY_OK:
        CHECK_INT(in_memory(of, write), MARTY_OK);
        of->steps[which] += write->fill == fill_step;
        of->versions[which]++;
        break;
    case MARTY_E_MAYBE_STORED:
        of->doubts[which] = *write;
        of->doubts[which].result = MARTY_E_MAYBE_STORED;
        break;
    case MARTY_E_STATE:
    case MARTY_E_LOST:
    case MARTY_E_EXISTS:
        CHECK_INT(in_memory(of, write), write->result); /* else it is the disk's fault */
        break;
    default:
        CHECK(write->result == MARTY_E_FAILED || write->result == MARTY_E_UNAVAILABLE);
    }
}

typedef struct change {
    int which;
    marty_err (*fill)(marty_saga_write *write, void *transaction);
    int wrong; /* 1: its version, 2: its epoch, 3: its key */
} change;

/* Those as one commit; what is in doubt is left alone, as an engine would. */
static void commit(scene *of, const change changes[], size_t count)
{
    enum { MAX = 8 };
    marty_saga_write writes[MAX], *list[MAX];
    int which[MAX];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        marty_saga_write *write = &writes[used];
        if (of->doubts[changes[i].which].result) {
            continue;
        }
        saga_store_text(of, changes[i].which, of->versions[changes[i].which] + 1, write);
        write->facts.version += changes[i].wrong == 1;
        write->epoch = changes[i].wrong == 2 && of->leased ? 999 : write->epoch;
        write->facts.key = changes[i].wrong == 3 ? "key-0" : write->facts.key;
        write->fill = changes[i].fill;
        which[used] = changes[i].which;
        list[used++] = write;
    }
    if (sqlite->commit(of->tested, list, used, soon(), NULL) == MARTY_OK) {
        for (size_t i = 0; i < used; i++) {
            take_result(of, which[i], list[i]);
        }
    }
}

/* ---- reads in the storm: an error, or the truth */
static void read_one(scene *of, int which)
{
    marty_saga_write wanted;
    marty_saga_record *record = NULL;
    saga_store_text(of, which, of->versions[which], &wanted);
    marty_err err = sqlite->load(of->tested, wanted.facts.id, &record, soon(), NULL);
    if (of->doubts[which].result || of->purge_doubt) {
        marty_free(record);
        return;
    }
    CHECK(err != MARTY_E_NOT_FOUND || of->versions[which] == 0);
    if (!err && CHECK_INT(record->facts.version, of->versions[which])) {
        CHECK_BYTES(record->state.data, record->state.size, wanted.state.data, wanted.state.size);
        CHECK_TEXT(record->facts.id, wanted.facts.id);
        CHECK_TEXT(record->facts.key, wanted.facts.key);
        CHECK_TEXT(record->facts.name, wanted.facts.name);
        CHECK_TEXT(record->facts.definition, wanted.facts.definition);
    }
    marty_free(record);
}

static bool count_found(void *user, const marty_saga_facts *facts)
{
    CHECK_TEXT(facts->name, "order");
    CHECK(facts->id[0] == 's' && strncmp(facts->key, "key-", 4) == 0);
    ++*(int *)user;
    return true;
}

static bool any_doubt(const scene *of)
{
    bool any = of->purge_doubt;
    for (int i = 0; i < SAGAS; i++) {
        any |= of->doubts[i].result != MARTY_OK;
    }
    return any;
}

static void read_all(scene *of)
{
    marty_saga_filter all = {.limit = 1000};
    int tested = 0, oracle = 0;
    marty_err err = sqlite->list(of->tested, &all, count_found, &tested, soon(), NULL);
    faults_exempt(true);
    CHECK_INT(memory->list(of->oracle, &all, count_found, &oracle, soon(), NULL), MARTY_OK);
    faults_exempt(false);
    if (!err && !any_doubt(of)) {
        CHECK_INT(tested, oracle);
    }
    for (int i = 0; i < SAGAS; i++) {
        read_one(of, i);
    }
}

/* ---- the rest */
static void lease(scene *of, const char *owner, uint32_t want)
{
    marty_saga_lease before = {.owner = owner, .term_ms = 3600000, .want = want}, got = before;
    marty_err err = sqlite->lease(of->tested, &got, soon(), NULL);
    if (err) {
        CHECK_INT(got.count, before.count); /* it still has what it had */
        of->lease_doubt = true;
        of->leased = false;
        return;
    }
    if (of->lease_doubt) {
        return;
    }
    faults_exempt(true);
    CHECK_INT(memory->lease(of->oracle, &before, soon(), NULL), MARTY_OK);
    faults_exempt(false);
    CHECK_INT(got.count, before.count);
    CHECK(memcmp(got.held, before.held, got.count * sizeof *got.held) == 0);
    for (uint32_t i = 0; i < got.count; i++) {
        of->epochs[got.held[i].shard] = got.held[i].epoch;
    }
    of->leased = true;
}

static void mark_sent(scene *of, int which)
{
    char id[8];
    (void)snprintf(id, sizeof id, "s%d", which);
    marty_saga_facts facts = {.id = id, .version = of->versions[which]};
    if (sqlite->sent(of->tested, &facts, 1, soon(), NULL)) {
        of->sent_doubt[which] = true;
        return;
    }
    faults_exempt(true);
    CHECK_INT(memory->sent(of->oracle, &facts, 1, soon(), NULL), MARTY_OK);
    faults_exempt(false);
}

marty_saga_write saga_store_doubt(const scene *of, int which)
{
    marty_saga_write write;
    const marty_saga_write *doubt = &of->doubts[which];
    saga_store_text(of, which, doubt->facts.version, &write);
    write.epoch = doubt->epoch;
    write.fill = doubt->fill;
    write.undo = doubt->undo;
    return write;
}

/* As an engine does: after settle, what is read is final. */
static void settle(scene *of)
{
    if (!any_doubt(of) || sqlite->settle(of->tested, soon(), NULL)) {
        return;
    }
    for (int i = 0; i < SAGAS; i++) {
        marty_saga_record *record = NULL;
        if (of->doubts[i].result &&
            !sqlite->load(of->tested, of->doubts[i].facts.id, &record, soon(), NULL) &&
            record->facts.version > of->versions[i]) {
            marty_saga_write write = saga_store_doubt(of, i);
            of->doubts[i].result = MARTY_OK;
            take_result(of, i, &write);
        }
        marty_free(record);
    }
}

static void purge(scene *of)
{
    uint32_t tested = 0, oracle = 0;
    if (sqlite->purge(of->tested, 100000, ENDED, &tested, soon(), NULL)) {
        of->purge_doubt = true;
        return;
    }
    faults_exempt(true);
    CHECK_INT(memory->purge(of->oracle, 100000, ENDED, &oracle, soon(), NULL), MARTY_OK);
    faults_exempt(false);
    CHECK_INT(tested, oracle);
    for (int i = 0; i < ENDED; i++) {
        of->versions[i] = 0;
    }
}

static void define(scene *of)
{
    marty_bytes document = marty_text("{\"saga\": \"order\"}");
    if (sqlite->define(of->tested, "order", 1, "hash", document, soon(), NULL) == MARTY_OK) {
        of->defined = true;
    }
}

static void use(scene *of)
{
    define(of);
    lease(of, "ann", MARTY_SAGA_SHARDS);
    commit(of, (change[]){{.which = 10}, {.which = 11}, {.which = 12}, {.which = 13}}, 4);
    read_all(of);
    commit(of,
           (change[]){{.which = 4, .wrong = 1},
                      {.which = 5},
                      {.which = 6, .wrong = 2},
                      {.which = 14, .wrong = 3}},
           4);
    commit(of,
           (change[]){{.which = 5, .fill = fill_step},
                      {.which = 6, .fill = fill_refused},
                      {.which = 7, .fill = fill_failed},
                      {.which = 8}},
           4);
    settle(of);
    mark_sent(of, 5);
    commit(of, (change[]){{.which = 10}, {.which = 5, .fill = fill_step}}, 2);
    settle(of);
    purge(of);
    read_all(of);
    commit(of, (change[]){{.which = 11}, {.which = 15}}, 2);
}

long saga_store_run(scene *of, const char *path, long at, bool for_ever)
{
    marty_error why = {0};
    marty_url *url = NULL;
    char where[200];
    (void)snprintf(where, sizeof where, "sqlite:%s", path);
    REQUIRE(marty_url_parse(&url, where, &why) == MARTY_OK);
    faults_arm(at, for_ever);
    marty_err err = sqlite->open(&of->tested, url, marty__env_real(), soon(), &why);
    if (!err) {
        use(of);
    }
    long points = faults_disarm();
    if (!err) {
        saga_store_crash();
        sqlite->close(of->tested);
    }
    of->tested = NULL;
    marty_url_free(url);
    return points;
}

/* Sagas that are there from the start: some have ended, some go on. */
void saga_store_begin(scene *of, const marty_saga_store_table *table, marty_saga_store *store)
{
    for (int i = 0; i < BEGUN; i++) {
        marty_saga_write write, *one = &write;
        saga_store_text(of, i, 1, &write);
        REQUIRE(table->commit(store, &one, 1, soon(), NULL) == MARTY_OK &&
                write.result == MARTY_OK);
        of->versions[i] = 1;
    }
}
