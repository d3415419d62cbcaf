/* SPDX-License-Identifier: Apache-2.0
 * What a case has made in a cluster goes when the case ends: each stream and each consumer of three
 * copies is a group of its own that votes and beats, and hundreds of idle ones cost more than the
 * case that runs. The runner's one thread. */
#include "runner.h"

#include "support/nats_wire.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { ANSWER_MS = 1000 };

/* "c21topic" of "c21topicevents__order", not of "c21topicsevents__order". */
static bool is_of(const char *stream, const char *tag)
{
    static const char *const kinds[] = {"events",  "commands", "queries",
                                        "streams", "dead",     "retry"};
    size_t length = strlen(tag);
    bool of = false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && strncmp(stream, tag, length) == 0;
         i++) {
        of = of || strncmp(stream + length, kinds[i], strlen(kinds[i])) == 0;
    }
    return of;
}

static void forget(nats_wire *wire, json_t *names, const char *tag)
{
    size_t index;
    json_t *name;
    json_array_foreach(names, index, name)
    {
        char subject[320];
        const char *text = json_string_value(name);
        if (text && is_of(text, tag)) {
            snprintf(subject, sizeof subject, "$JS.API.STREAM.DELETE.%.200s", text);
            nats_wire_publish(wire, subject, "_INBOX.forgotten", NULL, "", 0);
        }
    }
}

void target_forget(const target *self, const char *tag)
{
    static nats_wire wire;
    static nats_wire_message answer;
    if (!self->cluster || !nats_wire_connect(&wire, self->servers[0].port, NULL, NULL)) {
        return;
    }
    if (nats_wire_subscribe(&wire, "_INBOX.names") &&
        nats_wire_publish(&wire, "$JS.API.STREAM.NAMES", "_INBOX.names", NULL, "", 0) &&
        nats_wire_next(&wire, &answer, ANSWER_MS)) {
        json_t *list = json_loadb(answer.body, answer.size, 0, NULL);
        forget(&wire, json_object_get(list, "streams"), tag);
        json_decref(list);
    }
    nats_wire_close(&wire);
}
