/* SPDX-License-Identifier: Apache-2.0
 * Leases: who is alive, and who has which shard under which epoch. All of it is one key, written
 * over the revision that was read, so that two who take shards at once cannot both have them. Time
 * is the leader's: a key is written, and the server says when it was. */
#include "kv.h"

#include <stdlib.h>
#include <string.h>

enum { SHARDS = MARTY_SAGA_SHARDS, OWNER = 64, TEXT_MAX = 160 * 1024 };

#define TICK_KEY "now"

typedef struct member {
    char owner[OWNER]; /* "" = none */
    int64_t until_us;
} member;

typedef struct shard {
    char owner[OWNER]; /* "" = free */
    uint64_t epoch;
    int64_t until_us;
} shard;

typedef struct shards {
    shard all[SHARDS];
    member members[SHARDS];
} shards;

/* ---- as text: a line for each member (M) and each holder (H: an owner and the end of its
 * leases), the epochs (E), and the holder of each shard (O; 0 = free) */
static size_t write_member(char *text, size_t at, char kind, const char *owner, int64_t until_us)
{
    at += (size_t)snprintf(text + at, TEXT_MAX - at, "\n%c %lld ~", kind, (long long)until_us);
    return kv_text_write(text, at, TEXT_MAX, owner);
}

static size_t write_shards(char *text, const shards *from)
{
    size_t at = (size_t)snprintf(text, TEXT_MAX, "1"), holders = 0;
    unsigned holder[SHARDS] = {0};
    for (size_t i = 0; i < SHARDS; i++) {
        if (from->members[i].owner[0]) {
            at = write_member(text, at, 'M', from->members[i].owner, from->members[i].until_us);
        }
    }
    for (size_t i = 0; i < SHARDS; i++) {
        const shard *one = &from->all[i];
        for (size_t before = 0; before < i && one->owner[0] && !holder[i]; before++) {
            if (from->all[before].until_us == one->until_us &&
                strcmp(from->all[before].owner, one->owner) == 0) {
                holder[i] = holder[before];
            }
        }
        if (one->owner[0] && !holder[i]) {
            holder[i] = (unsigned)++holders;
            at = write_member(text, at, 'H', one->owner, one->until_us);
        }
    }
    at += (size_t)snprintf(text + at, TEXT_MAX - at, "\nE");
    for (size_t i = 0; i < SHARDS; i++) {
        at += (size_t)snprintf(text + at, TEXT_MAX - at, " %llu",
                               (unsigned long long)from->all[i].epoch);
    }
    at += (size_t)snprintf(text + at, TEXT_MAX - at, "\nO");
    for (size_t i = 0; i < SHARDS; i++) {
        at += (size_t)snprintf(text + at, TEXT_MAX - at, " %u", holder[i]);
    }
    return at + (size_t)snprintf(text + at, TEXT_MAX - at, "\n");
}

static bool read_numbers(const char *line, uint64_t ret[SHARDS])
{
    for (size_t i = 0; i < SHARDS; i++) {
        char *end = NULL;
        ret[i] = line ? strtoull(line, &end, 10) : 0;
        if (!line || end == line) {
            return false;
        }
        line = end;
    }
    return true;
}

/* A copy as a text of C; NULL without memory. */
static char *text_of(const kv_value *value)
{
    char *text = marty_alloc(value->data.size + 1);
    if (text) {
        memcpy(text, value->data.data, value->data.size);
        text[value->data.size] = '\0';
    }
    return text;
}

static const char *line_of(const char *text, const char *begin)
{
    const char *at = strstr(text, begin);
    return at ? at + strlen(begin) : NULL;
}

/* A damaged table does not say under which epoch a shard was given last. But each time took a write
 * of this key, so no epoch is as high as the number of the write that has damaged it: from there
 * they go on, and whoever believes to hold a shard has an older one. One that is not there may have
 * been, as a purge leaves nothing: they begin at the number of a write just made. */
static uint64_t epoch_above_all(const kv_value *damaged)
{
    return damaged->seq;
}

marty_err kv_epochs(const kv_value *value, uint64_t ret_epochs[MARTY_SAGA_SHARDS], marty_error *why)
{
    memset(ret_epochs, 0, SHARDS * sizeof *ret_epochs);
    char *text = value ? text_of(value) : NULL;
    if (value && !text) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "reading the epochs of shards");
    }
    if (value && !read_numbers(line_of(text, "\nE"), ret_epochs)) {
        for (size_t i = 0; i < SHARDS; i++) {
            ret_epochs[i] = epoch_above_all(value);
        }
    }
    marty_free(text);
    return MARTY_OK;
}

/* Nobody has a shard, and nobody is known to live. */
static void begin_again(shards *to, uint64_t epoch)
{
    memset(to, 0, sizeof *to);
    for (size_t i = 0; i < SHARDS; i++) {
        to->all[i].epoch = epoch;
    }
}

