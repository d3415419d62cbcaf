/* SPDX-License-Identifier: Apache-2.0
 * Magazines (Bonwick): per thread and size class a loaded one and a spare one, each a chain of free
 * blocks of at most 16 KiB; full ones are traded with the depot, which has room for 8 MiB of them,
 * whatever their class. The depot's lock is tried a few times, never waited for: in a child of
 * fork, where its holder is gone, it just stays out of use. */
#include "block.h"

#include "base/alloc.h"
#include "base/cold.h"
#include "base/local.h"

#include <pthread.h>

enum {
    STEP = 256,
    CLASSES = 8,
    MAGAZINE_BYTES = 16384,
    DEPOT_MAGAZINES = 512,
    TRIES = 20,
    LINE = 64
};

typedef struct spare {
    struct spare *next; /* of the chain */
    struct spare *next_magazine;
} spare;
_Static_assert(sizeof(spare) <= sizeof(marty__block), "a free block holds its links");

typedef struct rack {
    spare *first;         /* the loaded magazine ... */
    uint32_t count, most; /* ... how many it has and may have; 0 until this thread keeps any */
    spare *other;         /* a full one, or NULL */
} rack;

#if defined(__SANITIZE_ADDRESS__)
#define KEEP_AT_FIRST false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEEP_AT_FIRST false
#endif
#endif
#ifndef KEEP_AT_FIRST
#define KEEP_AT_FIRST true
#endif

static atomic_bool keep_blocks = KEEP_AT_FIRST;
static MARTY__LOCAL rack racks[CLASSES + 1];
static MARTY__LOCAL enum { UNSEEN, OPEN, SHUT } thread_state;
static pthread_key_t exit_key;
static bool exit_key_made;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t depot_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    spare *magazines; /* all full */
    atomic_uint count;
} depot[CLASSES + 1];
static uint32_t depot_count; /* of all classes */

/* Blocks of a magazine of that class: reckoned by the compiler, a division takes long. */
static uint32_t magazine_size(size_t size_class)
{
#define OF(number) MAGAZINE_BYTES / (number * STEP)
    static const uint8_t blocks[CLASSES + 1] = {0,     OF(1), OF(2), OF(3), OF(4),
                                                OF(5), OF(6), OF(7), OF(8)};
#undef OF
    return blocks[size_class];
}

static void free_chain(spare *first)
{
    while (first) {
        spare *next = first->next;
        marty_free(first);
        first = next;
    }
}

static void empty_racks(void)
{
    for (size_t i = 1; i <= CLASSES; i++) {
        free_chain(racks[i].first);
        free_chain(racks[i].other);
        racks[i] = (rack){0};
    }
}

static void at_thread_exit(void *unused)
{
    (void)unused;
    thread_state = SHUT;
    empty_racks();
}

static void make_exit_key(void)
{
    exit_key_made = pthread_key_create(&exit_key, at_thread_exit) == 0;
}

/* Whether this thread may keep blocks: only when it will hear of its end. */
static bool open_thread(void)
{
    if (thread_state == UNSEEN) {
        (void)pthread_once(&exit_once, make_exit_key);
        bool heard = exit_key_made && pthread_setspecific(exit_key, &racks) == 0;
        thread_state = heard ? OPEN : SHUT;
    }
    return thread_state == OPEN;
}

/* Whoever has it gives it back within some hundred cycles. */
static bool lock_depot(void)
{
    int tries = TRIES;
    while (pthread_mutex_trylock(&depot_lock) != 0) {
        if (!--tries) {
            return false;
        }
    }
    return true;
}

/* With depot_lock held; NULL when there is none of that class. */
static spare *out_of_depot(size_t size_class)
{
    spare *first = depot[size_class].magazines;
    if (first) {
        depot[size_class].magazines = first->next_magazine;
        depot[size_class].count--;
        depot_count--;
    }
    return first;
}

static spare *depot_take(size_t size_class)
{
    if (!atomic_load_explicit(&depot[size_class].count, memory_order_relaxed) || !lock_depot()) {
        return NULL; /* while a backlog grows there is none, for many threads at once */
    }
    spare *first = out_of_depot(size_class);
    (void)pthread_mutex_unlock(&depot_lock);
    return first;
}

/* With depot_lock held: one of the class that has most, when there is no room for another. */
static spare *make_room(void)
{
    size_t most = 1;
    for (size_t i = 2; i <= CLASSES; i++) {
        most = depot[i].count > depot[most].count ? i : most;
    }
    return depot_count < DEPOT_MAGAZINES ? NULL : out_of_depot(most);
}

static void depot_give(size_t size_class, spare *first)
{
    if (!lock_depot()) {
        free_chain(first);
        return;
    }
    spare *too_many = make_room();
    first->next_magazine = depot[size_class].magazines;
    depot[size_class].magazines = first;
    depot[size_class].count++;
    depot_count++;
    (void)pthread_mutex_unlock(&depot_lock);
    free_chain(too_many);
}

