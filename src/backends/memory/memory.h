/* SPDX-License-Identifier: Apache-2.0
 * The in-process broker: what its files do for each other. One lock per broker guards all of it; no
 * lock is held while core is called. A message lies in a channel's log until every group's cursor
 * has passed it (and, as history, longer); from the cursor it becomes an item, which owns a
 * reference and is held by a member, or waits in its group. So settling in any order costs the
 * same, and never allocates. */
#ifndef MARTY_BACKENDS_MEMORY_H
#define MARTY_BACKENDS_MEMORY_H
#include "objects.h"

#include "base/hash.h"
#include "message/block.h"
#include "message/message.h"

#include <string.h>

/** The moment of the op that runs, monotonic and wall: read at its first use, so that an op that
 * asks for none reads no clock. The wall clock of the broker is that of its oldest port; ports
 * whose own differs are understood by differences. With the lock held. */
MARTY_INLINE int64_t marty__mem_now(broker *b)
{
    b->now_ns = b->now_ns ? b->now_ns : b->env->monotonic_ns(b->env->user);
    return b->now_ns;
}
MARTY_INLINE int64_t marty__mem_wall(broker *b)
{
    if (!b->wall_us) {
        bool any = !marty__list_empty(&b->ports);
        const marty_env *env =
            any ? MARTY__OWNER(b->ports.next, marty_port, link)->sink->env : b->env;
        b->wall_us = env->wall_us(env->user);
    }
    return b->wall_us;
}
/** The wall clock of a port. */
MARTY_INLINE int64_t marty__mem_port_wall(const marty_port *port)
{
    return port->sink->env->wall_us(port->sink->env->user);
}

enum { CLOCKS_AGREE_US = 1000000 }; /* a smaller difference is not one */

/* ---- log.c */
MARTY_INLINE entry *marty__mem_entry(const record_log *log, uint64_t offset)
{
    segment *of = log->ring[offset / SEGMENT_ENTRIES & (log->capacity - 1)];
    return &of->entries[offset % SEGMENT_ENTRIES];
}
/** Room for one more entry at log->next, of whatever content and not yet counted; NULL without
 * memory. */
entry *marty__mem_log_place_new(broker *b, record_log *log);
MARTY_INLINE entry *marty__mem_log_place(broker *b, record_log *log)
{
    bool has_segment = log->next % SEGMENT_ENTRIES && log->next > log->first;
    return has_segment ? marty__mem_entry(log, log->next) : marty__mem_log_place_new(b, log);
}
/** Drop the places of the first entries, all in one segment; they are empty already. */
void marty__mem_log_advance(broker *b, record_log *log, uint64_t count);
void marty__mem_log_free(broker *b, record_log *log);

/* ---- table.c */
node *marty__mem_table_get(const table *t, uint64_t hash);
bool marty__mem_table_reserve(table *t);
void marty__mem_table_put(table *t, node *n);
void marty__mem_table_take(table *t, node *n);

/* ---- item.c */
item *marty__mem_item_new(broker *b, group *g);
/** Whether that many can be had; false without memory. */
bool marty__mem_items_there(broker *b, size_t count);
/** One that was never used goes back. */
void marty__mem_item_unused(item *it);
/** The held item of a tag, or NULL; one with a run may have settled that place already. */
item *marty__mem_item_of(const broker *b, uint64_t tag);
/** Out of the state and list that it is in. */
void marty__mem_item_leave(item *it);
/** The same, and gone: its message and place are given back. */
void marty__mem_item_free(item *it);
/** Count what it costs, unless its entry in the log does. */
void marty__mem_item_charge(item *it);
void marty__mem_items_free(broker *b);
/** Its message with a reference for whoever it is delivered to. */
marty_message *marty__mem_item_lend(item *it);

/* ---- run.c */
/** An item of at most so many from the cursor's entry on, which are passed; NULL: too few of them
 * are alike, or there is no memory. */
item *marty__mem_run_take(group *g, entry *e, size_t most);
/** How many messages an item is. */
MARTY_INLINE uint32_t marty__mem_item_size(const item *it)
{
    return it->run ? (uint32_t)__builtin_popcountll(it->run->open) : 1;
}
/** The first of a run that is open, as its place. */
MARTY_INLINE uint32_t marty__mem_run_first(const run *r)
{
    return (uint32_t)__builtin_ctzll(r->open);
}
/** Ack those of it that the batch names, from the first of it on: how many. */
size_t marty__mem_run_ack(item *it, const marty_settling batch[], size_t count);
/** One that is open becomes a held item of its own, before its run, which may be gone by that. */
item *marty__mem_run_split(item *it, uint32_t place);
/** All of it is forgotten. */
void marty__mem_run_drop(item *it);
void marty__mem_runs_free(broker *b);

