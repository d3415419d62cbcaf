/* SPDX-License-Identifier: Apache-2.0
 * The shards that this engine looks after: leases renewed, a fair part taken, the surplus
 * given back, and the timers and outboxes of their sagas found. What it does for a saga is safe
 * without a lease, by the saga's version; a lease only keeps two from doing the same work. */
#include "inside.h"

#include <stdio.h>
#include <string.h>

enum { NS_PER_MS = 1000000 };

static void note_held(marty__saga_core *core)
{
    memset(&core->shards, 0, sizeof core->shards);
    memset(core->epochs, 0, sizeof core->epochs);
    for (uint32_t i = 0; i < core->lease.count; i++) {
        marty_saga_shard held = core->lease.held[i];
        marty__saga_add_shard(&core->shards, held.shard);
        core->epochs[held.shard] = held.epoch;
    }
}

uint64_t marty__saga_epoch(const marty__saga_core *core, uint32_t shard)
{
    return core->epochs[shard];
}

void marty__saga_shard_lost(marty__saga_core *core, uint32_t shard)
{
    core->counts.fence_losses++;
    for (uint32_t i = 0; i < core->lease.count; i++) {
        if (core->lease.held[i].shard == shard) {
            core->lease.held[i] = core->lease.held[--core->lease.count];
            break;
        }
    }
    note_held(core);
}

/* Give back what is more than a fair part, so that a newcomer need not wait for a lease to end. */
static void give_back_surplus(marty__saga_core *core, uint32_t fair)
{
    if (core->lease.count <= fair) {
        return;
    }
    uint32_t surplus = core->lease.count - fair;
    marty_error why = {0};
    marty_err err =
        core->options.table->release(core->options.store, core->owner, &core->lease.held[fair],
                                     surplus, marty__saga_call_until(core), &why);
    if (err) {
        marty__saga_log(core, 1, "sagas: %u shards could not be handed over: %s", surplus,
                        why.text);
        return;
    }
    core->lease.count = fair;
}

void marty__saga_lease_work(marty__saga_core *core, int64_t now_ns)
{
    if (!core->options.leads || core->has_left || now_ns < core->lease_next_ns) {
        return;
    }
    marty_saga_shards before = core->shards;
    marty_error why = {0};
    marty_err err = core->options.table->lease(core->options.store, &core->lease,
                                               marty__saga_call_until(core), &why);
    int64_t term_ns = (int64_t)core->lease.term_ms * NS_PER_MS;
    if (err) {
        marty__saga_log(core, 1, "sagas: the leases could not be renewed: %s", why.text);
        core->lease_next_ns = now_ns + term_ns / 10;
        return;
    }
    uint32_t members = core->lease.members ? core->lease.members : 1;
    uint32_t fair = (MARTY_SAGA_SHARDS + members - 1) / members;
    core->lease_until_ns = now_ns + term_ns - term_ns / 5;
    core->lease_next_ns = core->lease.want == fair ? now_ns + term_ns / 3 : now_ns;
    core->lease.want = fair;
    give_back_surplus(core, fair);
    note_held(core);
    for (size_t i = 0; i < sizeof before.bits / sizeof *before.bits; i++) {
        if (core->shards.bits[i] & ~before.bits[i]) {
            core->unsent_all = true; /* whoever had them may have died before it sent */
            core->unsent_ns = core->scan_ns = now_ns;
        }
    }
}

/* From then on it looks after nothing: what it still decides it decides as one without a lease. */
void marty__saga_lease_leave(marty__saga_core *core)
{
    if (!core->options.leads || core->has_left || core->doubt) {
        return;
    }
    int64_t until_ns = marty__saga_call_until(core);
    (void)core->options.table->release(core->options.store, core->owner, core->lease.held,
                                       core->lease.count, until_ns, NULL);
    core->lease.want = core->lease.count = 0;
    (void)core->options.table->lease(core->options.store, &core->lease, until_ns, NULL);
    core->lease.count = 0;
    note_held(core);
    core->has_left = true;
}

/* ---- scans */
typedef struct tick {
    marty__saga_input input;
    marty__saga_core *core;
    char saga[40];
} tick;

static void no_put_off(marty__saga_core *core, const char *id)
{
    marty_free(marty__map_take(&core->put_off, id, strlen(id)));
}

