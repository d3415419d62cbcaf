/* SPDX-License-Identifier: Apache-2.0
 * Calls that wait for the server: round trips, and the JetStream API (JSON over request and reply).
 * For threads that may wait; never for the loop or an op. */
#include "parts.h"

#include "thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_AGAIN_NS = 250000000, MAKE_AGAIN_NS = 1000000000 };

int64_t nats__api_deadline(marty_port *port)
{
    return nats__now_ns(port) + (int64_t)NATS__CALL_MS * 1000000;
}

static marty_err gone(marty_port *port, marty_error *why)
{
    return marty_error_set(why, MARTY_E_UNAVAILABLE, "nats://%s: not connected", port->server);
}

static void subject_of_call(const nats__wire *wire, uint32_t id, char *out)
{
    size_t size = strlen(wire->base);
    memcpy(out, wire->base, size);
    memcpy(out + size, ".c.a.", 5);
    size += 5;
    out[size + nats__decimal(out + size, id)] = '\0';
}

/* Each call has one answer, or finds nobody, which the library tells without saying who. Once as
 * many found nobody as are left, it is those. */
static void find_missing(marty_port *port)
{
    uint32_t left = 0;
    for (marty__link *at = port->calls.next; at != &port->calls; at = at->next) {
        left += !MARTY__OWNER(at, nats__call, link)->sign;
    }
    if (port->calls_missing == 0 || left > port->calls_missing) {
        return;
    }
    marty__link *at = port->calls.next;
    while (at != &port->calls) {
        nats__call *call = MARTY__OWNER(at, nats__call, link);
        at = at->next;
        if (!call->sign) {
            marty__list_remove(&call->link);
            call->done = call->nobody = true;
        }
    }
    port->calls_missing = 0;
    pthread_cond_broadcast(&port->changed);
}

void nats__call_answer_locked(marty_port *port, uint32_t id, const nats__message *reply)
{
    for (marty__link *at = port->calls.next; at != &port->calls; at = at->next) {
        nats__call *call = MARTY__OWNER(at, nats__call, link);
        if (call->id == id) {
            marty__list_remove(at);
            call->nobody = reply->status == 503;
            call->reply = call->nobody ? NULL : nats__message_copy(reply);
            call->done = true;
            pthread_cond_broadcast(&port->changed);
            break;
        }
    }
    find_missing(port);
}

void nats__call_nobody_locked(marty_port *port)
{
    port->calls_missing++;
    find_missing(port);
}

void nats__call_denied_locked(marty_port *port, const char *subject, const char *text)
{
    uint64_t hash = subject ? nats__hash(subject) : 0;
    for (marty__link *at = port->calls.next, *next; at != &port->calls; at = next) {
        nats__call *call = MARTY__OWNER(at, nats__call, link);
        next = at->next;
        if (subject ? call->subject_hash == hash : call->sign) {
            marty__list_remove(at);
            (void)snprintf(call->denied, sizeof call->denied, "%s", text);
            call->done = true;
        }
    }
    pthread_cond_broadcast(&port->changed);
}

/* After how long it may be asked again without harm: what only looks soon, what makes something
 * under a name later; INT64_MAX = never. */
static int64_t again_after(const char *subject)
{
    bool looks = subject && (strstr(subject, ".API.INFO") || strstr(subject, ".INFO.") ||
                             strstr(subject, ".LIST") || strstr(subject, ".MSG.GET."));
    bool makes =
        subject && (strstr(subject, ".STREAM.CREATE.") || strstr(subject, ".DURABLE.CREATE."));
    return looks ? LOOK_AGAIN_NS : makes ? MAKE_AGAIN_NS : INT64_MAX;
}

/* A cluster drops what it is asked about something without a leader, as a stream that was just
 * made, or while it has none itself: it is asked again, and whichever answer comes is the answer.
 */
