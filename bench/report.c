/* SPDX-License-Identifier: Apache-2.0
 * A table for people on stdout, JSON lines for programs in a file. */
#include "bench.h"

#include <stdio.h>

static FILE *lines;

bool bench_report_open(const char *path)
{
    lines = path ? fopen(path, "w") : NULL;
    (void)printf("%-34s %6s %12s %12s %6s %-6s %9s %9s %8s %8s %8s %8s %9s %9s\n", "what", "size",
                 "ours", "raw", "ratio", "unit", "cpu ns", "raw", "calls", "raw", "allocs", "raw",
                 "broker ns", "raw");
    return lines || !path;
}

void bench_report_close(void)
{
    if (lines) {
        (void)fclose(lines);
    }
}

static double each(const bench_job *job, double sum)
{
    return sum / (double)job->count;
}

void bench_report(const bench_job *job, const bench_side *ours, const bench_side *raw)
{
    double mine = bench_value(job, ours), theirs = bench_value(job, raw),
           ratio = theirs > 0 ? mine / theirs : 0;
    (void)printf("%-34s %6zu %12.1f %12.1f %6.2f %-6s %9.0f %9.0f %8.3f %8.3f %8.3f %8.3f %9.0f "
                 "%9.0f\n",
                 job->what, job->size, mine, theirs, ratio, job->unit,
                 each(job, ours->cpu_seconds) * 1e9, each(job, raw->cpu_seconds) * 1e9,
                 each(job, (double)ours->system_calls), each(job, (double)raw->system_calls),
                 each(job, (double)ours->allocations), each(job, (double)raw->allocations),
                 each(job, ours->broker_seconds) * 1e9, each(job, raw->broker_seconds) * 1e9);
    if (job->latency && job->size && raw->p50_us > 0) { /* of a message */
        (void)printf("%-34s %6zu %12.1f %12.1f %6s us\n", "  added over raw, p50 and p99",
                     job->size, ours->p50_us - raw->p50_us, ours->p99_us - raw->p99_us, "");
    }
    if (ours->syncs || raw->syncs) {
        (void)printf("%-34s %6s %12.0f %12.0f %6s bytes, %.3f and %.3f syncs\n", "  written each",
                     "", each(job, (double)ours->written), each(job, (double)raw->written), "",
                     each(job, (double)ours->syncs), each(job, (double)raw->syncs));
    }
    if (ours->group > 0) {
        (void)printf("%-34s %6s %12.1f transitions in a commit, of ours and so of raw\n",
                     "  groups", "", ours->group);
    }
    (void)fflush(stdout);
    if (!lines) {
        return;
    }
    (void)fprintf(
        lines,
        "{\"what\":\"%s\",\"size\":%zu,\"ours\":%.2f,\"raw\":%.2f,\"ratio\":%.4f,\"unit\":\"%s\","
        "\"cpu_ns_ours\":%.1f,\"cpu_ns_raw\":%.1f,\"system_calls_ours\":%.4f,\"system_calls_raw\":%"
        ".4f,",
        job->what, job->size, mine, theirs, ratio, job->unit, each(job, ours->cpu_seconds) * 1e9,
        each(job, raw->cpu_seconds) * 1e9, each(job, (double)ours->system_calls),
        each(job, (double)raw->system_calls));
    (void)fprintf(lines,
                  "\"allocations_ours\":%.4f,\"allocations_raw\":%.4f,\"p50_us_ours\":%.2f,\"p50_"
                  "us_raw\":%.2f,\"broker_ns_ours\":%.1f,\"broker_ns_raw\":%.1f,"
                  "\"p50_us_added\":%.2f,\"p99_us_ours\":%.2f,"
                  "\"p99_us_raw\":%.2f,\"rss_kb_ours\":%ld,\"rss_kb_raw\":%ld,\"count\":%ld,",
                  each(job, (double)ours->allocations), each(job, (double)raw->allocations),
                  ours->p50_us, raw->p50_us, each(job, ours->broker_seconds) * 1e9,
                  each(job, raw->broker_seconds) * 1e9, ours->p50_us - raw->p50_us, ours->p99_us,
                  raw->p99_us, ours->rss_kb, raw->rss_kb, job->count);
    (void)fprintf(lines,
                  "\"written_ours\":%.1f,\"written_raw\":%.1f,\"syncs_ours\":%.4f,"
                  "\"syncs_raw\":%.4f,\"group\":%.2f}\n",
                  each(job, (double)ours->written), each(job, (double)raw->written),
                  each(job, (double)ours->syncs), each(job, (double)raw->syncs), ours->group);
    (void)fflush(lines);
}
