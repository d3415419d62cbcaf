/* SPDX-License-Identifier: Apache-2.0
 * C28: the broker dies, freezes, restarts, its connections are cut, swallowed, slow, its leader
 * changes, all under load: the bus comes back by itself and every confirmed message arrives. And
 * C34: what was confirmed is there after kill -9 of the broker. */
#include "broker.h"
#include "contracts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct load {
    marty_bus *bus;
    pthread_t thread;
    atomic_bool stop;
    atomic_int confirmed; /* m-0000 .. m-(confirmed - 1) are stored */
    atomic_int retries, gap_ms;
} load;

/* Publishes one after the other, each until it is confirmed, as a careful program would. */
static void *publish_steadily(void *user)
{
    load *self = user;
    int64_t last_ms = test_now_ms();
    while (!atomic_load(&self->stop)) {
        const char *id = suite_id("m", atomic_load(&self->confirmed));
        marty_error why = {0};
        marty_message message = {.type = "charge", .id = id, .data = marty_text(id)};
        marty_publish_options options = {.timeout_ms = 2000};
        marty_err err =
            suite_try_publish(self->bus, MARTY_COMMAND, "billing", &message, &options, NULL, &why);
        if (err) {
            EXPECT(why.error_class == MARTY_CLASS_RETRY ||
                       marty_err_describe(err)->error_class == MARTY_CLASS_RETRY,
                   "during the fault a publish ended with %s: %s", suite_err(err), why.text);
            atomic_fetch_add(&self->retries, 1);
            test_wait_for(suite_never, NULL, 20);
            continue;
        }
        int64_t now_ms = test_now_ms();
        if (now_ms - last_ms > atomic_load(&self->gap_ms)) {
            atomic_store(&self->gap_ms, (int)(now_ms - last_ms));
        }
        last_ms = now_ms;
        atomic_fetch_add(&self->confirmed, 1);
    }
    return NULL;
}

typedef struct wanted {
    load *load;
    int confirmed;
} wanted;

static bool are_confirmed(void *user)
{
    const wanted *self = user;
    return atomic_load(&self->load->confirmed) >= self->confirmed;
}

static void wait_confirmed(load *self, int count, int64_t limit_ms, const char *when)
{
    wanted more = {self, count};
    EXPECT(test_wait_for(are_confirmed, &more, limit_ms), "%s: %d are confirmed, %d were wanted",
           when, atomic_load(&self->confirmed), count);
}

typedef struct scene {
    load load;
    recorder *heard;
    marty_bus *consumer;
} scene;

static void begin(scene *self)
{
    memset(self, 0, sizeof *self);
    suite_set_keys("lease=2s");
    self->consumer = suite_open("billing", NULL);
    self->heard = recorder_new(NULL, NULL);
    suite_subscribe(self->consumer, MARTY_COMMAND, "charge", self->heard,
                    &(marty_subscribe_options){.concurrency = 2});
    suite_start(self->consumer);
    self->load.bus = suite_open("shop", NULL);
    pthread_create(&self->load.thread, NULL, publish_steadily, &self->load);
    wait_confirmed(&self->load, 100, 15000, "before the fault");
}

/* After the fault: it goes on by itself, and all that was confirmed has come. */
static void end(scene *self, int64_t limit_ms)
{
    int before = atomic_load(&self->load.confirmed);
    wait_confirmed(&self->load, before + 100, limit_ms, "after the fault");
    atomic_store(&self->load.stop, true);
    pthread_join(self->load.thread, NULL);
    int confirmed = atomic_load(&self->load.confirmed);
    bool all = recorder_wait(self->heard, (size_t)confirmed, limit_ms);
    size_t missing = 0;
    for (int i = 0; i < confirmed; i++) {
        missing += recorder_times(self->heard, suite_id("m", i)) == 0;
    }
    EXPECT(all && missing == 0, "of %d confirmed messages %zu did not come", confirmed, missing);
    suite_note("%d confirmed, 0 lost, %zu duplicates, %d tries again, longest gap %d ms", confirmed,
               recorder_duplicates(self->heard), atomic_load(&self->load.retries),
               atomic_load(&self->load.gap_ms));
}

