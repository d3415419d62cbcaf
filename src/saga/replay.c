/* SPDX-License-Identifier: Apache-2.0
 * marty_saga_replay: events as JSON lines in, what the machine makes of each as JSON lines out. No
 * store, no broker, no clock: an event says when it happens. The format is
 * docs/reference/saga-replay.md, so that another implementation can be compared line by line. */
#include "inside.h"

#include "base/number.h"
#include "base/time.h"
#include "message/json_scan.h"

#include <marty/saga_tools.h>
#include <stdio.h>

#define LONGEST_MS (UINT64_C(100) * 366 * 24 * 3600 * 1000)

typedef struct replay {
    marty__saga_definition *definition;
    marty__saga_turn turn;
    marty__buffer state, out;
    marty__arena arena; /* of one line */
    int64_t now_us;
    size_t line;
    marty__saga_definition *next; /* of a migration, until it is known whether it is done */
    marty_err err;
    marty_error *why;
} replay;

enum { MIGRATE = 1000 }; /* no event of the machine: a call of its own */

typedef struct word {
    const char *text;
    int value;
} word;
static const word kinds[] = {{"start", MARTY__SAGA_EVENT_START},
                             {"reply", MARTY__SAGA_EVENT_REPLY},
                             {"tick", MARTY__SAGA_EVENT_TICK},
                             {"timer", MARTY__SAGA_EVENT_TIMER},
                             {"signal", MARTY__SAGA_EVENT_SIGNAL},
                             {"verb", MARTY__SAGA_EVENT_VERB},
                             {"parent-cancel", MARTY__SAGA_EVENT_PARENT_CANCEL},
                             {"parent-undo", MARTY__SAGA_EVENT_PARENT_UNDO},
                             {"not-sent", MARTY__SAGA_EVENT_NOT_SENT},
                             {"migrate", MIGRATE},
                             {NULL, 0}};
static const word verbs[] = {{"cancel", MARTY__SAGA_VERB_CANCEL},
                             {"pause", MARTY__SAGA_VERB_PAUSE},
                             {"resume", MARTY__SAGA_VERB_RESUME},
                             {"retry", MARTY__SAGA_VERB_RETRY},
                             {"supply", MARTY__SAGA_VERB_SUPPLY},
                             {"skip", MARTY__SAGA_VERB_SKIP},
                             {"waive", MARTY__SAGA_VERB_WAIVE},
                             {"replace", MARTY__SAGA_VERB_REPLACE_INPUT},
                             {"compensate", MARTY__SAGA_VERB_COMPENSATE},
                             {"abandon", MARTY__SAGA_VERB_ABANDON},
                             {NULL, 0}};
static const word replies[] = {{"ok", MARTY__SAGA_OK},
                               {"rejected", MARTY__SAGA_REFUSED},
                               {"retry", MARTY__SAGA_RETRY},
                               {"accepted", MARTY__SAGA_ACCEPTED},
                               {"progress", MARTY__SAGA_PROGRESS},
                               {"done", MARTY__SAGA_WAS_DONE},
                               {"not_done", MARTY__SAGA_NOT_DONE},
                               {"unknown", MARTY__SAGA_UNKNOWN},
                               {"residue", MARTY__SAGA_LEFT},
                               {NULL, 0}};

/* ---- fields of an event */
static void wrong(replay *r, const char *field, const char *text)
{
    if (!r->err) {
        r->err =
            marty_error_set(r->why, MARTY_E_MALFORMED, "events:%zu: %s: %s", r->line, field, text);
    }
}

static bool get(marty_bytes line, const char *field, marty_bytes *ret)
{
    char pointer[40];
    (void)snprintf(pointer, sizeof pointer, "/%s", field);
    return marty__json_at(line, pointer, ret);
}

static const char *get_text(replay *r, marty_bytes line, const char *field)
{
    marty_bytes value;
    if (!get(line, field, &value)) {
        return NULL;
    }
    const char *raw = value.data;
    if (*raw != '"') {
        wrong(r, field, "expected a text");
        return NULL;
    }
    char *text = marty__arena_text(&r->arena, raw + 1, value.size - 2);
    if (text) {
        text[marty__json_unescape(text, text, value.size - 2)] = '\0';
    } else {
        r->err = marty_error_set(r->why, MARTY_E_NO_MEMORY, "a replay: out of memory");
    }
    return text;
}

