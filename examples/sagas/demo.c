/* SPDX-License-Identifier: Apache-2.0
 * Starts four participants and two orchestrators as processes, starts an order saga for each order,
 * kills an orchestrator (which is not started again) and the inventory meanwhile, and then counts
 * in the participants' own databases that each effect happened exactly once. demo [--backend
 * sqlite|nats] [--orders N] [--folder FOLDER] Exit code: 0 all ended right, 1 not so (or something
 * failed), 2 usage. */
#include "tally.h"
#include "world.h"

#include <marty/marty.h>
#include <marty/saga.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORDERS = 200, FINISH_SECONDS = 60 };

typedef struct options {
    const char *backend, *folder, *store;
    int orders;
} options;

typedef struct ends {
    int completed, compensated, open, stuck;
    char last[40];
} ends;

static bool parse(int argc, char **argv, options *ret)
{
    *ret = (options){"sqlite", "demo", NULL, ORDERS};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--backend") == 0) {
            ret->backend = argv[i + 1];
        } else if (strcmp(argv[i], "--folder") == 0) {
            ret->folder = argv[i + 1];
        } else if (strcmp(argv[i], "--store") == 0) {
            ret->store = argv[i + 1];
        } else if (strcmp(argv[i], "--orders") == 0) {
            ret->orders = (int)strtol(argv[i + 1], NULL, 10);
        } else {
            return false;
        }
    }
    bool known = strcmp(ret->backend, "sqlite") == 0 || strcmp(ret->backend, "nats") == 0;
    return argc % 2 == 1 && known && ret->orders > 0 && ret->orders <= 10000;
}

static bool start_orchestrator(world *w, const char *name, char *store)
{
    char program[WORLD_PATH + 16];
    snprintf(program, sizeof program, "%s/orchestrator", w->bin);
    char *argv[] = {program, w->url, store, NULL};
    return world_run(w, name, argv);
}

/* Every 10th card ends in 0, and is refused. Starting twice with one key is starting once. */
static marty_err place(marty_saga_engine *engine, int number, marty_error *why)
{
    static const char *const items[] = {"book", "lamp", "mug"};
    char key[32], data[160], id[40];
    snprintf(key, sizeof key, "order-%06d", number);
    snprintf(data, sizeof data, "{\"order\": \"%s\", \"item\": \"%s\", \"card\": \"4000-%04d\"}",
             key, items[number % 3], number);
    return marty_saga_start(engine, "order", key, marty_text(data), NULL, id, why);
}

static bool count_end(void *user, const marty_saga_facts *facts)
{
    ends *to = user;
    to->completed += facts->status == MARTY_SAGA_COMPLETED;
    to->compensated += facts->status == MARTY_SAGA_COMPENSATED;
    to->open += facts->status < MARTY_SAGA_COMPLETED;
    to->stuck += *facts->stuck != '\0';
    snprintf(to->last, sizeof to->last, "%s", facts->id);
    return true;
}

static bool wait_until_done(marty_saga_engine *engine, int orders, ends *ret)
{
    marty_saga_filter all = {.name = "order", .limit = 10000};
    for (double end = world_seconds() + FINISH_SECONDS; world_seconds() < end;) {
        marty_error why;
        memset(ret, 0, sizeof *ret);
        if (marty_saga_list(engine, &all, count_end, ret, &why) != MARTY_OK) {
            fprintf(stderr, "demo: %s\n", why.text);
            return false;
        }
        int done = ret->completed + ret->compensated;
        world_progress(done, orders);
        if (done == orders) {
            return true;
        }
        world_pause_ms(20);
    }
    return false;
}

/* The definition is in the store once an orchestrator has registered it. */
static marty_err place_first(marty_saga_engine *engine, marty_error *why)
{
    marty_err err = MARTY_E_NOT_FOUND;
    for (double end = world_seconds() + 10; err == MARTY_E_NOT_FOUND && world_seconds() < end;) {
        err = place(engine, 1, why);
        world_pause_ms(10);
    }
    why->code = err;
    return err;
}

static bool place_all(world *w, char *store, int orders, ends *ret)
{
    marty_bus *bus = NULL;
    marty_saga_engine *engine = NULL;
    marty_error why = {0};
    bool failed =
        marty_bus_open(&bus, w->url, &(marty_bus_options){.service = "orders"}, &why) ||
        marty_saga_open(&engine, bus, store, &(marty_saga_options){.client = true}, &why) ||
        marty_bus_start(bus, &why) || place_first(engine, &why);
    for (int i = 2; i <= orders && !failed; i++) {
        failed = place(engine, i, &why) != MARTY_OK;
        if (i == orders / 3) {
            failed = failed || !world_kill(w, "orchestrator-1");
        }
        if (i == orders / 2) {
            failed = failed || !world_kill(w, "inventory") || !world_start(w, "inventory");
        }
    }
    if (why.code) {
        fprintf(stderr, "demo: %s\n", why.text);
    }
    failed = failed || !wait_until_done(engine, orders, ret);
    marty_saga_close(engine, 0, NULL);
    marty_bus_free(bus);
    return !failed;
}

static void print_end(const ends *counted, const tally *effects, int orders)
{
    printf(" sagas    %d   completed %d   compensated %d   stuck %d   open %d\n", orders,
           counted->completed, counted->compensated, counted->stuck, counted->open);
    tally_print(effects);
}

int main(int argc, char **argv)
{
    options o;
    world w;
    ends ended = {0};
    tally counted = {0};
    if (!parse(argc, argv, &o)) {
        fprintf(stderr, "usage: demo [--backend sqlite|nats] [--orders N] [--folder FOLDER] "
                        "[--store URL]\n");
        return 2;
    }
    double start = world_seconds();
    char store[WORLD_PATH + 32];
    if (o.store) {
        snprintf(store, sizeof store, "%s", o.store);
    } else {
        snprintf(store, sizeof store, "sqlite:%s/sagas.db", o.folder);
    }
    bool fine = world_open(&w, argv[0], o.folder, o.backend);
    if (fine) {
        printf(" order, inventory, payment, shipping and two orchestrators start as processes over "
               "%s\n %d order sagas; every 10th card is refused; one orchestrator and the "
               "inventory are killed with SIGKILL\n",
               w.shown, o.orders);
        fflush(stdout);
        fine = world_start(&w, "order") && world_start(&w, "inventory") &&
               world_start(&w, "payment") && world_start(&w, "shipping") &&
               start_orchestrator(&w, "orchestrator-1", store) &&
               start_orchestrator(&w, "orchestrator-2", store) &&
               place_all(&w, store, o.orders, &ended);
    }
    fine = world_stop(&w) && fine; /* SIGTERM: each drains and ends with 0 */
    fine = tally_take(&counted, o.folder, o.orders) && fine;
    print_end(&ended, &counted, o.orders);
    fine = fine && counted.exactly_once && ended.stuck == 0 && ended.compensated == o.orders / 10;
    printf(" %.1f s · one saga's timeline: build/marty saga show %s --store %s -b %s\n",
           world_seconds() - start, ended.last, store, w.shown);
    world_close(&w);
    return fine ? 0 : 1;
}
