/* SPDX-License-Identifier: Apache-2.0
 * What a source keeps of its pulls: without credit, or behind one that was given back. The server
 * counts the lease of each from when it came. At half of it, what others may have is given back,
 * and what must stay here for its order is renewed. What is past it is the server's again: it is
 * not handed over, and not given back, since somebody else may have it by now. The loop's, lock
 * held. */
#include "kept.h"
#include "parts.h"

#include <string.h>

static bool make_room(nats__source *source)
{
    if (source->kept_count == 0) {
        source->kept_head = 0;
    } else if (source->kept_head + source->kept_count == source->kept_capacity) {
        memmove(source->kept, source->kept + source->kept_head,
                source->kept_count * sizeof(nats__message *));
        source->kept_head = 0;
    }
    if (source->kept_head + source->kept_count < source->kept_capacity) {
        return true;
    }
    size_t capacity = source->kept_capacity ? source->kept_capacity * 2 : 16;
    nats__message **kept = marty_realloc(source->kept, capacity * sizeof(nats__message *));
    if (kept) {
        source->kept = kept;
        source->kept_capacity = capacity;
    }
    return kept != NULL;
}

static void note_since(nats__source *source, int64_t since_ns)
{
    bool oldest = source->kept_count == 0 || since_ns < source->kept_since_ns;
    source->kept_since_ns = oldest ? since_ns : source->kept_since_ns;
}

bool nats__keep_locked(nats__source *source, const nats__message *from, int64_t since_ns)
{
    marty_port *port = source->owner->port;
    size_t bytes = source->kept_bytes + nats__message_weight(from);
    bool fits = source->kept_count == 0 || bytes <= 2 * nats__pull_bytes(port);
    nats__message *message = fits ? nats__message_copy(from) : NULL;
    if (!message || !make_room(source)) {
        marty_free(message);
        return false;
    }
    message->since_ns = since_ns;
    note_since(source, since_ns);
    nats__message **first = source->kept + source->kept_head, **at = first + source->kept_count;
    *at = message;
    source->kept_count++;
    source->kept_bytes += nats__message_weight(message);
    source->owner->keeps = true;
    port->due_ns = 0; /* the loop looks when it may go */
    /* in an ordered source one that was given back comes before those that waited for it */
    uint64_t sequence = source->ordered ? nats__sequence_of(source, message) : UINT64_MAX;
    for (; at > first && nats__sequence_of(source, at[-1]) > sequence; at--) {
        at[0] = at[-1];
        at[-1] = message;
    }
    return true;
}

nats__message *nats__kept_take_locked(nats__source *source)
{
    nats__message *message = source->kept[source->kept_head++];
    source->kept_count--;
    source->kept_bytes -= nats__message_weight(message);
    return message;
}

bool nats__kept_before_locked(nats__source *source, uint64_t sequence)
{
    return source->kept_count > 0 &&
           nats__sequence_of(source, source->kept[source->kept_head]) < sequence;
}

/* Half its lease or more is over. Whether it stays. */
static bool stays(nats__source *source, nats__message *message, int64_t now_ns)
{
    uint64_t sequence = nats__sequence_of(source, message);
    if (now_ns - message->since_ns >= nats__lease_ns(source)) {
        nats__uncounted_note_locked(source, sequence);
        if (source->ordered) {
            nats__await_locked(source, sequence, 0);
        }
        return false;
    }
    if (!source->ordered) {
        nats__return_locked(source, message);
        return false;
    }
    if (nats__source_flows_locked(source, now_ns)) { /* else another may have its shard */
        nats__renew_locked(&source->owner->port->wires[0], message->reply);
        message->since_ns = now_ns;
    }
    return true;
}

void nats__kept_look_locked(nats__source *source, int64_t now_ns)
{
    int64_t half_ns = nats__lease_ns(source) / 2;
    if (source->kept_count == 0 || now_ns - source->kept_since_ns <= half_ns) {
        return;
    }
    nats__message **kept = source->kept + source->kept_head;
    size_t count = source->kept_count;
    source->kept_count = 0;
    for (size_t i = 0; i < count; i++) {
        nats__message *message = kept[i];
        if (now_ns - message->since_ns > half_ns && !stays(source, message, now_ns)) {
            source->kept_bytes -= nats__message_weight(message);
            marty_free(message);
            continue;
        }
        note_since(source, message->since_ns);
        kept[source->kept_count++] = message;
    }
}

void nats__kept_forget_locked(nats__source *source, uint64_t sequence)
{
    nats__message **kept = source->kept + source->kept_head;
    for (size_t i = 0; i < source->kept_count; i++) {
        nats__message *message = kept[i];
        if (nats__sequence_of(source, message) == sequence) {
            nats__uncounted_note_locked(source, sequence);
            source->kept_bytes -= nats__message_weight(message);
            marty_free(message);
            memmove(kept + i, kept + i + 1, (--source->kept_count - i) * sizeof *kept);
            nats__lease_doubt_locked(source->owner);
            return;
        }
    }
}
