/* SPDX-License-Identifier: Apache-2.0
 * Connections of the store, in the event-loop mode of the library: whoever makes a call reads and
 * writes the socket itself, while the link is its own, up to its deadline. Calls are sent together
 * and answered in any order. A lost connection is made anew by the next call, to the next server.
 */
#include "kv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BUFFER = 128 * 1024, CONNECT_PAUSE_MS = 100 };

bool kv_link_init(kv_link *link)
{
    link->fd = -1;
    return marty__gate_init(&link->gate);
}

static int64_t now_ns(const marty_saga_store *store)
{
    return store->env.monotonic_ns(store->env.user);
}

bool kv_is_late(const marty_saga_store *store, int64_t until_ns)
{
    return now_ns(store) >= until_ns;
}

static int left_ms(const marty_saga_store *store, int64_t until_ns)
{
    int64_t left_ns = until_ns - now_ns(store);
    return left_ns <= 0 ? 0 : left_ns > INT64_C(60000000000) ? 60000 : (int)(left_ns / 1000000) + 1;
}

static int64_t sooner(const marty_saga_store *store, int64_t until_ns, int ms)
{
    int64_t then_ns = now_ns(store) + (int64_t)ms * 1000000;
    return then_ns < until_ns ? then_ns : until_ns;
}

/* ---- what the library tells */
static natsStatus on_attach(void **user, void *loop, natsConnection *nc, natsSock socket)
{
    kv_link *link = loop;
    (void)nc;
    link->fd = (int)socket;
    *user = link;
    return NATS_OK;
}

static natsStatus on_read(void *user, bool add)
{
    ((kv_link *)user)->lost |= !add;
    return NATS_OK;
}

static natsStatus on_write(void *user, bool add)
{
    ((kv_link *)user)->wants_write = add;
    return NATS_OK;
}

static natsStatus on_detach(void *user)
{
    ((kv_link *)user)->lost = true;
    return NATS_OK;
}

/* Close without waiting for a server that may not answer. */
static void disconnect(kv_link *link)
{
    natsConnection *nc = link->nc;
    if (!nc) {
        return;
    }
    (void)shutdown(link->fd, SHUT_RDWR);
    for (int i = 0; i < 64 && !natsConnection_IsClosed(nc); i++) {
        natsConnection_ProcessReadEvent(nc);
    }
    natsConnection_Close(nc);
    natsSubscription_Destroy(link->inbox);
    natsSubscription_Destroy(link->feed);
    natsConnection_Destroy(nc);
    link->nc = NULL;
    link->inbox = link->feed = NULL;
    link->fd = -1;
}

static marty_err connect_to(marty_saga_store *store, kv_link *link, const marty_url_host *host,
                            marty_error *why)
{
    natsOptions *options = NULL;
    uint16_t port = host->port ? host->port : NATS__PORT;
    char where[300], subject[sizeof link->base + 2], id[17];
    uint64_t chance = 0;
    if (natsOptions_Create(&options) != NATS_OK) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory to connect");
    }
    link->lost = link->wants_write = false;
    natsStatus s = natsOptions_SetEventLoop(options, link, on_attach, on_read, on_write, on_detach);
    s = s ? s : natsOptions_SetSendAsap(options, true);
    s = s ? s : natsOptions_SetIOBufSize(options, BUFFER);
    marty_err err = s ? marty_error_set(why, MARTY_E_NO_MEMORY, "nats: %s", natsStatus_GetText(s))
                      : nats__library_options(&store->options, options, host->host, port, why);
    (void)snprintf(where, sizeof where, "nats://%s:%u", host->host, (unsigned)port);
    if (!err && (s = natsConnection_Connect(&link->nc, options)) != NATS_OK) {
        err = nats__refused(&store->options, false, where, s, why);
        link->nc = NULL;
    }
    natsOptions_Destroy(options);
    store->env.random(store->env.user, &chance, sizeof chance);
    (void)snprintf(id, sizeof id, "%016llx", (unsigned long long)chance);
    (void)snprintf(link->base, sizeof link->base, "%.48s.%s", store->options.inbox, id);
    (void)snprintf(subject, sizeof subject, "%s.*", link->base);
    if (!err && natsConnection_SubscribeSync(&link->inbox, link->nc, subject) != NATS_OK) {
        err = marty_error_set(why, MARTY_E_UNAVAILABLE, "%s: no inbox", where);
        disconnect(link);
    }
    if (!err) {
        (void)natsSubscription_SetPendingLimits(link->inbox, -1, -1);
        int64_t payload_max = natsConnection_GetMaxPayload(link->nc);
        atomic_store(&store->payload_max, payload_max > 0 ? (size_t)payload_max : 0);
    }
    return err;
}

