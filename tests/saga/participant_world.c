/* SPDX-License-Identifier: Apache-2.0
 * Asking a participant and reading its answers: see participant.h. */
#include "participant.h"

static void take(char *ret, size_t size, const marty_message *message, const char *name)
{
    marty_bytes value = marty_message_header(message, name);
    (void)snprintf(ret, size, "%.*s", (int)value.size, value.size ? (const char *)value.data : "");
}

static marty_err on_answer(void *user, marty_delivery *delivery)
{
    world *w = user;
    const marty_message *message = delivery->message;
    char attempt[12], tombstone[8], saga[40];
    (void)pthread_mutex_lock(&w->mutex);
    if (w->answer_count < ANSWERS_MAX) {
        answer *one = &w->answers[w->answer_count];
        take(one->key, sizeof one->key, message, "sagaop");
        take(one->word, sizeof one->word, message, "sagareply");
        take(one->reason, sizeof one->reason, message, "sagareason");
        take(attempt, sizeof attempt, message, "sagaattempt");
        take(tombstone, sizeof tombstone, message, "sagatombstone");
        take(saga, sizeof saga, message, "sagaid");
        CHECK_TEXT(saga, "saga-1");
        one->attempt = strtol(attempt, NULL, 10);
        one->tombstone = strcmp(tombstone, "true") == 0;
        (void)snprintf(one->data, sizeof one->data, "%.*s", (int)message->data.size,
                       message->data.size ? (const char *)message->data.data : "");
        w->answer_count++;
    }
    (void)pthread_mutex_unlock(&w->mutex);
    return MARTY_OK;
}

void world_open(world *w, const char *url)
{
    marty_error why = {0};
    marty_bus_options options = {.service = "suite"};
    if (!CHECK_INT(marty_bus_open(&w->bus, url, &options, &why), MARTY_OK)) {
        fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
}

void world_close(world *w)
{
    marty_error why = {0};
    CHECK_INT(marty_bus_close(w->bus, 10000, &why), MARTY_OK);
    marty_bus_free(w->bus);
}

void world_listen(world *w)
{
    marty_error why = {0};
    (void)pthread_mutex_init(&w->mutex, NULL);
    REQUIRE(marty_handle_commands(w->bus, "saga.reply", on_answer, w, NULL, NULL, &why) ==
            MARTY_OK);
    REQUIRE(marty_bus_start(w->bus, &why) == MARTY_OK);
}

const char *world_order(world *w, char ret[32])
{
    (void)snprintf(ret, 32, "order-%d", ++w->number);
    return ret;
}

const char *key_of(const char *order, const char *what)
{
    static char texts[8][80];
    static int turn;
    char *text = texts[turn++ % 8];
    (void)snprintf(text, sizeof texts[0], "saga-1/%s/%s", order, what);
    return text;
}

static const char *or_else(const char *text, const char *other)
{
    return text ? text : other;
}

static void add(marty_header headers[], size_t *count, const char *name, const char *value)
{
    if (value) {
        headers[(*count)++] =
            (marty_header){.name = name, .value = marty_text(value), .kind = MARTY_ATTRIBUTE};
    }
}

void world_send(world *w, const command *what)
{
    marty_header headers[9];
    size_t count = 0;
    char data[300], attempt[12];
    marty_error why = {0};
    (void)snprintf(attempt, sizeof attempt, "%ld", what->attempt ? what->attempt : 1);
    (void)snprintf(data, sizeof data,
                   "{\"input\":{\"order\":\"%s\",\"act\":\"%s\",\"card\":\"%s\"}}", what->order,
                   or_else(what->act, "none"), or_else(what->card, "4000-0001"));
    add(headers, &count, "sagaid", "saga-1");
    add(headers, &count, "sagastep", "charge");
    add(headers, &count, "sagaop", what->key);
    add(headers, &count, "sagaattempt", attempt);
    add(headers, &count, "sagadirection", or_else(what->direction, "forward"));
    add(headers, &count, "sagaforward", what->forward);
    add(headers, &count, "sagaknown", what->known ? "true" : NULL);
    add(headers, &count, "sagareplyto", "suite");
    marty_message with = {.key = "saga-1", .headers = headers, .header_count = count};
    marty_publish_options options = {.with = &with, .expires_in_ms = what->expires_ms};
    if (!CHECK_INT(marty_send_command(w->bus, or_else(what->service, "payment"),
                                      or_else(what->type, "charge"), marty_text(data), &options,
                                      &why),
                   MARTY_OK)) {
        fprintf(stderr, "    %s\n", why.text);
    }
}

/* How many answers that attempt of a key has had, 0 = any; ret is the one after `before` of them.
 */
static int answers_to(world *w, const char *key, long attempt, int before, answer *ret)
{
    int found = 0;
    (void)pthread_mutex_lock(&w->mutex);
    for (int i = 0; i < w->answer_count; i++) {
        const answer *one = &w->answers[i];
        if (strcmp(one->key, key) == 0 && (!attempt || one->attempt == attempt) &&
            found++ == before && ret) {
            *ret = *one;
        }
    }
    (void)pthread_mutex_unlock(&w->mutex);
    return found;
}

static bool wait_for(world *w, const char *key, long attempt, int before, answer *ret)
{
    int64_t until = check_now_ms() + check__patience(ANSWER_MS);
    while (answers_to(w, key, attempt, before, ret) <= before) {
        if (check_now_ms() > until) {
            return false;
        }
        check__pause();
    }
    return true;
}

int world_answers(world *w, const char *key)
{
    return answers_to(w, key, 0, 0, NULL);
}

bool world_wait(world *w, const char *key, int before, answer *ret)
{
    return wait_for(w, key, 0, before, ret);
}

/* What was asked before, of a participant that has died since, may be answered again meanwhile. */
answer world_ask(world *w, const command *what)
{
    answer got = {.word = "nothing"};
    long attempt = what->attempt ? what->attempt : 1;
    int before = answers_to(w, what->key, attempt, 0, NULL);
    world_send(w, what);
    if (!wait_for(w, what->key, attempt, before, &got)) {
        fprintf(stderr, "no answer for %s within %lld ms\n", what->key,
                (long long)check__patience(ANSWER_MS));
    }
    return got;
}

void world_expect(world *w, const command *what, const char *word)
{
    answer got = world_ask(w, what);
    bool tombstone = strcmp(word, "tombstone") == 0;
    CHECK_TEXT(got.word, tombstone ? "rejected" : word);
    CHECK_INT(got.tombstone, tombstone);
    CHECK_INT(got.attempt, what->attempt ? what->attempt : 1);
    if (strcmp(got.word, tombstone ? "rejected" : word) != 0) {
        fprintf(stderr, "    %s %s, act %s: %s\n", what->key,
                what->direction ? what->direction : "forward", what->act ? what->act : "none",
                got.reason);
    }
}
