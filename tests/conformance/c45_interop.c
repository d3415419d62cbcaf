/* SPDX-License-Identifier: Apache-2.0
 * C45: a client that knows nothing of Marty reads what we publish, and we read what it publishes,
 * as the CloudEvents binding of that broker says; and what it garbles goes to the dead letters
 * (C18). */
#include "broker.h"
#include "contracts.h"

#include "support/nats_wire.h"

#include <stdio.h>
#include <string.h>

static nats_wire wire;
static nats_wire_message got;

static test_server server;

static marty_bus *open_server(void)
{
    test_server_options options = broker_options();
    options.tls = false; /* the foreign client speaks plain text */
    broker_start(&server, &options);
    EXPECT(nats_wire_connect(&wire, server.port, NULL, NULL), "the foreign client cannot connect");
    return suite_open("billing", NULL);
}

static void expect_header(const char *name, const char *value)
{
    const char *have = nats_wire_header(&got, name);
    EXPECT(strcmp(have, value) == 0, "the header %s is \"%s\", not \"%s\"; all: %s", name, have,
           value, got.headers);
}

void c45_foreign_reads(void)
{
    marty_error why = {0};
    marty_bus *bus = open_server();
    EXPECT(nats_wire_subscribe(&wire, "events.order.>"), "the foreign client cannot subscribe");
    marty_header header = {"tenant", marty_text("north"), MARTY_ATTRIBUTE};
    marty_message message = {.type = "order.created",
                             .id = "7",
                             .source = "/shop",
                             .subject = "orders/7",
                             .data = marty_text("{\"id\":7}"),
                             .headers = &header,
                             .header_count = 1};
    EXPECT_OK(suite_try_publish(bus, MARTY_EVENT, NULL, &message, NULL, NULL, &why), &why,
              "publishing");
    EXPECT(nats_wire_next(&wire, &got, 10000), "the foreign client got nothing");
    EXPECT(strcmp(got.subject, "events.order.created") == 0, "the subject is %s", got.subject);
    expect_header("ce-specversion", "1.0");
    expect_header("ce-id", "7");
    expect_header("ce-type", "order.created");
    expect_header("ce-source", "/shop");
    expect_header("ce-subject", "orders/7");
    expect_header("ce-tenant", "north");
    EXPECT(got.size == 8 && memcmp(got.body, "{\"id\":7}", 8) == 0, "the body is %s", got.body);
}

void c45_we_read(void)
{
    static const char binary[] = "ce-specversion: 1.0\r\nce-id: 8\r\nce-type: order.created\r\n"
                                 "ce-source: /other\r\nce-tenant: south\r\n"
                                 "content-type: application/json\r\n";
    static const char structured[] =
        "{\"specversion\":\"1.0\",\"id\":\"9\",\"type\":\"order.created\",\"source\":\"/other\","
        "\"datacontenttype\":\"application/json\",\"data\":{\"id\":9}}";
    marty_bus *bus = open_server();
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", heard_, NULL);
    suite_start(bus);
    EXPECT(nats_wire_publish(&wire, "events.order.created", NULL, binary, "{\"id\":8}", 8),
           "the foreign client cannot publish");
    EXPECT(nats_wire_publish(&wire, "events.order.created", NULL,
                             "content-type: application/cloudevents+json\r\n", structured,
                             sizeof structured - 1),
           "the foreign client cannot publish");
    EXPECT(recorder_wait(heard_, 2, 10000), "of 2 foreign messages %zu came",
           recorder_unique(heard_));
    heard first = recorder_at(heard_, 0), second = recorder_at(heard_, 1);
    EXPECT(strcmp(first.id, "8") == 0 && strcmp(first.body, "{\"id\":8}") == 0,
           "the binary one came as %s with %s", first.id, first.body);
    EXPECT(strcmp(second.id, "9") == 0 && strstr(second.body, "9"),
           "the structured one came as %s with %s", second.id, second.body);
}

static marty_err answer_greeting(void *user, marty_delivery *query)
{
    (void)user;
    marty_error why = {0};
    marty_message reply = {.data = marty_text("\"hello\"")};
    return marty_reply(query, &reply, &why);
}

void c45_foreign_asks(void)
{
    static const char headers[] = "ce-specversion: 1.0\r\nce-id: 10\r\nce-type: greeting\r\n"
                                  "ce-source: /other\r\n";
    marty_error why = {0};
    marty_bus *bus = open_server();
    EXPECT_OK(marty_handle_queries(bus, "greeting", answer_greeting, NULL, NULL, NULL, &why), &why,
              "handling queries");
    suite_start(bus);
    EXPECT(nats_wire_subscribe(&wire, "_INBOX.foreign"), "the foreign client cannot subscribe");
    EXPECT(nats_wire_publish(&wire, "queries.billing.greeting", "_INBOX.foreign", headers, "", 0),
           "the foreign client cannot ask");
    EXPECT(nats_wire_next(&wire, &got, 10000), "the foreign client got no answer");
    EXPECT(strcmp(got.body, "\"hello\"") == 0, "it got %s", got.body);
    expect_header("ce-causationid", "10");
}

void c18_foreign(void)
{
    marty_bus *bus = open_server();
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_EVENT, "order.*", heard_, NULL);
    suite_start(bus);
    EXPECT(nats_wire_publish(&wire, "events.order.created", NULL, "x-odd: 1\r\n", "not\0one", 7),
           "the foreign client cannot publish");
    suite_publish(bus, MARTY_EVENT, NULL, "order.created", "good-0000", NULL, "x");
    recorder_expect(heard_, "good", 0, 1, 1);
    suite_dead dead[2];
    EXPECT(suite_wait_dead(bus, "events.order", 1, dead, 2) == 1, "not one dead letter");
    EXPECT(!dead[0].readable && dead[0].raw_size == 7 && memcmp(dead[0].raw, "not\0one", 7) == 0,
           "the raw bytes are %zu: %.20s", dead[0].raw_size, dead[0].raw);
}
