/* SPDX-License-Identifier: Apache-2.0
 * The outbox: commands as bytes, and how each is sent and tried again. A command that is not known
 * to be sent is in the store's outbox of its saga, except one that may be called at most once: that
 * is sent from memory only, so a crash loses it, and its timer finds it in doubt. */
#include "inside.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

enum { OUTBOX_VERSION = 1 };

/* ---- bytes: numbers of 8 bytes, texts with their size before and a NUL after */
enum { TEXTS = 8, HEAD_BYTES = 4 + 3 * 8 };

static void texts_of(const marty__saga_command *command, marty_bytes ret[TEXTS + 1])
{
    const char *const texts[TEXTS] = {command->service, command->type,    command->step,
                                      command->key,     command->message, command->forward_key,
                                      command->child,   command->reason};
    for (size_t i = 0; i < TEXTS; i++) {
        ret[i] = (marty_bytes){texts[i] ? texts[i] : "", texts[i] ? strlen(texts[i]) : 0};
    }
    ret[TEXTS] = command->data;
}

static char *write_number(char *at, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        at[i] = (char)(value >> (8 * i));
    }
    return at + 8;
}

static char *write_bytes(char *at, marty_bytes bytes)
{
    at = write_number(at, bytes.size);
    if (bytes.size) {
        memcpy(at, bytes.data, bytes.size);
    }
    at[bytes.size] = '\0';
    return at + bytes.size + 1;
}

static void write_command(const marty__saga_command *command, const marty_bytes texts[TEXTS + 1],
                          char *at)
{
    at[0] = OUTBOX_VERSION;
    at[1] = (char)command->kind;
    at[2] = (char)command->reply;
    at[3] = (char)((command->at_most_once ? 1 : 0) | (command->in_transaction ? 2 : 0) |
                   (command->tombstone ? 4 : 0) | (command->reason ? 8 : 0) |
                   (command->known ? 16 : 0));
    at = write_number(at + 4, command->attempt);
    at = write_number(at, command->version);
    at = write_number(at, (uint64_t)command->expires_us);
    for (size_t i = 0; i <= TEXTS; i++) {
        at = write_bytes(at, texts[i]);
    }
}

typedef struct reader {
    const char *data;
    size_t size, at;
    bool failed;
} reader;

static uint64_t read_number(reader *from)
{
    uint64_t value = 0;
    if (from->failed || from->size - from->at < 8) {
        from->failed = true;
        return 0;
    }
    for (int i = 0; i < 8; i++) {
        value |= (uint64_t)(unsigned char)from->data[from->at++] << (8 * i);
    }
    return value;
}

static unsigned read_byte(reader *from)
{
    if (from->failed || from->at == from->size) {
        from->failed = true;
        return 0;
    }
    return (unsigned char)from->data[from->at++];
}

static marty_bytes read_bytes(reader *from)
{
    uint64_t size = read_number(from);
    if (from->failed || size >= from->size - from->at || from->data[from->at + size] != '\0') {
        from->failed = true;
        return (marty_bytes){"", 0};
    }
    marty_bytes bytes = {from->data + from->at, (size_t)size};
    from->at += (size_t)size + 1;
    return bytes;
}

static void read_short(reader *from, char ret[MARTY__SAGA_TEXT])
{
    marty_bytes text = read_bytes(from);
    if (text.size >= MARTY__SAGA_TEXT) {
        from->failed = true;
        return;
    }
    memcpy(ret, text.data, text.size);
    ret[text.size] = '\0';
}

static void read_command(reader *from, marty__saga_command *ret)
{
    memset(ret, 0, sizeof *ret);
    from->failed |= read_byte(from) != OUTBOX_VERSION;
    ret->kind = (marty__saga_command_kind)read_byte(from);
    ret->reply = (marty__saga_reply)read_byte(from);
    unsigned flags = read_byte(from);
    ret->at_most_once = flags & 1;
    ret->in_transaction = flags & 2;
    ret->tombstone = flags & 4;
    ret->known = flags & 16;
    ret->attempt = (uint32_t)read_number(from);
    ret->version = (uint32_t)read_number(from);
    ret->expires_us = (int64_t)read_number(from);
    ret->service = read_bytes(from).data;
    ret->type = read_bytes(from).data;
    ret->step = read_bytes(from).data;
    read_short(from, ret->key);
    read_short(from, ret->message);
    read_short(from, ret->forward_key);
    read_short(from, ret->child);
    ret->reason = read_bytes(from).data;
    if (!(flags & 8)) {
        ret->reason = NULL;
    }
    ret->data = read_bytes(from);
    from->failed |= ret->kind < MARTY__SAGA_FORWARD || ret->kind > MARTY__SAGA_PUBLISH;
}

