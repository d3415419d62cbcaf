/* SPDX-License-Identifier: Apache-2.0
 * What the adapter and the store of sagas (src/saga/stores/nats) share of the nats module: how the
 * library is set up, and base64. Any thread. */
#ifndef MARTY_BACKENDS_NATS_COMMON_H
#define MARTY_BACKENDS_NATS_COMMON_H
#include "options.h"

#include <nats/nats.h>

enum { NATS__PORT = 4222, NATS__CONNECT_MS = 2000 /* greeting and handshake of one server */ };

/** Open the library, once in a process; SIGPIPE stays as it was. */
void nats__library_open(void);
/** Where to connect, who we are, whom to trust. The library never connects anew by itself. */
marty_err nats__library_options(const nats__options *from, natsOptions *options, const char *host,
                                uint16_t number, marty_error *why);
/** What a failed connect means. verifies: the server wants certificates of clients. */
marty_err nats__refused(const nats__options *options, bool verifies, const char *where,
                        natsStatus status, marty_error *why);
/** The public key that belongs to the seed in a file. */
marty_err nats__nkey_public(const char *path, char ret_public[57], marty_error *why);
/** Decode what the JetStream API encodes; at most size bytes. Returns how many there are. */
size_t nats__base64_decode(const char *text, char *out, size_t size);
/** "2026-11-25T17:03:33.5Z" as Unix time in us; 0 = it is none. */
int64_t nats__parse_time(const char *text);
#endif
