/* SPDX-License-Identifier: Apache-2.0
 * The loop: one thread that waits for the sockets of both connections, writes what waits, and reads
 * and hands over what has come. Nothing
 * here waits for the server. While there is traffic it naps for a millisecond at most, so that ops
 * need not wake it; without traffic it sleeps until something is due. */
#include "denied.h"
#include "reader.h"
#include "thread.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { NAP_NS = 1000000, BUSY_NS = 5000000 };

typedef struct loop_state {
    marty_port *port;
    int64_t busy_until_ns, due_ns;
    bool blocked[2], again;
    nats__run run;
} loop_state;

void nats__lose(marty_port *port, marty_err err, const char *text)
{
    pthread_mutex_lock(&port->lock);
    if (!port->lost_err) {
        size_t size = strnlen(text, sizeof port->lost_text - 1);
        port->lost_err = err;
        memcpy(port->lost_text, text, size);
        port->lost_text[size] = '\0';
    }
    atomic_store(&port->wires[0].lost, true);
    pthread_mutex_unlock(&port->lock);
    nats__wake(port, true);
}

void nats__loop_barrier(marty_port *port)
{
    pthread_mutex_lock(&port->lock);
    uint64_t until = port->rounds + 2;
    while (!port->loop_over && port->rounds < until) { /* also when it stops: it ends its round */
        nats__wake(port, true);
        (void)nats__wait_locked(port, &port->changed, nats__now_ns(port) + NAP_NS);
    }
    pthread_mutex_unlock(&port->lock);
}

static void read_wire(nats__wire *wire, loop_state *state, int64_t now_ns, bool ended)
{
    wire->last_read_ns = now_ns;
    if (wire->tls) {
        nats__library_read(wire, &state->run, ended);
    } else {
        nats__reader_read(wire, &state->run);
    }
}

static void look_again(nats__wire *wire, loop_state *state)
{
    if (wire->tls) {
        nats__library_look(wire, &state->run);
    } else {
        nats__reader_look(wire, &state->run);
    }
}

