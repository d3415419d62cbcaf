/* SPDX-License-Identifier: Apache-2.0
 * Sagas under kill -9, outside of the simulation: order sagas run in processes that a seed has
 * killed, and in the end every effect is counted. One JSON line for each kill, and for each round.
 *     kill_sagas [--store sqlite|postgres|kv] [--bus sqlite|nats|cluster] [--nats new|old]
 *                [--sagas N] [--kills N] [--rounds N]
 *                [--seed N] [--lease MS] [--takeover] [--away MS] [--bus-options ?KEY=VALUE]
 *                [--bin FOLDER]
 * Exit code: 0 all was right, 1 not so, 2 usage, 77 a server is not installed. */
#include "round.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool take_number(const char *text, int *to)
{
    char *end = NULL;
    long value = strtol(text, &end, 10);
    *to = (int)value;
    return *text && !*end && value >= 0 && value <= 1000000;
}

static bool one_of(const char *text, const char *first, const char *second)
{
    return strcmp(text, first) == 0 || strcmp(text, second) == 0;
}

static bool take(kill_options *o, const char *name, const char *value)
{
    const struct {
        const char *name, **text;
        int *number;
    } known[] = {{"--store", &o->store, NULL},
                 {"--bus", &o->bus, NULL},
                 {"--nats", &o->nats, NULL},
                 {"--sagas", NULL, &o->sagas},
                 {"--kills", NULL, &o->kills},
                 {"--rounds", NULL, &o->rounds},
                 {"--lease", NULL, &o->lease_ms},
                 {"--away", NULL, &o->away_ms},
                 {"--bus-options", &o->bus_options, NULL},
                 {"--bin", &o->bin, NULL}};
    if (strcmp(name, "--seed") == 0) {
        o->seed = strtoull(value, NULL, 10);
        return true;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].name, name) == 0) {
            if (known[i].text) {
                *known[i].text = value;
            }
            return known[i].text || take_number(value, known[i].number);
        }
    }
    return false;
}

static bool parse(int argc, char **argv, kill_options *o)
{
    *o = (kill_options){.store = "sqlite",
                        .bus = "sqlite",
                        .nats = "new",
                        .bus_options = "",
                        .bin = ".",
                        .self = argv[0],
                        .sagas = 1000,
                        .kills = 60,
                        .rounds = 1,
                        .seed = 1};
    bool fine = true;
    for (int i = 1; i < argc && fine; i++) {
        if (strcmp(argv[i], "--takeover") == 0) {
            o->takeover = true;
        } else {
            fine = i + 1 < argc && take(o, argv[i], argv[i + 1]);
            i++;
        }
    }
    return fine && (one_of(o->store, "sqlite", "postgres") || one_of(o->store, "kv", "kv")) &&
           (one_of(o->bus, "sqlite", "nats") || one_of(o->bus, "cluster", "cluster")) &&
           one_of(o->nats, "new", "old") && o->sagas > 0 && o->sagas <= 10000 && o->rounds > 0;
}

static void report(const kill_options *o, const outcome *out)
{
    printf("{\"what\": \"round\", \"store\": \"%s\", \"bus\": \"%s\", \"nats\": \"%s\", "
           "\"seed\": %llu, \"sagas\": %d, \"kills\": {",
           o->store, o->bus, o->nats, o->seed, o->sagas);
    for (int actor = 0; actor < ACTORS; actor++) {
        printf("%s\"%s\": %d", actor ? ", " : "", actor_names[actor], out->killed[actor]);
    }
    printf("}, \"gave_up\": %d, \"lease_ms\": %d, \"done_ms\": %lld, \"kill_to_done_ms\": %lld, "
           "\"right\": %s}\n",
           out->gave_up, o->lease_ms, (long long)out->done_ms, (long long)out->kill_to_done_ms,
           out->right ? "true" : "false");
    (void)fflush(stdout);
}

static int by_time(const void *left, const void *right)
{
    const int64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

static int play_all(kill_options *o)
{
    int64_t *times = calloc((size_t)o->rounds, sizeof *times);
    int wrong = 0, kills = 0;
    unsigned long long first = o->seed;
    for (int i = 0; times && i < o->rounds; i++) {
        outcome out;
        o->seed = first + (unsigned long long)i;
        round_play(&out, o);
        if (out.missing) {
            fprintf(stderr, "skipped: %s\n", out.why);
            free(times);
            return 77;
        }
        report(o, &out);
        if (!out.right) {
            fprintf(stderr, "kill_sagas: seed %llu: %s\n", o->seed, out.why);
        }
        wrong += !out.right;
        kills += out.kills;
        times[i] = out.kill_to_done_ms;
    }
    if (times) {
        qsort(times, (size_t)o->rounds, sizeof *times, by_time);
        printf("{\"what\": \"all\", \"rounds\": %d, \"wrong\": %d, \"kills\": %d, "
               "\"kill_to_done_ms\": {\"median\": %lld, \"worst\": %lld}}\n",
               o->rounds, wrong, kills, (long long)times[o->rounds / 2],
               (long long)times[o->rounds - 1]);
    }
    free(times);
    return wrong || !times;
}

int main(int argc, char **argv)
{
    kill_options o;
    int count = 0;
    if (argc == 5 && strcmp(argv[1], "--place") == 0 && take_number(argv[2], &count)) {
        return place_orders(argv[3], argv[4], count);
    }
    if (!parse(argc, argv, &o)) {
        fprintf(stderr,
                "usage: kill_sagas [--store sqlite|postgres|kv] [--bus sqlite|nats|cluster] "
                "[--nats new|old] [--sagas N] [--kills N] [--rounds N] [--seed N] [--lease MS] "
                "[--takeover] [--away MS] "
                "[--bus-options ?KEY=VALUE] [--bin FOLDER]\n");
        return 2;
    }
    return play_all(&o);
}
