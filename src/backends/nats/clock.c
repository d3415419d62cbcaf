/* SPDX-License-Identifier: Apache-2.0
 * The server's clock, kept as a time and when we had it: schedules and times to live must not trust
 * two machines' clocks to agree. Any thread; learning it waits for the server. */
#include "parts.h"

#include <stdio.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)

/* The server says what time it is: a schedule must not trust two machines' clocks to agree. Counted
 * from when we asked, so it is never behind the server's own, and nothing fires early. */
void nats__clock_note(marty_port *port, const char *time_text, int64_t asked_ns)
{
    int64_t now_ns = nats__now_ns(port), slack_ns = now_ns - asked_ns;
    int64_t us = nats__parse_time(time_text);
    pthread_mutex_lock(&port->lock);
    bool stale = now_ns - port->clock_ns > 60 * SECOND_NS;
    if (us > 0 && (port->clock_us == 0 || stale || slack_ns < port->clock_slack_ns)) {
        port->clock_us = us;
        port->clock_ns = asked_ns;
        port->clock_slack_ns = slack_ns;
    }
    pthread_mutex_unlock(&port->lock);
}

void nats__clock_learn(marty_port *port, const nats__channel *channel)
{
    char what[2 * NATS__NAME_MAX + 48];
    bool queue = channel->kind == MARTY_KIND_QUEUE; /* takes one consumer only */
    const char *stream = queue ? "KV_marty" : channel->stream;
    json_t *answer = NULL;
    marty_error ignored = {0};
    pthread_mutex_lock(&port->lock);
    bool known = port->clock_us > 0;
    pthread_mutex_unlock(&port->lock);
    if (known || port->api_level >= NATS__LEVEL_TTL ||
        (queue && nats__bucket_ensure(port, &ignored) != MARTY_OK)) {
        return;
    }
    json_t *body =
        json_pack("{s:s, s:{s:s, s:s, s:I}}", "stream_name", stream, "config", "ack_policy", "none",
                  "deliver_policy", "new", "inactive_threshold", (json_int_t)SECOND_NS);
    (void)snprintf(what, sizeof what, "CONSUMER.CREATE.%s", stream);
    int64_t asked_ns = nats__now_ns(port);
    if (nats__api(port, what, body, nats__api_deadline(port), &answer, NULL, &ignored) == 0) {
        const char *name = json_string_value(json_object_get(answer, "name"));
        nats__clock_note(port, json_string_value(json_object_get(answer, "created")), asked_ns);
        (void)nats__consumer_remove(port, stream, name ? name : "", &ignored);
    }
    json_decref(answer);
    json_decref(body);
}
