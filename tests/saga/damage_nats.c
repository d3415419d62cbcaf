/* SPDX-License-Identifier: Apache-2.0
 * See damage.h: messages of a bucket. What the engine wrote is heard from the start on, and written
 * again with what was changed. */
#include "damage.h"

#include "check.h"
#include "support/nats_wire.h"

#define START "$KV.damaged.s."
enum { LIMIT_MS = 10000 };

static nats_wire wire;
static nats_wire_message last[DAMAGE_SAGAS], heard;

void damage_watch(const char *url)
{
    int port = 0;
    REQUIRE(sscanf(url, "nats://127.0.0.1:%d", &port) == 1);
    REQUIRE(nats_wire_connect(&wire, port, NULL, NULL));
    REQUIRE(nats_wire_subscribe(&wire, "$KV.damaged.>"));
    REQUIRE(nats_wire_subscribe(&wire, "_INBOX.damage"));
}

/* All that was heard up to the answer to the last one that we have published. */
static void hear(char ids[DAMAGE_SAGAS][40])
{
    do {
        REQUIRE(nats_wire_next(&wire, &heard, LIMIT_MS));
        for (int i = 0; i < DAMAGE_SAGAS; i++) {
            bool his = strncmp(heard.subject, START, strlen(START)) == 0 &&
                       strcmp(heard.subject + strlen(START), ids[i]) == 0;
            last[i] = his ? heard : last[i];
        }
    } while (strcmp(heard.subject, "_INBOX.damage") != 0);
    CHECK_HAS(heard.body, "\"seq\"");
}

static void put(const char *id, const char *facts, const void *body, size_t size)
{
    char subject[128], headers[1200];
    (void)snprintf(subject, sizeof subject, START "%s", id);
    (void)snprintf(headers, sizeof headers, "Marty-Saga: %s\r\n", facts);
    REQUIRE(nats_wire_publish(&wire, subject, "_INBOX.damage", headers, body, size));
}

/* The facts of one, with its timer due and, unless that is NULL, another shard. */
static void facts_of(int which, const char *shard, char ret[1100])
{
    char words[7][32], rest[800];
    REQUIRE(sscanf(nats_wire_header(&last[which], "Marty-Saga"),
                   "%31s %31s %31s %31s %31s %31s %31s %*s %799[^\r]", words[0], words[1], words[2],
                   words[3], words[4], words[5], words[6], rest) == 8);
    (void)snprintf(ret, 1100, "%s %s %s %s %s %s %s 1 %s", words[0], words[1], words[2], words[3],
                   shard ? shard : words[4], words[5], words[6], rest);
}

void damage_do(const char *url, char ids[DAMAGE_SAGAS][40])
{
    static nats_wire_message before[DAMAGE_SAGAS];
    char facts[1100];
    (void)url;
    REQUIRE(nats_wire_publish(&wire, "$KV.damaged.mark", "_INBOX.damage", NULL, "", 0));
    hear(ids);
    memcpy(before, last, sizeof before);
    for (int i = 0; i < DAMAGE_SAGAS; i++) {
        const nats_wire_message *body = &before[i == DAMAGE_ANOTHERS ? DAMAGE_WHOLE : i];
        bool rubbish = i == DAMAGE_RUBBISH;
        facts_of(i, i == DAMAGE_SHARD || rubbish ? "9999" : NULL, facts);
        put(ids[i], i == DAMAGE_FACTS ? "nonsense" : facts, rubbish ? "\x0b\xad" : body->body,
            rubbish ? 2 : body->size);
        hear(ids);
    }
    nats_wire_close(&wire);
}
