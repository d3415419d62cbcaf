/* SPDX-License-Identifier: Apache-2.0
 * What each file of the nats module offers to the others. ..._locked: port->lock is held; else it
 * must not be. Blocking functions are for the worker, the keeper and callers of topology. */
#ifndef MARTY_BACKENDS_NATS_PARTS_H
#define MARTY_BACKENDS_NATS_PARTS_H
#include "nats.h"

#include <jansson.h>

/* ---- wire.c: a connection, its frames and its inboxes */
/** Make the loop look again: now, or (not urgent) within a millisecond while there is traffic. */
void nats__wake(marty_port *port, bool urgent);
/** Append a message to what goes out. headers: lines that each end in CRLF, or empty. False without
 * memory or connection. */
bool nats__frame_locked(nats__wire *wire, const char *subject, const char *reply,
                        marty_bytes headers, marty_bytes data);
/** Bytes that wait to go out. */
size_t nats__backlog_locked(const nats__wire *wire);
/** Send what there is now if the socket is idle, else let the loop do it at once. */
void nats__send_locked(nats__wire *wire);
/** The loop: write all that waits. ret_wrote: there was something. True: the socket is full. */
bool nats__wire_write(nats__wire *wire, bool *ret_wrote);
/** Subscribe; queue may be NULL. */
marty_err nats__inbox_open_locked(nats__wire *wire, nats__inbox *inbox, const char *subject,
                                  const char *queue, marty_error *why);
/** Ask the loop to take it off; it is off once inbox->wire is NULL (port->changed is signalled). */
void nats__inbox_close_locked(nats__inbox *inbox);
/** The loop: take the closing ones off. */
void nats__inboxes_reap(marty_port *port);
/** Options of the library for one server, with the callbacks of a wire. */
natsStatus nats__wire_options(nats__wire *wire, natsOptions *options);

/* ---- reader.c */
/** One block, freed with marty_free; NULL without memory. */
nats__message *nats__message_copy(const nats__message *from);
/** What a copy takes in memory, about. */
size_t nats__message_weight(const nats__message *message);
/** Forget what waits there. */
void nats__inbox_forget_locked(nats__inbox *inbox);

/* ---- record.c */
/** TLS: whether the library can read now without waiting; ended: the peer closed. */
bool nats__record_is_whole(nats__wire *wire, bool ended);

/* ---- loop.c */
marty_err nats__loop_start(marty_port *port, marty_error *why);
/** Ends the connection; others may still wake it. */
void nats__loop_stop(marty_port *port);
/** Once no other thread is left. */
void nats__loop_free(marty_port *port);
/** Wait until the loop has let go of all that it held when this was called. */
void nats__loop_barrier(marty_port *port);
/** Declare the connection lost; the loop answers everything and reports down. */
void nats__lose(marty_port *port, marty_err err, const char *text);

/* ---- lost.c: what an end of the connection means */
void nats__teardown(marty_port *port);

/* ---- worker.c */
marty_err nats__worker_start(marty_port *port, marty_error *why);
void nats__worker_stop(marty_port *port);
nats__job *nats__job_new(void (*run)(marty_port *port, nats__job *job), const char *text);
void nats__job_post_locked(marty_port *port, nats__job *job);
/** Forget what is still to be done about it, of which none comes any more. */
void nats__jobs_drop_locked(marty_port *port, const nats__subscription *subscription);

/* ---- errors.c: what the library tells when it likes */
/** From open to free the port is among those that live. */
void nats__living_add(marty_port *port);
void nats__living_remove(marty_port *port);
natsStatus nats__error_options(const marty_port *port, natsOptions *options);

/* ---- connect.c, probe.c */
typedef struct nats__greeting { /* what the server said of itself */
    char version[32];
    bool tls_required, tls_available, tls_verify, auth_required, jetstream, headers;
    int64_t payload_max;
} nats__greeting;
void nats__connect_run(marty_port *port, nats__job *job);
marty_err nats__probe(marty_port *port, const char *host, uint16_t number,
                      nats__greeting *ret_greeting, marty_error *why);
void nats__grants(const marty_port *port, marty_capabilities *ret_granted);
extern const marty_capabilities nats__claims;

/* ---- api.c: calls that wait for an answer */
/** Publish header lines and a body to subject, and wait for the answer (a copy, yours to
 * marty_free). */
marty_err nats__ask(marty_port *port, const char *subject, marty_bytes lines, marty_bytes body,
                    int64_t deadline_ns, nats__message **ret_reply, marty_error *why);
