/* SPDX-License-Identifier: Apache-2.0
 * Starting a saga under a key that only one may have, with two keys in the bucket and no
 * transaction over both: the start key is written first, then the saga. A start key whose saga has
 * not begun is taken over in three steps: the saga is marked as removed, which no late write of its
 * start can overwrite (it names the revision before), then the key is written over the revision
 * that was read. Who finds that its saga was marked writes the key again before it begins. So the
 * revision over which a saga begins was always read before its key was last written. */
#include "kv.h"

#include <string.h>

void kv_finish(kv_one *one, marty_err result)
{
    one->write->result = result;
    one->stage = KV_DONE;
}

static bool has_key(const kv_one *one)
{
    return one->write->facts.key && *one->write->facts.key;
}

void kv_start_begin(kv_one *one)
{
    /* Ids are new: that there is no such saga shows when it is written over "none". */
    one->seq = one->version = 0;
    one->stage = has_key(one) ? KV_CLAIM : KV_WRITE;
}

void kv_start_call(const marty_saga_store *store, kv_one *one)
{
    const marty_saga_facts *facts = &one->write->facts;
    marty_bytes id = {facts->id, strlen(facts->id)};
    kv_key key;
    if (one->stage == KV_OTHER || one->stage == KV_FENCE) {
        kv_saga_key(key, one->other);
    } else {
        kv_start_key(key, facts->name, facts->key);
    }
    switch (one->stage) {
    case KV_CLAIM:
        kv_put(store, &one->call, key, NULL, id);
        kv_expect(&one->call, one->claim_seq);
        break;
    case KV_FENCE:
        kv_put(store, &one->call, key, NULL, (marty_bytes){"", 0});
        kv_expect(&one->call, one->other_seq);
        one->call.gone = true;
        break;
    case KV_LOOK:
    case KV_OTHER:
        kv_get(store, &one->call, key);
        break;
    case KV_FETCH:
    case KV_CHUNK:
    case KV_WRITE:
    case KV_DONE:
        break;
    }
}

/* Who has the key? */
static void looked(const marty_saga_store *store, kv_one *one)
{
    if (one->call.code == KV_NO_MESSAGE) {
        one->claim_seq = 0;
        one->stage = KV_CLAIM;
        return;
    }
    kv_value *value = kv_value_of(store, &one->call);
    if (!value) {
        kv_finish(one, MARTY_E_NO_MEMORY);
        return;
    }
    one->claim_seq = value->seq;
    (void)snprintf(one->other, sizeof one->other, "%.*s", (int)value->data.size,
                   (const char *)value->data.data);
    one->stage = value->gone || strcmp(one->other, one->write->facts.id) == 0 ? KV_CLAIM : KV_OTHER;
    marty_free(value);
}

/* Has it begun, and under this key? */
static void saw_other(const marty_saga_store *store, kv_one *one)
{
    const marty_saga_facts *mine = &one->write->facts;
    kv_facts his;
    one->other_seq = 0;
    one->stage = KV_FENCE;
    if (one->call.code == KV_NO_MESSAGE) {
        return;
    }
    kv_value *value = kv_value_of(store, &one->call);
    if (!value) {
        kv_finish(one, MARTY_E_NO_MEMORY);
        return;
    }
    one->other_seq = value->seq;
    if (!value->gone && kv_facts_read(&his, one->other, value->facts)) {
        bool same = strcmp(his.name, mine->name) == 0 && strcmp(his.key, mine->key) == 0;
        one->stage = KV_CLAIM; /* another key's by now: this one is left over */
        if (same) {
            (void)snprintf(one->write->existing, sizeof one->write->existing, "%s", his.id);
            kv_finish(one, MARTY_E_EXISTS);
        }
    }
    marty_free(value);
}

void kv_start_end(const marty_saga_store *store, kv_one *one)
{
    const kv_call *call = &one->call;
    bool done = call->answered && call->code == 0;
    switch (one->stage) {
    case KV_CLAIM: /* without an answer it is perhaps ours: look */
        one->stage = done ? KV_WRITE : one->fetched ? KV_LOOK : KV_FETCH;
        break;
    case KV_LOOK:
        if (done || call->code == KV_NO_MESSAGE) {
            looked(store, one);
        }
        break;
    case KV_OTHER:
        if (done || call->code == KV_NO_MESSAGE) {
            saw_other(store, one);
        }
        break;
    case KV_FENCE:
        one->stage = done ? KV_CLAIM : KV_LOOK;
        break;
    case KV_FETCH:
    case KV_CHUNK:
    case KV_WRITE:
    case KV_DONE:
        break;
    }
    one->waits = !done && call->code != KV_NO_MESSAGE;
}
