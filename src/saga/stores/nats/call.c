/* SPDX-License-Identifier: Apache-2.0
 * Calls: writing a key, reading one, removing; what their answers mean. Reads go to the leader of
 * the stream, never to a copy that may lag. The link is entered by whoever calls. */
#include "kv.h"

#include <stdlib.h>
#include <string.h>

static void begin(kv_call *call)
{
    json_decref(call->json);
    call->json = NULL;
    call->puts = call->gone = call->expects = call->answered = call->unsent = false;
    call->facts[0] = call->text[0] = '\0';
    call->expected = call->seq = 0;
    call->body = (marty_bytes){NULL, 0};
    call->code = -1;
}

void kv_end(kv_call *call)
{
    json_decref(call->json);
    call->json = NULL;
}

void kv_put(const marty_saga_store *store, kv_call *call, const char *key, const char *facts,
            marty_bytes body)
{
    begin(call);
    call->puts = true;
    call->body = body;
    (void)snprintf(call->subject, sizeof call->subject, "$KV.%s.%.400s", store->bucket, key);
    (void)snprintf(call->facts, sizeof call->facts, "%s", facts ? facts : "");
}

void kv_expect(kv_call *call, uint64_t revision)
{
    call->expects = true;
    call->expected = revision;
}

void kv_get(const marty_saga_store *store, kv_call *call, const char *key)
{
    begin(call);
    (void)snprintf(call->subject, sizeof call->subject, "%s.STREAM.MSG.GET.KV_%s", store->api,
                   store->bucket);
    (void)snprintf(call->text, sizeof call->text, "{\"last_by_subj\":\"$KV.%s.%.400s\"}",
                   store->bucket, key);
}

void kv_get_next(const marty_saga_store *store, kv_call *call, const char *pattern, uint64_t from)
{
    kv_get(store, call, pattern);
    (void)snprintf(call->text, sizeof call->text,
                   "{\"seq\":%llu,\"next_by_subj\":\"$KV.%s.%.400s\"}", (unsigned long long)from,
                   store->bucket, pattern);
}

void kv_info(const marty_saga_store *store, kv_call *call)
{
    begin(call);
    (void)snprintf(call->subject, sizeof call->subject, "%s.STREAM.INFO.KV_%s", store->api,
                   store->bucket);
}

void kv_remove(const marty_saga_store *store, kv_call *call, const char *pattern, uint64_t upto)
{
    char up_to[40] = "";
    begin(call);
    (void)snprintf(call->subject, sizeof call->subject, "%s.STREAM.PURGE.KV_%s", store->api,
                   store->bucket);
    if (upto) {
        (void)snprintf(up_to, sizeof up_to, ",\"seq\":%llu", (unsigned long long)(upto + 1));
    }
    (void)snprintf(call->text, sizeof call->text, "{\"filter\":\"$KV.%s.%.400s\"%s}", store->bucket,
                   pattern, up_to);
}

/* The value of one of our header lines, to the end of its line. */
static void take_header(const char *lines, const char *name, char *ret, size_t size)
{
    const char *at = strstr(lines, name);
    at = at ? at + strlen(name) : NULL;
    at = at && *at == ' ' ? at + 1 : at;
    (void)snprintf(ret, size, "%.*s", at ? (int)strcspn(at, "\r\n") : 0, at ? at : "");
}

kv_value *kv_value_of(const marty_saga_store *store, const kv_call *call)
{
    const json_t *message = json_object_get(call->json, "message");
    const char *subject = json_string_value(json_object_get(message, "subject"));
    const char *data = json_string_value(json_object_get(message, "data"));
    const char *lines = json_string_value(json_object_get(message, "hdrs"));
    const char *time = json_string_value(json_object_get(message, "time"));
    size_t prefix = strlen("$KV..") + strlen(store->bucket);
    size_t room = data ? strlen(data) / 4 * 3 + 3 : 1, lines_room = lines ? strlen(lines) : 0;
    kv_value *value = marty_alloc_zero(1, sizeof *value + room);
    char *decoded = marty_alloc(lines_room + 1), operation[16];
    if (!value || !decoded || !subject || strlen(subject) < prefix) {
        marty_free(value);
        marty_free(decoded);
        return NULL;
    }
    decoded[lines ? nats__base64_decode(lines, decoded, lines_room) : 0] = '\0';
    take_header(decoded, "\r\nMarty-Saga:", value->facts, sizeof value->facts);
    take_header(decoded, "\r\nKV-Operation:", operation, sizeof operation);
    marty_free(decoded);
    value->gone = operation[0] != '\0';
    value->seq = (uint64_t)json_integer_value(json_object_get(message, "seq"));
    value->at_us = nats__parse_time(time);
    (void)snprintf(value->key, sizeof value->key, "%s", subject + prefix);
    value->data.data = (char *)(value + 1);
    value->data.size = data ? nats__base64_decode(data, (char *)(value + 1), room) : 0;
    return value;
}

