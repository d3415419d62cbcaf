/* SPDX-License-Identifier: Apache-2.0
 * System calls of a side, counted by a tracer that stops all of its threads at each call: slow, so
 * it is a run of its own. */
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT_S = 120 };

static bool end_of(pid_t child, pid_t who, int status)
{
    return who == child && (WIFEXITED(status) || WIFSIGNALED(status));
}

static int signal_to_pass(int status)
{
    int number = WSTOPSIG(status);
    return number == SIGTRAP || number == (SIGTRAP | 0x80) || number == SIGSTOP ? 0 : number;
}

static void count_until_end(pid_t child, bench_side *side)
{
    int64_t until = bench_now_ns() + (int64_t)LIMIT_S * 1000000000;
    uint64_t stops = 0;
    for (;;) {
        int status;
        pid_t who = waitpid(-1, &status, __WALL);
        if (who < 0 || end_of(child, who, status)) {
            break;
        }
        if (!WIFSTOPPED(status)) {
            continue;
        }
        if (WSTOPSIG(status) == (SIGTRAP | 0x80) && side->measuring) {
            stops++;
        }
        if (bench_now_ns() > until) {
            (void)kill(child, SIGKILL);
        }
        (void)ptrace(PTRACE_SYSCALL, who, 0, (long)signal_to_pass(status));
    }
    side->system_calls = stops / 2; /* a stop at entry and one at exit */
}

bool bench_trace(void (*run)(const bench_job *job, bench_side *side), const bench_job *job,
                 bench_side *side)
{
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) == 0) {
            (void)raise(SIGSTOP);
        }
        run(job, side);
        side->done = true;
        _exit(0);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) {
        return false;
    }
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SETOPTIONS, child, 0, options) != 0) {
        (void)kill(child, SIGKILL);
        (void)waitpid(child, &status, 0);
        return false;
    }
    (void)ptrace(PTRACE_SYSCALL, child, 0, 0L);
    count_until_end(child, side);
    return side->done;
}
