/* SPDX-License-Identifier: Apache-2.0
 * The raw side of the in-process jobs. */
#ifndef BENCH_MEMORY_RAW_H
#define BENCH_MEMORY_RAW_H
#include "bench.h"

/* What may wait for a receiver: our credit, and the room of a raw queue; so that a thousand of them
 * wait in the cache of neither side. */
static inline unsigned memory_room(int receivers)
{
    return receivers > 100 ? 256 : 4096;
}

void raw_one_to_one(const bench_job *job, bench_side *side);
void raw_two_to_two(const bench_job *job, bench_side *side);
void raw_fan_out(const bench_job *job, bench_side *side);
void raw_latency(const bench_job *job, bench_side *side);
void raw_latency_same_thread(const bench_job *job, bench_side *side);
#endif
