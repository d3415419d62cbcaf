/* SPDX-License-Identifier: Apache-2.0
 * publish, send, broadcast, stream and request of `marty peer`: each is answered when its outcome
 * is known, so many can be under way. */
#include "peer.h"

#include <marty/adapter.h>

typedef struct pending { /* one call that is not answered yet */
    peer *self;
    char *id;
    bool exact;
} pending;

static pending *pending_new(peer *self, const peer_bus *bus)
{
    pending *call = cli_alloc(sizeof *call);
    call->self = self;
    call->id = cli_strdup(self->id);
    call->exact = bus->exact;
    return call;
}

static void pending_free(pending *call)
{
    marty_free(call->id);
    marty_free(call);
}

static void outcome_json(cli_text *text, const marty_outcome *outcome)
{
    cli_text_put(text, "{\"id\":");
    cli_text_json(text, outcome->id, strlen(outcome->id));
    cli_text_format(text, ",\"outcome\":\"%s\"",
                    outcome->err == MARTY_OK               ? "stored"
                    : outcome->err == MARTY_E_MAYBE_STORED ? "maybe stored"
                                                           : "not stored");
    if (outcome->err == MARTY_OK) {
        cli_text_format(text, ",\"level\":\"%s\"", cli_level_name(outcome->level));
    } else {
        cli_text_format(text, ",\"error\":\"%s\"", marty_err_describe(outcome->err)->name);
    }
    if (outcome->backend) {
        cli_text_put(text, ",\"backend\":");
        cli_text_json(text, outcome->backend, strlen(outcome->backend));
    }
    if (outcome->channel) {
        cli_text_put(text, ",\"channel\":");
        cli_text_json(text, outcome->channel, strlen(outcome->channel));
    }
    if (outcome->position[0]) {
        cli_text_put(text, ",\"position\":");
        cli_text_json(text, outcome->position, strlen(outcome->position));
    }
    cli_text_put(text, "}");
}

static void on_done(void *user, const marty_outcome *outcomes, size_t count)
{
    pending *call = user;
    cli_text extra = {0};
    marty_err err = MARTY_OK;
    size_t i;
    cli_text_put(&extra, ",\"outcomes\":[");
    for (i = 0; i < count; i++) {
        cli_text_put(&extra, i ? "," : "");
        outcome_json(&extra, &outcomes[i]);
        err = err ? err : outcomes[i].err;
    }
    cli_text_put(&extra, "]");
    if (err) {
        peer_failed(call->self, call->id, err, NULL, extra.data);
    } else {
        peer_ok(call->self, call->id, extra.data);
    }
    cli_text_free(&extra);
    pending_free(call);
}

static marty_err options_make(peer *self, marty_publish_options *options, marty_error *why)
{
    const char *level = peer_text(self, "level"), *at = peer_text(self, "deliver_at");
    const json_t *settles = json_object_get(self->request, "settles");
    peer_item *settled = settles ? peer_get(self, &self->deliveries, settles, false) : NULL;
    marty_level known;
    memset(options, 0, sizeof *options);
    if (settles && !settled) {
        return marty_error_set(why, MARTY_E_STATE, "settles: no such delivery, or settled already");
    }
    options->settles = settled ? ((peer_delivery *)(void *)settled)->delivery : NULL;
    options->timeout_ms = peer_ms(self, "timeout_ms");
    options->deliver_in_ms = peer_small(self, "deliver_in_ms");
    options->expires_in_ms = peer_small(self, "expires_in_ms");
    options->once = peer_text(self, "once");
    options->wait_for_room = peer_true(self, "wait_for_room");
    options->cancel_key = peer_cancel_key(self, peer_text(self, "cancel"));
    if (at && !cli_time_parse(&options->deliver_at_us, at)) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "deliver_at: a time such as 2026-11-01T10:00:00Z was expected");
    }
    for (known = MARTY_LEVEL_ANY; level && known <= MARTY_LEVEL_REPLICATED; known++) {
        if (strcmp(level, cli_level_name(known)) == 0) {
            options->level = known;
            level = NULL;
        }
    }
    return level ? marty_error_set(why, MARTY_E_ARGUMENT,
                                   "level: one of memory, written, synced, replicated was expected")
                 : MARTY_OK;
}

