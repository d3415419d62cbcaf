/* SPDX-License-Identifier: Apache-2.0
 * Who places the orders: one key for each, so that placing all of them again after a kill starts
 * none twice. Several threads, as the requests of a service would come. */
#include "round.h"

#include "support/wait.h"

#include <pthread.h>
#include <stdio.h>

enum { THREADS = 8, GIVE_UP_MS = 60000 };

typedef struct placer {
    marty_saga_engine *engine;
    marty_error why;
    pthread_t thread;
    int number, count;
    bool placed;
} placer;

/* Every 10th card ends in 0, and is refused. */
static bool place(void *user)
{
    static const char *const items[] = {"book", "lamp", "mug"};
    placer *of = user;
    char key[32], data[160], id[40];
    (void)snprintf(key, sizeof key, "order-%06d", of->number);
    (void)snprintf(data, sizeof data,
                   "{\"order\": \"%s\", \"item\": \"%s\", \"card\": \"4000-%04d\"}", key,
                   items[of->number % 3], of->number);
    return marty_saga_start(of->engine, "order", key, marty_text(data), NULL, id, &of->why) ==
           MARTY_OK;
}

static void *place_part(void *user)
{
    placer *of = user;
    of->placed = true;
    while (of->placed && of->number <= of->count) {
        of->placed = test_wait_for(place, of, test_patience(GIVE_UP_MS));
        of->number += of->placed ? THREADS : 0;
    }
    return NULL;
}

static bool place_all(marty_saga_engine *engine, int count)
{
    placer parts[THREADS];
    bool placed = true;
    for (int i = 0; i < THREADS; i++) {
        parts[i] = (placer){.engine = engine, .number = 1 + i, .count = count};
        if (pthread_create(&parts[i].thread, NULL, place_part, &parts[i]) != 0) {
            parts[i].engine = NULL;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        if (parts[i].engine) {
            (void)pthread_join(parts[i].thread, NULL);
        }
        if (!parts[i].placed) {
            (void)fprintf(stderr, "placer: order %d: %s\n", parts[i].number, parts[i].why.text);
        }
        placed = placed && parts[i].placed;
    }
    return placed;
}

int place_orders(const char *bus_url, const char *store, int count)
{
    marty_bus *bus = NULL;
    marty_saga_engine *engine = NULL;
    marty_error why = {0};
    bool failed =
        marty_bus_open(&bus, bus_url,
                       &(marty_bus_options){.service = "orders", .timeout_ms = 10000}, &why) ||
        marty_saga_open(&engine, bus, store, &(marty_saga_options){.client = true}, &why) ||
        marty_bus_start(bus, &why);
    if (failed) {
        (void)fprintf(stderr, "placer: %s\n", why.text);
    }
    failed = failed || !place_all(engine, count);
    (void)marty_saga_close(engine, 0, NULL);
    marty_bus_free(bus);
    return failed;
}
