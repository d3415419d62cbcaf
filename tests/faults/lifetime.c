/* SPDX-License-Identifier: Apache-2.0
 * What programs in C do wrong with a bus: after close, twice, from a handler, over a fork, while
 * another thread waits. On memory: these are the bus's own. */
#include "faults.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALL_MS = 50000 }; /* that a call under which the bus is closed would wait */

typedef struct scene {
    fault_run *r;
    marty_bus *bus;
    marty_subscription *pull;
    atomic_int seen;
    atomic_bool done, waiting;
    marty_err err;
    marty_error why;
} scene;

static void open_memory(fault_run *r)
{
    (void)snprintf(r->url, sizeof r->url, "memory:");
    fault_open_well(r);
}

static bool is_done(void *user)
{
    return atomic_load(&((scene *)user)->done);
}

void fault_use_after_close(fault_run *r)
{
    open_memory(r);
    REQUIRE(marty_bus_close(r->bus, 0, &r->why) == MARTY_OK);
    fault_publish(r, "order.created", marty_text("1"), NULL);
    marty_error why = {0};
    marty_message *reply = NULL;
    MUST_INT(marty_query(r->bus, "user", "profile", marty_text("1"), NULL, &reply, &why),
             MARTY_E_CLOSED);
    MUST_INT(marty_bus_start(r->bus, &why), MARTY_E_CLOSED);
}

void fault_double_close(fault_run *r)
{
    open_memory(r);
    MUST_INT(marty_bus_close(r->bus, 0, &r->why), MARTY_OK);
    r->err = marty_bus_close(r->bus, 0, &r->why);
}

/* A scene in which one command is handled. */
static void play(fault_run *r, scene *s, marty_handler handler)
{
    open_memory(r);
    s->r = r;
    s->bus = r->bus;
    REQUIRE(!marty_handle_commands(r->bus, "charge", handler, s, NULL, NULL, &r->why));
    REQUIRE(!marty_bus_start(r->bus, &r->why));
    REQUIRE(!marty_send_command(r->bus, "billing", "charge", marty_text("1"), NULL, &r->why));
    REQUIRE(test_wait_for(is_done, s, 10000));
    r->err = s->err;
    r->why = s->why;
}

static marty_err publish_more(void *user, marty_delivery *delivery)
{
    scene *s = user;
    bool again = atomic_fetch_add(&s->seen, 1) < 100;
    s->err = again ? marty_send_command(delivery->bus, "billing", "charge", marty_text("2"), NULL,
                                        &s->why)
                   : s->err;
    if (s->err || !again) {
        atomic_store(&s->done, true);
    }
    return MARTY_OK;
}

/* With one worker, which waits for its own publish a hundred times. */
void fault_publish_in_handler(fault_run *r)
{
    static scene s;
    play(r, &s, publish_more);
}

static marty_err close_here(void *user, marty_delivery *delivery)
{
    scene *s = user;
    s->err = marty_bus_close(delivery->bus, 0, &s->why);
    atomic_store(&s->done, true);
    return MARTY_OK;
}

void fault_close_in_handler(fault_run *r)
{
    static scene s;
    marty_error why = {0};
    play(r, &s, close_here);
    MUST_INT(marty_bus_close(r->bus, 0, &why), MARTY_OK);
}

/* Kept, released, and never settled: the second time it is settled. */
static marty_err throw_away(void *user, marty_delivery *delivery)
{
    scene *s = user;
    if (atomic_fetch_add(&s->seen, 1) == 0) {
        marty_delivery_release(marty_delivery_keep(delivery));
        return MARTY_OK;
    }
    MUST_INT(delivery->attempt, 2);
    s->err = MARTY_OK;
    atomic_store(&s->done, true);
    return MARTY_OK;
}

void fault_thrown_away(fault_run *r)
{
    static scene s;
    play(r, &s, throw_away);
    MUST_INT(atomic_load(&s.seen), 2);
}

