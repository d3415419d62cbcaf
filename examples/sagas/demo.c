/* SPDX-License-Identifier: Apache-2.0
 * Starts four participants and two orchestrators as processes, starts an order saga for each order,
 * kills an orchestrator (which is not started again) and the inventory meanwhile, and then counts
 * in the participants' own databases that each effect happened exactly once.
 *   demo [--backend sqlite|nats] [--store URL] [--orders N] [--folder FOLDER]
 * Exit code: 0 all ended right, 1 not so (or something failed), 2 usage. */
#include "tally.h"
#include "world.h"

#include <marty/marty.h>
#include <marty/saga.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORDERS = 200, PLACE_SECONDS = 30, FINISH_SECONDS = 60 };

typedef struct options {
    const char *backend, *folder, *store;
    int orders;
} options;

typedef struct ends {
    int completed, compensated, open, stuck;
    int open_at_kill[2]; /* when the orchestrator was killed, and the inventory */
    char undone[40];     /* of those that were compensated the one that took the longest */
    int64_t undone_us;
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
    int64_t took_us = facts->changed_us - facts->started_us;
    if (facts->status == MARTY_SAGA_COMPENSATED && took_us > to->undone_us) {
        to->undone_us = took_us;
        snprintf(to->undone, sizeof to->undone, "%s", facts->id);
    }
    return true;
}

static bool count_all(marty_saga_engine *engine, ends *ret)
{
    marty_saga_filter all = {.name = "order", .limit = 10000};
    marty_error why;
    ret->completed = ret->compensated = ret->open = ret->stuck = 0;
    if (marty_saga_list(engine, &all, count_end, ret, &why) != MARTY_OK) {
        fprintf(stderr, "demo: %s\n", why.text);
        return false;
    }
    return true;
}

static bool wait_until_done(marty_saga_engine *engine, int orders, ends *ret)
{
    for (double end = world_seconds() + FINISH_SECONDS; world_seconds() < end;) {
        if (!count_all(engine, ret)) {
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

/* The definition is in the store once an orchestrator has registered it. What may pass is asked
 * again, under the same key. */
static marty_err place_surely(marty_saga_engine *engine, int number, marty_error *why)
{
    marty_err err = MARTY_OK;
    double end = world_seconds() + PLACE_SECONDS;
    do {
        err = place(engine, number, why);
        if (err != MARTY_E_NOT_FOUND && marty_err_describe(err)->error_class != MARTY_CLASS_RETRY) {
            break;
        }
        world_pause_ms(10);
    } while (world_seconds() < end);
    why->code = err;
    return err;
}

/* One orchestrator goes for good; the inventory comes back. */
static bool kill_some(world *w, marty_saga_engine *engine, int placed, int orders, ends *ret)
{
    bool orchestrator = placed == orders / 3, inventory = placed == orders / 2;
    if (!orchestrator && !inventory) {
        return true;
    }
    bool fine = count_all(engine, ret);
    ret->open_at_kill[inventory] = ret->open;
    return fine && (inventory ? world_kill(w, "inventory") && world_start(w, "inventory")
                              : world_kill(w, "orchestrator-1"));
}

static bool place_all(world *w, char *store, int orders, ends *ret)
{
    marty_bus *bus = NULL;
    marty_saga_engine *engine = NULL;
    marty_error why = {0};
    bool failed =
        marty_bus_open(&bus, w->url, &(marty_bus_options){.service = "orders", .timeout_ms = 10000},
                       &why) ||
        marty_saga_open(&engine, bus, store, &(marty_saga_options){.client = true}, &why) ||
        marty_bus_start(bus, &why);
    for (int i = 1; i <= orders && !failed; i++) {
        failed = place_surely(engine, i, &why) || !kill_some(w, engine, i, orders, ret);
    }
    if (why.code) {
        fprintf(stderr, "demo: %s\n", why.text);
    }
    failed = failed || !wait_until_done(engine, orders, ret);
    marty_saga_close(engine, 0, NULL);
    marty_bus_free(bus);
    return !failed;
}

static void print_end(const ends *ended, const tally *effects, int orders)
{
    printf(
        " killed with SIGKILL: an orchestrator while %d orders were open, the inventory while %d\n",
        ended->open_at_kill[0], ended->open_at_kill[1]);
    printf(" orders   %d   completed %d   compensated %d   stuck %d   open %d\n", orders,
           ended->completed, ended->compensated, ended->stuck, ended->open);
    tally_print(effects);
}

/* What a person can type as it is, also after the end of the demo: the store has everything. */
static void print_look(const world *w, const ends *ended, const char *store)
{
    bool needs_module = strncmp(store, "sqlite:", 7) != 0;
    printf(" the timeline of one that was undone:\n   %s%s saga show %s --store '%s'\n",
           needs_module ? w->modules : "", w->program, ended->undone, store);
}

static bool run(world *w, const options *o, char *store, ends *ret)
{
    printf(" order, inventory, payment, shipping and two orchestrators start as processes over %s\n"
           " %d order sagas: validate, reserve, charge (the pivot), ship; every 10th card is "
           "refused\n",
           w->shown, o->orders);
    fflush(stdout);
    return world_start(w, "order") && world_start(w, "inventory") && world_start(w, "payment") &&
           world_start(w, "shipping") && start_orchestrator(w, "orchestrator-1", store) &&
           start_orchestrator(w, "orchestrator-2", store) && place_all(w, store, o->orders, ret);
}

int main(int argc, char **argv)
{
    options o;
    world w;
    ends ended = {0};
    tally counted = {0};
    if (!parse(argc, argv, &o)) {
        fprintf(stderr, "usage: demo [--backend sqlite|nats] [--store URL] [--orders N] "
                        "[--folder FOLDER]\n");
        return 2;
    }
    double start = world_seconds();
    char store[WORLD_PATH + 32];
    if (o.store) {
        snprintf(store, sizeof store, "%s", o.store);
    } else {
        snprintf(store, sizeof store, "sqlite:%s/sagas.db", o.folder);
    }
    bool fine = world_open(&w, argv[0], o.folder, o.backend) && run(&w, &o, store, &ended);
    fine = world_stop(&w) && fine; /* SIGTERM: each drains and ends with 0 */
    fine = tally_take(&counted, o.folder, o.orders) && fine;
    print_end(&ended, &counted, o.orders);
    fine = fine && counted.exactly_once && ended.stuck == 0 && ended.open == 0 &&
           ended.compensated == o.orders / 10;
    if (*ended.undone) {
        print_look(&w, &ended, store);
    }
    printf(" %.1f s\n", world_seconds() - start);
    world_close(&w);
    return fine ? 0 : 1;
}
