/* SPDX-License-Identifier: Apache-2.0
 * The engine used wrongly: each public call refuses what it must with a text, and an engine that is
 * closed while effects hang, or from inside of them, comes to its end without hurting anyone. */
#include <marty/marty.h>
#include <marty/saga.h>

#include "check.h"

#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

static const char document[] = "saga: one\nsteps:\n"
                               "  - {name: work, local: work, kind: read_only}\n";
static const char outside[] = "saga: out\nsteps:\n"
                              "  - {name: work, local: work, outside: true, kind: read_only}\n";

static const char parent[] = "saga: parent\nsteps:\n"
                             "  - {name: work, saga: out}\n";

static atomic_bool running, gate;
static marty_saga_engine *engine;
static marty_bus *bus;

static marty_err hang(void *user, marty_operation *operation, void *transaction)
{
    (void)user;
    (void)operation;
    (void)transaction;
    atomic_store(&running, true);
    while (!atomic_load(&gate)) {
        check__pause();
    }
    return MARTY_OK;
}

static void open_both(void)
{
    marty_error why = {0};
    REQUIRE(marty_bus_open(&bus, "memory:", &(marty_bus_options){.service = "s"}, &why) == 0);
    REQUIRE(marty_saga_open(&engine, bus, "memory:", NULL, &why) == MARTY_OK);
    REQUIRE(marty_bus_start(bus, &why) == MARTY_OK);
    CHECK_INT(marty_saga_register(engine, NULL, document, &why), MARTY_OK);
    CHECK_INT(marty_saga_register(engine, NULL, outside, &why), MARTY_OK);
}

static bool says(const marty_error *why, marty_err err, marty_err want)
{
    return CHECK_INT(err, want) && CHECK(why->text[0]) && CHECK_INT(why->code, want);
}

static bool take_none(void *user, const marty_saga_facts *facts)
{
    (void)user;
    (void)facts;
    return true;
}

static void null_is_refused(void)
{
    char id[40];
    uint64_t count = 0;
    marty_error why = {0};
    marty_saga_status status;
    marty_message *report = NULL;
    const marty_err e = MARTY_E_ARGUMENT;
    open_both();
    says(&why, marty_saga_open(&engine, NULL, "memory:", NULL, &why), e);
    says(&why, marty_saga_register(NULL, NULL, document, &why), e);
    says(&why, marty_saga_register(engine, NULL, NULL, &why), e);
    says(&why, marty_saga_function(engine, "", NULL, NULL, &why), e);
    says(&why, marty_saga_start(NULL, "one", NULL, marty_text("{}"), NULL, id, &why), e);
    says(&why, marty_saga_start(engine, "one", NULL, (marty_bytes){NULL, 7}, NULL, id, &why), e);
    says(&why, marty_saga_start(engine, "one", NULL, marty_text("{}"), NULL, NULL, &why), e);
    says(&why, marty_saga_wait(engine, NULL, 0, &status, &why), e);
    says(&why, marty_saga_act(engine, "x", MARTY_SAGA_CANCEL, NULL, &why), e);
    says(&why, marty_saga_act(engine, "x", (marty_saga_verb)99, NULL, &why), e);
    says(&why,
         marty_saga_preview(engine, "x", MARTY_SAGA_CANCEL, &(marty_saga_order){.who = "kim"}, NULL,
                            &why),
         e);
    says(&why, marty_saga_show(NULL, "x", true, &report, &why), e);
    says(&why, marty_saga_list(engine, NULL, NULL, NULL, &why), e);
    says(&why, marty_saga_list(engine, &(marty_saga_filter){.limit = 10001}, take_none, NULL, &why),
         e);
    says(&why, marty_saga_purge(engine, 0, NULL, &why), e);
    says(&why, marty_saga_purge(NULL, 0, &count, &why), e);
    says(&why, marty_saga_report(engine, NULL, &why), e);
    says(&why, marty_saga_start(engine, "one", "a\xff", marty_text("{}"), NULL, id, &why), e);
    says(&why, marty_saga_start(engine, "one", "a\nb", marty_text("{}"), NULL, id, &why), e);
    says(&why,
         marty_saga_act(engine, "x", MARTY_SAGA_CANCEL,
                        &(marty_saga_order){.who = "kim", .note = "\x1b[31m"}, &why),
         e);
    CHECK_INT(marty_operation_reply(NULL, marty_text("{}")), e);
    CHECK_INT(marty_operation_refuse(NULL, "no"), e);
    CHECK_INT(marty_saga_close(NULL, 0, &why), MARTY_OK);
}

