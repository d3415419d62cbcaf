/* SPDX-License-Identifier: Apache-2.0
 * A plain connection is read and taken apart here, message by message where the bytes lie: the
 * library's way (a block for each message, a queue with a lock, a thread that frees) costs more
 * than all that we do with it. What has no room yet waits in copies, up to a limit in bytes; what
 * comes above it is dropped, counted and said. The loop's alone; the lock is taken for what is
 * shared. */
#include "reader.h"
#include "denied.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { READ_BYTES = 128 * 1024, KEEP_BYTES = 1 << 20 };

/* ---- copies */

static char *put(char *at, const char *text, size_t size)
{
    if (size > 0) {
        memcpy(at, text, size);
    }
    at[size] = '\0';
    return at + size + 1;
}

nats__message *nats__message_copy(const nats__message *from)
{
    size_t subject = from->subject ? strlen(from->subject) : 0;
    size_t reply = from->reply ? strlen(from->reply) : 0,
           told = from->told ? strlen(from->told) : 0;
    nats__message *copy =
        marty_alloc(sizeof *copy + subject + reply + told + from->lines_size + from->size + 5);
    if (!copy) {
        return NULL;
    }
    *copy = *from;
    copy->link = (marty__link){NULL, NULL};
    char *at = (char *)(copy + 1);
    copy->subject = from->subject ? at : NULL;
    at = put(at, from->subject, subject);
    copy->reply = from->reply ? at : NULL;
    at = put(at, from->reply, reply);
    copy->told = at;
    at = put(at, from->told, told);
    copy->lines = at;
    at = put(at, from->lines, from->lines_size);
    copy->data = at;
    (void)put(at, from->data, from->size);
    return copy;
}

size_t nats__message_weight(const nats__message *message)
{
    return sizeof *message + message->lines_size + message->size + 128;
}

void nats__inbox_forget_locked(nats__inbox *inbox)
{
    marty__link *link;
    while (inbox->waiting.next && (link = marty__list_pop(&inbox->waiting)) != NULL) {
        marty_free(MARTY__OWNER(link, nats__message, link));
    }
    inbox->waiting_bytes = 0;
    inbox->starved = false;
}

/* ---- handing over */

static void report_dropped(marty_port *port, size_t count)
{
    marty_port_log(port->sink, 1,
                   "nats: %zu messages of a core subscription were dropped: they came faster than "
                   "they were handled, and core NATS keeps nothing",
                   count);
}

static void keep_waiting(marty_port *port, nats__inbox *inbox, const nats__message *messages,
                         size_t count)
{
    size_t dropped = 0;
    for (size_t i = 0; i < count; i++) {
        bool fits = inbox->waiting_bytes + nats__message_weight(&messages[i]) <= NATS__IN_BYTES_MAX;
        nats__message *copy = fits ? nats__message_copy(&messages[i]) : NULL;
        if (copy) {
            inbox->waiting_bytes += nats__message_weight(copy);
            marty__list_push(&inbox->waiting, &copy->link);
        } else {
            dropped++;
        }
    }
    pthread_mutex_lock(&port->lock);
    inbox->starved = !marty__list_empty(&inbox->waiting);
    port->look_again = port->look_again || (inbox->starved && inbox->room(inbox) > 0);
    pthread_mutex_unlock(&port->lock);
    if (dropped > 0) {
        report_dropped(port, dropped);
    }
}

static void hand_over(marty_port *port, nats__run *run)
{
    nats__inbox *inbox = run->inbox;
    size_t count = run->count, now = count;
    run->count = 0;
    if (count == 0) {
        return;
    }
    if (inbox->room) {
        pthread_mutex_lock(&port->lock);
        size_t room = marty__list_empty(&inbox->waiting) ? inbox->room(inbox) : 0;
        pthread_mutex_unlock(&port->lock);
        now = room < count ? room : count;
    }
    if (now > 0) {
        inbox->arrived(port, inbox, run->messages, now);
    }
    if (now < count) {
        keep_waiting(port, inbox, run->messages + now, count - now);
    }
}

/* Up to a run of what waits at the first inbox that has room for some. */
static void take_waiting(nats__wire *wire, nats__run *run)
{
    marty_port *port = wire->port;
    pthread_mutex_lock(&port->lock);
    for (marty__link *at = wire->inboxes.next; at != &wire->inboxes && run->count == 0;
         at = at->next) {
        nats__inbox *inbox = MARTY__OWNER(at, nats__inbox, link);
        size_t room = inbox->starved ? inbox->room(inbox) : 0;
        marty__link *link;
        run->inbox = inbox;
        while (run->count < room && run->count < NATS__TAKE &&
               (link = marty__list_pop(&inbox->waiting)) != NULL) {
            nats__message *copy = MARTY__OWNER(link, nats__message, link);
            inbox->waiting_bytes -= nats__message_weight(copy);
            run->owned[run->count] = copy;
            run->messages[run->count++] = *copy;
        }
        inbox->starved = !marty__list_empty(&inbox->waiting);
    }
    pthread_mutex_unlock(&port->lock);
}