static uint64_t get_number(replay *r, marty_bytes line, const char *field)
{
    marty_bytes value;
    if (!get(line, field, &value)) {
        return 0;
    }
    uint64_t number = 0;
    if (!marty__number_read(&number, value.data, value.size, INT64_MAX)) {
        wrong(r, field, "expected a whole number");
    }
    return number;
}

static bool get_flag(marty_bytes line, const char *field)
{
    marty_bytes value;
    return get(line, field, &value) && value.size == 4 && memcmp(value.data, "true", 4) == 0;
}

static int get_word(replay *r, marty_bytes line, const char *field, const word *words)
{
    const char *text = get_text(r, line, field);
    for (; text && words->text; words++) {
        if (strcmp(words->text, text) == 0) {
            return words->value;
        }
    }
    wrong(r, field, text ? "not one that is known" : "is missing");
    return 0;
}

static int64_t get_time(replay *r, marty_bytes line, const char *field)
{
    int64_t time_us = 0;
    const char *text = get_text(r, line, field);
    if (text && !marty__time_parse(text, strlen(text), &time_us)) {
        wrong(r, field, "expected a time, such as 2026-01-02T03:04:05Z");
    }
    return time_us;
}

/* A reply names its op by key and attempt, or by the step: then it is for the current ones. */
static void find_op(replay *r, marty_bytes line, marty__saga_event *event)
{
    const char *step = get_text(r, line, "step");
    bool undo = get_flag(line, "undo");
    uint8_t key[MARTY__SAGA_KEY_BYTES];
    char text[MARTY__SAGA_TEXT];
    const marty__saga_state *state = r->turn.decoded;
    for (uint32_t i = step && state ? state->slot_count : 0; i-- > 0 && !event->key;) {
        if (strcmp(marty__saga_path_in(&r->arena, r->definition, state, i), step) == 0) {
            const marty__saga_op *op = undo ? &state->slots[i].undo : &state->slots[i].forward;
            marty__saga_op_key(key, state->id, step, undo, op->generation);
            marty__saga_key_text(text, key);
            event->key = marty__arena_text(&r->arena, text, strlen(text));
            event->attempt = event->attempt ? event->attempt : op->attempt;
        }
    }
    if (!event->key && !r->err) {
        wrong(r, step ? "step" : "key", step ? "has not begun" : "is missing, as is step");
    }
}

/* The definition that a migration leads to is in the event, so that events need nothing beside. */
static void read_next(replay *r, marty_bytes line)
{
    marty_bytes text;
    marty_error why = {0};
    if (!get(line, "definition", &text)) {
        wrong(r, "definition", "is missing: the definition as an object, as in a JSON document");
    } else if (marty__saga_definition_read(&r->next, "definition", text.data, text.size, &why)) {
        wrong(r, "definition", why.text);
    }
}

static void read_event(replay *r, marty_bytes line, marty__saga_event *event)
{
    int kind = get_word(r, line, "event", kinds);
    event->kind = kind == MIGRATE ? MARTY__SAGA_EVENT_VERB : (marty__saga_event_kind)kind;
    int64_t at_us = get_time(r, line, "at");
    r->now_us = at_us ? at_us : r->now_us;
    uint64_t after_ms = get_number(r, line, "after_ms");
    if (after_ms > LONGEST_MS || r->now_us < 0 || r->now_us > MARTY__TIME_LAST_US) {
        wrong(r, at_us ? "at" : "after_ms", "outside of the years 1970 to 9999, or over 100 years");
        return;
    }
    r->now_us += (int64_t)after_ms * 1000;
    event->cause = get_text(r, line, "cause");
    event->saga = get_text(r, line, "saga");
    event->start_key =
        event->kind == MARTY__SAGA_EVENT_START ? get_text(r, line, "start_key") : NULL;
    event->parent = get_text(r, line, "parent");
    event->key = get_text(r, line, "key");
    uint64_t attempt = get_number(r, line, "attempt");
    if (attempt > UINT32_MAX) {
        wrong(r, "attempt", "over 4294967295");
    }
    event->attempt = (uint32_t)attempt;
    event->tombstone = get_flag(line, "tombstone");
    event->delay_ms = get_number(r, line, "delay_ms");
    event->reason = get_text(r, line, "reason");
    event->token = get_number(r, line, "token");
    event->id = get_text(r, line, "id");
    event->who = get_text(r, line, "who");
    event->note = get_text(r, line, "note");
    event->forced = get_flag(line, "forced");
    event->no_effect = get_flag(line, "no_effect");
    event->ttl_ms = get_number(r, line, "ttl_ms");
    event->deadline_us = get_time(r, line, "deadline");
    (void)get(line, event->kind == MARTY__SAGA_EVENT_START ? "input" : "data", &event->data);
    event->name = get_text(r, line, event->kind == MARTY__SAGA_EVENT_SIGNAL ? "name" : "step");
    if (kind == MIGRATE) {
        read_next(r, line);
    } else if (event->kind == MARTY__SAGA_EVENT_VERB) {
        event->verb = (marty__saga_verb)get_word(r, line, "verb", verbs);
    } else if (event->kind == MARTY__SAGA_EVENT_REPLY ||
               event->kind == MARTY__SAGA_EVENT_NOT_SENT) {
        event->reply = event->kind == MARTY__SAGA_EVENT_REPLY
                           ? (marty__saga_reply)get_word(r, line, "reply", replies)
                           : 0;
        if (!event->key) {
            find_op(r, line, event);
        }
    }
}

