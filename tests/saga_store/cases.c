/* SPDX-License-Identifier: Apache-2.0
 * Directed cases of the stores' contract, each on sagas (and owners) of its own. */
#include "suite.h"

static bool count_one(void *user, const marty_saga_facts *facts)
{
    (void)facts;
    ++*(unsigned *)user;
    return true;
}

typedef struct last {
    unsigned count;
    char id[40];
    marty_saga_facts facts;
} last;

static bool keep_last(void *user, const marty_saga_facts *facts)
{
    last *to = user;
    to->count++;
    to->facts = *facts;
    (void)snprintf(to->id, sizeof to->id, "%s", facts->id);
    return true;
}

static marty_saga_shards all_shards(void)
{
    marty_saga_shards shards;
    memset(&shards, 0xff, sizeof shards);
    return shards;
}

static void writes_versions(suite_store *store)
{
    CHECK_INT(suite_commit(store, suite_write("versions", 2, "")), MARTY_E_STATE);
    CHECK_INT(suite_commit(store, suite_write("versions", 1, "")), MARTY_OK);
    CHECK_INT(suite_commit(store, suite_write("versions", 1, "")), MARTY_E_STATE);
    CHECK_INT(suite_commit(store, suite_write("versions", 2, "")), MARTY_OK);
    marty_saga_record *record = NULL;
    REQUIRE(store->table->load(store->handle, "versions", &record, suite_until(), NULL) ==
            MARTY_OK);
    CHECK_TEXT(record->facts.id, "versions");
    CHECK_INT(record->facts.version, 2);
    CHECK_INT(record->facts.changed_us, 1002);
    CHECK_BYTES(record->state.data, record->state.size, "state of versions at 2", 22u);
    CHECK_INT(record->outbox.size, 0);
    marty_free(record);
    CHECK_INT(store->table->load(store->handle, "nobody", &record, suite_until(), NULL),
              MARTY_E_NOT_FOUND);
}

/* A place is a hint: with a wrong one the right saga is written, and no other. */
static void believes_no_place(suite_store *store)
{
    marty_saga_write *first = suite_write("place-a", 1, ""), *other = suite_write("place-b", 1, "");
    CHECK_INT(suite_commit(store, first), MARTY_OK);
    CHECK_INT(suite_commit(store, other), MARTY_OK);
    marty_saga_write *write = suite_write("place-a", 2, "");
    write->place = other->place;
    CHECK_INT(suite_commit(store, write), MARTY_OK);
    marty_saga_record *record = NULL;
    REQUIRE(store->table->load(store->handle, "place-b", &record, suite_until(), NULL) == MARTY_OK);
    CHECK_INT(record->facts.version, 1);
    CHECK_INT(record->place, other->place);
    marty_free(record);
    REQUIRE(store->table->load(store->handle, "place-a", &record, suite_until(), NULL) == MARTY_OK);
    CHECK_INT(record->facts.version, 2);
    CHECK_INT(record->place, first->place);
    marty_free(record);
    write = suite_write("place-a", 2, "");
    write->place = first->place;
    CHECK_INT(suite_commit(store, write), MARTY_E_STATE);
    write = suite_write("place-a", 3, "");
    write->place = INT64_MAX;
    CHECK_INT(suite_commit(store, write), MARTY_OK);
    write = suite_write("place-c", 2, "");
    write->place = first->place;
    CHECK_INT(suite_commit(store, write), MARTY_E_STATE);
}

