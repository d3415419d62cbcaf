/* SPDX-License-Identifier: Apache-2.0
 * The facts of all sagas in memory: JetStream finds keys by name only, and scans ask by time and
 * state. It is made by the first scan, from the headers of the whole bucket, and kept current by
 * reading the stream on at each scan, up to what this store has written or read itself. What is
 * read comes from a consumer of our own; whenever a number is missing, or nothing comes, another is
 * made from there on. Every few seconds the leader is asked how far the stream goes, so that a feed
 * that has died in silence is noticed by a store that writes nothing, too. A stream that has gone
 * back (restored from a copy, or made anew) gives revisions that are known to new messages: then
 * all that is known of the old one is forgotten, and it is read from its beginning. What was last
 * in the stream may have been removed: then the leader says that nothing is behind what is known.
 */
#include "kv.h"

#include <stdlib.h>
#include <string.h>

enum { STALL_MS = 1000, LOOK_MS = 5000 };

static int64_t now_ns(const marty_saga_store *store)
{
    return store->env.monotonic_ns(store->env.user);
}

/* And before the call's time is over: something can be done about it still. */
static int64_t soon(const marty_saga_store *store, int64_t until_ns)
{
    int64_t now = now_ns(store), half_ns = until_ns > now ? (until_ns - now) / 2 : 0;
    int64_t stall_ns = INT64_C(1000000) * STALL_MS;
    return now + (half_ns < stall_ns ? half_ns : stall_ns);
}

static void close_feed(kv_link *link)
{
    natsSubscription_Destroy(link->feed);
    link->feed = NULL;
}

/* The consumer goes by itself when nobody listens any more. */
static marty_err open_feed(marty_saga_store *store, int64_t until_ns, marty_error *why)
{
    kv_index *index = store->index;
    char subject[sizeof index->link.base + 16];
    kv_call call = {.code = 0};
    (void)snprintf(subject, sizeof subject, "%s.feed.%llu", index->link.base,
                   (unsigned long long)index->link.next++);
    if (natsConnection_SubscribeSync(&index->link.feed, index->link.nc, subject) != NATS_OK) {
        index->link.lost = true;
        return marty_error_set(why, MARTY_E_UNAVAILABLE, "reading sagas: no subscription");
    }
    (void)natsSubscription_SetPendingLimits(index->link.feed, -1, -1);
    (void)snprintf(call.subject, sizeof call.subject, "%s.CONSUMER.CREATE.KV_%s", store->api,
                   store->bucket);
    (void)snprintf(call.text, sizeof call.text,
                   "{\"stream_name\":\"KV_%s\",\"config\":{\"deliver_subject\":\"%s\","
                   "\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":%llu,"
                   "\"ack_policy\":\"none\",\"replay_policy\":\"instant\",\"headers_only\":true,"
                   "\"mem_storage\":true,\"num_replicas\":1}}",
                   store->bucket, subject, (unsigned long long)(index->applied + 1));
    marty_err err = kv_ask(store, &index->link, &call, until_ns, why);
    if (!err && call.code) {
        err = kv_refused(&call, "reading the stream of sagas", why);
    }
    index->expected = 1;
    if (err) {
        close_feed(&index->link);
    }
    kv_end(&call);
    return err;
}

/* "$JS.ACK.STREAM.CONSUMER.DELIVERED.REVISION.NUMBER.TIME.PENDING", or with two more words before
 * the stream and one at the end. */
static bool read_place(const char *reply, uint64_t *ret_seq, uint64_t *ret_number,
                       int64_t *ret_at_us)
{
    const char *words[12];
    size_t count = 0;
    for (const char *at = reply; at && count < 12; at = strchr(at, '.')) {
        at += count ? 1 : 0;
        words[count++] = at;
    }
    if (count < 9) {
        return false;
    }
    size_t first = count >= 11 ? 7 : 5;
    *ret_seq = strtoull(words[first], NULL, 10);
    *ret_number = strtoull(words[first + 1], NULL, 10);
    *ret_at_us = strtoll(words[first + 2], NULL, 10) / 1000;
    return true;
}

static bool apply(marty_saga_store *store, natsMsg *message, uint64_t seq, int64_t at_us)
{
    const char *key = natsMsg_GetSubject(message) + strlen("$KV..") + strlen(store->bucket);
    const char *text = NULL, *operation = NULL;
    kv_facts facts = {.facts = {.id = ""}};
    if (key[0] != 's' || key[1] != '.') {
        return true;
    }
    bool gone = natsMsgHeader_Get(message, "KV-Operation", &operation) == NATS_OK;
    bool ours = natsMsgHeader_Get(message, "Marty-Saga", &text) == NATS_OK && text &&
                kv_facts_read(&facts, key + 2, text);
    if (!ours) { /* gone: a start that was shut out. Else it is due, so that somebody says so */
        kv_text_read(facts.id, sizeof facts.id, key + 2);
        facts.facts =
            (marty_saga_facts){.id = facts.id, .status = MARTY_SAGA_RUNNING, .due_us = at_us};
    }
    return kv_trees_put(&store->index->trees, &facts.facts, seq, at_us, gone);
}