static void wait_for_answer_locked(nats__wire *wire, const nats__call *call, const char *subject,
                                   const char *reply, marty_bytes body, int64_t deadline_ns)
{
    marty_port *port = wire->port;
    int64_t after_ns = again_after(subject);
    while (!call->done && nats__now_ns(port) < deadline_ns) {
        int64_t left_ns = deadline_ns - nats__now_ns(port);
        int64_t until_ns = left_ns > after_ns ? deadline_ns - left_ns + after_ns : deadline_ns;
        while (!call->done && nats__wait_locked(port, &port->changed, until_ns)) {
        }
        if (!call->done && until_ns < deadline_ns &&
            nats__frame_locked(wire, subject, reply, (marty_bytes){NULL, 0}, body)) {
            nats__send_locked(wire);
        }
    }
}

/* subject NULL = a message to ourselves. Whatever was said before it, the server has seen to when
 * that comes back; nothing that it denies can be heard before the call is in the list. */
static marty_err call_locked(nats__wire *wire, const char *subject, marty_bytes lines,
                             marty_bytes body, int64_t deadline_ns, nats__message **ret_reply,
                             marty_error *why)
{
    char reply[96];
    marty_port *port = wire->port;
    nats__call call = {.id = ++port->next_call, .sign = subject == NULL};
    marty_err err = MARTY_OK;
    subject_of_call(wire, call.id, reply);
    call.subject_hash = nats__hash(subject ? subject : reply);
    if (nats__frame_locked(wire, subject ? subject : reply, subject ? reply : NULL, lines, body)) {
        marty__list_push(&port->calls, &call.link);
        nats__send_locked(wire);
        wait_for_answer_locked(wire, &call, subject, reply, body, deadline_ns);
        marty__list_remove(&call.link);
    } else {
        call.done = true;
    }
    if (!call.done) {
        err = marty_error_set(why, MARTY_E_TIMEOUT, "nats://%s: no answer to %s in time",
                              port->server, subject ? subject : "a sign of life");
    } else if (call.denied[0]) {
        err = marty_error_set(why, MARTY_E_DENIED,
                              "nats://%s: %s; the permissions of this user do "
                              "not allow it",
                              port->server, call.denied);
    } else if (call.nobody) {
        err = marty_error_set(why, MARTY_E_NO_RESPONDER,
                              "nats://%s: nobody answers; JetStream is off or starting: start a "
                              "server with: nats-server -js",
                              port->server);
    } else if (!call.reply) {
        err = gone(port, why);
    }
    *ret_reply = call.reply;
    return err;
}

marty_err nats__ask(marty_port *port, const char *subject, marty_bytes lines, marty_bytes body,
                    int64_t deadline_ns, nats__message **ret_reply, marty_error *why)
{
    pthread_mutex_lock(&port->lock);
    marty_err err = call_locked(&port->wires[0], subject, lines, body, deadline_ns, ret_reply, why);
    pthread_mutex_unlock(&port->lock);
    return err;
}

marty_err nats__sign_locked(nats__wire *wire, int64_t deadline_ns, marty_error *why)
{
    nats__message *reply = NULL;
    const marty_bytes nothing = {NULL, 0};
    marty_err err = call_locked(wire, NULL, nothing, nothing, deadline_ns, &reply, why);
    marty_free(reply);
    return err;
}

typedef struct api_row {
    int code;
    marty_err err;
    const char *hint;
} api_row;

#define NO_ROOM "; JetStream has no room left: raise max_file or the account's limit, or keep less"
#define NO_MORE "; the account may have no more: raise its limit"

