/* SPDX-License-Identifier: Apache-2.0
 * See nats_wire.h. */
#include "nats_wire.h"

#include "wait.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static bool send_all(nats_wire *self, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size) {
        ssize_t sent = send(self->descriptor, at, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool send_text(nats_wire *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool send_text(nats_wire *self, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return send_all(self, text, (size_t)length);
}

/* Reads until there are `wanted` bytes (0 = a whole line) or the deadline; the length of the line
 * with its end, or wanted; 0 = not in time. */
static size_t fill(nats_wire *self, size_t wanted, int64_t end_ms)
{
    for (;;) {
        char *newline = self->have ? memmem(self->bytes, self->have, "\r\n", 2) : NULL;
        if (wanted ? self->have >= wanted : newline != NULL) {
            return wanted ? wanted : (size_t)(newline - self->bytes) + 2;
        }
        int64_t left = end_ms - test_now_ms();
        struct pollfd polled = {self->descriptor, POLLIN, 0};
        if (left <= 0 || self->have == sizeof self->bytes || poll(&polled, 1, (int)left) <= 0) {
            return 0;
        }
        ssize_t got =
            recv(self->descriptor, self->bytes + self->have, sizeof self->bytes - self->have, 0);
        if (got <= 0) {
            return 0;
        }
        self->have += (size_t)got;
    }
}

static void consume(nats_wire *self, size_t size)
{
    memmove(self->bytes, self->bytes + size, self->have - size);
    self->have -= size;
}

bool nats_wire_connect(nats_wire *self, int port, const char *user, const char *password)
{
    self->have = 0;
    self->pongs_due = 1;
    self->subscriptions = 0;
    self->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(self->descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
        return false;
    }
    char proof[256] = "";
    if (user) {
        snprintf(proof, sizeof proof, ",\"user\":\"%s\",\"pass\":\"%s\"", user,
                 password ? password : "");
    }
    return send_text(self, "CONNECT {\"verbose\":false,\"headers\":true%s}\r\nPING\r\n", proof);
}

bool nats_wire_subscribe(nats_wire *self, const char *subject)
{
    if (!send_text(self, "SUB %s %d\r\nPING\r\n", subject, ++self->subscriptions)) {
        return false;
    }
    self->pongs_due++; /* the last PONG is of this PING: the server has it */
    int64_t end = test_now_ms() + test_patience(5000);
    while (self->pongs_due) {
        size_t length = fill(self, 0, end);
        if (!length || strncmp(self->bytes, "-ERR", 4) == 0) {
            return false;
        }
        self->pongs_due -= strncmp(self->bytes, "PONG", 4) == 0;
        consume(self, length);
    }
    return true;
}

bool nats_wire_publish(nats_wire *self, const char *subject, const char *reply, const char *headers,
                       const void *body, size_t size)
{
    const char *space = reply ? " " : "";
    reply = reply ? reply : "";
    bool sent;
    if (headers) {
        size_t block = strlen(headers) + 12;
        sent = send_text(self, "HPUB %s%s%s %zu %zu\r\n", subject, space, reply, block,
                         block + size) &&
               send_all(self, "NATS/1.0\r\n", 10) && send_all(self, headers, strlen(headers)) &&
               send_all(self, "\r\n", 2);
    } else {
        sent = send_text(self, "PUB %s%s%s %zu\r\n", subject, space, reply, size);
    }
    return sent && send_all(self, body, size) && send_all(self, "\r\n", 2);
}

/* Reads the two sizes at the end of a MSG or HMSG line. */
static bool read_line(const char *line, nats_wire_message *ret, size_t *ret_headers,
                      size_t *ret_total)
{
    char words[6][256];
    int count = sscanf(line, "%255s %255s %255s %255s %255s %255s", words[0], words[1], words[2],
                       words[3], words[4], words[5]);
    bool with_headers = strcmp(words[0], "HMSG") == 0;
    int fixed = with_headers ? 5 : 4;
    if (count < fixed) {
        return false;
    }
    snprintf(ret->subject, sizeof ret->subject, "%s", words[1]);
    snprintf(ret->reply, sizeof ret->reply, "%s", count > fixed ? words[3] : "");
    *ret_total = (size_t)strtoul(words[count - 1], NULL, 10);
    *ret_headers = with_headers ? (size_t)strtoul(words[count - 2], NULL, 10) : 0;
    return *ret_headers < sizeof ret->headers && *ret_total - *ret_headers < sizeof ret->body &&
           *ret_headers <= *ret_total;
}

bool nats_wire_next(nats_wire *self, nats_wire_message *ret, int limit_ms)
{
    int64_t end = test_now_ms() + test_patience(limit_ms);
    for (;;) {
        size_t length = fill(self, 0, end), headers, total;
        if (!length) {
            return false;
        }
        char line[1024];
        snprintf(line, sizeof line, "%.*s", (int)length, self->bytes);
        consume(self, length);
        if (strncmp(line, "PING", 4) == 0) {
            send_text(self, "PONG\r\n");
        } else if (strncmp(line, "MSG", 3) == 0 || strncmp(line, "HMSG", 4) == 0) {
            if (!read_line(line, ret, &headers, &total) || !fill(self, total + 2, end)) {
                return false;
            }
            memcpy(ret->headers, self->bytes, headers);
            ret->headers[headers] = 0;
            ret->size = total - headers;
            memcpy(ret->body, self->bytes + headers, ret->size);
            ret->body[ret->size] = 0;
            consume(self, total + 2);
            return true;
        }
    }
}

const char *nats_wire_header(const nats_wire_message *message, const char *name)
{
    static _Thread_local char value[1024];
    value[0] = 0;
    const char *at = message->headers;
    while ((at = strstr(at, "\r\n"))) {
        at += 2;
        size_t length = strlen(name);
        if (strncasecmp(at, name, length) == 0 && at[length] == ':') {
            at += length + 1;
            at += *at == ' ';
            snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
            return value;
        }
    }
    return value;
}

void nats_wire_close(nats_wire *self)
{
    close(self->descriptor);
}
