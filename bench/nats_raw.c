/* SPDX-License-Identifier: Apache-2.0
 * Raw libnats doing the same job: every message is the same CloudEvent with the same header lines
 * on a subject of about the same length, made with the library's own header calls. Asynchronous
 * confirmed publishing with ids; an own pull loop of two overlapping requests with the same filter,
 * messages in flight and explicit acks; core publish to an asynchronous subscription; request and
 * reply with SendAsap. What would only cost the raw side is left out: it reads no clock, makes no
 * real ids, and its consumers do not look at the headers (the library would build a map of them).
 */
#include "nats_raw.h"

#include <nats/nats.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PULL = 1000, BUFFER = 128 * 1024 };

static void check(bench_side *side, natsStatus status, const char *doing)
{
    if (status != NATS_OK) {
        bench_fail(side, "%s: %s", doing, natsStatus_GetText(status));
    }
}

static natsConnection *open_raw(const bench_job *job, bench_side *side, bool asap)
{
    natsOptions *options = NULL;
    natsConnection *connection = NULL;
    check(side, natsOptions_Create(&options), "options");
    check(side, natsOptions_SetURL(options, job->url), "url");
    check(side, natsOptions_SetSendAsap(options, asap), "asap");
    check(side, natsOptions_SetIOBufSize(options, BUFFER), "buffers");
    check(side, natsOptions_SetMaxPendingMsgs(options, 10000000), "pending");
    check(side, natsConnection_Connect(&connection, options), "connect");
    natsOptions_Destroy(options);
    return connection;
}

/* ---- what is sent */
static void set_id(natsMsg *message, bench_side *side, long number, bool stored)
{
    char id[48];
    (void)snprintf(id, sizeof id, "01a0b1c2-0000-7000-8000-%012lx", number);
    natsStatus s = natsMsgHeader_Set(message, "ce-id", id);
    s = s ? s : natsMsgHeader_Set(message, "ce-correlationid", id);
    s = s ? s : natsMsgHeader_Set(message, "ce-causationid", id);
    s = s || !stored ? s : natsMsgHeader_Set(message, "Nats-Msg-Id", id);
    check(side, s, "id");
}

static natsMsg *make_event(bench_side *side, const char *subject, const char *reply,
                           const void *data, int size)
{
    natsMsg *message = NULL;
    natsStatus s = natsMsg_Create(&message, subject, reply, data, size);
    s = s ? s : natsMsgHeader_Set(message, "ce-specversion", "1.0");
    s = s ? s : natsMsgHeader_Set(message, "ce-type", "bench.done");
    s = s ? s : natsMsgHeader_Set(message, "ce-source", "/bench");
    s = s ? s : natsMsgHeader_Set(message, "ce-time", "2026-11-25T12:00:00.000000Z");
    s = s ? s : natsMsgHeader_Set(message, "content-type", "application/json");
    check(side, s, "message");
    return message;
}

static void make_stream(natsConnection *connection, bench_side *side, jsCtx **ret_js, char *name,
                        size_t size)
{
    jsStreamConfig config;
    static char subjects[2][64];
    (void)snprintf(name, size, "raw%devents__bench", (int)getpid());
    (void)snprintf(subjects[0], sizeof subjects[0], "raw%d.events.bench", (int)getpid());
    (void)snprintf(subjects[1], sizeof subjects[1], "raw%d.events.bench.>", (int)getpid());
    const char *list[] = {subjects[0], subjects[1]};
    check(side, jsStreamConfig_Init(&config), "config");
    config.Name = name;
    config.Subjects = list;
    config.SubjectsLen = 2;
    config.Storage = js_FileStorage;
    jsOptions options;
    check(side, jsOptions_Init(&options), "options");
    options.PublishAsync.MaxPending = 4096;
    check(side, natsConnection_JetStream(ret_js, connection, &options), "jetstream");
    jsErrCode code = 0;
    check(side, js_AddStream(NULL, *ret_js, &config, NULL, &code), "stream");
}

static void publish_all(const bench_job *job, bench_side *side, jsCtx *js, long count)
{
    char subject[64];
    char *data = calloc(1, job->size);
    (void)snprintf(subject, sizeof subject, "raw%d.events.bench.done", (int)getpid());
    jsPubOptions options;
    check(side, jsPubOptions_Init(&options), "options");
    options.MaxWait = 30000;
    for (long i = 0; i < count; i++) {
        natsMsg *message = make_event(side, subject, NULL, data, (int)job->size);
        set_id(message, side, i, true);
        natsStatus status;
        while ((status = js_PublishMsgAsync(js, &message, &options)) == NATS_TIMEOUT) {
        }
        check(side, status, "publish");
    }
    jsPubOptions wait;
    check(side, jsPubOptions_Init(&wait), "options");
    wait.MaxWait = 60000;
    check(side, js_PublishAsyncComplete(js, &wait), "outcomes");
    free(data);
}

void raw_nats_publish(const bench_job *job, bench_side *side)
{
    char stream[64];
    jsCtx *js = NULL;
    natsConnection *connection = open_raw(job, side, false);
    make_stream(connection, side, &js, stream, sizeof stream);
    bench_begin(side);
    publish_all(job, side, js, job->count);
    bench_end(side);
    (void)js_DeleteStream(js, stream, NULL, NULL);
}

/* ---- consuming */
typedef struct pull {
    natsConnection *connection;
    char request[160], inbox[64], body[64];
    atomic_long seen;
    long asked;
} pull;