/* With room for its bytes, not yet filled in; NULL without memory. */
static marty__saga_item *new_item(marty__saga_core *core, const char *saga, size_t size)
{
    marty__saga_item *item = marty_alloc(sizeof *item + size);
    if (item) {
        memset(item, 0, sizeof *item);
        item->core = core;
        item->size = size;
        (void)snprintf(item->saga, sizeof item->saga, "%s", saga);
    }
    return item;
}

/* The command, with texts of the item's own bytes. */
static void read_own(marty__saga_item *item)
{
    reader own = {.data = item->bytes, .size = item->size};
    read_command(&own, &item->command);
}

marty__saga_item *marty__saga_item_new(marty__saga_core *core, const char *saga,
                                       const marty__saga_command *command)
{
    marty_bytes texts[TEXTS + 1];
    size_t size = HEAD_BYTES;
    texts_of(command, texts);
    for (size_t i = 0; i <= TEXTS; i++) {
        size += 8 + texts[i].size + 1;
    }
    marty__saga_item *item = new_item(core, saga, size);
    if (item) {
        write_command(command, texts, item->bytes);
        read_own(item);
    }
    return item;
}

marty__saga_item *marty__saga_item_read(marty__saga_core *core, const char *saga, marty_bytes from,
                                        size_t *at, marty_err *ret_err)
{
    reader measure = {.data = from.data, .size = from.size, .at = *at};
    marty__saga_command command;
    read_command(&measure, &command);
    if (measure.failed) {
        *ret_err = MARTY_E_MALFORMED;
        return NULL;
    }
    marty__saga_item *item = new_item(core, saga, measure.at - *at);
    if (!item) {
        *ret_err = MARTY_E_NO_MEMORY;
        return NULL;
    }
    memcpy(item->bytes, (const char *)from.data + *at, item->size);
    read_own(item);
    *at = measure.at;
    *ret_err = MARTY_OK;
    return item;
}

static void end_cause(marty__saga_item *item, marty_err err)
{
    marty__saga_input *cause = item->cause;
    marty__saga_done done = {.err = err, .why = marty_err_describe(err)->text};
    item->cause = NULL;
    if (cause) {
        cause->done(cause, &done);
    }
}

void marty__saga_item_free(marty__saga_item *item)
{
    end_cause(item, MARTY_E_CLOSED); /* not known to be sent */
    marty__list_remove(&item->link);
    marty__list_remove(&item->outcome);
    marty_free(item);
}

/* ---- sending */
static void on_other_done(marty__saga_input *input, const marty__saga_done *done)
{
    marty__saga_item *item = MARTY__OWNER(input, marty__saga_item, input);
    /* An answer or a cancel for a saga that is gone has nobody to reach any more. */
    bool gone = done->err == MARTY_E_NOT_FOUND && item->command.kind != MARTY__SAGA_CHILD_START;
    marty__saga_item_sent(item, gone ? MARTY_OK : done->err);
}

/* A command to another saga is an event for it; it is sent once that is durable. */
static void send_to_saga(marty__saga_item *item)
{
    const marty__saga_command *command = &item->command;
    item->input = (marty__saga_input){.saga = command->child,
                                      .name = command->type,
                                      .done = on_other_done,
                                      .version = command->version,
                                      .event = {.cause = command->message,
                                                .saga = command->child,
                                                .key = command->key,
                                                .attempt = command->attempt,
                                                .data = command->data}};
    if (command->kind == MARTY__SAGA_CHILD_START) {
        item->input.event.kind = MARTY__SAGA_EVENT_START;
        item->input.event.parent = item->saga;
    } else if (command->kind == MARTY__SAGA_CHILD_CANCEL) {
        item->input.event.kind = MARTY__SAGA_EVENT_PARENT_CANCEL;
        item->input.event.parent = item->saga;
    } else if (command->kind == MARTY__SAGA_CHILD_UNDO) {
        item->input.event.kind = MARTY__SAGA_EVENT_PARENT_UNDO;
        item->input.event.known = command->known;
        item->input.event.parent = item->saga;
    } else { /* an answer: child is the parent's id */
        item->input.event.kind = MARTY__SAGA_EVENT_REPLY;
        item->input.event.reply = command->reply;
        item->input.event.tombstone = command->tombstone;
        item->input.event.reason = command->reason;
    }
    marty__saga_core_put(item->core, &item->input);
}

/* A local step inside the transaction is a reply that is not known before the commit. */
static void on_inside_done(marty__saga_input *input, const marty__saga_done *done)
{
    marty__saga_item *item = MARTY__OWNER(input, marty__saga_item, input);
    marty__saga_item_sent(item, done->err);
}

static void run_inside(marty__saga_item *item)
{
    item->input = (marty__saga_input){.saga = item->saga,
                                      .done = on_inside_done,
                                      .inside = &item->command,
                                      .event = {.kind = MARTY__SAGA_EVENT_REPLY,
                                                .cause = item->command.message,
                                                .saga = item->saga,
                                                .key = item->command.key,
                                                .attempt = item->command.attempt}};
    marty__saga_core_put(item->core, &item->input);
}