static void reserved_is_refused(void)
{
    char id[40];
    marty_error why = {0};
    marty_saga_engine *none = NULL;
    const marty_err e = MARTY_E_UNSUPPORTED;
    marty_saga_options options = {.reserved = {1}};
    marty_saga_start_options start = {.reserved = {0, 1}};
    marty_saga_order order = {.who = "kim", .reserved = {0, 1}};
    marty_participant_options part = {.reserved = {1}};
    says(&why, marty_saga_open(&none, bus, "memory:", &options, &why), e);
    says(&why, marty_saga_start(engine, "one", NULL, marty_text("{}"), &start, id, &why), e);
    says(&why, marty_saga_act(engine, "x", MARTY_SAGA_CANCEL, &order, &why), e);
    says(&why, marty_participate(bus, "c", "memory:", hang, NULL, &part, NULL, &why), e);
    says(&why,
         marty_saga_list(engine, &(marty_saga_filter){.reserved = {1}}, take_none, NULL, &why), e);
    options = (marty_saga_options){.horizon_ms = 1000, .redelivery_ms = 1000};
    says(&why, marty_saga_open(&none, bus, "memory:", &options, &why), MARTY_E_ARGUMENT);
    says(&why, marty_saga_open(&none, bus, "nowhere:", NULL, &why), MARTY_E_CONFIG);
}

static void no_wait_and_timeouts(void)
{
    char id[40];
    marty_error why = {0};
    marty_saga_status status = 0;
    CHECK_INT(marty_saga_start(engine, "one", NULL, marty_text("{}"), NULL, id, &why), MARTY_OK);
    int64_t before = check_now_ms(); /* its function is not there, so it waits */
    says(&why, marty_saga_wait(engine, id, MARTY_NO_WAIT, &status, &why), MARTY_E_TIMEOUT);
    says(&why, marty_saga_wait(engine, id, 50, &status, &why), MARTY_E_TIMEOUT);
    CHECK(check_now_ms() - before < 5000);
    says(&why, marty_saga_wait(engine, "nobody", 50, &status, &why), MARTY_E_NOT_FOUND);
}

static void a_child_of_fork_is_told(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        char id[40];
        marty_error why = {0};
        marty_err err = marty_saga_start(engine, "one", NULL, marty_text("{}"), NULL, id, &why);
        _exit(err == MARTY_E_FORKED && marty_saga_close(engine, 0, &why) == MARTY_E_FORKED ? 0 : 1);
    }
    int state = 1;
    CHECK(pid > 0 && waitpid(pid, &state, 0) == pid);
    CHECK_INT(state, 0);
}

static void close_both(marty_err want)
{
    CHECK_INT(marty_saga_close(engine, 0, NULL), want);
    marty_bus_free(bus);
    engine = NULL;
    bus = NULL;
}

/* ---- effects that hang */
/* Ours have names; one that was joined may be seen for a moment longer. */
static int threads(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
        char path[300], name[32] = "";
        (void)snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = fopen(path, "r");
        if (file) {
            count += fgets(name, sizeof name, file) && strncmp(name, "marty-", 6) == 0;
            (void)fclose(file);
        }
    }
    if (tasks) {
        closedir(tasks);
    }
    return count;
}

static void closed_while_one_hangs(const char *saga)
{
    char id[40];
    marty_error why = {0};
    atomic_store(&running, false);
    atomic_store(&gate, false);
    open_both();
    CHECK_INT(marty_saga_function(engine, "work", hang, NULL, &why), MARTY_OK);
    CHECK_INT(marty_saga_start(engine, saga, NULL, marty_text("{}"), NULL, id, &why), MARTY_OK);
    CHECK_SOON(atomic_load(&running), 10000);
    int64_t before = check_now_ms();
    says(&why, marty_saga_close(engine, 100, &why), MARTY_E_TIMEOUT);
    CHECK(check_now_ms() - before < 5000);
    marty_bus_free(bus); /* the engine holds what it still needs of it */
    atomic_store(&gate, true);
    CHECK_SOON(threads() == 0, 10000); /* all has ended, and the sanitizers find nothing left */
}

static marty_err inside_err, close_err;

static marty_err use_the_engine(void *user, marty_operation *operation, void *transaction)
{
    char id[40];
    marty_error why = {0};
    marty_saga_status status;
    (void)user;
    (void)transaction;
    while (!atomic_load(&gate)) { /* nobody else may be in a call with what is closed */
        check__pause();
    }
    inside_err = marty_saga_start(engine, "one", NULL, marty_text("{}"), NULL, id, &why);
    inside_err = inside_err == MARTY_E_STATE
                     ? marty_saga_wait(engine, operation->saga, 0, &status, &why)
                     : MARTY_E_INTERNAL;
    close_err = marty_saga_close(engine, 0, &why);
    atomic_store(&running, true);
    return MARTY_OK;
}

