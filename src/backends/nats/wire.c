/* SPDX-License-Identifier: Apache-2.0
 * A connection in the event-loop mode of the library: the library connects, proves who we are,
 * speaks TLS, and numbers the subscriptions; our loop owns the socket. Frames of messages are
 * written here, straight into one buffer: the library's way through natsMsg and its header map
 * costs three times as much. The library's own bytes (SUB) go out before ours, and never in the
 * middle of a frame. With TLS only the library may read and write, so there all goes through it. */
#include "parts.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static natsStatus on_attach(void **user, void *loop, natsConnection *nc, natsSock socket)
{
    nats__wire *wire = loop;
    (void)nc;
    wire->fd = (int)socket;
    *user = wire;
    return NATS_OK;
}

static natsStatus on_read(void *user, bool add)
{
    nats__wire *wire = user;
    if (!add) {
        atomic_store(&wire->lost, true);
        nats__wake(wire->port, true);
    }
    return NATS_OK;
}

/* Called with the library's lock held, by whoever made it want to write. */
static natsStatus on_write(void *user, bool add)
{
    nats__wire *wire = user;
    atomic_store(&wire->wants_write, add);
    if (add) {
        nats__wake(wire->port, true);
    }
    return NATS_OK;
}

static natsStatus on_detach(void *user)
{
    nats__wire *wire = user;
    atomic_store(&wire->lost, true);
    return NATS_OK;
}

natsStatus nats__wire_options(nats__wire *wire, natsOptions *options)
{
    natsStatus s = natsOptions_SetEventLoop(options, wire, on_attach, on_read, on_write, on_detach);
    s = s ? s : natsOptions_SetSendAsap(options, true); /* no flusher thread */
    s = s ? s : natsOptions_SetIOBufSize(options, 128 * 1024);
    return s;
}

void nats__wake(marty_port *port, bool urgent)
{
    int sleeping = atomic_load(&port->sleeping);
    if (sleeping > (urgent ? 0 : 1) &&
        atomic_compare_exchange_strong(&port->sleeping, &sleeping, 0)) {
        uint64_t one = 1;
        while (write(port->wake_fd, &one, sizeof one) < 0 && errno == EINTR) {
        }
    }
}

/* ---- frames */

static bool frame_by_library(nats__wire *wire, const char *subject, const char *reply,
                             marty_bytes headers, marty_bytes data)
{
    natsMsg *message = NULL;
    natsStatus s = natsMsg_Create(&message, subject, reply, data.data, (int)data.size);
    const char *line = headers.data, *end = line + headers.size;
    while (!s && line < end) {
        char name[256];
        const char *colon = memchr(line, ':', (size_t)(end - line));
        const char *stop = memchr(line, '\r', (size_t)(end - line));
        size_t size = (size_t)(colon - line);
        char *value = size < sizeof name ? marty_alloc((size_t)(stop - colon)) : NULL;
        if (!value) {
            s = NATS_NO_MEMORY;
            break;
        }
        memcpy(name, line, size);
        name[size] = '\0';
        memcpy(value, colon + 2, (size_t)(stop - colon) - 2);
        value[stop - colon - 2] = '\0';
        s = natsMsgHeader_Add(message, name, value);
        marty_free(value);
        line = stop + 2;
    }
    s = s ? s : natsConnection_PublishMsg(wire->nc, message);
    natsMsg_Destroy(message);
    return s == NATS_OK;
}

static size_t put(char *out, const char *text, size_t size)
{
    memcpy(out, text, size);
    return size;
}

