/* SPDX-License-Identifier: Apache-2.0
 * See process.h. Between fork and exec only async-signal-safe calls. */
#include "process.h"

#include "wait.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The parent's environment with lines added, in one block. */
static char **environment_make(const char *const added[])
{
    size_t have = 0, more = 0;
    while (environ[have]) {
        have++;
    }
    while (added && added[more]) {
        more++;
    }
    char **all = calloc(have + more + 1, sizeof *all);
    if (!all) {
        return NULL;
    }
    size_t count = 0;
    for (size_t i = 0; i < have; i++) {
        bool replaced = false;
        for (size_t k = 0; k < more && !replaced; k++) {
            size_t length = strcspn(added[k], "=") + 1;
            replaced = strncmp(environ[i], added[k], length) == 0;
        }
        if (!replaced) {
            all[count++] = environ[i];
        }
    }
    for (size_t k = 0; k < more; k++) {
        memcpy(&all[count++], &added[k], sizeof added[k]);
    }
    return all;
}

static void child(const char *const argv[], char **environment, int log, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(127);
    }
    int empty = open("/dev/null", O_RDONLY);
    dup2(empty, 0);
    if (log >= 0) {
        dup2(log, 1);
        dup2(log, 2);
    }
    char *arguments[64] = {0};
    for (size_t i = 0; i < 63 && argv[i]; i++) {
        memcpy(&arguments[i], &argv[i], sizeof argv[i]);
    }
    if (arguments[0]) {
        execvpe(arguments[0], arguments, environment);
    }
    _exit(127);
}

bool test_process_start(test_process *process, const char *const argv[],
                        const char *const environment[], const char *log_path)
{
    *process = (test_process){0};
    char **all = environment_make(environment);
    if (!all) {
        return false;
    }
    int log = -1;
    if (log_path) {
        log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (log < 0) {
            free(all);
            return false;
        }
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        child(argv, all, log, parent);
    }
    if (log >= 0) {
        close(log);
    }
    free(all);
    if (pid < 0) {
        return false;
    }
    process->pid = pid;
    return true;
}

bool test_process_alive(test_process *process)
{
    if (!process->pid) {
        return false;
    }
    pid_t ended;
    do {
        ended = waitpid(process->pid, &process->status, WNOHANG);
    } while (ended < 0 && errno == EINTR);
    if (ended == 0) {
        return true;
    }
    process->pid = 0;
    return false;
}

bool test_process_catches(const test_process *process, int number)
{
    char path[40], line[120];
    uint64_t caught = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)process->pid);
    FILE *status = process->pid ? fopen(path, "r") : NULL;
    while (status && fgets(line, sizeof line, status)) {
        if (strncmp(line, "SigCgt:", 7) == 0) {
            caught = strtoull(line + 7, NULL, 16);
        }
    }
    if (status) {
        fclose(status);
    }
    return caught >> (number - 1) & 1;
}

void test_process_signal(test_process *process, int number)
{
    if (process->pid) {
        kill(process->pid, number);
    }
}

static bool has_stopped(void *user)
{
    const test_process *process = user;
    siginfo_t info = {0};
    id_t pid = (id_t)process->pid;
    return waitid(P_PID, pid, &info, WSTOPPED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
}

void test_process_freeze(test_process *process)
{
    test_process_signal(process, SIGSTOP);
    if (process->pid) {
        test_wait_for(has_stopped, process, 10000);
    }
}

static bool has_ended(void *user)
{
    return !test_process_alive(user);
}

bool test_process_join(test_process *process, int64_t limit_ms)
{
    return test_wait_for(has_ended, process, limit_ms);
}

void test_process_kill(test_process *process)
{
    if (!process->pid) {
        return;
    }
    kill(process->pid, SIGKILL);
    pid_t ended;
    do {
        ended = waitpid(process->pid, &process->status, 0);
    } while (ended < 0 && errno == EINTR);
    process->pid = 0;
}

int test_process_run(const char *const argv[], const char *log_path, int64_t limit_ms)
{
    test_process process;
    if (!test_process_start(&process, argv, NULL, log_path)) {
        return -1;
    }
    if (!test_process_join(&process, limit_ms)) {
        test_process_kill(&process);
        return -1;
    }
    return WIFEXITED(process.status) ? WEXITSTATUS(process.status) : -1;
}

void test_log_show(FILE *to, const char *log_path)
{
    char end[4096];
    FILE *log = fopen(log_path, "r");
    long size = log && fseek(log, 0, SEEK_END) == 0 ? ftell(log) : 0;
    long from = size > (long)sizeof end ? size - (long)sizeof end : 0;
    size_t got = log && fseek(log, from, SEEK_SET) == 0 ? fread(end, 1, sizeof end, log) : 0;
    fprintf(to, "---- %s%s\n%.*s%s----\n", log_path, from ? ", its end" : "", (int)got, end,
            got && end[got - 1] != '\n' ? "\n" : "");
    if (log) {
        fclose(log);
    }
}

bool test_folder_make(char *ret_path, size_t size, const char *name)
{
    const char *scratch = getenv("MARTY_TEST_SCRATCH");
    return test_folder_make_in(ret_path, size, scratch ? scratch : TEST_SCRATCH, name);
}

bool test_folder_make_in(char *ret_path, size_t size, const char *parent, const char *name)
{
    if (mkdir(parent, 0755) != 0 && errno != EEXIST) {
        return false;
    }
    int length = snprintf(ret_path, size, "%s/%s.XXXXXX", parent, name);
    return length > 0 && (size_t)length < size && mkdtemp(ret_path) != NULL;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path), 0;
}

void test_folder_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
