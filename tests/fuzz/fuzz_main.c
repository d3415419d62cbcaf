/* SPDX-License-Identifier: Apache-2.0
 * Drives a fuzz target without libFuzzer: each file of the corpus, then mutations of them that are
 * the same in every run. Usage: TARGET FOLDER [RUNS [SEED [SECONDS]]]. What broke the target is
 * left in TARGET-broken. One thread. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES_MAX = 512, INPUT_MAX = 8192 };
static struct {
    uint8_t *data;
    size_t size;
} corpus[FILES_MAX];
static size_t corpus_count;
static uint8_t input[INPUT_MAX];
static size_t input_size;
static uint64_t chance_state;
static char broken[256];

static uint32_t chance(uint32_t below)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return below ? (uint32_t)(chance_state >> 32) % below : 0;
}

static void keep_input(int signal_number)
{
    int file = open(broken, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file >= 0) {
        if (write(file, input, input_size) < 0) {
            _exit(1);
        }
        close(file);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static bool load(const char *folder, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        return false;
    }
    uint8_t *data = malloc(INPUT_MAX);
    if (!data) {
        fclose(file);
        return false;
    }
    corpus[corpus_count].data = data;
    corpus[corpus_count].size = fread(data, 1, INPUT_MAX, file);
    corpus_count++;
    fclose(file);
    return true;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_all(const char *folder)
{
    struct dirent **names = NULL;
    int count = scandir(folder, &names, NULL, by_name);
    for (int i = 0; i < count; i++) {
        bool file = names[i]->d_name[0] != '.' && corpus_count < FILES_MAX;
        if (file && !load(folder, names[i]->d_name)) {
            fprintf(stderr, "cannot read %s/%s\n", folder, names[i]->d_name);
            exit(2);
        }
        free(names[i]);
    }
    free(names);
    return count < 0 ? -1 : 0;
}

static void take(size_t file)
{
    input_size = corpus[file].size;
    memcpy(input, corpus[file].data, input_size);
}

/* A piece of some input of the corpus goes in at `at`, over or before what is there. */
static void mix_in(size_t at, bool over)
{
    size_t from = chance((uint32_t)corpus_count), size = corpus[from].size;
    size_t start = chance((uint32_t)size + 1), part = chance((uint32_t)(size - start) + 1);
    part = part > 64 && chance(4) ? 64 : part;
    if (!over) {
        part = part > INPUT_MAX - input_size ? INPUT_MAX - input_size : part;
        memmove(input + at + part, input + at, input_size - at);
        input_size += part;
    } else {
        part = part > input_size - at ? input_size - at : part;
    }
    memcpy(input + at, corpus[from].data + start, part);
}

static void mutate(void)
{
    static const uint8_t interesting[] = {0,    1,   9,   10,   13,   0x1f, '"', '%',
                                          '\\', '{', '}', '[',  ']',  ':',  ',', '-',
                                          '.',  '0', '_', 0x7f, 0x80, 0xc3, 0xff};
    size_t at = chance((uint32_t)input_size + 1);
    size_t part = chance(16) + 1;
    part = part > input_size - at ? input_size - at : part;
    switch (chance(8)) {
    case 0:
        if (at < input_size) {
            input[at] ^= (uint8_t)(1u << chance(8));
        }
        break;
    case 1:
        if (at < input_size) {
            input[at] = interesting[chance(sizeof interesting)];
        }
        break;
    case 2: /* take out */
        memmove(input + at, input + at + part, input_size - at - part);
        input_size -= part;
        break;
    case 3: /* twice */
        if (input_size + part <= INPUT_MAX) {
            memmove(input + at + part, input + at, input_size - at);
            input_size += part;
        }
        break;
    case 4:
        input_size = chance(4) ? input_size : at; /* cut */
        break;
    case 5:
        if (input_size < INPUT_MAX) {
            memmove(input + at + 1, input + at, input_size - at);
            input[at] = interesting[chance(sizeof interesting)];
            input_size++;
        }
        break;
    default:
        mix_in(at, chance(2));
        break;
    }
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void run(void)
{
    uint8_t *copy = malloc(input_size ? input_size : 1); /* so that reading past it is seen */
    if (copy) {
        memcpy(copy, input, input_size);
        (void)LLVMFuzzerTestOneInput(copy, input_size);
        free(copy);
    }
}

int main(int count, char **arguments)
{
    if (count < 2 || load_all(arguments[1]) || !corpus_count) {
        fprintf(stderr, "usage: %s FOLDER-WITH-INPUTS [RUNS [SEED [SECONDS]]]\n", arguments[0]);
        return 2;
    }
    long runs = count > 2 ? strtol(arguments[2], NULL, 10) : 3000, done = 0;
    chance_state = (count > 3 ? strtoull(arguments[3], NULL, 10) : 1) * 0x9e3779b97f4a7c15u | 1;
    int64_t until_ms = now_ms() + (count > 4 ? strtol(arguments[4], NULL, 10) : 5) * 1000;
    snprintf(broken, sizeof broken, "%s-broken", arguments[0]);
    signal(SIGABRT, keep_input);
    signal(SIGSEGV, keep_input);
    for (size_t i = 0; i < corpus_count; i++) {
        take(i);
        run();
    }
    for (; done < runs && now_ms() < until_ms; done++) {
        take(chance((uint32_t)corpus_count));
        for (uint32_t i = chance(6) + 1; i; i--) {
            mutate();
        }
        run();
    }
    printf("%zu files and %ld mutations\n", corpus_count, done);
    for (size_t i = 0; i < corpus_count; i++) {
        free(corpus[i].data);
    }
    return 0;
}
