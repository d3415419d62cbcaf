/* SPDX-License-Identifier: Apache-2.0
 * Our side of the saga jobs: an engine, four services that take part, and a driver that keeps so
 * many sagas in flight with a thread for each, as a service with blocking handlers does. */
#include "saga.h"

#include "ours.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STACK = 256 * 1024, WAIT_MS = 120000, BATCH = 64, THREADS_MAX = 128, EACH_MAX = 8 };

static const marty_step order_steps[] = {
    {.name = "validate", .service = "order", .command = "validate", .compensate = "cancel"},
    {.name = "reserve", .service = "inventory", .command = "reserve", .compensate = "release"},
    {.name = "charge",
     .service = "payment",
     .command = "charge",
     .kind = MARTY_STEP_PIVOT,
     .in_doubt = MARTY_IN_DOUBT_PROBE},
    {.name = "ship", .service = "shipping", .command = "ship", .kind = MARTY_STEP_RETRIABLE}};
/* The same, but it is never called again while we measure. */
static const marty_step open_steps[] = {
    {.name = "validate",
     .service = "order",
     .command = "validate",
     .compensate = "cancel",
     .clocks = {.attempt_ms = 86400000}},
    {.name = "reserve", .service = "inventory", .command = "reserve", .compensate = "release"},
    {.name = "charge",
     .service = "payment",
     .command = "charge",
     .kind = MARTY_STEP_PIVOT,
     .in_doubt = MARTY_IN_DOUBT_PROBE},
    {.name = "ship", .service = "shipping", .command = "ship", .kind = MARTY_STEP_RETRIABLE}};
static const marty_step wait_steps[] = {{.name = "go", .signal = "go"}};
static const marty_step nap_steps[] = {{.name = "nap", .timer_ms = 5}};
static const marty_saga sagas[] = {
    {.name = "order", .version = 1, .steps = order_steps, .step_count = SAGA_STEPS},
    {.name = "open", .version = 1, .steps = open_steps, .step_count = SAGA_STEPS},
    {.name = "wait", .version = 1, .steps = wait_steps, .step_count = 1},
    {.name = "nap", .version = 1, .steps = nap_steps, .step_count = 1}};

/* ---- those who take part */
static const struct {
    const char *service, *command;
} parts[] = {{"order", "validate"},    {"order", "cancel"},   {"inventory", "reserve"},
             {"inventory", "release"}, {"payment", "charge"}, {"shipping", "ship"}};

static void on_answered(void *user, const marty_outcome *outcomes, size_t count)
{
    (void)user; /* the command is settled by it */
    (void)outcomes;
    (void)count;
}

static marty_err answer(saga_world *world, marty_delivery *command)
{
    static const char *const copied[] = {"sagaid", "sagaop", "sagaattempt"};
    marty_header headers[4] = {
        {.name = "sagareply", .value = marty_text("ok"), .kind = MARTY_ATTRIBUTE}};
    for (size_t i = 0; i < 3; i++) {
        headers[i + 1] = (marty_header){.name = copied[i],
                                        .value = marty_message_header(command->message, copied[i]),
                                        .kind = MARTY_ATTRIBUTE};
    }
    char to[128];
    marty_bytes reply_to = marty_message_header(command->message, "sagareplyto");
    (void)snprintf(to, sizeof to, "%.*s", (int)reply_to.size, (const char *)reply_to.data);
    marty_message with = {.headers = headers, .header_count = 4};
    marty_publish_options options = {.with = &with,
                                     .settles = command,
                                     .once = "ok",
                                     .done = on_answered,
                                     .at_once = true,
                                     .wait_for_room = true};
    return marty_send_command(world->bus, to, "saga.reply", marty_text("{\"done\":true}"), &options,
                              NULL);
}

static marty_err on_commands(void *user, marty_delivery *first)
{
    saga_world *world = user;
    for (marty_delivery *each = first, *next = NULL; each; each = next) {
        next = each->next; /* one that is settled leaves the batch */
        atomic_fetch_add(&world->asked, 1);
        marty_err err = world->who == SAGA_SILENT ? MARTY_OK : answer(world, each);
        if (err) {
            return err;
        }
    }
    return MARTY_OK;
}

static marty_err do_nothing(void *user, marty_operation *operation, void *transaction)
{
    (void)user;
    (void)transaction;
    return marty_operation_reply(operation, marty_text("{\"done\":true}"));
}

static void take_part(saga_world *world)
{
    marty_error why = {0};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char url[500];
        marty_subscribe_options options = {
            .service = parts[i].service, .batch_max = BATCH, .credit = 2048};
        marty_participant_options durable = {.service = parts[i].service};
        saga_path(url, sizeof url, parts[i].service);
        memmove(url + 7, url, strlen(url) + 1);
        memcpy(url, "sqlite:", 7);
        marty_err err = world->who == SAGA_DURABLE
                            ? marty_participate(world->bus, parts[i].command, url, do_nothing, NULL,
                                                &durable, NULL, &why)
                            : marty_handle_commands(world->bus, parts[i].command, on_commands,
                                                    world, &options, NULL, &why);
        ours_check(world->side, err, &why, parts[i].command);
    }
}

