/* SPDX-License-Identifier: Apache-2.0
 * Random calls on the store under test and on one in memory: every answer must be the same, and in
 * the end all that can be read. Sagas, keys and owners are few, so that calls meet. */
#include "suite.h"

enum { SAGAS = 12, KEYS = 5, OWNERS = 3, TEXT_MAX = 600000 };

static uint64_t state;

static unsigned below(unsigned limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % limit);
}

typedef struct pair {
    suite_store tested, oracle;
    uint64_t versions[SAGAS];
    int64_t places[SAGAS]; /* as the store under test says them */
    uint64_t higher;       /* by which its epochs are, as it may begin anywhere */
    marty_saga_lease leases[OWNERS];
    char owners[OWNERS][20], prefix[24];
} pair;

static void name_saga(const pair *both, unsigned which, char ret_id[40])
{
    (void)snprintf(ret_id, 40, "%s-%u", both->prefix, which);
}

static marty_saga_write *random_write(pair *both, const char *id, unsigned which)
{
    char key[32] = "";
    if (below(2)) {
        (void)snprintf(key, sizeof key, "%s-key-%u", both->prefix, below(KEYS));
    }
    marty_saga_write *write =
        suite_write(id, both->versions[which] + 1 + (below(10) == 0) - (below(10) == 0), key);
    write->facts.name = both->prefix;
    write->facts.status = (marty_saga_status)(1 + below(5));
    write->facts.changed_us = 100000 + below(1000);
    write->facts.due_us = below(3) ? 100000 + below(1000) : INT64_MAX;
    write->facts.unsent = below(2);
    write->facts.paused = below(5) == 0;
    write->facts.stuck = below(5) ? "" : "stuck";
    if (below(3) == 0) {
        write->epoch = 1 + below(4) + both->higher;
    }
    if (below(3)) { /* right mostly; else another's, which must not be believed */
        write->place = both->places[below(4) ? which : below(SAGAS)];
    }
    return write;
}

static void commit_some(pair *both)
{
    enum { BATCH = 4 };
    marty_saga_write *tested[BATCH], copies[BATCH], *oracle[BATCH];
    unsigned which[BATCH], count = 1 + below(BATCH);
    for (unsigned i = 0; i < count; i++) {
        char id[40];
        which[i] = (below(SAGAS / BATCH) * BATCH + i) % SAGAS; /* each once in a batch */
        name_saga(both, which[i], id);
        tested[i] = random_write(both, id, which[i]);
        copies[i] = *tested[i];
        copies[i].epoch -= copies[i].epoch ? both->higher : 0;
        oracle[i] = &copies[i];
    }
    CHECK_INT(both->tested.table->commit(both->tested.handle, tested, count, suite_until(), NULL),
              MARTY_OK);
    CHECK_INT(both->oracle.table->commit(both->oracle.handle, oracle, count, suite_until(), NULL),
              MARTY_OK);
    for (unsigned i = 0; i < count; i++) {
        CHECK_INT(tested[i]->result, copies[i].result);
        if (copies[i].result == MARTY_E_EXISTS) {
            CHECK_TEXT(tested[i]->existing, copies[i].existing);
        }
        if (copies[i].result == MARTY_OK) {
            both->versions[which[i]] = copies[i].facts.version;
            both->places[which[i]] = tested[i]->place;
        }
    }
}

/* A lease of the store under test, as the oracle has it. */
static marty_saga_lease of_oracle(const pair *both, const marty_saga_lease *lease)
{
    marty_saga_lease copy = *lease;
    for (uint32_t i = 0; i < copy.count; i++) {
        copy.held[i].epoch -= both->higher;
    }
    return copy;
}

static bool same_held(const pair *both, const marty_saga_lease *lease,
                      const marty_saga_lease *oracle)
{
    for (uint32_t i = 0; i < lease->count; i++) {
        if (lease->held[i].shard != oracle->held[i].shard ||
            lease->held[i].epoch != oracle->held[i].epoch + both->higher) {
            return false;
        }
    }
    return true;
}

