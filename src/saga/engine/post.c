/* SPDX-License-Identifier: Apache-2.0
 * What core sends: commands to participants, and events of a saga's life, as CloudEvents with the
 * attributes of docs/guide/participants.md. Those of one turn are published together, one batch for
 * each service. The thread that makes turns calls; outcomes come on any. */
#include "engine.h"

#include "base/alloc.h"
#include "bus/bus.h"
#include "saga/attributes.h"

#include <stdio.h>
#include <string.h>

/* Those of one call of the bus, in its order. */
typedef struct sent {
    marty__saga_item *items[ENGINE_POSTS];
} sent;

static void on_published(void *user, const marty_outcome *outcomes, size_t count)
{
    sent *batch = user;
    for (size_t i = 0; i < count; i++) {
        marty__saga_item_sent(batch->items[i], outcomes[i].err);
    }
    marty_free(batch);
}

static const char *direction_of(const marty__saga_command *command)
{
    return command->kind == MARTY__SAGA_FORWARD ? "forward"
           : command->kind == MARTY__SAGA_UNDO  ? "undo"
                                                : "probe";
}

static bool is_event(const engine_post *post)
{
    return post->command->kind == MARTY__SAGA_PUBLISH;
}

static void fill_message(const marty_saga_engine *engine, engine_post *post)
{
    const marty__saga_command *command = post->command;
    marty_header *headers = post->headers;
    size_t count = 0;
    marty__saga_attribute_add(headers, &count, "sagaid", post->saga);
    marty__saga_attribute_add(headers, &count, "sagastep", command->step);
    if (!is_event(post)) {
        (void)snprintf(post->attempt, sizeof post->attempt, "%u", (unsigned)command->attempt);
        marty__saga_attribute_add(headers, &count, "sagaop", command->key);
        marty__saga_attribute_add(headers, &count, "sagaattempt", post->attempt);
        marty__saga_attribute_add(headers, &count, "sagadirection", direction_of(command));
        marty__saga_attribute_add(headers, &count, "sagaforward", command->forward_key);
        marty__saga_attribute_add(headers, &count, "sagaknown", command->known ? "true" : NULL);
        marty__saga_attribute_add(headers, &count, "sagareplyto", engine->service);
    }
    post->message = (marty_message){.id = command->message,
                                    .type = command->type,
                                    .key = post->saga,
                                    .data = command->data,
                                    .expires_us = command->expires_us,
                                    .headers = headers,
                                    .header_count = count};
}

static bool goes_along(const engine_post *first, const engine_post *post)
{
    return is_event(first) == is_event(post) &&
           (is_event(first) || strcmp(first->command->service, post->command->service) == 0);
}

static marty_err publish(marty_saga_engine *engine, engine_post *const posts[], size_t count)
{
    const marty_message *messages[ENGINE_POSTS];
    bool event = is_event(posts[0]);
    sent *batch = marty_alloc(sizeof *batch);
    if (!batch) {
        return MARTY_E_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        batch->items[i] = posts[i]->item;
        messages[i] = &posts[i]->message;
    }
    marty_publish_options options = {.done = on_published, .user = batch, .at_once = true};
    marty_err err =
        marty_publish(engine->bus, event ? MARTY_EVENT : MARTY_COMMAND,
                      event ? NULL : posts[0]->command->service, messages, count, &options, NULL);
    if (err) {
        marty_free(batch); /* else it is the bus's, and its outcomes may have come already */
    }
    return err;
}

/* Taken by the bus together; or else one by one: what it refuses of one is not of the others. */
static void publish_all(marty_saga_engine *engine, engine_post *const posts[], size_t count)
{
    if (count > 1 && !publish(engine, posts, count)) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        marty_err err = publish(engine, &posts[i], 1);
        if (err) {
            marty__saga_item_sent(posts[i]->item, err);
        }
    }
}

void marty__engine_flush(void *user)
{
    marty_saga_engine *engine = user;
    engine_post *some[ENGINE_POSTS];
    bool taken[ENGINE_POSTS] = {false};
    for (size_t i = 0; i < engine->post_count; i++) {
        size_t count = 0;
        for (size_t k = i; k < engine->post_count && !taken[i]; k++) {
            if (!taken[k] && goes_along(&engine->posts[i], &engine->posts[k])) {
                some[count++] = &engine->posts[k];
                taken[k] = k != i;
            }
        }
        if (count) {
            publish_all(engine, some, count);
        }
    }
    engine->post_count = 0;
}

void marty__engine_send(void *user, const char *saga, const marty__saga_command *command,
                        marty__saga_item *item)
{
    marty_saga_engine *engine = user;
    if (engine->post_count == ENGINE_POSTS) {
        marty__engine_flush(engine);
    }
    engine_post *post = &engine->posts[engine->post_count++];
    post->saga = saga;
    post->command = command;
    post->item = item;
    fill_message(engine, post);
}
