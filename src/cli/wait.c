/* SPDX-License-Identifier: Apache-2.0
 * Waiting in a verb that listens: signals come by a descriptor, so that no handler of ours runs in
 * signal context; handlers of the bus wake the main thread by another. */
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* One request to end may come as several signals at once (from `timeout`, to the process and to its
 * group), so the second that counts comes no sooner than that. */
#define AGAIN_NS INT64_C(1000000000)

static _Atomic int64_t first_ns;

static void on_again(int number)
{
    if (cli_monotonic_ns() - first_ns >= AGAIN_NS) {
        (void)signal(number, SIG_DFL);
        (void)raise(number); /* when this returns */
    }
}

static sigset_t ending(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    return set;
}

void cli_wait_init(cli_wait *wait, uint64_t wanted)
{
    sigset_t set = ending();
    memset(wait, 0, sizeof *wait);
    wait->wanted = wanted;
    (void)pthread_mutex_init(&wait->lock, NULL);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    wait->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    wait->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wait->signals < 0 || wait->wake < 0) {
        (void)fprintf(stderr, "MARTY_E_NO_MEMORY  no descriptors left: %s\n", strerror(errno));
        exit(CLI_ERROR);
    }
}

bool cli_wait_take(cli_wait *wait)
{
    if (wait->full) {
        return false;
    }
    wait->count++;
    if (wait->wanted && wait->count >= wait->wanted) {
        wait->full = true;
    }
    return true;
}

void cli_wait_wake(cli_wait *wait)
{
    uint64_t one = 1;
    if (write(wait->wake, &one, sizeof one) < 0) {
        return; /* it is awake already */
    }
}

static bool look(const cli_run *cli, cli_wait *wait)
{
    struct signalfd_siginfo signal;
    uint64_t woken;
    bool over;
    if (read(wait->wake, &woken, sizeof woken) < 0 && errno != EAGAIN) {
        return true;
    }
    if (read(wait->signals, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        sigset_t set = ending();
        struct sigaction again = {.sa_handler = on_again, .sa_flags = SA_RESTART};
        wait->interrupted = true;
        first_ns = cli_monotonic_ns();
        (void)sigaction(SIGINT, &again, NULL);
        (void)sigaction(SIGTERM, &again, NULL);
        (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        return true;
    }
    (void)pthread_mutex_lock(&wait->lock);
    over = wait->full || cli->out.broken;
    (void)pthread_mutex_unlock(&wait->lock);
    return over;
}

void cli_wait_run(cli_run *cli, cli_wait *wait, uint64_t limit_ms)
{
    int64_t end = limit_ms && limit_ms < INT64_MAX / 2000000
                      ? cli_monotonic_ns() + (int64_t)limit_ms * 1000000
                      : INT64_MAX;
    while (!look(cli, wait)) {
        struct pollfd fds[] = {{.fd = wait->signals, .events = POLLIN},
                               {.fd = wait->wake, .events = POLLIN}};
        int64_t left = end == INT64_MAX ? 60000 : (end - cli_monotonic_ns() + 999999) / 1000000;
        if (left <= 0) {
            wait->timed_out = true;
            return;
        }
        (void)poll(fds, 2, left > 60000 ? 60000 : (int)left);
    }
}

int cli_wait_code(const cli_run *cli, const cli_wait *wait)
{
    if (wait->full || cli->out.broken) {
        return CLI_OK;
    }
    if (wait->interrupted) {
        return CLI_INTERRUPTED;
    }
    if (wait->count == 0) {
        return CLI_NOTHING;
    }
    return wait->wanted ? CLI_PARTIAL : CLI_OK;
}

void cli_wait_free(cli_wait *wait)
{
    (void)close(wait->signals);
    (void)close(wait->wake);
    (void)pthread_mutex_destroy(&wait->lock);
}
