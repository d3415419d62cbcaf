/* SPDX-License-Identifier: Apache-2.0
 * The raw side of `marty bench --compare raw`: the same open loop (message n is due at begin +
 * n / rate, and times count from then) over the plain client of a broker. */
#ifndef BENCH_OPEN_H
#define BENCH_OPEN_H
#include "cli/histogram.h"

#include <stdbool.h>

enum { OPEN_BATCH = 64, OPEN_STAMP = 8 };
typedef struct open_run {
    const char *url;
    size_t size;
    int64_t begin_ns, warm_ns, end_ns; /* what is due before warm_ns is not counted */
    cli_histogram stored, delivered;
    _Atomic uint64_t sent, answered, received;
    void *own; /* the client's */
} open_run;
typedef struct open_client {
    const char *scheme;
    void (*open)(open_run *run);
    /** Send those, due at these times; at most OPEN_BATCH. data: size bytes each, stamped. */
    void (*send)(open_run *run, const char *data, const int64_t due_ns[], size_t count);
    void (*close)(open_run *run);
} open_client;
extern const open_client open_memory, open_sqlite, open_nats;

int64_t open_now_ns(void);
/** One is stored, or came back; data is as it was sent. */
void open_stored(open_run *run, int64_t due_ns);
void open_delivered(open_run *run, const char *data);
_Noreturn void open_fail(const char *what, const char *why);
#endif
