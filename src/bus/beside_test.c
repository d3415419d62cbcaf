/* SPDX-License-Identifier: Apache-2.0
 * Settling beside the ops, where the adapter takes it: on a backend whose settle, publish and
 * answers wait for the test, so that workers are inside of settle while the rest of a bus goes on.
 * Letters say in which order things came: s, a settle that ends; u, unsubscribe; c, close. */
#include "test_script.h"

#include <stdatomic.h>

enum { LIMIT_MS = 20000, LASTS_MS = 60000, CREDIT = 8 }; /* the latter beside such waits */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool holds_settles, holds_publishes; /* until the test lets them go */
    atomic_int in_settle, in_publish;
    atomic_bool rang;
    char order[64];
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void note(char what)
{
    pthread_mutex_lock(&gate.lock);
    size_t size = strlen(gate.order);
    REQUIRE(size + 1 < sizeof gate.order);
    gate.order[size] = what;
    pthread_mutex_unlock(&gate.lock);
}

static bool came(const char *order)
{
    pthread_mutex_lock(&gate.lock);
    bool same = strcmp(gate.order, order) == 0;
    pthread_mutex_unlock(&gate.lock);
    return same;
}

static void wait_at(const bool *holds, atomic_int *inside)
{
    atomic_fetch_add(inside, 1);
    pthread_mutex_lock(&gate.lock);
    while (*holds) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
}

