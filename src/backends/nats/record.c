/* SPDX-License-Identifier: Apache-2.0
 * Whether a TLS connection can be read without waiting. The library, once it reads, waits for the
 * rest of a record that came in part, and a frozen server would freeze the loop with it. So the
 * loop looks at the record's length in the socket first, and sleeps until all of it is there. The
 * kernel counts a block of data as unread until its last byte is: the buffer must hold a record
 * beside the rest of the largest block, or the peer may not send the record's end. The loop's
 * alone. */
#include "parts.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

enum { HEAD = 5, RECORD_MAX = 16384 + 2048, ROOM = 2 << 20 };

/* From now on the socket is readable when it has so many bytes (or its end). */
static void wake_at(nats__wire *wire, int bytes)
{
    if (wire->low_water != bytes) {
        (void)setsockopt(wire->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
        wire->low_water = bytes;
    }
}

/* Asking to be woken at so many bytes makes the kernel's buffer as large; it stays so. SO_RCVBUF
 * would do less: it is limited, and ends the kernel's own growing. */
static void make_room(nats__wire *wire)
{
    wake_at(wire, ROOM);
    wake_at(wire, 1);
}

bool nats__record_is_whole(nats__wire *wire, bool ended)
{
    unsigned char head[HEAD];
    int have = 0;
    if (wire->low_water == 0) {
        make_room(wire);
    }
    ssize_t got = recv(wire->fd, head, HEAD, MSG_PEEK | MSG_DONTWAIT);
    if (got <= 0 || ended) {
        return got == 0 || ended; /* the end: the library sees it without waiting */
    }
    int need = got < HEAD ? HEAD : HEAD + (head[3] << 8 | head[4]);
    if (need > HEAD + RECORD_MAX) {
        return true; /* no TLS record: the library says so */
    }
    if (ioctl(wire->fd, FIONREAD, &have) != 0 || have >= need) {
        wake_at(wire, 1);
        return true;
    }
    bool pressed = wire->low_water == need; /* readable all the same: the buffer is full */
    wake_at(wire, need);
    return pressed;
}
