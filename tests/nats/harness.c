/* SPDX-License-Identifier: Apache-2.0
 * The sink that writes everything down, and the ops with their waits. */
#include "harness.h"

#include "base/clock.h"

#include <errno.h>

extern const marty_backend marty_module;

static harness *of(const marty_sink *sink)
{
    return (harness *)(uintptr_t)sink;
}

static void on_state(const marty_sink *sink, marty_state state, const marty_capabilities *granted,
                     marty_err reason, const char *text)
{
    harness *h = of(sink);
    pthread_mutex_lock(&h->lock);
    h->state = state;
    h->reason = reason;
    h->ups += state == MARTY_STATE_UP;
    h->downs += state == MARTY_STATE_DOWN;
    if (granted) {
        h->granted = *granted;
    }
    (void)snprintf(h->text, sizeof h->text, "%s", text ? text : "");
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static void on_published(const marty_sink *sink, const marty_published results[], size_t count)
{
    harness *h = of(sink);
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < count; i++) {
        uint64_t token = results[i].token;
        h->answered_twice += token >= TOKENS || (int)h->answers[token] != -1;
        h->answered++;
        h->answers[token] = results[i].err;
        h->levels[token] = results[i].level;
        (void)snprintf(h->positions[token], sizeof h->positions[token], "%.23s",
                       results[i].position);
        if (results[i].err) {
            (void)snprintf(h->last_error, sizeof h->last_error, "%s",
                           results[i].text ? results[i].text : "");
        }
    }
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static void on_delivered(const marty_sink *sink, const marty_incoming batch[], size_t count)
{
    harness *h = of(sink);
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < count && h->delivered < GOT; i++) {
        got *g = &h->deliveries[h->delivered++];
        g->incoming = batch[i];
        g->at_ns = marty__monotonic_ns();
        g->unreadable = batch[i].message == NULL;
        (void)snprintf(g->position, sizeof g->position, "%s",
                       batch[i].position ? batch[i].position : "");
        (void)snprintf(g->reply_to, sizeof g->reply_to, "%s",
                       batch[i].reply_to ? batch[i].reply_to : "");
    }
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static void on_settled(const marty_sink *sink, uint64_t subscription, marty_verb verb,
                       const uint64_t tags[], size_t count, marty_err result, int64_t until)
{
    harness *h = of(sink);
    (void)subscription, (void)verb, (void)tags, (void)until;
    pthread_mutex_lock(&h->lock);
    unsigned *counter = result == MARTY_OK       ? &h->settled_ok
                        : result == MARTY_E_LOST ? &h->settled_lost
                                                 : &h->settled_failed;
    *counter += (unsigned)count;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static void on_subscribed(const marty_sink *sink, uint64_t subscription, marty_err reason,
                          const char *text)
{
    harness *h = of(sink);
    pthread_mutex_lock(&h->lock);
    unsigned at = 0;
    while (at < h->subscribed_count && h->subscribed[at].number != subscription) {
        at++;
    }
    if (at == h->subscribed_count && at < 63) {
        h->subscribed_count++;
    }
    h->subscribed[at].number = subscription;
    h->subscribed[at].reason = reason;
    h->subscribed[at].count++;
    (void)snprintf(h->subscribed[at].text, sizeof h->subscribed[at].text, "%s", text ? text : "");
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static void on_shards(harness *h, uint64_t subscription, const uint32_t shards[], size_t count,
                      bool ours)
{
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < count; i++) {
        h->shards[subscription % 64][shards[i] % 64] = ours;
    }
    h->assigned += ours ? (unsigned)count : 0;
    h->revoked += ours ? 0 : (unsigned)count;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static void on_assigned(const marty_sink *sink, uint64_t subscription, const uint32_t shards[],
                        size_t count)
{
    on_shards(of(sink), subscription, shards, count, true);
}

static void on_revoked(const marty_sink *sink, uint64_t subscription, const uint32_t shards[],
                       size_t count, int64_t deadline_ns)
{
    (void)deadline_ns;
    on_shards(of(sink), subscription, shards, count, false);
}

static void on_timer(const marty_sink *sink, int64_t at_ns, void (*call)(void *user), void *user)
{
    (void)sink, (void)at_ns, (void)call, (void)user;
}

static void on_log(const marty_sink *sink, int level, const char *text)
{
    (void)sink;
    if (getenv("MARTY_TEST_LOG")) {
        fprintf(stderr, "log %d: %s\n", level, text);
    }
}

static bool on_later(const marty_sink *sink, void (*call)(void *user), void *user)
{
    (void)sink, (void)call, (void)user;
    return false;
}

harness *harness_open(const char *url, char *text, size_t size)
{
    marty_error why = {0};
    harness *h = calloc(1, sizeof *h);
    REQUIRE(h != NULL);
    h->sink = (marty_sink){.abi = MARTY_BACKEND_ABI,
                           .size = sizeof(marty_sink),
                           .env = marty__env_real(),
                           .state = on_state,
                           .published = on_published,
                           .delivered = on_delivered,
                           .settled = on_settled,
                           .subscribed = on_subscribed,
                           .assigned = on_assigned,
                           .revoked = on_revoked,
                           .timer = on_timer,
                           .log = on_log,
                           .later = on_later};
    REQUIRE(pthread_mutex_init(&h->lock, NULL) == 0 && pthread_cond_init(&h->changed, NULL) == 0);
    memset(h->answers, 0xff, sizeof h->answers);
    if (marty_module.open(&h->port, url, &h->sink, &why) != MARTY_OK) {
        (void)snprintf(text, size, "%s", why.text);
        free(h);
        return NULL;
    }
    return h;
}

/* Wait for so long until the predicate holds. */
static bool wait_exactly(harness *h, bool (*holds)(harness *h, uint64_t a, uint64_t b), uint64_t a,
                         uint64_t b, int64_t limit_ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += limit_ms / 1000;
    at.tv_nsec += limit_ms % 1000 * 1000000;
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    pthread_mutex_lock(&h->lock);
    while (!holds(h, a, b)) {
        if (pthread_cond_timedwait(&h->changed, &h->lock, &at) == ETIMEDOUT) {
            break;
        }
    }
    bool held = holds(h, a, b);
    pthread_mutex_unlock(&h->lock);
    return held;
}

static bool wait_until(harness *h, bool (*holds)(harness *h, uint64_t a, uint64_t b), uint64_t a,
                       uint64_t b, int64_t limit_ms)
{
    return wait_exactly(h, holds, a, b, test_patience(limit_ms));
}

static bool is_state(harness *h, uint64_t state, uint64_t unused)
{
    (void)unused;
    return h->state == (marty_state)state;
}

static bool has_ended(harness *h, uint64_t ups, uint64_t downs)
{
    return h->ups > ups || h->downs > downs;
}

static bool has_answer(harness *h, uint64_t token, uint64_t unused)
{
    (void)unused;
    return (int)h->answers[token] != -1;
}

static bool has_delivered(harness *h, uint64_t count, uint64_t unused)
{
    (void)unused;
    return h->delivered >= count;
}

static bool has_settled(harness *h, uint64_t count, uint64_t unused)
{
    (void)unused;
    return h->settled_ok >= count;
}

static bool has_shards(harness *h, uint64_t subscription, uint64_t count)
{
    unsigned have = 0;
    for (int i = 0; i < 64; i++) {
        have += h->shards[subscription % 64][i];
    }
    return have == count;
}

static unsigned subscribed_count(harness *h, uint64_t number, marty_err *ret_reason)
{
    for (unsigned i = 0; i < h->subscribed_count; i++) {
        if (h->subscribed[i].number == number) {
            *ret_reason = h->subscribed[i].reason;
            (void)snprintf(h->last_error, sizeof h->last_error, "%s", h->subscribed[i].text);
            return h->subscribed[i].count;
        }
    }
    return 0;
}

static bool is_subscribed(harness *h, uint64_t number, uint64_t count)
{
    marty_err ignored;
    return subscribed_count(h, number, &ignored) > count;
}

marty_err harness_connect(harness *h)
{
    marty_error why = {0};
    pthread_mutex_lock(&h->lock);
    unsigned ups = h->ups, downs = h->downs;
    pthread_mutex_unlock(&h->lock);
    marty_err err = marty_module.connect(h->port, &why);
    if (err) {
        return err;
    }
    if (!wait_until(h, has_ended, ups, downs, 10000)) {
        return MARTY_E_TIMEOUT;
    }
    pthread_mutex_lock(&h->lock);
    err = h->state == MARTY_STATE_UP ? MARTY_OK : h->reason;
    pthread_mutex_unlock(&h->lock);
    return err;
}

marty_err harness_reach(harness *h)
{
    int64_t until = test_now_ms() + test_patience(10000);
    marty_err err;
    do {
        err = harness_connect(h);
    } while (err && marty_err_describe(err)->error_class == MARTY_CLASS_RETRY &&
             test_now_ms() < until);
    return err;
}

harness *harness_up(const test_server *server, const char *keys)
{
    char url[1024], text[512] = "";
    test_server_url(server, url, 512);
    size_t size = strlen(url);
    (void)snprintf(url + size, sizeof url - size, "%s%s", *keys ? "?" : "", keys);
    harness *h = harness_open(url, text, sizeof text);
    if (!CHECK(h != NULL) || !CHECK_INT(harness_reach(h), MARTY_OK)) {
        fprintf(stderr, "%s: %s\n", url, h ? h->text : text);
        exit(1);
    }
    return h;
}

void harness_close(harness *h)
{
    marty_module.close(h->port, marty__monotonic_ns() + 5000000000);
    CHECK(wait_until(h, is_state, MARTY_STATE_CLOSED, 0, 10000));
    marty_module.free(h->port);
    for (unsigned i = 0; i < h->delivered; i++) {
        marty_message_unref(h->deliveries[i].incoming.message);
    }
    CHECK_INT(h->answered, h->next_token);
    CHECK_INT(h->answered_twice, 0);
    free(h);
}

uint64_t harness_send(harness *h, marty_outgoing *outgoing, const marty_message *template_)
{
    marty_error why = {0};
    marty_message *message = NULL;
    size_t taken = 0;
    REQUIRE(marty_message_new(&message, template_, NULL, &why) == MARTY_OK);
    outgoing->token = ++h->next_token;
    outgoing->message = message;
    marty_err err = MARTY_E_FULL;
    int64_t until = test_now_ms() + test_patience(10000);
    while (err == MARTY_E_FULL && test_now_ms() < until) {
        err = marty_module.publish(h->port, outgoing, 1, &taken, &why);
        if (err == MARTY_E_FULL) {
            check__pause();
        }
    }
    if (err || taken != 1) {
        pthread_mutex_lock(&h->lock);
        h->answers[outgoing->token] = err;
        h->answered++;
        (void)snprintf(h->last_error, sizeof h->last_error, "%s", why.text);
        pthread_mutex_unlock(&h->lock);
    }
    marty_message_unref(message);
    return outgoing->token;
}

marty_err harness_wait_answer(harness *h, uint64_t token, int64_t limit_ms)
{
    return wait_until(h, has_answer, token, 0, limit_ms) ? h->answers[token] : MARTY_E_INTERNAL;
}

marty_err harness_publish_as(harness *h, marty_outgoing *outgoing, const marty_message *template_)
{
    return harness_wait_answer(h, harness_send(h, outgoing, template_), 8000);
}

marty_err harness_publish(harness *h, marty_kind kind, const char *channel, const char *type,
                          const char *data, char *ret_position)
{
    marty_outgoing outgoing = {.channel = {.kind = kind, .name = channel}};
    marty_message template_ = {.type = type, .data = marty_text(data)};
    marty_err err = harness_publish_as(h, &outgoing, &template_);
    if (ret_position) {
        memcpy(ret_position, h->positions[outgoing.token], 24);
    }
    return err;
}

marty_want harness_want(marty_kind kind, const char *channel, const char *group, uint32_t credit)
{
    return (marty_want){.channel = {.kind = kind, .name = channel, .group = group},
                        .credit = credit};
}

static unsigned subscribed_now(harness *h, uint64_t number, marty_err *ret_reason)
{
    pthread_mutex_lock(&h->lock);
    unsigned count = subscribed_count(h, number, ret_reason);
    pthread_mutex_unlock(&h->lock);
    return count;
}

marty_err harness_subscribe(harness *h, uint64_t number, const marty_want *want)
{
    marty_error why = {0};
    marty_err reason = MARTY_OK;
    unsigned before = subscribed_now(h, number, &reason);
    marty_err err = marty_module.subscribe(h->port, number, want, &why);
    if (err) {
        (void)snprintf(h->last_error, sizeof h->last_error, "%s", why.text);
        return err;
    }
    if (!wait_until(h, is_subscribed, number, before, 10000)) {
        return MARTY_E_TIMEOUT;
    }
    (void)subscribed_now(h, number, &reason);
    return reason;
}

bool harness_subscribed(harness *h, uint64_t number)
{
    marty_err reason = MARTY_E_UNAVAILABLE;
    pthread_mutex_lock(&h->lock);
    bool is = subscribed_count(h, number, &reason) > 0 && reason == MARTY_OK;
    pthread_mutex_unlock(&h->lock);
    return is;
}

marty_err harness_unsubscribe(harness *h, uint64_t number)
{
    marty_err reason = MARTY_OK;
    unsigned before = subscribed_now(h, number, &reason);
    marty_module.unsubscribe(h->port, number);
    if (!wait_until(h, is_subscribed, number, before, 10000)) {
        return MARTY_E_TIMEOUT;
    }
    (void)subscribed_now(h, number, &reason);
    return reason;
}

bool harness_wait_delivered(harness *h, unsigned count, int64_t limit_ms)
{
    return wait_until(h, has_delivered, count, 0, limit_ms);
}

bool harness_wait_state(harness *h, marty_state state, int64_t limit_ms)
{
    return wait_until(h, is_state, state, 0, limit_ms);
}

bool harness_wait_settled(harness *h, unsigned ok, int64_t limit_ms)
{
    return wait_until(h, has_settled, ok, 0, limit_ms);
}

bool harness_wait_shards(harness *h, uint64_t subscription, unsigned count, int64_t limit_ms)
{
    return wait_until(h, has_shards, subscription, count, limit_ms);
}

unsigned harness_delivered(harness *h)
{
    pthread_mutex_lock(&h->lock);
    unsigned count = h->delivered;
    pthread_mutex_unlock(&h->lock);
    return count;
}

void harness_grant(harness *h, uint64_t number, uint32_t credit)
{
    marty_module.grant(h->port, number, credit);
}

void harness_settle(harness *h, unsigned index, marty_verb verb, uint32_t delay_ms)
{
    pthread_mutex_lock(&h->lock);
    marty_settling settling = {.subscription = h->deliveries[index].incoming.subscription,
                               .tag = h->deliveries[index].incoming.tag,
                               .verb = verb,
                               .delay_ms = delay_ms,
                               .attempt = h->deliveries[index].incoming.attempt};
    pthread_mutex_unlock(&h->lock);
    marty_module.settle(h->port, &settling, 1);
    if (verb != MARTY_SETTLE_EXTEND) {
        marty_module.grant(h->port, settling.subscription, 1);
    }
}

void harness_settle_all(harness *h, unsigned from, marty_verb verb)
{
    unsigned count = harness_delivered(h);
    for (unsigned i = from; i < count; i++) {
        harness_settle(h, i, verb, 0);
    }
}

static bool more_than(harness *h, uint64_t count, uint64_t unused)
{
    (void)unused;
    return h->delivered > count;
}

bool harness_quiet(harness *h, int64_t for_ms)
{
    return !wait_exactly(h, more_than, harness_delivered(h), 0, for_ms);
}

test_server *harness_server(const char *which, const test_server_options *options)
{
    char why[512] = "";
    test_server *server = calloc(1, sizeof *server);
    test_server_options with = options ? *options : (test_server_options){0};
    with.kind = which && strcmp(which, "old") == 0 ? TEST_NATS_OLD : TEST_NATS_NEW;
    REQUIRE(server != NULL);
    if (!test_server_find(with.kind, server->binary, sizeof server->binary, why, sizeof why)) {
        printf("skipped: %s\n", why);
        exit(77);
    }
    if (!test_server_start(server, &with, why, sizeof why)) {
        fprintf(stderr, "the server does not start: %s\n", why);
        exit(1);
    }
    return server;
}
