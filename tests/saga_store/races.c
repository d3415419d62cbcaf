/* SPDX-License-Identifier: Apache-2.0
 * What two orchestrators may do to a store at the very same moment, each over its own handle; and
 * a store of several hosts, of which the first says nothing. */
#include "suite.h"

#include "base/clock.h"

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

/* A local step that is inside the transaction until it is let go. */
typedef struct hanging {
    suite_store *store;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool inside, let_go;
    marty_err result;
} hanging;

static marty_err hang(marty_saga_write *write, void *transaction)
{
    hanging *with = write->user;
    (void)transaction;
    (void)pthread_mutex_lock(&with->mutex);
    with->inside = true;
    (void)pthread_cond_broadcast(&with->changed);
    while (!with->let_go) {
        (void)pthread_cond_wait(&with->changed, &with->mutex);
    }
    (void)pthread_mutex_unlock(&with->mutex);
    return MARTY_OK;
}

static void *commit_with_step(void *user)
{
    hanging *with = user;
    marty_saga_write *write = suite_write("hangs", 1, "");
    write->fill = hang;
    write->user = with;
    with->result = suite_commit(with->store, write);
    return NULL;
}

static bool count_one(void *user, const marty_saga_facts *facts)
{
    (void)facts;
    ++*(int *)user;
    return true;
}

/* Each call ends at about its deadline, whatever became of it; then all goes on. */
static void call_beside_a_step(suite_store *store)
{
    enum { CALL_NS = 50 * 1000 * 1000 };
    const marty_saga_filter none = {.name = "nobody"};
    marty_bytes document = {"doc", 3};
    marty_error why = {0};
    uint32_t purged = 0;
    int found = 0;
    int64_t begin_ns = marty__monotonic_ns();
    marty_err err = store->table->define(store->handle, "beside", 1, "hash", document,
                                         begin_ns + CALL_NS, &why);
    CHECK(err == MARTY_OK || err == MARTY_E_TIMEOUT || err == MARTY_E_UNAVAILABLE);
    if (err) {
        CHECK_HAS(why.text, "nothing was done");
    }
    err = store->table->purge(store->handle, 1, 10, &purged, marty__monotonic_ns() + CALL_NS, NULL);
    CHECK(err == MARTY_OK || err == MARTY_E_TIMEOUT || err == MARTY_E_UNAVAILABLE);
    err = store->table->sent(store->handle, NULL, 0, marty__monotonic_ns() + CALL_NS, NULL);
    CHECK(err == MARTY_OK || err == MARTY_E_TIMEOUT || err == MARTY_E_UNAVAILABLE);
    err = store->table->list(store->handle, &none, count_one, &found,
                             marty__monotonic_ns() + CALL_NS, NULL);
    CHECK(err == MARTY_OK || err == MARTY_E_TIMEOUT || err == MARTY_E_UNAVAILABLE);
    CHECK(marty__monotonic_ns() - begin_ns < INT64_C(20000000000));
}

static void nobody_waits_without_end_for_a_step(const char *url)
{
    suite_store store = suite_open(url);
    hanging with = {
        .store = &store, .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, commit_with_step, &with) == 0);
    (void)pthread_mutex_lock(&with.mutex);
    while (!with.inside) {
        (void)pthread_cond_wait(&with.changed, &with.mutex);
    }
    (void)pthread_mutex_unlock(&with.mutex);
    call_beside_a_step(&store);
    (void)pthread_mutex_lock(&with.mutex);
    with.let_go = true;
    (void)pthread_cond_broadcast(&with.changed);
    (void)pthread_mutex_unlock(&with.mutex);
    (void)pthread_join(thread, NULL);
    CHECK_INT(with.result, MARTY_OK);
    CHECK_INT(store.table->define(store.handle, "beside", 1, "hash", (marty_bytes){"doc", 3},
                                  suite_until(), NULL),
              MARTY_OK);
    suite_close(&store);
}

int suite_races(const char *url)
{
    defines_the_same_at_once(url);
    nobody_waits_without_end_for_a_step(url);
    goes_past_a_silent_host(url);
    return check_result();
}
