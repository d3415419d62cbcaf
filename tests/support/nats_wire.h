/* SPDX-License-Identifier: Apache-2.0
 * The NATS text protocol by hand, as a client that has nothing of Marty: subscribe, publish with
 * headers, read a message. For interop tests. One thread per connection; waits have a limit. */
#ifndef TESTS_SUPPORT_NATS_WIRE_H
#define TESTS_SUPPORT_NATS_WIRE_H
#include <stdbool.h>
#include <stddef.h>

typedef struct nats_wire {
    int descriptor, pongs_due, subscriptions;
    size_t have;
    char bytes[1 << 17];
} nats_wire;
typedef struct nats_wire_message {
    char subject[256], reply[256];
    char headers[8192]; /* as they are: "NATS/1.0\r\nce-id: 1\r\n...", "" = none */
    char body[65536];
    size_t size;
} nats_wire_message;

bool nats_wire_connect(nats_wire *self, int port, const char *user, const char *password);
bool nats_wire_subscribe(nats_wire *self, const char *subject);
/** headers: "ce-id: 1\r\nce-type: a\r\n" or NULL; reply or NULL. */
bool nats_wire_publish(nats_wire *self, const char *subject, const char *reply, const char *headers,
                       const void *body, size_t size);
/** The next message of any subscription; false in limit_ms. */
bool nats_wire_next(nats_wire *self, nats_wire_message *ret, int limit_ms);
/** The value of a header, "" when absent; static buffer of this thread. */
const char *nats_wire_header(const nats_wire_message *message, const char *name);
void nats_wire_close(nats_wire *self);
#endif
