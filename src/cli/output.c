/* SPDX-License-Identifier: Apache-2.0
 * Results on stdout: rows as a table, a JSON array, JSON lines or bare cells, and endless streams
 * of lines. Main thread, except cli_line, whose callers take turns by a lock of their own. */
#include "cli.h"

#include <errno.h>
#include <marty/adapter.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

void cli_output_begin(cli_run *cli)
{
    cli_output *out = &cli->out;
    const char *format = cli_string(cli, "output", NULL),
               *colour = cli_string(cli, "color", "auto");
    const char *no_colour = getenv("NO_COLOR");
    bool tty = isatty(STDOUT_FILENO);
    static const struct {
        const char *name;
        cli_format format;
    } formats[] = {
        {"table", CLI_TABLE}, {"json", CLI_JSON}, {"jsonl", CLI_JSONL}, {"raw", CLI_RAW}};
    size_t i;
    out->format = tty ? CLI_TABLE : CLI_JSONL;
    for (i = 0; format && i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(format, formats[i].name) == 0) {
            out->format = formats[i].format;
        }
    }
    out->quiet = cli_set(cli, "quiet");
    out->verbose = cli_set(cli, "verbose");
    out->narrate_tty = isatty(STDERR_FILENO);
    out->colour =
        strcmp(colour, "always") == 0 ||
        (strcmp(colour, "auto") == 0 && tty && out->narrate_tty && !(no_colour && no_colour[0]));
}

void cli_rows_begin(cli_run *cli, const cli_column *columns, size_t count, bool single)
{
    cli->out.columns = columns;
    cli->out.column_count = count;
    cli->out.row_count = 0;
    cli->out.single = single;
    cli->out.rows = json_array();
}

static const json_t *path_get(const json_t *row, const char *field)
{
    const char *dot = strchr(field, '.');
    if (dot) {
        char first[64];
        (void)snprintf(first, sizeof first, "%.*s", (int)(dot - field), field);
        return path_get(json_object_get(row, first), dot + 1);
    }
    return json_object_get(row, field);
}

static void cell_put(cli_text *text, const json_t *value)
{
    size_t i;
    char *json;
    if (json_is_string(value)) {
        cli_text_safe(text, json_string_value(value), json_string_length(value));
    } else if (json_is_boolean(value)) {
        cli_text_put(text, json_is_true(value) ? "yes" : "no");
    } else if (json_is_integer(value)) {
        cli_text_format(text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        cli_text_format(text, "%.6g", json_real_value(value));
    } else if (json_is_array(value)) {
        for (i = 0; i < json_array_size(value); i++) {
            cli_text_put(text, i ? ", " : "");
            cell_put(text, json_array_get(value, i));
        }
    } else if (json_is_object(value)) {
        json = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(6));
        cli_text_put(text, json ? json : "");
        free(json);
    }
}

char *cli_cell(const json_t *row, const char *field)
{
    cli_text text = {0};
    cell_put(&text, path_get(row, field));
    if (text.size == 0) {
        cli_text_put(&text, "-");
    }
    return text.data;
}

static void write_out(cli_run *cli, const char *data, size_t size)
{
    if (!cli->out.broken && fwrite(data, 1, size, stdout) != size) {
        cli->out.write_errno = errno;
        cli->out.broken = true;
    }
}

static void row_raw(cli_run *cli, const json_t *row)
{
    size_t i;
    for (i = 0; i < cli->out.column_count; i++) {
        char *cell = cli_cell(row, cli->out.columns[i].field);
        write_out(cli, "\t", i ? 1 : 0);
        write_out(cli, cell, strlen(cell));
        marty_free(cell);
    }
    write_out(cli, "\n", 1);
}

void cli_row(cli_run *cli, json_t *row)
{
    cli->out.row_count++;
    if (cli->out.format == CLI_JSONL) {
        char *json = json_dumps(row, JSON_COMPACT | JSON_REAL_PRECISION(9));
        if (json) {
            write_out(cli, json, strlen(json));
            write_out(cli, "\n", 1);
        }
        free(json);
        json_decref(row);
    } else if (cli->out.format == CLI_RAW) {
        row_raw(cli, row);
        json_decref(row);
    } else if (json_array_append_new(cli->out.rows, row) != 0) {
        cli_broken("a row that is no JSON value");
    }
}