/* Without memory it is tried again at the next scan, as if nothing had been. */
static void put_off(marty__saga_core *core, const char *id)
{
    saga_put_off *off = marty__map_get(&core->put_off, id, strlen(id));
    if (!off) {
        off = marty_alloc_zero(1, sizeof *off);
        if (!off) {
            return;
        }
        (void)snprintf(off->id, sizeof off->id, "%s", id);
        if (!marty__map_put(&core->put_off, off->id, strlen(off->id), off)) {
            marty_free(off);
            return;
        }
    }
    int64_t pause_ms = SAGA_PUT_OFF_MS;
    for (unsigned i = 0; i < off->tries && pause_ms < SAGA_PUT_OFF_MAX_MS; i++) {
        pause_ms *= 2;
    }
    off->tries++;
    off->until_ns = marty__saga_now_ns(core) + pause_ms * NS_PER_MS;
}

static bool is_put_off(const marty__saga_core *core, const char *id)
{
    const saga_put_off *off = marty__map_get(&core->put_off, id, strlen(id));
    return off && off->until_ns > marty__saga_now_ns(core);
}

/* Those that were helped otherwise meanwhile. */
static void forget_put_off(marty__saga_core *core, int64_t now_ns)
{
    size_t at = 0;
    saga_put_off *off = NULL;
    while ((off = marty__map_next(&core->put_off, &at)) != NULL) {
        if (off->until_ns + SAGA_PUT_OFF_MAX_MS * INT64_C(2) * NS_PER_MS < now_ns) {
            no_put_off(core, off->id);
        }
    }
}

void marty__saga_put_off_free(marty__saga_core *core)
{
    forget_put_off(core, INT64_MAX);
    marty__map_free(&core->put_off);
}

static void on_tick_done(marty__saga_input *input, const marty__saga_done *done)
{
    tick *one = MARTY__OWNER(input, tick, input);
    marty__saga_core *core = one->core;
    bool failed = done->err && done->err != MARTY_E_CLOSED;
    bool idle = !done->err && done->ignored && done->facts &&
                done->facts->due_us <= marty__saga_now_us(core);
    if (failed) {
        core->counts.timer_failures++;
        marty__saga_log(core, 1, "sagas: the timer of %s is due and cannot act: %s", one->saga,
                        done->why);
    }
    if (failed || idle) {
        put_off(core, one->saga);
    } else {
        no_put_off(core, one->saga);
    }
    marty_free(one);
}

typedef struct scan {
    marty__saga_core *core;
    int64_t now_us, first_us;
    uint32_t count;
    bool failed;
} scan;

static bool on_due(void *user, const marty_saga_facts *facts)
{
    scan *of = user;
    of->first_us = of->count++ ? of->first_us : facts->due_us;
    if (is_put_off(of->core, facts->id)) {
        return true;
    }
    tick *one = marty_alloc_zero(1, sizeof *one);
    if (!one) {
        of->failed = true;
        return false;
    }
    (void)snprintf(one->saga, sizeof one->saga, "%s", facts->id);
    one->core = of->core;
    one->input = (marty__saga_input){
        .saga = one->saga,
        .done = on_tick_done,
        .event = {.kind = MARTY__SAGA_EVENT_TICK, .saga = one->saga, .cause = "timer"}};
    marty__saga_core_put(of->core, &one->input);
    return true;
}

static void scan_due(marty__saga_core *core, int64_t now_ns)
{
    scan of = {.core = core, .now_us = marty__saga_now_us(core)};
    int64_t next_us = INT64_MAX;
    marty_error why = {0};
    forget_put_off(core, now_ns);
    marty_err err = core->options.table->due(core->options.store, &core->shards, of.now_us,
                                             SAGA_BATCH_MAX + (uint32_t)core->put_off.count, on_due,
                                             &of, &next_us, marty__saga_call_until(core), &why);
    core->scan_ns = now_ns + SAGA_SCAN_MS * INT64_C(1000000);
    if (err) {
        marty__saga_log(core, 1, "sagas: timers could not be read: %s", why.text);
        return;
    }
    if (of.count) {
        core->counts.timer_lag_us = of.now_us - of.first_us;
    }
    if (next_us <= of.now_us) {
        core->scan_ns = now_ns; /* more of them */
    } else if (next_us != INT64_MAX && next_us - of.now_us < SAGA_SCAN_MS * INT64_C(1000)) {
        core->scan_ns = now_ns + (next_us - of.now_us) * INT64_C(1000);
    }
}

