/* SPDX-License-Identifier: Apache-2.0
 * A consumer: one native subscription, its members, credit, leases and watchdog. */
#ifndef MARTY_BUS_CONSUMER_H
#define MARTY_BUS_CONSUMER_H
#include "bus/match.h"
#include "bus/port.h"
#include "bus/route.h"

typedef struct marty__unmade { /* a delivery that there was no memory for */
    uint64_t tag, epoch;
    uint32_t attempt;
} marty__unmade;

struct marty__consumer { /* one native subscription: (port, channel, group) */
    atomic_uint refs;
    marty_bus *bus;
    marty__port *port;
    uint64_t number;
    char *channel, *group;  /* group NULL = this instance alone */
    const char *group_name; /* as shown in deliveries */
    marty_kind kind;
    marty_order order;
    uint32_t shards;
    bool native, wild; /* wild: channel is a pattern of channels */
    marty_start start;
    char *start_position;
    marty__mutex lock; /* what follows */
    marty__cond changed;
    marty__match *match;
    marty_subscription *taker; /* of messages of taken_type, as match says it; NULL = not known */
    char taken_type[64];
    marty_subscription **members;
    size_t member_count;
    uint32_t credit;  /* what the adapter may have unsettled with us */
    uint32_t owed;    /* credit to give back to it */
    uint32_t batches; /* of that credit, what fills the batches that its members wait for */
    bool subscribed, refused, paused, watching;
    uint64_t wish;     /* rises with what the adapter is to be told: another pattern, a seek */
    uint64_t told;     /* the wish that it was told last */
    uint64_t answered; /* and the one that its last answer was to */
    uint64_t served;   /* the last one that was answered with OK */
    uint64_t reset;    /* the wish by which start moves the group, until it is answered; 0 = none */
    uint64_t sought;   /* the wish of the last seek */
    bool asking;       /* told, and not answered: no more is told, so each answer is to one wish */
    bool lease_on;     /* leases are renewed, by the next two */
    int64_t lease_ns;  /* the longest that something of it was given */
    int64_t lease_short_ns;       /* and the shortest */
    uint32_t lease_ms;            /* as the adapter was asked for; 0 = its own */
    atomic_bool asked, gone;      /* written under the lock; a grant looks without it */
    atomic_bool left;             /* by its last member: nobody joins it any more */
    uint64_t lost, settle_failed; /* as the adapter answered */
    marty_err reason;
    char text[256];
    _Atomic uint64_t epoch; /* of the connection or seek; older deliveries are LOST */
    marty__link unsettled;  /* by end of lease */
    marty__link spare;      /* deliveries to use again */
    size_t unsettled_count, spare_count;
    size_t settling;       /* settled by us, and not yet told to the adapter */
    marty__unmade *unmade; /* they wait to be given back; they count as settling */
    uint32_t unmade_count, unmade_room;
    uint32_t surplus; /* granted for members that have left: what is owed pays it off first */
    marty__alarm lease_alarm, watch_alarm, again_alarm, leave_alarm, revoke_alarm, unmade_alarm,
        stuck_alarm;
    bool crowded; /* little credit is left, so stuck_alarm is set */
    bool stalled; /* none is left, and nothing of it moves: stuck_key is the one that waits longest
                   */
    char stuck_key[64];
    int64_t revoke_ns; /* when revoke_alarm rings; MARTY__NEVER = it is not set */
    uint32_t watch_rounds, resubscribes;
    bool restarting; /* from asking to be unsubscribed until CLOSED or a new connection */
    int64_t last_delivery_ns;
    marty__link grant_link; /* of port->grants */
    uint32_t grant;         /* under port->lock */
    bool take_back;         /* credit that is not used, under port->lock */
    marty__command subscribe_command, unsubscribe_command, restart_command, unmade_command;
    marty__task watch_task; /* asks the broker for the lag; owns a reference while queued */
    bool suspected;
    const char **words; /* as told to the adapter, live until the next subscribe */
};

