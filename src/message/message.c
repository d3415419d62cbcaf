/* SPDX-License-Identifier: Apache-2.0
 * References, and how a template becomes a counted message: checked strictly, completed, copied
 * once. Any thread. */
#include "message.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/time.h"
#include "block.h"
#include "codec.h"
#include "rules.h"
#include "uuid.h"

#include <string.h>
#include <strings.h>

marty_message *marty_message_ref(const marty_message *message)
{
    if (!marty__message_counted(message)) {
        return NULL;
    }
    marty__block *block = marty__block_of(message);
    (void)atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    return &block->message;
}

/* Give so many references back; whether they were the last ones. */
static bool dropped(marty__block *block, uint32_t count)
{
    return atomic_load_explicit(&block->refs, memory_order_acquire) == count ||
           atomic_fetch_sub_explicit(&block->refs, count, memory_order_acq_rel) == count;
}

/* Its parents go with it. */
static void free_all(marty__block *block)
{
    marty_message *parent = NULL;
    do {
        parent = block->parent;
        block->message.marty__self = NULL;
        marty__block_free(block);
        block = parent ? marty__block_of(parent) : NULL;
    } while (block && dropped(block, 1));
}

void marty__message_unref_many(marty_message *message, uint32_t count)
{
    if (marty__message_counted(message) && dropped(marty__block_of(message), count)) {
        free_all(marty__block_of(message));
    }
}

void marty_message_unref(marty_message *message)
{
    marty__message_unref_many(message, 1);
}

marty_message *marty__message_keep(const marty_message *message, uint32_t count)
{
    marty__block *block = marty__block_of(message);
    if (atomic_load_explicit(&block->refs, memory_order_acquire) == 1) {
        atomic_store_explicit(&block->refs, 1 + count, memory_order_relaxed);
    } else {
        (void)atomic_fetch_add_explicit(&block->refs, count, memory_order_relaxed);
    }
    return &block->message;
}

marty_bytes marty_message_header(const marty_message *message, const char *name)
{
    for (size_t i = 0; name && message && i < message->header_count; i++) {
        const marty_header *header = &message->headers[i];
        if (strcasecmp(header->name, name) == 0) {
            return header->value;
        }
    }
    return (marty_bytes){NULL, 0};
}

marty_bytes marty__message_attribute(const marty_message *message, const char *name)
{
    for (size_t i = 0; message && i < message->header_count; i++) {
        const marty_header *header = &message->headers[i];
        if (header->kind != MARTY_HEADER && strcmp(header->name, name) == 0) {
            return header->value;
        }
    }
    return (marty_bytes){NULL, 0};
}

size_t marty__message_cost(const marty_message *message)
{
    if (marty__message_counted(message)) {
        return marty__block_of(message)->cost;
    }
    size_t cost = sizeof *message + message->data.size;
    for (size_t i = 0; i < message->header_count; i++) {
        cost += sizeof *message->headers + message->headers[i].value.size;
    }
    return cost;
}

/* A struct copy of a counted message: what was read leniently once is accepted again. */
static bool is_copy(const marty_message *template_)
{
    return template_->marty__self != NULL;
}

static marty_err take_fields(marty__draft *draft, const marty_message *from, marty_error *why)
{
    for (size_t i = 0; i < MARTY__FIELDS; i++) {
        const char *const *text = marty__field_in(from, (marty__field)i);
        if (*text) {
            size_t size = strlen(*text);
            marty_err err = marty__field_check((marty__field)i, *text, size, is_copy(from), why);
            if (err) {
                return err;
            }
            draft->fields[i] = marty__plain(*text, size);
        }
    }
    return MARTY_OK;
}

