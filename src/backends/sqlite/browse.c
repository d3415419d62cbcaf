/* SPDX-License-Identifier: Apache-2.0
 * The topology verbs for dead letters, browse and erase, and remove. The writer's thread. */
#include "topology.h"

#include "base/alloc.h"
#include "base/base64.h"

#include <string.h>

enum { LETTERS = 64, LETTER_BYTES = 4 << 20 };

/* ---- dead letters */
static int find_dead(marty_port *port, struct sq_ask *ask, sq_channel *channel, char name[300],
                     bool *ret_found)
{
    int code = marty__sq_ask_channel(port, ask, channel, name, ret_found);
    if (!code && *ret_found && channel->kind != MARTY_KIND_DEAD) {
        ask->err = marty_error_set(&ask->why, MARTY_E_ARGUMENT, "channel %s keeps no dead letters",
                                   ask->want->channel.name);
        *ret_found = false;
    }
    return code;
}

static int start_of(marty_port *port, struct sq_ask *ask, const sq_log *log, int64_t *ret_from)
{
    const marty_start *start = &ask->want->start;
    int64_t place = 1;
    int code = SQLITE_OK;
    *ret_from = 0;
    if (start->from == MARTY_FROM_NOW) {
        place = log->next;
    } else if (start->from == MARTY_FROM_TIME) {
        code =
            marty__sq_log_place_at(port, log, marty__sq_stored_time(port, start->time_us), &place);
    } else if (start->position) {
        int64_t message = marty__sq_position_read(start->position, log->id);
        if (marty__sq_log_of(message) != log->id) {
            ask->err =
                marty_error_set(&ask->why, MARTY_E_ARGUMENT,
                                "\"%.48s\" is no position of a dead letter", start->position);
            return SQLITE_OK;
        }
        place = marty__sq_place_of(message);
    }
    *ret_from = marty__sq_first_of(log->id) + place;
    return code;
}

static void add_base64(marty__buffer *json, marty_bytes data)
{
    size_t size = marty__base64_size(data.size);
    if (marty__buffer_reserve(json, size + 1)) {
        json->size += marty__base64_encode(json->data + json->size, data.data, data.size);
        json->data[json->size] = '\0';
    }
}

static void add_wire(marty__buffer *json, int64_t place, const marty_message *wire)
{
    marty__buffer_format(json, "%s{\"position\":\"%lld\",\"headers\":[",
                         json->data && json->data[json->size - 1] == '[' ? "" : ",",
                         (long long)place);
    for (size_t i = 0; i < wire->header_count; i++) {
        const marty_header *header = &wire->headers[i];
        marty__buffer_text(json, i ? ",[" : "[");
        marty__buffer_json(json, header->name, strlen(header->name));
        marty__buffer_byte(json, ',');
        marty__buffer_json(json, header->value.data, header->value.size);
        marty__buffer_byte(json, ']');
    }
    marty__buffer_text(json, "],\"data\":\"");
    add_base64(json, wire->data);
    marty__buffer_text(json, "\"}");
}

static int add_letter(struct sq_ask *ask, const sq_row *row)
{
    marty_message *message = NULL, *wire = NULL;
    marty_err err = marty__sq_row_read(&message, NULL, row->body, row->size, &ask->why);
    err = err ? err : marty_message_encode(&wire, message, MARTY_BINARY, "ce-", &ask->why);
    if (!err) {
        add_wire(&ask->json, marty__sq_place_of(row->id), wire);
    }
    marty_message_unref(wire);
    marty_message_unref(message);
    ask->err = err;
    return err == MARTY_E_NO_MEMORY ? SQLITE_NOMEM : SQLITE_OK;
}

static int add_letters(marty_port *port, struct sq_ask *ask, const sq_log *log, int64_t from)
{
    int code;
    uint32_t most = ask->want->credit ? ask->want->credit : LETTERS, count = 0;
    int64_t next = 0;
    sqlite3_stmt *rows =
        marty__sq_statement(&port->db, SQ_MESSAGE_RANGE, marty__sq_table_of(from), &code);
    code =
        code ? code
             : marty__sq_bind(rows, SQ_I(from, marty__sq_first_of(log->id + 1), (int64_t)most + 1));
    while (!code && !ask->err && !next && (code = marty__sq_step(&port->db, rows)) == SQLITE_ROW) {
        sq_row row;
        marty__sq_row_columns(rows, &row);
        code = SQLITE_OK;
        if (count == most || ask->json.size > LETTER_BYTES) {
            next = marty__sq_place_of(row.id);
        } else {
            code = add_letter(ask, &row);
            count++;
        }
    }
    if (rows) {
        (void)sqlite3_reset(rows);
    }
    if (next) {
        marty__buffer_format(&ask->json, "],\"next\":\"%lld\"}", (long long)next);
    } else {
        marty__buffer_text(&ask->json, "],\"next\":null}");
    }
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

int marty__sq_ask_browse(marty_port *port, struct sq_ask *ask)
{
    char name[300];
    sq_channel channel;
    sq_log *log = NULL;
    bool found = false;
    int64_t from = 0;
    int code = find_dead(port, ask, &channel, name, &found);
    if (code || !found) {
        return code;
    }
    code = marty__sq_log_load(port, channel.first_log, &log);
    code = code || !log ? code : start_of(port, ask, log, &from);
    marty__buffer_text(&ask->json, "{\"letters\":[");
    return code || !log || ask->err ? code : add_letters(port, ask, log, from);
}

/* What is erased may come again: its name is forgotten, too. */
static int forget(marty_port *port, const sq_channel *channel, const sq_row *row)
{
    marty_error why;
    marty_message *message = NULL;
    int64_t id[3];
    if (marty__sq_row_read(&message, NULL, row->body, row->size, &why)) {
        return SQLITE_OK; /* damaged: it had no id */
    }
    marty__sq_seen_name(channel, NULL, message, id);
    marty_message_unref(message);
    return marty__sq_seen_forget(port, id);
}

int marty__sq_ask_erase(marty_port *port, struct sq_ask *ask)
{
    char name[300];
    sq_channel channel;
    bool found = false;
    int code = find_dead(port, ask, &channel, name, &found);
    if (code || !found) {
        return code;
    }
    int64_t message = marty__sq_position_read(ask->want->start.position, channel.first_log);
    uint32_t bytes = 0;
    found = false;
    if (marty__sq_log_of(message) == channel.first_log) {
        sq_row row;
        sqlite3_stmt *get =
            marty__sq_statement(&port->db, SQ_MESSAGE_GET, marty__sq_table_of(message), &code);
        code = code ? code : marty__sq_bind(get, SQ_I(message));
        code = code ? code : marty__sq_step(&port->db, get);
        found = code == SQLITE_ROW;
        if (found) {
            marty__sq_row_columns(get, &row);
            bytes = (uint32_t)row.size;
            code = forget(port, &channel, &row);
        }
        (void)sqlite3_reset(get);
        code = code == SQLITE_DONE ? SQLITE_OK : code;
    }
    if (code || !found) {
        ask->err = marty_error_set(
            &ask->why, MARTY_E_NOT_FOUND, "there is no dead letter at \"%.48s\" of %s",
            ask->want->start.position ? ask->want->start.position : "", ask->want->channel.name);
        return code;
    }
    marty__buffer_text(&ask->json, "{\"erased\":1}");
    return marty__sq_log_remove(port, &message, &bytes, 1);
}
