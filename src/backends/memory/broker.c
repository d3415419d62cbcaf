/* SPDX-License-Identifier: Apache-2.0
 * Brokers: one of its own for each bus that opens `memory:`, one for all that open `memory:NAME`,
 * which goes with the last of them. The list of names has a lock of its own, which is never held
 * together with a broker's. */
#include "memory.h"

#include "base/alloc.h"

#include <string.h>

static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static broker *named;

static void broker_free(broker *b)
{
    channel *c;
    for (size_t at = 0; (c = marty__map_next(&b->channels, &at)) != NULL;) {
        marty__mem_channel_remove(c);
    }
    marty__map_free(&b->channels);
    marty__mem_wild_free(b);
    marty__mem_items_free(b);
    marty__mem_claims_free(b);
    while (b->spare_segments) {
        segment *spare = b->spare_segments;
        b->spare_segments = spare->next;
        marty_free(spare);
    }
    marty__mem_dedup_free(&b->dedup);
    marty__cond_free(&b->idle);
    marty__mutex_free(&b->lock);
    marty_free(b->name);
    marty_free(b);
}

static broker *broker_new(const char *name, const settings *s)
{
    broker *b = marty_alloc_zero(1, sizeof *b);
    if (!b) {
        return NULL;
    }
    bool locks = marty__mutex_init(&b->lock);
    if (!locks || !marty__cond_init(&b->idle)) {
        if (locks) {
            marty__mutex_free(&b->lock);
        }
        marty_free(b);
        return NULL;
    }
    b->refs = 1;
    b->settings = *s;
    b->retry_ns = MARTY__NEVER;
    marty__mem_dedup_init(&b->dedup);
    marty__list_init(&b->ports);
    marty__list_init(&b->ready);
    marty__list_init(&b->wild);
    marty__list_init(&b->free_items);
    marty__list_init(&b->free_claims);
    marty__list_init(&b->claim_chunks);
    b->name = name ? marty__strdup(name) : NULL;
    if (name && !b->name) {
        broker_free(b);
        return NULL;
    }
    return b;
}

static broker *find(const char *name)
{
    broker *b = named;
    while (b && strcmp(b->name, name) != 0) {
        b = b->next_named;
    }
    return b;
}

/* What the first one set holds for all; saying something else is a mistake worth knowing. */
static marty_err check_settings(const broker *b, const settings *s, marty_error *why)
{
    bool limit = s->limit_set && s->limit != b->settings.limit;
    bool history = s->history_set && s->history != b->settings.history;
    if (limit || history) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "memory:%s is open with another %s; give it once, or the same",
                               b->name, limit ? "limit" : "history");
    }
    return MARTY_OK;
}

marty_err marty__mem_broker_open(broker **ret_broker, const char *name, const settings *s,
                                 marty_error *why)
{
    marty_err err = MARTY_OK;
    marty__lock(&names_lock);
    broker *b = name ? find(name) : NULL;
    if (b) {
        err = check_settings(b, s, why);
        b->refs += !err;
    } else {
        b = broker_new(name, s);
        if (!b) {
            err = marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a broker");
        } else if (name) {
            b->next_named = named;
            named = b;
        }
    }
    marty__unlock(&names_lock);
    if (!err) {
        *ret_broker = b;
    }
    return err;
}

void marty__mem_broker_close(broker *b)
{
    marty__lock(&names_lock);
    bool last = --b->refs == 0;
    if (last && b->name) {
        broker **at = &named;
        while (*at != b) {
            at = &(*at)->next_named;
        }
        *at = b->next_named;
    }
    marty__unlock(&names_lock);
    if (last) {
        broker_free(b);
    }
}
