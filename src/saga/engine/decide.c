/* SPDX-License-Identifier: Apache-2.0
 * One input, from the saga's state to what is to be written, and from what became of that to an
 * answer. A saga has one write in a turn: what else waits for it goes into the next, since whether
 * the first was written is known only then. */
#include "inside.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "message/message.h"

#include <stdio.h>
#include <string.h>

enum { OUTBOX_KEPT = 4096 };

static bool is_late(const saga_plan *plan)
{
    marty__saga_ignored ignored = plan->turn.ignored;
    return plan->input->event.kind == MARTY__SAGA_EVENT_REPLY &&
           (ignored == MARTY__SAGA_IGNORED_LATE || ignored == MARTY__SAGA_IGNORED_ENDED ||
            ignored == MARTY__SAGA_IGNORED_STALE);
}

static void answer(saga_plan *plan, marty_err err, const marty_saga_facts *facts, marty_bytes state)
{
    marty__saga_core *core = plan->core;
    marty__saga_input *input = plan->input;
    marty__saga_done done = {.err = err,
                             .ignored = plan->turn.ignored,
                             .facts = facts,
                             .state = state,
                             .why = err ? plan->why.text : NULL};
    if (!err && !plan->writes) {
        core->counts.ignored[plan->turn.ignored]++;
        core->counts.late += is_late(plan);
    }
    input->done(input, &done);
}

static void put_back(saga_plan *plan, marty__link *again)
{
    if (++plan->input->tries > SAGA_TRIES_MAX) {
        (void)marty_error_set(&plan->why, MARTY_E_UNAVAILABLE,
                              "the saga %s is changed by others all the time", plan->input->saga);
        answer(plan, MARTY_E_UNAVAILABLE, NULL, (marty_bytes){NULL, 0});
    } else {
        marty__list_push(again, &plan->input->link);
    }
}

/* What was decided comes to nothing, or is done with. */
static void forget_turn(saga_plan *plan)
{
    while (!marty__list_empty(&plan->fresh)) {
        marty__saga_item_free(MARTY__OWNER(plan->fresh.next, marty__saga_item, link));
    }
    marty__saga_turn_reset(&plan->turn);
}

void marty__saga_plan_free(saga_plan *plan)
{
    marty__saga_turn_free(&plan->turn);
    marty__buffer_free(&plan->outbox);
}

/* Ready for another. */
static void clear(saga_plan *plan)
{
    saga_entry *entry = plan->entry;
    if (entry && entry->last == plan) {
        entry->last = NULL;
        if (entry->gone) {
            marty__saga_entry_drop(plan->core, entry);
        }
    }
    forget_turn(plan);
    if (plan->outbox.capacity > OUTBOX_KEPT) {
        marty__buffer_free(&plan->outbox);
    }
}

/* ---- before the commit */
static marty_saga_status status_of(marty__saga_phase phase)
{
    return (marty_saga_status)phase; /* the same words, see the assertions below */
}
_Static_assert((int)MARTY__SAGA_RUNNING == (int)MARTY_SAGA_RUNNING, "status");
_Static_assert((int)MARTY__SAGA_ABANDONED == (int)MARTY_SAGA_ABANDONED, "status");

static const marty__saga_slot *first_failing(const saga_plan *plan, const marty__saga_state *state)
{
    for (uint32_t i = 0; i < state->slot_count; i++) {
        if (marty__saga_failing(plan->definition, state, i)) {
            return &state->slots[i];
        }
    }
    return NULL;
}

/* What a person should look at: "STEP: WORD: REASON" of one that waits for a person, else
 * "failing: STEP: 3 attempts: REASON" of one that tries in vain. */
static const char *trouble_text(saga_plan *plan, const marty__saga_state *state)
{
    const marty__saga_slot *stuck = marty__saga_state_stuck(state);
    const marty__saga_slot *slot = stuck ? stuck : first_failing(plan, state);
    if (!slot) {
        return "";
    }
    char text[400], tries[40];
    const char *name = plan->definition->nodes[slot->node].name;
    bool undo = slot->status == MARTY__SAGA_UNDOING || slot->status == MARTY__SAGA_UNDO_BACKOFF;
    unsigned used = undo ? slot->undo.used : slot->forward.used;
    (void)snprintf(tries, sizeof tries, "%s%u attempt%s", undo ? "undo, " : "", used,
                   used == 1 ? "" : "s");
    int size = snprintf(text, sizeof text, "%s%s: %s%s%.*s", stuck ? "" : MARTY_SAGA_FAILING,
                        name ? name : "", stuck ? marty__saga_stuck_word(slot->stuck) : tries,
                        slot->reason.size ? ": " : "",
                        slot->reason.size > 200 ? 200 : (int)slot->reason.size,
                        slot->reason.size ? (const char *)slot->reason.data : "");
    (void)marty__text_clean(plan->stuck, sizeof plan->stuck, text, (size_t)size);
    return plan->stuck;
}

