/* SPDX-License-Identifier: Apache-2.0
 * Raw libnats: asynchronous confirmed publishing with ids, an own pull loop of two overlapping
 * requests with explicit acks, core publish to an asynchronous subscription, request and reply with
 * SendAsap. */
#include "nats_raw.h"

#include <nats/nats.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PULL = 500 };

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
    check(side, natsOptions_SetMaxPendingMsgs(options, 10000000), "pending");
    check(side, natsConnection_Connect(&connection, options), "connect");
    natsOptions_Destroy(options);
    return connection;
}

static void make_stream(natsConnection *connection, bench_side *side, jsCtx **ret_js, char *name,
                        size_t size)
{
    jsStreamConfig config;
    static char subject[64];
    (void)snprintf(name, size, "raw%d", (int)getpid());
    (void)snprintf(subject, sizeof subject, "raw.%d", (int)getpid());
    const char *subjects[] = {subject};
    check(side, jsStreamConfig_Init(&config), "config");
    config.Name = name;
    config.Subjects = subjects;
    config.SubjectsLen = 1;
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
    char subject[64], id[48];
    char *data = calloc(1, job->size);
    (void)snprintf(subject, sizeof subject, "raw.%d", (int)getpid());
    for (long i = 0; i < count; i++) {
        jsPubOptions options;
        check(side, jsPubOptions_Init(&options), "options");
        (void)snprintf(id, sizeof id, "01a0b1c2-0000-7000-8000-%012lx", i);
        options.MsgId = id;
        options.MaxWait = 5000;
        natsStatus status;
        while ((status = js_PublishAsync(js, subject, data, (int)job->size, &options)) ==
               NATS_TIMEOUT) {
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
    check(side, natsConnection_Subscribe(&subscription, in, "raw.oneway", count_one, &seen),
          "subscribe");
    check(side, natsSubscription_SetPendingLimits(subscription, -1, -1), "limits");
    check(side, natsConnection_Flush(in), "flush");
    bench_begin(side);
    for (long i = 0; i < job->count; i++) {
        check(side, natsConnection_Publish(out, "raw.oneway", data, (int)job->size), "publish");
    }
    check(side, natsConnection_FlushTimeout(out, 30000), "flush");
    wait_for(side, &seen, job->count);
    bench_end(side);
    free(data);
}

static void answer(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
                   void *user)
{
    (void)subscription;
    (void)user;
    (void)natsConnection_Publish(connection, natsMsg_GetReply(message), natsMsg_GetData(message),
                                 natsMsg_GetDataLength(message));
    natsMsg_Destroy(message);
}

void raw_nats_request(const bench_job *job, bench_side *side)
{
    natsConnection *in = open_raw(job, side, true), *out = open_raw(job, side, true);
    natsSubscription *subscription = NULL;
    int64_t *ns = calloc((size_t)job->count, sizeof *ns);
    char *data = calloc(1, job->size);
    check(side, natsConnection_Subscribe(&subscription, in, "raw.request", answer, NULL),
          "subscribe");
    check(side, natsConnection_Flush(in), "flush");
    bench_begin(side);
    for (long i = 0; i < job->count; i++) {
        natsMsg *reply = NULL;
        int64_t began = bench_now_ns();
        check(side, natsConnection_Request(&reply, out, "raw.request", data, (int)job->size, 5000),
              "request");
        ns[i] = bench_now_ns() - began;
        natsMsg_Destroy(reply);
    }
    bench_end(side);
    bench_latencies(side, ns, (size_t)job->count);
    free(data);
    free(ns);
}
