/* SPDX-License-Identifier: Apache-2.0
 * Writing sagas: each is one message over the revision that was read, all of a batch are on their
 * way together, in rounds: what each needs next is asked at once, and waited for once. A write
 * without an answer, or refused, is not in doubt for long: the saga is read, and its history says
 * whether the write has come through; if not it is made again, over the same revision, so that the
 * two cannot both be. Only what is open at the deadline is answered MAYBE_STORED. */
#include "kv.h"

#include <stdlib.h>
#include <string.h>

enum { HEADERS = 1024 }; /* room for what is beside the facts and the bytes */

typedef struct batch {
    marty_saga_store *store;
    kv_one *ones;
    size_t count;
    uint64_t epochs[MARTY_SAGA_SHARDS];
} batch;

static marty_bytes run_of(const kv_one *one)
{
    return (marty_bytes){one->run, one->run_size};
}

static void begin_one(batch *of, kv_one *one)
{
    marty_saga_write *write = one->write;
    kv_known known;
    write->result = MARTY_OK;
    write->existing[0] = '\0';
    if (write->facts.version == 1 && !write->fill) {
        kv_start_begin(one);
    } else if (!write->fill && kv_known_get(of->store, write->facts.id, &known)) {
        one->seq = known.seq;
        one->version = known.version;
        one->birth = known.birth;
        one->run = known.run;
        one->run_size = known.run_size;
        one->stage = known.version + 1 == write->facts.version ? KV_WRITE : KV_FETCH;
    } else {
        one->stage = KV_FETCH;
    }
}

/* ---- what is written */

/* As they are to be, with what the start has settled. */
static void settle_facts(kv_one *one, marty_saga_facts *ret)
{
    *ret = one->write->facts;
    if (ret->version > 1) {
        ret->name = one->birth.name;
        ret->key = one->birth.key;
        ret->shard = one->birth.shard;
        ret->started_us = one->birth.started_us;
    }
}

/* Its bytes, made anew for each revision that it is tried over. False: it has ended or its old
 * history must move first. */
static bool make_body(const batch *of, kv_one *one)
{
    marty_saga_write *write = one->write;
    if (write->fill && !one->filled) {
        one->filled = true;
        marty_err err = write->fill(write, NULL);
        if (err) {
            kv_finish(one, err);
            return false;
        }
    }
    const kv_batch last = {.version = write->facts.version,
                           .token = one->token,
                           .at_us = write->facts.changed_us,
                           .batch = write->history};
    marty_saga_facts facts;
    settle_facts(one, &facts);
    marty_free(one->body);
    kv_facts_write(one->call.facts, &facts);
    one->body = kv_body_write(write->state, write->outbox, run_of(one), &last, &one->body_size,
                              &one->run_at);
    if (!one->body) {
        kv_finish(one, MARTY_E_NO_MEMORY);
        return false;
    }
    bool fits =
        one->body_size + strlen(one->call.facts) + HEADERS <= atomic_load(&of->store->payload_max);
    if (one->run_size && (!fits || one->run_size > KV_RUN_MAX)) {
        one->stage = KV_CHUNK;
        return false;
    }
    if (!fits) {
        kv_finish(one, MARTY_E_TOO_LARGE);
    }
    return fits;
}

static void call_chunk(const batch *of, kv_one *one)
{
    kv_batch first = {.version = 0}, last = {.version = 0};
    size_t at = 0;
    kv_key key;
    while (kv_run_next(run_of(one), &at, &last)) {
        first = first.version ? first : last;
    }
    kv_chunk_key(key, one->write->facts.id, first.version, last.version);
    kv_put(of->store, &one->call, key, NULL, run_of(one));
    kv_expect(&one->call, 0);
}

/* Another start under the same key goes first. */
static bool must_wait(const batch *of, const kv_one *one)
{
    const marty_saga_facts *mine = &one->write->facts;
    if (mine->version != 1 || !mine->key || !*mine->key) {
        return false;
    }
    for (const kv_one *other = of->ones; other < one; other++) {
        const marty_saga_facts *his = &other->write->facts;
        if (other->stage != KV_DONE && his->version == 1 && his->key &&
            strcmp(his->key, mine->key) == 0 && strcmp(his->name, mine->name) == 0) {
            return true;
        }
    }
    return false;
}

/* The call of a round; NULL: none. */
static kv_call *next_call(const batch *of, kv_one *one)
{
    kv_key key;
    one->waits = false;
    if (one->stage == KV_DONE || must_wait(of, one)) {
        return NULL;
    }
    kv_saga_key(key, one->write->facts.id);
    if (one->stage == KV_WRITE && make_body(of, one)) {
        char facts[KV_FACTS_MAX];
        (void)snprintf(facts, sizeof facts, "%s", one->call.facts);
        kv_put(of->store, &one->call, key, facts, (marty_bytes){one->body, one->body_size});
        kv_expect(&one->call, one->seq);
    } else if (one->stage == KV_CHUNK) {
        call_chunk(of, one);
    } else if (one->stage == KV_FETCH) {
        kv_get(of->store, &one->call, key);
    } else {
        kv_start_call(of->store, one);
    }
    return one->stage == KV_DONE ? NULL : &one->call;
}