static void play(replay *r, marty_bytes line)
{
    marty__json_value value;
    marty__saga_event event = {0};
    marty_error refused = {0};
    if (!marty__json_valid(line.data, line.size, false, 0, &value) ||
        value.kind != MARTY__JSON_OBJECT) {
        wrong(r, "line", "expected a JSON object");
        return;
    }
    read_event(r, line, &event);
    if (r->err) {
        return;
    }
    marty_bytes before = {r->state.data, r->state.size};
    marty_err err = r->next ? marty__saga_migrate(r->definition, r->next, NULL, before, &event,
                                                  r->now_us, &r->turn, &refused)
                            : marty__saga_decide(r->definition, NULL, before, &event, r->now_us,
                                                 &r->turn, &refused);
    if (!err && r->next && r->turn.changed) {
        marty__saga_definition *old = r->definition;
        r->definition = r->next;
        r->next = old;
    }
    marty__buffer_format(&r->out, "{\"line\":%zu,", r->line);
    if (err == MARTY_E_NO_MEMORY) {
        r->err = marty_error_set(r->why, err, "a replay: out of memory");
    } else if (err) {
        marty__buffer_text(&r->out, "\"error\":");
        marty__buffer_json(&r->out, refused.text, strlen(refused.text));
        /* so that the next line can name steps: an event that changes nothing */
        event = (marty__saga_event){.kind = MARTY__SAGA_EVENT_TIMER};
        r->err = before.size ? marty__saga_decide(r->definition, NULL, before, &event, r->now_us,
                                                  &r->turn, r->why)
                             : MARTY_OK;
    } else {
        r->err = marty__saga_turn_json(r->definition, &r->turn, &r->out, r->why);
        if (r->turn.changed) {
            marty__buffer_clear(&r->state);
            marty__buffer_add(&r->state, r->turn.state.data, r->turn.state.size);
        }
    }
    marty__buffer_text(&r->out, "}\n");
    marty__saga_definition_free(r->next);
    r->next = NULL;
}

static void play_all(replay *r, marty_bytes events)
{
    const char *at = events.data, *end = at + events.size;
    while (events.size && at < end && !r->err) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        r->line++;
        if (stop > at && *at != '#' && strspn(at, " \t\r") < (size_t)(stop - at)) {
            play(r, (marty_bytes){at, (size_t)(stop - at)});
        }
        at = stop + (stop < end);
        marty__arena_free(&r->arena);
    }
}

marty_err marty_saga_replay(const char *file, marty_bytes definition, marty_bytes events,
                            marty_message **ret_report, marty_error *why)
{
    replay r = {.now_us = INT64_C(1767225600) * 1000000, .why = why}; /* 2026-01-01 */
    r.err = marty__saga_definition_read(&r.definition, file, definition.data, definition.size, why);
    if (!r.err) {
        play_all(&r, events);
    }
    marty__saga_turn_free(&r.turn);
    marty__buffer_free(&r.state);
    marty__arena_free(&r.arena);
    marty__saga_definition_free(r.definition);
    marty__saga_definition_free(r.next);
    if (r.err) {
        marty__buffer_free(&r.out);
        return r.err;
    }
    return marty__saga_report(ret_report, &r.out, "marty.saga.replay", why);
}