/* Load a full magazine in place of the empty one, if there is any. */
static void load_full(rack *own, size_t size_class)
{
    if (size_class && open_thread()) {
        own->first = own->other ? own->other : depot_take(size_class);
        own->other = NULL;
        own->most = magazine_size(size_class);
        own->count = own->first ? own->most : 0;
    }
}

/* Load an empty magazine in place of the full one. False: this thread keeps none. */
static bool load_empty(rack *own, size_t size_class)
{
    if (!size_class || !open_thread()) {
        return false;
    }
    if (own->other) {
        depot_give(size_class, own->other);
    }
    own->other = own->first;
    own->first = NULL;
    own->count = 0;
    own->most = magazine_size(size_class);
    return true;
}

/* The block that is taken next was freed long ago and is in no cache but for its first line. */
static inline void fetch(const spare *next, size_t size_class)
{
    const char *line = (const char *)next;
    for (size_t step = 0; next && step < size_class; step++, line += STEP) {
        __builtin_prefetch(line, 1);
        __builtin_prefetch(line + LINE, 1);
        __builtin_prefetch(line + 2 * LINE, 1);
        __builtin_prefetch(line + 3 * LINE, 1);
    }
}
_Static_assert(STEP == 4 * LINE, "fetch takes whole steps");

static size_t class_of(size_t size)
{
    return size <= (size_t)CLASSES * STEP ? (size + STEP - 1) / STEP : 0;
}

static inline spare *pop(rack *own)
{
    spare *block = own->first;
    own->first = block->next;
    own->count--;
    return block;
}

static inline void push(rack *own, spare *block)
{
    block->next = own->first;
    own->first = block;
    own->count++;
}

MARTY__COLD static void *take_slowly(size_t size_class, size_t size)
{
    rack *own = &racks[size_class];
    if (!own->first) {
        load_full(own, size_class);
    }
    if (!own->first) {
        return marty_alloc(size);
    }
    return marty__alloc_allowed(size) ? pop(own) : NULL;
}

static inline void *take(size_t size_class, size_t size)
{
    rack *own = &racks[size_class];
    if (!own->first || marty__alloc_hooked()) {
        return take_slowly(size_class, size);
    }
    spare *block = pop(own);
    fetch(own->first, size_class);
    return block;
}

MARTY__COLD static void give_slowly(size_t size_class, spare *block)
{
    rack *own = &racks[size_class];
    bool keep = atomic_load_explicit(&keep_blocks, memory_order_relaxed);
    if (keep && (own->count < own->most || load_empty(own, size_class))) {
        push(own, block);
    } else {
        marty_free(block);
    }
}

static inline void give(size_t size_class, spare *block)
{
    rack *own = &racks[size_class];
    if (own->count < own->most && atomic_load_explicit(&keep_blocks, memory_order_relaxed)) {
        push(own, block);
    } else {
        give_slowly(size_class, block);
    }
}

void *marty__room_new(size_t size)
{
    size_t size_class = class_of(size);
    return size_class ? take(size_class, size_class * STEP) : marty_alloc(size);
}

void marty__room_free(void *room, size_t size)
{
    give(class_of(size), room);
}

marty__block *marty__block_new(size_t size)
{
    size_t size_class = class_of(size), whole = size_class ? size_class * STEP : size;
    marty__block *block = take(size_class, whole);
    if (block) {
        atomic_init(&block->refs, 1);
        block->size_class = (uint16_t)size_class;
        block->depth = 0;
        block->fresh = false;
        block->kin = 0;
        block->parent = NULL;
        block->cost = whole;
    }
    return block;
}

void marty__block_free(marty__block *block)
{
    give(block->size_class, (spare *)(void *)block);
}

void marty__block_keep(bool keep)
{
    atomic_store(&keep_blocks, keep);
}

size_t marty__block_kept(void)
{
    size_t bytes = 0;
    for (size_t i = 1; i <= CLASSES; i++) {
        size_t other = racks[i].other ? racks[i].most : 0;
        bytes += (racks[i].count + other) * i * STEP;
    }
    return bytes;
}

size_t marty__block_depot(void)
{
    size_t bytes = 0;
    (void)pthread_mutex_lock(&depot_lock);
    for (size_t i = 1; i <= CLASSES; i++) {
        bytes += (size_t)depot[i].count * magazine_size(i) * i * STEP;
    }
    (void)pthread_mutex_unlock(&depot_lock);
    return bytes;
}

void marty__block_trim(void)
{
    empty_racks();
    (void)pthread_mutex_lock(&depot_lock);
    for (size_t i = 1; i <= CLASSES; i++) {
        for (spare *first; (first = out_of_depot(i)) != NULL;) {
            free_chain(first);
        }
    }
    (void)pthread_mutex_unlock(&depot_lock);
}
