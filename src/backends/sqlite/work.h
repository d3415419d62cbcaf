/* SPDX-License-Identifier: Apache-2.0
 * What the writer's files call of each other, inside a round: a transaction that is open, or for
 * those that say so, about to be. All return SQLite's codes; any but SQLITE_OK rolls the round
 * back. Only the writer's thread comes here. */
#ifndef MARTY_BACKENDS_SQLITE_WORK_H
#define MARTY_BACKENDS_SQLITE_WORK_H
#include "port.h"
#include "row.h"

/* ---- channel.c */
/** See whether channels were made or removed since; then all that is known of them is stale. */
int marty__sq_topology_sync(marty_port *port);
/** Note that this round makes or removes some. */
int marty__sq_topology_changed(marty_port *port);
/** Look a channel up; make it when missing, if it may be. *ret_why: STORED = here it is. */
int marty__sq_channel_resolve(marty_port *port, sq_channel *channel, marty_order order, bool make,
                              sq_why *ret_why);
/** Read the row of a name, its kind too. */
int marty__sq_channel_find(marty_port *port, sq_channel *channel, bool *ret_found);
/** Make one of its kind. */
int marty__sq_channel_make(marty_port *port, sq_channel *channel, marty_order order);
/** The next one by number after channel->id. */
int marty__sq_channel_after(marty_port *port, sq_channel *channel, char *name, size_t size,
                            bool *ret_found);
/** The retention that channels of a kind get here. */
int64_t marty__sq_channel_age(const marty_port *port, marty_kind kind);
bool marty__sq_channel_ordered(marty_kind kind, marty_order order);
/** Others that listen to it shall look, after the commit; and ours. */
void marty__sq_touch(marty_port *port, unsigned bit);

/* ---- log.c */
/** The log of that number; *ret_log NULL: there is none. */
int marty__sq_log_load(marty_port *port, int64_t id, sq_log **ret_log);
/** The channel of a log, our name of it, yours; NULL = it is gone. */
int marty__sq_log_name(marty_port *port, int64_t id, char **ret_name);
/** The log of a channel for a priority, made when need be. */
int marty__sq_log_for(marty_port *port, sq_channel *channel, int32_t priority, sq_log **ret_log);
/** The log of a channel for one group alone, made when need be. */
int marty__sq_log_of_group(marty_port *port, sq_channel *channel, int64_t grp, sq_log **ret_log);
int marty__sq_log_add(marty_port *port, int64_t channel, int64_t grp, int32_t priority,
                      int64_t *ret_log);
/** What the rows say of a channel's logs. */
int marty__sq_log_read_channel(marty_port *port, sq_channel *channel);
/** Its counts changed in this round. */
void marty__sq_log_dirty(marty_port *port, sq_log *log);
/** Write the counts of all that changed. */
int marty__sq_logs_save(marty_port *port);
void marty__sq_logs_forget(marty_port *port);
/** Append a body; its number in *ret_message. */
int marty__sq_log_append(marty_port *port, sq_log *log, const int64_t times[3], marty_bytes body,
                         int64_t *ret_message);
/** Remove messages (sorted by number) with the bytes that each had. */
int marty__sq_log_remove(marty_port *port, const int64_t messages[], const uint32_t bytes[],
                         size_t count);
/** Remove the oldest of a log that are older than before_us, at most limit; count and bytes. */
int marty__sq_log_trim(marty_port *port, sq_log *log, int64_t before_us, int64_t limit,
                       int64_t ret[2]);
/** Make room for `need` bytes, as the channel allows; *ret_room. */
int marty__sq_log_make_room(marty_port *port, sq_channel *channel, int64_t need, bool *ret_room);
/** First place of a log whose message is at or after a time. */
int marty__sq_log_place_at(marty_port *port, const sq_log *log, int64_t time_us,
                           int64_t *ret_place);
