/* SPDX-License-Identifier: Apache-2.0
 * Asking a server what it is before connecting: whether somebody listens, whether that is NATS,
 * which version, and whether it wants TLS. The library tells none of this, and would go over to
 * TLS, or stay without it, unasked. Blocking, with a deadline; the worker's. */
#include "parts.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GREETING_MAX = 64 * 1024 };

typedef struct target {
    const char *host;
    uint16_t number;
    int64_t deadline_ns;
} target;

static marty_err failed(const target *to, const char *what, marty_error *why)
{
    return marty_error_set(why, MARTY_E_UNAVAILABLE,
                           "nats://%s:%u: %s; start one with: nats-server -js", to->host,
                           (unsigned)to->number, what);
}

static const char *reason_of(int number)
{
    switch (number) {
    case ECONNREFUSED:
        return "connection refused";
    case ETIMEDOUT:
        return "no answer in time";
    case ENETUNREACH:
    case EHOSTUNREACH:
        return "no way to that host";
    default:
        return "cannot connect";
    }
}

static int left_ms(marty_port *port, const target *to)
{
    int64_t left_ns = to->deadline_ns - nats__now_ns(port);
    return left_ns > 0 ? (int)(left_ns / 1000000) + 1 : 0;
}

/* 0, or an errno. */
static int connect_one(marty_port *port, const target *to, const struct addrinfo *address, int *fd)
{
    int number = 0;
    socklen_t size = sizeof number;
    *fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) {
        return errno;
    }
    if (connect(*fd, address->ai_addr, address->ai_addrlen) == 0) {
        return 0;
    }
    struct pollfd waiting = {.fd = *fd, .events = POLLOUT};
    if (errno != EINPROGRESS) {
        number = errno;
    } else if (poll(&waiting, 1, left_ms(port, to)) <= 0) {
        number = ETIMEDOUT;
    } else if (getsockopt(*fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0) {
        number = errno;
    }
    if (number) {
        (void)close(*fd);
        *fd = -1;
    }
    return number;
}

static marty_err connect_any(marty_port *port, const target *to, int *ret_fd, marty_error *why)
{
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC}, *found = NULL;
    service[nats__decimal(service, to->number)] = '\0';
    int problem = getaddrinfo(to->host, service, &hints, &found);
    if (problem) {
        return marty_error_set(why, MARTY_E_UNAVAILABLE, "nats://%s:%u: %s", to->host,
                               (unsigned)to->number, gai_strerror(problem));
    }
    int number = EHOSTUNREACH;
    for (const struct addrinfo *at = found; at && number; at = at->ai_next) {
        number = connect_one(port, to, at, ret_fd);
    }
    freeaddrinfo(found);
    return number ? failed(to, reason_of(number), why) : MARTY_OK;
}

/* The first line, without its end. */
static marty_err read_line(marty_port *port, const target *to, int fd, char *line, size_t *ret_size,
                           marty_error *why)
{
    size_t size = 0;
    while (size < GREETING_MAX) {
        struct pollfd waiting = {.fd = fd, .events = POLLIN};
        if (poll(&waiting, 1, left_ms(port, to)) <= 0) {
            return failed(to,
                          "it accepts connections and says nothing: no NATS server, or a "
                          "frozen one",
                          why);
        }
        ssize_t got = recv(fd, line + size, GREETING_MAX - size, 0);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (got <= 0) {
            return failed(to, "it closed the connection at once", why);
        }
        size += (size_t)got;
        const char *end = memchr(line, '\n', size);
        if (end) {
            *ret_size = (size_t)(end - line);
            return MARTY_OK;
        }
    }
    return failed(to, "its greeting is too long for a NATS server", why);
}

static bool flag(json_t *info, const char *name)
{
    return json_is_true(json_object_get(info, name));
}

static marty_err parse(const target *to, const char *line, size_t size, nats__greeting *greeting,
                       marty_error *why)
{
    json_t *info = size > 5 && strncmp(line, "INFO ", 5) == 0
                       ? json_loadb(line + 5, size - 5, JSON_DISABLE_EOF_CHECK, NULL)
                       : NULL;
    if (!info) {
        return marty_error_set(why, MARTY_E_PROTOCOL,
                               "nats://%s:%u: what answers there is no NATS server", to->host,
                               (unsigned)to->number);
    }
    const char *version = json_string_value(json_object_get(info, "version"));
    (void)snprintf(greeting->version, sizeof greeting->version, "%s", version ? version : "?");
    greeting->tls_required = flag(info, "tls_required");
    greeting->tls_available = flag(info, "tls_available");
    greeting->tls_verify = flag(info, "tls_verify");
    greeting->auth_required = flag(info, "auth_required");
    greeting->jetstream = flag(info, "jetstream");
    greeting->headers = flag(info, "headers");
    greeting->payload_max = json_integer_value(json_object_get(info, "max_payload"));
    json_decref(info);
    return MARTY_OK;
}

marty_err nats__probe(marty_port *port, const char *host, uint16_t number,
                      nats__greeting *ret_greeting, marty_error *why)
{
    target to = {host, number, nats__now_ns(port) + (int64_t)NATS__CONNECT_MS * 1000000};
    int fd = -1;
    size_t size = 0;
    char *line = marty_alloc(GREETING_MAX);
    *ret_greeting = (nats__greeting){.payload_max = 0};
    if (!line) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory to connect");
    }
    marty_err err = connect_any(port, &to, &fd, why);
    err = err ? err : read_line(port, &to, fd, line, &size, why);
    err = err ? err : parse(&to, line, size, ret_greeting, why);
    if (fd >= 0) {
        (void)close(fd);
    }
    marty_free(line);
    return err;
}