/* One refused write leaves the others of its batch alone. */
static void writes_batches(suite_store *store)
{
    marty_saga_write *writes[] = {
        suite_write("batch-a", 1, "same"),
        suite_write("batch-b", 1, "same"),
        suite_write("batch-c", 7, ""),
        suite_write("batch-d", 1, ""),
    };
    REQUIRE(store->table->commit(store->handle, writes, 4, suite_until(), NULL) == MARTY_OK);
    CHECK_INT(writes[0]->result, MARTY_OK);
    CHECK_INT(writes[1]->result, MARTY_E_EXISTS);
    CHECK_TEXT(writes[1]->existing, "batch-a");
    CHECK_INT(writes[2]->result, MARTY_E_STATE);
    CHECK_INT(writes[3]->result, MARTY_OK);
    char id[40] = "";
    CHECK_INT(store->table->find(store->handle, "order", "same", id, suite_until(), NULL),
              MARTY_OK);
    CHECK_TEXT(id, "batch-a");
    CHECK_INT(store->table->find(store->handle, "order", "other", id, suite_until(), NULL),
              MARTY_E_NOT_FOUND);
}

static bool joined(void *user, uint64_t version, int64_t at_us, marty_bytes batch)
{
    char *text = user;
    (void)snprintf(text + strlen(text), 200 - strlen(text), "%u@%d=%.*s;", (unsigned)version,
                   (int)at_us, (int)batch.size, (const char *)batch.data);
    return true;
}

static void keeps_history(suite_store *store)
{
    for (uint64_t version = 1; version <= 3; version++) {
        CHECK_INT(suite_commit(store, suite_write("past", version, "")), MARTY_OK);
    }
    char text[200] = "";
    CHECK_INT(store->table->history(store->handle, "past", 2, joined, text, suite_until(), NULL),
              MARTY_OK);
    CHECK_TEXT(text, "2@1002=batch 2 of past;3@1003=batch 3 of past;");
    CHECK_INT(store->table->history(store->handle, "nobody", 0, joined, text, suite_until(), NULL),
              MARTY_E_NOT_FOUND);
}

/* A deposed owner's write is refused; one without a lease goes by the version. */
static void fences(const char *url, suite_store *store)
{
    suite_store other = suite_open(url);
    marty_saga_lease mine = {.owner = "fence-a", .term_ms = 60000, .want = MARTY_SAGA_SHARDS};
    REQUIRE(store->table->lease(store->handle, &mine, suite_until(), NULL) == MARTY_OK);
    CHECK_INT(mine.count, MARTY_SAGA_SHARDS);
    CHECK_INT(mine.members, 1);
    marty_saga_lease his = {.owner = "fence-b", .term_ms = 60000, .want = MARTY_SAGA_SHARDS};
    REQUIRE(other.table->lease(other.handle, &his, suite_until(), NULL) == MARTY_OK);
    CHECK_INT(his.count, 0);
    CHECK_INT(his.members, 2);

    uint32_t shard = marty__saga_shard("fenced");
    marty_saga_write *write = suite_write("fenced", 1, "");
    write->epoch = mine.held[shard].epoch;
    CHECK_INT(mine.held[shard].shard, shard);
    CHECK_INT(suite_commit(store, write), MARTY_OK);
    marty_saga_shard given = mine.held[shard];
    CHECK_INT(store->table->release(store->handle, "fence-b", &given, 1, suite_until(), NULL),
              MARTY_OK); /* not his to give */
    REQUIRE(other.table->lease(other.handle, &his, suite_until(), NULL) == MARTY_OK);
    CHECK_INT(his.count, 0);
    CHECK_INT(store->table->release(store->handle, "fence-a", &given, 1, suite_until(), NULL),
              MARTY_OK);
    REQUIRE(other.table->lease(other.handle, &his, suite_until(), NULL) == MARTY_OK);
    CHECK_INT(his.count, 1);
    CHECK_INT(his.held[0].shard, shard);
    CHECK_INT(his.held[0].epoch, given.epoch + 1);

    int64_t place = write->place;
    write = suite_write("fenced", 2, "");
    write->epoch = given.epoch;
    write->place = place;
    CHECK_INT(suite_commit(store, write), MARTY_E_LOST);
    write = suite_write("fenced", 2, "");
    write->epoch = his.held[0].epoch;
    CHECK_INT(suite_commit(&other, write), MARTY_OK);
    CHECK_INT(suite_commit(store, suite_write("fenced", 3, "")), MARTY_OK);
    marty_saga_record *record = NULL;
    REQUIRE(store->table->load(store->handle, "fenced", &record, suite_until(), NULL) == MARTY_OK);
    CHECK_INT(record->epoch, given.epoch + 1);
    CHECK_INT(record->facts.version, 3);
    marty_free(record);

    REQUIRE(store->table->lease(store->handle, &mine, suite_until(), NULL) == MARTY_OK);
    CHECK_INT(mine.count, MARTY_SAGA_SHARDS - 1); /* what was lost is gone from what is held */
    CHECK_INT(store->table->release(store->handle, mine.owner, mine.held, mine.count, suite_until(),
                                    NULL),
              MARTY_OK);
    CHECK_INT(
        other.table->release(other.handle, his.owner, his.held, his.count, suite_until(), NULL),
        MARTY_OK);
    mine = (marty_saga_lease){.owner = "fence-a", .term_ms = 1000};
    his = (marty_saga_lease){.owner = "fence-b", .term_ms = 1000};
    CHECK_INT(store->table->lease(store->handle, &mine, suite_until(), NULL), MARTY_OK);
    CHECK_INT(store->table->lease(store->handle, &his, suite_until(), NULL), MARTY_OK);
    CHECK_INT(his.members, 0);
    suite_close(&other);
}

