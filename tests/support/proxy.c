/* SPDX-License-Identifier: Apache-2.0
 * See proxy.h. One thread polls all sockets; writes are blocking, which is fine for tests whose
 * receivers read. */
#include "proxy.h"

#include "wait.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS = 64, CHUNK = 16384 };
struct test_proxy {
    int listener, port, target;
    pthread_t thread;
    atomic_int mode;
    atomic_bool stop, cut, busy; /* busy: bytes may be under way by the mode of before */
    atomic_uint_fast64_t taken;
    atomic_uint_fast64_t said; /* times that something was passed to the server */
    struct {
        int ends[2];
    } pairs[PAIRS];
    size_t count;
};

static int connect_to(int port)
{
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
        close(descriptor);
        return -1;
    }
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return descriptor;
}

static void drop(test_proxy *self, size_t at)
{
    struct linger at_once = {1, 0};
    for (int i = 0; i < 2; i++) {
        setsockopt(self->pairs[at].ends[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(self->pairs[at].ends[i]);
    }
    self->pairs[at] = self->pairs[--self->count];
}

static void take(test_proxy *self)
{
    int client = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) {
        return;
    }
    atomic_fetch_add(&self->taken, 1);
    int server = -1;
    if (self->count < PAIRS && atomic_load(&self->mode) != TEST_PROXY_REFUSE) {
        server = connect_to(self->target);
    }
    if (server < 0) {
        struct linger at_once = {1, 0};
        setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(client);
        return;
    }
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    self->pairs[self->count].ends[0] = client;
    self->pairs[self->count++].ends[1] = server;
}

/* False: this pair is over. */
static bool pass(test_proxy *self, int from, int to, bool of_server)
{
    char bytes[CHUNK];
    if (atomic_load(&self->mode) == TEST_PROXY_HOLD) {
        return true; /* since it was polled */
    }
    ssize_t got = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (got <= 0) {
        return false;
    }
    int mode = atomic_load(&self->mode);
    if (mode == TEST_PROXY_SWALLOW || (mode == TEST_PROXY_DEAF && of_server)) {
        return true;
    }
    if (mode == TEST_PROXY_SLOW) {
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    for (ssize_t sent = 0; sent < got;) {
        ssize_t some = send(to, bytes + sent, (size_t)(got - sent), MSG_NOSIGNAL);
        if (some <= 0) {
            return false;
        }
        sent += some;
    }
    atomic_fetch_add(&self->said, of_server ? 0 : 1);
    return true;
}

static void *serve(void *user)
{
    test_proxy *self = user;
    while (!atomic_load(&self->stop)) {
        struct pollfd polled[1 + 2 * PAIRS];
        size_t count = self->count;
        bool hold = atomic_load(&self->mode) == TEST_PROXY_HOLD; /* then none is looked at */
        polled[0] = (struct pollfd){hold ? -1 : self->listener, POLLIN, 0};
        for (size_t i = 0; i < count; i++) {
            polled[1 + 2 * i] = (struct pollfd){hold ? -1 : self->pairs[i].ends[0], POLLIN, 0};
            polled[2 + 2 * i] = (struct pollfd){hold ? -1 : self->pairs[i].ends[1], POLLIN, 0};
        }
        poll(polled, 1 + 2 * count, 20);
        atomic_store(&self->busy, true);
        bool cut =
            atomic_exchange(&self->cut, false) || atomic_load(&self->mode) == TEST_PROXY_REFUSE;
        for (size_t i = count; i-- > 0;) { /* from behind: drop moves the last one here */
            bool alive = !cut;
            for (size_t end = 0; end < 2 && alive; end++) {
                if (polled[1 + 2 * i + end].revents) {
                    alive =
                        pass(self, self->pairs[i].ends[end], self->pairs[i].ends[!end], end == 1);
                }
            }
            if (!alive) {
                drop(self, i);
            }
        }
        if (polled[0].revents) {
            take(self);
        }
        atomic_store(&self->busy, false);
    }
    return NULL;
}

static bool is_idle(void *user)
{
    test_proxy *self = user;
    return !atomic_load(&self->busy);
}

/* Until what was begun before has passed, or hangs, as its receiver does not read. */
static void let_finish(test_proxy *self)
{
    (void)test_wait_for(is_idle, self, 1000);
}

test_proxy *test_proxy_start(int port)
{
    test_proxy *self = calloc(1, sizeof *self);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!self) {
        return NULL;
    }
    self->target = port;
    self->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(self->listener, (struct sockaddr *)&address, size) != 0 ||
        listen(self->listener, 64) != 0 ||
        getsockname(self->listener, (struct sockaddr *)&address, &size) != 0 ||
        pthread_create(&self->thread, NULL, serve, self) != 0) {
        close(self->listener);
        free(self);
        return NULL;
    }
    self->port = ntohs(address.sin_port);
    return self;
}

int test_proxy_port(const test_proxy *self)
{
    return self->port;
}

void test_proxy_set(test_proxy *self, test_proxy_mode mode)
{
    atomic_store(&self->mode, (int)mode);
    let_finish(self);
}

void test_proxy_cut(test_proxy *self)
{
    atomic_store(&self->cut, true);
    let_finish(self);
}

uint64_t test_proxy_said(test_proxy *self)
{
    return atomic_load(&self->said);
}

uint64_t test_proxy_taken(test_proxy *self)
{
    return atomic_load(&self->taken);
}

void test_proxy_stop(test_proxy *self)
{
    atomic_store(&self->stop, true);
    pthread_join(self->thread, NULL);
    while (self->count) {
        drop(self, 0);
    }
    close(self->listener);
    free(self);
}
