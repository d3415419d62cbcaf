/* SPDX-License-Identifier: Apache-2.0
 * A connection with TLS is read by the library, which has the keys: it puts messages into the
 * queues of its subscriptions, and here they are taken out and shown as ours. The library swallows
 * the server's "nobody listens" and tells only that there was one. The loop's alone. */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

enum { RAW_MAX = 1 << 20 };

static const char version[] = "NATS/1.0";

/* ---- as one of ours */

/* The header lines where the library has them: between the reply subject and the data, in the same
 * block, from its first release with headers to the newest. False: there are none, it keeps them
 * elsewhere, or it has taken them apart already (it does when there is no data). */
static bool raw_lines(natsMsg *from, nats__message *to)
{
    const char *before = natsMsg_GetReply(from), *data = natsMsg_GetData(from);
    before = before ? before : natsMsg_GetSubject(from);
    if (!before || !data) {
        return false;
    }
    before += strlen(before) + 1;
    if ((uintptr_t)data < (uintptr_t)before + sizeof version ||
        (uintptr_t)data - (uintptr_t)before > RAW_MAX ||
        memcmp(before, version, sizeof version - 1) != 0 || before[sizeof version - 1] != '\r') {
        return false; /* a status behind the version: of the server's words the map will do */
    }
    data -= data[-1] == '\0'; /* it puts a NUL in between */
    const char *start = memchr(before, '\n', (size_t)(data - before));
    if (!start || data - start < 3 || memcmp(data - 2, "\r\n", 2) != 0) {
        return false;
    }
    to->lines = start + 1;
    to->lines_size = (size_t)(data - 2 - to->lines);
    return true;
}

static void add_values(nats__buffer *lines, natsMsg *from, const char *name)
{
    const char **values = NULL;
    int count = 0;
    if (natsMsgHeader_Values(from, name, &values, &count) != NATS_OK) {
        return;
    }
    for (int i = 0; i < count; i++) {
        if (nats__buffer_room(lines, strlen(name) + strlen(values[i]) + 4)) {
            nats__buffer_add(lines, name, strlen(name));
            nats__buffer_add(lines, ": ", 2);
            nats__buffer_add(lines, values[i], strlen(values[i]));
            nats__buffer_add(lines, "\r\n", 2);
        }
    }
    free(values);
}

/* Lines again from the library's own map, once it has taken them apart; yours to free. */
static char *mapped_lines(natsMsg *from, nats__message *to)
{
    nats__buffer lines = {0};
    const char **names = NULL, *status = NULL;
    int count = 0;
    if (natsMsgHeader_Keys(from, &names, &count) != NATS_OK) {
        return NULL; /* no headers */
    }
    for (int i = 0; i < count; i++) {
        add_values(&lines, from, names[i]);
    }
    free(names);
    if (to->size == 0 && natsMsgHeader_Get(from, "Status", &status) == NATS_OK && status) {
        to->status = (int)nats__number(&status);
        (void)natsMsgHeader_Get(from, "Description", &to->told);
        to->told = to->told ? to->told : "";
    }
    to->lines = lines.data;
    to->lines_size = lines.size;
    return lines.data;
}

/* What must be freed behind it, or NULL. */
static char *show(natsMsg *from, nats__message *to)
{
    const char *reply = from ? natsMsg_GetReply(from) : NULL;
    *to = (nats__message){.told = ""};
    if (!from) {
        to->status = 503;
        return NULL;
    }
    to->subject = natsMsg_GetSubject(from);
    to->reply = reply && *reply ? reply : NULL;
    to->data = natsMsg_GetData(from);
    to->size = (size_t)natsMsg_GetDataLength(from);
    return raw_lines(from, to) ? NULL : mapped_lines(from, to);
}

/* ---- out of the queues */

/* The messages of one inbox, as many as are there and have room. */
static size_t take(nats__inbox *inbox, nats__run *run)
{
    int waiting = 0;
    size_t room = inbox->room ? inbox->room(inbox) : NATS__TAKE, count = 0;
    if (natsSubscription_GetPending(inbox->sub, &waiting, NULL) != NATS_OK) {
        return 0;
    }
    inbox->starved = room == 0 && waiting > 0;
    room = room < NATS__TAKE ? room : NATS__TAKE;
    while (count < room && count < (size_t)waiting) {
        natsMsg *message = NULL;
        natsStatus s = natsSubscription_NextMsg(&message, inbox->sub, 0);
        if (s != NATS_OK && s != NATS_NO_RESPONDERS) {
            break;
        }
        run->owned[count++] = message;
    }
    return count;
}

/* What the library dropped because it came faster than it was taken. */
static void report_dropped(marty_port *port, nats__inbox *inbox)
{
    int64_t dropped = 0;
    if (natsSubscription_GetDropped(inbox->sub, &dropped) == NATS_OK && dropped > inbox->dropped) {
        marty_port_log(port->sink, 1,
                       "nats: %lld messages of a core subscription were dropped: they came faster "
                       "than they were handled, and core NATS keeps nothing",
                       (long long)(dropped - inbox->dropped));
        inbox->dropped = dropped;
    }
}

/* The next inbox with messages, moved to the front of the list: those that were active are found
 * first, so that many idle ones cost nothing. */
static nats__inbox *next_active(nats__wire *wire, nats__run *run, size_t *ret_count)
{
    for (marty__link *at = wire->inboxes.next; at != &wire->inboxes; at = at->next) {
        nats__inbox *inbox = MARTY__OWNER(at, nats__inbox, link);
        *ret_count = take(inbox, run);
        if (*ret_count > 0) {
            marty__list_remove(at);
            marty__list_push_first(&wire->inboxes, at);
            return inbox;
        }
    }
    return NULL;
}

static void hand_over(marty_port *port, nats__inbox *inbox, nats__run *run, size_t count)
{
    char *lines[NATS__TAKE];
    for (size_t i = 0; i < count; i++) {
        lines[i] = show(run->owned[i], &run->messages[i]);
    }
    inbox->arrived(port, inbox, run->messages, count);
    for (size_t i = 0; i < count; i++) {
        marty_free(lines[i]);
        natsMsg_Destroy(run->owned[i]);
    }
}

/* Hand over what has come; expected bounds the search. */
static void dispatch(nats__wire *wire, nats__run *run, uint64_t expected)
{
    marty_port *port = wire->port;
    for (uint64_t seen = 0; seen < expected;) {
        size_t count = 0;
        pthread_mutex_lock(&port->lock);
        nats__inbox *inbox = next_active(wire, run, &count);
        if (inbox && inbox->room) {
            report_dropped(port, inbox);
        }
        pthread_mutex_unlock(&port->lock);
        if (!inbox) {
            return;
        }
        hand_over(port, inbox, run, count);
        seen += count;
    }
}

void nats__library_look(nats__wire *wire, nats__run *run)
{
    dispatch(wire, run, UINT64_MAX);
}

void nats__library_read(nats__wire *wire, nats__run *run, bool ended)
{
    uint64_t messages = wire->messages;
    if (!nats__record_is_whole(wire, ended)) {
        return;
    }
    natsConnection_ProcessReadEvent(wire->live);
    if (natsConnection_GetStats(wire->live, wire->statistics) == NATS_OK) {
        (void)natsStatistics_GetCounts(wire->statistics, &messages, NULL, NULL, NULL, NULL);
    }
    uint64_t expected = messages - wire->messages;
    wire->messages = messages;
    dispatch(wire, run, expected);
}