/* Take what has come. False: a message is missing, so that another consumer must be made. */
static bool take_feed(marty_saga_store *store, marty_err *ret_err)
{
    kv_index *index = store->index;
    int waiting = 0;
    bool whole = true;
    while (whole && index->link.feed &&
           natsSubscription_GetPending(index->link.feed, &waiting, NULL) == NATS_OK && waiting) {
        natsMsg *message = NULL;
        uint64_t seq = 0, number = 0;
        int64_t at_us = 0;
        if (natsSubscription_NextMsg(&message, index->link.feed, 0) != NATS_OK) {
            return false;
        }
        whole = read_place(natsMsg_GetReply(message), &seq, &number, &at_us) &&
                number == index->expected;
        if (whole && !apply(store, message, seq, at_us)) {
            *ret_err = MARTY_E_NO_MEMORY;
            whole = false;
        } else if (whole) {
            index->expected++;
            index->applied = seq > index->applied ? seq : index->applied;
        }
        natsMsg_Destroy(message);
    }
    return whole;
}

/* Nothing was ever written, or is there any more, behind what is known: what was last in the stream
 * was removed. For this call alone, as a leader that is none any more may say so, too. */
static bool ends_here(marty_saga_store *store, int64_t until_ns)
{
    kv_index *index = store->index;
    kv_call call = {.code = 0};
    if (kv_seen_last(store) > index->applied) {
        return false;
    }
    kv_get_next(store, &call, ">", index->applied + 1);
    bool ends = kv_ask(store, &index->link, &call, until_ns, NULL) == MARTY_OK &&
                call.code == KV_NO_MESSAGE;
    kv_end(&call);
    return ends;
}

/* Read on until that revision is there. */
static marty_err catch_up(marty_saga_store *store, uint64_t target, int64_t until_ns,
                          marty_error *why)
{
    kv_index *index = store->index;
    marty_err err = MARTY_OK;
    int64_t stall_ns = soon(store, until_ns);
    uint64_t before = index->applied;
    do {
        if (!index->link.feed) {
            err = open_feed(store, until_ns, why);
            stall_ns = soon(store, until_ns);
        }
        int64_t wait_ns = index->applied < target ? stall_ns : 0;
        bool fine = !err && kv_pump(store, &index->link, wait_ns);
        if (!err && !take_feed(store, &err)) {
            close_feed(&index->link);
        }
        if (!fine && !err) {
            return marty_error_set(why, MARTY_E_UNAVAILABLE, "reading sagas: the connection broke");
        }
        if (index->applied > before) {
            before = index->applied;
            stall_ns = soon(store, until_ns);
        } else if (index->applied < target && kv_is_late(store, stall_ns)) {
            if (!err && ends_here(store, until_ns)) {
                return MARTY_OK;
            }
            close_feed(&index->link); /* whoever fed it may be gone */
        }
    } while (!err && index->applied < target && !kv_is_late(store, until_ns));
    if (!err && index->applied < target) {
        err = marty_error_set(why, MARTY_E_TIMEOUT,
                              "reading sagas: the stream is not read to its end yet");
    }
    return err;
}

/* How far the stream goes, and what was known of it before that was asked. A leader that is none
 * any more may say less for a while; when it stays so, the stream has gone back. */
static void ends_at(marty_saga_store *store, uint64_t last, uint64_t known)
{
    kv_index *index = store->index;
    if (last >= known) {
        index->behind_ns = 0;
    } else if (!index->behind_ns) {
        index->behind_ns = now_ns(store);
    } else if (now_ns(store) - index->behind_ns > KV_BOUND_NS) {
        close_feed(&index->link);
        kv_trees_free(&index->trees);
        kv_forget_all(store);
        index->applied = 0;
        index->behind_ns = 0;
    }
}

/* The revision that must be there. */
static marty_err find_target(marty_saga_store *store, bool all, uint64_t *ret_target,
                             int64_t until_ns, marty_error *why)
{
    kv_index *index = store->index;
    kv_call call = {.code = 0};
    marty_err err = MARTY_OK;
    uint64_t last = 0, known = kv_seen_last(store);
    known = known > index->applied ? known : index->applied;
    if (all || !index->applied || kv_is_late(store, index->look_ns)) {
        kv_info(store, &call);
        err = kv_ask(store, &index->link, &call, until_ns, why);
        if (!err && !call.code) {
            const json_t *state = json_object_get(call.json, "state");
            last = (uint64_t)json_integer_value(json_object_get(state, "last_seq"));
            index->look_ns = now_ns(store) + LOOK_MS * INT64_C(1000000);
            ends_at(store, last, known);
        }
        kv_end(&call);
    }
    *ret_target = kv_seen_last(store);
    *ret_target = last > *ret_target ? last : *ret_target;
    return err;
}

marty_err kv_index_enter(marty_saga_store *store, bool all, int64_t until_ns, marty_error *why)
{
    marty_err err = MARTY_OK;
    do {
        uint64_t target = 0;
        err = kv_enter(store, &store->index->link, until_ns, why);
        if (err) {
            return err;
        }
        err = find_target(store, all, &target, until_ns, why);
        err = err ? err : catch_up(store, target, until_ns, why);
        if (err) {
            kv_leave(&store->index->link);
        }
    } while (err == MARTY_E_UNAVAILABLE && !kv_is_late(store, until_ns));
    return err;
}

void kv_index_leave(marty_saga_store *store)
{
    kv_leave(&store->index->link);
}
