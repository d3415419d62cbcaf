/* SPDX-License-Identifier: Apache-2.0
 * Tools among the wrappers: they break nothing that core may not meet, so that a contract can see
 * what core makes of it. */
#include "wrap.h"

#include <string.h>

/* What a broker delivers that no codec can read. */
static bool garble(wrap *self, marty_incoming *one)
{
    (void)self;
    marty_message *message = one->message;
    size_t length = message ? strlen(message->type) : 0;
    if (length < 8 || strcmp(message->type + length - 8, ".garbled") != 0) {
        return true;
    }
    static _Thread_local marty_message *last; /* its bytes live until the next */
    marty_message_unref(last);
    last = message;
    one->message = NULL;
    one->raw = message->data;
    one->headers = NULL;
    one->header_count = 0;
    return true;
}

/* A broker that has no room for some. */
static bool refuse(wrap *self, marty_outgoing *one, marty_published *ret_answer)
{
    (void)self;
    if (!one->message->subject || strcmp(one->message->subject, "refuse") != 0) {
        return true;
    }
    ret_answer->err = MARTY_E_STORAGE;
    ret_answer->text = "no room, says the wrapper";
    return false;
}

/* Core does not see that a message expires. */
static bool hide_expiry(wrap *self, marty_incoming *one)
{
    (void)self;
    if (one->message && one->message->expires_us) {
        marty_message without = *one->message;
        without.expires_us = 0;
        wrap_replace(one, &without);
    }
    return true;
}

/* Acks that get lost on the way, all of them. */
static bool forget_acks(wrap *self, marty_settling *one)
{
    (void)self;
    return one->verb != MARTY_SETTLE_ACK;
}

/* Answers held back until the case lets them go: a broker that is slow to confirm. */
enum { HELD_MAX = 1024 };
static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
static marty_published held[HELD_MAX];
static wrap *held_of[HELD_MAX];
static size_t held_count;
static bool let_go;

static void hold_answer(wrap *self, marty_published *one)
{
    pthread_mutex_lock(&held_lock);
    if (!let_go && held_count < HELD_MAX) {
        held_of[held_count] = self;
        held[held_count] = *one;
        held[held_count++].text = NULL;
        one->token = 0;
    }
    pthread_mutex_unlock(&held_lock);
}

void twist_let_go(void)
{
    pthread_mutex_lock(&held_lock);
    let_go = true;
    pthread_mutex_unlock(&held_lock);
    for (size_t i = 0; i < held_count; i++) {
        held_of[i]->core->published(held_of[i]->core, &held[i], 1);
    }
}

const fault twist_tools[] = {
    {.name = "hold",
     .says = "confirms only once twist_let_go was called",
     .published = hold_answer},
    {.name = "forget_acks", .says = "loses acks on their way", .settle = forget_acks},
    {.name = "garble", .says = "makes *.garbled unreadable", .deliver = garble},
    {.name = "refuse", .says = "has no room for the subject \"refuse\"", .publish = refuse},
    {.name = "patient", .says = "hides the expiry from core", .deliver = hide_expiry},
    {.name = NULL}};