/* ---- claims.c */
/** Give the item the claim of its key, by its hash (not 0); false without memory. */
bool marty__mem_claim_join(item *it, uint64_t key);
void marty__mem_claim_drop(item *it);
/** The item is held now, is delayed now, has left the state that it says. */
void marty__mem_claim_hold(item *it, member *m);
void marty__mem_claim_delay(item *it);
void marty__mem_claim_left(item *it);
/** Put a claim where a dispatch finds it, or take it out of there. */
void marty__mem_claim_ready(group *g, claim *c);
/** Nothing of it goes before the next one. */
bool marty__mem_claim_free_to_go(const claim *c);
void marty__mem_claims_free(broker *b);

/* ---- drops.c */
/** What is dropped from here to the end waits in there. With the lock held. */
void marty__mem_drops_begin(broker *b, drops *into);
void marty__mem_drops_end(broker *b);
/** The other half of it, without the lock. */
void marty__mem_drops_give(drops *dropped);
/** So many references are held no more. What was stored is in no cache any more: it is asked for
 * now. */
MARTY_INLINE void marty__mem_drop(broker *b, marty_message *message, uint32_t refs)
{
    drops *d = b->drops;
    if (d && d->count < DROPS_MAX) {
        __builtin_prefetch(message, 1); /* its count stands before it */
        __builtin_prefetch(marty__block_of(message), 1);
        d->list[d->count].message = message;
        d->list[d->count++].refs = refs;
    } else {
        marty__message_unref_many(message, refs);
    }
}

/* ---- channel.c */
/** The channel of a full name, made if need be and allowed; fills why. */
marty_err marty__mem_channel(marty_port *port, channel **ret_channel, const char *name,
                             const marty_channel *like, bool make, marty_error *why);
channel *marty__mem_channel_find(broker *b, const char *name);
void marty__mem_channel_unref(channel *c);
/** Out of the broker's map; freed with the last reference. */
void marty__mem_channel_remove(channel *c);
/** Drop what is too old; and passed entries above the history's size. */
void marty__mem_channel_trim(channel *c);
/** Whether there is room for so many bytes in the channel and the broker. */
MARTY_INLINE bool marty__mem_channel_has_room(const channel *c, uint64_t bytes)
{
    const broker *b = c->broker;
    return c->bytes + bytes <= c->retention_bytes && b->bytes + bytes <= b->settings.limit;
}
/** Make some; false when there is none. */
bool marty__mem_channel_room(channel *c, uint64_t bytes);
/** Drop the oldest, so that at most so many are there. */
void marty__mem_channel_overflow(channel *c, uint64_t entries);
/** Take one out of the middle. */
void marty__mem_channel_erase(channel *c, uint64_t offset);
/** Empty an entry. */
void marty__mem_entry_clear(channel *c, entry *e);

/* ---- group.c */
group *marty__mem_group_find(const channel *c, const char *name);
/** name "" = an instance alone. Starts at the end of the log; NULL without memory. */
group *marty__mem_group_new(channel *c, const char *name);
void marty__mem_group_free(group *g);
/** Move the cursor: everything taken is forgotten, older tags are LOST. */
marty_err marty__mem_group_seek(group *g, const marty_start *start, marty_from otherwise,
                                marty_error *why);
/** A new group with its start. */
marty_err marty__mem_group_make(channel *c, const char *name, const marty_start *start,
                                marty_error *why);
/** Forget all that it has taken: what is held is LOST to its holders. */
void marty__mem_group_empty(group *g);
/** A start as the port means it: its times are of its own clock. With the lock held. */
marty_start marty__mem_start(const marty_port *port, const marty_start *start);
/** The first offset stored at or after a time. */
uint64_t marty__mem_offset_at(const record_log *log, int64_t time_us);
/** A position as its offset. */
bool marty__mem_position(uint64_t *ret_offset, const char *text);
/** Messages that wait for it and are with nobody. */
uint64_t marty__mem_group_lag(const group *g);
/** NULL without memory. */
member *marty__mem_member_add(subscription *s, group *g);
void marty__mem_member_remove(member *m);
/** The member may take more, or no more. */
void marty__mem_member_feed(member *m);
void marty__mem_member_starve(member *m);

/* ---- dispatch.c */
/** Hand what can be handed to members with credit. */
void marty__mem_dispatch(group *g);
void marty__mem_dispatch_channel(channel *c);
/** An item that comes back, or a copy that is new, waits in its place. */
void marty__mem_wait(item *it);

