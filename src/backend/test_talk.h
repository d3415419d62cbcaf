/* SPDX-License-Identifier: Apache-2.0
 * Talking through a probe: publish, subscribe, settle, ask, each with its answer waited for. For
 * tests of backends. */
#ifndef MARTY_BACKEND_TEST_TALK_H
#define MARTY_BACKEND_TEST_TALK_H
#include "backend/test_probe.h"

/* ---- publishing */
TOOL marty_message *message_of(const marty_message *template_)
{
    marty_message filled = *template_, *message = NULL;
    marty_error why = {0};
    filled.type = filled.type ? filled.type : "order.created";
    filled.source = filled.source ? filled.source : "/test";
    if (marty__message_new(&message, &filled, NULL, &test_env, NULL, &why)) {
        fprintf(stderr, "    %s\n", why.text);
        exit(1);
    }
    return message;
}

/** Publish one, all of it given; the result, whose text is in why_not of the same index. */
TOOL marty_published publish(probe *p, marty_outgoing out, const marty_message *template_)
{
    marty_message *message = message_of(template_);
    marty_error why = {0};
    size_t taken = 0, before = p->publishes;
    out.message = message;
    out.token = ++p->next_token;
    CHECK_INT(test_backend->publish(p->port, &out, 1, &taken, &why), MARTY_OK);
    marty_message_unref(message);
    REQUIRE(taken == 1 && probe_wait(p, &p->publishes, before + 1, WITHIN_MS));
    REQUIRE(p->published[before].token == out.token);
    if (p->published[before].err == MARTY_E_INTERNAL) {
        fprintf(stderr, "    %s\n", p->why_not[before]);
    }
    return p->published[before];
}

/** The common case: kind, channel, id and key. */
TOOL marty_err say(probe *p, marty_kind kind, const char *name, const char *id, const char *key)
{
    marty_outgoing out = {.channel = {.kind = kind, .name = name}};
    marty_message message = {.id = id, .key = key};
    return publish(p, out, &message).err;
}

/* ---- subscribing and settling */
TOOL marty_err subscribe_with(probe *p, uint64_t number, marty_want want)
{
    marty_error why = {0};
    size_t before = p->subscribes;
    marty_err err = test_backend->subscribe(p->port, number, &want, &why);
    if (err) {
        CHECK(why.text[0] != '\0');
        return err;
    }
    REQUIRE(probe_wait(p, &p->subscribes, before + 1, WITHIN_MS));
    REQUIRE(p->subscribed[before].subscription == number);
    return p->subscribed[before].reason;
}

TOOL void listen_to(probe *p, uint64_t number, marty_kind kind, const char *name, const char *group,
                    uint32_t credit)
{
    marty_want want = {.channel = {.kind = kind, .name = name, .group = group}, .credit = credit};
    CHECK_INT(subscribe_with(p, number, want), MARTY_OK);
}

TOOL void unlisten(probe *p, uint64_t number)
{
    size_t before = p->subscribes;
    test_backend->unsubscribe(p->port, number);
    REQUIRE(probe_wait(p, &p->subscribes, before + 1, WITHIN_MS));
    CHECK_INT(p->subscribed[before].reason, MARTY_E_CLOSED);
}

TOOL marty_err settle_with(probe *p, marty_settling how)
{
    size_t before = p->settlings;
    test_backend->settle(p->port, &how, 1);
    REQUIRE(probe_wait(p, &p->settlings, before + 1, WITHIN_MS));
    REQUIRE(p->settled[before].tag == how.tag && p->settled[before].verb == how.verb);
    return p->settled[before].result;
}

TOOL marty_err settle(probe *p, const noted_delivery *d, marty_verb verb, uint32_t delay_ms)
{
    return settle_with(
        p, (marty_settling){
               .subscription = d->subscription, .tag = d->tag, .verb = verb, .delay_ms = delay_ms});
}

TOOL void ack_all(probe *p)
{
    for (size_t i = 0; i < p->deliveries; i++) {
        CHECK_INT(settle(p, &p->delivered[i], MARTY_SETTLE_ACK, 0), MARTY_OK);
    }
}

/** What was delivered, as ids with a blank between: "a b c". */
TOOL const char *heard(probe *p)
{
    static char text[8][65536];
    static unsigned turn;
    char *out = text[turn++ % 8];
    size_t size = 0;
    out[0] = '\0';
    marty__lock(&p->lock);
    for (size_t i = 0; i < p->deliveries && size + 64 < sizeof text[0]; i++) {
        size += (size_t)snprintf(out + size, sizeof text[0] - size, "%s%s", i ? " " : "",
                                 p->delivered[i].message->id);
    }
    marty__unlock(&p->lock);
    return out;
}

/* ---- topology */
/** The JSON of an answer, or its text with the code in ret_err. */
TOOL const char *ask(probe *p, const char *verb, marty_want what, marty_err *ret_err)
{
    static char text[65536];
    marty_message *answer = NULL;
    marty_error why = {0};
    int64_t until_ns = marty__deadline_ns(test_monotonic(NULL), WITHIN_MS);
    marty_err err = test_backend->topology(p->port, verb, &what, until_ns, &answer, &why);
    text[0] = '\0';
    if (!err) {
        (void)snprintf(text, sizeof text, "%.*s", MARTY_BYTES_ARGS(answer->data));
    } else {
        (void)snprintf(text, sizeof text, "%s", why.text);
    }
    if (ret_err) {
        *ret_err = err;
    } else {
        CHECK_INT(err, MARTY_OK);
    }
    marty_message_unref(answer);
    return text;
}

/** All that the port was told before is done, and delivered. */
TOOL void barrier(probe *p)
{
    for (int i = 0; i < 3; i++) {
        (void)ask(p, "inspect", (marty_want){0}, NULL);
    }
}
#endif
