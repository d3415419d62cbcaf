/* SPDX-License-Identifier: Apache-2.0
 * settle, reply, fail and check of `marty peer`: what becomes of a delivery, by its name. */
#include "peer.h"

#include <marty/adapter.h>

static marty_err delivery_of(peer *self, bool take, peer_delivery **ret_delivery, marty_error *why)
{
    const json_t *name = json_object_get(self->request, "delivery");
    peer_item *found = name ? peer_get(self, &self->deliveries, name, take) : NULL;
    if (!name) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "delivery: it is missing");
    }
    if (!found) {
        return marty_error_set(why, MARTY_E_STATE, "delivery: it is settled already, or never was");
    }
    *ret_delivery = (peer_delivery *)(void *)found;
    return MARTY_OK;
}

static void let_go(peer_delivery *delivery)
{
    marty_delivery_release(delivery->delivery);
    marty_free(delivery);
}

static bool verb_of(const char *word, marty_verb *ret_verb)
{
    static const struct {
        const char *word;
        marty_verb verb;
    } verbs[] = {{"ack", MARTY_SETTLE_ACK},
                 {"retry", MARTY_SETTLE_RETRY},
                 {"reject", MARTY_SETTLE_REJECT},
                 {"extend", MARTY_SETTLE_EXTEND},
                 {"give_back", MARTY_SETTLE_GIVE_BACK}};
    size_t i;
    for (i = 0; word && i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(word, verbs[i].word) == 0) {
            *ret_verb = verbs[i].verb;
            return true;
        }
    }
    return false;
}

/* The library gives the code alone here. */
static marty_err told(marty_err err, const char *what, marty_error *why)
{
    return err ? marty_error_set(why, err, "%s: %s", what, marty_err_describe(err)->text) : err;
}

marty_err peer_op_settle(peer *self, marty_error *why)
{
    peer_delivery *delivery = NULL;
    marty_verb verb = MARTY_SETTLE_ACK;
    uint32_t delay_ms = peer_small(self, "delay_ms");
    marty_err err;
    if (!verb_of(peer_text(self, "verb"), &verb)) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "verb: one of ack, retry, reject, extend, give_back was expected");
    }
    err = delivery_of(self, verb != MARTY_SETTLE_EXTEND, &delivery, why);
    if (err) {
        return err;
    }
    err = marty_settle(delivery->delivery, verb, delay_ms, peer_text(self, "reason"));
    if (verb != MARTY_SETTLE_EXTEND) {
        let_go(delivery);
    }
    return told(err, "settle", why);
}

marty_err peer_op_reply(peer *self, marty_error *why)
{
    peer_delivery *delivery = NULL;
    cli_template made = {0};
    json_t *name = json_object_get(self->request, "delivery");
    marty_err err = peer_template(&made, json_object_get(self->request, "message"), why);
    err = err ? err : delivery_of(self, false, &delivery, why);
    err = err ? err : marty_reply(delivery->delivery, &made.message, why);
    if (!err && peer_get(self, &self->deliveries, name, true)) {
        let_go(delivery); /* after an error it is unsettled still */
    }
    cli_template_free(&made);
    return err;
}

marty_err peer_op_fail(peer *self, marty_error *why)
{
    peer_delivery *delivery = NULL;
    const char *class_ = peer_text(self, "class"), *code = peer_text(self, "code");
    const char *text = peer_text(self, "text");
    json_t *name = json_object_get(self->request, "delivery");
    marty_class error_class = class_ && strcmp(class_, "retry") == 0   ? MARTY_CLASS_RETRY
                              : class_ && strcmp(class_, "fatal") == 0 ? MARTY_CLASS_FATAL
                                                                       : MARTY_CLASS_CALLER;
    marty_err err = delivery_of(self, false, &delivery, why);
    if (!err && !code) {
        err = marty_error_set(why, MARTY_E_ARGUMENT, "code: it is missing");
    }
    if (!err) {
        err =
            told(marty_fail(delivery->delivery, error_class, code, text ? text : ""), "fail", why);
        if (!err && peer_get(self, &self->deliveries, name, true)) {
            let_go(delivery);
        }
    }
    return err;
}

marty_err peer_op_check(peer *self, marty_error *why)
{
    peer_delivery *delivery = NULL;
    marty_err err = delivery_of(self, false, &delivery, why);
    return err ? err : told(marty_delivery_check(delivery->delivery), "check", why);
}

static bool of_bus(const peer_item *item, const void *bus)
{
    return !bus || ((const peer_delivery *)(const void *)item)->bus == bus;
}

void peer_deliveries_drop(peer *self, const peer_bus *bus)
{
    peer_item *item;
    while ((item = peer_take_any(self, &self->deliveries, of_bus, bus)) != NULL) {
        peer_delivery *delivery = (peer_delivery *)(void *)item;
        (void)marty_give_back(delivery->delivery, 0, "the peer ended"); /* uncounted */
        let_go(delivery);
    }
}
