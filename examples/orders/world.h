/* SPDX-License-Identifier: Apache-2.0
 * The processes of the demo: services, and a NATS server when it runs over one. All of them end
 * with the demo, also when it is killed. One thread. */
#ifndef ORDERS_WORLD_H
#define ORDERS_WORLD_H
#include <stdbool.h>
#include <sys/types.h>

enum { WORLD_PROCESSES = 8, WORLD_PATH = 512 };

typedef struct world {
    char bin[WORLD_PATH]; /* where the services are, beside the demo */
    char folder[WORLD_PATH];
    char url[WORLD_PATH];          /* of the bus */
    char shown[WORLD_PATH];        /* the same without its options */
    char program[WORLD_PATH + 16]; /* the program marty, as a person would type it */
    char modules[WORLD_PATH + 32]; /* what to type before it when it needs modules, or "" */
    char look[6 * WORLD_PATH];     /* how to look inside afterwards */
    struct {
        const char *name;
        pid_t pid;
    } process[WORLD_PROCESSES];
} world;

/** Make an empty folder, and start the broker if it needs one. false: the reason is on stderr. */
bool world_open(world *w, const char *self, const char *folder, const char *backend);
/** Run any program, its output in FOLDER/name.log. */
bool world_run(world *w, const char *name, char *const argv[]);
/** Of a process that runs, else 0. */
pid_t world_pid(const world *w, const char *name);
/** Start a service; what it says goes to FOLDER/name.log. */
bool world_start(world *w, const char *name);
/** SIGKILL, and wait until it is gone. */
bool world_kill(world *w, const char *name);
/** SIGTERM all services, wait for them; true if each ended with 0 within 15 s. */
bool world_stop(world *w);
/** End the broker, too. */
void world_close(world *w);
/** A line that is written over, on a terminal only. */
void world_progress(int done, int all);
/** Monotonic time. */
double world_seconds(void);
void world_pause_ms(int ms);
#endif