static uint32_t take_all(suite_store *store, marty_saga_lease *lease)
{
    *lease = (marty_saga_lease){.owner = "heir", .term_ms = 60000, .want = MARTY_SAGA_SHARDS};
    return store->table->lease(store->handle, lease, suite_until(), NULL) == MARTY_OK ? lease->count
                                                                                      : 0;
}

/* What a dead owner had goes to another once its term is over, under a higher epoch. */
static void lets_leases_run_out(suite_store *store)
{
    marty_saga_lease dead = {.owner = "dead", .term_ms = 300, .want = 10}, heir;
    REQUIRE(store->table->lease(store->handle, &dead, suite_until(), NULL) == MARTY_OK);
    CHECK_INT(dead.count, 10);
    CHECK_SOON(take_all(store, &heir) == MARTY_SAGA_SHARDS, 5000);
    CHECK_INT(heir.members, 1);
    for (uint32_t i = 0; i < dead.count; i++) {
        CHECK(heir.held[dead.held[i].shard].epoch > dead.held[i].epoch);
    }
    uint32_t held = dead.count;
    dead.want = held;
    REQUIRE(store->table->lease(store->handle, &dead, suite_until(), NULL) == MARTY_OK);
    CHECK_INT(dead.count, 0);
    CHECK_INT(
        store->table->release(store->handle, "heir", heir.held, heir.count, suite_until(), NULL),
        MARTY_OK);
    heir.want = heir.count = dead.want = 0;
    CHECK_INT(store->table->lease(store->handle, &heir, suite_until(), NULL), MARTY_OK);
    CHECK_INT(store->table->lease(store->handle, &dead, suite_until(), NULL), MARTY_OK);
}

static void scans_what_is_due(suite_store *store)
{
    const char *const ids[] = {"due-c", "due-a", "due-b"};
    for (int i = 0; i < 3; i++) {
        marty_saga_write *write = suite_write(ids[i], 1, "");
        write->facts.due_us = 5000 + i * 1000;
        CHECK_INT(suite_commit(store, write), MARTY_OK);
    }
    marty_saga_shards shards = all_shards();
    last found = {0};
    int64_t next = 0;
    REQUIRE(store->table->due(store->handle, &shards, 6500, 10, keep_last, &found, &next,
                              suite_until(), NULL) == MARTY_OK);
    CHECK_INT(found.count, 2);
    CHECK_TEXT(found.id, "due-a");
    CHECK_INT(next, 7000);
    found.count = 0;
    REQUIRE(store->table->due(store->handle, &shards, 9000, 1, keep_last, &found, &next,
                              suite_until(), NULL) == MARTY_OK);
    CHECK_INT(found.count, 1);
    CHECK_TEXT(found.id, "due-c");
    CHECK_INT(next, 6000);
    uint32_t shard = marty__saga_shard("due-c");
    shards.bits[shard / 64] &= ~(UINT64_C(1) << (shard % 64));
    found.count = 0;
    REQUIRE(store->table->due(store->handle, &shards, 9000, 10, keep_last, &found, &next,
                              suite_until(), NULL) == MARTY_OK);
    CHECK_INT(found.count, 2);
    CHECK_TEXT(found.id, "due-b");
    CHECK(next > 9000);
}