/** Wait until the server has seen to all that was said to it on that connection. DENIED = it does
 * not permit a subscription that was made since the lock was taken. The lock is given up meanwhile.
 */
marty_err nats__sign_locked(nats__wire *wire, int64_t deadline_ns, marty_error *why);
/** A JetStream API call; what is the part behind $JS.API. and ret_code the server's err_code. */
marty_err nats__api(marty_port *port, const char *what, json_t *body, int64_t deadline_ns,
                    json_t **ret_answer, int *ret_code, marty_error *why);
/** The same right behind what was said since the lock was taken; it is given up meanwhile. */
marty_err nats__api_locked(marty_port *port, const char *what, json_t *body, int64_t deadline_ns,
                           json_t **ret_answer, int *ret_code, marty_error *why);
int64_t nats__api_deadline(marty_port *port);
marty_err nats__api_error(int err_code, const char *description, const char *what,
                          marty_error *why);
void nats__call_answer_locked(marty_port *port, uint32_t id, const nats__message *reply);
void nats__call_nobody_locked(marty_port *port);

/* ---- names.c */
extern const char nats__name_bytes[], nats__subject_bytes[];
/** Find or make the channel. */
marty_err nats__channel_get_locked(marty_port *port, nats__channel **ret_channel,
                                   const marty_channel *from, marty_error *why);
/** Subject of a message of that type (shard: of a stream). Borrowed until the next call. */
marty_err nats__subject_locked(nats__channel *channel, const char *type, uint32_t shard,
                               char ret_subject[NATS__SUBJECT_MAX], marty_error *why);
/** The shard of a message. */
uint32_t nats__shard_of(const nats__channel *channel, const marty_message *message);
/** Reply subject of a logical reply channel and the id of a request; without id the base. */
marty_err nats__reply_subject(const marty_port *port, const char *reply_to, const char *id,
                              char ret_subject[NATS__SUBJECT_MAX], marty_error *why);
/** The word behind a reply channel's subject that is no id of a request. */
#define NATS__ECHO "_echo"
/** Whether that reply channel is subscribed to here, so that an echo to it comes back. */
bool nats__replies_heard_locked(marty_port *port, const char *reply_to);
/** Whether a peer's reply address may be published to. */
bool nats__reply_allowed(const char *subject);
marty_err nats__consumer_name(char ret_name[NATS__NAME_MAX + 1], const nats__channel *channel,
                              const char *group, int shard, marty_error *why);
/** Stream's name as our channel's, or false when it is none of ours. */
bool nats__logical_name(const marty_port *port, const char *stream, char ret_name[256]);
bool nats__pattern_match(const char *pattern, const char *name);

/* ---- envelope.c */
/** Header lines and body of a message in the port's envelope: lines go to port->scratch, ret_body
 * is yours to unref. */
marty_err nats__encode_locked(marty_port *port, const marty_message *message, bool legacy,
                              marty_message **ret_body, marty_error *why);
/** The header of a message, "Nats-Msg-Id: ...". */
bool nats__line_locked(marty_port *port, const char *name, const char *value);
typedef struct nats__read { /* a message taken apart; reused, freed by nats__read_free */
    marty_message *message; /* a reference to hand on; NULL = unreadable */
    marty_header *headers;  /* what came but for the broker's own; names and values in text */
    size_t header_count, header_capacity;
    nats__buffer text;
} nats__read;
/** Take a message apart, and read its envelope. */
void nats__read_message(marty_port *port, const nats__message *from, nats__read *into);
void nats__read_free(nats__read *read);
/** The same with another type; takes the reference. */
marty_message *nats__with_type(marty_message *message, const char *type);
/** The legacy services say type "X" on subject events.saga.X: the subject is right. Takes the
 * reference. */
marty_message *nats__mend_type(const marty_port *port, marty_kind kind, const nats__message *from,
                               marty_message *message);
marty_message *nats__with_expiry(marty_message *message, int64_t expires_us);
/** A copy with one more attribute; yours to unref. */
marty_err nats__with_attribute(const marty_message *message, const char *name, const char *value,
                               marty_message **ret_message, marty_error *why);

/* ---- publish.c, answers.c */
marty_err nats__publish(marty_port *port, const marty_outgoing batch[], size_t count,
                        size_t *ret_taken, marty_error *why);
marty_err nats__cancel(marty_port *port, const marty_channel *channel, const char *id,
                       uint64_t token, marty_error *why);
