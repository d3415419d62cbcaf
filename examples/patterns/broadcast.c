/* SPDX-License-Identifier: Apache-2.0
 * Broadcast: every instance that runs now hears it, at most once; nothing is kept. Two buses here
 * are two instances of one service.
 *   broadcast [BUS-URL] */
#include <marty/marty.h>

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum { INSTANCES = 2, WAIT_MS = 5000 };

static atomic_int heard;

static marty_err on_clear(void *user, marty_delivery *broadcast)
{
    printf("instance %s clears its cache: %.*s\n", (const char *)user,
           MARTY_BYTES_ARGS(broadcast->message->data));
    atomic_fetch_add(&heard, 1);
    return MARTY_OK;
}

int main(int argc, char **argv)
{
    const char *url = argc > 1 ? argv[1] : "memory:shop"; /* "memory:" alone is one bus's own */
    static char *const names[INSTANCES] = {"one", "two"};
    marty_error why = {0};
    marty_bus *bus[INSTANCES] = {NULL, NULL};
    bool failed = false;
    for (int i = 0; i < INSTANCES && !failed; i++) {
        failed = marty_bus_open(&bus[i], url, &(marty_bus_options){.service = "shop"}, &why) ||
                 marty_subscribe_to_broadcasts(bus[i], "cache.*", on_clear, names[i], NULL, NULL,
                                               &why) ||
                 marty_bus_start(bus[i], &why);
    }
    failed = failed || marty_broadcast(bus[0], "cache.clear", marty_text("\"prices\""), NULL, &why);
    for (int ms = 0; ms < WAIT_MS && !failed && atomic_load(&heard) < INSTANCES; ms++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    if (failed) {
        fprintf(stderr, "%s\n", why.text);
    }
    for (int i = 0; i < INSTANCES; i++) {
        marty_bus_free(bus[i]);
    }
    return failed || atomic_load(&heard) != INSTANCES;
}