/* An answer to a command proves that it was sent. */
static bool is_answered(const marty__saga_item *item, const marty__saga_event *event)
{
    return event->kind == MARTY__SAGA_EVENT_REPLY && event->key &&
           strcmp(item->command.key, event->key) == 0 && item->command.kind != MARTY__SAGA_ANSWER &&
           item->command.kind != MARTY__SAGA_PUBLISH;
}

static marty_err make_items(saga_plan *plan)
{
    for (size_t i = 0; i < plan->turn.command_count; i++) {
        marty__saga_item *item =
            marty__saga_item_new(plan->core, plan->entry->id, &plan->turn.commands[i]);
        if (!item) {
            return marty_error_set(&plan->why, MARTY_E_NO_MEMORY, "the commands of a saga");
        }
        marty__list_push(&plan->fresh, &item->link);
    }
    return MARTY_OK;
}

static void write_outbox(saga_plan *plan)
{
    const marty__link *items = &plan->entry->items, *fresh = &plan->fresh;
    marty__buffer_clear(&plan->outbox);
    for (marty__link *at = MARTY__MUTANT(106, items->next, items->before); at != items;
         at = at->next) {
        const marty__saga_item *item = MARTY__OWNER(at, marty__saga_item, link);
        if (!item->command.at_most_once && !is_answered(item, &plan->input->event)) {
            marty__buffer_add(&plan->outbox, item->bytes, item->size);
        }
    }
    for (const marty__link *at = fresh->next; at != fresh; at = at->next) {
        const marty__saga_item *item = MARTY__OWNER(at, marty__saga_item, link);
        if (MARTY__MUTANT(110, !item->command.at_most_once, true)) {
            marty__buffer_add(&plan->outbox, item->bytes, item->size);
        }
    }
}

/* Fill the write in from the turn. E: NO_MEMORY, MALFORMED. */
static marty_err fill_write(saga_plan *plan)
{
    const marty__saga_state *state = plan->turn.decoded;
    const saga_entry *entry = plan->entry;
    marty_saga_write *write = &plan->write;
    marty_saga_facts *facts = &write->facts;
    if (strcmp(state->id, entry->id) != 0) { /* it would do the other's steps a second time */
        return marty_error_set(&plan->why, MARTY_E_MALFORMED, "saga %s: its state is the one of %s",
                               entry->id, state->id);
    }
    write_outbox(plan);
    marty__hex(plan->hash, state->definition, sizeof state->definition);
    if (plan->outbox.failed) {
        return MARTY_E_NO_MEMORY;
    }
    const char *key = plan->input->event.start_key;
    *facts = (marty_saga_facts){
        .id = entry->id,
        .name = plan->definition->name,
        .key = entry->record ? entry->record->facts.key
               : key         ? key
                             : "",
        .definition = plan->hash,
        .stuck = trouble_text(plan, state),
        .status = status_of(state->phase),
        .paused = state->flags & MARTY__SAGA_PAUSED,
        .shard = marty__saga_shard(entry->id),
        .version = state->version,
        .started_us = state->started_us,
        .changed_us = state->changed_us,
        .due_us = plan->turn.due_us ? plan->turn.due_us : INT64_MAX,
        .unsent = plan->outbox.size > 0,
    };
    write->place = entry->record ? entry->record->place : 0;
    write->state = plan->turn.state;
    write->history = plan->turn.history;
    write->outbox = (marty_bytes){plan->outbox.data, plan->outbox.size};
    return MARTY_OK;
}

static marty_bytes state_before(const saga_plan *plan)
{
    return plan->entry->record ? plan->entry->record->state : (marty_bytes){"", 0};
}

static marty_err migrate(saga_plan *plan, const marty__saga_event *event)
{
    marty__saga_core *core = plan->core;
    const marty__saga_definition *from = plan->entry->definition;
    marty_err err = marty__saga_definition_by_name(core, from->name, plan->input->version,
                                                   &plan->definition, &plan->why);
    return err ? err
               : marty__saga_migrate(from, plan->definition, &core->options.rules,
                                     state_before(plan), event, marty__saga_now_us(core),
                                     &plan->turn, &plan->why);
}