/** "42", or "7:42" when the log is not the channel's first. */
void marty__sq_position_write(char out[SQ_POSITION_BYTES], int64_t message, int64_t first_log);
/** The number that it names, 0 when it is none. log 0 in it = the channel's first. */
int64_t marty__sq_position_read(const char *text, int64_t first_log);

/* ---- publish.c */
int marty__sq_publish_apply(marty_port *port, sq_entry *entry);
/** Into the log of its channel or group; *ret_why. */
int marty__sq_publish_store(marty_port *port, sq_channel *channel, const sq_entry *entry,
                            int64_t grp, int64_t *ret_message);
/** The order of keys: a hash of the key, or of the id. */
int64_t marty__sq_key_of(const marty_message *message);
/** Stored time of a time of the wall clock, 0 = never stays 0. */
int64_t marty__sq_stored_time(const marty_port *port, int64_t wall_us);
/** Tell the outcome of the round's publishes and take them off the ring. */
void marty__sq_publish_answer(marty_port *port, marty_err err, sq_why why, const char *text);
/** How the channel that is there differs from what is wanted. */
void marty__sq_say_different(const sq_channel *channel, const char *name, marty_order order,
                             char *out, size_t size);
/** Answer those that may not wait any longer. */
void marty__sq_publish_expire(marty_port *port, bool locked);
marty_level marty__sq_level(const marty_port *port, marty_kind kind);

/* ---- later.c */
int marty__sq_later_add(marty_port *port, const sq_entry *entry, int64_t grp);
int marty__sq_later_cancel(marty_port *port, sq_control *control);
/** Move what is due into the logs; sets when the next is. */
int marty__sq_later_run(marty_port *port);
/** When the next is due. */
int marty__sq_later_look(marty_port *port);

/* ---- seen.c */
/** Take in what others published. */
int marty__sq_seen_sync(marty_port *port);
/** Whether (channel, group, source, id) was published within the window; remembers it if not.
 * fresh: it may go into the block of this round (it can never be forgotten before its time). */
int marty__sq_seen_before(marty_port *port, const sq_entry *entry, bool fresh, bool *ret_seen);
/** The name that it is remembered by, for marty__sq_seen_forget: late, a, b. */
void marty__sq_seen_name(const sq_channel *channel, const char *group, const marty_message *message,
                         int64_t ret_name[3]);
/** The last one seen_before remembered is not stored after all. */
int marty__sq_seen_undo(marty_port *port);
int marty__sq_seen_forget(marty_port *port, const int64_t name[3]);
/** Write the block of this round. */
int marty__sq_seen_save(marty_port *port);
/** The round was committed, or not. */
void marty__sq_seen_end(marty_port *port, bool committed);
void marty__sq_seen_free(marty_port *port);

/* ---- group.c */
int marty__sq_subscribe_apply(marty_port *port, sq_control *control);
int marty__sq_unsubscribe_apply(marty_port *port, sq_sub *sub);
/** Find or make the group of a subscription, moved if asked; *ret_err NOT_FOUND: it may not be
 * made.
 */
int marty__sq_group_open(marty_port *port, sq_sub *sub, const sq_control *control,
                         marty_err *ret_err);
/** Make a group of one channel. */
int marty__sq_group_make(marty_port *port, sq_channel *channel, const char *name,
                         const marty_start *start);
/** Any group of exactly that scope, 0 = none. */
int marty__sq_group_scoped(marty_port *port, const char *scope, int64_t *ret_grp);
/** All of a group: cursors, claims, what waits. */
int marty__sq_group_remove(marty_port *port, int64_t grp);
/** The group of a name on a channel, also one of several channels; 0 = none. */
int marty__sq_group_find(marty_port *port, const sq_channel *channel, const char *name,
                         int64_t *ret_grp);
