/* SPDX-License-Identifier: Apache-2.0
 * Our side of the jobs: opening, publishing, counting, waiting. */
#include "ours.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

void ours_check(bench_side *side, marty_err err, const marty_error *why, const char *doing)
{
    if (err) {
        bench_fail(side, "%s: %s", doing, why->text);
    }
}

marty_bus *ours_open(const bench_job *job, bench_side *side, const char *service)
{
    marty_bus *bus = NULL;
    marty_error why = {0};
    marty_bus_options options = {.service = service};
    ours_check(side, marty_bus_open(&bus, job->url, &options, &why), &why, "open");
    return bus;
}

marty_err ours_count(void *user, marty_delivery *first)
{
    long count = 0;
    for (marty_delivery *each = first; each; each = each->next) {
        count++;
    }
    atomic_fetch_add_explicit((atomic_long *)user, count, memory_order_relaxed);
    return MARTY_OK;
}

void ours_publish(marty_bus *bus, bench_side *side, const bench_job *job, long count, size_t batch)
{
    marty_error why = {0};
    void *data = calloc(1, job->size);
    const marty_message message = {.type = "bench.done", .data = {data, job->size}};
    const marty_message *list[1024];
    for (size_t i = 0; i < batch; i++) {
        list[i] = &message;
    }
    while (count > 0) {
        size_t some = (size_t)count < batch ? (size_t)count : batch;
        ours_check(side, marty_publish(bus, MARTY_EVENT, NULL, list, some, NULL, &why), &why,
                   "publish");
        count -= (long)some;
    }
    free(data);
}

void ours_wait(bench_side *side, void *counter, long count)
{
    int64_t until = bench_now_ns() + INT64_C(60000000000);
    while (atomic_load((atomic_long *)counter) < count) {
        struct timespec moment = {.tv_nsec = 50000};
        (void)nanosleep(&moment, NULL);
        if (bench_now_ns() > until) {
            bench_fail(side, "%ld of %ld came", atomic_load((atomic_long *)counter), count);
        }
    }
}
