/* SPDX-License-Identifier: Apache-2.0
 * See wrap.h: the ops and the sink that pass everything through. Messages go to the inner adapter
 * one by one, so that a hook decides on each. */
#include "wrap.h"

#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOME = 64, KINDS = 512 };
static pthread_mutex_t kinds_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    const wrap *of;
    uint64_t subscription;
    marty_kind kind;
} kinds[KINDS];
static size_t kind_count;

static wrap *of_sink(const marty_sink *sink)
{
    wrap *self;
    memcpy(&self, &(const void *){sink}, sizeof self); /* the sink is its first member */
    return self;
}

marty_kind wrap_kind(wrap *self, uint64_t subscription)
{
    marty_kind kind = (marty_kind)0;
    pthread_mutex_lock(&kinds_lock);
    for (size_t i = 0; i < kind_count; i++) {
        if (kinds[i].of == self && kinds[i].subscription == subscription) {
            kind = kinds[i].kind;
        }
    }
    pthread_mutex_unlock(&kinds_lock);
    return kind;
}

static void remember_kind(const wrap *self, uint64_t subscription, marty_kind kind)
{
    pthread_mutex_lock(&kinds_lock);
    if (kind_count < KINDS) {
        kinds[kind_count].of = self;
        kinds[kind_count].subscription = subscription;
        kinds[kind_count++].kind = kind;
    }
    pthread_mutex_unlock(&kinds_lock);
}

bool wrap_seen(wrap *self, const char *id, uint32_t salt)
{
    uint32_t hash = 2166136261u ^ salt;
    for (; *id; id++) {
        hash = (hash ^ (unsigned char)*id) * 16777619u;
    }
    bool seen = false;
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->seen_count && !seen; i++) {
        seen = self->seen[i] == hash;
    }
    if (!seen && self->seen_count < WRAP_SEEN) {
        self->seen[self->seen_count++] = hash;
    }
    pthread_mutex_unlock(&self->lock);
    return seen;
}

bool wrap_every(wrap *self, uint64_t n)
{
    pthread_mutex_lock(&self->lock);
    bool now = ++self->count % n == 0;
    pthread_mutex_unlock(&self->lock);
    return now;
}

marty_message *wrap_remake(const marty_message *template_)
{
    marty_error why = {0};
    marty_message *made = NULL;
    marty_message copy = *template_;
    copy.marty__self = NULL;
    if (marty_message_new(&made, &copy, NULL, &why)) {
        fprintf(stderr, "the wrapper cannot make a message: %s\n", why.text);
        abort();
    }
    return made;
}

void wrap_replace(marty_incoming *one, const marty_message *template_)
{
    marty_message *made = wrap_remake(template_);
    marty_message_unref(one->message);
    one->message = made;
}

/* ---- the sink that the inner adapter has */

static void on_state(const marty_sink *sink, marty_state state, const marty_capabilities *granted,
                     marty_err reason, const char *text)
{
    wrap *self = of_sink(sink);
    marty_capabilities changed;
    if (granted) {
        changed = *granted;
        for (size_t i = 0; i < 8; i++) {
            changed.can[i] |= self->add.can[i];
            changed.can[i] &= ~self->take.can[i];
        }
        if (self->fault && self->fault->granted) {
            self->fault->granted(self, &changed);
        }
    }
    self->core->state(self->core, state, granted ? &changed : NULL, reason, text);
}

