/* SPDX-License-Identifier: Apache-2.0
 * marty dlq ls and show: look at dead letters, and change nothing. */
#include "letters.h"

#include <marty/adapter.h>
#include <stdlib.h>

typedef struct looking {
    cli_run *cli;
    cli_letters letters;
    uint64_t found;
    bool whole; /* show the message, too */
} looking;

/* As it was sent: what dying has added is in the row. */
static void message_json(cli_text *text, const marty_message *message)
{
    marty_message shown = *message;
    marty_header *headers = cli_alloc((message->header_count + 1) * sizeof *headers);
    size_t i;
    shown.headers = headers;
    shown.header_count = 0;
    for (i = 0; i < message->header_count; i++) {
        if (strncmp(message->headers[i].name, "martydead", 9) != 0) {
            headers[shown.header_count++] = message->headers[i];
        }
    }
    cli_message_json(text, &shown, NULL, false);
    marty_free(headers);
}

/* The letter with its message and its bytes, as lines of text or as JSON. */
static void show_whole(cli_run *cli, json_t *row, const marty_dead_letter *letter)
{
    cli_text message = {0};
    const char *key;
    json_t *value;
    if (letter->message) {
        message_json(&message, letter->message);
    } else {
        cli_text_put(&message, "{\"data_base64\":\"");
        cli_text_base64(&message, letter->raw.data, letter->raw.size);
        cli_text_put(&message, "\"}");
    }
    if (cli->out.format == CLI_TABLE) {
        json_object_foreach(row, key, value)
        {
            char *cell = cli_cell(row, key);
            (void)printf("%-14s %s\n", key, cell);
            marty_free(cell);
        }
        (void)printf("%-14s %s\n\n", "message", message.data);
    } else if (cli->out.format == CLI_RAW) {
        const marty_message *inner = letter->message;
        (void)cli_line(cli, inner ? inner->data.data : letter->raw.data,
                       inner ? inner->data.size : letter->raw.size);
    } else {
        char *head = json_dumps(row, JSON_COMPACT);
        cli_text line = {0};
        cli_text_add(&line, head, head ? strlen(head) - 1 : 0); /* its end, the message, the end */
        cli_text_format(&line, ",\"message\":%s}", message.data);
        (void)cli_line(cli, line.data, line.size);
        cli_text_free(&line);
        free(head);
    }
    cli_text_free(&message);
    json_decref(row);
}

static marty_dead_verb look(void *user, const marty_dead_letter *letter, marty_message *instead)
{
    looking *state = user;
    json_t *row = cli_letter_row(letter);
    (void)instead;
    if (!cli_letter_meant(&state->letters, row)) {
        json_decref(row);
        return MARTY_DEAD_LEAVE;
    }
    state->found++;
    if (state->whole) {
        show_whole(state->cli, row, letter);
    } else {
        cli_row(state->cli, row);
    }
    return state->letters.limit && state->found >= state->letters.limit ? MARTY_DEAD_STOP
                                                                        : MARTY_DEAD_LEAVE;
}

static int walk(cli_run *cli, bool whole)
{
    looking state = {.cli = cli, .whole = whole};
    marty_bus *bus = NULL;
    marty_error why = {0};
    marty_err err;
    int code = cli_letters_make(cli, 0, &state.letters);
    if (!whole && !code && state.letters.id_count) {
        state.letters.channel = cli_argument(cli, 0); /* dlq ls CHANNEL */
        state.letters.id_count = 0;
    }
    code = code ? code : cli_bus_open(cli, &bus, false, false);
    code = code ? code : cli_letters_find(cli, bus, &state.letters);
    if (!code) {
        if (whole) {
            cli_lines_begin(cli);
        } else {
            cli_rows_begin(cli, cli_letter_columns, CLI_LETTER_COLUMNS, false);
        }
        err = cli_letters_walk(bus, &state.letters, look, &state, &why);
        if (whole) {
            cli_lines_end(cli);
        } else {
            cli_rows_end(cli, err ? NULL : "no dead letters");
        }
        code = err ? cli_fail(cli, err, &why) : CLI_OK;
        if (!code && whole && !state.found) {
            code = cli_failf(cli, MARTY_E_NOT_FOUND, "no dead letter \"%s\": marty dlq ls",
                             cli_argument(cli, 0));
        }
    }
    cli_letters_free(&state.letters);
    return cli_bus_close(cli, bus, code);
}

static int ls(cli_run *cli)
{
    return walk(cli, false);
}

static int show(cli_run *cli)
{
    return walk(cli, true);
}

const cli_verb cli_verb_dlq_ls = {
    .name = "dlq ls",
    .arguments = "[CHANNEL]",
    .summary = "list the dead letters",
    .text = "A message becomes a dead letter when its attempts are used up, when its handler "
            "rejects it, or when nobody can read it. CHANNEL is where it came from "
            "(events.order); without it the letters of all channels are listed, oldest first.",
    .examples =
        "marty dlq ls\nmarty dlq ls events.order --where \"code = MARTY_E_TIMEOUT\" -o json",
    .tables = {cli_flags_letters, cli_flags_bus, cli_flags_common},
    .run = ls,
    .argument_max = 1,
};
const cli_verb cli_verb_dlq_show = {
    .name = "dlq show",
    .arguments = "ID...",
    .summary = "show dead letters whole: cause, origin, headers and data",
    .text = "ID is the message's, or its beginning (four characters or more) when no other begins "
            "so; #POSITION names an unreadable one, which has no id.",
    .examples = "marty dlq show 01JA2B3C\nmarty dlq show 01JA2B3C -o raw > body",
    .tables = {cli_flags_letters, cli_flags_bus, cli_flags_common},
    .run = show,
    .argument_min = 1,
    .argument_max = -1,
};