static void scans_what_is_unsent(suite_store *store)
{
    marty_saga_write *write = suite_write("unsent", 1, "");
    write->facts.unsent = true;
    write->outbox = (marty_bytes){"to send", 7};
    CHECK_INT(suite_commit(store, write), MARTY_OK);
    marty_saga_shards shards = all_shards();
    last found = {0};
    REQUIRE(store->table->unsent(store->handle, &shards, 5000, 10, keep_last, &found, suite_until(),
                                 NULL) == MARTY_OK);
    CHECK_INT(found.count, 1);
    CHECK_TEXT(found.id, "unsent");
    unsigned count = 0;
    REQUIRE(store->table->unsent(store->handle, &shards, 1001, 10, count_one, &count, suite_until(),
                                 NULL) == MARTY_OK);
    CHECK_INT(count, 0);
    marty_saga_facts other = {.id = "unsent", .version = 2}, same = {.id = "unsent", .version = 1};
    CHECK_INT(store->table->sent(store->handle, &other, 1, suite_until(), NULL), MARTY_OK);
    REQUIRE(store->table->unsent(store->handle, &shards, 5000, 10, count_one, &count, suite_until(),
                                 NULL) == MARTY_OK);
    CHECK_INT(count, 1);
    CHECK_INT(store->table->sent(store->handle, &same, 1, suite_until(), NULL), MARTY_OK);
    REQUIRE(store->table->unsent(store->handle, &shards, 5000, 10, count_one, &count, suite_until(),
                                 NULL) == MARTY_OK);
    CHECK_INT(count, 1);
    CHECK_INT(suite_commit(store, suite_write("unsent", 2, "")), MARTY_OK);
}