void marty__saga_item_send(marty__saga_item *item)
{
    marty__saga_core *core = item->core;
    const marty__saga_command *command = &item->command;
    int64_t now_us = marty__saga_now_us(core);
    marty__lock(&core->mutex);
    core->busy++;
    marty__unlock(&core->mutex);
    item->busy = true;
    if (command->expires_us && command->expires_us <= now_us) {
        marty__saga_item_sent(item, MARTY_OK); /* its attempt is over: nobody would take it */
        return;
    }
    core->counts.sent++;
    core->counts.resent += item->tries > 0;
    switch (command->kind) {
    case MARTY__SAGA_FORWARD:
    case MARTY__SAGA_UNDO:
    case MARTY__SAGA_PROBE:
    case MARTY__SAGA_PUBLISH:
        core->options.wire.send(core->options.wire.user, item->saga, command, item);
        return;
    case MARTY__SAGA_LOCAL_FORWARD:
    case MARTY__SAGA_LOCAL_UNDO:
        if (command->in_transaction) {
            run_inside(item);
        } else {
            core->options.wire.local(core->options.wire.user, item->saga, command, item);
        }
        return;
    case MARTY__SAGA_CHILD_START:
    case MARTY__SAGA_CHILD_CANCEL:
    case MARTY__SAGA_CHILD_UNDO:
    case MARTY__SAGA_ANSWER:
        send_to_saga(item);
        return;
    }
}

/* ---- outcomes */
void marty__saga_item_sent(marty__saga_item *item, marty_err outcome)
{
    marty__saga_core *core = item->core;
    marty__lock(&core->mutex);
    item->result = outcome;
    core->busy--;
    marty__list_push(&core->outcomes, &item->outcome);
    core->options.wire.wake(core->options.wire.user); /* locked: else core may be gone by now */
    marty__unlock(&core->mutex);
}

/* A saga that has gone on since is marked by that. */
static void drop_stale_marks(marty__saga_core *core)
{
    size_t kept = 0;
    for (size_t i = 0; i < core->mark_count; i++) {
        const saga_mark *mark = &core->marks[i];
        const saga_entry *entry = marty__map_get(&core->entries, mark->id, strlen(mark->id));
        if (entry && entry->to_mark && entry->record &&
            entry->record->facts.version == mark->version) {
            core->marks[kept++] = *mark;
        }
    }
    core->mark_count = kept;
}

/* The first of the list, which then leave it. */
static void write_marks(marty__saga_core *core, size_t count)
{
    marty_saga_facts facts[SAGA_BATCH_MAX];
    for (size_t i = 0; i < count; i++) {
        facts[i] = (marty_saga_facts){.id = core->marks[i].id, .version = core->marks[i].version};
    }
    marty_error why = {0};
    marty_err err = core->options.table->sent(core->options.store, facts, count,
                                              marty__saga_call_until(core), &why);
    if (err) {
        marty__saga_log(core, 1, "sagas: what was sent could not be marked: %s", why.text);
    }
    for (size_t i = 0; i < count; i++) {
        saga_entry *entry = marty__map_get(&core->entries, facts[i].id, strlen(facts[i].id));
        if (entry && entry->to_mark) {
            entry->to_mark = false;
            if (!err && entry->record && entry->record->facts.version == facts[i].version) {
                entry->record->facts.unsent = false;
            }
        }
    }
    core->mark_count -= count;
    memmove(core->marks, core->marks + count, core->mark_count * sizeof *core->marks);
}

void marty__saga_marks_work(marty__saga_core *core, int64_t now_ns, bool all)
{
    if (!core->mark_count || !(all || core->marks[0].due_ns <= now_ns)) {
        return;
    }
    drop_stale_marks(core);
    size_t count = 0;
    do {
        count = 0;
        while (count < SAGA_BATCH_MAX && count < core->mark_count &&
               (all || core->marks[count].due_ns <= now_ns)) {
            count++;
        }
        if (count) {
            write_marks(core, count);
        }
    } while (all && count);
}

/* Room for one more: most of a full list have gone on since. */
static void make_mark_room(marty__saga_core *core)
{
    if (core->mark_count == SAGA_MARKS_MAX) {
        drop_stale_marks(core);
    }
    if (core->mark_count == SAGA_MARKS_MAX) {
        write_marks(core, SAGA_BATCH_MAX);
    }
}

