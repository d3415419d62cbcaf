/* SPDX-License-Identifier: Apache-2.0
 * The processes of the demo. A child asks the kernel for SIGTERM when its parent goes, so nothing
 * is left behind. One thread. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STOP_SECONDS = 15 };

double world_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void world_pause_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

void world_progress(int done, int all)
{
    if (isatty(STDOUT_FILENO)) {
        printf("\r %d of %d done%s", done, all, done == all ? "\r\033[K" : " ");
        fflush(stdout);
    }
}

static bool fail(const char *what, const char *why)
{
    fprintf(stderr, "demo: %s: %s\n", what, why);
    return false;
}

static bool path_of(char to[WORLD_PATH], const char *folder, const char *name, const char *end)
{
    int size = snprintf(to, WORLD_PATH, "%s/%s%s", folder, name, end);
    return (size > 0 && size < WORLD_PATH) || fail(folder, "the path is too long");
}

bool world_run(world *w, const char *name, char *const argv[])
{
    char log[WORLD_PATH];
    size_t i = 0;
    while (i < WORLD_PROCESSES && w->process[i].pid) {
        i++;
    }
    if (i == WORLD_PROCESSES || !path_of(log, w->folder, name, ".log")) {
        return false;
    }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() == parent && dup2(out, STDOUT_FILENO) >= 0 && dup2(out, STDERR_FILENO) >= 0) {
            execvp(argv[0], argv);
            dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
        }
        _exit(127);
    }
    if (pid < 0) {
        return fail(name, strerror(errno));
    }
    w->process[i].name = name;
    w->process[i].pid = pid;
    return true;
}

pid_t world_pid(const world *w, const char *name)
{
    for (size_t i = 0; i < WORLD_PROCESSES; i++) {
        if (w->process[i].pid && strcmp(w->process[i].name, name) == 0) {
            return w->process[i].pid;
        }
    }
    return 0;
}

bool world_start(world *w, const char *name)
{
    char program[WORLD_PATH], database[WORLD_PATH];
    char *argv[] = {program, w->url, database, NULL};
    return path_of(program, w->bin, name, "") && path_of(database, w->folder, name, ".db") &&
           world_run(w, name, argv);
}

bool world_kill(world *w, const char *name)
{
    for (size_t i = 0; i < WORLD_PROCESSES; i++) {
        int status = 0;
        pid_t pid = w->process[i].pid;
        if (!pid || strcmp(w->process[i].name, name) != 0) {
            continue;
        }
        bool gone = kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid;
        w->process[i].pid = 0;
        /* killed by us, and not ended before by itself */
        return (gone && WIFSIGNALED(status)) || fail(name, "ended by itself; see its log");
    }
    return fail(name, "does not run");
}

/* Waits until it ends; SIGKILL once the time is over. True: it ended with 0. */
static bool wait_for(world *w, size_t i, double until)
{
    int status = 0;
    pid_t pid = w->process[i].pid, gone = 0;
    w->process[i].pid = 0;
    while ((gone = waitpid(pid, &status, WNOHANG)) == 0 && world_seconds() < until) {
        world_pause_ms(5);
    }
    if (gone == 0) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    return gone == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool world_stop(world *w)
{
    bool fine = true;
    double until = world_seconds() + STOP_SECONDS;
    for (size_t i = 0; i < WORLD_PROCESSES; i++) {
        if (w->process[i].pid && strcmp(w->process[i].name, "nats-server") != 0) {
            kill(w->process[i].pid, SIGTERM);
        }
    }
    for (size_t i = 0; i < WORLD_PROCESSES; i++) {
        if (w->process[i].pid && strcmp(w->process[i].name, "nats-server") != 0) {
            fine = (wait_for(w, i, until) ||
                    fail(w->process[i].name, "did not end well; see its log in the folder")) &&
                   fine;
        }
    }
    return fine;
}

void world_close(world *w)
{
    for (size_t i = 0; i < WORLD_PROCESSES; i++) {
        if (w->process[i].pid) {
            kill(w->process[i].pid, SIGTERM);
            (void)wait_for(w, i, world_seconds() + STOP_SECONDS);
        }
    }
}
