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
static void write_number(marty__buffer *to, uint64_t value)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(value >> (8 * i));
    }
    marty__buffer_add(to, bytes, sizeof bytes);
}

static void write_bytes(marty__buffer *to, const void *data, size_t size)
{
    write_number(to, size);
    marty__buffer_add(to, data, size);
    marty__buffer_byte(to, '\0');
}

static void write_text(marty__buffer *to, const char *text)
{
    write_bytes(to, text, text ? strlen(text) : 0);
}

void marty__saga_command_write(const marty__saga_command *command, marty__buffer *to)
{
    marty__buffer_byte(to, OUTBOX_VERSION);
    marty__buffer_byte(to, (char)command->kind);
    marty__buffer_byte(to, (char)command->reply);
    marty__buffer_byte(to, (char)((command->at_most_once ? 1 : 0) |
                                  (command->in_transaction ? 2 : 0) | (command->tombstone ? 4 : 0) |
                                  (command->reason ? 8 : 0) | (command->known ? 16 : 0)));
    write_number(to, command->attempt);
    write_number(to, command->version);
    write_number(to, (uint64_t)command->expires_us);
    const char *const texts[] = {command->service, command->type,    command->step,
                                 command->key,     command->message, command->forward_key,
                                 command->child,   command->reason};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        write_text(to, texts[i]);
    }
    write_bytes(to, command->data.data, command->data.size);
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
    size_t size = measure.at - *at;
    marty__saga_item *item = marty_alloc(sizeof *item + size);
    if (!item) {
        *ret_err = MARTY_E_NO_MEMORY;
        return NULL;
    }
    memset(item, 0, sizeof *item);
    item->core = core;
    item->size = size;
    memcpy(item->bytes, (const char *)from.data + *at, size);
    (void)snprintf(item->saga, sizeof item->saga, "%s", saga);
    reader again = {.data = item->bytes, .size = size};
    read_command(&again, &item->command);
    *at = measure.at;
    *ret_err = MARTY_OK;
    return item;
}

void marty__saga_item_free(marty__saga_item *item)
{
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

void marty__saga_marks_work(marty__saga_core *core, int64_t now_ns, bool all)
{
    bool full = core->mark_count == SAGA_BATCH_MAX;
    if (!core->mark_count || !(all || core->mark_ns <= now_ns || full)) {
        return;
    }
    drop_stale_marks(core);
    if (!core->mark_count ||
        (full && !all && core->mark_ns > now_ns && core->mark_count < SAGA_BATCH_MAX / 2)) {
        return; /* room enough, and not yet time */
    }
    marty_saga_facts facts[SAGA_BATCH_MAX];
    for (size_t i = 0; i < core->mark_count; i++) {
        facts[i] = (marty_saga_facts){.id = core->marks[i].id, .version = core->marks[i].version};
    }
    marty_error why = {0};
    marty_err err = core->options.table->sent(core->options.store, facts, core->mark_count,
                                              marty__saga_call_until(core), &why);
    if (err) {
        marty__saga_log(core, 1, "sagas: what was sent could not be marked: %s", why.text);
    }
    for (size_t i = 0; i < core->mark_count; i++) {
        saga_entry *entry = marty__map_get(&core->entries, facts[i].id, strlen(facts[i].id));
        if (entry && entry->to_mark) {
            entry->to_mark = false;
            if (!err && entry->record && entry->record->facts.version == facts[i].version) {
                entry->record->facts.unsent = false;
            }
        }
    }
    core->mark_count = 0;
}

/* Once nothing of the saga is unsent, the store may know it too. */
static void note_quiet(marty__saga_core *core, saga_entry *entry)
{
    if (entry->record && entry->record->facts.unsent &&
        MARTY__MUTANT(112, marty__list_empty(&entry->items), true) && !entry->to_mark) {
        if (core->mark_count == SAGA_BATCH_MAX) {
            marty__saga_marks_work(core, marty__saga_now_ns(core), false);
        }
        saga_mark *mark = &core->marks[core->mark_count++];
        entry->to_mark = true;
        memcpy(mark->id, entry->id, sizeof mark->id);
        mark->version = entry->record->facts.version;
        if (core->mark_count == 1) {
            core->mark_ns = marty__saga_now_ns(core) + INT64_C(500000000);
        }
    }
}

static void on_not_sent_done(marty__saga_input *input, const marty__saga_done *done)
{
    marty__saga_item *item = MARTY__OWNER(input, marty__saga_item, input);
    (void)done;
    marty__saga_item_sent(item, MARTY_OK);
}

/* The broker surely refused it and always will: the machine decides what that means. */
static void tell_not_sent(marty__saga_item *item)
{
    marty__saga_core *core = item->core;
    item->input = (marty__saga_input){.saga = item->saga,
                                      .done = on_not_sent_done,
                                      .event = {.kind = MARTY__SAGA_EVENT_NOT_SENT,
                                                .cause = item->command.message,
                                                .saga = item->saga,
                                                .key = item->command.key,
                                                .attempt = item->command.attempt,
                                                .reason = marty_err_describe(item->result)->text}};
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
    if (MARTY__MUTANT(109, !item->result, true) || !entry || item->command.at_most_once) {
        marty__saga_item_free(item);
        if (entry) {
            note_quiet(core, entry);
        }
    } else if (remote && item->result != MARTY_E_CLOSED &&
               marty_err_describe(item->result)->error_class == MARTY_CLASS_CALLER) {
        tell_not_sent(item);
    } else {
        try_later(core, item, now_ns);
    }
}

void marty__saga_items_work(marty__saga_core *core, int64_t now_ns)
{
    marty__link *link = NULL;
    for (;;) {
        marty__lock(&core->mutex);
        link = marty__list_empty(&core->outcomes) ? NULL : core->outcomes.next;
        if (link) {
            marty__list_remove(link);
        }
        marty__unlock(&core->mutex);
        if (!link) {
            break;
        }
        take_outcome(core, MARTY__OWNER(link, marty__saga_item, outcome), now_ns);
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
