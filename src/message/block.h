/* SPDX-License-Identifier: Apache-2.0
 * The one allocation behind a counted message, and where freed ones wait for their next use. Each
 * thread keeps up to 256 KiB of them, in magazines that it trades with a common depot of 8 MiB, so
 * that a thread that makes messages and another that frees them do no malloc either. A busy depot
 * is passed by, never waited for. Any thread. */
#ifndef MARTY_MESSAGE_BLOCK_H
#define MARTY_MESSAGE_BLOCK_H
#include "draft.h"
#include <stdatomic.h>
#include <string.h>

typedef struct marty__block {
    uint32_t sizes[MARTY__FIELDS]; /* of the message's fields, without NUL; 0 when absent */
    uint32_t words;        /* bytes of its fields' strings, which lie together behind the headers */
    marty_message *parent; /* a counted message that strings or data may belong to, or NULL */
    size_t cost;           /* bytes of this block and of what it alone keeps alive */
    atomic_uint refs;
    uint16_t size_class; /* 0 = too large to keep */
    uint8_t depth;       /* how many parents stand behind it */
    bool fresh; /* its id was made by chance for this publish, so no other message has it yet; a
                   backend that passes messages on takes it away. With it, id and source */
    marty_message message;
    uint64_t id[2], source; /* the id as a number; the hash of the source */
    uint64_t kin; /* the same, not 0, in those of which one was made like the other: they differ in
                     nothing but id, data, times and priority */
    marty_header headers[];
} marty__block;

/** Memory from among the freed blocks, if there is some of that size, for whatever lives as shortly
 * as a message; give it back with the same size. NULL without memory. */
void *marty__room_new(size_t size);
void marty__room_free(void *room, size_t size);
/** A block of at least size bytes with one reference, all else unset but parent NULL; or NULL. */
marty__block *marty__block_new(size_t size);
/** Give it back (its parent is not unreferenced). */
void marty__block_free(marty__block *block);
/** The block of a counted message. */
MARTY_INLINE marty__block *marty__block_of(const marty_message *message)
{
    return (marty__block *)(uintptr_t)((const char *)message - offsetof(marty__block, message));
}
/** The length of a field that is there. */
MARTY_INLINE size_t marty__field_size(const marty_message *message, marty__field field)
{
    return message->marty__self == message ? marty__block_of(message)->sizes[field]
                                           : strlen(*marty__field_in(message, field));
}
/** Whether both are known to have been made like one another, and so have the same type. */
MARTY_INLINE bool marty__block_akin(const marty__block *one, const marty__block *other)
{
    return one->kin && one->kin == other->kin;
}
/** Keep freed blocks or not: sanitizers want them back at once, so there it is off at first. */
void marty__block_keep(bool keep);
/** Bytes that the calling thread keeps; bytes in the depot. */
size_t marty__block_kept(void);
size_t marty__block_depot(void);
/** Empty the depot and what the calling thread keeps. */
void marty__block_trim(void);
#endif
