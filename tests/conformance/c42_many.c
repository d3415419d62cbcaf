/* SPDX-License-Identifier: Apache-2.0
 * C42 (10,000 subscriptions, unsubscribing under load and from the handler), C44 (fork, signals,
 * threads that end). */
#include "contracts.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void c42_ten_thousand(void)
{
    enum { COUNT = 10000 };
    marty_error why = {0};
    static marty_subscription *all[COUNT];
    recorder *heard_ = recorder_new(NULL, NULL);
    marty_bus *bus = suite_open("billing", NULL);
    int64_t began = test_now_ms();
    for (int i = 0; i < COUNT; i++) {
        char type[32];
        snprintf(type, sizeof type, "order.t%d", i);
        EXPECT_OK(
            marty_subscribe_to_events(bus, type, recorder_handle, heard_, NULL, &all[i], &why),
            &why, "subscription %d", i);
    }
    suite_start(bus);
    int64_t took = test_now_ms() - began;
    for (int i = 0; i < 200; i++) {
        char type[32];
        snprintf(type, sizeof type, "order.t%d", i * 50 + 7);
        suite_publish(bus, MARTY_EVENT, NULL, type, suite_id("m", i), NULL, type);
    }
    recorder_expect(heard_, "m", 0, 200, 1);
    for (size_t i = 0; i < 200; i++) {
        heard what = recorder_at(heard_, i);
        EXPECT(strcmp(what.type, what.body) == 0, "%s came as %s", what.body, what.type);
    }
    int64_t middle = test_now_ms();
    for (int i = 0; i < COUNT; i += 2) {
        EXPECT_OK(marty_unsubscribe(all[i], 5000, &why), &why, "unsubscribing %d", i);
    }
    suite_note("10,000 in %lld ms, 5,000 unsubscribed in %lld ms", (long long)took,
               (long long)(test_now_ms() - middle));
    suite_publish(bus, MARTY_EVENT, NULL, "order.t9999", "still", NULL, "order.t9999");
    EXPECT(recorder_wait(heard_, 201, 10000), "one that is left got nothing");
}

void c42_leave(void)
{
    /* One of two members unsubscribes under load: the other gets all the rest, nothing is lost. */
    marty_error why = {0};
    marty_bus *sender = suite_open("shop", NULL);
    marty_bus *buses[2] = {suite_open("billing", NULL), suite_open("billing", NULL)};
    recorder *each[2] = {recorder_new(NULL, NULL), recorder_new(NULL, NULL)};
    marty_subscription *subscriptions[2];
    for (int i = 0; i < 2; i++) {
        subscriptions[i] = suite_subscribe(buses[i], MARTY_EVENT, "order.*", each[i],
                                           &(marty_subscribe_options){.credit = 8});
        suite_start(buses[i]);
    }
    suite_publish_many(sender, MARTY_EVENT, NULL, "order.created", "m", 0, 200, 0);
    EXPECT_OK(marty_unsubscribe(subscriptions[0], 10000, &why), &why, "unsubscribing");
    size_t at_leave = recorder_total(each[0]);
    suite_publish_many(sender, MARTY_EVENT, NULL, "order.created", "m", 200, 200, 0);
    int64_t end = test_now_ms() + test_patience(15000);
    while (recorder_total(each[0]) + recorder_total(each[1]) < 400 && test_now_ms() < end) {
        recorder_wait_total(each[1], recorder_total(each[1]) + 1, 20);
    }
    size_t missing = 0;
    for (int i = 0; i < 400; i++) {
        const char *id = suite_id("m", i);
        missing += recorder_times(each[0], id) + recorder_times(each[1], id) == 0;
    }
    EXPECT(missing == 0, "one member left, and %zu of 400 messages were lost", missing);
    EXPECT(recorder_total(each[0]) == at_leave, "after it had unsubscribed %zu more came",
           recorder_total(each[0]) - at_leave);
    suite_note("%zu before it left", at_leave);
}