/* A server that is silent is asked for a sign, and given up when there is none. */
static int64_t check_silence(marty_port *port, nats__wire *wire, int64_t now_ns)
{
    int64_t silence_ns = now_ns - wire->last_read_ns;
    if (silence_ns >= (int64_t)NATS__SILENCE_MS * 1000000) {
        char text[400];
        (void)snprintf(text, sizeof text,
                       "nats://%s: the server has been silent for %d ms, it is frozen or cut off",
                       port->server, NATS__SILENCE_MS);
        nats__lose(port, MARTY_E_UNAVAILABLE, text);
        return INT64_MAX;
    }
    int64_t ping_at = wire->last_read_ns + (int64_t)NATS__PING_MS * 1000000;
    if (now_ns >= ping_at && wire->ping_ns <= wire->last_read_ns) {
        pthread_mutex_lock(&port->lock);
        nats__confirm_locked(wire, true);
        pthread_mutex_unlock(&port->lock);
        wire->ping_ns = now_ns;
    }
    return now_ns >= ping_at ? wire->last_read_ns + (int64_t)NATS__SILENCE_MS * 1000000 : ping_at;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What is due by time; when to look again. */
static int64_t look(marty_port *port, int64_t now_ns)
{
    int64_t due_ns = INT64_MAX;
    pthread_mutex_lock(&port->lock);
    bool up = port->wires[0].live && port->wires[1].live;
    port->due_ns = INT64_MAX;
    for (int i = 0; i < 2 && up; i++) {
        nats__wire *wire = &port->wires[i];
        if (now_ns >= wire->confirm_at_ns) {
            nats__confirm_locked(wire, false);
        }
        due_ns = least(due_ns, wire->confirm_at_ns);
    }
    pthread_mutex_unlock(&port->lock);
    due_ns = least(due_ns, nats__denied_look(port, now_ns));
    if (!up) {
        return due_ns;
    }
    due_ns = least(due_ns, check_silence(port, &port->wires[0], now_ns));
    due_ns = least(due_ns, check_silence(port, &port->wires[1], now_ns));
    due_ns = least(due_ns, nats__pending_expire(port, now_ns));
    return least(due_ns, nats__sources_look(port, now_ns));
}

/* See what others have done since: new connections, bytes to write, earlier times. True: there is
 * something to do at once. */
static bool notice(marty_port *port, loop_state *state)
{
    bool work = atomic_load(&port->stop);
    pthread_mutex_lock(&port->lock);
    for (int i = 0; i < 2; i++) {
        nats__wire *wire = &port->wires[i];
        wire->live = wire->nc;
        work = work || (wire->live && (wire->out.size > 0 || atomic_load(&wire->wants_write) ||
                                       atomic_load(&wire->lost)));
    }
    work = work || port->reaps;
    state->due_ns = least(state->due_ns, port->due_ns);
    state->again = state->again || port->look_again;
    port->look_again = false;
    pthread_mutex_unlock(&port->lock);
    return work || state->again;
}

static void wait_for_events(marty_port *port, loop_state *state, struct pollfd fds[3])
{
    int64_t now = nats__now_ns(port);
    bool busy = now < state->busy_until_ns, blocked = state->blocked[0] || state->blocked[1];
    atomic_store(&port->sleeping, busy ? 1 : 2);
    bool work = notice(port, state);
    int64_t until_ns = busy ? least(state->due_ns, now + NAP_NS) : state->due_ns;
    int64_t wait_ns = (work && !blocked) || until_ns < now ? 0 : until_ns - now;
    struct timespec wait = {(time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000)};
    for (int i = 0; i < 2; i++) {
        nats__wire *wire = &port->wires[i];
        fds[i].fd = wire->live ? wire->fd : -1;
        fds[i].events = (short)(POLLIN | POLLRDHUP | (state->blocked[i] ? POLLOUT : 0));
    }
    fds[2] = (struct pollfd){.fd = port->wake_fd, .events = POLLIN};
    int ready = ppoll(fds, 3, until_ns == INT64_MAX && wait_ns ? NULL : &wait, NULL);
    atomic_store(&port->sleeping, 0);
    if (ready <= 0) {
        fds[0].revents = fds[1].revents = fds[2].revents = 0;
    }
    if (fds[2].revents) {
        uint64_t count;
        while (read(port->wake_fd, &count, sizeof count) < 0 && errno == EINTR) {
        }
    }
}

static void write_all(marty_port *port, loop_state *state, int64_t now)
{
    for (int i = 0; i < 2; i++) {
        nats__wire *wire = &port->wires[i];
        if (wire->live && !atomic_load(&wire->lost)) {
            bool wrote = false;
            state->blocked[i] = nats__wire_write(wire, &wrote);
            state->busy_until_ns = wrote ? now + BUSY_NS : state->busy_until_ns;
        }
    }
}

static void run_once(marty_port *port, loop_state *state)
{
    struct pollfd fds[3] = {0};
    wait_for_events(port, state, fds);
    int64_t now = nats__now_ns(port);
    for (int i = 0; i < 2; i++) {
        if (fds[i].revents & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)) {
            bool ended = (fds[i].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
            read_wire(&port->wires[i], state, now, ended);
            state->busy_until_ns = now + BUSY_NS;
        }
    }
    (void)notice(port, state);
    for (int i = 0; i < 2 && state->again; i++) {
        if (port->wires[i].live) {
            look_again(&port->wires[i], state);
        }
    }
    state->again = false;
    if (now >= state->due_ns) {
        state->due_ns = INT64_MAX;
        state->due_ns = look(port, now);
    }
    write_all(port, state, now);
    nats__inboxes_reap(port);
    bool live = port->wires[0].live || port->wires[1].live;
    if (live && (atomic_load(&port->wires[0].lost) || atomic_load(&port->wires[1].lost))) {
        nats__teardown(port);
        state->busy_until_ns = 0;
        state->due_ns = INT64_MAX;
        state->blocked[0] = state->blocked[1] = state->again = false;
    }
}

static void *loop_main(void *argument)
{
    loop_state *state = argument;
    marty_port *port = state->port;
    nats__library_open(); /* before it is let go of below, perhaps unused */
    while (!atomic_load(&port->stop)) {
        run_once(port, state);
    }
    nats__teardown(port); /* nobody connects any more: nats__connect_run looks at stop */
    pthread_mutex_lock(&port->lock);
    port->loop_over = true;
    pthread_cond_broadcast(&port->changed);
    pthread_mutex_unlock(&port->lock);
    marty_free(state);
    nats_ReleaseThreadMemory();
    return NULL;
}

marty_err nats__loop_start(marty_port *port, marty_error *why)
{
    if (port->loop_started) {
        return MARTY_OK;
    }
    port->batch = port->batch ? port->batch : nats__batch_new();
    port->wake_fd = port->wake_fd >= 0 ? port->wake_fd : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (int i = 0; i < 2; i++) {
        nats__wire *wire = &port->wires[i];
        if (!wire->statistics && natsStatistics_Create(&wire->statistics) != NATS_OK) {
            return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory for a connection");
        }
    }
    loop_state *state =
        port->batch && port->wake_fd >= 0 ? marty_alloc_zero(1, sizeof *state) : NULL;
    if (state) {
        *state = (loop_state){.port = port, .due_ns = INT64_MAX};
        port->loop_started = nats__thread(&port->loop, "nats loop", loop_main, state);
    }
    if (!port->loop_started) {
        marty_free(state);
    }
    return port->loop_started
               ? MARTY_OK
               : marty_error_set(why, MARTY_E_NO_MEMORY,
                                 "nats: no descriptor or thread left for the connections");
}

void nats__loop_stop(marty_port *port)
{
    if (port->loop_started) {
        atomic_store(&port->stop, true);
        nats__wake(port, true);
        (void)pthread_join(port->loop, NULL);
        port->loop_started = false;
    }
}

void nats__loop_free(marty_port *port)
{
    if (port->wake_fd >= 0) {
        (void)close(port->wake_fd);
        port->wake_fd = -1;
    }
    nats__batch_free(port->batch);
    port->batch = NULL;
    natsStatistics_Destroy(port->wires[0].statistics);
    natsStatistics_Destroy(port->wires[1].statistics);
}