enum { UNSENT_MAX = 4096, UNSENT_MORE_MS = 50 };

typedef struct unsent {
    char id[UNSENT_MAX][40];
    uint64_t version[UNSENT_MAX];
    uint32_t count;
} unsent;

static bool on_unsent(void *user, const marty_saga_facts *facts)
{
    unsent *to = user;
    to->version[to->count] = facts->version;
    (void)snprintf(to->id[to->count], sizeof to->id[to->count], "%s", facts->id);
    to->count++;
    return to->count < UNSENT_MAX;
}

/* One that is in memory as it is stored is being sent, unless it was read from the store before its
 * shard was taken over, or was sent and the store could not be told; an older copy says nothing of
 * what another has written since, and goes. */
static bool is_being_sent(marty__saga_core *core, const char *id, uint64_t version)
{
    saga_entry *known = marty__map_get(&core->entries, id, strlen(id));
    bool true_copy = known && known->record && known->record->facts.version >= version;
    if (known && !true_copy) {
        marty__saga_entry_drop(core, known);
    } else if (known) {
        marty__saga_note_quiet(core, known);
    }
    return true_copy;
}

/* Read one whose outbox may be unsent; its items go out now. */
static void send_again(marty__saga_core *core, const char *id, int64_t now_ns)
{
    saga_entry *entry = NULL;
    marty_error why = {0};
    if (marty__saga_entry_get(core, id, &entry, &why)) {
        marty__saga_log(core, 1, "sagas: %s", why.text);
        return;
    }
    for (marty__link *at = entry->items.next; at != &entry->items; at = at->next) {
        MARTY__OWNER(at, marty__saga_item, link)->later_ns = now_ns;
    }
}

/* As many at a time as the store reads together. */
static void send_all_again(marty__saga_core *core, const unsent *found, int64_t now_ns)
{
    const char *ids[SAGA_BATCH_MAX], *fetched[SAGA_BATCH_MAX];
    size_t count = 0;
    for (uint32_t i = 0; i < found->count; i++) {
        bool sending = is_being_sent(core, found->id[i], found->version[i]);
        if (!sending || core->unsent_all) {
            ids[count++] = found->id[i];
        }
        if (count == SAGA_BATCH_MAX || i + 1 == found->count) {
            memcpy(fetched, ids, count * sizeof *ids);
            marty__saga_entries_fetch(core, fetched, count);
            for (size_t j = 0; j < count; j++) {
                send_again(core, ids[j], now_ns);
            }
            count = 0;
        }
    }
}

static void scan_unsent(marty__saga_core *core, int64_t now_ns)
{
    unsent *found = marty_alloc_zero(1, sizeof *found);
    marty_error why = {0};
    if (!found) {
        return;
    }
    if (core->unsent_all) { /* else the scan meets again what it has just sent */
        marty__saga_marks_work(core, now_ns, true);
    }
    int64_t age_us = core->unsent_all ? 0 : SAGA_UNSENT_MS * INT64_C(1000);
    marty_err err = core->options.table->unsent(
        core->options.store, &core->shards, marty__saga_now_us(core) - age_us + 1, UNSENT_MAX,
        on_unsent, found, marty__saga_call_until(core), &why);
    if (err) {
        marty__saga_log(core, 1, "sagas: outboxes could not be read: %s", why.text);
    }
    send_all_again(core, found, now_ns);
    core->unsent_all &= err || found->count == UNSENT_MAX;
    bool more = !err && found->count == UNSENT_MAX;
    core->unsent_ns = now_ns + (more ? UNSENT_MORE_MS : SAGA_UNSENT_MS / 2) * INT64_C(1000000);
    marty_free(found);
}

void marty__saga_scan_work(marty__saga_core *core, int64_t now_ns)
{
    if (!core->options.leads || !core->lease.count || now_ns >= core->lease_until_ns) {
        return; /* nothing is ours for sure */
    }
    if (now_ns >= MARTY__MUTANT(108, core->scan_ns, INT64_MAX) &&
        marty__saga_core_waiting(core) < SAGA_BATCH_MAX) { /* ticks are no use to a full turn */
        scan_due(core, now_ns);
    }
    if (now_ns >= MARTY__MUTANT(107, core->unsent_ns, INT64_MAX)) {
        scan_unsent(core, now_ns);
        marty__saga_items_work(core, now_ns);
    }
}