typedef struct self_leaver {
    marty_subscription *subscription;
    atomic_int calls;
    marty_err err;
} self_leaver;

static bool has_handle(void *user)
{
    self_leaver *self = user;
    return __atomic_load_n(&self->subscription, __ATOMIC_ACQUIRE) != NULL;
}

static marty_err leave_at_third(void *user, marty_delivery *delivery)
{
    (void)delivery;
    self_leaver *self = user;
    marty_error why = {0};
    int call = atomic_fetch_add(&self->calls, 1) + 1;
    EXPECT(call <= 3, "a handler that unsubscribed itself was called again");
    if (call == 3) {
        EXPECT(test_wait_for(has_handle, self, 5000), "no handle");
        self->err = marty_unsubscribe(self->subscription, 1000, &why);
    }
    return MARTY_OK;
}

static bool called_three_times(void *user)
{
    self_leaver *self = user;
    return atomic_load(&self->calls) >= 3;
}

void c42_unsubscribes_itself(void)
{
    self_leaver self = {0};
    marty_error why = {0};
    marty_subscription *subscription = NULL;
    marty_bus *bus = suite_open("billing", NULL), *sender = suite_open("shop", NULL);
    EXPECT_OK(
        marty_handle_commands(bus, "charge", leave_at_third, &self, NULL, &subscription, &why),
        &why, "subscribing");
    __atomic_store_n(&self.subscription, subscription, __ATOMIC_RELEASE);
    suite_start(bus);
    suite_publish_many(sender, MARTY_COMMAND, "billing", "charge", "m", 0, 20, 0);
    EXPECT(test_wait_for(called_three_times, &self, 10000), "%d calls", atomic_load(&self.calls));
    recorder *rest = recorder_new(NULL, NULL);
    marty_bus *other = suite_open("billing", NULL);
    suite_subscribe(other, MARTY_COMMAND, "charge", rest, NULL);
    suite_start(other);
    EXPECT(recorder_wait(rest, 17, 15000), "of the 17 left %zu came to another",
           recorder_unique(rest));
    EXPECT(self.err == MARTY_OK || self.err == MARTY_E_STATE, "unsubscribing in its handler: %s",
           suite_err(self.err));
    suite_close(bus);
}

/* ---- C44 */

static int in_child(marty_bus *bus)
{
    marty_error why = {0};
    marty_message message = {.type = "order.created"};
    const marty_message *one = &message;
    marty_message *reply = NULL;
    if (marty_publish(bus, MARTY_EVENT, NULL, &one, 1, NULL, &why) != MARTY_E_FORKED) {
        return 10;
    }
    if (marty_query(bus, "user", "profile", marty_text("x"), NULL, &reply, &why) !=
        MARTY_E_FORKED) {
        return 11;
    }
    if (marty_subscribe_to_events(bus, "a.b", recorder_handle, NULL, NULL, NULL, &why) !=
        MARTY_E_FORKED) {
        return 12;
    }
    if (marty_bus_close(bus, 1000, &why) != MARTY_E_FORKED) {
        return 13;
    }
    marty_bus_free(bus);
    return 0;
}

void c44_fork(void)
{
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", heard_, NULL);
    suite_start(bus);
    suite_publish_many(bus, MARTY_EVENT, NULL, "order.created", "m", 0, 20, 0);
    recorder_expect(heard_, "m", 0, 20, 1);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(20);
        _exit(in_child(bus));
    }
    int status = 0;
    EXPECT(waitpid(pid, &status, 0) == pid, "waiting for the child");
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0,
           "in a forked child step %d did not answer FORKED (status %d)",
           WIFEXITED(status) ? WEXITSTATUS(status) : -1, status);
    suite_publish_many(bus, MARTY_EVENT, NULL, "order.created", "m", 20, 20, 0);
    recorder_expect(heard_, "m", 0, 40, 1);
    suite_close(bus);
}