/** One message to a channel that is ready; the token is answered later, or now on an error. */
void nats__publish_one_locked(marty_port *port, nats__channel *channel, const nats__held *what);
marty_err nats__check_size(const marty_port *port, const char *channel,
                           const marty_message *message, const marty_message *body,
                           marty_error *why);
typedef struct nats__answers { /* of tokens, gathered under the lock and told without it */
    marty_published results[NATS__BATCH];
    size_t count;
} nats__answers;
void nats__answer(marty_port *port, uint64_t token, marty_err err, marty_level level,
                  const char *text);
/** The loop: messages to the control inbox. */
void nats__control_arrived(marty_port *port, nats__inbox *inbox, const nats__message *messages,
                           size_t count);
bool nats__ring_add(nats__ring *ring, uint64_t token, uint64_t mark);
/** The oldest, 0 = answered already; there must be one. */
uint64_t nats__ring_take(nats__ring *ring);
/** The loop: acks of one channel. */
void nats__acks_arrived(marty_port *port, nats__inbox *inbox, const nats__message *messages,
                        size_t count);
/** The loop: the echo of a query; nobody: it found no responder. */
void nats__asked(marty_port *port, bool nobody);
/** The server found nobody for the query that wanted its reply there. */
void nats__asked_nobody(marty_port *port, const char *reply_subject);
/** All queries are answered as taken. */
void nats__asked_all(marty_port *port);
/** Send the echo for what is unconfirmed (forced: also for nothing), if none is on its way. */
void nats__confirm_locked(nats__wire *wire, bool forced);
/** The loop: publishes past their deadline; returns when to look again. */
int64_t nats__pending_expire(marty_port *port, int64_t now_ns);
void nats__pending_free_locked(marty_port *port, uint32_t index);
/** What was denied: calls to that subject, or for a subscription (NULL) those that wait for it. */
void nats__call_denied_locked(marty_port *port, const char *subject, const char *text);

/* ---- stream.c, consumer.c, filter.c: topology of one channel and group (blocking) */
typedef struct nats__difference {
    char field[48], wanted[160], found[160];
} nats__difference;
typedef struct nats__report {
    bool created;
    size_t count;
    nats__difference differences[16];
} nats__report;
/** The job that ensures a channel for what is held, and the answer to it. */
void nats__ensure_run(marty_port *port, nats__job *job);
/** Make or check the stream of a channel; report may be NULL. */
marty_err nats__stream_ensure(marty_port *port, nats__channel *channel, nats__topology mode,
                              nats__report *report, marty_error *why);
/** The bucket of the leases. */
marty_err nats__bucket_ensure(marty_port *port, marty_error *why);
/** Answer of STREAM.INFO, yours to decref. */
marty_err nats__stream_info(marty_port *port, const char *stream, json_t **ret_info,
                            marty_error *why);
/** The server said that it was so late; counted from when it was asked. NULL = it did not. */
void nats__clock_note(marty_port *port, const char *time_text, int64_t asked_ns);
/** Learn the server's time, if it is not known, where streams do not tell it (before 2.10). */
void nats__clock_learn(marty_port *port, const nats__channel *channel);
void nats__difference_add(nats__report *report, const char *field, const char *wanted,
                          const char *found);
/** EXISTS with the first difference, or OK. */
marty_err nats__difference_error(const nats__report *report, const char *what, marty_error *why);
/** Make, check or widen the consumer of a source; reset: make it anew at subscription->start. */
marty_err nats__consumer_ensure(marty_port *port, nats__subscription *subscription,
                                nats__source *source, nats__topology mode, bool reset,
                                nats__report *report, marty_error *why);
/** Ordered: begin behind the last settled one, so that nothing overtakes what was not settled.
 * before_rewind is told where the group goes on before the old consumer is removed; floor: where to
 * go on if it is gone, 0 = as a new group. */
marty_err nats__consumer_rewind(marty_port *port, nats__subscription *subscription,
                                nats__source *source, uint64_t floor,
                                marty_err (*before_rewind)(void *user, uint64_t floor,
                                                           marty_error *why),
                                void *user, marty_error *why);
marty_err nats__consumer_remove(marty_port *port, const char *stream, const char *consumer,
                                marty_error *why);
/** Answer of CONSUMER.INFO, yours to decref. */
marty_err nats__consumer_info(marty_port *port, const nats__source *source, json_t **ret_info,
                              marty_error *why);
/** OK or NOT_FOUND; else nobody has said so within a second. */
marty_err nats__consumer_is_there(marty_port *port, const nats__source *source, marty_error *why);
/** Make the consumer like that, or make it. */
marty_err nats__consumer_change(marty_port *port, nats__source *source, json_t *config,
                                marty_error *why);
