/* SPDX-License-Identifier: Apache-2.0
 * The objects of the in-process broker; memory.h says how they work together. */
#ifndef MARTY_BACKENDS_MEMORY_OBJECTS_H
#define MARTY_BACKENDS_MEMORY_OBJECTS_H
#include "base/clock.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/thread.h"

#include <marty/backend.h>

typedef struct broker broker;
typedef struct channel channel;
typedef struct group group;
typedef struct wild_group wild_group;
typedef struct member member;
typedef struct subscription subscription;
typedef struct publish_work publish_work;   /* publish.c */
typedef struct deliver_batch deliver_batch; /* deliver.c */

/* ---- the log of a channel */
enum { SEGMENT_ENTRIES = 256, ENTRY_PRIORITY = 1 };

typedef struct entry {
    marty_message *message; /* NULL: taken, erased */
    union {
        uint64_t key;   /* its hash; 0 = none */
        channel *reply; /* of a request: where to answer, counted; or NULL */
    } of;
    int64_t time_us;    /* when it was stored */
    int64_t expires_ns; /* monotonic: whatever the clock of its sender said; 0 = never */
    uint32_t bytes;
    uint32_t spare; /* references of the message, beside its own, for items and deliveries: taken
                       when it was stored, and given back by items */
    uint16_t shard, flags;
} entry;

typedef struct segment {
    struct segment *next; /* of the spare ones */
    entry entries[SEGMENT_ENTRIES];
} segment;

typedef struct record_log { /* offsets first .. next - 1; the first ever is 1 */
    segment **ring;
    size_t capacity; /* of the ring: a power of two */
    uint64_t first, next;
} record_log;

/* ---- hash tables of objects that are linked in, so that removing leaves nothing behind */
typedef struct node {
    struct node *next;
    uint64_t hash;
} node;
typedef struct table {
    node **buckets;
    size_t capacity, count;
} table;

/* ---- what is delivered, or waits to be */
/* Entries one behind the other of one segment, which went to one member as one item. It holds a
 * reference of each that is open; whatever else than an ack happens to one makes it an item of its
 * own, for which room is kept. */
enum { RUN_MIN = 4, RUN_MAX = 64 };
typedef struct run {
    struct run *next; /* of the free ones */
    entry *first;     /* where they lie, those that the log still has */
    uint64_t open;    /* a bit for each that is not settled */
    uint32_t count, told;
    marty_message *messages[RUN_MAX];
} run;

typedef enum item_state {
    ITEM_FREE,
    ITEM_HELD,    /* by a member: in its subscription's list */
    ITEM_WAITING, /* in its group: returned, a level, or a claim */
    ITEM_DELAYED  /* in its group's list of delayed ones */
} item_state;

typedef struct item {
    marty__link link;
    marty_message *message;
    member *member; /* HELD: who has it */
    union {
        struct claim *claim; /* of an ordered group; NULL = no key */
        channel *reply;      /* of a request: counted */
    } of;
    int64_t expires_ns;
    uint64_t offset, rank; /* in the log, 0 = a copy; its place in the group */
    uint64_t tag;          /* this delivery's: uses << 30 | place in its run << 24 | index + 1 */
    uint32_t tries, bytes; /* deliveries that count; what it costs the limit by itself, 0 = lies in
                              the log */
    uint32_t spare;        /* as an entry's, once that has left the log */
    uint16_t shard;
    int8_t level;
    uint8_t state;
    group *group;
    run *run;           /* HELD: it is many, from offset and rank on; else NULL */
    marty__timer timer; /* HELD: the lease; DELAYED: when it is due */
} item;

enum { ITEM_CHUNK = 64, ITEM_INDEX_BITS = 24, ITEM_TAG_BITS = 30 };
#define ITEM_INDEX_MASK (((uint64_t)1 << ITEM_INDEX_BITS) - 1)
#define ITEM_PLACE_MASK (((uint64_t)RUN_MAX - 1) << ITEM_INDEX_BITS)
_Static_assert(RUN_MAX == 1 << (ITEM_TAG_BITS - ITEM_INDEX_BITS), "a place fits into a tag");

/* Of an ordered group: a key of which something is held, delayed or waits. */
typedef struct claim {
    node node;
    member *holder;                /* who holds some of it; NULL = nobody */
    uint32_t items, held, delayed; /* items: all that have it, in whatever state */
    marty__link waiting;           /* items by rank */
    marty__link ready;             /* in holder->ready or group->ready */
} claim;

enum { LEVELS = 19, LEVEL_MIDDLE = 9 };
typedef struct levels { /* waiting items with a priority, by level from the highest */
    marty__link items[LEVELS];
    size_t count, above;
} levels;

struct group {
    marty__link link; /* of channel->groups */
    channel *channel;
    char *name;     /* "" = an instance alone */
    bool alone;     /* of one subscription: goes with it */
    bool ordered;   /* by key */
    uint64_t next;  /* cursor: the first offset not taken */
    uint64_t since; /* from here on entries with a priority became items when stored */
    uint64_t ranks;
    marty__link members, hungry; /* hungry: those with credit */
    size_t member_count, hungry_count;
    marty__link returned; /* waiting items by rank; of an ordered group: those without a key */
    marty__link delayed;
    marty__link ready; /* claims nobody holds, with something waiting */
    levels *levels;    /* NULL until the first priority */
    table claims;
    size_t held, waiting, delayed_count;
    uint64_t redelivered, lost, expired; /* lost: dropped by age or size before taken */
    bool starved;                        /* an item or claim could not be allocated */
};