/* Each server once, from where the last one was found. One that fails is not the first of the next
 * call: it may be frozen, and take the time of each. */
static marty_err connect_any(marty_saga_store *store, kv_link *link, int64_t until_ns,
                             marty_error *why)
{
    static const marty_url_host local = {"127.0.0.1", NATS__PORT};
    const marty_url *url = store->options.url;
    size_t count = url->host_count ? url->host_count : 1;
    marty_err err = MARTY_E_UNAVAILABLE;
    for (size_t i = 0; i < count && err && (i == 0 || !kv_is_late(store, until_ns)); i++) {
        size_t at = link->host_next % count;
        err = connect_to(store, link, url->host_count ? &url->hosts[at] : &local, why);
        link->host_next += err != MARTY_OK;
    }
    return err;
}

bool kv_pump(marty_saga_store *store, kv_link *link, int64_t until_ns)
{
    if (link->wants_write && !link->lost) {
        natsConnection_ProcessWriteEvent(link->nc);
    }
    if (link->lost || natsConnection_IsClosed(link->nc)) {
        link->lost = true;
        return false;
    }
    struct pollfd one = {.fd = link->fd,
                         .events = (short)(POLLIN | (link->wants_write ? POLLOUT : 0))};
    int found = poll(&one, 1, left_ms(store, until_ns));
    if (found > 0 && (one.revents & POLLOUT)) {
        natsConnection_ProcessWriteEvent(link->nc);
    }
    if (found > 0 && (one.revents & (POLLIN | POLLERR | POLLHUP)) && !link->lost) {
        natsConnection_ProcessReadEvent(link->nc);
    }
    return !link->lost;
}

void kv_pause(marty_saga_store *store, kv_link *link, int64_t until_ns)
{
    (void)store;
    (void)link;
    int ms = left_ms(store, until_ns);
    (void)poll(NULL, 0, ms < KV_PAUSE_MS ? ms : KV_PAUSE_MS);
}

/* ---- who uses a link. OpenSSL may raise SIGPIPE, which is not the program's business. */
static void shut_out_sigpipe(kv_link *link)
{
    sigset_t pipe;
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe, &link->before);
}

static void let_in_sigpipe(const sigset_t *before)
{
    static const struct timespec at_once = {0, 0};
    sigset_t pipe;
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    if (!sigismember(before, SIGPIPE)) {
        while (sigtimedwait(&pipe, NULL, &at_once) < 0 && errno == EINTR) {
        }
        (void)pthread_sigmask(SIG_SETMASK, before, NULL);
    }
}

marty_err kv_enter(marty_saga_store *store, kv_link *link, int64_t until_ns, marty_error *why)
{
    nats__library_open();
    if (!marty__gate_enter(&link->gate, until_ns)) {
        return marty_error_set(why, MARTY_E_TIMEOUT,
                               "nothing was done: another call has had the bucket all the time, "
                               "perhaps a local step that does not return");
    }
    shut_out_sigpipe(link);
    if (link->lost) {
        disconnect(link);
    }
    marty_err err = link->nc ? MARTY_OK : connect_any(store, link, until_ns, why);
    while (err == MARTY_E_UNAVAILABLE && !kv_is_late(store, until_ns)) {
        (void)poll(NULL, 0, left_ms(store, sooner(store, until_ns, CONNECT_PAUSE_MS)));
        err = connect_any(store, link, until_ns, why);
    }
    if (err) {
        kv_leave(link);
    }
    return err;
}

void kv_leave(kv_link *link)
{
    sigset_t before = link->before;
    marty__gate_leave(&link->gate);
    let_in_sigpipe(&before);
}

void kv_link_free(kv_link *link)
{
    shut_out_sigpipe(link);
    disconnect(link);
    let_in_sigpipe(&link->before);
    marty__gate_free(&link->gate);
}