/* ---- what has come of it */

/* Whether the history beside the saga reaches back to our version; *ret_ours: it is our write. */
static bool has_version(const kv_one *one, marty_bytes run, bool *ret_ours)
{
    kv_batch past;
    *ret_ours = false;
    for (size_t at = 0; kv_run_next(run, &at, &past);) {
        if (past.version == one->write->facts.version) {
            *ret_ours = past.token == one->token;
            return true;
        }
    }
    return false;
}

static void take_saga(batch *of, kv_one *one, const kv_value *value)
{
    kv_facts his;
    kv_body body;
    if (!kv_facts_read(&his, one->write->facts.id, value->facts) ||
        !kv_body_read(value->data, &body)) {
        kv_finish(one, MARTY_E_MALFORMED);
        return;
    }
    kv_known_put(of->store, &his.facts, value->seq, body.run);
    bool ours = false, there = has_version(one, body.run, &ours);
    if (ours) {
        kv_seen(of->store, value->seq);
        kv_finish(one, MARTY_OK);
        return;
    }
    if (his.facts.version + 1 != one->write->facts.version) {
        bool past = one->maybe && his.facts.version > one->write->facts.version;
        kv_finish(one, past && !there ? MARTY_E_MAYBE_STORED : MARTY_E_STATE);
        return;
    }
    marty_free(one->run);
    one->run = marty_alloc(body.run.size + 1);
    if (!one->run) {
        kv_finish(one, MARTY_E_NO_MEMORY);
        return;
    }
    memcpy(one->run, body.run.data, body.run.size);
    one->run_size = body.run.size;
    one->waits = one->seq == value->seq; /* refused over the same: another is on its way */
    one->seq = value->seq;
    one->version = his.facts.version;
    kv_birth_take(&one->birth, &his.facts);
    one->stage = KV_WRITE;
}

static void fetched(batch *of, kv_one *one)
{
    bool none = one->call.code == KV_NO_MESSAGE;
    if (!none && (!one->call.answered || one->call.code)) {
        one->waits = true;
        return;
    }
    kv_value *value = none ? NULL : kv_value_of(of->store, &one->call);
    if (!none && !value) {
        kv_finish(one, MARTY_E_NO_MEMORY);
        return;
    }
    kv_key key;
    uint64_t seq = value ? value->seq : 0;
    kv_saga_key(key, one->write->facts.id);
    if (seq < one->seq || kv_is_old(of->store, key, seq)) {
        one->waits = true; /* of a leader that is none any more: ask again */
        marty_free(value);
        return;
    }
    kv_saw(of->store, key, seq);
    one->fetched = true;
    if (value && !value->gone) {
        take_saga(of, one, value);
    } else if (one->write->facts.version != 1) {
        kv_finish(one, MARTY_E_STATE);
    } else {
        one->waits = one->maybe;
        one->seq = value ? value->seq : 0;
        one->stage = one->write->facts.key && *one->write->facts.key ? KV_LOOK : KV_WRITE;
    }
    marty_free(value);
}

static void written(batch *of, kv_one *one)
{
    const kv_call *call = &one->call;
    if (call->answered && call->code == 0) {
        marty_saga_facts facts;
        kv_key key;
        kv_saga_key(key, one->write->facts.id);
        kv_saw(of->store, key, call->seq);
        settle_facts(one, &facts);
        kv_known_put(of->store, &facts, call->seq,
                     (marty_bytes){one->body + one->run_at, one->body_size - one->run_at});
        kv_seen(of->store, call->seq);
        kv_finish(one, MARTY_OK);
        return;
    }
    kv_known_drop(of->store, one->write->facts.id);
    if (call->code == KV_TOO_LARGE) {
        kv_finish(one, MARTY_E_TOO_LARGE);
        return;
    }
    /* A refusal is no proof either: two may hold themselves for the leader, and both have it. */
    one->maybe |= !call->unsent;
    one->waits = call->unsent;
    one->stage = KV_FETCH;
}

static void end_call(batch *of, kv_one *one)
{
    switch (one->stage) {
    case KV_FETCH:
        fetched(of, one);
        break;
    case KV_WRITE:
        written(of, one);
        break;
    case KV_CHUNK:
        if (one->call.answered && (one->call.code == 0 || kv_is_conflict(&one->call))) {
            marty_free(one->run);
            one->run = NULL;
            one->run_size = 0;
            one->stage = KV_WRITE;
        } else {
            one->waits = true;
        }
        break;
    case KV_CLAIM:
    case KV_LOOK:
    case KV_OTHER:
    case KV_FENCE:
        kv_start_end(of->store, one);
        break;
    case KV_DONE:
        break;
    }
}

