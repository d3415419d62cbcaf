/* SPDX-License-Identifier: Apache-2.0
 * The simulation as a program: many seeds, one seed told in full, every small case, or all known
 * mistakes. Ends with one line: seeds, events, faults, violations. */
#include "sim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int marty__saga_mutant; /* which known mistake the machine has; 0 = none */
enum { MUTANTS = 31 };

static volatile sig_atomic_t stopped;

static void on_stop(int number)
{
    (void)number;
    stopped = 1;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int usage(void)
{
    fprintf(stderr, "usage: simulation [--seeds N] [--from SEED] [--for SECONDS]\n"
                    "       simulation --seed SEED       tell one seed in full\n"
                    "       simulation --exhaustive      every interleaving of the small cases\n"
                    "       simulation --mutants [N]     find each known mistake, or one\n");
    return 2;
}

static void say_violation(const sim *s)
{
    fprintf(stderr, "seed %llu: %s\n", (unsigned long long)s->seed, s->violation);
    fprintf(stderr, "  replay: simulation --seed %llu\n", (unsigned long long)s->seed);
}

/* Runs seeds; returns how many had a violation. Every 64th is run twice: it must go the same way.
 */
static uint64_t run_seeds(sim *s, uint64_t from, uint64_t count, double until)
{
    uint64_t wrong = 0, done = 0;
    double began = seconds();
    for (uint64_t seed = from; done < count && !stopped && seconds() < until && wrong < 10;
         seed++, done++) {
        if (!sim_run(s, seed)) {
            say_violation(s);
            wrong++;
            continue;
        }
        uint64_t trace = s->trace;
        if (seed % 64 == 0 && (!sim_run(s, seed) || s->trace != trace)) {
            fprintf(stderr, "seed %llu: another run went another way\n", (unsigned long long)seed);
            wrong++;
        }
    }
    double took = seconds() - began;
    printf("simulation: %llu seeds, %llu events, %llu transitions, %llu faults, %llu violations "
           "(%.0f seeds a second)\n",
           (unsigned long long)done, (unsigned long long)s->events,
           (unsigned long long)s->transitions, (unsigned long long)s->fault_count,
           (unsigned long long)wrong, took > 0 ? (double)done / took : 0);
    return wrong;
}

static bool find_mutant(sim *s, int number)
{
    marty__saga_mutant = number;
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        if (!sim_run(s, seed)) {
            char found[sizeof s->violation];
            memcpy(found, s->violation, sizeof found);
            marty__saga_mutant = 0;
            bool innocent = !sim_run(s, seed);
            marty__saga_mutant = number;
            if (innocent) {
                printf("seed %llu has a violation without any mutant\n", (unsigned long long)seed);
                return false;
            }
            printf("mutant %d: found by seed %llu: %s\n", number, (unsigned long long)seed, found);
            return true;
        }
    }
    printf("mutant %d: NOT FOUND\n", number);
    return false;
}

static int run_mutants(sim *s, int only)
{
    int missed = 0;
    for (int i = 1; i <= MUTANTS; i++) {
        if (!only || only == i) {
            missed += !find_mutant(s, i);
        }
    }
    marty__saga_mutant = 0;
    printf("mutants: %d missed\n", missed);
    return missed ? 1 : 0;
}

static int tell_one(sim *s, uint64_t seed)
{
    s->verbose = true;
    bool fine = sim_run(s, seed);
    printf("%s\n", fine ? "no violation" : s->violation);
    return fine ? 0 : 1;
}

int main(int argc, char **argv)
{
    static sim s;
    uint64_t from = 1, count = UINT64_MAX, one = 0;
    double until = 1e18;
    int result = -1;
    (void)signal(SIGINT, on_stop);
    (void)signal(SIGTERM, on_stop);
    for (int i = 1; i < argc && result < 0; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--exhaustive") == 0) {
            result = sim_exhaustive(&s, true) ? 0 : 1;
        } else if (strcmp(argv[i], "--mutants") == 0) {
            result = run_mutants(&s, value ? (int)strtol(value, NULL, 10) : 0);
        } else if (!value) {
            return usage();
        } else if (strcmp(argv[i], "--seeds") == 0) {
            count = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--from") == 0) {
            from = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--for") == 0) {
            until = seconds() + strtod(argv[++i], NULL);
        } else if (strcmp(argv[i], "--seed") == 0) {
            one = strtoull(argv[++i], NULL, 10);
            result = tell_one(&s, one);
        } else {
            return usage();
        }
    }
    if (result < 0) {
        result = run_seeds(&s, from, count, until) ? 1 : 0;
    }
    sim_end(&s);
    return result;
}
