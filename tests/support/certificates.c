/* SPDX-License-Identifier: Apache-2.0
 * See certificates.h. An nkey is an ed25519 key in base32 with a prefix and a CRC. */
#include "certificates.h"

#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char folder[512];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool made;

static void make(void)
{
    const char *scratch = getenv("MARTY_TEST_SCRATCH");
    scratch = scratch ? scratch : TEST_SCRATCH;
    if (mkdir(scratch, 0755) != 0 && errno != EEXIST) {
        return;
    }
    snprintf(folder, sizeof folder, "%s/certificates", scratch);
    const char *argv[] = {"/bin/sh", TEST_SUPPORT_SOURCE "/make-ca.sh", folder, NULL};
    made = test_process_run(argv, NULL, 60000) == 0;
}

const char *test_certificates(void)
{
    pthread_once(&once, make);
    return made ? folder : NULL;
}

static uint16_t crc16(const uint8_t *bytes, size_t size)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < size; i++) {
        crc ^= (uint32_t)bytes[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000) ? (crc << 1) ^ 0x1021 : crc << 1;
        }
        crc &= 0xffff;
    }
    return (uint16_t)crc;
}

/* Adds the CRC behind size bytes and writes base32 without padding. */
static void encode(char *ret_text, uint8_t *bytes, size_t size)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint16_t crc = crc16(bytes, size);
    bytes[size++] = (uint8_t)(crc & 0xff);
    bytes[size++] = (uint8_t)(crc >> 8);
    uint32_t window = 0;
    int bits = 0;
    for (size_t i = 0; i < size; i++) {
        window = (window << 8) | bytes[i];
        bits += 8;
        while (bits >= 5) {
            bits -= 5;
            *ret_text++ = alphabet[(window >> bits) & 31];
        }
        window &= (1u << bits) - 1;
    }
    if (bits) {
        *ret_text++ = alphabet[(window << (5 - bits)) & 31];
    }
    *ret_text = 0;
}

/* The last 32 bytes of a DER file: of an ed25519 key, the key itself. */
static bool read_key(uint8_t *ret_key, const char *name)
{
    char path[600];
    uint8_t bytes[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        return false;
    }
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    if (size < 32) {
        return false;
    }
    memcpy(ret_key, bytes + size - 32, 32);
    return true;
}

bool test_nkey(char *ret_seed, char *ret_public)
{
    enum { SEED = 18 << 3, USER = 20 << 3 };
    uint8_t seed[2 + 32 + 2] = {SEED | (USER >> 5), (USER & 31) << 3};
    uint8_t key[1 + 32 + 2] = {USER};
    if (!test_certificates() || !read_key(seed + 2, "nkey.der") || !read_key(key + 1, "nkey.pub")) {
        return false;
    }
    encode(ret_seed, seed, 34);
    encode(ret_public, key, 33);
    return true;
}
