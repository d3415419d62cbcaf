/* SPDX-License-Identifier: Apache-2.0
 * Dead letters: reading them where they lie, removing one, and taking back a message that is
 * scheduled. Browse and erase run on the caller's thread; cancel is an op and a job. */
#include "parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LETTERS = 100, HEADERS_BYTES = 1 << 20 };

static marty_err dead_channel(marty_port *port, const marty_want *what, nats__channel **ret_channel,
                              marty_error *why)
{
    marty_channel wanted = what->channel;
    wanted.group = NULL;
    if (wanted.kind != MARTY_KIND_DEAD) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "channel %s: nats browses dead letters only", wanted.name);
    }
    pthread_mutex_lock(&port->lock);
    marty_err err = nats__channel_get_locked(port, ret_channel, &wanted, why);
    pthread_mutex_unlock(&port->lock);
    return err;
}

/* The header lines of a message as pairs, without the broker's own. */
static json_t *header_pairs(const char *encoded)
{
    json_t *pairs = json_array();
    size_t room = encoded ? strlen(encoded) : 0;
    char *lines = room && room < HEADERS_BYTES * 2 ? marty_alloc(room + 1) : NULL;
    if (!lines) {
        return pairs;
    }
    lines[nats__base64_decode(encoded, lines, room)] = '\0';
    char *at = strstr(lines, "\r\n");
    while (at && at[2] && strncmp(at + 2, "\r\n", 2) != 0) {
        char *line = at + 2, *colon = strchr(line, ':');
        at = strstr(line, "\r\n");
        if (!at || !colon || colon > at) {
            break;
        }
        const char *value = colon + 1 + (colon[1] == ' ');
        if (strncasecmp(line, "Nats-", 5) != 0) {
            json_t *text = json_stringn(value, (size_t)(at - value));
            (void)json_array_append_new(pairs, json_pack("[o, o]",
                                                         json_stringn(line, (size_t)(colon - line)),
                                                         text ? text : json_string("")));
        }
    }
    marty_free(lines);
    return pairs;
}

static json_t *letter_of(json_t *message)
{
    char position[24];
    const char *data = json_string_value(json_object_get(message, "data"));
    const char *headers = json_string_value(json_object_get(message, "hdrs"));
    json_int_t sequence = json_integer_value(json_object_get(message, "seq"));
    position[nats__decimal(position, (uint64_t)sequence)] = '\0';
    return json_pack("{s:s, s:o, s:s}", "position", position, "headers", header_pairs(headers),
                     "data", data ? data : "");
}

/* The message at or behind a sequence number; NOT_FOUND behind the last. */
static marty_err next_message(marty_port *port, const nats__channel *channel, uint64_t sequence,
                              json_t **ret_message, marty_error *why)
{
    char call[NATS__NAME_MAX + 32];
    json_t *answer = NULL;
    json_t *body =
        json_pack("{s:I, s:s}", "seq", (json_int_t)sequence, "next_by_subj", channel->subject);
    (void)snprintf(call, sizeof call, "STREAM.MSG.GET.%s", channel->stream);
    marty_err err = nats__api(port, call, body, nats__api_deadline(port), &answer, NULL, why);
    *ret_message = err ? NULL : json_incref(json_object_get(answer, "message"));
    json_decref(answer);
    json_decref(body);
    return err;
}

static uint64_t position_of(const marty_want *what)
{
    const char *at = what->start.position ? what->start.position : "";
    uint64_t sequence = nats__number(&at);
    return sequence ? sequence : 1;
}