/** Wild groups of that kind get a cursor on a new log. */
int marty__sq_group_join_log(marty_port *port, const sq_channel *channel, int64_t log);
bool marty__sq_name_matches(const char *pattern, const char *name);
int marty__sq_seek(marty_port *port, sq_sub *sub, const marty_start *start);
/** Set the cursors of a group on a channel by a start; add: only where there is none. */
int marty__sq_cursors_place(marty_port *port, int64_t grp, sq_channel *channel,
                            const marty_start *start, bool add);

/* ---- claim.c */
/** Give every hungry subscription what there is for it. */
int marty__sq_claims_run(marty_port *port);
/** Whether any hungry one might get something: asked before a transaction is begun for it. What
 * broadcasts there are is read at once. */
int marty__sq_claims_probe(marty_port *port, bool *ret_any);
/** The round was committed: what it claimed can be settled now. Or it was not: forget it. */
void marty__sq_claims_end(marty_port *port, bool committed);
void marty__sq_claim_free(marty_port *port, sq_claim *claim);
/** Something may be there for it: it is asked in the next round, if it has credit. */
void marty__sq_feed(marty_port *port, sq_sub *sub);
/** The same for all that listen to a bit. */
void marty__sq_feed_bit(marty_port *port, unsigned bit);
void marty__sq_feed_wild(marty_port *port);
void marty__sq_feed_all(marty_port *port);
/** Credit as it is now. */
uint32_t marty__sq_credit(marty_port *port, const sq_sub *sub);

/* ---- taking.c: a claim in the making */
typedef struct sq_row { /* of a message table */
    int64_t id, at_us, expires_us, key;
    const void *body;
    size_t size;
} sq_row;
enum { SQ_EXPIRED_MAX = 128 };
typedef struct sq_taking { /* more: it stopped for want of room. expired: to be removed */
    sq_sub *sub;
    sq_claim *claim;
    uint32_t room;
    bool more;
    size_t expired_count;
    int64_t expired[SQ_EXPIRED_MAX];
    uint32_t expired_bytes[SQ_EXPIRED_MAX];
} sq_taking;
void marty__sq_row_columns(sqlite3_stmt *statement, sq_row *ret_row);
/** Nothing more fits into this claim, or into this round. */
bool marty__sq_taking_full(const marty_port *port, const sq_taking *taking);
/** Take a row: delivered for the attempt-th time; one that has expired is only noted. */
int marty__sq_taking_add(marty_port *port, sq_taking *taking, const sq_row *row, uint32_t attempt);
/** Take messages by number, those that are gone are passed by. */
int marty__sq_taking_add_one(marty_port *port, sq_taking *taking, int64_t message,
                             uint32_t attempt);
/** Remove what had expired from logs that only this group reads; write the claim. */
int marty__sq_taking_end(marty_port *port, sq_taking *taking);

/* ---- claim_order.c */
int marty__sq_claim_ordered(marty_port *port, sq_taking *taking);

/* ---- delivery.c */
/** Room for one more delivery of this round, or NULL. */
sq_delivery *marty__sq_delivery_add(marty_port *port);
/** Read the row into it; an unreadable one goes as raw bytes. */
int marty__sq_delivery_read(sq_delivery *delivery, const sq_row *row, bool reply_to);
/** Charge the subscriptions for those of this round. */
void marty__sq_deliveries_charge(marty_port *port);
/** Give all of this round to core, or drop them. */
void marty__sq_deliveries_end(marty_port *port, bool committed);

/* ---- items.c */
/** Pack what is left of a claim into port->body; returns the earliest lease. */
int64_t marty__sq_items_pack(marty_port *port, const sq_claim *claim);
typedef struct sq_held { /* one message of a packed claim */
    int64_t message, key, lease_us;
    uint32_t attempt;
} sq_held;
/** Unpack; *ret_held is yours to marty_free. SQLITE_CORRUPT when damaged. */
int marty__sq_items_unpack(const void *blob, size_t size, sq_held **ret_held, size_t *ret_count);
/** Pack an array. */
int64_t marty__sq_held_pack(marty__buffer *out, const sq_held held[], size_t count);

