/* SPDX-License-Identifier: Apache-2.0
 * Answering a query: the reply goes to the address that came with it, once. */
#include "patterns.h"

#include "base/error.h"
#include "message/message.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static marty_err check(marty__delivery *delivery, marty_error *why)
{
    marty_bus *bus = delivery->consumer->bus;
    marty_err err = marty__bus_enter(bus, MARTY__CLOSED, why);
    if (err) {
        return err;
    }
    if (delivery->handle.pattern != MARTY_QUERY) {
        return marty_error_set(why, MARTY_E_STATE,
                               "this delivery is no query: nobody waits for an answer");
    }
    if (atomic_load(&delivery->verdict) != MARTY__OPEN_VERDICT) {
        return marty_error_set(why, MARTY_E_STATE, "the query is answered already");
    }
    if (marty__delivery_expired(delivery)) {
        return marty_error_set(why, MARTY_E_TIMEOUT, "the asker has given up");
    }
    return MARTY_OK;
}

static void forgotten(marty__call *call)
{
    (void)call; /* a reply that is lost is the asker's timeout */
}

/* Send one, whatever the verdict. */
static marty_err post(marty__delivery *delivery, const marty_message *reply,
                      const marty_header *set, size_t set_count, marty_error *why)
{
    marty__consumer *consumer = delivery->consumer;
    marty_bus *bus = consumer->bus;
    if (!delivery->reply_to) {
        return MARTY_OK; /* the asker wants no answer */
    }
    size_t size = strlen(delivery->reply_to) + 1;
    marty__call *call = marty__call_new(bus, 1, 1, size);
    if (!call) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    memcpy(call->strings, delivery->reply_to, size);
    marty__call_go(
        call, &(marty__way){.port = consumer->port,
                            .like.channel = {.name = call->strings, .kind = MARTY_KIND_REPLY}});
    call->deadline_ns = marty__bus_deadline(bus, 0, MARTY__TIMEOUT_MS);
    call->completed = forgotten;
    call->no_retry = true;
    marty_message *plain = NULL, *whole = NULL;
    marty__given given = marty__outgoing_given(bus, delivery->handle.message);
    marty_err err = marty__outgoing_message(reply, &given, &plain, why);
    marty__change change = {.set = set, .set_count = set_count};
    err = err ? err : marty__message_copy_with(&whole, plain, &change, why);
    if (!err) {
        marty__call_add(call, whole);
        err = marty__call_accept(call, false, why);
    }
    marty_message_unref(plain);
    marty__call_unref(call);
    return err;
}

static marty_err answer(marty__delivery *delivery, const marty_message *reply,
                        const marty_header *set, size_t set_count, marty_error *why)
{
    marty_err err = check(delivery, why);
    err = err ? err : marty__delivery_take(delivery);
    if (err) {
        return err == MARTY_E_STATE || err == MARTY_E_LOST
                   ? marty_error_set(why, err, "the query is answered already")
                   : err;
    }
    err = post(delivery, reply, set, set_count, why);
    if (err) {
        atomic_store(&delivery->verdict, MARTY__OPEN_VERDICT); /* still unsettled */
        return err;
    }
    delivery->answered = true;
    marty__delivery_finish(delivery, MARTY_SETTLE_ACK, 0);
    marty__port_kick(delivery->consumer->port);
    return MARTY_OK;
}

marty_err marty_reply(marty_delivery *handle, const marty_message *reply, marty_error *why)
{
    static const marty_message empty;
    if (!handle) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "delivery is NULL");
    }
    marty_message copy = reply ? *reply : empty;
    copy.id = reply && marty__message_counted(reply) ? NULL : copy.id;
    copy.type = copy.type ? copy.type : handle->message->type;
    copy.correlation_id = handle->message->correlation_id;
    copy.causation_id = handle->message->id;
    marty_header ok = {"martyreply", marty_text("ok"), MARTY_ATTRIBUTE};
    return answer((marty__delivery *)(void *)handle, &copy, &ok, 1, why);
}

static size_t error_headers(marty_header *set, const char *status, marty_class error_class,
                            const char *code, const char *text)
{
    size_t count = 0;
    set[count++] = (marty_header){"martyreply", marty_text(status), MARTY_ATTRIBUTE};
    set[count++] = (marty_header){"martyreplyclass", marty_text(marty__class_word(error_class)),
                                  MARTY_ATTRIBUTE};
    if (code && *code) {
        set[count++] = (marty_header){"martyreplycode", marty_text(code), MARTY_ATTRIBUTE};
    }
    if (text && *text) {
        set[count++] = (marty_header){"martyreplytext", marty_text(text), MARTY_ATTRIBUTE};
    }
    return count;
}

static marty_message empty_reply(const marty__delivery *delivery)
{
    return (marty_message){.type = delivery->handle.message->type,
                           .correlation_id = delivery->handle.message->correlation_id,
                           .causation_id = delivery->handle.message->id};
}

marty_err marty_fail(marty_delivery *handle, marty_class error_class, const char *code,
                     const char *text)
{
    if (!handle) {
        return MARTY_E_ARGUMENT;
    }
    marty__delivery *delivery = (marty__delivery *)(void *)handle;
    marty_header set[4];
    size_t count = error_headers(set, "MARTY_E_REMOTE", error_class, code, text);
    marty_message reply = empty_reply(delivery);
    return answer(delivery, &reply, set, count, NULL);
}

/* Its handler ended without an answer: the asker is told, as well as can be. */
void marty__query_unanswered(marty__delivery *delivery, marty_err err)
{
    marty_header set[4];
    char code[56];
    const marty_err_info *info = marty_err_describe(err);
    const char *name = strncmp(info->name, "MARTY_E_", 8) == 0 ? info->name + 8 : "unanswered";
    size_t i = 0;
    for (; i < sizeof code - 1 && name[i]; i++) {
        code[i] = (char)tolower((unsigned char)name[i]);
    }
    code[i] = '\0';
    const char *text = err == MARTY_OK            ? "the handler returned without an answer"
                       : err == MARTY_E_NOT_FOUND ? "no handler for this query"
                                                  : info->text;
    size_t count =
        error_headers(set, "MARTY_E_REMOTE",
                      err == MARTY_OK ? MARTY_CLASS_CALLER : info->error_class, code, text);
    marty_message reply = empty_reply(delivery);
    delivery->answered = true;
    (void)post(delivery, &reply, set, count, NULL);
}
