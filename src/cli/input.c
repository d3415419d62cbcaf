/* SPDX-License-Identifier: Apache-2.0
 * Reading stdin: all of it as one message, or line by line without waiting for more lines than
 * there are, so that `tail -f log | marty pub` publishes each line as it comes. */
#include "message.h"

#include <errno.h>
#include <marty/adapter.h>
#include <poll.h>
#include <unistd.h>

int cli_input_all(const cli_run *cli, cli_text *ret_text, bool exact)
{
    char bytes[16384];
    ssize_t got;
    if (isatty(STDIN_FILENO)) {
        cli_say(cli, "reading the message from the terminal; end it with Ctrl-D");
    }
    cli_text_add(ret_text, "", 0);
    do {
        got = read(STDIN_FILENO, bytes, sizeof bytes);
        if (got > 0) {
            cli_text_add(ret_text, bytes, (size_t)got);
        }
        if (ret_text->size > CLI_INPUT_MAX) {
            return cli_failf(cli, MARTY_E_TOO_LARGE,
                             "stdin: over %d bytes; publish a reference instead", CLI_INPUT_MAX);
        }
    } while (got > 0 || (got < 0 && errno == EINTR));
    if (got < 0) {
        return cli_failf(cli, MARTY_E_STORAGE, "stdin: %s", strerror(errno));
    }
    if (!exact && ret_text->size && ret_text->data[ret_text->size - 1] == '\n' &&
        cli_utf8_valid(ret_text->data, ret_text->size)) {
        ret_text->size--;
        if (ret_text->size && ret_text->data[ret_text->size - 1] == '\r') {
            ret_text->size--;
        }
        ret_text->data[ret_text->size] = '\0';
    }
    return CLI_OK;
}

/* More bytes; false at the end, or when it shall not wait and there are none. */
static bool fill(cli_lines *lines, bool wait)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    ssize_t got;
    if (lines->end || (!wait && poll(&in, 1, 0) <= 0)) {
        return false;
    }
    if (lines->at) {
        memmove(lines->data, lines->data + lines->at, lines->size - lines->at);
        lines->size -= lines->at;
        lines->at = 0;
    }
    if (lines->size + 65536 > lines->room) {
        lines->room = lines->room * 2 + 65536;
        lines->data = cli_realloc(lines->data, lines->room);
    }
    do {
        got = read(STDIN_FILENO, lines->data + lines->size, lines->room - lines->size);
    } while (got < 0 && errno == EINTR);
    lines->failed = got < 0 || lines->size > CLI_INPUT_MAX;
    lines->end = got <= 0 || lines->failed;
    lines->size += got > 0 ? (size_t)got : 0;
    return got > 0;
}

cli_next_line cli_lines_next(cli_lines *lines, const char **ret_line, size_t *ret_size, bool wait)
{
    for (;;) {
        size_t left = lines->size - lines->at;
        const char *from = left ? lines->data + lines->at : "";
        const char *end = memchr(from + lines->seen, '\n', left - lines->seen);
        lines->seen = left;
        if (end || (lines->end && !lines->failed && left)) {
            size_t length = end ? (size_t)(end - from) : left;
            lines->at += length + (end ? 1 : 0);
            lines->seen = 0;
            *ret_line = from;
            *ret_size = length && from[length - 1] == '\r' ? length - 1 : length;
            return CLI_LINE;
        }
        if (lines->end) {
            return CLI_LINE_END;
        }
        if (!fill(lines, wait) && !lines->end) {
            return CLI_LINE_LATER;
        }
    }
}

int cli_lines_close(const cli_run *cli, cli_lines *lines)
{
    bool failed = lines->failed, large = lines->size > CLI_INPUT_MAX;
    marty_free(lines->data);
    memset(lines, 0, sizeof *lines);
    return !failed ? CLI_OK
           : large
               ? cli_failf(cli, MARTY_E_TOO_LARGE, "stdin: a line of over %d bytes", CLI_INPUT_MAX)
               : cli_failf(cli, MARTY_E_STORAGE, "stdin: cannot be read");
}