/* ---- who receives */
struct member { /* a subscription in a group; has several when its name is a wildcard */
    marty__link link, hungry, of_subscription;
    group *group;
    subscription *subscription;
    marty__link ready; /* claims that it holds, with something waiting */
};

typedef enum notice {
    NOTICE_NONE,
    NOTICE_SUBSCRIBED,
    NOTICE_GONE, /* subscribed with a reason */
    NOTICE_CLOSED
} notice;

struct subscription {
    marty_port *port;
    uint64_t number;
    marty_kind kind;
    bool keeps_nothing, wild, by_key;
    char *name, *group; /* full name, or its wildcard; NULL = this instance alone */
    marty_order order;
    uint32_t credit, shards;
    uint64_t lease_ms; /* 0 = none */
    marty__link members;
    marty__link held;        /* items in the order of delivery */
    item *unsent;            /* the first of them that core has not got yet */
    marty__link ready;       /* of port->ready: has some unsent */
    marty__link notice_link; /* of port->notices */
    marty__link wild_link;   /* of broker->wild */
    notice notice;
    marty_err reason;
    const char *text; /* static, or NULL */
};

/* ---- where */
typedef struct scheduled { /* a publish for later */
    marty__timer timer;
    channel *channel;
    marty_message *message;
    int64_t expires_ns;
    uint32_t bytes;
    bool has_group;
    char group[]; /* has_group: for that one only */
} scheduled;

typedef struct settings { /* of a URL */
    uint64_t limit, history, retention_ms, retention_bytes, dedup_ms, lease_ms;
    bool limit_set, history_set, trim_hard, create;
} settings;

struct channel {
    broker *broker;
    char *name;
    size_t name_size;
    uint64_t number; /* of its own for ever */
    uint32_t refs;   /* the broker's, one per request that is answered to it, and of names lent */
    marty_kind kind;
    marty_order order;
    uint32_t shards;
    bool keeps_nothing, moves; /* moves: one group, so that an entry leaves the log for its item */
    record_log log;
    uint64_t bytes;  /* of the log */
    int64_t last_us; /* time of the last entry: times never go back */
    uint64_t retention_ms, retention_bytes, history;
    bool trim_hard;
    uint64_t dropped, erased; /* by age or size; entries that are empty */
    marty__link groups;
    size_t group_count;
    marty__map group_names;
    marty__map scheduled; /* by id */
};

/* ---- de-duplication: who said what lately */
typedef struct seen {
    uint64_t hash;
    uint32_t tag, at_ms; /* tag 0 = free slot; at_ms wraps */
} seen;
typedef struct generation {
    seen *slots;
    size_t capacity, count;
    int64_t began_ms, last_ms;
    uint64_t made_low, made_high, older_high; /* when its ids were made; those of all before it */
    bool listed; /* the slots are a list, one behind the other: nobody has looked for one yet */
} generation;
enum { OURS = 64 };
typedef struct dedup {
    generation ours[OURS], now, before;
    size_t ours_at;
    bool ours_turned;
    uint64_t window_ms;
    uint64_t secret[4]; /* of this broker: nobody can make two ids meet */
} dedup;
typedef struct fingerprint {
    uint64_t hash, made_ms; /* made_ms: of an id of ours; 0 = another's */
    uint32_t tag;
} fingerprint;

/* References that an op drops: given back once it has given back the lock. */
enum { DROPS_MAX = 256 };
typedef struct drops {
    size_t count;
    struct {
        marty_message *message;
        uint32_t refs;
    } list[DROPS_MAX];
} drops;

struct broker {
    marty__mutex lock;
    marty__cond idle; /* a port's pump has stopped */
    char *name;       /* NULL = of one port alone */
    broker *next_named;
    uint32_t refs; /* under the registry's lock */
    settings settings;
    uint64_t bytes; /* of all messages kept */
    marty__map channels;
    uint64_t channel_numbers;
    marty__link ports, ready, wild; /* attached ports; ports with something to tell core */
    wild_group *wild_groups;        /* each pattern and name once */
    item **chunks;
    size_t chunk_count, chunk_capacity;
    marty__link free_items, free_claims, claim_chunks;
    size_t free_count, promised; /* items: free, and kept so for those of runs */
    run *free_runs;
    segment *spare_segments;
    size_t spare_count;
    marty__heap leases, schedules; /* items HELD or DELAYED; scheduled */
    int64_t retry_ns;              /* after a shortage of memory; else never */
    const marty_env *env;          /* of the op that runs, and its moment once asked for */
    int64_t now_ns, wall_us;
    drops *drops; /* of the op that runs; NULL: it has none, and gives back at once */
    dedup dedup;
};

struct marty_port {
    const marty_sink *sink;
    broker *broker;
    settings settings;
    char *prefix, *shown; /* "" or with its dot; the URL for texts */
    marty__link link, ready_link;
    bool attached, pumping, awaited, close_notice, timer_dirty;
    bool urgent;      /* what is ready must not wait for a worker */
    uint32_t lending; /* threads that ask core to go on with it */
    uint64_t told;    /* what core has been told, in calls */
    int64_t timer_ns; /* what its timer is set to, while it keeps the broker's clock */
    marty__map subscriptions;
    marty__link ready, notices;
    channel *last;              /* the channel published to last */
    char warning[256];          /* for the log; "" = none */
    publish_work *publish_work; /* room to work in, had from birth */
    deliver_batch *batch;
};
#endif