static void closed_from_an_effect(void)
{
    char id[40];
    marty_error why = {0};
    atomic_store(&running, false);
    atomic_store(&gate, false);
    open_both();
    CHECK_INT(marty_saga_function(engine, "work", use_the_engine, NULL, &why), MARTY_OK);
    CHECK_INT(marty_saga_start(engine, "one", NULL, marty_text("{}"), NULL, id, &why), MARTY_OK);
    atomic_store(&gate, true);
    CHECK_SOON(atomic_load(&running), 10000);
    CHECK_INT(inside_err, MARTY_E_STATE);
    CHECK_INT(close_err, MARTY_E_STATE);
    marty_bus_free(bus);
    CHECK_SOON(threads() == 0, 10000);
}

static marty_err close_it(void *user, marty_delivery *delivery)
{
    (void)user;
    (void)delivery;
    close_err = marty_saga_close(engine, 0, NULL);
    atomic_store(&running, true);
    return MARTY_OK;
}

static void closed_from_a_handler(void)
{
    marty_error why = {0};
    atomic_store(&running, false);
    open_both();
    CHECK_INT(marty_subscribe_to_events(bus, "stop", close_it, NULL, NULL, NULL, &why), MARTY_OK);
    CHECK_INT(marty_publish_event(bus, "stop", marty_text("{}"), NULL, &why), MARTY_OK);
    CHECK_SOON(atomic_load(&running), 10000);
    CHECK_INT(close_err, MARTY_E_STATE);
    marty_bus_free(bus);
    CHECK_SOON(threads() == 0, 10000);
}

/* The first transition has sent the start of a child, which waits for the next turn. */
static void close_on_change(void *user, const marty_saga_change *change)
{
    (void)user;
    if (change->facts->version == 1 && !atomic_load(&running)) {
        close_err = marty_saga_close(engine, 0, NULL);
        atomic_store(&running, true);
    }
}

static void closed_from_a_change(void)
{
    char id[40];
    marty_error why = {0};
    marty_saga_options options = {.on_change = close_on_change};
    atomic_store(&running, false);
    REQUIRE(marty_bus_open(&bus, "memory:", &(marty_bus_options){.service = "s"}, &why) == 0);
    REQUIRE(marty_saga_open(&engine, bus, "memory:", &options, &why) == MARTY_OK);
    REQUIRE(marty_bus_start(bus, &why) == MARTY_OK);
    CHECK_INT(marty_saga_register(engine, NULL, outside, &why), MARTY_OK);
    CHECK_INT(marty_saga_register(engine, NULL, parent, &why), MARTY_OK);
    CHECK_INT(marty_saga_start(engine, "parent", NULL, marty_text("{}"), NULL, id, &why), MARTY_OK);
    CHECK_SOON(atomic_load(&running), 10000);
    CHECK_INT(close_err, MARTY_E_STATE);
    marty_bus_free(bus);
    CHECK_SOON(threads() == 0, 10000);
}

/* What a service author writes first: for each that is found, do something to it. */
static bool pause_it(void *user, const marty_saga_facts *facts)
{
    int *count = user;
    marty_saga_order order = {.who = "kim"};
    marty_message *report = NULL;
    CHECK_INT(marty_saga_show(engine, facts->id, false, &report, NULL), MARTY_OK);
    marty_message_unref(report);
    CHECK_INT(marty_saga_act(engine, facts->id, MARTY_SAGA_PAUSE, &order, NULL), MARTY_OK);
    return ++*count < 3;
}

static void used_while_listing(void)
{
    char id[40];
    int count = 0;
    marty_error why = {0};
    open_both();
    for (int i = 0; i < 5; i++) {
        CHECK_INT(marty_saga_start(engine, "one", NULL, marty_text("{}"), NULL, id, &why),
                  MARTY_OK);
    }
    CHECK_INT(marty_saga_list(engine, NULL, pause_it, &count, &why), MARTY_OK);
    CHECK_INT(count, 3);
    close_both(MARTY_OK);
}

static void bus_freed_before_the_engine(void)
{
    char id[40];
    marty_error why = {0};
    open_both();
    CHECK_INT(marty_saga_start(engine, "one", NULL, marty_text("{}"), NULL, id, &why), MARTY_OK);
    marty_bus_free(bus);
    bus = NULL;
    CHECK_INT(marty_saga_start(engine, "one", NULL, marty_text("{}"), NULL, id, &why), MARTY_OK);
    marty_err err = marty_saga_close(engine, 0, &why);
    CHECK(err == MARTY_OK || err == MARTY_E_TIMEOUT);
    engine = NULL;
    CHECK_SOON(threads() == 0, 10000);
}

int main(void)
{
    null_is_refused();
    reserved_is_refused();
    no_wait_and_timeouts();
    a_child_of_fork_is_told();
    CHECK(threads() > 0);
    close_both(MARTY_OK);
    closed_while_one_hangs("one");
    closed_while_one_hangs("out");
    closed_from_an_effect();
    closed_from_a_handler();
    closed_from_a_change();
    used_while_listing();
    bus_freed_before_the_engine();
    return check_result();
}