void nats__reader_look(nats__wire *wire, nats__run *run)
{
    for (;;) {
        take_waiting(wire, run);
        size_t count = run->count;
        run->count = 0;
        if (count == 0) {
            return;
        }
        run->inbox->arrived(wire->port, run->inbox, run->messages, count);
        for (size_t i = 0; i < count; i++) {
            marty_free(run->owned[i]);
        }
    }
}

/* ---- reading */

static nats__inbox *inbox_of(nats__wire *wire, uint64_t sid)
{
    pthread_mutex_lock(&wire->port->lock);
    nats__inbox *inbox = sid < wire->sid_count ? wire->by_sid[sid] : NULL;
    pthread_mutex_unlock(&wire->port->lock);
    return inbox;
}

/* -ERR 'Permissions Violation for Publish to "x"', or what the server ends the connection with. */
static void take_error(nats__wire *wire, const char *text)
{
    marty_port *port = wire->port;
    char said[512];
    text += *text == '\'';
    size_t size = strnlen(text, sizeof said - 1);
    size -= size > 0 && text[size - 1] == '\'';
    memcpy(said, text, size);
    said[size] = '\0';
    if (strcasestr(said, "permissions violation")) {
        nats__permission_denied(wire, said);
        return;
    }
    char whole[900];
    bool denied = strcasestr(said, "authorization") || strcasestr(said, "authentication");
    (void)snprintf(whole, sizeof whole, "nats://%s: the connection was lost: %s", port->server,
                   said);
    nats__lose(port, denied ? MARTY_E_DENIED : MARTY_E_UNAVAILABLE, whole);
}

static void take_message(nats__wire *wire, nats__run *run, const nats__frame *frame, uint64_t *sid)
{
    if (frame->sid != *sid || run->count == NATS__TAKE) {
        hand_over(wire->port, run);
    }
    if (frame->sid != *sid) {
        *sid = frame->sid;
        run->inbox = inbox_of(wire, frame->sid);
    }
    if (run->inbox) { /* else one that was on its way when its subscription ended */
        run->messages[run->count++] = frame->message;
    }
}

static void take_other(nats__wire *wire, nats__frame_kind kind, const nats__frame *frame)
{
    marty_port *port = wire->port;
    if (kind == NATS__FRAME_PING) {
        pthread_mutex_lock(&port->lock);
        if (nats__backlog_locked(wire) <= NATS__OUT_BYTES_MAX) { /* else it reads none of it */
            (void)nats__buffer_append(&wire->out, "PONG\r\n", 6);
        }
        pthread_mutex_unlock(&port->lock);
    } else if (kind == NATS__FRAME_ERROR) {
        take_error(wire, frame->text);
    } else if (kind == NATS__FRAME_BAD) {
        nats__lose(port, MARTY_E_PROTOCOL,
                   "nats: the server sent what is no frame of its protocol");
    }
}

/* All whole frames; the rest of the last one moves to the front, with room for all of it. */
static void take_apart(nats__wire *wire, nats__run *run)
{
    nats__buffer *in = &wire->in;
    uint64_t sid = UINT64_MAX;
    size_t used = 0;
    nats__frame frame;
    nats__frame_kind kind = NATS__FRAME_PART;
    run->inbox = NULL;
    while (used < in->size && kind != NATS__FRAME_BAD) {
        kind = nats__frame_read(in->data + used, in->size - used, &frame);
        if (kind == NATS__FRAME_PART) {
            break;
        }
        if (kind == NATS__FRAME_MESSAGE) {
            take_message(wire, run, &frame, &sid);
        } else {
            take_other(wire, kind, &frame);
        }
        used += frame.size;
    }
    hand_over(wire->port, run);
    in->size -= used < in->size ? used : in->size;
    if (in->size > 0 && used > 0) {
        memmove(in->data, in->data + used, in->size);
    }
    if (kind == NATS__FRAME_PART && frame.size > in->size &&
        !nats__buffer_room(in, frame.size - in->size)) {
        nats__lose(wire->port, MARTY_E_NO_MEMORY, "nats: no memory for what the server sends");
    }
}

void nats__reader_read(nats__wire *wire, nats__run *run)
{
    nats__buffer *in = &wire->in;
    if (in->size == 0 && in->capacity > KEEP_BYTES) {
        marty_free(in->data);
        *in = (nats__buffer){0};
    }
    if (!nats__buffer_room(in, in->capacity - in->size >= READ_BYTES / 2 ? 1 : READ_BYTES)) {
        nats__lose(wire->port, MARTY_E_NO_MEMORY, "nats: no memory for what the server sends");
        return;
    }
    ssize_t got = recv(wire->fd, in->data + in->size, in->capacity - in->size, MSG_DONTWAIT);
    if (got > 0) {
        in->size += (size_t)got;
        take_apart(wire, run);
    } else if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
        atomic_store(&wire->lost, true);
    }
}
