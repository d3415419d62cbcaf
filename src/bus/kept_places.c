/* SPDX-License-Identifier: Apache-2.0
 * Where messages of one type go, worked out once: routes do not change while a bus lives, so what
 * was found is kept as long as it does, as it is. A table without a lock: a place is taken by one
 * exchange and never given back. It is bounded, and so are the names of channels kept for it; what
 * finds no place is worked out each time. */
#include "internal.h"

#include "base/alloc.h"

#include <string.h>

enum { PROBES = 4 };

static uint64_t add_text(uint64_t hash, const char *text)
{
    for (; *text; text++) { /* FNV-1a: the names are the program's own, and are compared */
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    }
    return (hash ^ 0xff) * UINT64_C(0x100000001b3);
}

static size_t place_of(marty_pattern pattern, const char *to, const char *type)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (unsigned)pattern;
    hash = add_text(add_text(hash, to), type);
    return (size_t)(hash ^ hash >> 32);
}

static bool is_of(const marty__kept_place *kept, marty_pattern pattern, const char *to,
                  const char *type)
{
    return kept->pattern == pattern && strcmp(kept->type, type) == 0 && strcmp(kept->to, to) == 0;
}

marty__kept_place *marty__place_kept(marty_bus *bus, marty_pattern pattern, const char *to,
                                     const char *type)
{
    to = to ? to : "";
    size_t at = place_of(pattern, to, type);
    for (size_t i = 0; i < PROBES; i++) {
        marty__kept_place *kept = atomic_load_explicit(
            &bus->kept_places[(at + i) % MARTY__KEPT_PLACES], memory_order_acquire);
        if (!kept || is_of(kept, pattern, to, type)) {
            return kept;
        }
    }
    return NULL;
}

static marty__kept_place *make(marty_bus *bus, marty_pattern pattern, const char *to,
                               const char *type, const marty__place *place)
{
    size_t to_size = strlen(to) + 1, type_size = strlen(type) + 1;
    const char *channel = marty__bus_keep_name(bus, place->channel, MARTY__KEPT_PLACES);
    marty__kept_place *made = channel ? marty_alloc(sizeof *made + to_size + type_size) : NULL;
    if (made) {
        made->place = *place;
        made->channel = channel;
        made->pattern = pattern;
        atomic_init(&made->like, NULL);
        made->to = memcpy(made->words, to, to_size);
        made->type = memcpy(made->words + to_size, type, type_size);
    }
    return made;
}

/* The one that stands for it from now on: another thread may have been first. */
static marty__kept_place *put(marty_bus *bus, marty__kept_place *made)
{
    size_t at = place_of(made->pattern, made->to, made->type);
    for (size_t i = 0; i < PROBES; i++) {
        marty__kept_place *there = NULL;
        if (atomic_compare_exchange_strong(&bus->kept_places[(at + i) % MARTY__KEPT_PLACES], &there,
                                           made)) {
            return made;
        }
        if (is_of(there, made->pattern, made->to, made->type)) {
            marty_free(made);
            return there;
        }
    }
    marty_free(made);
    return NULL;
}

marty_err marty__place_find(marty_bus *bus, marty_pattern pattern, const char *to, const char *type,
                            marty__place *room, marty__kept_place **ret_kept, marty_error *why)
{
    *ret_kept = marty__place_kept(bus, pattern, to, type);
    if (*ret_kept) {
        return MARTY_OK;
    }
    marty_err err = marty__route_publish(bus->config, pattern, to, type, room, why);
    if (!err) {
        marty__kept_place *made = make(bus, pattern, to ? to : "", type, room);
        *ret_kept = made ? put(bus, made) : NULL;
    }
    return err;
}

void marty__places_free(marty_bus *bus)
{
    for (size_t i = 0; i < MARTY__KEPT_PLACES; i++) {
        marty__kept_place *kept = atomic_load(&bus->kept_places[i]);
        if (kept) {
            marty_message_unref(atomic_load(&kept->like));
            marty_free(kept);
        }
    }
}
