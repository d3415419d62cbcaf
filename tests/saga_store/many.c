/* SPDX-License-Identifier: Apache-2.0
 * Many sagas in one call: a store may read and write many in another way than a few. */
#include "suite.h"

enum { MANY = 40 };

static bool note_version(void *user, marty_saga_record *record)
{
    unsigned *versions = user;
    unsigned which = (unsigned)record->facts.id[strlen(record->facts.id) - 1] - (unsigned)'0';
    char state[40];
    int size = snprintf(state, sizeof state, "state of %s at %u", record->facts.id,
                        (unsigned)record->facts.version);
    CHECK_BYTES(record->state.data, record->state.size, state, (size_t)size);
    CHECK(which < 3);
    versions[which % 3] += (unsigned)record->facts.version;
    marty_free(record);
    return true;
}

static void reads_many(suite_store *store)
{
    const char *const ids[] = {"many-2", "nobody", "many-0", "many-1"};
    unsigned versions[3] = {0};
    if (!store->table->load_many) {
        return; /* it may lack it */
    }
    for (unsigned i = 0; i < 6; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "many-%u", i % 3);
        CHECK_INT(suite_commit(store, suite_write(id, 1 + i / 3, "")), MARTY_OK);
    }
    CHECK_INT(
        store->table->load_many(store->handle, ids, 4, note_version, versions, suite_until(), NULL),
        MARTY_OK);
    CHECK_BYTES(versions, sizeof versions, ((unsigned[]){2, 2, 2}), sizeof versions);
}

static void name_write(char id[16], unsigned number)
{
    (void)snprintf(id, 16, "bulk-%02u", number);
}

/* Whatever some meet, it is theirs alone. */
static void writes_many(suite_store *store)
{
    marty_saga_write *writes[MANY];
    char id[16];
    for (unsigned version = 1; version <= 3; version++) {
        for (unsigned i = 0; i < MANY; i++) {
            name_write(id, i);
            bool skips = version == 1 && i == 5, begins = version == 2 && i == 7;
            writes[i] = suite_write(id, skips ? 7 : begins ? 1 : version, i < 2 ? "bulk" : "");
            writes[i]->epoch = version == 3 && i == 9 ? UINT64_C(1) << 40 : 0;
        }
        REQUIRE(store->table->commit(store->handle, writes, MANY, suite_until(), NULL) == MARTY_OK);
        for (unsigned i = 0; i < MANY; i++) {
            bool refused = i == 5 || (version > 1 && (i == 1 || i == 7));
            marty_err want = version == 1 && i == 1   ? MARTY_E_EXISTS
                             : version == 3 && i == 9 ? MARTY_E_LOST
                             : refused                ? MARTY_E_STATE
                                                      : MARTY_OK;
            CHECK_INT(writes[i]->result, want);
        }
        CHECK_TEXT(writes[1]->existing, version == 1 ? "bulk-00" : "");
    }
    for (unsigned i = 0; i < MANY; i++) {
        marty_saga_record *record = NULL;
        name_write(id, i);
        unsigned version = i == 1 || i == 5 ? 0 : i == 7 ? 1 : i == 9 ? 2 : 3;
        CHECK_INT(store->table->load(store->handle, id, &record, suite_until(), NULL),
                  version ? MARTY_OK : MARTY_E_NOT_FOUND);
        CHECK_INT(record ? record->facts.version : 0, version);
        marty_free(record);
    }
}

int suite_many(const char *url)
{
    suite_store store = suite_open(url);
    reads_many(&store);
    writes_many(&store);
    suite_close(&store);
    return check_result();
}
