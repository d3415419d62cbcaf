/* SPDX-License-Identifier: Apache-2.0
 * The smallest parts of our encodings: rows of messages, claims, states of sagas, histories. */
#include "wire.h"

#include <string.h>

void marty__wire_put(marty__buffer *to, uint64_t number)
{
    while (number >= 0x80) {
        marty__buffer_byte(to, (char)(number | 0x80));
        number >>= 7;
    }
    marty__buffer_byte(to, (char)number);
}

void marty__wire_put_bytes(marty__buffer *to, marty_bytes bytes)
{
    marty__wire_put(to, bytes.size);
    marty__buffer_add(to, bytes.data, bytes.size);
}

uint64_t marty__wire_number(marty__wire *from)
{
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 64 && from->at < from->end && !from->broken; shift += 7) {
        uint8_t byte = *from->at++;
        uint64_t part = byte & 0x7fu;
        if ((shift == 63 && part > 1) || (byte == 0 && shift > 0)) {
            break; /* over 64 bits, or a needless byte */
        }
        number |= part << shift;
        if (byte < 0x80) {
            return number;
        }
    }
    from->broken = true;
    return 0;
}

uint64_t marty__wire_upto(marty__wire *from, uint64_t max)
{
    uint64_t number = marty__wire_number(from);
    if (number > max) {
        from->broken = true;
        return 0;
    }
    return number;
}

uint64_t marty__wire_some(marty__wire *from, uint64_t max)
{
    uint64_t number = marty__wire_upto(from, max);
    from->broken = from->broken || number == 0;
    return number;
}

marty_bytes marty__wire_bytes(marty__wire *from, size_t max)
{
    uint64_t size = marty__wire_upto(from, max);
    if (from->broken || size > (uint64_t)(from->end - from->at)) {
        from->broken = true;
        return (marty_bytes){NULL, 0};
    }
    marty_bytes bytes = {size ? from->at : NULL, (size_t)size};
    from->at += size;
    return bytes;
}

void marty__wire_raw(marty__wire *from, void *to, size_t size)
{
    if (from->broken || size > (size_t)(from->end - from->at)) {
        from->broken = true;
        memset(to, 0, size);
        return;
    }
    memcpy(to, from->at, size);
    from->at += size;
}
