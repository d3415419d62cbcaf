/* SPDX-License-Identifier: Apache-2.0
 * The public key that belongs to a seed: the server wants to be told it, and a seed file has the
 * seed only. Keys are base32 of a prefix, 32 bytes of ed25519, and a CRC-16 (XMODEM). Secrets are
 * wiped. */
#include "parts.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum { SEED_TEXT = 58, SEED_BYTES = 36, KEY_BYTES = 35, USER_PREFIX = 20 << 3 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static bool decode32(const char *text, size_t size, unsigned char *out, size_t out_size)
{
    uint32_t bits = 0, count = 0;
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        const char *at = text[i] ? strchr(alphabet, text[i]) : NULL;
        if (!at) {
            return false;
        }
        bits = bits << 5 | (uint32_t)(at - alphabet);
        count += 5;
        if (count >= 8) {
            count -= 8;
            if (used == out_size) {
                return false;
            }
            out[used++] = (unsigned char)(bits >> count & 0xff);
        }
    }
    return used == out_size;
}

static void encode32(const unsigned char *data, size_t size, char *out)
{
    uint32_t bits = 0, count = 0;
    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | data[i];
        count += 8;
        while (count >= 5) {
            count -= 5;
            *out++ = alphabet[bits >> count & 31];
        }
    }
    if (count > 0) {
        *out++ = alphabet[bits << (5 - count) & 31];
    }
    *out = '\0';
}

static uint16_t crc16(const unsigned char *data, size_t size)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < size; i++) {
        crc ^= (uint32_t)data[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
        }
        crc &= 0xffff;
    }
    return (uint16_t)crc;
}

/* "SU..." is somewhere in the file, perhaps decorated. */
static bool read_seed(const char *path, char seed[SEED_TEXT + 1])
{
    char text[4096];
    FILE *file = fopen(path, "re");
    if (!file) {
        return false;
    }
    size_t size = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[size] = '\0';
    const char *at = text;
    while ((at = strstr(at, "SU")) != NULL && strspn(at, alphabet) != SEED_TEXT) {
        at += 2;
    }
    if (at) {
        memcpy(seed, at, SEED_TEXT);
        seed[SEED_TEXT] = '\0';
    }
    OPENSSL_cleanse(text, sizeof text);
    return at != NULL;
}

static bool derive(const unsigned char secret[32], unsigned char public_key[32])
{
    size_t size = 32;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, 32);
    bool derived = key && EVP_PKEY_get_raw_public_key(key, public_key, &size) == 1 && size == 32;
    EVP_PKEY_free(key);
    return derived;
}

marty_err nats__nkey_public(const char *path, char ret_public[57], marty_error *why)
{
    char seed[SEED_TEXT + 1];
    unsigned char raw[SEED_BYTES], key[KEY_BYTES];
    if (!read_seed(path, seed)) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "nkey=%.200s: no file there that has a user's seed (SU...)", path);
    }
    bool good = decode32(seed, SEED_TEXT, raw, SEED_BYTES) &&
                crc16(raw, SEED_BYTES - 2) == (raw[SEED_BYTES - 2] | raw[SEED_BYTES - 1] << 8) &&
                derive(raw + 2, key + 1);
    if (good) {
        key[0] = (unsigned char)USER_PREFIX;
        uint16_t crc = crc16(key, KEY_BYTES - 2);
        key[KEY_BYTES - 2] = (unsigned char)(crc & 0xff);
        key[KEY_BYTES - 1] = (unsigned char)(crc >> 8);
        encode32(key, KEY_BYTES, ret_public);
    }
    OPENSSL_cleanse(seed, sizeof seed);
    OPENSSL_cleanse(raw, sizeof raw);
    return good ? MARTY_OK
                : marty_error_set(why, MARTY_E_CONFIG,
                                  "nkey=%.200s: the seed in it is damaged (its checksum is wrong)",
                                  path);
}