static marty_err check_traces(const marty__draft *draft, marty_error *why)
{
    const marty__piece *parent = &draft->fields[MARTY__TRACE_PARENT];
    const marty__piece *state = &draft->fields[MARTY__TRACE_STATE];
    const char *wrong = parent->at ? marty__trace_parent_wrong(parent->at, parent->size) : NULL;
    if (wrong) {
        return marty_error_set(why, MARTY_E_MALFORMED, "traceparent: %s", wrong);
    }
    wrong = state->at ? marty__trace_state_wrong(state->at, state->size) : NULL;
    if (wrong) {
        return marty_error_set(why, MARTY_E_MALFORMED, "tracestate: %s", wrong);
    }
    if (state->at && !parent->at) {
        return marty_error_set(why, MARTY_E_MALFORMED,
                               "tracestate: it means nothing alone; set trace_parent too");
    }
    return MARTY_OK;
}

/* The struct's field that an attribute of that name belongs into, or NULL. */
static const char *own_field(const char *name, size_t size)
{
    static const char *const others[][2] = {{"time", "time_us"},
                                            {"expirytime", "expires_us"},
                                            {"martypriority", "priority"},
                                            {"specversion", "nothing, it is always 1.0"}};
    for (size_t i = 0; i < MARTY__FIELDS; i++) {
        if (size == marty__fields[i].wire_size && memcmp(name, marty__fields[i].wire, size) == 0) {
            return marty__fields[i].name;
        }
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (strcmp(name, others[i][0]) == 0) {
            return others[i][1];
        }
    }
    return NULL;
}

static marty_err check_header(const marty_header *header, size_t name_size, bool copy,
                              marty_error *why)
{
    bool plain = header->kind == MARTY_HEADER;
    const char *what = plain ? "header" : "attribute", *name = header->name;
    const char *wrong = plain ? marty__header_name_wrong(name, name_size)
                              : marty__attribute_name_wrong(name, name_size);
    if (wrong) {
        return marty_error_set(why, MARTY_E_MALFORMED, "%s name \"%.64s\": %s", what, name, wrong);
    }
    if (name_size > MARTY__NAME_BYTES_MAX || header->value.size > MARTY__ATTRIBUTE_BYTES_MAX) {
        return marty_error_set(why, MARTY_E_TOO_LARGE,
                               "%s %.64s: name %zu and value %zu bytes, at most %d and %d", what,
                               name, name_size, header->value.size, (int)MARTY__NAME_BYTES_MAX,
                               (int)MARTY__ATTRIBUTE_BYTES_MAX);
    }
    if (plain && marty__header_name_reserved(name, name_size)) {
        return marty_error_set(
            why, MARTY_E_MALFORMED,
            "header %.64s: this name belongs to the envelope; set the message's field, or give "
            "the header the kind MARTY_ATTRIBUTE and the name behind the prefix",
            name);
    }
    wrong = plain ? NULL : own_field(name, name_size);
    if (wrong) {
        return marty_error_set(why, MARTY_E_MALFORMED,
                               "attribute %s: it has a field of its own; set %s instead", name,
                               wrong);
    }
    wrong = !header->value.data && header->value.size ? "it has a size but no bytes"
            : plain && copy
                ? NULL
                : marty__value_wrong(header->kind, header->value.data ? header->value.data : "",
                                     header->value.size);
    return wrong ? marty_error_set(why, MARTY_E_MALFORMED, "%s %s: %s", what, name, wrong)
                 : MARTY_OK;
}

static marty_err take_headers(marty__draft *draft, const marty_message *from, marty_error *why)
{
    if (from->header_count && !from->headers) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "headers: NULL, but header_count is %zu",
                               from->header_count);
    }
    if (from->header_count > MARTY__HEADERS_MAX) {
        return marty_error_set(why, MARTY_E_TOO_LARGE,
                               "headers: %zu, at most %d are allowed; put them into the data",
                               from->header_count, (int)MARTY__HEADERS_MAX);
    }
    for (size_t i = 0; i < from->header_count; i++) {
        const marty_header *header = &from->headers[i];
        if (!header->name) {
            return marty_error_set(why, MARTY_E_ARGUMENT, "headers[%zu].name: NULL", i);
        }
        size_t size = strlen(header->name);
        marty_err err = check_header(header, size, is_copy(from), why);
        if (!err && header->kind != MARTY_HEADER) {
            err = marty__draft_unique(draft, header->name, size, why);
        }
        if (err) {
            return err;
        }
        marty__draft_header *to = marty__draft_header_add(draft, why);
        if (!to) {
            return MARTY_E_NO_MEMORY;
        }
        const char *value = header->value.data ? header->value.data : "";
        *to = (marty__draft_header){marty__plain(header->name, size),
                                    marty__plain(value, header->value.size), header->kind};
    }
    return MARTY_OK;
}

