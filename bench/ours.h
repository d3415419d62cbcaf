/* SPDX-License-Identifier: Apache-2.0
 * Our side of the jobs, the same for every backend: only the URL differs. */
#ifndef BENCH_OURS_H
#define BENCH_OURS_H
#include "bench.h"

#include <marty/marty.h>

/** A bus on job->url, opened or the run fails. */
marty_bus *ours_open(const bench_job *job, bench_side *side, const char *service);
void ours_check(bench_side *side, marty_err err, const marty_error *why, const char *doing);
/** Counts messages; user is an atomic_long. */
marty_err ours_count(void *user, marty_delivery *first);
/** Publish count messages of a type in batches, each call waiting for its outcome. */
void ours_publish(marty_bus *bus, bench_side *side, const bench_job *job, long count, size_t batch);
/** Wait until counter reaches count, or fail after 60 s. */
void ours_wait(bench_side *side, void *counter, long count);
#endif
