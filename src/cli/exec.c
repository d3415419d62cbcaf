/* SPDX-License-Identifier: Apache-2.0
 * Run a command for a delivery: data on its stdin, its name and number in the environment, its
 * output to ours or to a text. Called from the bus's worker threads, several at a time. */
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <marty/adapter.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

static char **environment_make(const marty_delivery *delivery)
{
    const marty_message *message = delivery->message;
    size_t count = 0, i;
    char **made;
    while (environ[count]) {
        count++;
    }
    made = cli_alloc((count + 8) * sizeof *made);
    for (i = 0; i < count; i++) {
        made[i] = cli_strdup(environ[i]);
    }
    made[i++] = cli_textf("MARTY_TYPE=%s", message->type);
    made[i++] = cli_textf("MARTY_ID=%s", message->id ? message->id : "");
    made[i++] = cli_textf("MARTY_KEY=%s", message->key ? message->key : "");
    made[i++] = cli_textf("MARTY_CHANNEL=%s", delivery->channel ? delivery->channel : "");
    made[i++] = cli_textf("MARTY_ATTEMPT=%u", delivery->attempt);
    made[i++] = cli_textf("MARTY_CORRELATION_ID=%s",
                          message->correlation_id ? message->correlation_id : "");
    return made;
}

static void environment_free(char **made)
{
    size_t i;
    for (i = 0; made[i]; i++) {
        marty_free(made[i]);
    }
    marty_free(made);
}

/* fds: 0 the child's stdin, 1 its stdout or -1 for ours. */
static int spawn(pid_t *ret_child, const char *command, const int fds[2],
                 const marty_delivery *delivery)
{
    char shell[] = "/bin/sh", flag[] = "-c", *line = cli_strdup(command);
    char *const arguments[] = {shell, flag, line, NULL};
    char **environment = environment_make(delivery);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, pipes;
    int failed;
    (void)sigemptyset(&none);
    (void)sigemptyset(&pipes);
    (void)sigaddset(&pipes, SIGPIPE);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, fds[0], STDIN_FILENO);
    if (fds[1] >= 0) {
        (void)posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    }
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &pipes);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    failed = posix_spawn(ret_child, shell, &actions, &attributes, arguments, environment);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    environment_free(environment);
    marty_free(line);
    return failed;
}

static void shut(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

/* Both ways at once, so that neither side waits for ever on a full pipe. */
static void talk(int to, int from, marty_bytes data, cli_text *output)
{
    char bytes[8192];
    const char *left = data.data;
    size_t size = data.size;
    (void)fcntl(to, F_SETFL, O_NONBLOCK);
    while (to >= 0 || from >= 0) {
        struct pollfd fds[] = {{.fd = size ? to : -1, .events = POLLOUT},
                               {.fd = from, .events = POLLIN}};
        if (size == 0) {
            shut(&to);
        }
        if (to < 0 && from < 0) {
            break;
        }
        (void)poll(fds, 2, -1);
        if (to >= 0 && fds[0].revents) {
            ssize_t put = write(to, left, size);
            if (put > 0) {
                left += put;
                size -= (size_t)put;
            } else if (put < 0 && errno != EAGAIN && errno != EINTR) {
                size = 0; /* it does not read its stdin: fine */
            }
        }
        if (from >= 0 && fds[1].revents) {
            ssize_t got = read(from, bytes, sizeof bytes);
            if (got > 0) {
                cli_text_add(output, bytes, (size_t)got);
            } else if (got == 0 || errno != EINTR) {
                shut(&from);
            }
        }
    }
}

int cli_exec(const char *command, const marty_delivery *delivery, cli_text *ret_output)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, status = 0;
    pid_t child = 0;
    if (pipe2(in, O_CLOEXEC) != 0 || (ret_output && pipe2(out, O_CLOEXEC) != 0)) {
        shut(&in[0]);
        shut(&in[1]);
        return 127;
    }
    status = spawn(&child, command, (const int[]){in[0], out[1]}, delivery);
    shut(&in[0]);
    shut(&out[1]);
    if (status) {
        shut(&in[1]);
        shut(&out[0]);
        return 127;
    }
    talk(in[1], out[0], delivery->message->data, ret_output);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