/* One round; false: all have ended. */
static bool run_round(batch *of, kv_call **calls, kv_one **asking, int64_t until_ns)
{
    size_t count = 0;
    bool waits = false;
    for (size_t i = 0; i < of->count; i++) {
        kv_call *call = next_call(of, &of->ones[i]);
        if (call) {
            asking[count] = &of->ones[i];
            calls[count++] = call;
        }
    }
    if (!count) {
        return false;
    }
    kv_exchange(of->store, &of->store->writer, calls, count, until_ns);
    for (size_t i = 0; i < count; i++) {
        end_call(of, asking[i]);
        waits |= asking[i]->waits;
    }
    if (waits) {
        kv_pause(of->store, &of->store->writer, until_ns);
    }
    return true;
}

/* ---- the shards' epochs, read before anything is written */
static marty_err check_epochs(batch *of, int64_t until_ns, marty_error *why)
{
    kv_value *value = NULL;
    bool named = false;
    for (size_t i = 0; i < of->count; i++) {
        named |= of->ones[i].write->epoch != 0;
    }
    if (!named) {
        return MARTY_OK;
    }
    marty_err err = kv_read(of->store, &of->store->writer, KV_SHARDS_KEY, &value, until_ns, why);
    err = err ? err : kv_epochs(value, of->epochs, why);
    marty_free(value);
    for (size_t i = 0; i < of->count && !err; i++) {
        marty_saga_write *write = of->ones[i].write;
        if (write->epoch && write->epoch != of->epochs[write->facts.shard % MARTY_SAGA_SHARDS]) {
            kv_finish(&of->ones[i], MARTY_E_LOST);
        }
    }
    return err;
}

/* Room for all of them among the writes in doubt: it cannot fail when one of them is. */
static marty_err make_room(marty_saga_store *store, size_t count, marty_error *why)
{
    size_t room = store->doubt_count + count;
    if (room > store->doubt_room) {
        kv_doubt *doubts = marty_realloc(store->doubts, room * sizeof *doubts);
        if (!doubts) {
            return marty_error_set(why, MARTY_E_NO_MEMORY, "writing sagas");
        }
        store->doubts = doubts;
        store->doubt_room = room;
    }
    return MARTY_OK;
}

static void doubt(marty_saga_store *store, const marty_saga_facts *facts)
{
    kv_doubt *one = &store->doubts[store->doubt_count++];
    one->version = facts->version;
    (void)snprintf(one->id, sizeof one->id, "%s", facts->id);
}

static void end_all(batch *of)
{
    for (size_t i = 0; i < of->count; i++) {
        kv_one *one = &of->ones[i];
        if (one->stage != KV_DONE) {
            one->write->result = one->maybe ? MARTY_E_MAYBE_STORED : MARTY_E_TIMEOUT;
        }
        if (one->write->result == MARTY_E_MAYBE_STORED) {
            doubt(of->store, &one->write->facts);
        }
        kv_end(&one->call);
        marty_free(one->run);
        marty_free(one->body);
    }
}

static marty_err run_all(batch *of, marty_saga_write *const writes[], kv_call **calls,
                         kv_one **asking, int64_t until_ns, marty_error *why)
{
    marty_saga_store *store = of->store;
    marty_err err = kv_enter(store, &store->writer, until_ns, why);
    if (err) {
        return err;
    }
    for (size_t i = 0; i < of->count; i++) {
        of->ones[i].write = writes[i];
        of->ones[i].token = store->token++;
        begin_one(of, &of->ones[i]);
    }
    err = make_room(store, of->count, why);
    err = err ? err : check_epochs(of, until_ns, why);
    while (!err && run_round(of, calls, asking, until_ns) && !kv_is_late(store, until_ns)) {
    }
    end_all(of);
    kv_leave(&store->writer);
    return err;
}

marty_err kv_commit(marty_saga_store *store, marty_saga_write *const writes[], size_t count,
                    int64_t until_ns, marty_error *why)
{
    batch of = {.store = store, .count = count};
    if (!count) {
        return MARTY_OK;
    }
    of.ones = marty_alloc_zero(count, sizeof *of.ones);
    kv_call **calls = marty_alloc_zero(count, sizeof(kv_call *));
    kv_one **asking = marty_alloc_zero(count, sizeof(kv_one *));
    marty_err err = MARTY_E_NO_MEMORY;
    if (of.ones && calls && asking) {
        err = run_all(&of, writes, calls, asking, until_ns, why);
    } else {
        (void)marty_error_set(why, err, "writing sagas");
    }
    marty_free(of.ones);
    marty_free(calls);
    marty_free(asking);
    return err;
}
