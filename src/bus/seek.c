/* SPDX-License-Identifier: Apache-2.0
 * A consumer's group goes elsewhere in the log. It is wanted until the adapter has answered that it
 * moved, so neither a lost connection nor a refusal that may pass forgets it. Any thread. */
#include "internal.h"

#include "base/alloc.h"
#include "base/error.h"

/* What a seek changes. */
typedef struct place {
    marty_start start;
    char *position;
} place;

/* With consumer->lock held. */
static place exchange(marty__consumer *consumer, place to)
{
    place was = {consumer->start, consumer->start_position};
    consumer->start = to.start;
    consumer->start_position = to.position;
    return was;
}

/* It has moved, or shall not any more: then it would move when nobody expects it, or be refused at
 * each new connection. It begins anew where it was: whether it was refused or is still being
 * worked on, nobody else would ask for it. A new connection does so by itself. */
static void end_seek(marty__consumer *consumer, uint64_t seek, bool moved, place was)
{
    marty__lock(&consumer->lock);
    bool back = !moved && consumer->sought == seek;
    bool restart = back && marty__port_usable(consumer->port) &&
                   atomic_load(&consumer->bus->phase) == MARTY__OPEN;
    if (back) {
        consumer->reset = 0;
        was = exchange(consumer, was);
        consumer->refused = false; /* from here on an answer is of where it was */
    }
    marty__unlock(&consumer->lock);
    marty_free(was.position);
    if (restart) {
        marty__consumer_restart(consumer);
    }
}

marty_err marty__consumer_seek(marty__consumer *consumer, const marty_start *to,
                               int64_t deadline_ns, marty_error *why)
{
    char *position = to->position ? marty__strdup(to->position) : NULL;
    if (to->position && !position) {
        return marty__error_code(why, MARTY_E_NO_MEMORY);
    }
    marty__lock(&consumer->lock);
    place was = exchange(consumer, (place){*to, position});
    uint64_t seek = consumer->reset = consumer->sought = ++consumer->wish;
    consumer->subscribed = consumer->refused = false;
    marty__consumer_lose_all(consumer);
    marty__unlock(&consumer->lock);
    marty__consumer_clear(consumer, &(marty__clear){.consumer = consumer, .lost = true});
    marty__consumer_subscribe(consumer);
    marty__port_kick(consumer->port);
    marty_err err = marty__consumer_wait(consumer, seek, false, deadline_ns, why);
    end_seek(consumer, seek, err == MARTY_OK, was);
    return err;
}