/* ---- consumer_ask.c */
/** Have the adapter told what is wished for, unless that is under way already. */
void marty__consumer_subscribe(marty__consumer *consumer);
void marty__subscribe_run(marty__port *port, marty__command *command);
void marty__again_rang(marty__alarm *alarm);
/** What the adapter says to the wish told last: MARTY_OK, or why not. Wakes those who wait. */
void marty__consumer_answer(marty__consumer *consumer, marty_err reason, const char *text);
/** Wait until the broker has what was wished for, 0 = all that is wanted by now, or the deadline.
 * With while_up no longer than its port is up: then it is subscribed as soon as it is up again,
 * which is MARTY_OK. */
marty_err marty__consumer_wait(marty__consumer *consumer, uint64_t wish, bool while_up,
                               int64_t deadline_ns, marty_error *why);

/* ---- credit.c */
/** What a subscribe grants, with consumer->lock held: all of it begins anew, so what was to be
 * granted before is not, and what came of the place that a seek leaves is lost: those that are
 * being settled would be granted twice. */
uint32_t marty__consumer_first_credit(marty__consumer *consumer);
/** Credit for n settled deliveries goes back to the adapter. No lock held. */
void marty__consumer_owe(marty__consumer *consumer, uint32_t count);
/** The same when so many that were settled have been told to the adapter, with consumer->lock held,
 * which it gives up. */
void marty__consumer_settled_held(marty__consumer *consumer, uint32_t owed, uint32_t settled);
/** The adapter may deliver no more of what was granted. */
void marty__consumer_take_back(marty__consumer *consumer);
/** Hold credit back while every member is paused. */
void marty__consumer_pause(marty__consumer *consumer);

/* ---- consumer.c, membership.c, lease.c, watch.c */
/** Find or make the consumer of a place and group, and add a subscription's pattern. */
marty_err marty__consumer_join(marty_subscription *subscription, const marty__place *place,
                               const marty_subscribe_options *options,
                               marty__consumer **ret_consumer, marty_error *why);
/** Take a subscription out. The last one unsubscribes, as soon as nothing is unsettled any more, or
 * at the deadline: then what is left is lost, and delivered again. */
void marty__consumer_leave(marty__consumer *consumer, marty_subscription *subscription,
                           int64_t deadline_ns);
/** Out of its members, and no more. With consumer->lock held. */
void marty__consumer_drop(marty__consumer *consumer, const marty_subscription *subscription);
void marty__consumer_leave_rang(marty__alarm *alarm);
/** Nobody is in it and nothing unsettled, since now: true once, and then end it. Lock held. */
bool marty__consumer_ends(marty__consumer *consumer);
/** Whether what it delivers is kept at the broker until it is settled. */
bool marty__consumer_keeps(const marty__consumer *consumer);
/** The bus drains: nothing more shall come; what is unsettled may be settled still. */
void marty__consumer_drain(marty__consumer *consumer);
/** Unsubscribe it. No lock held. */
void marty__consumer_end(marty__consumer *consumer);
marty__consumer *marty__consumer_ref(marty__consumer *consumer);
void marty__consumer_unref(marty__consumer *consumer);
void marty__consumer_ref_many(marty__consumer *consumer, uint32_t count);
void marty__consumer_unref_many(marty__consumer *consumer, uint32_t count);
void marty__consumer_up(marty__consumer *consumer); /* its port came up: subscribe again */
void marty__consumer_down(
    marty__consumer *consumer); /* its port went down: what is unsettled is lost */
/** Shards will be lost: what is queued or held of them goes back at once, what runs is LOST from
 * the deadline on. */
void marty__consumer_revoked(marty__consumer *consumer, const uint32_t *shards, size_t count,
                             int64_t deadline_ns);