static bool read_shards(const char *text, member holders[SHARDS], shards *to)
{
    uint64_t epochs[SHARDS], holder[SHARDS];
    size_t members = 0, holder_count = 0;
    bool fine =
        read_numbers(line_of(text, "\nE"), epochs) && read_numbers(line_of(text, "\nO"), holder);
    for (const char *at = text; fine && (at = strchr(at, '\n')) != NULL; at++) {
        bool lives = at[1] == 'M', holds = at[1] == 'H';
        size_t *count = lives ? &members : &holder_count;
        const char *name = lives || holds ? strchr(at, '~') : NULL;
        if (name && *count < SHARDS) {
            member *one = lives ? &to->members[members] : &holders[holder_count];
            one->until_us = strtoll(at + 2, NULL, 10);
            char owner[sizeof one->owner * 3];
            (void)snprintf(owner, sizeof owner, "%.*s", (int)strcspn(name, "\n"), name);
            kv_text_read(one->owner, sizeof one->owner, owner);
            ++*count;
        }
    }
    for (size_t i = 0; i < SHARDS && fine; i++) {
        to->all[i].epoch = epochs[i];
        if (holder[i] && holder[i] <= holder_count) {
            to->all[i].until_us = holders[holder[i] - 1].until_us;
            memcpy(to->all[i].owner, holders[holder[i] - 1].owner, OWNER);
        }
    }
    return fine;
}

/* ---- what a lease changes */
static void name_owner(char ret[OWNER], const char *owner)
{
    (void)snprintf(ret, OWNER, "%s", owner);
}

/* The place of an owner among the members; NULL when there is none and no free one either. */
static member *member_of(shards *of, const char *owner, int64_t now)
{
    member *place = NULL;
    for (size_t i = 0; i < SHARDS; i++) {
        member *one = &of->members[i];
        if (one->owner[0] && strcmp(one->owner, owner) == 0) {
            return one;
        }
        if (!place && (!one->owner[0] || one->until_us <= now)) {
            place = one;
        }
    }
    return place;
}

/* Who has run out is no member any more. */
static uint32_t count_members(shards *of, int64_t now)
{
    uint32_t count = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        if (of->members[i].until_us <= now) {
            of->members[i] = (member){.until_us = 0};
        }
        count += of->members[i].owner[0] != '\0';
    }
    return count;
}

/* Keep of what is held what nobody took meanwhile. */
static void renew(shards *of, marty_saga_lease *lease, int64_t until, bool kept[SHARDS])
{
    uint32_t count = lease->count;
    lease->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        marty_saga_shard held = lease->held[i];
        shard *one = &of->all[held.shard % SHARDS];
        if (one->epoch == held.epoch && strcmp(one->owner, lease->owner) == 0) {
            one->until_us = until;
            kept[held.shard % SHARDS] = true;
            lease->held[lease->count++] = held;
        }
    }
}

static marty_err change(shards *of, marty_saga_lease *lease, int64_t now, marty_error *why)
{
    int64_t until = now + (int64_t)lease->term_ms * 1000;
    bool leaves = !lease->want && !lease->count, kept[SHARDS] = {false};
    member *self = member_of(of, lease->owner, now);
    if (!self) {
        return marty_error_set(why, MARTY_E_UNAVAILABLE, "more than %d engines", SHARDS);
    }
    *self = (member){.until_us = 0};
    if (!leaves) {
        name_owner(self->owner, lease->owner);
        self->until_us = until;
    }
    renew(of, lease, until, kept);
    for (uint32_t i = 0; i < SHARDS && lease->count < lease->want; i++) {
        shard *one = &of->all[i];
        /* One that is ours without our knowing: the answer to its lease was lost. */
        bool mine = strcmp(one->owner, lease->owner) == 0;
        if (!kept[i] && (!one->owner[0] || mine || one->until_us <= now)) {
            name_owner(one->owner, lease->owner);
            one->until_us = until;
            lease->held[lease->count++] = (marty_saga_shard){i, ++one->epoch};
        }
    }
    lease->members = count_members(of, now);
    return MARTY_OK;
}

/* ---- reading and writing the key; the writer is entered */
static marty_err server_time(marty_saga_store *store, int64_t *ret_us, uint64_t *ret_seq,
                             int64_t until_ns, marty_error *why)
{
    kv_call call = {.code = 0};
    kv_value *value = NULL;
    kv_put(store, &call, TICK_KEY, NULL, (marty_bytes){"", 0});
    marty_err err = kv_ask(store, &store->writer, &call, until_ns, why);
    if (!err && call.code) {
        err = kv_refused(&call, "asking for the time", why);
    } else if (!err) {
        kv_saw(store, TICK_KEY, call.seq);
    }
    kv_end(&call);
    err = err ? err : kv_read(store, &store->writer, TICK_KEY, &value, until_ns, why);
    if (!err && (!value || value->at_us <= 0)) {
        err = marty_error_set(why, MARTY_E_PROTOCOL, "JetStream does not say what time it is");
    }
    *ret_us = value ? value->at_us : 0;
    *ret_seq = value ? value->seq : 0;
    marty_free(value);
    return err;
}

