/* SPDX-License-Identifier: Apache-2.0
 * Messages in and out: a template from flags, a message as JSON, as a line on a terminal, or as its
 * bytes. The JSON is the same in every verb and in `marty peer`. */
#ifndef MARTY_CLI_MESSAGE_H
#define MARTY_CLI_MESSAGE_H
#include "cli.h"

typedef struct cli_template {
    marty_message message;
    marty_header *headers;
    char **strings; /* what headers borrow */
    size_t string_count;
} cli_template;

/** From the flags of cli_flags_message; CLI_OK, or CLI_USAGE after it is said. */
int cli_template_make(const cli_run *cli, cli_template *ret_template);
/** Data (borrowed), and a content type that says what it is unless one is given. */
void cli_template_data(cli_template *template_, marty_bytes data);
void cli_template_free(cli_template *template_);
/** A header or attribute more; strings are copied. */
void cli_template_header(cli_template *template_, const char *name, const char *value, size_t size,
                         marty_header_kind kind);

/** Whether a content type (NULL = the default) is JSON. */
bool cli_is_json_type(const char *content_type);
/** Append JSON text without the space between its tokens, every digit as it is; false (nothing
 * appended) when it is no JSON. */
bool cli_text_json_value(cli_text *text, const char *json, size_t size);
/** Append a message as a JSON object, with what the delivery says when there is one. exact: data
 * always as base64. */
void cli_message_json(cli_text *text, const marty_message *message, const marty_delivery *delivery,
                      bool exact);
/** Append the fields of a delivery to an object that is begun. */
void cli_delivery_json(cli_text *text, const marty_delivery *delivery);
/** Show one message on stdout in the format asked for; false when nobody reads any more. */
bool cli_message_show(cli_run *cli, const marty_message *message, const marty_delivery *delivery);

/** Let the user edit the data in VISUAL or EDITOR. False: nothing was changed, or the editor
 * failed, which is said. */
bool cli_edit(const cli_run *cli, const marty_message *message, cli_text *ret_data);

/* ---- words for numbers */
const char *cli_level_name(marty_level level);
const char *cli_pattern_name(marty_pattern pattern);

/* ---- input.c: stdin */
enum { CLI_INPUT_MAX = 256 << 20 };
/** All of stdin; one line end at the end of text is taken off unless exact. CLI_OK, or an exit code
 * after it is said. */
int cli_input_all(const cli_run *cli, cli_text *ret_text, bool exact);
typedef struct cli_lines {
    char *data;
    size_t size, room, at, seen; /* seen: behind `at`, without the end of a line */
    bool end, failed;            /* failed: it cannot be read, or a line is over CLI_INPUT_MAX */
} cli_lines;
typedef enum cli_next_line {
    CLI_LINE,
    CLI_LINE_LATER, /* only when it shall not wait */
    CLI_LINE_END
} cli_next_line;
/** The next line (no line end, valid until the next call). */
cli_next_line cli_lines_next(cli_lines *lines, const char **ret_line, size_t *ret_size, bool wait);
/** Frees them. CLI_OK, or an exit code after it is said why they did not come to their end. */
int cli_lines_close(const cli_run *cli, cli_lines *lines);

/* ---- publish.c, listen.c, exec.c: what several verbs share */
/** Publish argument `data_at` or stdin, by the flags; the whole of a publishing verb. */
int cli_publish(cli_run *cli, marty_pattern pattern, const char *to, const char *type,
                size_t data_at);
/** Listen to a pattern by the flags; the whole of a listening verb. */
typedef struct cli_listening {
    marty_pattern pattern;
    const char *name, *service; /* service NULL = of the settings */
    marty_handler handle;       /* settles or answers; NULL = ack */
    void *user;
    bool own_group, hide; /* a group of this instance unless --group; do not show what came */
} cli_listening;
int cli_listen(cli_run *cli, const cli_listening *listening);
extern const cli_flag cli_flags_listen[], cli_flags_position[];
/** Run a shell command with data on its stdin and the delivery in MARTY_...; its stdout to
 * ret_output, or ours when NULL. Its exit status, 127 when it cannot run, 128 + signal. */
int cli_exec(const char *command, const marty_delivery *delivery, cli_text *ret_output);
#endif