void marty__revoke_rang(marty__alarm *alarm);
/** With its lock held: what is delivered and not settled belongs to another epoch now. */
void marty__consumer_lose_all(marty__consumer *consumer);
/** The group goes elsewhere in the log; what was delivered before is LOST. Waits until it has: also
 * for a port that is down. After an error it goes on where it was, unless the adapter still does
 * what it was told. */
marty_err marty__consumer_seek(marty__consumer *consumer, const marty_start *to,
                               int64_t deadline_ns, marty_error *why);
/** The member before that one (SIZE_MAX: the last) with a reference, or NULL. */
marty_subscription *marty__consumer_member(marty__consumer *consumer, size_t *at);
/** The channel that a message of it came from: of a pattern of channels, the one that the adapter
 * says, else the one that the routes give its type. Lives as long as the bus. */
const char *marty__consumer_channel_of(const marty__consumer *consumer,
                                       const marty_subscription *subscription,
                                       const marty_incoming *incoming);
/** Alarms and commands of a new consumer. */
void marty__consumer_prepare(marty__consumer *consumer,
                             void (*unsubscribe)(marty__port *port, marty__command *command));
/** Arm one of its alarms, unless it is gone. */
void marty__consumer_arm(marty__consumer *consumer, marty__alarm *alarm, int64_t at_ns);
/** The same with consumer->lock held. */
void marty__consumer_arm_held(marty__consumer *consumer, marty__alarm *alarm, int64_t at_ns);
/** Ask for more lease; 0 = as much as the backend gives. */
marty_err marty__lease_extend(marty__delivery *delivery, uint32_t delay_ms);
void marty__lease_answer(marty__consumer *consumer, const uint64_t *tags, size_t count,
                         marty_err result, int64_t lease_until_ns);
/** Little of the credit is left: see that no key has it for long. */
void marty__stuck_start(marty__consumer *consumer);
void marty__stuck_rang(marty__alarm *alarm);
/** With consumer->lock held. */
bool marty__consumer_crowded(const marty__consumer *consumer);
/** Look after a consumer: renew leases, notice silence. */
void marty__watch_start(marty__consumer *consumer);
void marty__watch_rang(marty__alarm *alarm);
void marty__watch_look(marty__task *task);
/** Unsubscribe, and then subscribe as if for the first time. No lock held. */
void marty__consumer_restart(marty__consumer *consumer);
void marty__watch_restart(marty__port *port, marty__command *command);
void marty__lease_rang(marty__alarm *alarm);
/** Something of it has that lease now: when to renew what there is; MARTY__NEVER = as it was. With
 * consumer->lock held. */
int64_t marty__lease_note(marty__consumer *consumer, int64_t until_ns, int64_t now_ns);
/** No lease of it may be longer from now on: when to renew what there is; MARTY__NEVER = as it was.
 * With consumer->lock held. */
int64_t marty__lease_shorten(marty__consumer *consumer, uint32_t lease_ms);
/** Renew what there is then, or sooner if that was said already. */
void marty__lease_start(marty__consumer *consumer, int64_t at_ns);
/** Room for as many as are granted; consumer->lock held, or nobody else knows it. false: no memory.
 */
bool marty__unmade_reserve(marty__consumer *consumer, uint32_t credit);
/** There is no memory for that one. consumer->lock held. True: it is the first, so let it wait. */
bool marty__unmade_add(marty__consumer *consumer, const marty_incoming *incoming);
void marty__unmade_wait(marty__consumer *consumer);
void marty__unmade_rang(marty__alarm *alarm);
void marty__unmade_run(marty__port *port, marty__command *command);
/** Our reply channel on a port: see that it is being opened. Requests wait for it by themselves. */
marty_err marty__port_reply(marty__port *port, char ret_name[MARTY__CHANNEL_ROOM],
                            marty_error *why);
/** The broker has it, or has it no more, or refused it. With consumer->lock held. */
void marty__reply_answer(marty__port *port, bool stands, marty_err reason);
/** At the end of a bus: whatever the adapter said, it is over. */
void marty__consumer_forget(marty__consumer *consumer);
#endif