/* ---- settle.c */
int marty__sq_settle_apply(marty_port *port);
/** Give all that a subscription holds back, uncounted. */
int marty__sq_give_back_all(marty_port *port, sq_sub *sub);
/** Put a message into the queue of its group: due now or later, delivered attempt times so far. */
int marty__sq_wait_again(marty_port *port, int64_t grp, const sq_held *held, uint32_t attempt,
                         int64_t due_us);

/* ---- settle_answer.c */
/** Tell what became of the round's settlements; failed: all of them failed so. */
void marty__sq_settle_answer(marty_port *port, marty_err failed);
/** Free what a subscription holds: what is queued of it is LOST. */
void marty__sq_claims_drop(marty_port *port, sq_sub *sub);
/** Forget the marks of a round that was rolled back. */
void marty__sq_settle_undo(marty_port *port);

/* ---- post.c: what keeps nothing */
int marty__sq_post_add(marty_port *port, sq_entry *entry);
int marty__sq_post_open(marty_port *port, sq_sub *sub);
int marty__sq_post_take(marty_port *port, sq_sub *sub);
/** Deliver broadcasts: reads only, no transaction needed. */
int marty__sq_post_listen(marty_port *port, sq_sub *sub);
int marty__sq_post_pending(marty_port *port, const sq_sub *sub, bool *ret_any);

/* ---- member.c */
int marty__sq_member_add(marty_port *port);
int marty__sq_member_remove(marty_port *port, int64_t member);
/** Whether some member died or a lease ran out: asked before a transaction is begun for it. */
int marty__sq_reclaim_probe(marty_port *port, bool *ret_any);
/** Take back what the dead held, and what was held too long. */
int marty__sq_reclaim_run(marty_port *port);

/* ---- sweep.c */
/** Retention and old traces, a bounded part at a time; *ret_more: there is more to do. */
int marty__sq_sweep_run(marty_port *port, bool *ret_more);
int64_t marty__sq_sweep_every_ns(const marty_port *port);

/* ---- round.c */
/** What time it is for all that follows. */
void marty__sq_clock(marty_port *port);
/** One transaction for all that waits. */
void marty__sq_round(marty_port *port);
/** The same by a thread that leads: waits for no lock, and leaves the log as it is. false: nothing
 * was written. */
bool marty__sq_round_led(marty_port *port);

/* ---- writer.c */
/** Take over what ops left. */
void marty__sq_collect(marty_port *port);
bool marty__sq_publishes_wait(marty_port *port);
/** When there is something to do though nobody asks. */
int64_t marty__sq_due_ns(const marty_port *port);

/* ---- connect.c */
bool marty__sq_connect(marty_port *port);
void marty__sq_disconnect(marty_port *port, marty_state state, marty_err err, const char *text);

/* ---- control.c */
/** Take over those that ops left. Under the lock. */
void marty__sq_controls_collect(marty_port *port);
/** No round could begin: answer those that may not wait any longer. */
void marty__sq_controls_expire(marty_port *port);
/** Answer the controls of the round; err: all of them so. */
void marty__sq_controls_answer(marty_port *port, marty_err err, const char *text);

/* ---- topology.c */
struct sq_ask;
int marty__sq_topology_apply(marty_port *port, struct sq_ask *ask);
void marty__sq_topology_answer(marty_port *port, struct sq_ask *ask, marty_err err,
                               const char *text);
/** From here on its caller waits until it is answered. Under the lock. */
void marty__sq_topology_begin(struct sq_ask *ask);
/** Answer it if its time is over: then it is gone. */
void marty__sq_topology_expire(marty_port *port, struct sq_ask *ask);

/* ---- remove.c */
/** Mark those in the list whose group or channel is no longer there. */
int marty__sq_check_subs(marty_port *port, marty__link *head);
/** End the marked ones: core learns it, and subscribes again. */
void marty__sq_expel_orphans(marty_port *port);
#endif
