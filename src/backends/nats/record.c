/* SPDX-License-Identifier: Apache-2.0
 * Whether a TLS connection can be read without waiting. The library, once it reads, waits for the
 * rest of a record that came in part, and a frozen server would freeze the loop with it. So the
 * loop looks at the record's length in the socket first, and sleeps until all of it is there. The
 * loop's alone. */
#include "parts.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

enum { HEAD = 5, RECORD_MAX = 16384 + 2048 };

/* From now on the socket is readable when it has so many bytes (or its end). */
static void wake_at(nats__wire *wire, int bytes)
{
    if (wire->low_water != bytes) {
        (void)setsockopt(wire->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
        wire->low_water = bytes;
    }
}

bool nats__record_is_whole(nats__wire *wire, bool ended)
{
    unsigned char head[HEAD];
    int have = 0;
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
    wake_at(wire, need);
    return false;
}
