/* SPDX-License-Identifier: Apache-2.0
 * The raw side of the nats jobs: libnats as its best use is written down. */
#ifndef BENCH_NATS_RAW_H
#define BENCH_NATS_RAW_H
#include "bench.h"

void raw_nats_publish(const bench_job *job, bench_side *side);
void raw_nats_consume(const bench_job *job, bench_side *side);
void raw_nats_one_way(const bench_job *job, bench_side *side);
void raw_nats_request(const bench_job *job, bench_side *side);
#endif