/* ---- priority.c, store.c */
typedef struct storing { /* what storing one message needs */
    marty_port *port;
    channel *channel;
    const char *group; /* NULL = all */
    const marty_message *message;
    channel *reply;     /* of a request */
    int64_t expires_ns; /* 0 = never */
    uint64_t position;  /* out: 0 = none */
} storing;
marty_err marty__mem_store(storing *what, marty_error *why);
/** The same of many for a topic, queue or stream, with no time, group or priority, and what they
 * cost together: how many from the first on are stored; 0: there is no room as it is, or no memory.
 */
size_t marty__mem_store_plain(channel *c, const marty_outgoing batch[], size_t count,
                              uint64_t cost);
MARTY_INLINE uint32_t marty__mem_cost(const marty_message *message)
{
    size_t cost = marty__block_of(message)->cost + sizeof(entry);
    return cost > UINT32_MAX ? UINT32_MAX : (uint32_t)cost;
}
/** -9 to 9; 0 = none. */
int marty__mem_level(const marty_message *message);
/** Make items of the entry for all groups, by its priority; false without memory, nothing done. */
bool marty__mem_prioritise(channel *c, entry *e, uint64_t offset);
/** Put it straight into a queue's levels; false without memory. */
bool marty__mem_store_urgent(const storing *what);

/* ---- place.c */
MARTY_INLINE bool marty__mem_is_kept(marty_kind kind)
{
    return kind == MARTY_KIND_TOPIC || kind == MARTY_KIND_QUEUE || kind == MARTY_KIND_STREAM ||
           kind == MARTY_KIND_DEAD;
}
/** The channel to publish to; OK and none: said to nobody. */
marty_err marty__mem_find_place(marty_port *port, channel **ret_channel,
                                const marty_channel *wanted, marty_error *why);
/** Of a query: its reply channel, if it has one. */
marty_err marty__mem_find_answer_place(storing *what, const marty_outgoing *out, marty_error *why);

/* ---- publish.c */
marty_err marty__mem_publish(marty_port *port, const marty_outgoing batch[], size_t count,
                             size_t *ret_taken, marty_error *why);
/** Store a dead letter; with the lock held. */
marty_err marty__mem_store_dead(marty_port *port, const marty_outgoing *dead, marty_error *why);
publish_work *marty__mem_publish_work_new(void);

/* ---- schedule.c */
marty_err marty__mem_schedule(const storing *what, int64_t at_ns, marty_error *why);
marty_err marty__mem_cancel(marty_port *port, const marty_channel *wanted, const char *id,
                            uint64_t token, marty_error *why);
void marty__mem_scheduled_free(scheduled *s);
/** When something is due next. */
int64_t marty__mem_due_ns(const broker *b);
/** The port's timer: everything that is due, now. */
void marty__mem_clock_rang(void *port);

/* ---- settle.c */
void marty__mem_settle(marty_port *port, const marty_settling batch[], size_t count);
/** Leave its state and go back to its group, to be delivered again from due_ns on (0 = now). */
void marty__mem_item_return(item *it, bool counts, int64_t due_ns);

/* ---- subscribe.c */
marty_err marty__mem_subscribe(marty_port *port, uint64_t number, const marty_want *want,
                               marty_error *why);
void marty__mem_grant(marty_port *port, uint64_t number, uint32_t credit);
void marty__mem_unsubscribe(marty_port *port, uint64_t number);
/** With the lock: out of everything; what it held goes back. */
void marty__mem_subscription_leave(subscription *s);
void marty__mem_subscription_free(subscription *s);
/** A new channel joins the wildcards that it matches; false without memory. */
bool marty__mem_wild_join(channel *c);
/** Whether a wildcard name covers a channel's: "*" one word, ">" the rest. */
bool marty__mem_name_matches(const char *pattern, const char *name);

/* ---- wild.c */
/** Remember the group of a subscription over several channels; false without memory. */
bool marty__mem_wild_note(const subscription *s);
/** A new channel, nothing in it yet, gets the groups that match it; false without memory. */
bool marty__mem_wild_groups(channel *c);
void marty__mem_wild_free(broker *b);

/* ---- unanswered.c */
/** Tell the askers of what waits that nobody answers; nothing waits after it. */
void marty__mem_nobody_answers(marty_port *port, group *g);

/* ---- deliver.c */
deliver_batch *marty__mem_batch_new(void);
/** Tell a port the next batch of its deliveries, with the lock given back meanwhile; false: none.
 */
bool marty__mem_deliver(marty_port *port);