bool nats__frame_locked(nats__wire *wire, const char *subject, const char *reply,
                        marty_bytes headers, marty_bytes data)
{
    static const char version[] = "NATS/1.0\r\n";
    size_t subject_size = strlen(subject), reply_size = reply ? strlen(reply) : 0;
    size_t header_size = headers.size ? sizeof version - 1 + headers.size + 2 : 0;
    if (!wire->nc) {
        return false;
    }
    if (wire->tls) {
        return frame_by_library(wire, subject, reply, headers, data);
    }
    if (!nats__buffer_room(&wire->out, subject_size + reply_size + header_size + data.size + 64)) {
        return false;
    }
    char *start = wire->out.data + wire->out.size, *at = start;
    at += put(at, header_size ? "HPUB " : "PUB ", header_size ? 5 : 4);
    at += put(at, subject, subject_size);
    *at++ = ' ';
    if (reply_size) {
        at += put(at, reply, reply_size);
        *at++ = ' ';
    }
    if (header_size) {
        at += nats__decimal(at, header_size);
        *at++ = ' ';
    }
    at += nats__decimal(at, header_size + data.size);
    at += put(at, "\r\n", 2);
    if (header_size) {
        at += put(at, version, sizeof version - 1);
        at += put(at, headers.data, headers.size);
        at += put(at, "\r\n", 2);
    }
    at += data.size ? put(at, data.data, data.size) : 0;
    at += put(at, "\r\n", 2);
    wire->out.size += (size_t)(at - start);
    return true;
}

size_t nats__backlog_locked(const nats__wire *wire)
{
    if (wire->tls && wire->nc) {
        int waiting = natsConnection_Buffered(wire->nc);
        return waiting > 0 ? (size_t)waiting : 0;
    }
    return wire->out.size + wire->sending.size;
}