/* ---- calls and their answers */
static natsStatus send_one(kv_link *link, kv_call *call, uint64_t number)
{
    char reply[sizeof link->base + 24], revision[24];
    (void)snprintf(reply, sizeof reply, "%s.%llu", link->base, (unsigned long long)number);
    if (!call->puts) {
        return natsConnection_PublishRequest(link->nc, call->subject, reply, call->text,
                                             (int)strlen(call->text));
    }
    natsMsg *message = NULL;
    natsStatus s =
        natsMsg_Create(&message, call->subject, reply, call->body.data, (int)call->body.size);
    if (!s && call->facts[0]) {
        s = natsMsgHeader_Set(message, "Marty-Saga", call->facts);
    }
    if (!s && call->gone) {
        s = natsMsgHeader_Set(message, "KV-Operation", "DEL");
    }
    if (!s && call->expects) {
        (void)snprintf(revision, sizeof revision, "%llu", (unsigned long long)call->expected);
        s = natsMsgHeader_Set(message, "Nats-Expected-Last-Subject-Sequence", revision);
    }
    s = s ? s : natsConnection_PublishMsg(link->nc, message);
    natsMsg_Destroy(message);
    return s;
}

static void take_answer(kv_call *call, natsMsg *answer)
{
    json_error_t error;
    call->json =
        json_loadb(natsMsg_GetData(answer), (size_t)natsMsg_GetDataLength(answer), 0, &error);
    const json_t *failed = json_object_get(call->json, "error");
    call->answered = call->json != NULL;
    if (failed) {
        call->code = (int)json_integer_value(json_object_get(failed, "err_code"));
        call->code =
            call->code ? call->code : (int)json_integer_value(json_object_get(failed, "code"));
        call->code = call->code ? call->code : -1;
    }
    call->seq = (uint64_t)json_integer_value(json_object_get(call->json, "seq"));
}

/* What has come. *unheard counts the server's words that nobody takes such calls now: it does not
 * say which. Returns how many were answered. */
static size_t take_all(kv_link *link, kv_call *const calls[], size_t count, uint64_t first,
                       size_t *unheard)
{
    size_t taken = 0;
    int waiting = 0;
    while (natsSubscription_GetPending(link->inbox, &waiting, NULL) == NATS_OK && waiting > 0) {
        natsMsg *answer = NULL;
        natsStatus s = natsSubscription_NextMsg(&answer, link->inbox, 0);
        if (s == NATS_NO_RESPONDERS) {
            ++*unheard;
        } else if (s) {
            break;
        } else {
            uint64_t number =
                strtoull(natsMsg_GetSubject(answer) + strlen(link->base) + 1, NULL, 10);
            if (number >= first && number - first < count && !calls[number - first]->answered) {
                take_answer(calls[number - first], answer);
                taken += calls[number - first]->answered;
            }
        }
        natsMsg_Destroy(answer);
    }
    return taken;
}

void kv_exchange(marty_saga_store *store, kv_link *link, kv_call *const calls[], size_t count,
                 int64_t until_ns)
{
    int64_t try_ns = sooner(store, until_ns, KV_TRY_MS);
    size_t answered = 0, unheard = 0;
    uint64_t first = link->next;
    if (link->lost || !link->nc) {
        disconnect(link);
        if (connect_any(store, link, try_ns, &link->why) != MARTY_OK) {
            link->lost = true;
        }
    }
    for (size_t i = 0; i < count; i++) {
        calls[i]->answered = false;
        calls[i]->code = -1;
        calls[i]->unsent = link->lost;
        if (!link->lost) {
            calls[i]->code = 0;
            link->lost |= send_one(link, calls[i], link->next++) != NATS_OK;
        }
    }
    while (!link->lost && answered + unheard < count) {
        answered += take_all(link, calls, count, first, &unheard);
        if (answered + unheard >= count || kv_is_late(store, try_ns) ||
            !kv_pump(store, link, try_ns)) {
            break;
        }
    }
    answered += link->nc ? take_all(link, calls, count, first, &unheard) : 0;
    if (!answered && !unheard) { /* a server that is silent may be gone: to the next one */
        link->lost = true;
        link->host_next++;
    }
    for (size_t i = 0; i < count; i++) {
        if (!calls[i]->answered) {
            calls[i]->code = -1;
        }
    }
}