/* Every thread but this one and the program's first blocks all signals that can be blocked. */
static void expect_signals_blocked(void)
{
    DIR *tasks = opendir("/proc/self/task");
    EXPECT(tasks, "/proc is not there");
    size_t others = 0;
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char path[512], line[256];
        long thread = strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] == '.' || thread == getpid() || thread == gettid()) {
            continue;
        }
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *file = fopen(path, "r");
        unsigned long long blocked = 0;
        char name[64] = "";
        while (file && fgets(line, sizeof line, file)) {
            if (strncmp(line, "SigBlk:", 7) == 0) {
                blocked = strtoull(line + 7, NULL, 16);
            }
            if (strncmp(line, "Name:", 5) == 0) {
                snprintf(name, sizeof name, "%s", line + 6);
                name[strcspn(name, "\n")] = 0;
            }
        }
        if (!file) {
            continue;
        }
        fclose(file);
        others++;
        unsigned long long wanted = (1ULL << (SIGINT - 1)) | (1ULL << (SIGTERM - 1)) |
                                    (1ULL << (SIGHUP - 1)) | (1ULL << (SIGPIPE - 1)) |
                                    (1ULL << (SIGUSR1 - 1)) | (1ULL << (SIGCHLD - 1));
        EXPECT((blocked & wanted) == wanted, "the thread \"%s\" would take signals (blocks %llx)",
               name, blocked);
    }
    closedir(tasks);
    suite_note("%zu threads of the library, all block signals", others);
}

void c44_signals(void)
{
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", heard_, NULL);
    suite_start(bus);
    suite_publish_many(bus, MARTY_EVENT, NULL, "order.created", "m", 0, 20, 0);
    recorder_expect(heard_, "m", 0, 20, 1);
    expect_signals_blocked();
    struct sigaction now;
    sigaction(SIGTERM, NULL, &now);
    EXPECT(now.sa_handler == SIG_DFL, "the library took over SIGTERM outside of run");
    sigaction(SIGPIPE, NULL, &now);
    EXPECT(now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN,
           "the library handles SIGPIPE for the whole program");
    if (now.sa_handler == SIG_IGN) {
        suite_note("a client library ignores SIGPIPE for the whole program");
    }
    suite_close(bus);
}

typedef struct from_thread {
    marty_bus *bus;
    atomic_int done;
    int number;
} from_thread;

static void count_done(void *user, const marty_outcome *outcomes, size_t count)
{
    (void)count;
    EXPECT(outcomes[0].err == MARTY_OK, "publishing: %s", suite_err(outcomes[0].err));
    atomic_fetch_add((atomic_int *)user, 1);
}

static void *publish_and_leave(void *user)
{
    from_thread *self = user;
    marty_error why = {0};
    marty_message message = {.type = "order.created", .id = suite_id("m", self->number)};
    const marty_message *one = &message;
    marty_publish_options options = {.done = count_done, .user = &self->done};
    EXPECT_OK(marty_publish(self->bus, MARTY_EVENT, NULL, &one, 1, &options, &why), &why,
              "publishing from a thread");
    return NULL;
}

void c44_threads_that_end(void)
{
    static from_thread all[20];
    marty_error why = {0};
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", heard_, NULL);
    suite_start(bus);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        all[i].bus = bus;
        all[i].number = i;
        pthread_create(&thread, NULL, publish_and_leave, &all[i]);
        pthread_join(thread, NULL);
    }
    recorder_expect(heard_, "m", 0, 20, 1);
    EXPECT_OK(marty_bus_flush(bus, 5000, &why), &why, "flushing");
    for (int i = 0; i < 20; i++) {
        EXPECT(atomic_load(&all[i].done) == 1, "a thread that ended got %d completions",
               atomic_load(&all[i].done));
    }
    suite_close(bus);
}
