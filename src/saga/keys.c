/* SPDX-License-Identifier: Apache-2.0
 * Names made of content: the same in every process, for ever. An op key is made of the saga's id,
 * the step's path, the direction and the generation, and of nothing else (invariant 16). */
#include "inside.h"

#include "base/hash.h"
#include "base/sha256.h"

#include <stdio.h>

static void add_text(marty__sha256 *hash, const char *text)
{
    marty__sha256_add(hash, text, strlen(text) + 1);
}

static void first_half(marty__sha256 *hash, uint8_t ret[MARTY__SAGA_KEY_BYTES])
{
    uint8_t whole[MARTY__SHA256_BYTES];
    marty__sha256_end(hash, whole);
    memcpy(ret, whole, MARTY__SAGA_KEY_BYTES);
}

void marty__saga_op_key(uint8_t ret[MARTY__SAGA_KEY_BYTES], const char *saga, const char *path,
                        bool undo, uint32_t generation)
{
    char tail[16];
    marty__sha256 hash;
    marty__sha256_begin(&hash);
    add_text(&hash, "marty saga op");
    add_text(&hash, saga);
    add_text(&hash, path);
    snprintf(tail, sizeof tail, "%c%u", undo ? 'C' : 'F', generation);
    add_text(&hash, tail);
    first_half(&hash, ret);
}

void marty__saga_id_key(uint8_t ret[MARTY__SAGA_KEY_BYTES], const char *what, const char *id)
{
    marty__sha256 hash;
    marty__sha256_begin(&hash);
    add_text(&hash, what);
    add_text(&hash, id);
    first_half(&hash, ret);
}

void marty__saga_key_text(char ret[MARTY__SAGA_TEXT], const uint8_t key[MARTY__SAGA_KEY_BYTES])
{
    marty__hex(ret, key, MARTY__SAGA_KEY_BYTES);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool marty__saga_key_parse(uint8_t ret[MARTY__SAGA_KEY_BYTES], const char *text)
{
    if (!text || strlen(text) != 2 * MARTY__SAGA_KEY_BYTES) {
        return false;
    }
    for (size_t i = 0; i < MARTY__SAGA_KEY_BYTES; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        ret[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

void marty__saga_message_id(char ret[MARTY__SAGA_TEXT], const uint8_t key[MARTY__SAGA_KEY_BYTES],
                            const char *kind, uint32_t number)
{
    char text[MARTY__SAGA_TEXT];
    marty__saga_key_text(text, key);
    snprintf(ret, MARTY__SAGA_TEXT, "%.32s.%.2s%u", text, kind, number);
}

void marty__saga_child_id(char ret[MARTY__SAGA_TEXT], const uint8_t key[MARTY__SAGA_KEY_BYTES])
{
    uint8_t id[MARTY__SAGA_KEY_BYTES];
    char text[MARTY__SAGA_TEXT];
    marty__saga_key_text(text, key);
    marty__saga_id_key(id, "marty saga child", text);
    marty__saga_key_text(ret, id);
}
