/* SPDX-License-Identifier: Apache-2.0
 * What two orchestrators may do to a store at the very same moment, each over its own handle; and
 * a store of several hosts, of which the first says nothing. */
#include "suite.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUNDS = 40 };

typedef struct racer {
    suite_store store;
    pthread_barrier_t *start;
    pthread_t thread;
    unsigned refused;
} racer;

static void *define_all(void *user)
{
    racer *one = user;
    marty_bytes document = {"same", 4};
    for (uint32_t version = 1; version <= ROUNDS; version++) {
        (void)pthread_barrier_wait(one->start);
        one->refused += one->store.table->define(one->store.handle, "at-once", version, "hash",
                                                 document, suite_until(), NULL) != MARTY_OK;
    }
    return NULL;
}

/* Both bring the same definition: neither may be told that the other's is different. */
static void defines_the_same_at_once(const char *url)
{
    racer racers[2];
    pthread_barrier_t start;
    REQUIRE(pthread_barrier_init(&start, NULL, 2) == 0);
    for (int i = 0; i < 2; i++) {
        racers[i] = (racer){.store = suite_open(url), .start = &start};
        REQUIRE(pthread_create(&racers[i].thread, NULL, define_all, &racers[i]) == 0);
    }
    for (int i = 0; i < 2; i++) {
        (void)pthread_join(racers[i].thread, NULL);
        CHECK_INT(racers[i].refused, 0);
        suite_close(&racers[i].store);
    }
    (void)pthread_barrier_destroy(&start);
}

/* The kernel takes the connection, and that is all that ever comes of it. */
static int silent_port(int *ret_socket)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *ret_socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(bind(*ret_socket, (struct sockaddr *)&address, size) == 0);
    REQUIRE(listen(*ret_socket, 16) == 0);
    REQUIRE(getsockname(*ret_socket, (struct sockaddr *)&address, &size) == 0);
    return ntohs(address.sin_port);
}

/* A primary whose machine is gone must not take all the time that a call has. */
static void goes_past_a_silent_host(const char *url)
{
    char several[300];
    int silent = -1;
    const char *host = strchr(url, '@');
    if (strncmp(url, "postgres:", 9) != 0 || !host) {
        return; /* of one host */
    }
    (void)snprintf(several, sizeof several, "%.*s@127.0.0.1:%d,%s", (int)(host - url), url,
                   silent_port(&silent), host + 1);
    suite_store store = suite_open(several);
    CHECK_INT(suite_commit(&store, suite_write("past-silence", 1, "")), MARTY_OK);
    suite_close(&store);
    (void)close(silent);
}

int suite_races(const char *url)
{
    defines_the_same_at_once(url);
    goes_past_a_silent_host(url);
    return check_result();
}