/** What a consumer is asked to filter by, as a JSON array; empty = nothing. */
json_t *nats__filters(marty_port *port, const nats__source *source);
/** Whether all that wanted matches, found does; either empty = all. */
bool nats__filters_cover(json_t *found, json_t *wanted);
/** found and wanted as one; whole when they overlap so that no server takes both. */
json_t *nats__filters_union(json_t *found, json_t *wanted, const nats__channel *channel);
/** Whether streams of topics say no when they are full (retention= in bytes). */
bool nats__refuses_when_full(const nats__options *options);
bool nats__version_at_least(marty_port *port, unsigned major, unsigned minor);

/* ---- subscribe.c, setup.c, source.c, core.c */
marty_err nats__subscribe(marty_port *port, uint64_t number, const marty_want *want,
                          marty_error *why);
void nats__unsubscribe(marty_port *port, uint64_t number);
void nats__grant(marty_port *port, uint64_t number, uint32_t credit);
nats__subscription *nats__subscription_find_locked(marty_port *port, uint64_t number);
nats__subscription *nats__subscription_new(marty_port *port, uint64_t number,
                                           const marty_want *want);
void nats__subscription_free(nats__subscription *subscription);
/** The worker, before it sets it up and while nobody else does: begin where it was last asked to;
 * reset: not where it was. */
void nats__take_start_locked(nats__subscription *subscription, bool reset);
/** Whether the channel's shards have owners in the group. */
bool nats__is_shared(const nats__subscription *subscription, const nats__channel *channel);
void nats__setup_run(marty_port *port, nats__job *job);
/** The worker: patterns over channels look for new ones. */
void nats__refresh(marty_port *port);
/** The worker: take down one that is out of the lists, and free it; tell: core asked for it. */
void nats__leave(marty_port *port, nats__subscription *subscription, bool tell);
marty_err nats__core_setup(marty_port *port, nats__subscription *subscription, marty_error *why);
void nats__core_remove(marty_port *port, nats__subscription *subscription);
/** A grant has come: what was waiting may be taken. */
void nats__core_more_locked(marty_port *port, nats__subscription *subscription);
/** Deliver again from memory what is due; when to look again. */
int64_t nats__memory_look(marty_port *port, nats__subscription *subscription, int64_t now_ns);
/** A source for a consumer of that channel (shard -1 = of all), not begun. */
marty_err nats__source_new(marty_port *port, nats__subscription *subscription,
                           nats__channel *channel, int shard, nats__source **ret_source,
                           marty_error *why);
void nats__source_free(nats__source *source);
/** Open its inbox and pull. From now on it is the subscription's. */
marty_err nats__source_begin(marty_port *port, nats__source *source, marty_error *why);
/** Stop it, wait until the loop has let go of it, and free it. Its deliveries are LOST; give_back:
 * the server hears that they are free again. */
void nats__source_remove(marty_port *port, nats__source *source, bool give_back);

/* ---- lease.c: the leases of what has no owner */
/** That a consumer has, by its configuration; in ms. */
uint64_t nats__lease_of(json_t *config);
/** Blocking. Agree with the others who pull from a consumer: at most wanted_ms. In the
 * configuration, too. */
marty_err nats__lease_agree(marty_port *port, nats__source *source, uint64_t wanted_ms,
                            nats__topology mode, json_t *config, marty_error *why);
/** The worker: a subscription that is set up wants another lease, or doubts that it knows its own.
 */
void nats__leases_look(marty_port *port, nats__subscription *subscription, bool doubts);
/** Something came again that was renewed: the worker looks whether somebody shortened a lease. */
void nats__lease_doubt_locked(nats__subscription *subscription);
/** Lock, or a source that has not begun. */
int64_t nats__lease_ns(const nats__source *source);

/* ---- pull.c, deliver.c, settle.c */
typedef struct nats__batch nats__batch;
nats__batch *nats__batch_new(void);
void nats__batch_free(nats__batch *batch);
nats__read *nats__batch_read(nats__batch *batch); /* to take one message apart at a time */
void nats__source_arrived(marty_port *port, nats__inbox *inbox, const nats__message *messages,
                          size_t count);
/** Ask the server for as many as credit allows. */
void nats__pull_locked(nats__subscription *subscription, int64_t now_ns);
/** The loop: what waits for credit, time or a lost pull; returns when to look again. */
int64_t nats__sources_look(marty_port *port, int64_t now_ns);
/** The most that one pull brings. */
size_t nats__pull_bytes(const marty_port *port);
/** The loop: hand messages over that are there; those without credit are kept. fresh: they were
 * pulled just now. How many went. */