static void on_published(const marty_sink *sink, const marty_published results[], size_t count)
{
    wrap *self = of_sink(sink);
    if (!self->fault || !self->fault->published) {
        self->core->published(self->core, results, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        marty_published one = results[i];
        self->fault->published(self, &one);
        if (one.token) {
            self->core->published(self->core, &one, 1);
        }
    }
}

static void on_delivered(const marty_sink *sink, const marty_incoming batch[], size_t count)
{
    wrap *self = of_sink(sink);
    const fault *hooks = self->fault;
    while (count) {
        marty_incoming some[SOME];
        size_t taken = count < SOME ? count : SOME, left = 0;
        for (size_t i = 0; i < taken; i++) {
            some[left] = batch[i];
            left += !hooks || !hooks->deliver || hooks->deliver(self, &some[left]);
        }
        if (hooks && hooks->arrange) {
            hooks->arrange(self, some, left);
        }
        if (left) {
            self->core->delivered(self->core, some, left);
        }
        batch += taken;
        count -= taken;
    }
}

static void on_settled(const marty_sink *sink, uint64_t subscription, marty_verb verb,
                       const uint64_t tags[], size_t count, marty_err result,
                       int64_t lease_until_ns)
{
    wrap *self = of_sink(sink);
    self->core->settled(self->core, subscription, verb, tags, count, result, lease_until_ns);
}

static void on_subscribed(const marty_sink *sink, uint64_t subscription, marty_err reason,
                          const char *text)
{
    wrap *self = of_sink(sink);
    self->core->subscribed(self->core, subscription, reason, text);
}

static void on_assigned(const marty_sink *sink, uint64_t subscription, const uint32_t shards[],
                        size_t count)
{
    wrap *self = of_sink(sink);
    self->core->assigned(self->core, subscription, shards, count);
}

static void on_revoked(const marty_sink *sink, uint64_t subscription, const uint32_t shards[],
                       size_t count, int64_t deadline_ns)
{
    wrap *self = of_sink(sink);
    self->core->revoked(self->core, subscription, shards, count, deadline_ns);
}

static void on_timer(const marty_sink *sink, int64_t at_ns, void (*call)(void *user), void *user)
{
    wrap *self = of_sink(sink);
    self->core->timer(self->core, at_ns, call, user);
}

static void on_log(const marty_sink *sink, int level, const char *text)
{
    wrap *self = of_sink(sink);
    self->core->log(self->core, level, text);
}

static bool on_later(const marty_sink *sink, void (*call)(void *user), void *user)
{
    wrap *self = of_sink(sink);
    return self->core->later(self->core, call, user);
}

/* ---- open: the argument, then the inner URL */

/* "topic.delay+cancel" into masks. */
static bool read_bits(marty_capabilities *ret, const char *words, size_t length)
{
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)length, words);
    for (char *next = text, *word; (word = strsep(&next, "+"));) {
        char *dot = strchr(word, '.');
        unsigned from = 0, to = 7, bit = 1;
        if (dot) {
            *dot = 0;
            for (from = 1; from < 8 && strcmp(suite_kind_name((int)from), word) != 0;) {
                from++;
            }
            to = from;
            word = dot + 1;
        }
        while (suite_bit_name(bit)[0] && strcmp(suite_bit_name(bit), word) != 0) {
            bit <<= 1;
        }
        if (from > 7 || !suite_bit_name(bit)[0]) {
            return false;
        }
        for (unsigned kind = from; kind <= to; kind++) {
            ret->can[kind] |= bit;
        }
    }
    return true;
}

static const fault *find_fault(const fault *table, const char *name, size_t length)
{
    for (; table->name; table++) {
        if (strlen(table->name) == length && strncmp(table->name, name, length) == 0) {
            return table;
        }
    }
    return NULL;
}

static marty_err configure(wrap *self, const char *scheme, const char *argument, size_t length,
                           marty_error *why)
{
    bool fine = true;
    if (strcmp(scheme, "mask") == 0 && length) {
        fine = read_bits(&self->take, argument, length);
    } else if (strcmp(scheme, "claim") == 0) {
        fine = read_bits(&self->add, argument, length);
    } else {
        bool sabotage = strcmp(scheme, "saboteur") == 0;
        self->fault = find_fault(sabotage ? saboteur_faults : twist_tools, argument, length);
        fine = self->fault != NULL;
    }
    return fine ? MARTY_OK
                : marty_error_set(why, MARTY_E_CONFIG, "%s: there is no \"%.*s\"", scheme,
                                  (int)length, argument);
}

static marty_err open_inner(wrap *self, const char *url, marty_error *why)
{
    char scheme[32], argument_scheme[32];
    size_t length = strcspn(url, ":");
    snprintf(argument_scheme, sizeof argument_scheme, "%.*s", (int)length, url);
    const char *argument = url + length + (url[length] == ':');
    size_t argument_length = strcspn(argument, ":");
    marty_err err = configure(self, argument_scheme, argument, argument_length, why);
    if (err) {
        return err;
    }
    const char *rest = argument + argument_length + (argument[argument_length] == ':');
    snprintf(scheme, sizeof scheme, "%.*s", (int)strcspn(rest, ":"), rest);
    err = marty_backend_find(&self->inner, scheme, why);
    return err ? err : self->inner->open(&self->port, rest, &self->sink, why);
}

static marty_err wrap_open(marty_port **ret_port, const char *url, const marty_sink *sink,
                           marty_error *why)
{
    wrap *self = calloc(1, sizeof *self);
    if (!self) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a wrapper");
    }
    self->core = sink;
    self->sink = (marty_sink){.abi = sink->abi,
                              .size = sizeof self->sink,
                              .env = sink->env,
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
    pthread_mutex_init(&self->lock, NULL);
    marty_err err = open_inner(self, url, why);
    if (err) {
        free(self);
        return err;
    }
    *ret_port = self;
    return MARTY_OK;
}

/* ---- the other ops */

static marty_err wrap_connect(marty_port *self, marty_error *why)
{
    return self->inner->connect(self->port, why);
}

