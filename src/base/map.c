/* SPDX-License-Identifier: Apache-2.0
 * Open addressing with linear probing and a load of at most 3/4, seeded SipHash-1-3. Not
 * thread-safe. */
#include "map.h"

#include "alloc.h"
#include "hash.h"

#include <string.h>

static const char used_mark; /* the key of number slots */

static bool same(const marty__map_slot *slot, const marty__map_slot *key)
{
    if (slot->hash != key->hash || slot->key_size != key->key_size) {
        return false;
    }
    if (key->key_size == SIZE_MAX) {
        return slot->number == key->number;
    }
    return memcmp(slot->key, key->key, key->key_size) == 0;
}

static marty__map_slot *find(const marty__map *map, const marty__map_slot *key)
{
    if (!map->capacity) {
        return NULL;
    }
    for (size_t at = key->hash & (map->capacity - 1);; at = (at + 1) & (map->capacity - 1)) {
        marty__map_slot *slot = &map->slots[at];
        if (!slot->key) {
            return NULL;
        }
        if (slot->value && same(slot, key)) {
            return slot;
        }
    }
}

static void place(marty__map *map, const marty__map_slot *entry)
{
    size_t at = entry->hash & (map->capacity - 1);
    while (map->slots[at].key && map->slots[at].value) {
        at = (at + 1) & (map->capacity - 1);
    }
    map->used += map->slots[at].key ? 0 : 1;
    map->slots[at] = *entry;
    map->count++;
}

static bool rebuild(marty__map *map, size_t capacity)
{
    marty__map bigger = {marty_alloc_zero(capacity, sizeof *bigger.slots), capacity, 0, 0};
    if (!bigger.slots) {
        return false;
    }
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].key && map->slots[i].value) {
            place(&bigger, &map->slots[i]);
        }
    }
    marty_free(map->slots);
    *map = bigger;
    return true;
}

bool marty__map_reserve(marty__map *map, size_t more)
{
    if (map->used + more <= map->capacity / 4 * 3) {
        return true;
    }
    size_t capacity = 16;
    while (map->count + more > capacity / 2) {
        capacity *= 2;
    }
    return rebuild(map, capacity);
}

static bool put(marty__map *map, const marty__map_slot *entry)
{
    marty__map_slot *slot = find(map, entry);
    if (slot) {
        slot->key = entry->key;
        slot->value = entry->value;
        return true;
    }
    if (!marty__map_reserve(map, 1)) {
        return false;
    }
    place(map, entry);
    return true;
}

static void *take(marty__map *map, const marty__map_slot *key)
{
    marty__map_slot *slot = find(map, key);
    if (!slot) {
        return NULL;
    }
    void *value = slot->value;
    slot->key = &used_mark;
    slot->value = NULL;
    map->count--;
    return value;
}

static marty__map_slot bytes_key(const void *key, size_t size, void *value)
{
    return (marty__map_slot){key, size, 0, marty__hash(key, size), value};
}

static marty__map_slot number_key(uint64_t key, void *value)
{
    return (marty__map_slot){&used_mark, SIZE_MAX, key, marty__hash_number(key), value};
}

void *marty__map_get(const marty__map *map, const void *key, size_t size)
{
    marty__map_slot wanted = bytes_key(key, size, NULL);
    marty__map_slot *slot = find(map, &wanted);
    return slot ? slot->value : NULL;
}

bool marty__map_put(marty__map *map, const void *key, size_t size, void *value)
{
    marty__map_slot entry = bytes_key(key, size, value);
    return put(map, &entry);
}

void *marty__map_take(marty__map *map, const void *key, size_t size)
{
    marty__map_slot wanted = bytes_key(key, size, NULL);
    return take(map, &wanted);
}

void *marty__map_get_u64(const marty__map *map, uint64_t key)
{
    marty__map_slot wanted = number_key(key, NULL);
    marty__map_slot *slot = find(map, &wanted);
    return slot ? slot->value : NULL;
}

bool marty__map_put_u64(marty__map *map, uint64_t key, void *value)
{
    marty__map_slot entry = number_key(key, value);
    return put(map, &entry);
}

void *marty__map_take_u64(marty__map *map, uint64_t key)
{
    marty__map_slot wanted = number_key(key, NULL);
    return take(map, &wanted);
}

void *marty__map_next(const marty__map *map, size_t *at)
{
    while (*at < map->capacity) {
        marty__map_slot *slot = &map->slots[(*at)++];
        if (slot->key && slot->value) {
            return slot->value;
        }
    }
    return NULL;
}

void marty__map_free(marty__map *map)
{
    marty_free(map->slots);
    *map = (marty__map){0};
}