static marty_err decide(saga_plan *plan, const marty__saga_event *event)
{
    marty__saga_core *core = plan->core;
    plan->definition = plan->entry->definition;
    marty_err err =
        plan->input->migrates
            ? migrate(plan, event)
            : marty__saga_decide(plan->definition, &core->options.rules, state_before(plan), event,
                                 marty__saga_now_us(core), &plan->turn, &plan->why);
    err = err ? err : make_items(plan);
    return err || !plan->turn.changed ? err : fill_write(plan);
}

/* Called in the store's transaction: the local step does its work, the machine takes its answer. */
static marty_err fill_inside(marty_saga_write *write, void *transaction)
{
    saga_plan *plan = write->user;
    marty__saga_core *core = plan->core;
    const marty__saga_input *input = plan->input;
    marty__saga_event reply = input->event;
    forget_turn(plan);
    marty_err err = core->options.wire.inside(core->options.wire.user, plan->entry->id,
                                              input->inside, transaction, &reply);
    if (err) {
        return err == MARTY_E_UNAVAILABLE ? err : MARTY_E_FAILED;
    }
    write->undo = reply.reply != MARTY__SAGA_OK; /* a refusal has no effect */
    err = decide(plan, &reply);
    return err ? err : plan->turn.changed ? MARTY_OK : MARTY_E_CANCELLED;
}

static bool is_birth(const marty__saga_event *event)
{
    return event->kind == MARTY__SAGA_EVENT_START ||
           event->kind == MARTY__SAGA_EVENT_PARENT_CANCEL ||
           event->kind == MARTY__SAGA_EVENT_PARENT_UNDO;
}

/* A start that nobody has put in before has an id that was made for it: no look into the store is
 * needed. Were it taken all the same, the version would be refused, and the next try looks. */
static bool is_surely_new(const marty__saga_core *core, const marty__saga_input *input)
{
    return input->event.kind == MARTY__SAGA_EVENT_START && !input->event.parent && !input->tries &&
           !marty__map_get(&core->entries, input->saga, strlen(input->saga));
}

/* The saga of an input, or a new one. */
static marty_err find_saga(saga_plan *plan)
{
    marty__saga_core *core = plan->core;
    marty__saga_input *input = plan->input;
    marty_err err = is_surely_new(core, input)
                        ? MARTY_E_NOT_FOUND
                        : marty__saga_entry_get(core, input->saga, &plan->entry, &plan->why);
    if (err != MARTY_E_NOT_FOUND || !is_birth(&input->event)) {
        return err;
    }
    const marty__saga_definition *definition = NULL;
    err =
        marty__saga_definition_by_name(core, input->name, input->version, &definition, &plan->why);
    err = err ? err : marty__saga_entry_new(core, input->saga, &plan->entry, &plan->why);
    if (!err) {
        plan->entry->definition = definition;
    }
    return err;
}

static void prepare(saga_plan *plan, marty__saga_core *core, marty__saga_input *input)
{
    marty__saga_turn turn = plan->turn; /* empty, but for its memory */
    marty__buffer outbox = plan->outbox;
    memset(plan, 0, sizeof *plan);
    plan->core = core;
    plan->input = input;
    plan->turn = turn;
    plan->outbox = outbox;
    marty__list_init(&plan->fresh);
}

/* Decide on what memory says; on anything but a new version, look into the store first. */
static marty_err decide_surely(saga_plan *plan)
{
    marty_err err = MARTY_OK;
    for (int round = 0; round < 2; round++) {
        err = find_saga(plan);
        if (err) {
            return err;
        }
        err = decide(plan, &plan->input->event);
        if ((!err && plan->turn.changed) ||
            MARTY__MUTANT(102, plan->entry->turn == plan->core->turn, true)) {
            return err;
        }
        bool is_true = false;
        marty_err unread = marty__saga_entry_confirm(plan->core, plan->entry, &is_true, &plan->why);
        if (unread || is_true) {
            return unread ? unread : err;
        }
        forget_turn(plan);
        marty__saga_entry_drop(plan->core, plan->entry);
        plan->entry = NULL;
    }
    return err;
}

static void begin_write(saga_plan *plan)
{
    marty__assert(plan->entry);
    plan->writes = true;
    plan->entry->last = plan;
    plan->write.epoch = marty__saga_epoch(plan->core, plan->write.facts.shard);
}

/* A local step that runs inside: what it writes is known in the transaction only. */
static marty_err plan_inside(saga_plan *plan)
{
    marty_err err = find_saga(plan);
    if (err) {
        return err;
    }
    saga_entry *entry = plan->entry;
    plan->write.fill = fill_inside;
    plan->write.user = plan;
    plan->write.facts = entry->record->facts;
    plan->write.facts.shard = marty__saga_shard(entry->id);
    plan->write.facts.version++;
    begin_write(plan);
    return MARTY_OK;
}