static void lease_some(pair *both)
{
    marty_saga_lease *lease = &both->leases[below(OWNERS)];
    lease->want = below(4) ? below(MARTY_SAGA_SHARDS) : 0;
    if (below(6) == 0) {
        lease->count = 0; /* it forgets what it had, as after a lost answer */
    }
    marty_saga_lease copy = of_oracle(both, lease);
    CHECK_INT(both->tested.table->lease(both->tested.handle, lease, suite_until(), NULL), MARTY_OK);
    CHECK_INT(both->oracle.table->lease(both->oracle.handle, &copy, suite_until(), NULL), MARTY_OK);
    CHECK_INT(lease->count, copy.count);
    CHECK_INT(lease->members, copy.members);
    if (lease->count == copy.count) {
        CHECK(same_held(both, lease, &copy));
    }
}

static void release_some(pair *both)
{
    marty_saga_lease *lease = &both->leases[below(OWNERS)];
    uint32_t given = lease->count ? below(lease->count + 1) : 0;
    marty_saga_lease copy = of_oracle(both, lease);
    lease->count -= given;
    CHECK_INT(both->tested.table->release(both->tested.handle, lease->owner,
                                          &lease->held[lease->count], given, suite_until(), NULL),
              MARTY_OK);
    CHECK_INT(both->oracle.table->release(both->oracle.handle, lease->owner,
                                          &copy.held[lease->count], given, suite_until(), NULL),
              MARTY_OK);
}

static void mark_sent(pair *both)
{
    char id[40];
    unsigned which = below(SAGAS);
    name_saga(both, which, id);
    marty_saga_facts facts = {.id = id, .version = both->versions[which] + (below(4) == 0)};
    CHECK_INT(both->tested.table->sent(both->tested.handle, &facts, 1, suite_until(), NULL),
              MARTY_OK);
    CHECK_INT(both->oracle.table->sent(both->oracle.handle, &facts, 1, suite_until(), NULL),
              MARTY_OK);
}

/* ---- what can be read, as text */
static bool write_facts(void *user, const marty_saga_facts *facts)
{
    char *text = user;
    size_t size = strlen(text);
    (void)snprintf(text + size, TEXT_MAX - size, "%s %s %s %s %d %d %u v%u %d %d %d %d\n",
                   facts->id, facts->name, facts->key, facts->stuck, facts->status, facts->paused,
                   (unsigned)facts->shard, (unsigned)facts->version, (int)facts->started_us,
                   (int)facts->changed_us, facts->due_us == INT64_MAX ? -1 : (int)facts->due_us,
                   facts->unsent);
    return true;
}

static bool write_batch(void *user, uint64_t version, int64_t at_us, marty_bytes batch)
{
    char *text = user;
    size_t size = strlen(text);
    (void)snprintf(text + size, TEXT_MAX - size, "  %u %d %.*s\n", (unsigned)version, (int)at_us,
                   (int)batch.size, (const char *)batch.data);
    return true;
}

static char *read_scans(const pair *both, const suite_store *store, char *text, int64_t now_us,
                        unsigned limit)
{
    marty_saga_shards shards = {{UINT64_MAX, 0xffff, UINT64_MAX, 7}};
    int64_t next = 0;
    text[0] = '\0';
    CHECK_INT(store->table->due(store->handle, &shards, now_us, limit, write_facts, text, &next,
                                suite_until(), NULL),
              MARTY_OK);
    (void)snprintf(text + strlen(text), 40, "next %lld\n", (long long)next);
    CHECK_INT(store->table->unsent(store->handle, &shards, now_us, limit, write_facts, text,
                                   suite_until(), NULL),
              MARTY_OK);
    marty_saga_filter filter = {.name = both->prefix, .stuck = limit == 3, .open = limit == 5};
    CHECK_INT(store->table->list(store->handle, &filter, write_facts, text, suite_until(), NULL),
              MARTY_OK);
    return text;
}

