/* SPDX-License-Identifier: Apache-2.0
 * What a server sends, taken apart: a message or a line at a time. Pure: no lock, no memory, no
 * thread of its own; the bytes belong to the caller, and what a frame points to lies in them. */
#ifndef MARTY_BACKENDS_NATS_FRAMES_H
#define MARTY_BACKENDS_NATS_FRAMES_H
#include "base/list.h"

#include <stddef.h>
#include <stdint.h>

/* A message that came: borrowed from what was read. Copies (nats__message_copy) are one block. */
typedef struct nats__message {
    marty__link link;    /* of a copy */
    const char *subject; /* NULL: the library swallowed it, and said only that nobody listens */
    const char *reply;   /* NULL = none */
    const char *lines;   /* of headers, each with its CRLF; not NUL-terminated */
    const char *data;    /* not NUL-terminated */
    const char *told;    /* text behind the status, "" = none */
    size_t lines_size, size;
    int64_t since_ns; /* of one that is kept: when it came */
    int status;       /* 0 = a message; else the server's word: 503 nobody listens, 404, 408, 409 */
} nats__message;

typedef enum nats__frame_kind {
    NATS__FRAME_PART, /* not all of it is there */
    NATS__FRAME_MESSAGE,
    NATS__FRAME_PING,
    NATS__FRAME_ERROR, /* text says what */
    NATS__FRAME_OTHER, /* nothing to do */
    NATS__FRAME_BAD    /* no such protocol */
} nats__frame_kind;

typedef struct nats__frame {
    size_t size; /* bytes of it; of a part: of all of it if known, else 0 */
    uint64_t sid;
    nats__message message;
    const char *text; /* NUL-terminated */
} nats__frame;

/** The first frame of data. A whole one is written to: ends of words become NULs. */
nats__frame_kind nats__frame_read(char *data, size_t size, nats__frame *ret_frame);
/** The value of a header line, which ends with CR or NUL; NULL = there is none. */
const char *nats__line_of(const nats__message *message, const char *name);
#endif
