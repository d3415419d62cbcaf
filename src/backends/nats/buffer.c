/* SPDX-License-Identifier: Apache-2.0
 * Growing bytes, numbers as text, hashes and base64: the small change of the module. Pure; a buffer
 * belongs to whoever holds the lock of its owner. */
#include "nats.h"

#include <string.h>

bool nats__buffer_room(nats__buffer *buffer, size_t size)
{
    if (buffer->capacity - buffer->size >= size) {
        return true;
    }
    size_t capacity = buffer->capacity ? buffer->capacity : 4096;
    while (capacity - buffer->size < size) {
        if (capacity > SIZE_MAX / 2) {
            return false;
        }
        capacity *= 2;
    }
    char *data = marty_realloc(buffer->data, capacity);
    if (!data) {
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

void nats__buffer_add(nats__buffer *buffer, const void *data, size_t size)
{
    if (size > 0) {
        memcpy(buffer->data + buffer->size, data, size);
        buffer->size += size;
    }
}

bool nats__buffer_append(nats__buffer *buffer, const void *data, size_t size)
{
    if (!nats__buffer_room(buffer, size)) {
        return false;
    }
    nats__buffer_add(buffer, data, size);
    return true;
}

bool nats__buffer_text(nats__buffer *buffer, const char *text)
{
    return nats__buffer_append(buffer, text, strlen(text));
}

size_t nats__decimal(char *out, uint64_t value)
{
    char digits[20];
    size_t size = 0;
    do {
        digits[size++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    for (size_t i = 0; i < size; i++) {
        out[i] = digits[size - 1 - i];
    }
    return size;
}

uint64_t nats__number(const char **text)
{
    uint64_t value = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        value = value * 10 + (uint64_t)(**text - '0');
    }
    return value;
}

/* FNV-1a: names of channels and subjects, which nobody chooses to collide. */
uint64_t nats__hash(const char *text)
{
    uint64_t hash = 14695981039346656037u;
    for (; *text; text++) {
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    }
    return hash;
}

/* Murmur2 of a key's bytes, as Kafka's default partitioner takes it: the shard of a key must not
 * change for ever, so neither does this. */
uint32_t nats__murmur2(const char *data, size_t size)
{
    const uint32_t m = 0x5bd1e995;
    uint32_t h = 0x9747b28c ^ (uint32_t)size;
    const unsigned char *at = (const unsigned char *)data;
    size_t left = size;
    for (; left >= 4; at += 4, left -= 4) {
        uint32_t k =
            (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        k *= m;
        k ^= k >> 24;
        k *= m;
        h *= m;
        h ^= k;
    }
    for (size_t i = left; i > 0; i--) {
        h ^= (uint32_t)at[i - 1] << (8 * (i - 1));
    }
    if (left > 0) {
        h *= m;
    }
    h ^= h >> 13;
    h *= m;
    h ^= h >> 15;
    return h;
}

int64_t nats__now_ns(const marty_port *port)
{
    return port->sink->env->monotonic_ns(port->sink->env->user);
}

int64_t nats__wall_us(const marty_port *port)
{
    return port->sink->env->wall_us(port->sink->env->user);
}

/* ---- base64 of the JetStream API */
static int digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

size_t nats__base64_decode(const char *text, char *out, size_t size)
{
    uint32_t bits = 0, count = 0;
    size_t used = 0;
    for (; *text && used < size; text++) {
        int value = digit(*text);
        if (value < 0) {
            continue;
        }
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[used++] = (char)(bits >> count & 0xff);
        }
    }
    return used;
}
