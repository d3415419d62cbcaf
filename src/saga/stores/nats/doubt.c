/* SPDX-License-Identifier: Apache-2.0
 * Writes that are no transitions: settling what is in doubt, clearing `unsent`, removing sagas that
 * have ended. Each writes a saga as it is over the revision that was read, so that a write that was
 * decided before, and is late, names a revision that is past. */
#include "kv.h"

#include <stdlib.h>
#include <string.h>

enum { SENT_AT_ONCE = 256 };

/* ---- settle */

/* One that is as it was before the doubtful write is written again as it is: that write, should it
 * still come, is refused. */
static marty_err settle_one(marty_saga_store *store, const kv_doubt *one, int64_t until_ns,
                            marty_error *why)
{
    kv_key key;
    kv_saga_key(key, one->id);
    marty_err err = MARTY_OK;
    do {
        kv_value *value = NULL;
        kv_facts facts;
        uint64_t seq = 0;
        err = kv_read(store, &store->writer, key, &value, until_ns, why);
        if (err) {
            return err;
        }
        bool live = value && !value->gone;
        bool known = live && kv_facts_read(&facts, one->id, value->facts);
        bool past = live ? known && facts.facts.version >= one->version
                         : one->version > 1; /* removed since: over another revision */
        if (!past) {
            err = kv_write(store, &store->writer, key, live ? value->facts : NULL, !live,
                           live ? value->data : (marty_bytes){"", 0}, value ? value->seq : 0, &seq,
                           until_ns, why);
        }
        marty_free(value);
        kv_known_drop(store, one->id);
        if (err && err != MARTY_E_STATE && err != MARTY_E_MAYBE_STORED &&
            err != MARTY_E_UNAVAILABLE) {
            return err;
        }
        if (err) {
            kv_pause(store, &store->writer, until_ns);
        }
    } while (err && !kv_is_late(store, until_ns));
    return err ? marty_error_set(why, MARTY_E_TIMEOUT, "the saga %s is still in doubt", one->id)
               : MARTY_OK;
}

marty_err kv_settle(marty_saga_store *store, int64_t until_ns, marty_error *why)
{
    marty_err err = kv_enter(store, &store->writer, until_ns, why);
    if (err) {
        return err;
    }
    while (!err && store->doubt_count) {
        err = settle_one(store, &store->doubts[store->doubt_count - 1], until_ns, why);
        store->doubt_count -= !err;
    }
    kv_leave(&store->writer);
    return err;
}

/* ---- sent */
static void read_all(marty_saga_store *store, kv_call *calls, kv_call **asked,
                     const marty_saga_facts sagas[], size_t count, int64_t until_ns)
{
    for (size_t i = 0; i < count; i++) {
        kv_key key;
        kv_saga_key(key, sagas[i].id);
        kv_get(store, &calls[i], key);
        asked[i] = &calls[i];
    }
    kv_exchange(store, &store->writer, asked, count, until_ns);
}

/* The write that clears one; false: there is nothing to clear. */
static bool make_clear(const marty_saga_store *store, kv_call *call, const marty_saga_facts *saga,
                       kv_value **ret_value)
{
    kv_facts facts;
    char text[KV_FACTS_MAX];
    kv_key key;
    kv_value *value = call->answered && !call->code ? kv_value_of(store, call) : NULL;
    if (!value || value->gone || !kv_facts_read(&facts, saga->id, value->facts) ||
        facts.facts.version != saga->version || !facts.facts.unsent) {
        marty_free(value);
        return false;
    }
    facts.facts.unsent = false;
    kv_facts_write(text, &facts.facts);
    kv_saga_key(key, saga->id);
    kv_put(store, call, key, text, value->data);
    kv_expect(call, value->seq);
    *ret_value = value;
    return true;
}

static void note_cleared(marty_saga_store *store, const kv_call *call, const marty_saga_facts *saga,
                         const kv_value *value)
{
    kv_body body;
    kv_facts facts;
    kv_key key;
    kv_saga_key(key, saga->id);
    if (call->answered && !call->code && kv_body_read(value->data, &body) &&
        kv_facts_read(&facts, saga->id, value->facts)) {
        kv_saw(store, key, call->seq);
        kv_known_put(store, &facts.facts, call->seq, body.run);
        kv_seen(store, call->seq);
    } else {
        kv_known_drop(store, saga->id);
    }
}

/* What cannot be cleared now may stay: it is sent again, which is harmless. */
static void clear_some(marty_saga_store *store, kv_call *calls, const marty_saga_facts sagas[],
                       size_t count, int64_t until_ns)
{
    kv_call *asked[SENT_AT_ONCE];
    kv_value *values[SENT_AT_ONCE];
    size_t which[SENT_AT_ONCE], clearing = 0;
    read_all(store, calls, asked, sagas, count, until_ns);
    for (size_t i = 0; i < count; i++) {
        if (make_clear(store, &calls[i], &sagas[i], &values[clearing])) {
            which[clearing] = i;
            asked[clearing++] = &calls[i];
        }
    }
    kv_exchange(store, &store->writer, asked, clearing, until_ns);
    for (size_t i = 0; i < clearing; i++) {
        note_cleared(store, asked[i], &sagas[which[i]], values[i]);
        marty_free(values[i]);
    }
    for (size_t i = 0; i < count; i++) {
        kv_end(&calls[i]);
    }
}

marty_err kv_sent(marty_saga_store *store, const marty_saga_facts sagas[], size_t count,
                  int64_t until_ns, marty_error *why)
{
    kv_call *calls = marty_alloc_zero(SENT_AT_ONCE, sizeof *calls);
    if (!calls) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "marking sagas as sent");
    }
    marty_err err = kv_enter(store, &store->writer, until_ns, why);
    for (size_t at = 0; !err && at < count && !kv_is_late(store, until_ns); at += SENT_AT_ONCE) {
        size_t some = count - at < SENT_AT_ONCE ? count - at : SENT_AT_ONCE;
        clear_some(store, calls, sagas + at, some, until_ns);
    }
    if (!err) {
        kv_leave(&store->writer);
    }
    marty_free(calls);
    return err;
}
