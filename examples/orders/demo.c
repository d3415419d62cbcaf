/* SPDX-License-Identifier: Apache-2.0
 * Runs the four services as processes, places orders, kills the inventory twice meanwhile, and then
 * counts in the services' own databases that each effect happened exactly once per order.
 *   demo [--backend sqlite|nats] [--orders N] [--folder FOLDER]
 * Exit code: 0 all exactly once, 1 not so (or something failed), 2 usage. */
#include "tally.h"
#include "world.h"

#include <marty/marty.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORDERS = 200, FINISH_SECONDS = 60 };

typedef struct options {
    const char *backend, *folder;
    int orders;
} options;

static bool parse(int argc, char **argv, options *ret)
{
    *ret = (options){"sqlite", "demo", ORDERS};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--backend") == 0) {
            ret->backend = argv[i + 1];
        } else if (strcmp(argv[i], "--folder") == 0) {
            ret->folder = argv[i + 1];
        } else if (strcmp(argv[i], "--orders") == 0) {
            ret->orders = (int)strtol(argv[i + 1], NULL, 10);
        } else {
            return false;
        }
    }
    bool known = strcmp(ret->backend, "sqlite") == 0 || strcmp(ret->backend, "nats") == 0;
    return argc % 2 == 1 && known && ret->orders > 0 && ret->orders < 1000000;
}

/* Every 10th card ends in 0, and is refused. */
static marty_err place(marty_bus *bus, int number, marty_error *why)
{
    static const char *const items[] = {"book", "lamp", "mug"};
    char id[32], data[160];
    snprintf(id, sizeof id, "order-%06d", number);
    snprintf(data, sizeof data,
             "{\"order\": \"%s\", \"item\": \"%s\", \"quantity\": 1, \"card\": \"4000-%04d\"}", id,
             items[number % 3], number);
    /* An id of our own: placing it again after MARTY_E_MAYBE_STORED is placing it once. */
    marty_message order = {.id = id, .subject = id};
    marty_publish_options how = {.with = &order};
    marty_err err;
    do {
        err = marty_send_command(bus, "order", "place", marty_text(data), &how, why);
    } while (err == MARTY_E_MAYBE_STORED);
    return err;
}

/* Asks the order service until all orders are done, or the time is over. */
static void wait_until_done(marty_bus *bus, int orders)
{
    int done = 0;
    for (double end = world_seconds() + FINISH_SECONDS; world_seconds() < end && done < orders;) {
        marty_message *reply = NULL;
        marty_error why;
        if (marty_query(bus, "order", "progress", marty_text("{}"), NULL, &reply, &why) ==
            MARTY_OK) {
            done = (int)strtol(strpbrk((const char *)reply->data.data, "0123456789"), NULL, 10);
            marty_message_unref(reply);
        }
        world_progress(done, orders);
        world_pause_ms(20);
    }
}

static bool place_all(world *w, int orders, marty_error *why)
{
    marty_bus *bus = NULL;
    bool failed = marty_bus_open(&bus, w->url,
                                 &(marty_bus_options){.service = "shop", .timeout_ms = 10000}, why);
    for (int i = 1; i <= orders && !failed; i++) {
        failed = place(bus, i, why) != MARTY_OK;
        if (i == orders / 3 || i == orders * 2 / 3) {
            failed = failed || !world_kill(w, "inventory") || !world_start(w, "inventory");
        }
    }
    if (!failed) {
        wait_until_done(bus, orders);
    }
    marty_bus_free(bus);
    return !failed;
}

int main(int argc, char **argv)
{
    options o;
    world w;
    tally counted;
    marty_error why = {0};
    if (!parse(argc, argv, &o)) {
        fprintf(stderr, "usage: demo [--backend sqlite|nats] [--orders N] [--folder FOLDER]\n");
        return 2;
    }
    double start = world_seconds();
    bool fine = world_open(&w, argv[0], o.folder, o.backend);
    if (fine) {
        printf(" order, inventory, payment and shipping start as four processes over %s\n",
               w.shown);
        printf(" placing %d orders; every 10th card is refused; inventory is killed with SIGKILL "
               "twice\n",
               o.orders);
        fflush(stdout);
        fine = world_start(&w, "order") && world_start(&w, "inventory") &&
               world_start(&w, "payment") && world_start(&w, "shipping") &&
               place_all(&w, o.orders, &why);
    }
    if (why.code) {
        fprintf(stderr, "demo: %s\n", why.text);
    }
    fine = world_stop(&w) && fine; /* SIGTERM: each drains and ends with 0 */
    fine = fine && tally_take(&counted, o.folder, o.orders);
    if (fine) {
        tally_print(&counted, o.orders);
        fine = counted.exactly_once;
        printf(" %.1f s · to look inside: %s\n", world_seconds() - start, w.look);
    }
    world_close(&w);
    return fine ? 0 : 1;
}