void fault_fork(fault_run *r)
{
    int ends[2];
    open_memory(r);
    REQUIRE(pipe(ends) == 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        (void)alarm(20);
        fault_publish(r, "order.created", marty_text("1"), NULL);
        bool told = r->err == MARTY_E_FORKED && marty_bus_close(r->bus, 0, NULL) == MARTY_E_FORKED;
        marty_bus_free(r->bus);
        told = write(ends[1], &r->why, sizeof r->why) == (ssize_t)sizeof r->why && told;
        _exit(told ? 0 : 1);
    }
    int status = 0;
    REQUIRE(read(ends[0], &r->why, sizeof r->why) == (ssize_t)sizeof r->why);
    REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    marty_error why = {0};
    MUST_INT(marty_publish_event(r->bus, "order.created", marty_text("1"), NULL, &why), MARTY_OK);
    r->err = r->why.code;
}

static marty_err hold(void *user, marty_delivery *delivery)
{
    scene *s = user;
    (void)marty_delivery_keep(delivery); /* never answered */
    atomic_store(&s->waiting, true);
    return MARTY_OK;
}

static void *ask(void *user)
{
    scene *s = user;
    marty_message *reply = NULL;
    s->err = marty_query(s->bus, "billing", "total", marty_text("1"),
                         &(marty_query_options){.timeout_ms = CALL_MS}, &reply, &s->why);
    return NULL;
}

static bool is_waiting(void *user)
{
    return atomic_load(&((scene *)user)->waiting);
}

/* The thread waits in its call; then the bus is closed under it, and its call comes back. */
static void close_under(fault_run *r, scene *s, void *(*call)(void *), bool (*waits)(void *))
{
    pthread_t thread;
    s->bus = r->bus;
    REQUIRE(pthread_create(&thread, NULL, call, s) == 0);
    REQUIRE(test_wait_for(waits, s, 10000));
    int64_t before = test_now_ms();
    marty_error why = {0};
    (void)marty_bus_close(r->bus, 500, &why);
    REQUIRE(pthread_join(thread, NULL) == 0);
    REQUIRE(test_now_ms() - before < CALL_MS / 4);
    r->err = s->err;
    r->why = s->why;
}

void fault_shutdown_in_query(fault_run *r)
{
    static scene s;
    open_memory(r);
    REQUIRE(!marty_handle_queries(r->bus, "total", hold, &s, NULL, NULL, &r->why));
    REQUIRE(!marty_bus_start(r->bus, &r->why));
    close_under(r, &s, ask, is_waiting);
}

static void *receive(void *user)
{
    scene *s = user;
    marty_delivery *got = NULL;
    atomic_store(&s->waiting, true);
    s->err = marty_receive(s->pull, CALL_MS, &got, &s->why);
    return NULL;
}

void fault_shutdown_in_receive(fault_run *r)
{
    static scene s;
    open_memory(r);
    REQUIRE(!marty_subscribe_to_events(r->bus, "order.*", NULL, NULL, NULL, &s.pull, &r->why));
    REQUIRE(!marty_bus_start(r->bus, &r->why));
    close_under(r, &s, receive, is_waiting);
}

static void *publish(void *user)
{
    scene *s = user;
    s->err = marty_publish_event(s->bus, "order.created", marty_text("1"),
                                 &(marty_publish_options){.timeout_ms = CALL_MS}, &s->why);
    return NULL;
}

/* Whether a call of this bus is under way. */
static bool is_in_call(void *user)
{
    scene *s = user;
    marty_message *report = NULL;
    marty_error why = {0};
    REQUIRE(!marty_bus_report(s->bus, MARTY_REPORT_METRICS, &report, &why));
    bool is = strstr(report->data.data, "\"open_calls\":1,") != NULL;
    marty_message_unref(report);
    return is;
}

/* A broker that is frozen answers no publish. */
void fault_shutdown_in_publish(fault_run *r)
{
    static scene s;
    fault_server(r, NULL, "");
    fault_open_well(r);
    fault_publish(r, "order.created", marty_text("1"), NULL); /* its stream is there */
    MUST_INT(r->err, MARTY_OK);
    test_server_freeze(&r->server);
    close_under(r, &s, publish, is_in_call);
    test_server_thaw(&r->server);
}