marty_err kv_refused(const kv_call *call, const char *doing, marty_error *why)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(call->json, "error"), "description"));
    if (!call->answered) {
        return marty_error_set(why, call->unsent ? MARTY_E_UNAVAILABLE : MARTY_E_TIMEOUT,
                               "%s: JetStream does not answer", doing);
    }
    marty_err err = kv_is_conflict(call)          ? MARTY_E_STATE
                    : call->code == KV_TOO_LARGE  ? MARTY_E_TOO_LARGE
                    : call->code == KV_NO_MESSAGE ? MARTY_E_NOT_FOUND
                    : call->code == 0             ? MARTY_E_NO_MEMORY
                                                  : MARTY_E_STORAGE;
    return marty_error_set(why, err, "%s: JetStream: %s", doing, text ? text : "no words");
}

bool kv_is_conflict(const kv_call *call)
{
    return call->answered && (call->code == KV_WRONG_REVISION || call->code == KV_BUSY_REVISION);
}

/* Errors of a cluster that is choosing a leader: the same call may go through soon. */
static bool may_pass(const kv_call *call)
{
    const json_t *error = json_object_get(call->json, "error");
    return !call->answered || json_integer_value(json_object_get(error, "code")) == 503;
}

marty_err kv_ask(marty_saga_store *store, kv_link *link, kv_call *call, int64_t until_ns,
                 marty_error *why)
{
    for (;;) {
        kv_exchange(store, link, &call, 1, until_ns);
        if (call->answered && (call->code == 0 || !may_pass(call))) {
            return MARTY_OK;
        }
        if (kv_is_late(store, until_ns)) {
            return call->unsent ? marty_error_set(why, link->why.code, "%s", link->why.text)
                                : kv_refused(call, "the store of sagas", why);
        }
        kv_pause(store, link, until_ns);
        json_decref(call->json);
        call->json = NULL;
    }
}

static marty_err read_once(marty_saga_store *store, kv_link *link, const char *key, kv_value **ret,
                           int64_t until_ns, marty_error *why)
{
    kv_call call = {.code = 0};
    kv_get(store, &call, key);
    marty_err err = kv_ask(store, link, &call, until_ns, why);
    if (!err && call.code && call.code != KV_NO_MESSAGE) {
        err = kv_refused(&call, "reading sagas", why);
    } else if (!err && !call.code) {
        *ret = kv_value_of(store, &call);
        err = *ret ? MARTY_OK : marty_error_set(why, MARTY_E_NO_MEMORY, "reading sagas");
    }
    kv_end(&call);
    return err;
}

marty_err kv_read(marty_saga_store *store, kv_link *link, const char *key, kv_value **ret,
                  int64_t until_ns, marty_error *why)
{
    for (;;) {
        kv_value *value = NULL;
        marty_err err = read_once(store, link, key, &value, until_ns, why);
        uint64_t seq = value ? value->seq : 0;
        if (err || !kv_is_old(store, key, seq)) {
            *ret = value;
            kv_saw(store, key, seq);
            return err;
        }
        marty_free(value);
        if (kv_is_late(store, until_ns)) {
            return marty_error_set(why, MARTY_E_TIMEOUT,
                                   "reading %s: JetStream answers with what was, not with what is: "
                                   "it is choosing another leader",
                                   key);
        }
        kv_pause(store, link, until_ns);
    }
}

marty_err kv_write(marty_saga_store *store, kv_link *link, const char *key, const char *facts,
                   bool gone, marty_bytes body, uint64_t over, uint64_t *ret_seq, int64_t until_ns,
                   marty_error *why)
{
    kv_call call = {.code = 0}, *calls[] = {&call};
    kv_put(store, &call, key, facts, body);
    kv_expect(&call, over);
    call.gone = gone;
    kv_exchange(store, link, calls, 1, until_ns);
    marty_err err = MARTY_OK;
    if (call.answered && call.code == 0) {
        *ret_seq = call.seq;
        kv_seen(store, call.seq);
        kv_saw(store, key, call.seq);
    } else if (!call.answered && !call.unsent) {
        err = marty_error_set(why, MARTY_E_MAYBE_STORED, "%s: no answer to a write", key);
    } else {
        err = kv_refused(&call, "writing sagas", why);
    }
    kv_end(&call);
    return err;
}