void c28_killed(void)
{
    test_server server;
    scene self;
    test_server_options options = broker_options();
    broker_start(&server, &options);
    begin(&self);
    for (int i = 0; i < 2; i++) {
        int before = atomic_load(&self.load.confirmed);
        test_server_kill(&server);
        broker_restart(&server);
        wait_confirmed(&self.load, before + 100, 20000, "after kill -9 and restart");
    }
    end(&self, 20000);
}

void c28_stopped(void)
{
    test_server server;
    scene self;
    test_server_options options = broker_options();
    broker_start(&server, &options);
    begin(&self);
    test_server_stop(&server);
    broker_restart(&server);
    end(&self, 20000);
}

void c28_frozen(void)
{
    test_server server;
    scene self;
    test_server_options options = broker_options();
    broker_start(&server, &options);
    begin(&self);
    test_server_freeze(&server);
    int before = atomic_load(&self.load.confirmed); /* one more may have been under way */
    test_wait_for(suite_never, NULL, 3000);
    EXPECT(atomic_load(&self.load.confirmed) <= before + 1, "%d were confirmed by a frozen broker",
           atomic_load(&self.load.confirmed) - before);
    test_server_thaw(&server);
    end(&self, 20000);
}

void c28_cut(void)
{
    test_server server;
    scene self;
    test_server_options options = broker_options();
    broker_start(&server, &options);
    test_proxy *proxy = broker_through_proxy(&server);
    begin(&self);
    for (int i = 0; i < 3; i++) {
        int before = atomic_load(&self.load.confirmed);
        test_proxy_cut(proxy);
        wait_confirmed(&self.load, before + 50, 15000, "after a cut");
    }
    end(&self, 15000);
}

void c28_half_open(void)
{
    test_server server;
    scene self;
    test_server_options options = broker_options();
    broker_start(&server, &options);
    test_proxy *proxy = broker_through_proxy(&server);
    begin(&self);
    test_proxy_set(proxy, TEST_PROXY_SWALLOW);
    test_wait_for(suite_never, NULL, 3000);
    test_proxy_set(proxy, TEST_PROXY_PASS);
    test_proxy_cut(proxy); /* what was swallowed is torn: nobody can use those connections */
    end(&self, 30000);
}

void c28_slow(void)
{
    test_server server;
    scene self;
    test_server_options options = broker_options();
    broker_start(&server, &options);
    test_proxy *proxy = broker_through_proxy(&server);
    begin(&self);
    int before = atomic_load(&self.load.confirmed);
    test_proxy_set(proxy, TEST_PROXY_SLOW);
    wait_confirmed(&self.load, before + 10, 15000, "over a slow network");
    test_proxy_set(proxy, TEST_PROXY_PASS);
    end(&self, 15000);
}

void c28_leader(void)
{
    test_server servers[3];
    scene self;
    broker_start_cluster(servers);
    begin(&self);
    int leader = test_cluster_leader(servers, "commands__billing");
    EXPECT(leader >= 0, "no leader of the stream commands__billing is known");
    test_server_kill(&servers[leader]);
    int before = atomic_load(&self.load.confirmed);
    wait_confirmed(&self.load, before + 50, 40000, "after the leader was killed");
    broker_restart(&servers[leader]);
    end(&self, 30000);
}

/* ---- C34 */

void c34_broker_killed(void)
{
    enum { ROUNDS = 3, EACH = 60 };
    test_server server;
    test_server_options options = broker_options();
    broker_start(&server, &options);
    for (int i = 0; i < ROUNDS; i++) {
        marty_bus *bus = suite_open("shop", NULL);
        suite_publish_many(bus, MARTY_COMMAND, "billing", "charge", "m", i * EACH, EACH, 0);
        test_server_kill(&server); /* right after the last confirmation */
        marty_error why = {0};
        (void)marty_bus_close(bus, 100, &why);
        marty_bus_free(bus);
        broker_restart(&server);
    }
    marty_bus *bus = suite_open("billing", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "charge", heard_, NULL);
    suite_start(bus);
    recorder_expect(heard_, "m", 0, ROUNDS * EACH, 1);
    suite_note("%d confirmed, %d there", ROUNDS * EACH, ROUNDS * EACH);
}

