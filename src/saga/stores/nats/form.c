/* SPDX-License-Identifier: Apache-2.0
 * Keys and bytes: how a saga looks in the bucket. Its facts are one header, so that a scan need not
 * read the rest. Texts are escaped byte by byte ("=XX"), so that every text is a key. Pure. */
#include "kv.h"

#include <stdlib.h>
#include <string.h>

/* A shard that there is not, written by hand, stands for one that there is. */
enum { MAGIC = 1, NUMBER = 8, WORDS = 12, SHARDS = MARTY_SAGA_SHARDS };

static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t kv_text_write(char *to, size_t at, size_t room, const char *text)
{
    for (const unsigned char *byte = (const unsigned char *)text; *byte && at + 4 < room; byte++) {
        at += (size_t)(strchr(safe, *byte) ? snprintf(to + at, 2, "%c", *byte)
                                           : snprintf(to + at, 4, "=%02X", *byte));
    }
    to[at] = '\0';
    return at;
}

void kv_saga_key(kv_key ret, const char *id)
{
    size_t at = (size_t)snprintf(ret, sizeof(kv_key), "s.");
    (void)kv_text_write(ret, at, sizeof(kv_key), id);
}

void kv_start_key(kv_key ret, const char *name, const char *key)
{
    size_t at = (size_t)snprintf(ret, sizeof(kv_key), "k.");
    at = kv_text_write(ret, at, sizeof(kv_key), name);
    at += (size_t)snprintf(ret + at, sizeof(kv_key) - at, ".");
    (void)kv_text_write(ret, at, sizeof(kv_key), key);
}

void kv_chunk_key(kv_key ret, const char *id, uint64_t first, uint64_t last)
{
    size_t at = (size_t)snprintf(ret, sizeof(kv_key), "h.");
    at = kv_text_write(ret, at, sizeof(kv_key), id);
    (void)snprintf(ret + at, sizeof(kv_key) - at, ".%llu.%llu", (unsigned long long)first,
                   (unsigned long long)last);
}

void kv_definition_key(kv_key ret, const char *name, uint32_t version)
{
    size_t at = (size_t)snprintf(ret, sizeof(kv_key), "d.");
    at = kv_text_write(ret, at, sizeof(kv_key), name);
    (void)snprintf(ret + at, sizeof(kv_key) - at, ".%u", (unsigned)version);
}

/* ---- facts: words between spaces; a text begins with "~", so that none is empty */
void kv_facts_write(char ret[KV_FACTS_MAX], const marty_saga_facts *facts)
{
    const char *const texts[] = {facts->name, facts->key, facts->definition, facts->stuck};
    int written = snprintf(ret, KV_FACTS_MAX, "%d %llu %d %d %u %lld %lld %lld", MAGIC,
                           (unsigned long long)facts->version, (int)facts->status,
                           (facts->paused ? 1 : 0) | (facts->unsent ? 2 : 0),
                           (unsigned)facts->shard, (long long)facts->started_us,
                           (long long)facts->changed_us, (long long)facts->due_us);
    size_t at = (size_t)written;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        at += (size_t)snprintf(ret + at, KV_FACTS_MAX - at, " ~");
        at = kv_text_write(ret, at, KV_FACTS_MAX, texts[i] ? texts[i] : "");
    }
}

static unsigned hex_digit(char digit)
{
    return digit <= '9' ? (unsigned)(digit - '0') : (unsigned)(digit - 'A' + 10);
}

void kv_text_read(char *ret, size_t size, const char *from)
{
    size_t at = 0;
    for (from += *from == '~'; *from && *from != ' ' && *from != '.' && at + 1 < size; from++) {
        char byte = *from;
        if (byte == '=' && from[1] && from[2]) {
            byte = (char)(hex_digit(from[1]) << 4 | hex_digit(from[2]));
            from += 2;
        }
        ret[at++] = byte;
    }
    ret[at] = '\0';
}