static void send_new(saga_plan *plan)
{
    marty__link *link = NULL;
    while ((link = marty__list_pop(&plan->fresh)) != NULL) {
        marty__saga_item *item = MARTY__OWNER(link, marty__saga_item, link);
        if (plan->writes && plan->entry) {
            item->entry = plan->entry;
            marty__list_push(&plan->entry->items, &item->link);
        }
        marty__saga_item_send(item);
    }
}

static bool must_wait(const marty__saga_core *core, const marty__saga_input *input)
{
    const saga_entry *entry = marty__map_get(&core->entries, input->saga, strlen(input->saga));
    return entry && entry->last;
}

bool marty__saga_plan_make(marty__saga_core *core, saga_plan *plan, marty__saga_input *input,
                           marty__link *again)
{
    if (must_wait(core, input)) {
        marty__list_push(again, &input->link);
        return false;
    }
    prepare(plan, core, input);
    core->counts.inputs++;
    marty_err err = input->inside ? plan_inside(plan) : decide_surely(plan);
    if (!err) {
        if (!input->inside && plan->turn.changed) {
            begin_write(plan);
        }
        if (MARTY__MUTANT(101, false, true)) {
            send_new(plan); /* before it is durable */
        }
        return true;
    }
    answer(plan, err, NULL, (marty_bytes){NULL, 0});
    if (plan->entry && !plan->entry->record && !plan->entry->last) {
        marty__saga_entry_drop(core, plan->entry); /* one that was never born */
    }
    plan->entry = NULL;
    clear(plan);
    return false;
}

/* ---- after the commit */
/* Those whose answer this was need no sending again. */
static void drop_answered(saga_plan *plan)
{
    marty__link *items = &plan->entry->items;
    for (marty__link *at = items->next; at != items;) {
        marty__saga_item *item = MARTY__OWNER(at, marty__saga_item, link);
        at = at->next;
        if (!is_answered(item, &plan->input->event)) {
            continue;
        }
        if (item->busy) {
            marty__list_remove(&item->link);
            item->entry = NULL;
        } else {
            marty__saga_item_free(item);
        }
    }
}

/* 's' stuck, 'f' failing, or 0: what a saga's text of trouble is about. */
static char trouble_of(const char *text)
{
    bool failing = strncmp(text, MARTY_SAGA_FAILING, strlen(MARTY_SAGA_FAILING)) == 0;
    return failing ? 'f' : *text ? 's' : 0;
}

static char trouble_before(const saga_plan *plan)
{
    return plan->before ? trouble_of(plan->before->facts.stuck) : 0;
}

static void count(saga_plan *plan)
{
    char was = trouble_before(plan), is = trouble_of(plan->write.facts.stuck);
    marty__saga_counts *counts = &plan->core->counts;
    const marty_saga_facts *facts = &plan->write.facts;
    counts->transitions++;
    counts->started += facts->version == 1;
    if (marty__saga_is_over(facts->status)) {
        counts->ended[facts->status]++;
        marty__spread_add(&counts->sagas, facts->changed_us - facts->started_us);
    }
    if (plan->turn.answered_us) {
        marty__spread_add(&counts->operations, plan->turn.answered_us);
    }
    counts->stuck += is == 's' && was != 's';
    counts->failing += is == 'f' && !was;
    counts->late += plan->turn.late;
    counts->in_doubt += plan->turn.doubts;
    counts->undo_failures += plan->turn.undo_failures;
}

static void tell_change(const saga_plan *plan)
{
    char was = trouble_before(plan), is = trouble_of(plan->write.facts.stuck);
    const marty__saga_turn *turn = &plan->turn;
    const marty_saga_facts *facts = &plan->write.facts;
    marty_saga_change change = {.facts = facts,
                                .alert =
                                    !turn->alert && is == 'f' && !was ? facts->stuck : turn->alert,
                                .operation_us = turn->answered_us,
                                .in_doubt = turn->doubts,
                                .undo_stuck = turn->undo_failures};
    plan->core->options.wire.changed(plan->core->options.wire.user, &change);
}

/* A verb that came too late is in the history, and its caller is told that nothing will follow. */
static marty_err told_of(saga_plan *plan)
{
    bool refused = plan->turn.refused && plan->input->event.kind == MARTY__SAGA_EVENT_VERB;
    return refused ? marty_error_set(&plan->why, MARTY_E_STATE, "%s", plan->turn.refused)
                   : MARTY_OK;
}