static char *read_histories(const pair *both, const suite_store *store, char *text)
{
    text[0] = '\0';
    for (unsigned which = 0; which < SAGAS; which++) {
        char id[40];
        name_saga(both, which, id);
        (void)store->table->history(store->handle, id, 0, write_batch, text, suite_until(), NULL);
    }
    return text;
}

static void compare(const pair *both)
{
    static char tested[TEXT_MAX], oracle[TEXT_MAX];
    int64_t now_us = 100000 + below(1000);
    unsigned limit = 1 + below(8);
    CHECK_TEXT(read_scans(both, &both->tested, tested, now_us, limit),
               read_scans(both, &both->oracle, oracle, now_us, limit));
}

/* Give back all, also what an owner has forgotten. */
static void leave(pair *both)
{
    for (int i = 0; i < OWNERS; i++) {
        marty_saga_lease *lease = &both->leases[i];
        lease->want = MARTY_SAGA_SHARDS;
        CHECK_INT(both->tested.table->lease(both->tested.handle, lease, suite_until(), NULL),
                  MARTY_OK);
        CHECK_INT(both->tested.table->release(both->tested.handle, lease->owner, lease->held,
                                              lease->count, suite_until(), NULL),
                  MARTY_OK);
        lease->want = lease->count = 0;
        CHECK_INT(both->tested.table->lease(both->tested.handle, lease, suite_until(), NULL),
                  MARTY_OK);
    }
}

/* Each shard is given once, and by how much its epoch is higher than the oracle's is the same for
 * all of them. */
static void compare_epochs(pair *both)
{
    marty_saga_lease tested = both->leases[0], oracle = tested;
    tested.want = oracle.want = MARTY_SAGA_SHARDS;
    CHECK_INT(both->tested.table->lease(both->tested.handle, &tested, suite_until(), NULL),
              MARTY_OK);
    CHECK_INT(both->oracle.table->lease(both->oracle.handle, &oracle, suite_until(), NULL),
              MARTY_OK);
    REQUIRE(tested.count == MARTY_SAGA_SHARDS && oracle.count == MARTY_SAGA_SHARDS);
    both->higher = tested.held[0].epoch - oracle.held[0].epoch;
    CHECK(same_held(both, &tested, &oracle));
    CHECK_INT(both->tested.table->release(both->tested.handle, tested.owner, tested.held,
                                          tested.count, suite_until(), NULL),
              MARTY_OK);
    CHECK_INT(both->oracle.table->release(both->oracle.handle, oracle.owner, oracle.held,
                                          oracle.count, suite_until(), NULL),
              MARTY_OK);
}

int suite_random(const char *url, uint64_t seed, unsigned calls)
{
    static char tested[TEXT_MAX], oracle[TEXT_MAX];
    state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    pair both = {.tested = suite_open(url), .oracle = suite_open("memory:")};
    (void)snprintf(both.prefix, sizeof both.prefix, "r%u", (unsigned)seed);
    for (int i = 0; i < OWNERS; i++) {
        (void)snprintf(both.owners[i], sizeof both.owners[i], "owner-%d", i);
        both.leases[i] = (marty_saga_lease){.owner = both.owners[i], .term_ms = 600000};
    }
    compare_epochs(&both);
    for (unsigned i = 0; i < calls && atomic_load(&check__failed) == 0; i++) {
        switch (below(8)) {
        case 0:
            lease_some(&both);
            break;
        case 1:
            release_some(&both);
            break;
        case 2:
            mark_sent(&both);
            break;
        case 3:
            compare(&both);
            break;
        default:
            commit_some(&both);
        }
    }
    CHECK(strcmp(read_histories(&both, &both.tested, tested),
                 read_histories(&both, &both.oracle, oracle)) == 0);
    leave(&both);
    suite_close(&both.oracle);
    suite_close(&both.tested);
    return check_result();
}
