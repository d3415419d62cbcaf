/* SPDX-License-Identifier: Apache-2.0
 * The lanes change while a handler has a batch of a key of which it has put one off: what stands
 * behind that is the handler's until it returns, whatever lane the key belongs to by then. The one
 * put off may run again, as the handler is done with it. */
#include "test_script.h"

#include <stdatomic.h>

enum { LIMIT_MS = 20000, FOUR = 4 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool goes_on;
    char runs[32]; /* a number as it ran; ( and ) for the first call */
    atomic_bool has_settled, rang;
} it = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* With the lock held. */
static void note(char what)
{
    size_t size = strlen(it.runs);
    REQUIRE(size + 1 < sizeof it.runs);
    it.runs[size] = what;
}

static void walk_slowly(marty_delivery *first)
{
    size_t count = 0;
    for (marty_delivery *delivery = first; delivery; delivery = delivery->next) {
        count++;
    }
    CHECK_INT(count, FOUR);
    CHECK_INT(marty_ack(first), MARTY_OK);
    CHECK_INT(marty_retry(first->next, 1, "later"), MARTY_OK);
    atomic_store(&it.has_settled, true);
    while (!it.goes_on) {
        pthread_cond_wait(&it.changed, &it.lock);
    }
    for (marty_delivery *delivery = first; delivery; delivery = delivery->next) {
        count--; /* still linked as it was */
    }
    CHECK_INT(count, 0);
}

static marty_err walk(void *user, marty_delivery *first)
{
    (void)user;
    pthread_mutex_lock(&it.lock);
    if (first->message->id[1] == '1') {
        note('(');
        walk_slowly(first);
        note(')');
    } else {
        for (marty_delivery *delivery = first; delivery; delivery = delivery->next) {
            note(delivery->message->id[1]);
        }
    }
    pthread_mutex_unlock(&it.lock);
    return MARTY_OK;
}

static void ring(void *user)
{
    (void)user;
    atomic_store(&it.rang, true);
}

static bool all_ran(void)
{
    return settled(0, MARTY_SETTLE_ACK) == FOUR;
}

static void change_lanes(const char *key, uint32_t from, uint32_t to)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_subscription *subscription = NULL;
    marty_subscribe_options options = {.concurrency = from, .batch_max = FOUR};
    marty_bus_options workers = {.service = "s", .workers = 4};
    memset(it.runs, 0, sizeof it.runs);
    it.goes_on = false;
    atomic_store(&it.has_settled, false);
    atomic_store(&it.rang, false);
    script.count = 0;
    script.granted = 0;
    REQUIRE(!marty_bus_open(&bus, "script:", &workers, &why));
    REQUIRE(!marty_process_stream(bus, "orders", walk, NULL, &options, &subscription, &why));
    REQUIRE(!marty_bus_start(bus, &why));
    CHECK_SOON(granted() > 0, LIMIT_MS);
    CHECK_INT(marty_subscription_pause(subscription, true, &why), MARTY_OK);
    for (uint64_t tag = 1; tag <= FOUR; tag++) {
        deliver(tag, 0, key, INT64_MAX, NULL);
    }
    CHECK_INT(marty_subscription_pause(subscription, false, &why), MARTY_OK); /* all in a batch */
    CHECK_SOON(atomic_load(&it.has_settled), LIMIT_MS);
    CHECK_INT(marty_subscription_concurrency(subscription, to, &why), MARTY_OK);
    script.sink->timer(script.sink, in_ms(10), ring, &it); /* after that of the second */
    CHECK_SOON(atomic_load(&it.rang), LIMIT_MS);
    pthread_mutex_lock(&it.lock);
    CHECK_TEXT(it.runs, it.runs[1] == '2' ? "(2" : "(");
    it.goes_on = true;
    pthread_cond_broadcast(&it.changed);
    pthread_mutex_unlock(&it.lock);
    CHECK_SOON(all_ran(), LIMIT_MS);
    CHECK_INT(marty_unsubscribe(subscription, LIMIT_MS, &why), MARTY_OK);
    CHECK_INT(marty_bus_close(bus, LIMIT_MS, &why), MARTY_OK);
    marty_bus_free(bus);
    CHECK_TEXT(it.runs, it.runs[1] == '2' ? "(2)34" : "()234");
    CHECK_INT(settled(0, 0), FOUR);
}

int main(void)
{
    marty_error why = {0};
    static const char *const keys[] = {"a", "b", "c", "d", "e"};
    REQUIRE(!marty_backend_register(&script_backend, &why));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        change_lanes(keys[i], 1, 4);
        change_lanes(keys[i], 4, 1);
        change_lanes(keys[i], 2, 3);
    }
    return check_result();
}