/* One message in "message", or many in "messages". */
static marty_err templates_make(const peer *self, cli_template **ret_templates, size_t *ret_count,
                                marty_error *why)
{
    const json_t *many = json_object_get(self->request, "messages");
    size_t count = many ? json_array_size(many) : 1, i, made = 0;
    cli_template *templates = cli_alloc((count + 1) * sizeof *templates);
    marty_err err = MARTY_OK;
    for (i = 0; i < count && !err; i++) {
        json_t *one = many ? json_array_get(many, i) : json_object_get(self->request, "message");
        err = peer_template(&templates[i], one, why);
        made += err == MARTY_OK;
    }
    if (err) {
        for (i = 0; i < made; i++) {
            cli_template_free(&templates[i]);
        }
        marty_free(templates);
        return err;
    }
    *ret_templates = templates;
    *ret_count = count;
    return MARTY_OK;
}

static void templates_free(cli_template *templates, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++) {
        cli_template_free(&templates[i]);
    }
    marty_free(templates);
}

static marty_err publish(peer *self, marty_pattern pattern, const char *to, marty_error *why)
{
    marty_publish_options options = {0};
    cli_template *templates = NULL;
    const marty_message **messages;
    peer_bus *bus = NULL;
    pending *call;
    size_t count = 0, i;
    marty_err err = peer_bus_of(self, &bus, why);
    err = err ? err : templates_make(self, &templates, &count, why);
    if (err) {
        return err;
    }
    err = options_make(self, &options, why);
    messages = cli_alloc((count + 1) * sizeof(marty_message *));
    for (i = 0; i < count; i++) {
        messages[i] = &templates[i].message;
    }
    call = pending_new(self, bus);
    options.done = on_done;
    options.user = call;
    self->later = true; /* the answer may be out before the call returns */
    err = err ? err : marty_publish(bus->bus, pattern, to, messages, count, &options, why);
    if (err) {
        self->later = false;
        pending_free(call);
    }
    if (!err && options.settles) { /* the call has it now */
        json_t *name = json_object_get(self->request, "settles");
        marty_free(peer_get(self, &self->deliveries, name, true));
        marty_delivery_release(options.settles);
    }
    marty_free(messages);
    templates_free(templates, count);
    return err;
}

marty_err peer_op_publish(peer *self, marty_error *why)
{
    marty_pattern pattern = MARTY_EVENT;
    marty_err err = peer_pattern_of(self, MARTY_EVENT, &pattern, why);
    return err ? err : publish(self, pattern, peer_text(self, "to"), why);
}

static marty_err publish_to(peer *self, marty_pattern pattern, const char *field, marty_error *why)
{
    const char *to = peer_text(self, field);
    return to ? publish(self, pattern, to, why)
              : marty_error_set(why, MARTY_E_ARGUMENT, "%s: it is missing", field);
}

marty_err peer_op_send(peer *self, marty_error *why)
{
    return publish_to(self, MARTY_COMMAND, "service", why);
}

marty_err peer_op_stream(peer *self, marty_error *why)
{
    return publish_to(self, MARTY_STREAM, "stream", why);
}

marty_err peer_op_broadcast(peer *self, marty_error *why)
{
    return publish(self, MARTY_BROADCAST, NULL, why);
}

static void on_answer(void *user, const marty_message *reply, const marty_error *error)
{
    pending *call = user;
    cli_text extra = {0};
    if (reply) {
        cli_text_put(&extra, ",\"reply\":");
        cli_message_json(&extra, reply, NULL, call->exact);
        peer_ok(call->self, call->id, extra.data);
    } else {
        peer_failed(call->self, call->id, error ? error->code : MARTY_E_FAILED, error, "");
    }
    cli_text_free(&extra);
    pending_free(call);
}

marty_err peer_op_request(peer *self, marty_error *why)
{
    marty_query_options options = {0};
    cli_template made = {0};
    peer_bus *bus = NULL;
    pending *call;
    const char *service = peer_text(self, "service");
    marty_err err = peer_bus_of(self, &bus, why);
    if (!err && !service) {
        err = marty_error_set(why, MARTY_E_ARGUMENT, "service: it is missing");
    }
    err = err ? err : peer_template(&made, json_object_get(self->request, "message"), why);
    if (err) {
        return err;
    }
    call = pending_new(self, bus);
    options.with = &made.message;
    options.timeout_ms = peer_ms(self, "timeout_ms");
    options.cancel_key = peer_cancel_key(self, peer_text(self, "cancel"));
    options.done = on_answer;
    options.user = call;
    self->later = true;
    err = marty_query(bus->bus, service, made.message.type, made.message.data, &options, NULL, why);
    if (err) {
        self->later = false;
        pending_free(call);
    }
    cli_template_free(&made);
    return err;
}