static void carry(marty__draft *draft, marty__field field, const char *text)
{
    if (!draft->fields[field].at && text) {
        draft->fields[field] = marty__plain(text, strlen(text));
    }
}

/* Correlation, causation and trace of what this follows from. */
static void follow(marty__draft *draft, const marty_message *cause)
{
    carry(draft, MARTY__CORRELATION, cause->correlation_id ? cause->correlation_id : cause->id);
    carry(draft, MARTY__CAUSATION, cause->id);
    if (!draft->fields[MARTY__TRACE_PARENT].at && cause->trace_parent) {
        carry(draft, MARTY__TRACE_PARENT, cause->trace_parent);
        carry(draft, MARTY__TRACE_STATE, cause->trace_state);
    }
}

static bool in_years(int64_t time_us)
{
    return time_us >= MARTY__TIME_FIRST_US && time_us <= MARTY__TIME_LAST_US;
}

static marty_err check_slots(const marty_message *template_, marty_error *why)
{
    const uint64_t *slots = template_->reserved;
    if (slots[0] | slots[1] | slots[2] | slots[3]) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "message.reserved is set: made for a newer Marty than %s, or not "
                               "zeroed; write marty_message m = {0}",
                               marty_version());
    }
    if (!template_->type) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "type: it is required, such as \"order.created\"");
    }
    if (!in_years(template_->time_us) || !in_years(template_->expires_us)) {
        return marty_error_set(why, MARTY_E_MALFORMED,
                               "%s is outside of the years 0000 to 9999; it is Unix time in "
                               "microseconds, 0 = %s",
                               in_years(template_->time_us) ? "expires_us" : "time_us",
                               in_years(template_->time_us) ? "never" : "now");
    }
    if (!template_->data.data && template_->data.size) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "data: NULL, but its size is %zu",
                               template_->data.size);
    }
    return MARTY_OK;
}

static marty_err gather(marty__draft *draft, const marty_message *template_,
                        const marty_message *cause, marty_error *why)
{
    marty_err err = check_slots(template_, why);
    err = err ? err : take_fields(draft, template_, why);
    err = err ? err : check_traces(draft, why);
    err = err ? err : take_headers(draft, template_, why);
    if (!err && cause) {
        follow(draft, cause);
    }
    return err;
}

/* Whether the template says the same as the last one, word for word: the very same words. */
static bool says_the_same(const marty__making *how, const marty_message *template_)
{
    const marty_message *last = how->like_template;
    if (!last || template_->id || template_->header_count || template_->marty__self) {
        return false;
    }
    if (template_ == last) {
        return true;
    }
    for (size_t i = 0; i < MARTY__FIELDS; i++) {
        if (*marty__field_in(template_, (marty__field)i) !=
            *marty__field_in(last, (marty__field)i)) {
            return false;
        }
    }
    return true;
}

/* A made id is nobody else's, where chance is chance. */
static void set_fresh(marty_message *message, const uint64_t id[2], uint64_t source_hash)
{
    marty__block *block = marty__block_of(message);
    block->fresh = true;
    block->id[0] = id[0];
    block->id[1] = id[1];
    block->source =
        source_hash ? source_hash : marty__hash(message->source, block->sizes[MARTY__SOURCE]);
}

