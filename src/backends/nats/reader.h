/* SPDX-License-Identifier: Apache-2.0
 * Taking messages off a connection and handing them to the inboxes that they are for. The loop's
 * alone. */
#ifndef MARTY_BACKENDS_NATS_READER_H
#define MARTY_BACKENDS_NATS_READER_H
#include "parts.h"

enum { NATS__TAKE = 256 };

/* Messages of one inbox on their way to it. */
typedef struct nats__run {
    nats__message messages[NATS__TAKE];
    void *owned[NATS__TAKE]; /* what is freed behind them: copies, or the library's messages */
    nats__inbox *inbox;
    size_t count;
} nats__run;

/* ---- reader.c: plain connections, read and taken apart here */
void nats__reader_read(nats__wire *wire, nats__run *run);
/** Hand over what waited for room. */
void nats__reader_look(nats__wire *wire, nats__run *run);
/* ---- library.c: TLS, read and taken apart by the library */
void nats__library_read(nats__wire *wire, nats__run *run, bool ended);
void nats__library_look(nats__wire *wire, nats__run *run);
#endif