static marty_err take_table(const kv_value *value, shards *ret, bool *ret_damaged, marty_error *why)
{
    char *text = text_of(value);
    member *holders = marty_alloc_zero(SHARDS, sizeof *holders);
    bool room = text && holders;
    *ret_damaged = room && !read_shards(text, holders, ret);
    if (*ret_damaged) {
        begin_again(ret, epoch_above_all(value));
    }
    marty_free(holders);
    marty_free(text);
    return room ? MARTY_OK : marty_error_set(why, MARTY_E_NO_MEMORY, "leasing shards");
}

/* above: higher than any epoch that was given before. */
static marty_err read_now(marty_saga_store *store, shards *ret, uint64_t above, bool *ret_damaged,
                          uint64_t *ret_seq, int64_t until_ns, marty_error *why)
{
    kv_value *value = NULL;
    *ret_damaged = false;
    begin_again(ret, above);
    marty_err err = kv_read(store, &store->writer, KV_SHARDS_KEY, &value, until_ns, why);
    if (!err && value) {
        err = take_table(value, ret, ret_damaged, why);
    }
    *ret_seq = value ? value->seq : 0;
    marty_free(value);
    return err;
}

static marty_err write_now(marty_saga_store *store, const shards *from, uint64_t over,
                           int64_t until_ns, marty_error *why)
{
    char *text = marty_alloc(TEXT_MAX);
    uint64_t seq = 0;
    if (!text) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "leasing shards");
    }
    marty_bytes body = {text, write_shards(text, from)};
    marty_err err = kv_write(store, &store->writer, KV_SHARDS_KEY, NULL, false, body, over, &seq,
                             until_ns, why);
    marty_free(text);
    return err;
}

/* Another was first, or perhaps we were: look again. */
static bool again(const marty_saga_store *store, marty_err err, int64_t until_ns)
{
    return (err == MARTY_E_STATE || err == MARTY_E_MAYBE_STORED) && !kv_is_late(store, until_ns);
}

marty_err kv_lease(marty_saga_store *store, marty_saga_lease *lease, int64_t until_ns,
                   marty_error *why)
{
    shards *now = marty_alloc(sizeof *now);
    if (!now) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "leasing shards");
    }
    marty_err err = kv_enter(store, &store->writer, until_ns, why);
    if (err) {
        marty_free(now);
        return err;
    }
    marty_saga_lease wanted;
    bool damaged = false;
    do {
        int64_t now_us = 0;
        uint64_t seq = 0, tick = 0;
        wanted = *lease;
        err = server_time(store, &now_us, &tick, until_ns, why);
        err = err ? err : read_now(store, now, tick, &damaged, &seq, until_ns, why);
        err = err || damaged ? err : change(now, &wanted, now_us, why);
        err = err ? err : write_now(store, now, seq, until_ns, why);
    } while (again(store, err, until_ns));
    kv_leave(&store->writer);
    marty_free(now);
    if (!err && damaged) { /* said by whoever mends it; the next call leases */
        return marty_error_set(
            why, MARTY_E_MALFORMED,
            "the key %s of %s was damaged, and is made anew: all shards are free", KV_SHARDS_KEY,
            store->bucket);
    }
    if (!err) {
        *lease = wanted;
    }
    return err == MARTY_E_STATE || err == MARTY_E_MAYBE_STORED ? MARTY_E_TIMEOUT : err;
}

marty_err kv_release(marty_saga_store *store, const char *owner, const marty_saga_shard given[],
                     size_t count, int64_t until_ns, marty_error *why)
{
    shards *now = marty_alloc(sizeof *now);
    if (!now) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "giving shards back");
    }
    marty_err err = kv_enter(store, &store->writer, until_ns, why);
    if (err) {
        marty_free(now);
        return err;
    }
    do {
        uint64_t seq = 0;
        bool changed = false, damaged = false;
        err = read_now(store, now, 0, &damaged, &seq, until_ns, why); /* 0: only takes from it */
        for (size_t i = 0; i < count && !err; i++) {
            shard *one = &now->all[given[i].shard % SHARDS];
            if (one->epoch == given[i].epoch && strcmp(one->owner, owner) == 0) {
                memset(one->owner, 0, sizeof one->owner);
                one->until_us = 0;
                changed = true;
            }
        }
        err = err || !changed ? err : write_now(store, now, seq, until_ns, why);
    } while (again(store, err, until_ns));
    kv_leave(&store->writer);
    marty_free(now);
    return err == MARTY_E_STATE || err == MARTY_E_MAYBE_STORED ? MARTY_E_TIMEOUT : err;
}