void nats__send_locked(nats__wire *wire)
{
    bool idle = wire->nc && !wire->tls && wire->sending.size == 0 && !wire->library_busy &&
                !atomic_load(&wire->wants_write);
    if (idle && wire->out.size > wire->out_sent) {
        ssize_t sent = send(wire->fd, wire->out.data + wire->out_sent,
                            wire->out.size - wire->out_sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        wire->out_sent += sent > 0 ? (size_t)sent : 0;
        if (wire->out_sent == wire->out.size) {
            wire->out.size = wire->out_sent = 0;
            return;
        }
    }
    nats__wake(wire->port, true);
}

/* The loop: false when the socket is full. An error shows when it reads. */
static bool send_rest(nats__wire *wire)
{
    while (wire->sent < wire->sending.size) {
        ssize_t sent = send(wire->fd, wire->sending.data + wire->sent,
                            wire->sending.size - wire->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0) {
            return errno != EAGAIN && errno != EWOULDBLOCK;
        }
        wire->sent += (size_t)sent;
    }
    return true;
}

/* Lock held: what goes out next; true = the library's. */
static bool take_next(nats__wire *wire)
{
    wire->sending.size = wire->sent = 0;
    if (wire->sending.capacity > NATS__OUT_BYTES_MAX) {
        marty_free(wire->sending.data);
        wire->sending = (nats__buffer){0};
    }
    if (atomic_load(&wire->wants_write) && wire->out_sent == 0) {
        wire->library_busy = true;
        return true;
    }
    nats__buffer empty = wire->sending;
    wire->sending = wire->out;
    wire->sent = wire->out_sent;
    wire->out = empty;
    wire->out_sent = 0;
    return false;
}

bool nats__wire_write(nats__wire *wire, bool *ret_wrote)
{
    marty_port *port = wire->port;
    for (;;) {
        *ret_wrote = *ret_wrote || wire->sending.size > 0;
        if (!send_rest(wire)) {
            return true;
        }
        pthread_mutex_lock(&port->lock);
        bool library = take_next(wire);
        pthread_mutex_unlock(&port->lock);
        if (!library && wire->sending.size == 0) {
            return false;
        }
        if (library) {
            natsConnection_ProcessWriteEvent(wire->live);
            pthread_mutex_lock(&port->lock);
            wire->library_busy = atomic_load(&wire->wants_write);
            bool full = wire->library_busy;
            pthread_mutex_unlock(&port->lock);
            if (full) {
                return !atomic_load(&wire->lost);
            }
        }
    }
}

/* ---- inboxes */

/* A plain connection is read by us, who know inboxes by the number that their messages carry. */
static bool note_sid(nats__wire *wire, nats__inbox *inbox)
{
    inbox->sid = (uint64_t)natsSubscription_GetID(inbox->sub);
    if (inbox->sid >= wire->sid_count) {
        size_t count = wire->sid_count ? wire->sid_count * 2 : 64;
        count = count > inbox->sid ? count : (size_t)inbox->sid + 1;
        nats__inbox **by_sid = marty_realloc(wire->by_sid, count * sizeof *by_sid);
        if (!by_sid) {
            return false;
        }
        memset(by_sid + wire->sid_count, 0, (count - wire->sid_count) * sizeof *by_sid);
        wire->by_sid = by_sid;
        wire->sid_count = count;
    }
    wire->by_sid[inbox->sid] = inbox;
    return true;
}

marty_err nats__inbox_open_locked(nats__wire *wire, nats__inbox *inbox, const char *subject,
                                  const char *queue, marty_error *why)
{
    natsStatus s = NATS_CONNECTION_CLOSED;
    if (wire->nc) {
        s = queue ? natsConnection_QueueSubscribeSync(&inbox->sub, wire->nc, subject, queue)
                  : natsConnection_SubscribeSync(&inbox->sub, wire->nc, subject);
    }
    if (!s && !note_sid(wire, inbox)) {
        natsSubscription_Destroy(inbox->sub);
        s = NATS_NO_MEMORY;
    }
    if (s) {
        inbox->sub = NULL;
        return marty_error_set(why, s == NATS_NO_MEMORY ? MARTY_E_NO_MEMORY : MARTY_E_UNAVAILABLE,
                               "subscribing to %s: %s", subject, natsStatus_GetText(s));
    }
    (void)natsSubscription_SetPendingLimits(inbox->sub, -1, NATS__IN_BYTES_MAX);
    inbox->wire = wire;
    inbox->closing = inbox->drained = false;
    inbox->dropped = 0;
    if (!inbox->waiting.next) {
        marty__list_init(&inbox->waiting);
    }
    marty__list_push_first(&wire->inboxes, &inbox->link);
    return MARTY_OK;
}

void nats__inbox_close_locked(nats__inbox *inbox)
{
    if (inbox->wire) {
        inbox->closing = true;
        inbox->wire->port->reaps = true;
        nats__wake(inbox->wire->port, true);
    }
}

/* The library lets go of one that it has drained when that is found empty, and only then. */
static void let_go(nats__inbox *inbox)
{
    natsMsg *late = NULL;
    if (inbox->drained && natsSubscription_NextMsg(&late, inbox->sub, 1) == NATS_OK) {
        natsMsg_Destroy(late);
    }
    inbox->wire->by_sid[inbox->sid] = NULL;
    nats__inbox_forget_locked(inbox);
    natsSubscription_Destroy(inbox->sub);
    inbox->sub = NULL;
    inbox->wire = NULL;
    inbox->closing = inbox->drained = false;
}

static void reap(marty_port *port, nats__wire *wire)
{
    marty__link *at = wire->inboxes.next;
    while (at != &wire->inboxes) {
        nats__inbox *inbox = MARTY__OWNER(at, nats__inbox, link);
        at = at->next;
        if (inbox->closing) {
            marty__list_remove(&inbox->link);
            let_go(inbox); /* the loop alone reads it */
            pthread_cond_broadcast(&port->changed);
        }
    }
}

void nats__inboxes_reap(marty_port *port)
{
    pthread_mutex_lock(&port->lock);
    port->reaps = false;
    reap(port, &port->wires[0]);
    reap(port, &port->wires[1]);
    port->rounds++;
    pthread_mutex_unlock(&port->lock);
}
