/* SPDX-License-Identifier: Apache-2.0
 * How the instances of a group share the shards of a stream (or the one of an ordered topic): a
 * cell in the bucket `marty`, changed by compare-and-set only. It lists the members with a number
 * that each raises as a sign of life, and for each shard its owner, its epoch and where its group
 * goes on should the consumer be found missing. No clock is compared with another machine's: a
 * member is dead when its number has not changed for a lease by the clock of whoever looks. */
#ifndef MARTY_BACKENDS_NATS_SHARE_H
#define MARTY_BACKENDS_NATS_SHARE_H
#include "parts.h"

enum { NATS__MEMBERS_MAX = 64, NATS__SHARDS_MAX = 1024, NATS__MEMBER_ID = 40 };

typedef struct nats__member {
    char id[NATS__MEMBER_ID];
    uint64_t beat;
    int64_t seen_ns; /* when its beat was seen to change, by our clock */
} nats__member;

typedef struct nats__shard {     /* as the cell has it */
    char owner[NATS__MEMBER_ID]; /* "" = free */
    uint64_t epoch, floor;
} nats__shard;

typedef struct nats__cell {
    uint64_t revision; /* 0 = there is none yet */
    uint32_t member_count, shard_count;
    nats__member members[NATS__MEMBERS_MAX];
    nats__shard *shards;
} nats__cell;

typedef struct nats__hold { /* of a shard by us; the keeper's */
    nats__source *source;   /* NULL = not ours */
    bool releasing;
    bool released; /* let go, but the cell does not say so yet */
    int64_t release_ns;
} nats__hold;

struct nats__share {
    marty__link link; /* of the port; lock */
    nats__subscription *subscription;
    nats__channel *channel;
    char key[2 * NATS__NAME_MAX + 32]; /* subject of the cell */
    char id[NATS__MEMBER_ID];
    bool busy, stopping, lost; /* lock */
    int64_t next_ns;           /* lock: when the keeper looks at it */
    nats__inbox news;          /* of changes of the cell */
    /* the keeper's */
    nats__cell cell;
    nats__hold *holds;
    uint64_t beat;
    uint32_t failures; /* ticks in a row that settled nothing */
    int64_t beat_ns;   /* when the next sign of life is due */
    int64_t until_ns;  /* our shards are ours until then */
};

/** How long a sign of life holds. */
int64_t nats__share_lease_ns(const marty_port *port);
/** Read the cell; remembers when beats changed. */
marty_err nats__cell_read(marty_port *port, nats__share *share, marty_error *why);
/** Write it if nobody else has since it was read. E: LOST (somebody has). */
marty_err nats__cell_write(marty_port *port, nats__share *share, marty_error *why);
/** Take ourselves out of the cell, with all our shards. Tries a few times. */
void nats__cell_leave(marty_port *port, nats__share *share);
/** Decide: who is dead, what is ours, what we take and what we let go. True: the cell changed. */
bool nats__cell_decide(marty_port *port, nats__share *share, int64_t now_ns);
/** The keeper's thread, started when the first share is. */
marty_err nats__keeper_start(marty_port *port, marty_error *why);
#endif
