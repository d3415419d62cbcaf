/* SPDX-License-Identifier: Apache-2.0
 * Chance from the seed alone, texts that live as long as the seed, and what is told of it. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t sim_random(sim *s)
{
    s->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    uint64_t z = s->random;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint32_t sim_below(sim *s, uint32_t below)
{
    return (uint32_t)(sim_random(s) % below);
}

bool sim_chance(sim *s, uint32_t percent)
{
    return sim_below(s, 100) < percent;
}

void sim_wrong(sim *s, const sim_saga *saga, const char *format, ...)
{
    va_list arguments;
    if (s->failed) {
        return;
    }
    s->failed = true;
    int size =
        snprintf(s->violation, sizeof s->violation, "saga %s version %llu: ", saga ? saga->id : "-",
                 (unsigned long long)(saga ? saga->version : 0));
    va_start(arguments, format);
    vsnprintf(s->violation + size, sizeof s->violation - (size_t)size, format, arguments);
    va_end(arguments);
}

void sim_tell(sim *s, const char *format, ...)
{
    char line[600];
    va_list arguments;
    if (!s->verbose) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    printf("%8lld %s\n", (long long)(s->now_us / 1000 % 100000000), line);
}

static void *need(void *memory)
{
    if (!memory) {
        fprintf(stderr, "simulation: out of memory\n");
        exit(2);
    }
    return memory;
}

const char *sim_text(sim *s, const char *text)
{
    return text ? need(marty__arena_text(&s->arena, text, strlen(text))) : NULL;
}

marty_bytes sim_bytes(sim *s, marty_bytes bytes)
{
    return bytes.size ? (marty_bytes){need(marty__arena_text(&s->arena, bytes.data, bytes.size)),
                                      bytes.size}
                      : (marty_bytes){NULL, 0};
}

const char *sim_format(sim *s, const char *format, ...)
{
    char line[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    return sim_text(s, line);
}

void sim_begin(sim *s, uint64_t seed)
{
    marty__saga_turn turn = s->turn, again = s->again;
    bool verbose = s->verbose;
    marty__arena_free(&s->arena);
    for (int i = 0; i <= SIM_NEXT; i++) {
        marty__saga_definition_free(s->definitions[i]);
        s->definitions[i] = NULL;
    }
    s->saga_count = s->message_count = s->record_count = s->sent_count = 0;
    s->seed = seed;
    s->random = seed * UINT64_C(0xd1342543de82ef95) + 1;
    s->now_us = INT64_C(1700000000) * 1000000;
    s->faults = (sim_faults){0};
    s->rules = (marty__saga_rules){0};
    s->healing = s->failed = false;
    s->verbose = verbose;
    s->turn = turn;
    s->again = again;
    s->ids = 0;
    s->trace = seed;
    s->sent = need(marty__arena_alloc(&s->arena, SIM_MESSAGES_MAX * sizeof *s->sent));
}

void sim_end(sim *s)
{
    sim_begin(s, 0);
    marty__arena_free(&s->arena);
    marty__saga_turn_free(&s->turn);
    marty__saga_turn_free(&s->again);
}
