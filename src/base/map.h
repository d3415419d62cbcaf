/* SPDX-License-Identifier: Apache-2.0
 * Hash map from bytes (or a 64-bit number) to a pointer. Keys are borrowed: they live in the value,
 * usually. Seeded, so that a peer that chooses keys cannot make them collide. Removing and finding
 * never allocate. Not thread-safe. */
#ifndef MARTY_BASE_MAP_H
#define MARTY_BASE_MAP_H
#include <marty/types.h>

typedef struct marty__map_slot {
    const void *key; /* NULL = never used; with value NULL = removed */
    size_t key_size; /* SIZE_MAX: a number, in `number` */
    uint64_t number, hash;
    void *value;
} marty__map_slot;
typedef struct marty__map {
    marty__map_slot *slots;
    size_t capacity, used, count; /* used counts removed slots too */
} marty__map;

/** Value of a key, or NULL. */
void *marty__map_get(const marty__map *map, const void *key, size_t size);
/** Put a value (not NULL) in; an old one is replaced. false without memory: nothing changed. key
 * must outlive the entry. */
bool marty__map_put(marty__map *map, const void *key, size_t size, void *value);
/** Take it out; returns it, or NULL. */
void *marty__map_take(marty__map *map, const void *key, size_t size);
/** The same for numbers. */
void *marty__map_get_u64(const marty__map *map, uint64_t key);
bool marty__map_put_u64(marty__map *map, uint64_t key, void *value);
void *marty__map_take_u64(marty__map *map, uint64_t key);
/** Room for that many more entries, so that the next puts cannot fail. */
bool marty__map_reserve(marty__map *map, size_t more);
/** Walk: start with *at = 0; returns the next value, or NULL at the end. Taking the one just
 * returned is allowed. */
void *marty__map_next(const marty__map *map, size_t *at);
/** Free the table, not the values. */
void marty__map_free(marty__map *map);
#endif
