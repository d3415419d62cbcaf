/* SPDX-License-Identifier: Apache-2.0
 * An orchestrator: the saga of an order as data, and an engine that runs it. Start as many as you
 * like on one store: when one dies, the others go on with its sagas.
 *   orchestrator BUS-URL STORE-URL [LEASE-MS] */
#include <marty/marty.h>
#include <marty/saga.h>

#include <stdio.h>
#include <stdlib.h>

static const marty_step steps[] = {
    {.name = "validate", .service = "order", .command = "validate", .compensate = "cancel"},
    {.name = "reserve",
     .service = "inventory",
     .command = "reserve",
     .compensate = "release",
     .clocks = {.attempt_ms = 2000}},
    {.name = "charge", /* once it is done, the saga only goes forward */
     .service = "payment",
     .command = "charge",
     .kind = MARTY_STEP_PIVOT,
     .in_doubt = MARTY_IN_DOUBT_PROBE,
     .clocks = {.attempt_ms = 2000}},
    {.name = "ship", .service = "shipping", .command = "ship", .kind = MARTY_STEP_RETRIABLE}};
static const marty_saga order = {
    .name = "order", .version = 1, .steps = steps, .step_count = sizeof steps / sizeof steps[0]};

int main(int argc, char **argv)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_saga_engine *engine = NULL;
    if (argc < 3) {
        fprintf(stderr, "usage: orchestrator BUS-URL STORE-URL [LEASE-MS]\n");
        return 2;
    }
    marty_saga_options options = {.lease_ms =
                                      argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 2000};
    bool failed =
        marty_bus_open(&bus, argv[1],
                       &(marty_bus_options){.service = "orders", .timeout_ms = 10000}, &why) ||
        marty_saga_open(&engine, bus, argv[2], &options, &why) ||
        marty_saga_register(engine, &order, NULL, &why) || marty_bus_run(bus, &why);
    if (failed) {
        fprintf(stderr, "orchestrator: %s\n", why.text);
    }
    marty_saga_close(engine, 0, NULL);
    marty_bus_free(bus);
    return failed;
}