static void set_gate(bool *holds, bool value)
{
    pthread_mutex_lock(&gate.lock);
    *holds = value;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

/* ---- the ops */
static void gated_settle(marty_port *port, const marty_settling batch[], size_t count)
{
    wait_at(&gate.holds_settles, &gate.in_settle);
    note('s');
    op_settle(port, batch, count);
    atomic_fetch_sub(&gate.in_settle, 1);
}

static marty_err gated_publish(marty_port *port, const marty_outgoing batch[], size_t count,
                               size_t *ret_taken, marty_error *why)
{
    wait_at(&gate.holds_publishes, &gate.in_publish);
    atomic_fetch_sub(&gate.in_publish, 1);
    return op_publish(port, batch, count, ret_taken, why);
}

/* What was granted before a group moves, or begins anew, is granted no more. */
static marty_err anew_subscribe(marty_port *port, uint64_t number, const marty_want *want,
                                marty_error *why)
{
    pthread_mutex_lock(&script.lock);
    script.granted = 0;
    pthread_mutex_unlock(&script.lock);
    return op_subscribe(port, number, want, why);
}

static void noted_unsubscribe(marty_port *port, uint64_t number)
{
    note('u');
    op_unsubscribe(port, number);
}

static void noted_close(marty_port *port, int64_t deadline_ns)
{
    note('c');
    op_close(port, deadline_ns);
}

static void guarded_free(marty_port *port)
{
    CHECK_INT(atomic_load(&gate.in_settle), 0);
    op_free(port);
}

/* ---- the service */
typedef struct world {
    marty_bus *bus;
    marty_subscription *subscription;
    pthread_t thread; /* who publishes, seeks or closes meanwhile */
    marty_err answer;
} world;

static void reset_gate(void)
{
    gate.holds_settles = gate.holds_publishes = false;
    atomic_store(&gate.rang, false);
    memset(gate.order, 0, sizeof gate.order);
    clear_all(false);
}

static world open_world(uint32_t lanes)
{
    world self = {.bus = NULL};
    marty_error why = {0};
    marty_subscribe_options options = {.credit = CREDIT, .concurrency = lanes};
    reset_gate();
    marty_bus_options surroundings = {.service = "s", .workers = 4, .drain_ms = LASTS_MS};
    REQUIRE(!marty_bus_open(&self.bus, "beside:", &surroundings, &why));
    REQUIRE(!marty_subscribe_to_events(self.bus, "order.*", handle, NULL, &options,
                                       &self.subscription, &why));
    REQUIRE(!marty_bus_start(self.bus, &why));
    CHECK_SOON(granted() == CREDIT, LIMIT_MS);
    return self;
}

static void close_world(world *self)
{
    marty_error why = {0};
    for (size_t i = 0; i < service.kept_count; i++) {
        marty_delivery_release(service.kept[i]);
    }
    CHECK_INT(marty_unsubscribe(self->subscription, LIMIT_MS, &why), MARTY_OK);
    CHECK_INT(marty_bus_close(self->bus, LIMIT_MS, &why), MARTY_OK);
    marty_bus_free(self->bus);
}

/* The same once it is closed. */
static void free_world(const world *self)
{
    CHECK_INT(marty_unsubscribe(self->subscription, LIMIT_MS, NULL), MARTY_E_CLOSED);
    marty_bus_free(self->bus);
}

static void bring(uint64_t tag)
{
    deliver(tag, 0, NULL, INT64_MAX, NULL);
}

static void *publish_it(void *user)
{
    world *self = user;
    marty_error why = {0};
    marty_publish_options options = {.timeout_ms = LASTS_MS};
    self->answer = marty_publish_event(self->bus, "a.b", marty_text("{}"), &options, &why);
    return NULL;
}

/* Its time has no option: a thread that stands still may use it up, then it is to seek again. */
static void *seek_it(void *user)
{
    world *self = user;
    marty_error why = {0};
    marty_start to = {.from = MARTY_FROM_EARLIEST};
    int64_t until_ms = check_now_ms() + check__limit(LASTS_MS);
    do {
        self->answer = marty_subscription_seek(self->subscription, &to, 1, &why);
    } while (self->answer == MARTY_E_UNAVAILABLE && check_now_ms() < until_ms);
    return NULL;
}

static void *close_it(void *user)
{
    world *self = user;
    marty_error why = {0};
    self->answer = marty_bus_close(self->bus, LASTS_MS, &why);
    return NULL;
}

static void begin_beside(world *self, void *(*run)(void *))
{
    REQUIRE(!pthread_create(&self->thread, NULL, run, self));
}

static void end_beside(world *self)
{
    REQUIRE(!pthread_join(self->thread, NULL));
    CHECK_INT(self->answer, MARTY_OK);
}

/* Somebody is in an op, and stays there. */
static void hold_the_ops(world *self)
{
    set_gate(&gate.holds_publishes, true);
    begin_beside(self, publish_it);
    CHECK_SOON(atomic_load(&gate.in_publish) == 1, LIMIT_MS);
}

/* ---- beside each other, and beside an op */
static void workers_settle_side_by_side(void)
{
    world self = open_world(4);
    set_gate(&gate.holds_settles, true);
    bring(1);
    CHECK_SOON(atomic_load(&gate.in_settle) == 1, LIMIT_MS);
    bring(2);
    CHECK_SOON(atomic_load(&gate.in_settle) == 2, LIMIT_MS);
    (void)publish_it(&self); /* nobody is in its way */
    CHECK_INT(self.answer, MARTY_OK);
    set_gate(&gate.holds_settles, false);
    CHECK_SOON(settled(0, MARTY_SETTLE_ACK) == 2, LIMIT_MS);
    close_world(&self);
}

static void an_op_that_lasts_keeps_nobody_from_settling(void)
{
    world self = open_world(1);
    hold_the_ops(&self);
    bring(1);
    CHECK_SOON(settled(1, MARTY_SETTLE_ACK) == 1, LIMIT_MS);
    set_gate(&gate.holds_publishes, false);
    end_beside(&self);
    close_world(&self);
}

/* ---- nothing ends before it */
static void unsubscribing_waits_for_what_is_in_settle(void)
{
    world self = open_world(1);
    set_gate(&gate.holds_settles, true);
    bring(1);
    CHECK_SOON(atomic_load(&gate.in_settle) == 1, LIMIT_MS);
    marty_subscription_stop(self.subscription);
    CHECK(came(""));
    set_gate(&gate.holds_settles, false);
    CHECK_SOON(came("su"), LIMIT_MS);
    close_world(&self);
    CHECK(came("suc"));
}

static void ring(void *user)
{
    (void)user;
    atomic_store(&gate.rang, true);
}

static void a_drain_waits_for_the_answer(void)
{
    world self = open_world(1);
    pthread_mutex_lock(&script.lock);
    script.answers_later = true;
    pthread_mutex_unlock(&script.lock);
    bring(1);
    CHECK_SOON(settled(1, MARTY_SETTLE_ACK) == 1, LIMIT_MS);
    world teller = self;
    begin_beside(&self, close_it);
    do { /* until calls end: the last thing that it waits for is the answer */
        (void)publish_it(&teller);
    } while (teller.answer != MARTY_E_CLOSED);
    script.sink->timer(script.sink, in_ms(0), ring, &gate); /* housekeeping comes round again */
    CHECK_SOON(atomic_load(&gate.rang), LIMIT_MS);
    CHECK(came("s"));
    answer_all();
    end_beside(&self);
    CHECK(came("sc"));
    free_world(&self);
}

/* The deadline cuts it off: the port says CLOSED while a thread is in settle, whose answer comes
 * after that, and the adapter is there until then. */
static void the_adapter_outlives_who_is_in_settle(void)
{
    world self = open_world(1);
    marty_error why = {0};
    set_gate(&gate.holds_settles, true);
    bring(1);
    CHECK_SOON(atomic_load(&gate.in_settle) == 1, LIMIT_MS);
    CHECK_INT(marty_bus_close(self.bus, 1, &why), MARTY_E_TIMEOUT);
    CHECK_SOON(came("c"), LIMIT_MS);
    set_gate(&gate.holds_settles, false);
    CHECK_INT(marty_bus_close(self.bus, LIMIT_MS, &why), MARTY_OK);
    CHECK(came("cs"));
    free_world(&self);
}

/* ---- credit */
static void keep_one(void)
{
    atomic_store(&service.keep, true);
    bring(1);
    CHECK_SOON(atomic_load(&service.kept_count) == 1, LIMIT_MS);
    atomic_store(&service.keep, false);
}

static marty_err kept_one_is(size_t at)
{
    pthread_mutex_lock(&service.lock); /* its handler may just be keeping it */
    marty_delivery *delivery = service.kept[at];
    pthread_mutex_unlock(&service.lock);
    return marty_delivery_check(delivery);
}

static void begin_seek(world *self)
{
    begin_beside(self, seek_it);
    CHECK_SOON(kept_one_is(0) == MARTY_E_LOST, LIMIT_MS);
}

/* Settled before a seek, and granted by nobody yet: the seek asks for all of the credit. */
static void what_is_owed_before_a_seek_is_not_granted_after_it(void)
{
    world self = open_world(1), seeker = self;
    keep_one();
    hold_the_ops(&self);
    for (uint64_t tag = 2; tag <= CREDIT; tag++) {
        bring(tag);
    }
    CHECK_SOON(settled(0, MARTY_SETTLE_ACK) == CREDIT - 1, LIMIT_MS);
    begin_seek(&seeker);
    set_gate(&gate.holds_publishes, false);
    end_beside(&self);
    end_beside(&seeker);
    CHECK_INT(granted(), CREDIT);
    close_world(&self);
    CHECK_INT(granted(), CREDIT);
}

/* It came from where the group was, after the seek was asked for and before the adapter knew: it is
 * lost as the others are, and nobody owes for it. */
static void what_comes_before_the_adapter_knows_of_a_seek_is_lost(void)
{
    world self = open_world(2), seeker = self;
    keep_one();
    hold_the_ops(&self);
    begin_seek(&seeker);
    set_gate(&gate.holds_settles, true);
    bring(2);
    CHECK_SOON(atomic_load(&gate.in_settle) == 1, LIMIT_MS);
    atomic_store(&service.keep, true);
    bring(3);
    CHECK_SOON(atomic_load(&service.kept_count) == 2, LIMIT_MS);
    set_gate(&gate.holds_publishes, false);
    end_beside(&self);
    end_beside(&seeker);
    CHECK_INT(kept_one_is(1), MARTY_E_LOST);
    CHECK_INT(granted(), CREDIT);
    set_gate(&gate.holds_settles, false);
    close_world(&self);
    CHECK_INT(granted(), CREDIT);
}

/* ---- a turn inside of a turn */
static marty_err take_it(void *user, marty_delivery *delivery)
{
    (void)delivery;
    atomic_store((atomic_bool *)user, true);
    return MARTY_OK;
}

/* The handler of one bus drives another one, and then fails. */
static marty_err drive(void *user, marty_delivery *delivery)
{
    atomic_bool handled = false;
    marty_error why = {0};
    marty_bus *inner = NULL;
    marty_bus_options options = {.service = "inner", .driven = true};
    (void)user;
    (void)delivery;
    if (atomic_fetch_add(&service.runs, 1)) {
        return MARTY_OK;
    }
    REQUIRE(!marty_bus_open(&inner, "memory:", &options, &why));
    REQUIRE(!marty_subscribe_to_events(inner, "x.y", take_it, &handled, NULL, NULL, &why));
    REQUIRE(!marty_publish_event(inner, "x.y", marty_text("{}"), NULL, &why));
    for (int64_t until_ms = check_now_ms() + check__patience(LIMIT_MS); !atomic_load(&handled);) {
        REQUIRE(check_now_ms() < until_ms);
        CHECK_INT(marty_bus_process(inner, 10, NULL, &why), MARTY_OK);
    }
    CHECK_INT(marty_bus_close(inner, LIMIT_MS, &why), MARTY_OK);
    marty_bus_free(inner);
    return MARTY_E_UNAVAILABLE;
}

static void a_handler_may_drive_another_bus(void)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    reset_gate();
    REQUIRE(!marty_bus_open(&bus, "beside:", &(marty_bus_options){.service = "s"}, &why));
    REQUIRE(!marty_subscribe_to_events(bus, "order.*", drive, NULL, NULL, NULL, &why));
    REQUIRE(!marty_bus_start(bus, &why));
    CHECK_SOON(granted() > 0, LIMIT_MS);
    bring(1);
    CHECK_SOON(settled(1, MARTY_SETTLE_GIVE_BACK) == 1, LIMIT_MS);
    CHECK_INT(marty_bus_close(bus, LIMIT_MS, &why), MARTY_OK);
    marty_bus_free(bus);
}

int main(void)
{
    static marty_backend backend;
    marty_error why = {0};
    backend = script_backend;
    backend.scheme = "beside";
    backend.settles_beside = true;
    backend.settle = gated_settle;
    backend.publish = gated_publish;
    backend.subscribe = anew_subscribe;
    backend.unsubscribe = noted_unsubscribe;
    backend.close = noted_close;
    backend.free = guarded_free;
    script.granted_more.can[MARTY_KIND_TOPIC] = MARTY_CAN_REPLAY;
    REQUIRE(!marty_backend_register(&backend, &why));
    workers_settle_side_by_side();
    an_op_that_lasts_keeps_nobody_from_settling();
    unsubscribing_waits_for_what_is_in_settle();
    a_drain_waits_for_the_answer();
    the_adapter_outlives_who_is_in_settle();
    what_is_owed_before_a_seek_is_not_granted_after_it();
    what_comes_before_the_adapter_knows_of_a_seek_is_lost();
    a_handler_may_drive_another_bus();
    return check_result();
}
