/* SPDX-License-Identifier: Apache-2.0
 * Ids that follow from other ids, so that a copy made twice (by a retry of us) folds at the broker
 * and at the receiver. */
#include "reliability.h"

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

static uint64_t part(const char *id, const char *word, uint32_t number, char salt)
{
    char text[3 * MARTY__NAME_BYTES_MAX + 32];
    if (strlen(id) > MARTY__NAME_BYTES_MAX) { /* as long as they like: the whole id counts */
        (void)snprintf(text, sizeof text, "%c%016llx", salt,
                       (unsigned long long)marty__hash_stable(id, strlen(id)));
        uint64_t tail = marty__hash_stable(id + strlen(id) / 2, strlen(id) - strlen(id) / 2);
        (void)snprintf(text + 17, sizeof text - 17, "%016llx|%u|%s", (unsigned long long)tail,
                       number, word);
    } else {
        (void)snprintf(text, sizeof text, "%c%s|%s|%u", salt, id, word, number);
    }
    return marty__hash_stable(text, strlen(text));
}

/* A UUID of version 8 (RFC 9562: made in a way of one's own). */
void marty__derived_id(char out[37], const char *id, const char *word, uint32_t number)
{
    uint64_t high = part(id, word, number, 'a'), low = part(id, word, number, 'b');
    high = (high & ~UINT64_C(0xf000)) | 0x8000;
    low = (low & ~(UINT64_C(3) << 62)) | UINT64_C(2) << 62;
    (void)snprintf(out, 37, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
                   (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff),
                   (unsigned)(low >> 48), (unsigned long long)(low & UINT64_C(0xffffffffffff)));
}

void marty__copy_id(char out[37], const char *id, const char *verb, const char *group,
                    uint32_t number)
{
    char word[MARTY__NAME_BYTES_MAX + 16];
    (void)snprintf(word, sizeof word, "%s|%s", verb, group);
    marty__derived_id(out, id, word, number);
}