bool kv_facts_read(kv_facts *ret, const char *id, const char *text)
{
    const char *words[WORDS] = {text};
    int count = *text ? 1 : 0;
    for (const char *at = text; count && count < WORDS && (at = strchr(at, ' ')) != NULL; at++) {
        words[count++] = at + 1;
    }
    if (count < WORDS || strtol(words[0], NULL, 10) != MAGIC) {
        return false;
    }
    kv_text_read(ret->id, sizeof ret->id, id);
    kv_text_read(ret->name, sizeof ret->name, words[8]);
    kv_text_read(ret->key, sizeof ret->key, words[9]);
    kv_text_read(ret->definition, sizeof ret->definition, words[10]);
    kv_text_read(ret->stuck, sizeof ret->stuck, words[11]);
    long flags = strtol(words[3], NULL, 10);
    ret->facts = (marty_saga_facts){.id = ret->id,
                                    .name = ret->name,
                                    .key = ret->key,
                                    .definition = ret->definition,
                                    .stuck = ret->stuck,
                                    .version = strtoull(words[1], NULL, 10),
                                    .status = (marty_saga_status)strtol(words[2], NULL, 10),
                                    .paused = (flags & 1) != 0,
                                    .unsent = (flags & 2) != 0,
                                    .shard = (uint32_t)(strtoul(words[4], NULL, 10) % SHARDS),
                                    .started_us = strtoll(words[5], NULL, 10),
                                    .changed_us = strtoll(words[6], NULL, 10),
                                    .due_us = strtoll(words[7], NULL, 10)};
    return true;
}

/* ---- bytes: numbers of eight, little end first */
static char *put_number(char *to, uint64_t value)
{
    for (int i = 0; i < NUMBER; i++) {
        to[i] = (char)(value >> (8 * i) & 0xff);
    }
    return to + NUMBER;
}

static char *put_bytes(char *to, marty_bytes bytes)
{
    if (bytes.size) {
        memcpy(to, bytes.data, bytes.size);
    }
    return to + bytes.size;
}

char *kv_body_write(marty_bytes state, marty_bytes outbox, marty_bytes run, const kv_batch *batch,
                    size_t *ret_size, size_t *ret_run_at)
{
    size_t more = batch ? 4 * NUMBER + batch->batch.size : 0;
    size_t size = 2 * NUMBER + state.size + outbox.size + run.size + more;
    char *body = marty_alloc(size), *at = body;
    if (!body) {
        return NULL;
    }
    at = put_number(at, state.size);
    at = put_number(at, outbox.size);
    at = put_bytes(at, state);
    at = put_bytes(at, outbox);
    *ret_run_at = (size_t)(at - body);
    at = put_bytes(at, run);
    if (batch) {
        at = put_number(at, batch->version);
        at = put_number(at, (uint64_t)batch->at_us);
        at = put_number(at, batch->token);
        at = put_number(at, batch->batch.size);
        (void)put_bytes(at, batch->batch);
    }
    *ret_size = size;
    return body;
}

static bool get_number(marty_bytes from, size_t *at, uint64_t *ret)
{
    if (from.size - *at < NUMBER) {
        return false;
    }
    uint64_t value = 0;
    for (int i = NUMBER - 1; i >= 0; i--) {
        value = value << 8 | (unsigned char)((const char *)from.data)[*at + (size_t)i];
    }
    *at += NUMBER;
    *ret = value;
    return true;
}

static bool get_bytes(marty_bytes from, size_t *at, uint64_t size, marty_bytes *ret)
{
    if (size > from.size - *at) {
        return false;
    }
    *ret = (marty_bytes){(const char *)from.data + *at, (size_t)size};
    *at += (size_t)size;
    return true;
}

bool kv_body_read(marty_bytes from, kv_body *ret)
{
    size_t at = 0;
    uint64_t state = 0, outbox = 0;
    return get_number(from, &at, &state) && get_number(from, &at, &outbox) &&
           get_bytes(from, &at, state, &ret->state) && get_bytes(from, &at, outbox, &ret->outbox) &&
           get_bytes(from, &at, from.size - at, &ret->run);
}

bool kv_run_next(marty_bytes run, size_t *at, kv_batch *ret)
{
    uint64_t at_us = 0, size = 0;
    bool whole = get_number(run, at, &ret->version) && get_number(run, at, &at_us) &&
                 get_number(run, at, &ret->token) && get_number(run, at, &size) &&
                 get_bytes(run, at, size, &ret->batch);
    ret->at_us = (int64_t)at_us;
    return whole;
}
