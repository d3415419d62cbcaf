/* SPDX-License-Identifier: Apache-2.0
 * marty peer: the loop over requests. A request is one JSON object on a line, with "op" and, so
 * that its answer can be told from others, "id". */
#include "peer.h"

#include <marty/adapter.h>
#include <stdlib.h>

#define PUBLISH                                                                                    \
    "message|messages|timeout_ms|deliver_in_ms|deliver_at|expires_in_ms|level|settles|once|"       \
    "wait_for_room|cancel"
#define SUBSCRIBE                                                                                  \
    "pattern|name|group|service|concurrency|order|batch_max|batch_wait_ms|credit|keep_max_ms|"     \
    "lease_ms|"                                                                                    \
    "from|position|reset|attempts|retry_first_ms|retry_max_ms|no_jitter|timeout_ms|paused|pull|"   \
    "settle|start"

/* Every operation and the fields it has beside op, id and bus. */
static const struct {
    const char *name;
    peer_op run;
    const char *fields;
} ops[] = {
    {"open", peer_op_open,
     "where|config_text|service|instance|source|lazy|workers|timeout_ms|drain_ms|inflight_max|"
     "exact|states|log"},
    {"close", peer_op_close, "timeout_ms"},
    {"start", peer_op_start, ""},
    {"flush", peer_op_flush, "timeout_ms"},
    {"report", peer_op_report, "report"},
    {"topology", peer_op_topology, "verb|channel|force"},
    {"unschedule", peer_op_unschedule, "pattern|to|type|message_id"},
    {"dead_letters", peer_op_dead_letters, "channel|verb|only|force"},
    {"cancel", peer_op_cancel, "cancel"},
    {"publish", peer_op_publish, PUBLISH "|pattern|to"},
    {"send", peer_op_send, PUBLISH "|service"},
    {"broadcast", peer_op_broadcast, PUBLISH},
    {"stream", peer_op_stream, PUBLISH "|stream"},
    {"request", peer_op_request, "service|message|timeout_ms|cancel"},
    {"subscribe", peer_op_subscribe, SUBSCRIBE},
    {"handle", peer_op_handle, SUBSCRIBE},
    {"receive", peer_op_receive, "subscription|timeout_ms"},
    {"unsubscribe", peer_op_unsubscribe, "subscription|timeout_ms"},
    {"stop", peer_op_stop, "subscription"},
    {"pause", peer_op_pause, "subscription|paused"},
    {"concurrency", peer_op_concurrency, "subscription|concurrency"},
    {"seek", peer_op_seek, "subscription|from|position|to"},
    {"stats", peer_op_stats, "subscription"},
    {"settle", peer_op_settle, "delivery|verb|delay_ms|reason"},
    {"reply", peer_op_reply, "delivery|message"},
    {"fail", peer_op_fail, "delivery|class|code|text"},
    {"check", peer_op_check, "delivery"},
    {"version", peer_op_version, ""},
};
enum { OP_COUNT = sizeof ops / sizeof ops[0] };

static marty_err unknown_op(const char *name, marty_error *why)
{
    const char *names[OP_COUNT], *near;
    size_t i;
    for (i = 0; i < OP_COUNT; i++) {
        names[i] = ops[i].name;
    }
    near = name ? cli_suggest(name, names, OP_COUNT) : NULL;
    if (!name) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "op: it is missing");
    }
    return marty_error_set(why, MARTY_E_ARGUMENT, "op: no \"%s\"%s%s%s", name,
                           near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static marty_err run_op(peer *self, marty_error *why)
{
    const char *name = peer_text(self, "op");
    marty_err err;
    size_t i;
    for (i = 0; name && i < OP_COUNT; i++) {
        if (strcmp(ops[i].name, name) == 0) {
            char known[512];
            (void)snprintf(known, sizeof known, "op|id|bus%s%s", ops[i].fields[0] ? "|" : "",
                           ops[i].fields);
            err = peer_fields_check(self->request, known, why);
            return err ? err : ops[i].run(self, why);
        }
    }
    return unknown_op(name, why);
}

static void handle_line(peer *self, const char *line, size_t size)
{
    json_error_t wrong;
    marty_error why = {0};
    marty_err err;
    char *id;
    self->request = peer_parse(line, size, false, &wrong);
    if (!json_is_object(self->request)) {
        err = marty_error_set(&why, MARTY_E_MALFORMED, "column %d: %s", wrong.column,
                              self->request ? "an object was expected" : wrong.text);
        peer_failed(self, "null", err, &why, "");
        json_decref(self->request);
        return;
    }
    id = json_object_get(self->request, "id")
             ? json_dumps(json_object_get(self->request, "id"), JSON_ENCODE_ANY | JSON_COMPACT)
             : NULL;
    self->id = id ? id : cli_strdup("null");
    self->later = false;
    cli_text_clear(&self->answer);
    cli_text_put(&self->answer, "");
    err = run_op(self, &why);
    if (err) {
        peer_failed(self, self->id, err, &why, "");
    } else if (!self->later) {
        peer_ok(self, self->id, self->answer.data);
    }
    if (id) {
        free(id); /* jansson's */
    } else {
        marty_free(self->id);
    }
    json_decref(self->request);
    self->request = NULL;
}

static void end(peer *self)
{
    peer_key *key;
    marty_error why;
    self->request = json_object();
    while (peer_op_close(self, &why) != MARTY_E_ARGUMENT) {
        /* each bus that is open still, the newest first */
    }
    json_decref(self->request);
    while ((key = self->keys) != NULL) {
        self->keys = key->next;
        marty_free(key->name);
        marty_free(key);
    }
    cli_text_free(&self->answer);
}

static int run(cli_run *cli)
{
    peer *self = cli_alloc(sizeof *self);
    cli_lines lines = {0};
    const char *line;
    size_t size;
    self->cli = cli;
    self->buses.letter = 'b';
    self->subscriptions.letter = 's';
    self->deliveries.letter = 'd';
    (void)pthread_mutex_init(&self->out, NULL);
    (void)pthread_mutex_init(&self->tables, NULL);
    (void)pthread_cond_init(&self->received, NULL);
    while (!cli->out.broken && cli_lines_next(&lines, &line, &size, true) == CLI_LINE) {
        if (size) {
            handle_line(self, line, size);
        }
    }
    end(self);
    int code = cli_lines_close(cli, &lines);
    if (!self->outlived) {
        (void)pthread_mutex_destroy(&self->out);
        (void)pthread_mutex_destroy(&self->tables);
        (void)pthread_cond_destroy(&self->received);
        marty_free(self);
    }
    return code;
}

const cli_verb cli_verb_peer = {
    .name = "peer",
    .arguments = "",
    .summary = "the library as JSON lines on stdin and stdout, for other languages and tests",
    .text = "Each line on stdin is a request, {\"id\": 1, \"op\": \"open\", \"where\": "
            "\"sqlite:orders.db\", \"service\": \"billing\"}; each line on stdout an answer, "
            "{\"id\": 1, \"ok\": true, \"bus\": \"b1\"}, or an event such as a delivery. It ends, "
            "and gives back what is not settled, when stdin ends. The whole of it: "
            "docs/reference/peer.md.",
    .examples = "printf '%s\\n' '{\"op\": \"open\", \"where\": \"memory:\"}' | marty peer",
    .tables = {cli_flags_common},
    .run = run,
};