/* What the server's numbers mean for the caller; others count as unavailable (5xx) or wrong. */
static const api_row rows[] = {
    {10059, MARTY_E_NOT_FOUND, ""},
    {10014, MARTY_E_NOT_FOUND, ""},
    {10037, MARTY_E_NOT_FOUND, ""},
    {10039, MARTY_E_UNAVAILABLE,
     "; JetStream is off for this account: enable it, or start a server with: nats-server -js"},
    {10076, MARTY_E_UNAVAILABLE,
     "; JetStream is off at this server: start it with: nats-server -js"},
    {10058, MARTY_E_EXISTS, ""},
    {10065, MARTY_E_EXISTS,
     "; another stream has these subjects: remove it, or set prefix= to keep them apart"},
    {10148, MARTY_E_EXISTS, ""},
    {10105, MARTY_E_EXISTS, ""},
    {10074, MARTY_E_CONFIG, "; this server is no cluster: use replicas=1, or connect to a cluster"},
    {10005, MARTY_E_UNAVAILABLE, "; are enough servers of the cluster up for replicas=?"},
    {10008, MARTY_E_UNAVAILABLE, ""},
    {10028, MARTY_E_STORAGE, ""},
    {10002, MARTY_E_STORAGE, NO_ROOM},
    {10047, MARTY_E_STORAGE, NO_ROOM},
    {10023, MARTY_E_STORAGE, NO_ROOM},
    {10026, MARTY_E_STORAGE, NO_MORE},
    {10027, MARTY_E_STORAGE, NO_MORE},
    {10077, MARTY_E_STORAGE, "; the stream is full: raise retention=, or let groups catch up"},
    {10122, MARTY_E_CONFIG, ""},
    {10054, MARTY_E_TOO_LARGE, ""},
    {10071, MARTY_E_LOST, ""},
    {10158, MARTY_E_MAYBE_STORED, "; the first copy with this id is still being stored"},
};

marty_err nats__api_error(int err_code, const char *description, const char *what, marty_error *why)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].code == err_code) {
            return marty_error_set(why, rows[i].err, "nats: %s: %s (%d)%s", what, description,
                                   err_code, rows[i].hint);
        }
    }
    return marty_error_set(why, MARTY_E_UNAVAILABLE, "nats: %s: %s (%d)", what, description,
                           err_code);
}

static marty_err read_answer(const nats__message *reply, const char *what, json_t **ret_answer,
                             int *ret_code, marty_error *why)
{
    json_error_t error;
    json_t *answer = json_loadb(reply->data, reply->size, JSON_ALLOW_NUL, &error);
    if (!answer) {
        return marty_error_set(why, MARTY_E_PROTOCOL, "nats: %s: the answer is no JSON: %s", what,
                               error.text);
    }
    json_t *problem = json_object_get(answer, "error");
    if (problem) {
        const char *text = json_string_value(json_object_get(problem, "description"));
        int code = (int)json_integer_value(json_object_get(problem, "err_code"));
        *ret_code = code ? code : (int)json_integer_value(json_object_get(problem, "code"));
        marty_err err = nats__api_error(*ret_code, text ? text : "refused", what, why);
        json_decref(answer);
        return err;
    }
    *ret_answer = answer;
    return MARTY_OK;
}

marty_err nats__api_locked(marty_port *port, const char *what, json_t *body, int64_t deadline_ns,
                           json_t **ret_answer, int *ret_code, marty_error *why)
{
    char subject[NATS__SUBJECT_MAX];
    int code = 0;
    nats__message *reply = NULL;
    json_t *answer = NULL;
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    const char *domain = port->options.domain;
    (void)snprintf(subject, sizeof subject, "$JS.%s%sAPI.%s", domain ? domain : "",
                   domain ? "." : "", what);
    marty_err err = body && !text ? marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory")
                                  : call_locked(&port->wires[0], subject, (marty_bytes){NULL, 0},
                                                marty_text(text), deadline_ns, &reply, why);
    if (err == MARTY_E_NO_RESPONDER) {
        code = 503;
        err = MARTY_E_UNAVAILABLE;
    }
    if (!err) {
        err = read_answer(reply, what, &answer, &code, why);
    }
    marty_free(reply);
    free(text);
    if (ret_code) {
        *ret_code = code;
    }
    if (ret_answer) {
        *ret_answer = answer;
    } else {
        json_decref(answer);
    }
    return err;
}

marty_err nats__api(marty_port *port, const char *what, json_t *body, int64_t deadline_ns,
                    json_t **ret_answer, int *ret_code, marty_error *why)
{
    pthread_mutex_lock(&port->lock);
    marty_err err = nats__api_locked(port, what, body, deadline_ns, ret_answer, ret_code, why);
    pthread_mutex_unlock(&port->lock);
    return err;
}