marty_err nats__browse(marty_port *port, const marty_want *what, json_t **ret_answer,
                       marty_error *why)
{
    nats__channel *channel = NULL;
    json_t *letters = json_array(), *info = NULL;
    uint64_t sequence = position_of(what);
    size_t most = what->credit > 0 && what->credit < 10000 ? what->credit : LETTERS;
    marty_err err = dead_channel(port, what, &channel, why);
    err = err ? err : nats__stream_info(port, channel->stream, &info, why);
    json_decref(info);
    bool end = false;
    while (!err && !end && json_array_size(letters) < most) {
        json_t *message = NULL;
        err = next_message(port, channel, sequence, &message, why);
        end = err == MARTY_E_NOT_FOUND;
        err = end ? MARTY_OK : err;
        if (message) {
            sequence = (uint64_t)json_integer_value(json_object_get(message, "seq")) + 1;
            (void)json_array_append_new(letters, letter_of(message));
            json_decref(message);
        }
    }
    char next[24];
    next[nats__decimal(next, sequence)] = '\0';
    *ret_answer =
        json_pack("{s:o, s:o}", "letters", letters, "next", end ? json_null() : json_string(next));
    return err;
}

marty_err nats__erase(marty_port *port, const marty_want *what, json_t **ret_answer,
                      marty_error *why)
{
    char call[NATS__NAME_MAX + 32];
    nats__channel *channel = NULL;
    json_t *message = NULL;
    uint64_t sequence = position_of(what);
    marty_err err = dead_channel(port, what, &channel, why);
    err = err ? err : next_message(port, channel, sequence, &message, why);
    bool there = (uint64_t)json_integer_value(json_object_get(message, "seq")) == sequence;
    json_decref(message);
    if (!err && !there) {
        return marty_error_set(why, MARTY_E_NOT_FOUND, "channel %s: nothing lies at %llu",
                               channel->name, (unsigned long long)sequence);
    }
    if (!err) {
        json_t *body = json_pack("{s:I}", "seq", (json_int_t)sequence);
        (void)snprintf(call, sizeof call, "STREAM.MSG.DELETE.%s", channel->stream);
        err = nats__api(port, call, body, nats__api_deadline(port), NULL, NULL, why);
        json_decref(body);
    }
    *ret_answer = json_pack("{s:i}", "erased", 1);
    return err;
}

/* ---- taking back what is scheduled */

static void cancel_run(marty_port *port, nats__job *job)
{
    char call[NATS__NAME_MAX + 32], subject[NATS__SUBJECT_MAX], id[NATS__SUBJECT_MAX / 4];
    json_t *answer = NULL;
    marty_error why = {0};
    marty_err err = marty_name_encode(id, sizeof id - 1, job->text, nats__name_bytes, &why);
    (void)snprintf(call, sizeof call, "STREAM.PURGE.%s", job->channel->stream);
    (void)snprintf(subject, sizeof subject, "%.700s.%s", job->channel->schedule, err ? "" : id);
    json_t *body = json_pack("{s:s}", "filter", subject);
    err = err ? err : nats__api(port, call, body, nats__api_deadline(port), &answer, NULL, &why);
    if (!err && json_integer_value(json_object_get(answer, "purged")) == 0) {
        err =
            marty_error_set(&why, MARTY_E_NOT_FOUND,
                            "channel %s: no message %s is scheduled; it may have gone out already",
                            job->channel->name, job->text);
    }
    nats__answer(port, job->token, err, MARTY_LEVEL_ANY, err ? why.text : NULL);
    json_decref(body);
    json_decref(answer);
}

marty_err nats__cancel(marty_port *port, const marty_channel *channel, const char *id,
                       uint64_t token, marty_error *why)
{
    nats__job *job = nats__job_new(cancel_run, id);
    if (!job) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "nats: no memory to cancel");
    }
    pthread_mutex_lock(&port->lock);
    marty_err err = MARTY_OK;
    if (port->life != NATS__UP) {
        err = marty_error_set(why, MARTY_E_UNAVAILABLE, "nats: not connected");
    } else if (port->api_level < NATS__LEVEL_SCHEDULE) {
        err = marty_error_set(why, MARTY_E_UNSUPPORTED,
                              "nats-server %s schedules nothing; that takes 2.12", port->version);
    }
    err = err ? err : nats__channel_get_locked(port, &job->channel, channel, why);
    if (!err) {
        job->token = token;
        nats__job_post_locked(port, job);
    }
    pthread_mutex_unlock(&port->lock);
    if (err) {
        marty_free(job);
    }
    return err;
}