static void on_written(saga_plan *plan)
{
    marty__saga_core *core = plan->core;
    saga_entry *entry = plan->entry;
    const marty_saga_write *write = &plan->write;
    marty_saga_record *record =
        marty_saga_record_new(&write->facts, write->epoch, write->state, (marty_bytes){"", 0});
    if (record) {
        record->place = write->place;
    }
    plan->before = entry->record; /* the write's facts borrow from it to the end */
    count(plan);
    drop_answered(plan);
    entry->record = record;
    entry->definition = plan->definition;
    entry->to_mark = false;
    if (write->epoch && write->facts.due_us < core->soonest_us) {
        core->soonest_us = write->facts.due_us;
    }
    entry->turn = core->turn; /* what was just written is what the store has */
    send_new(plan);
    plan->holds = true;
    entry->gone |= !record;
}

/* A local step that failed is a RETRY of its op: that is an event of its own. */
static void on_step_failed(saga_plan *plan, marty__link *again)
{
    marty__saga_input *input = plan->input;
    input->inside = NULL;
    input->event.reply = MARTY__SAGA_RETRY;
    input->event.reason = "the local step failed";
    marty__list_push(again, &input->link);
}

/* Nothing has changed. */
static void answer_as_read(saga_plan *plan)
{
    const marty_saga_record *record = plan->entry->record;
    answer(plan, MARTY_OK, record ? &record->facts : NULL,
           record ? record->state : (marty_bytes){NULL, 0});
}

static void on_refused(saga_plan *plan, marty_err err, marty__link *again)
{
    marty__saga_core *core = plan->core;
    marty_bytes none = {NULL, 0};
    switch ((int)err) {
    case MARTY_E_LOST:
        marty__saga_shard_lost(core, plan->write.facts.shard);
        put_back(plan, again);
        break;
    case MARTY_E_STATE:
        core->counts.conflicts++;
        put_back(plan, again);
        break;
    case MARTY_E_MAYBE_STORED:
        core->doubt = true;
        core->counts.doubts++;
        put_back(plan, again);
        break;
    case MARTY_E_EXISTS:
        (void)snprintf(plan->why.text, sizeof plan->why.text, "%s", plan->write.existing);
        answer(plan, err, NULL, none);
        break;
    case MARTY_E_FAILED:
        on_step_failed(plan, again);
        break;
    case MARTY_E_CANCELLED: /* the step is not wanted any more; what it did was undone */
        plan->writes = false;
        answer_as_read(plan);
        return;
    default:
        err = MARTY__MUTANT(104, err, MARTY_OK); /* what was not stored is acknowledged */
        if (err == MARTY_E_TOO_LARGE) {
            (void)marty_error_set(&plan->why, err,
                                  "the saga %.39s is over what its store takes, with %zu bytes of "
                                  "state and %zu of commands: %s",
                                  plan->entry->id, plan->write.state.size, plan->write.outbox.size,
                                  core->options.table->describe(core->options.store));
        } else if (plan->why.code != err) { /* else it is of what was tried before */
            (void)marty_error_set(&plan->why, err, "%s", marty_err_describe(err)->text);
        }
        answer(plan, err, NULL, none);
    }
    plan->entry->gone = true;
}

/* Nothing has changed, and another saga is to hear it again. Were the event done with before that
 * has happened, a close or a store that is away in between would lose the answer. */
static void answer_by_sending(saga_plan *plan)
{
    marty__saga_counts *counts = &plan->core->counts;
    counts->ignored[plan->turn.ignored]++;
    MARTY__OWNER(plan->fresh.before, marty__saga_item, link)->cause = plan->input;
    send_new(plan);
}

void marty__saga_plan_end(saga_plan *plan, marty__link *again)
{
    marty_err err = plan->writes ? plan->write.result : MARTY_OK;
    err = err == MARTY_E_MAYBE_STORED ? MARTY__MUTANT(103, err, MARTY_OK) : err;
    if (err) {
        on_refused(plan, err, again);
    } else if (plan->writes) {
        on_written(plan);
    } else if (!marty__list_empty(&plan->fresh)) {
        answer_by_sending(plan);
    } else {
        answer_as_read(plan); /* before a later write of the turn makes it another saga */
    }
}

void marty__saga_plan_done(saga_plan *plan)
{
    if (plan->holds) {
        tell_change(plan);
        answer(plan, told_of(plan), &plan->write.facts, plan->write.state);
    }
    marty_free(plan->before);
    clear(plan);
}