static int64_t now_of(const marty__making *how)
{
    if (how->now_us) {
        return how->now_us;
    }
    const marty_env *env = how->env ? how->env : marty__env_real();
    return env->wall_us(env->user);
}

static marty_err make_new(marty_message **ret_message, const marty_message *template_,
                          const marty__making *how, marty_error *why)
{
    MARTY__UNSET marty__draft draft;
    MARTY__UNSET char id[MARTY__UUID_TEXT];
    MARTY__UNSET uint64_t number[2];
    marty__draft_init(&draft);
    marty_err err = gather(&draft, template_, how->cause, why);
    if (err) {
        marty__draft_free(&draft);
        return err;
    }
    carry(&draft, MARTY__SOURCE, how->source ? how->source : MARTY__SOURCE_DEFAULT);
    carry(&draft, MARTY__CONTENT_TYPE, "application/json");
    bool made = !draft.fields[MARTY__ID].at;
    int64_t now_us = made || !template_->time_us ? now_of(how) : 0;
    if (made && how->unseen) {
        marty__uuid7_next(now_us, number, id);
    } else if (made) {
        marty__uuid7_at(how->env, now_us, id);
    }
    if (made) {
        draft.fields[MARTY__ID] = marty__plain(id, MARTY__UUID_TEXT - 1);
    }
    draft.first = true;
    draft.data = marty__plain(template_->data.data, template_->data.size);
    draft.time_us = template_->time_us ? template_->time_us : now_us;
    draft.expires_us = template_->expires_us;
    draft.priority = template_->priority;
    err = marty__draft_finish(&draft, ret_message, why);
    if (!err && made && how->unseen) {
        set_fresh(*ret_message, number, template_->source ? 0 : how->source_hash);
    }
    return err;
}

static marty_err make_like(marty_message **ret_message, const marty_message *template_,
                           marty__making *how, marty_error *why)
{
    marty_err err = check_slots(template_, why);
    err = err ? err : marty__draft_repeat(how->like, template_->data, ret_message, why);
    if (err) {
        return err;
    }
    marty_message *message = *ret_message;
    marty__block *block = marty__block_of(message);
    char *id = (char *)(uintptr_t)message->id;
    int64_t now_us = now_of(how);
    if (how->unseen) {
        marty__uuid7_next(now_us, block->id, id); /* the hash of the source is that of the other */
        block->fresh = true;
    } else {
        marty__uuid7_at(how->env, now_us, id);
    }
    message->time_us = template_->time_us ? template_->time_us : now_us;
    message->expires_us = template_->expires_us;
    message->priority = template_->priority;
    return MARTY_OK;
}

static atomic_uint_fast64_t kins; /* given out */

marty_err marty__message_make(marty_message **ret_message, const marty_message *template_,
                              marty__making *how, marty_error *why)
{
    if (!template_) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "message: NULL; a template is expected");
    }
    if (marty__message_counted(template_)) {
        *ret_message = marty_message_ref(template_);
        return MARTY_OK;
    }
    if (says_the_same(how, template_)) {
        return make_like(ret_message, template_, how, why);
    }
    marty_err err = make_new(ret_message, template_, how, why);
    bool plain = !err && !template_->id && !template_->header_count;
    if (plain) {
        marty__block_of(*ret_message)->kin =
            1 + atomic_fetch_add_explicit(&kins, 1, memory_order_relaxed);
    }
    how->like = plain ? *ret_message : NULL;
    how->like_template = plain ? template_ : NULL;
    return err;
}

marty_err marty__message_new(marty_message **ret_message, const marty_message *template_,
                             const marty_message *cause, const marty_env *env, const char *source,
                             marty_error *why)
{
    marty__making how = {.env = env, .source = source, .cause = cause};
    return marty__message_make(ret_message, template_, &how, why);
}

marty_err marty_message_new(marty_message **ret_message, const marty_message *template_,
                            const marty_message *cause, marty_error *why)
{
    return marty__message_new(ret_message, template_, cause, NULL, NULL, why);
}