void marty__saga_note_quiet(marty__saga_core *core, saga_entry *entry)
{
    if (entry->record && entry->record->facts.unsent &&
        MARTY__MUTANT(112, marty__list_empty(&entry->items), true) && !entry->to_mark) {
        make_mark_room(core);
        saga_mark *mark = &core->marks[core->mark_count++];
        entry->to_mark = true;
        memcpy(mark->id, entry->id, sizeof mark->id);
        mark->version = entry->record->facts.version;
        mark->due_ns = marty__saga_now_ns(core) + SAGA_QUIET_MS * INT64_C(1000000);
    }
}

/* A publish that failed otherwise than in doubt was not stored; of these, what the program or a
 * person must mend first. CLOSED: another engine sends it. */
static bool is_refused(marty_err err)
{
    marty_class kind = marty_err_describe(err)->error_class;
    return err != MARTY_E_CLOSED && (kind == MARTY_CLASS_CALLER || kind == MARTY_CLASS_FATAL);
}

/* What could not be told is not done with: it is published again, and told again. */
static void on_not_sent_done(marty__saga_input *input, const marty__saga_done *done)
{
    marty__saga_item *item = MARTY__OWNER(input, marty__saga_item, input);
    marty__saga_item_sent(item, done->err ? MARTY_E_UNAVAILABLE : MARTY_OK);
}

/* The machine decides what that means, and the step says why it is tried again. */
static void tell_not_sent(marty__saga_item *item)
{
    marty__saga_core *core = item->core;
    (void)snprintf(item->refusal, sizeof item->refusal, "not sent: %s",
                   marty_err_describe(item->result)->text);
    item->input = (marty__saga_input){.saga = item->saga,
                                      .done = on_not_sent_done,
                                      .event = {.kind = MARTY__SAGA_EVENT_NOT_SENT,
                                                .cause = item->command.message,
                                                .saga = item->saga,
                                                .key = item->command.key,
                                                .attempt = item->command.attempt,
                                                .reason = item->refusal}};
    marty__lock(&core->mutex);
    core->busy++;
    marty__unlock(&core->mutex);
    item->busy = true;
    marty__saga_core_put(core, &item->input);
}

static void try_later(marty__saga_core *core, marty__saga_item *item, int64_t now_ns)
{
    int64_t pause_ms = SAGA_RESEND_MS;
    for (unsigned i = 0; i < item->tries && pause_ms < SAGA_RESEND_MAX_MS; i++) {
        pause_ms *= 2;
    }
    item->tries++;
    item->later_ns = now_ns + pause_ms * INT64_C(1000000);
    core->counts.send_failures++;
    marty__list_push(&core->later, &item->outcome);
}

static void take_outcome(marty__saga_core *core, marty__saga_item *item, int64_t now_ns)
{
    saga_entry *entry = item->entry;
    bool remote = item->command.kind <= MARTY__SAGA_PROBE;
    item->busy = false;
    /* one that its parent can never take is not asked for for ever: the attempt's timer does */
    end_cause(item, is_refused(item->result) ? MARTY_OK : item->result);
    if (MARTY__MUTANT(109, !item->result, true) || !entry || item->command.at_most_once) {
        marty__saga_item_free(item);
        if (entry) {
            marty__saga_note_quiet(core, entry);
        }
    } else if (remote && is_refused(item->result)) {
        tell_not_sent(item);
    } else {
        try_later(core, item, now_ns);
    }
}

static marty__saga_item *first_with_cause(marty__saga_core *core)
{
    marty__saga_item *found = NULL;
    marty__lock(&core->mutex);
    for (marty__link *at = core->outcomes.next; at != &core->outcomes && !found; at = at->next) {
        marty__saga_item *item = MARTY__OWNER(at, marty__saga_item, outcome);
        found = item->cause ? item : NULL;
    }
    marty__unlock(&core->mutex);
    return found;
}

void marty__saga_causes_end(marty__saga_core *core)
{
    marty__saga_item *item = NULL;
    while ((item = first_with_cause(core)) != NULL) {
        end_cause(item, item->result);
    }
}

/* All that have come so far, with one look. */
static bool take_outcomes(marty__saga_core *core, marty__link *to)
{
    marty__lock(&core->mutex);
    marty__list_move(to, &core->outcomes);
    marty__unlock(&core->mutex);
    return !marty__list_empty(to);
}

void marty__saga_items_work(marty__saga_core *core, int64_t now_ns)
{
    marty__link outcomes, *link = NULL;
    marty__list_init(&outcomes);
    while (take_outcomes(core, &outcomes)) {
        while ((link = marty__list_pop(&outcomes)) != NULL) {
            take_outcome(core, MARTY__OWNER(link, marty__saga_item, outcome), now_ns);
        }
    }
    for (link = core->later.next; link != &core->later;) {
        marty__saga_item *item = MARTY__OWNER(link, marty__saga_item, outcome);
        link = link->next;
        if (item->later_ns <= now_ns) {
            marty__list_remove(&item->outcome);
            marty__saga_item_send(item);
        }
    }
    marty__saga_flush(core);
}