/* ---- C31: blocked in a publish, because the broker stands still */

static int key;

static bool cancel_one(void *bus)
{
    return marty_bus_cancel(bus, &key) > 0;
}

static void *cancel_soon(void *bus)
{
    EXPECT(test_wait_for(cancel_one, bus, 10000), "there was nothing to cancel");
    return NULL;
}

void c31_publish(void)
{
    test_server server;
    test_server_options options = broker_options();
    broker_start(&server, &options);
    marty_error why = {0};
    marty_bus *bus = suite_open("shop", NULL);
    suite_publish(bus, MARTY_COMMAND, "billing", "charge", "before", NULL, "x");
    test_server_freeze(&server);
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_soon, bus);
    int64_t began = test_now_ms();
    marty_message message = {.type = "charge", .id = "blocked"};
    const marty_message *one = &message;
    marty_publish_options blocked = {.timeout_ms = 20000, .cancel_key = &key};
    marty_err err = marty_publish(bus, MARTY_COMMAND, "billing", &one, 1, &blocked, &why);
    EXPECT(err == MARTY_E_CANCELLED || err == MARTY_E_MAYBE_STORED,
           "a cancelled publish ended with %s", suite_err(err));
    EXPECT(test_now_ms() - began < test_patience(5000), "cancelling took %lld ms",
           (long long)(test_now_ms() - began));
    pthread_join(thread, NULL);
    test_server_thaw(&server);
    suite_publish(bus, MARTY_COMMAND, "billing", "charge", "after", NULL, "x");
}

/* ---- C29 */

typedef struct states {
    atomic_int denied;
} states;

static void on_state(void *user, const marty_state_event *event)
{
    states *self = user;
    suite_log("state %d reason %s: %s", (int)event->state, suite_err(event->reason),
              event->text ? event->text : "");
    if (event->state == MARTY_STATE_DOWN && event->reason == MARTY_E_DENIED) {
        atomic_fetch_add(&self->denied, 1);
    }
}

static bool was_denied(void *user)
{
    states *self = user;
    return atomic_load(&self->denied) > 0;
}

void c29_credentials(void)
{
    test_server server;
    char url[700];
    marty_error why = {0};
    marty_bus *bus = NULL;
    test_server_options options = broker_options();
    options.user = "app";
    options.password = "right";
    broker_start(&server, &options);
    const char *host = options.tls ? "localhost" : "127.0.0.1";
    static const char *const proofs[] = {"app:wrong@", "nobody:right@", ""};
    for (size_t i = 0; i < 3; i++) {
        snprintf(url, sizeof url, "nats://%s%s:%d%s%s", proofs[i], host, server.port,
                 options.tls ? "?" : "", broker_keys(options.tls));
        marty_err err = marty_bus_open(
            &bus, url,
            &(marty_bus_options){.service = "shop", .timeout_ms = (int32_t)test_patience(5000)},
            &why);
        EXPECT_ERR(err, MARTY_E_DENIED, &why, "opening with credentials %zu that are wrong", i);
        EXPECT(!strstr(why.text, "wrong"), "the error shows the password: %s", why.text);
    }
    states seen = {0};
    bus = suite_open_with(
        NULL, &(marty_bus_options){.service = "shop", .on_state = on_state, .user = &seen});
    suite_publish(bus, MARTY_COMMAND, "billing", "charge", "m-0000", NULL, "x");
    options.password = "rotated";
    EXPECT(test_server_reload(&server, &options), "the server could not be given new credentials");
    EXPECT(test_wait_for(was_denied, &seen, 15000), "credentials that are not good any more: no "
                                                    "state says DENIED");
    options.password = "right";
    EXPECT(test_server_reload(&server, &options), "the server could not be given the old ones");
    marty_message message = {.type = "charge", .id = "m-0001"};
    const marty_message *one = &message;
    EXPECT_OK(marty_publish(bus, MARTY_COMMAND, "billing", &one, 1,
                            &(marty_publish_options){.timeout_ms = 20000}, &why),
              &why, "publishing once the credentials are good again");
}
