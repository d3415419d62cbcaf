/* SPDX-License-Identifier: Apache-2.0
 * nats, raw: libnats, asynchronous confirmed publishes to a JetStream stream of its own, and a
 * consumer whose callback acks each. */
#include "open.h"

#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct client {
    natsConnection *connection;
    jsCtx *js;
    natsSubscription *subscription;
    char stream[48], subject[64];
} client;

static void check(natsStatus status, const char *what)
{
    if (status != NATS_OK) {
        open_fail(what, natsStatus_GetText(status));
    }
}

static void on_ack(jsCtx *js, natsMsg *message, jsPubAck *ack, jsPubAckErr *error, void *user)
{
    int64_t due_ns;
    (void)js, (void)ack;
    if (error) {
        open_fail("publish", error->ErrText ? error->ErrText : natsStatus_GetText(error->Err));
    }
    memcpy(&due_ns, natsMsg_GetData(message), sizeof due_ns);
    open_stored(user, due_ns);
    natsMsg_Destroy(message);
}

static void on_message(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
                       void *user)
{
    (void)connection, (void)subscription;
    open_delivered(user, natsMsg_GetData(message));
    (void)natsMsg_Ack(message, NULL);
    natsMsg_Destroy(message);
}

static void open_it(open_run *run)
{
    static client self;
    jsOptions options;
    jsStreamConfig stream;
    jsSubOptions consumer;
    const char *subjects[] = {self.subject};
    char url[1024];
    run->own = &self;
    (void)snprintf(url, sizeof url, "%.*s", (int)strcspn(run->url, "?"), run->url);
    (void)snprintf(self.stream, sizeof self.stream, "bench_raw_%d", (int)getpid());
    (void)snprintf(self.subject, sizeof self.subject, "bench.raw.%d", (int)getpid());
    check(natsConnection_ConnectTo(&self.connection, url), url);
    check(jsOptions_Init(&options), "options");
    options.PublishAsync.MaxPending = 10000;
    options.PublishAsync.AckHandler = on_ack;
    options.PublishAsync.AckHandlerClosure = run;
    check(natsConnection_JetStream(&self.js, self.connection, &options), "JetStream");
    check(jsStreamConfig_Init(&stream), "stream");
    stream.Name = self.stream;
    stream.Subjects = subjects;
    stream.SubjectsLen = 1;
    check(js_AddStream(NULL, self.js, &stream, NULL, NULL), self.stream);
    check(jsSubOptions_Init(&consumer), "consumer");
    consumer.ManualAck = true;
    consumer.Config.AckPolicy = js_AckExplicit;
    check(js_Subscribe(&self.subscription, self.js, self.subject, on_message, run, NULL, &consumer,
                       NULL),
          "consumer");
}

static void send_it(open_run *run, const char *data, const int64_t due_ns[], size_t count)
{
    client *self = run->own;
    (void)due_ns;
    for (size_t i = 0; i < count; i++) {
        check(js_PublishAsync(self->js, self->subject, data + i * run->size, (int)run->size, NULL),
              "publish");
    }
}

static void close_it(open_run *run)
{
    client *self = run->own;
    natsSubscription_Destroy(self->subscription);
    (void)js_DeleteStream(self->js, self->stream, NULL, NULL);
    jsCtx_Destroy(self->js);
    natsConnection_Destroy(self->connection);
    nats_Close();
}

const open_client open_nats = {"nats", open_it, send_it, close_it};
