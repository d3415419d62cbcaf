/* SPDX-License-Identifier: Apache-2.0
 * For unit tests of the machine: one saga, driven by hand. Each event goes through the encoded
 * state, is decided twice (the same outcome), and its batch is folded and compared. */
#ifndef MARTY_SAGA_TEST_MACHINE_H
#define MARTY_SAGA_TEST_MACHINE_H
#include "saga/machine.h"

#include "check.h"

typedef struct world {
    marty__saga_definition *definition;
    marty__saga_turn turn, again;
    marty__buffer state, told, batches[200];
    marty__arena folded_arena;
    marty__saga_state folded;
    size_t history_bytes, batch_count;
    int64_t now_us;
    unsigned ids;
    marty_error why;
    marty_err err;
} world;

CHECK__UNUSED static world world_new(const char *text)
{
    world w = {.now_us = INT64_C(1700000000) * 1000000};
    marty__arena arena = {0};
    const marty__saga_finding *found = NULL;
    marty_err err =
        marty__saga_definition_read(&w.definition, "test.yaml", text, strlen(text), &w.why);
    if (err) {
        fprintf(stderr, "%s\n", w.why.text);
    }
    REQUIRE(!err);
    REQUIRE(!marty__saga_lint(w.definition, &arena, &found, &w.why));
    for (; found; found = found->next) {
        fprintf(stderr, "%s: %s\n", found->code, found->text);
        CHECK(!found->error);
    }
    marty__arena_free(&arena);
    return w;
}

CHECK__UNUSED static void world_free(world *w)
{
    marty__saga_definition_free(w->definition);
    marty__saga_turn_free(&w->turn);
    marty__saga_turn_free(&w->again);
    marty__buffer_free(&w->state);
    marty__buffer_free(&w->told);
    for (size_t i = 0; i < w->batch_count; i++) {
        marty__buffer_free(&w->batches[i]);
    }
    marty__arena_free(&w->folded_arena);
}

CHECK__UNUSED static void fold(world *w)
{
    REQUIRE(w->batch_count < 200);
    marty__buffer *batch = &w->batches[w->batch_count++], state = {0};
    marty__buffer_add(batch, w->turn.history.data, w->turn.history.size);
    w->history_bytes += batch->size;
    w->folded.arena = &w->folded_arena;
    CHECK(!marty__saga_fold(&w->folded, (marty_bytes){batch->data, batch->size}, &w->why));
    marty__saga_state_write(&w->folded, &state);
    CHECK_BYTES(state.data, state.size, w->turn.state.data, w->turn.state.size);
    marty__buffer_free(&state);
}

CHECK__UNUSED static void give(world *w, const marty__saga_event *event)
{
    marty_bytes before = {w->state.data, w->state.size};
    w->err = marty__saga_decide(w->definition, NULL, before, event, w->now_us, &w->turn, &w->why);
    CHECK_INT(marty__saga_decide(w->definition, NULL, before, event, w->now_us, &w->again, NULL),
              w->err);
    CHECK_BYTES(w->turn.state.data, w->turn.state.size, w->again.state.data, w->again.state.size);
    marty__buffer_clear(&w->told);
    if (w->err) {
        return;
    }
    static const char *const kinds[] = {"",           "forward",    "undo",   "probe",
                                        "local",      "local-undo", "start",  "cancel",
                                        "child-undo", "answer",     "publish"};
    for (size_t i = 0; i < w->turn.command_count; i++) {
        marty__buffer_format(&w->told, "%s%s %s.%u", i ? " " : "", kinds[w->turn.commands[i].kind],
                             w->turn.commands[i].step, w->turn.commands[i].attempt);
    }
    if (w->turn.changed) {
        fold(w);
        marty__buffer_clear(&w->state);
        marty__buffer_add(&w->state, w->turn.state.data, w->turn.state.size);
    }
}

CHECK__UNUSED static const char *commands(const world *w)
{
    return w->told.data ? w->told.data : "";
}

CHECK__UNUSED static const char *last_data(const world *w)
{
    const char *data =
        w->turn.command_count ? w->turn.commands[w->turn.command_count - 1].data.data : NULL;
    return data ? data : "";
}

CHECK__UNUSED static const char *word(const world *w)
{
    return marty__saga_state_word(w->turn.decoded);
}

CHECK__UNUSED static uint32_t slot_of(world *w, const char *path)
{
    for (uint32_t i = w->turn.decoded->slot_count; i-- > 0;) {
        marty__arena arena = {0};
        bool same =
            strcmp(marty__saga_path_in(&arena, w->definition, w->turn.decoded, i), path) == 0;
        marty__arena_free(&arena);
        if (same) {
            return i;
        }
    }
    fprintf(stderr, "there is no %s\n", path);
    REQUIRE(false);
    return 0;
}

CHECK__UNUSED static const char *status(world *w, const char *path)
{
    return marty__saga_status_word(w->turn.decoded->slots[slot_of(w, path)].status);
}

CHECK__UNUSED static void start(world *w, const char *input)
{
    give(w, &(marty__saga_event){.kind = MARTY__SAGA_EVENT_START,
                                 .saga = "saga-1",
                                 .start_key = "k",
                                 .data = marty_text(input)});
}

CHECK__UNUSED static void reply(world *w, const char *path, bool undo, marty__saga_reply kind,
                                const char *data)
{
    uint8_t key[MARTY__SAGA_KEY_BYTES];
    char text[MARTY__SAGA_TEXT];
    const marty__saga_slot *slot = &w->turn.decoded->slots[slot_of(w, path)];
    const marty__saga_op *op = undo ? &slot->undo : &slot->forward;
    uint32_t attempt = op->attempt;
    marty__saga_op_key(key, "saga-1", path, undo, op->generation);
    marty__saga_key_text(text, key);
    give(w, &(marty__saga_event){.kind = MARTY__SAGA_EVENT_REPLY,
                                 .key = text,
                                 .attempt = attempt,
                                 .reply = kind,
                                 .data = marty_text(data)});
}

CHECK__UNUSED static void answer(world *w, const char *path, marty__saga_reply kind,
                                 const char *data)
{
    reply(w, path, false, kind, data);
}

CHECK__UNUSED static void answer_undo(world *w, const char *path, marty__saga_reply kind)
{
    reply(w, path, true, kind, "");
}

CHECK__UNUSED static void tick(world *w)
{
    give(w, &(marty__saga_event){.kind = MARTY__SAGA_EVENT_TICK});
}

CHECK__UNUSED static void pass_to_due(world *w)
{
    w->now_us = w->turn.due_us;
    REQUIRE(w->now_us);
    tick(w);
}

CHECK__UNUSED static void verb(world *w, marty__saga_verb kind, const char *step, const char *data)
{
    char id[24];
    snprintf(id, sizeof id, "v%u", ++w->ids);
    give(w, &(marty__saga_event){.kind = MARTY__SAGA_EVENT_VERB,
                                 .verb = kind,
                                 .id = id,
                                 .who = "ann",
                                 .note = "because",
                                 .name = step,
                                 .data = marty_text(data)});
    if (w->err) {
        fprintf(stderr, "%s\n", w->why.text);
    }
}

CHECK__UNUSED static void signal_(world *w, const char *name, const char *id, const char *data)
{
    give(w,
         &(marty__saga_event){
             .kind = MARTY__SAGA_EVENT_SIGNAL, .name = name, .id = id, .data = marty_text(data)});
}
#endif