static void ask(pull *self)
{
    (void)natsConnection_PublishRequestString(self->connection, self->request, self->inbox,
                                              self->body);
    self->asked += PULL;
}

static void on_message(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
                       void *user)
{
    pull *self = user;
    (void)subscription;
    if (natsMsg_GetReply(message)) {
        (void)natsConnection_PublishString(connection, natsMsg_GetReply(message), "+ACK");
        long seen = atomic_fetch_add(&self->seen, 1) + 1;
        if (self->asked - seen <= PULL) {
            ask(self);
        }
    }
    natsMsg_Destroy(message);
}

static void wait_for(bench_side *side, atomic_long *counter, long count)
{
    int64_t until = bench_now_ns() + INT64_C(60000000000);
    while (atomic_load(counter) < count) {
        struct timespec moment = {.tv_nsec = 50000};
        (void)nanosleep(&moment, NULL);
        if (bench_now_ns() > until) {
            bench_fail(side, "%ld of %ld came", atomic_load(counter), count);
        }
    }
}

void raw_nats_consume(const bench_job *job, bench_side *side)
{
    char stream[64];
    jsCtx *js = NULL;
    jsConsumerConfig config;
    natsSubscription *subscription = NULL;
    static pull self;
    self.connection = open_raw(job, side, false);
    make_stream(self.connection, side, &js, stream, sizeof stream);
    publish_all(job, side, js, job->count);
    check(side, jsConsumerConfig_Init(&config), "config");
    config.Durable = "bench";
    config.AckPolicy = js_AckExplicit;
    config.MaxAckPending = 4 * PULL;
    char filter[64];
    (void)snprintf(filter, sizeof filter, "raw%d.events.bench.*", (int)getpid());
    config.FilterSubject = filter;
    check(side, js_AddConsumer(NULL, js, stream, &config, NULL, NULL), "consumer");
    (void)snprintf(self.request, sizeof self.request, "$JS.API.CONSUMER.MSG.NEXT.%s.bench", stream);
    (void)snprintf(self.inbox, sizeof self.inbox, "_INBOX.bench%d", (int)getpid());
    (void)snprintf(self.body, sizeof self.body, "{\"batch\":%d,\"expires\":20000000000}", PULL);
    check(side,
          natsConnection_Subscribe(&subscription, self.connection, self.inbox, on_message, &self),
          "subscribe");
    check(side, natsSubscription_SetPendingLimits(subscription, -1, -1), "limits");
    bench_begin(side);
    ask(&self);
    ask(&self);
    wait_for(side, &self.seen, job->count);
    check(side, natsConnection_Flush(self.connection), "flush");
    bench_end(side);
    (void)js_DeleteStream(js, stream, NULL, NULL);
}

/* ---- core */
static void count_one(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
                      void *user)
{
    (void)connection;
    (void)subscription;
    (void)atomic_fetch_add((atomic_long *)user, 1);
    natsMsg_Destroy(message);
}

void raw_nats_one_way(const bench_job *job, bench_side *side)
{
    static atomic_long seen;
    natsConnection *in = open_raw(job, side, false), *out = open_raw(job, side, false);
    natsSubscription *subscription = NULL;
    char *data = calloc(1, job->size);
    natsMsg *message =
        make_event(side, "raw12345.broadcast.bench.done", NULL, data, (int)job->size);
    check(
        side,
        natsConnection_Subscribe(&subscription, in, "raw12345.broadcast.bench.>", count_one, &seen),
        "subscribe");
    check(side, natsSubscription_SetPendingLimits(subscription, -1, -1), "limits");
    check(side, natsConnection_Flush(in), "flush");
    bench_begin(side);
    for (long i = 0; i < job->count; i++) {
        set_id(message, side, i, false);
        check(side, natsConnection_PublishMsg(out, message), "publish");
    }
    check(side, natsConnection_FlushTimeout(out, 30000), "flush");
    wait_for(side, &seen, job->count);
    bench_end(side);
    natsMsg_Destroy(message);
    free(data);
}

static void answer(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
                   void *user)
{
    (void)subscription;
    natsMsg *reply = make_event(user, natsMsg_GetReply(message), NULL, natsMsg_GetData(message),
                                natsMsg_GetDataLength(message));
    set_id(reply, user, 1, false);
    (void)natsConnection_PublishMsg(connection, reply);
    natsMsg_Destroy(reply);
    natsMsg_Destroy(message);
}

void raw_nats_request(const bench_job *job, bench_side *side)
{
    natsConnection *in = open_raw(job, side, true), *out = open_raw(job, side, true);
    natsSubscription *subscription = NULL;
    int64_t *ns = calloc((size_t)job->count, sizeof *ns);
    char *data = calloc(1, job->size);
    static const char subject[] = "raw12345.queries.user.profile";
    check(side, natsConnection_Subscribe(&subscription, in, subject, answer, side), "subscribe");
    check(side, natsConnection_Flush(in), "flush");
    bench_begin(side);
    for (long i = 0; i < job->count; i++) {
        natsMsg *reply = NULL;
        int64_t began = bench_now_ns();
        natsMsg *request = make_event(side, subject, NULL, data, (int)job->size);
        set_id(request, side, i, false);
        check(side, natsConnection_RequestMsg(&reply, out, request, 5000), "request");
        ns[i] = bench_now_ns() - began;
        natsMsg_Destroy(request);
        natsMsg_Destroy(reply);
    }
    bench_end(side);
    bench_latencies(side, ns, (size_t)job->count);
    free(data);
    free(ns);
}
