/* SPDX-License-Identifier: Apache-2.0
 * Sagas measured: an engine with its participants in this process, and the same rows written by a
 * plain program. The rows are taken from a saga that the engine has run, so both sides always write
 * the same bytes into the same tables. */
#ifndef BENCH_SAGA_H
#define BENCH_SAGA_H
#include "bench.h"

#include <marty/marty.h>
#include <marty/saga.h>
#include <stdatomic.h>

enum { SAGA_STEPS = 4, SAGA_VERSIONS = SAGA_STEPS + 1, SAGA_GROUP = 256 };

/* ---- saga_world.c: an engine and those who take part */
typedef enum saga_who {
    SAGA_ANSWER,  /* participants that answer at once and keep nothing */
    SAGA_SILENT,  /* that take every command and never answer */
    SAGA_DURABLE, /* that keep what they did in databases of their own */
    SAGA_NOBODY   /* an engine that only makes its tables */
} saga_who;

typedef struct saga_world {
    bench_side *side;
    marty_bus *bus;
    marty_saga_engine *engine;
    saga_who who;
    atomic_long asked; /* commands that came */
} saga_world;

void saga_open(saga_world *world, bench_side *side, const char *bus_url, const char *store_url,
               saga_who who);
void saga_close(saga_world *world);
/** Make the tables of a store, and leave. */
void saga_make_tables(bench_side *side, const char *store_url);
/** How many transitions and commits the engine has made. */
void saga_numbers(saga_world *world, double *ret_transitions, double *ret_commits);
/** Run so many sagas of a definition, always in_flight of them at once; ns: what each took from its
 * start to its end, or NULL. wait: not only start them. */
void saga_run(saga_world *world, const char *definition, long count, int in_flight, bool wait,
              int64_t *ns);
/** The path of a fresh file for this process. */
void saga_path(char *path, size_t size, const char *name);

/* ---- saga_rows.c: what the store writes of one order */
typedef struct saga_row { /* a version of it */
    int64_t number[16];   /* the columns that are numbers, by their place */
    char text[16][200];   /* those that are texts */
    struct {
        void *data;
        size_t size;
    } state, outbox, batch;
} saga_row;
enum { /* places of columns */
       SAGA_ID,
       SAGA_NAME,
       SAGA_KEY,
       SAGA_DEFINITION,
       SAGA_STUCK,
       SAGA_STATUS,
       SAGA_PAUSED,
       SAGA_SHARD,
       SAGA_VERSION,
       SAGA_STARTED,
       SAGA_CHANGED,
       SAGA_DUE,
       SAGA_UNSENT
};
void saga_record(bench_side *side, saga_row rows[SAGA_VERSIONS]);
/** Id and start key of the n-th saga of a raw program. */
void saga_name(long n, char id[40], char key[40]);
typedef struct saga_raw { /* a plain program: one transaction, a version of one saga, its end */
    void *self;
    void (*begin)(void *self);
    void (*write)(void *self, const saga_row *row, long saga);
    void (*commit)(void *self);
    double group; /* how many versions in a commit; 0 = of all in flight, at most SAGA_GROUP */
} saga_raw;
/** Write all versions of so many sagas, group by group as they would be in flight. */
void saga_raw_run(const saga_raw *raw, const saga_row rows[SAGA_VERSIONS], long count,
                  int in_flight, int64_t *ns);

/* ---- the plain programs */
void saga_raw_sqlite(const bench_job *job, bench_side *side);
void saga_raw_resend(const bench_job *job, bench_side *side);
void saga_raw_recovery(const bench_job *job, bench_side *side);
void saga_raw_postgres(const bench_job *job, bench_side *side);
/** A fresh database of the server that --postgres names; ret_url is of this process until the next
 * call. *ret_syncs: of the server so far. */
void saga_postgres_fresh(bench_side *side, char *ret_url, size_t size);
/** How often the server has synced its log, once nobody is connected any more. */
uint64_t saga_postgres_syncs(bench_side *side);
/** The server's process. */
long saga_postgres_pid(void);

/* ---- saga_fill.c: files with many sagas */
/** A store with so many sagas that wait for a signal for days; made by a process of its own. */
bool saga_fill_waiting(const char *path, long count);
/** A store with so many orders that have just sent their first command when their engine died. */
bool saga_fill_open(const char *path, long count);
void saga_copy(bench_side *side, const char *from, const char *to);
#endif