size_t nats__deliver(marty_port *port, nats__source *source, const nats__message *messages,
                     size_t count, bool fresh);
/** The loop: give one back that core has not seen, so that it is no attempt. */
void nats__return_locked(nats__source *source, const nats__message *message);
/** Whether a pull of it is at the server, so that what could come would have. */
bool nats__source_asks_locked(const nats__source *source, int64_t now_ns);
/** Whether it is there for deliveries, and ours. */
bool nats__source_flows_locked(const nats__source *source, int64_t now_ns);
/** The consumer is gone or of another mind: core hears it and subscribes again. */
void nats__source_failed(marty_port *port, nats__source *source, marty_err err, const char *text);
/** Nothing is heard of its consumer: the worker looks whether it is there. */
void nats__source_doubt_locked(nats__source *source);
void nats__settle(marty_port *port, const marty_settling batch[], size_t count);
/** Note that it is to be given back, if that is before the end of its lease. False: no memory. */
bool nats__ack_note_locked(nats__buffer *list, int64_t until_ns, const char *prefix,
                           const char *tail);
/** What an older connection left unsettled comes again at once, not when its lease ends. */
void nats__give_back_orphans_locked(nats__subscription *subscription);
nats__entry *nats__entry_new_locked(nats__subscription *subscription);
void nats__entry_free_locked(nats__subscription *subscription, nats__entry *entry);
void nats__nak_locked(nats__wire *wire, const char *ack_subject, uint32_t delay_ms);
/** Make all deliveries (of a source, or NULL) void; give_back: the server hears it at once, or when
 * the next connection is up. */
void nats__entries_drop_locked(nats__subscription *subscription, nats__source *source,
                               bool give_back);
/** Of one that gets no more credit and has no pull at the server: what is kept goes to others. */
void nats__give_back_idle_locked(nats__source *source);
/** The broker counts a delivery that is no attempt. */
void nats__uncounted_note_locked(const nats__source *source, uint64_t sequence);
/** How many of the broker's deliveries were given back uncounted. */
uint32_t nats__uncounted_of(const nats__subscription *subscription, const nats__channel *channel,
                            uint64_t sequence);

/* ---- share.c: shards over the instances of a group */
marty_err nats__share_start(marty_port *port, nats__subscription *subscription,
                            nats__channel *channel, bool reset, marty_error *why);
/** Stop it if there is one; its shards are free for others, its sources still there. */
void nats__share_stop(marty_port *port, nats__subscription *subscription);
void nats__shares_lost_locked(marty_port *port);
/** Whether we share the shards of that stream with others. */
bool nats__shared_locked(const marty_port *port, const char *stream);
void nats__keeper_stop(marty_port *port);
void nats__shares_free(marty_port *port);

/* ---- topology.c, inspect.c, groups.c, browse.c (blocking) */
/** The groups of a channel, or the one that is asked about, as inspect shows them. */
marty_err nats__groups(marty_port *port, const marty_want *what, nats__channel *channel,
                       json_t **ret_groups, marty_error *why);
marty_err nats__topology_op(marty_port *port, const char *verb, const marty_want *what,
                            int64_t deadline_ns, marty_message **ret_answer, marty_error *why);
marty_err nats__inspect(marty_port *port, const marty_want *what, json_t **ret_answer,
                        marty_error *why);
marty_err nats__inspect_server(marty_port *port, json_t **ret_answer, marty_error *why);
marty_err nats__list(marty_port *port, json_t **ret_answer, marty_error *why);
marty_err nats__browse(marty_port *port, const marty_want *what, json_t **ret_answer,
                       marty_error *why);
marty_err nats__erase(marty_port *port, const marty_want *what, json_t **ret_answer,
                      marty_error *why);
/** All of what a paged API call lists under a key, as one array; yours to decref. */
marty_err nats__pages(marty_port *port, const char *call, const char *key, json_t **ret_all,
                      marty_error *why);
const char *nats__kind_word(marty_kind kind);
/** How many shards of a channel have consumers of their own in a group; 0 = it has one for all. */
uint32_t nats__shards_of(const nats__channel *channel);
/** Bytes of a consumer's name that are its group's, without the shard. */
size_t nats__group_size(const char *consumer, uint32_t shards);
bool nats__group_of(const char *consumer, uint32_t shards, char ret_group[256]);
#endif
