/* SPDX-License-Identifier: Apache-2.0
 * Instances that start a group for the first time at once: all of them find no consumer and make
 * it. What one has asked for must not be undone by who comes second. */
#include "harness.h"

#include "backends/nats/parts.h"

#include <stdio.h>
#include <string.h>

typedef struct starter {
    harness *h;
    uint64_t number;
    marty_want want;
    marty_err err;
} starter;

static void *start(void *user)
{
    starter *self = user;
    self->err = harness_subscribe(self->h, self->number, &self->want);
    return NULL;
}

/* As the server has it. */
static uint64_t lease_of(harness *h, unsigned queue)
{
    char what[96];
    json_t *info = NULL;
    marty_error why = {0};
    (void)snprintf(what, sizeof what, "CONSUMER.INFO.commands__first%u.first%u", queue, queue);
    marty_err err =
        nats__api(h->port, what, NULL, nats__now_ns(h->port) + 5000000000, &info, NULL, &why);
    REQUIRE(CHECK_INT(err, MARTY_OK));
    uint64_t lease_ms = nats__lease_of(json_object_get(info, "config"));
    json_decref(info);
    return lease_ms;
}

/* A server before 2.10 lets who comes second change it: there the first one looks again. */
static void test_the_shortest_lease_wins_whoever_is_second(test_server *server, bool at_once)
{
    enum { ROUNDS = 20 };
    starter two[] = {{.h = harness_up(server, "lease=1h")}, {.h = harness_up(server, "lease=1h")}};
    for (unsigned i = 0; i < ROUNDS; i++) {
        pthread_t threads[2];
        char queue[32];
        (void)snprintf(queue, sizeof queue, "commands.first%u", i);
        for (size_t k = 0; k < 2; k++) {
            two[k].number = i + 1;
            two[k].want = harness_want(MARTY_KIND_QUEUE, queue, NULL, 1);
            two[k].want.lease_ms = k == i % 2 ? 60000 : 0;
            REQUIRE(pthread_create(&threads[k], NULL, start, &two[k]) == 0);
        }
        for (size_t k = 0; k < 2; k++) {
            REQUIRE(pthread_join(threads[k], NULL) == 0);
            CHECK_INT(two[k].err, MARTY_OK);
        }
        if (at_once) {
            CHECK_INT(lease_of(two[0].h, i), 60000);
        }
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        CHECK_SOON(lease_of(two[0].h, i) == 60000, 30000);
    }
    harness_close(two[0].h);
    harness_close(two[1].h);
}

int main(int argc, char **argv)
{
    const char *which = argc > 1 ? argv[1] : "new";
    test_server *server = harness_server(which, NULL);
    test_the_shortest_lease_wins_whoever_is_second(server, strcmp(which, "new") == 0);
    test_server_free(server);
    free(server);
    return check_result();
}