/* Characters, as far as counting code points tells. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

static size_t terminal_width(void)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_col) {
        return SIZE_MAX;
    }
    return size.ws_col;
}

/* One cell, padded; the last column is cut to what is left of the line. */
static void cell_print(cli_text *line, const char *cell, size_t width, bool right, size_t room)
{
    size_t own = width_of(cell), at = 0;
    if (right && own < width) {
        cli_text_format(line, "%*s", (int)(width - own), "");
    }
    if (own <= room) {
        cli_text_put(line, cell);
    } else {
        while (room > 1 && cell[at]) {
            size_t length = cli_utf8_next(cell + at, strlen(cell + at));
            at += length ? length : 1;
            room--;
        }
        cli_text_add(line, cell, at);
        cli_text_put(line, "\xe2\x80\xa6");
    }
    if (!right && own < width) {
        cli_text_format(line, "%*s", (int)(width - own), "");
    }
}

static void table_line(cli_run *cli, const json_t *row, const size_t *widths)
{
    const cli_output *out = &cli->out;
    size_t room = terminal_width(), i;
    cli_text line = {0};
    for (i = 0; i < out->column_count; i++) {
        const cli_column *column = &out->columns[i];
        bool last = i + 1 == out->column_count;
        char *cell = row ? cli_cell(row, column->field) : cli_strdup(column->title);
        cli_text_put(&line, i ? "  " : "");
        cell_print(&line, cell, last && !column->right ? 0 : widths[i], column->right,
                   last ? room : SIZE_MAX);
        room = room > widths[i] + 2 + 8 ? room - widths[i] - 2 : 8;
        marty_free(cell);
    }
    if (row) {
        write_out(cli, line.data, line.size);
    } else {
        cli_text title = {0};
        cli_text_colour(cli, &title, "1", line.data);
        write_out(cli, title.data, title.size);
        cli_text_free(&title);
    }
    write_out(cli, "\n", 1);
    cli_text_free(&line);
}

static void table_print(cli_run *cli)
{
    size_t *widths = cli_alloc((cli->out.column_count + 1) * sizeof *widths), i, r;
    for (i = 0; i < cli->out.column_count; i++) {
        widths[i] = width_of(cli->out.columns[i].title);
        for (r = 0; r < json_array_size(cli->out.rows); r++) {
            char *cell = cli_cell(json_array_get(cli->out.rows, r), cli->out.columns[i].field);
            size_t width = width_of(cell);
            widths[i] = width > widths[i] ? width : widths[i];
            marty_free(cell);
        }
    }
    table_line(cli, NULL, widths);
    for (r = 0; r < json_array_size(cli->out.rows); r++) {
        table_line(cli, json_array_get(cli->out.rows, r), widths);
    }
    marty_free(widths);
}

void cli_rows_end(cli_run *cli, const char *none)
{
    cli_output *out = &cli->out;
    if (out->format == CLI_JSON) {
        const json_t *shown = out->single ? json_array_get(out->rows, 0) : out->rows;
        char *json = shown ? json_dumps(shown, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
        if (json) {
            write_out(cli, json, strlen(json));
            write_out(cli, "\n", 1);
        }
        free(json);
    } else if (out->format == CLI_TABLE && json_array_size(out->rows)) {
        table_print(cli);
    }
    if (out->row_count == 0 && none) {
        cli_say(cli, "%s", none);
    }
    json_decref(out->rows);
    out->rows = NULL;
}

void cli_flush(cli_run *cli)
{
    if (!cli->out.broken && fflush(stdout) != 0) {
        cli->out.write_errno = errno;
        cli->out.broken = true;
    }
}

void cli_lines_begin(cli_run *cli)
{
    cli->out.row_count = 0;
    if (cli->out.format == CLI_JSON) {
        write_out(cli, "[\n", 2);
        cli_flush(cli);
    }
}

bool cli_line(cli_run *cli, const char *json, size_t size)
{
    cli_output *out = &cli->out;
    if (out->format == CLI_JSON) {
        write_out(cli, out->row_count ? "," : " ", 1);
    }
    write_out(cli, json, size);
    write_out(cli, "\n", 1);
    out->row_count++;
    cli_flush(cli);
    return !out->broken;
}

void cli_lines_end(cli_run *cli)
{
    if (cli->out.format == CLI_JSON) {
        write_out(cli, "]\n", 2);
    }
}