static marty_err wrap_publish(marty_port *self, const marty_outgoing batch[], size_t count,
                              size_t *ret_taken, marty_error *why)
{
    if (!self->fault || !self->fault->publish) {
        return self->inner->publish(self->port, batch, count, ret_taken, why);
    }
    *ret_taken = 0;
    for (size_t i = 0; i < count; i++) {
        marty_outgoing one = batch[i];
        marty_published answer = {.token = one.token, .level = MARTY_LEVEL_MEMORY};
        bool forward = self->fault->publish(self, &one, &answer);
        size_t taken = 1;
        marty_err err = MARTY_OK;
        if (forward) {
            err = self->inner->publish(self->port, &one, 1, &taken, why);
        } else if (answer.token) {
            self->core->published(self->core, &answer, 1);
        }
        if (one.message != batch[i].message) {
            marty_message *made;
            memcpy(&made, &one.message, sizeof made);
            marty_message_unref(made);
        }
        if (err || !taken) {
            return *ret_taken ? MARTY_OK : err;
        }
        ++*ret_taken;
    }
    return MARTY_OK;
}

static marty_err wrap_cancel(marty_port *self, const marty_channel *channel, const char *id,
                             uint64_t token, marty_error *why)
{
    if (self->fault && self->fault->cancel && !self->fault->cancel(self)) {
        marty_published answer = {.token = token};
        self->core->published(self->core, &answer, 1);
        return MARTY_OK;
    }
    if (!self->inner->cancel) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED, "the inner backend cannot cancel");
    }
    return self->inner->cancel(self->port, channel, id, token, why);
}

static marty_err wrap_subscribe(marty_port *self, uint64_t subscription, const marty_want *want,
                                marty_error *why)
{
    marty_want mine = *want;
    remember_kind(self, subscription, want->channel.kind);
    if (self->fault && self->fault->subscribe &&
        !self->fault->subscribe(self, subscription, &mine)) {
        self->core->subscribed(self->core, subscription, MARTY_OK, "");
        return MARTY_OK;
    }
    return self->inner->subscribe(self->port, subscription, &mine, why);
}

static void wrap_grant(marty_port *self, uint64_t subscription, uint32_t credit)
{
    if (self->fault && self->fault->grant) {
        credit = self->fault->grant(self, credit);
    }
    self->inner->grant(self->port, subscription, credit);
}

static void wrap_settle(marty_port *self, const marty_settling batch[], size_t count)
{
    if (!self->fault || !self->fault->settle) {
        self->inner->settle(self->port, batch, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        marty_settling one = batch[i];
        if (self->fault->settle(self, &one)) {
            self->inner->settle(self->port, &one, 1);
            continue;
        }
        int64_t lease = batch[i].verb == MARTY_SETTLE_EXTEND ? INT64_MAX : 0;
        self->core->settled(self->core, batch[i].subscription, batch[i].verb, &batch[i].tag, 1,
                            MARTY_OK, lease);
    }
}

static void wrap_unsubscribe(marty_port *self, uint64_t subscription)
{
    if (self->fault && self->fault->unsubscribe && !self->fault->unsubscribe(self, subscription)) {
        self->core->subscribed(self->core, subscription, MARTY_E_CLOSED, "");
        return;
    }
    self->inner->unsubscribe(self->port, subscription);
}

static void wrap_close(marty_port *self, int64_t deadline_ns)
{
    self->inner->close(self->port, deadline_ns);
}

static void wrap_free(marty_port *self)
{
    self->inner->free(self->port);
    marty_message_unref(self->held);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

static marty_err wrap_topology(marty_port *self, const char *verb, const marty_want *what,
                               int64_t deadline_ns, marty_message **ret_answer, marty_error *why)
{
    if (self->fault && self->fault->topology && !self->fault->topology(self, verb)) {
        marty_message answer = {.type = "answer", .data = marty_text("{\"erased\":1}")};
        return marty_message_new(ret_answer, &answer, NULL, why);
    }
    if (!self->inner->topology) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED, "the inner backend has no topology");
    }
    return self->inner->topology(self->port, verb, what, deadline_ns, ret_answer, why);
}

void wrap_register(void)
{
    static const char *const schemes[] = {"saboteur", "twist", "mask", "claim"};
    static marty_capabilities claims;
    static marty_backend tables[4];
    for (size_t i = 0; i < 8; i++) {
        claims.can[i] = UINT64_MAX;
    }
    claims.level = MARTY_LEVEL_REPLICATED;
    for (size_t i = 0; i < 4; i++) {
        tables[i] = (marty_backend){.abi = MARTY_BACKEND_ABI,
                                    .size = sizeof tables[i],
                                    .scheme = schemes[i],
                                    .package = "the suite",
                                    .claims = &claims,
                                    .open = wrap_open,
                                    .connect = wrap_connect,
                                    .publish = wrap_publish,
                                    .cancel = wrap_cancel,
                                    .subscribe = wrap_subscribe,
                                    .grant = wrap_grant,
                                    .settle = wrap_settle,
                                    .unsubscribe = wrap_unsubscribe,
                                    .close = wrap_close,
                                    .free = wrap_free,
                                    .topology = wrap_topology};
        marty_error why = {0};
        if (marty_backend_register(&tables[i], &why)) {
            fprintf(stderr, "%s\n", why.text);
            abort();
        }
    }
}