/* ---- pump.c */
/** Something to tell the port's core: it is told at the next unlock. */
void marty__mem_port_ready(marty_port *port);
/** One for a subscription; the last one before core is told counts. */
void marty__mem_notice(subscription *s, notice what, marty_err reason, const char *text);
/** A warning for the port's log, told at the next unlock. */
void marty__mem_log(marty_port *port, const char *format, ...)
    MARTY__ATTRIBUTE(format(printf, 2, 3));
/** Begin an op: lock, and note the moment. */
void marty__mem_lock(marty_port *port);
/** End an op: tell every ready port what there is, and unlock. */
void marty__mem_unlock(broker *b);
/** The second half of it, when the lock was given back in between. */
void marty__mem_pump(broker *b);
/** The same by workers of those who get it, where it is nothing but deliveries that may wait for
 * one. */
void marty__mem_pump_later(broker *b);
/** The other timer of a port: tell it the rest. */
void marty__mem_go_on(void *port);
/** The clock's next moment may have changed. */
void marty__mem_clock_changed(broker *b);
/** Another port keeps the clock now. */
void marty__mem_clock_moved(broker *b);
/** Wait until nobody tells this port anything, with the lock held. */
void marty__mem_pump_wait(marty_port *port);
/** Wait until core has what it is being told right now, if anything; more may be told meanwhile. */
void marty__mem_told_wait(marty_port *port);

/* ---- dedup.c */
void marty__mem_dedup_init(dedup *d);
/** Of (source, id); without the lock. */
fingerprint marty__mem_fingerprint(const dedup *d, const marty_message *message);
MARTY_INLINE uint64_t marty__mem_fold(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}
/** The same of an id of our form as a number and the hash of its source. */
MARTY_INLINE fingerprint marty__mem_fingerprint_of(const dedup *d, const uint64_t id[2],
                                                   uint64_t source)
{
    uint64_t hash = marty__mem_fold(id[0] ^ d->secret[0], id[1] ^ d->secret[1]);
    hash = marty__mem_fold(hash ^ source ^ d->secret[2], d->secret[3] | 1);
    return (fingerprint){.hash = hash, .made_ms = (id[0] >> 16) + 1, .tag = (uint32_t)id[1] | 1};
}
/** What sets a channel and group apart. */
MARTY_INLINE uint64_t marty__mem_mix(uint64_t value)
{
    value ^= value >> 32;
    value *= 0x9e3779b97f4a7c15u;
    return value ^ value >> 29;
}
MARTY_INLINE uint64_t marty__mem_salt(const channel *c, const char *group_)
{
    uint64_t salt = marty__mem_mix(c->number);
    return group_ ? marty__mem_mix(salt + marty__hash(group_, strlen(group_))) : salt;
}
/** The same in there. */
MARTY_INLINE fingerprint marty__mem_fingerprint_in(fingerprint of, uint64_t salt)
{
    of.hash ^= salt;
    return of;
}
void marty__mem_dedup_prefetch(const dedup *d, fingerprint of);
bool marty__mem_dedup_seen(dedup *d, fingerprint of, int64_t now_ns, uint64_t window_ms);
/** Room to remember one more, and of ids of ours 64 more; false without memory. */
bool marty__mem_dedup_reserve(dedup *d, fingerprint of, int64_t now_ns);
void marty__mem_dedup_remember(dedup *d, fingerprint of, int64_t now_ns);
/** The same of some of ours, with their salt, that nobody can have said before. */
void marty__mem_dedup_list(dedup *d, const fingerprint of[], size_t count, uint64_t salt,
                           int64_t now_ns);
/** A message is gone for good: it may be published again. */
void marty__mem_dedup_forget(dedup *d, fingerprint of, int64_t now_ns);
void marty__mem_dedup_free(dedup *d);

/* ---- broker.c */
/** The broker of a name (NULL = a new one of its own); yours to close. */
marty_err marty__mem_broker_open(broker **ret_broker, const char *name, const settings *s,
                                 marty_error *why);
void marty__mem_broker_close(broker *b);

/* ---- settings.c */
marty_err marty__mem_settings_read(settings *s, const marty_url *url, marty_error *why);
uint64_t marty__mem_payload_max(const settings *s);

/* ---- topology.c */
marty_err marty__mem_topology(marty_port *port, const char *verb, const marty_want *what,
                              int64_t deadline_ns, marty_message **ret_answer, marty_error *why);

enum { FULL_NAME_BYTES = 512 };
/** The full name of a channel as a port means it. */
marty_err marty__mem_full_name(const marty_port *port, char out[FULL_NAME_BYTES],
                               const marty_channel *wanted, bool wildcards, marty_error *why);
#endif