/* ---- the engine */
void saga_path(char *path, size_t size, const char *name)
{
    (void)snprintf(path, size, "%s/%s-%d.db", bench_folder(), name, (int)getpid());
}

void saga_open(saga_world *world, bench_side *side, const char *bus_url, const char *store_url,
               saga_who who)
{
    marty_error why = {0};
    bench_job bus = {.url = bus_url};
    memset(world, 0, sizeof *world);
    world->side = side;
    world->who = who;
    world->bus = ours_open(&bus, side, "orders");
    ours_check(side, marty_saga_open(&world->engine, world->bus, store_url, NULL, &why), &why,
               "open the store");
    for (size_t i = 0; i < sizeof sagas / sizeof *sagas; i++) {
        ours_check(side, marty_saga_register(world->engine, &sagas[i], NULL, &why), &why,
                   sagas[i].name);
    }
    if (who != SAGA_NOBODY) {
        take_part(world);
    }
    ours_check(side, marty_bus_start(world->bus, &why), &why, "start");
}

void saga_close(saga_world *world)
{
    marty_error why = {0};
    ours_check(world->side, marty_saga_close(world->engine, 0, &why), &why, "close the engine");
    marty_bus_free(world->bus);
}

static double number_of(saga_world *world, const marty_message *report, const char *name)
{
    const char *at = strstr(report->data.data, name);
    if (!at) {
        bench_fail(world->side, "the report has no %s", name);
    }
    return at ? strtod(at + strlen(name), NULL) : 0;
}

void saga_numbers(saga_world *world, double *ret_transitions, double *ret_commits)
{
    marty_error why = {0};
    marty_message *report = NULL;
    ours_check(world->side, marty_saga_report(world->engine, &report, &why), &why, "report");
    *ret_transitions = number_of(world, report, "\"transitions\":");
    *ret_commits = number_of(world, report, "\"commits\":");
    marty_message_unref(report);
}

void saga_make_tables(bench_side *side, const char *store_url)
{
    saga_world world;
    saga_open(&world, side, "memory:", store_url, SAGA_NOBODY);
    saga_close(&world);
}

/* ---- the driver */
typedef struct driver {
    saga_world *world;
    const char *definition;
    long count;
    unsigned each; /* in flight, of a thread */
    bool wait;
    int64_t *ns;
    atomic_long next;
} driver;

typedef struct order { /* one that is in flight */
    long n;
    int64_t began_ns;
    char id[40];
} order;

static void start_one(driver *self, order *one, long n)
{
    char key[40], input[160];
    marty_error why = {0};
    marty_saga_start_options options = {.timeout_ms = WAIT_MS};
    *one = (order){.n = n, .began_ns = bench_now_ns()};
    (void)snprintf(key, sizeof key, "order-%d-%08ld", (int)getpid(), n);
    (void)snprintf(input, sizeof input,
                   "{\"order\":%ld,\"customer\":\"c-%06ld\",\"card\":\"4000-%04ld\",\"cents\":%ld}",
                   n, n % 100000, n % 10000, 100 + n % 9900);
    ours_check(self->world->side,
               marty_saga_start(self->world->engine, self->definition, key, marty_text(input),
                                &options, one->id, &why),
               &why, "start a saga");
}

static void end_one(driver *self, const order *one)
{
    marty_error why = {0};
    marty_saga_status status = 0;
    if (self->wait) {
        ours_check(self->world->side,
                   marty_saga_wait(self->world->engine, one->id, WAIT_MS, &status, &why), &why,
                   "wait");
        if (status != MARTY_SAGA_COMPLETED) {
            bench_fail(self->world->side, "saga %s has status %d", one->id, (int)status);
        }
    }
    if (self->ns) {
        self->ns[one->n] = bench_now_ns() - one->began_ns;
    }
}

/* Its part of those in flight; the oldest is waited for first. */
static void *drive(void *user)
{
    driver *self = user;
    order orders[EACH_MAX] = {0};
    unsigned long started = 0, ended = 0;
    for (long n; (n = atomic_fetch_add(&self->next, 1)) < self->count;) {
        if (started - ended == self->each) {
            end_one(self, &orders[ended++ % EACH_MAX]);
        }
        start_one(self, &orders[started++ % EACH_MAX], n);
    }
    while (ended < started) {
        end_one(self, &orders[ended++ % EACH_MAX]);
    }
    return NULL;
}

void saga_run(saga_world *world, const char *definition, long count, int in_flight, bool wait,
              int64_t *ns)
{
    static pthread_t threads[THREADS_MAX];
    int thread_count = in_flight < THREADS_MAX ? in_flight : THREADS_MAX;
    driver self = {.world = world,
                   .definition = definition,
                   .count = count,
                   .each = (unsigned)(in_flight / thread_count),
                   .wait = wait,
                   .ns = ns};
    pthread_attr_t small;
    (void)pthread_attr_init(&small);
    (void)pthread_attr_setstacksize(&small, STACK);
    for (int i = 0; i < thread_count; i++) {
        if (pthread_create(&threads[i], &small, drive, &self) != 0) {
            bench_fail(world->side, "no thread");
        }
    }
    for (int i = 0; i < thread_count; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    (void)pthread_attr_destroy(&small);
}