static void lists(suite_store *store)
{
    static const marty_saga_status statuses[] = {MARTY_SAGA_RUNNING, MARTY_SAGA_COMPENSATING,
                                                 MARTY_SAGA_COMPLETED};
    for (int i = 0; i < 3; i++) {
        char id[20];
        (void)snprintf(id, sizeof id, "list-%d", i);
        marty_saga_write *write = suite_write(id, 1, id);
        write->facts.name = "listed";
        write->facts.status = statuses[i];
        write->facts.stuck = i == 1 ? "undo refused" : "";
        CHECK_INT(suite_commit(store, write), MARTY_OK);
    }
    const struct {
        marty_saga_filter filter;
        unsigned count;
    } rows[] = {
        {{.name = "listed"}, 3},
        {{.name = "listed", .open = true}, 2},
        {{.name = "listed", .stuck = true}, 1},
        {{.name = "listed", .status = MARTY_SAGA_COMPLETED}, 1},
        {{.name = "listed", .key = "list-1"}, 1},
        {{.name = "listed", .after = "list-0"}, 2},
        {{.name = "listed", .limit = 2}, 2},
        {{.name = "listed", .changed_before_us = 1001}, 0},
        {{.name = "listed", .changed_before_us = 1002}, 3},
        {{.name = "nothing"}, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned count = 0;
        CHECK_INT(store->table->list(store->handle, &rows[i].filter, count_one, &count,
                                     suite_until(), NULL),
                  MARTY_OK);
        CHECK_INT(count, rows[i].count);
    }
}

static bool document_is(void *user, const char *name, uint32_t version, const char *hash,
                        marty_bytes document)
{
    char *text = user;
    (void)snprintf(text + strlen(text), 200 - strlen(text), "%s/%u/%s/%.*s;", name,
                   (unsigned)version, hash, (int)document.size, (const char *)document.data);
    return true;
}

static void keeps_definitions(suite_store *store)
{
    const marty_saga_store_table *table = store->table;
    marty_bytes one = {"one", 3}, two = {"two", 3};
    CHECK_INT(table->define(store->handle, "def", 2, "h2", two, suite_until(), NULL), MARTY_OK);
    CHECK_INT(table->define(store->handle, "def", 1, "h1", one, suite_until(), NULL), MARTY_OK);
    CHECK_INT(table->define(store->handle, "def", 1, "h1", one, suite_until(), NULL), MARTY_OK);
    CHECK_INT(table->define(store->handle, "def", 1, "h3", two, suite_until(), NULL),
              MARTY_E_EXISTS);
    char text[200] = "";
    CHECK_INT(
        table->definitions(store->handle, "def", NULL, document_is, text, suite_until(), NULL),
        MARTY_OK);
    CHECK_TEXT(text, "def/1/h1/one;def/2/h2/two;");
    text[0] = '\0';
    CHECK_INT(table->definitions(store->handle, NULL, "h2", document_is, text, suite_until(), NULL),
              MARTY_OK);
    CHECK_TEXT(text, "def/2/h2/two;");
}

static marty_err fill_in(marty_saga_write *write, void *transaction)
{
    (void)transaction;
    write->state = (marty_bytes){"filled", 6};
    return write->user ? *(marty_err *)write->user : MARTY_OK;
}

static void fills_in_the_transaction(suite_store *store)
{
    marty_err refused = MARTY_E_FAILED;
    marty_saga_write *bad = suite_write("filled", 1, ""), *good = suite_write("filled-too", 1, "");
    bad->fill = good->fill = fill_in;
    bad->user = &refused;
    marty_saga_write *writes[] = {bad, good};
    REQUIRE(store->table->commit(store->handle, writes, 2, suite_until(), NULL) == MARTY_OK);
    CHECK_INT(bad->result, MARTY_E_FAILED);
    CHECK_INT(good->result, MARTY_OK);
    bad = suite_write("filled", 1, "");
    bad->fill = fill_in;
    CHECK_INT(suite_commit(store, bad), MARTY_OK);
    marty_saga_record *record = NULL;
    REQUIRE(store->table->load(store->handle, "filled", &record, suite_until(), NULL) == MARTY_OK);
    CHECK_BYTES(record->state.data, record->state.size, "filled", 6u);
    marty_free(record);
}

static void purges(suite_store *store)
{
    marty_saga_write *write = suite_write("purged", 1, "again");
    write->facts.status = MARTY_SAGA_COMPLETED;
    write->facts.changed_us = 10;
    CHECK_INT(suite_commit(store, write), MARTY_OK);
    uint32_t count = 9;
    CHECK_INT(store->table->purge(store->handle, 10, 100, &count, suite_until(), NULL), MARTY_OK);
    CHECK_INT(count, 0);
    CHECK_INT(store->table->purge(store->handle, 11, 100, &count, suite_until(), NULL), MARTY_OK);
    CHECK_INT(count, 1);
    marty_saga_record *record = NULL;
    CHECK_INT(store->table->load(store->handle, "purged", &record, suite_until(), NULL),
              MARTY_E_NOT_FOUND);
    CHECK_INT(suite_commit(store, suite_write("purged-2", 1, "again")), MARTY_OK);
}

int suite_cases(const char *url)
{
    suite_store store = suite_open(url);
    writes_versions(&store);
    believes_no_place(&store);
    writes_batches(&store);
    keeps_history(&store);
    fences(url, &store);
    lets_leases_run_out(&store);
    scans_what_is_due(&store);
    scans_what_is_unsent(&store);
    lists(&store);
    keeps_definitions(&store);
    fills_in_the_transaction(&store);
    purges(&store);
    CHECK_INT(store.table->settle(store.handle, suite_until(), NULL), MARTY_OK);
    suite_close(&store);
    return check_result();
}
