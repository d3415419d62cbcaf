/* SPDX-License-Identifier: Apache-2.0
 * The frames of a NATS server: "MSG subject sid [reply] size", "HMSG subject sid [reply] headers
 * size", PING, -ERR and lines of no concern. Pure. */
#include "frames.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* No server carries more than 64 MiB in a message: one that says so is not waited for. */
enum { LINE_MAX_SIZE = 1 << 20, MESSAGE_MAX_SIZE = 64 << 20, WORDS = 6 };

typedef struct word {
    char *text;
    size_t size;
} word;

/* Words of a line, at blanks; more than there is room for are counted only. */
static size_t split(char *line, char *end, word *words)
{
    size_t count = 0;
    while (line < end) {
        while (line < end && (*line == ' ' || *line == '\t')) {
            line++;
        }
        char *start = line;
        while (line < end && *line != ' ' && *line != '\t') {
            line++;
        }
        if (line > start) {
            if (count < WORDS) {
                words[count] = (word){start, (size_t)(line - start)};
            }
            count++;
        }
    }
    return count;
}

static bool number_of(const word *from, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (size_t i = 0; i < from->size; i++) {
        char digit = from->text[i];
        if (digit < '0' || digit > '9' || value > max) {
            return false;
        }
        value = value * 10 + (uint64_t)(digit - '0');
    }
    *ret_value = value;
    return from->size > 0 && value <= max;
}

/* The block of headers: a status line, lines, an empty line. False: it is none. */
static bool read_block(nats__message *message, char *block, size_t size)
{
    static const char version[] = "NATS/1.0";
    char *stop = memchr(block, '\r', size);
    if (size < sizeof version + 3 || memcmp(block, version, sizeof version - 1) != 0 || !stop ||
        (size_t)(stop - block) + 4 > size || memcmp(block + size - 2, "\r\n", 2) != 0) {
        return false;
    }
    *stop = '\0';
    const char *at = block + sizeof version - 1;
    at += strspn(at, " ");
    for (; *at >= '0' && *at <= '9' && message->status < 1000; at++) {
        message->status = message->status * 10 + (*at - '0');
    }
    message->told = at + strspn(at, " ");
    message->lines = stop + 2;
    message->lines_size = size - (size_t)(stop + 2 - block) - 2;
    return true;
}

/* words: behind the verb. body: behind the line. */
static nats__frame_kind read_message(word *words, size_t count, bool headers, char *body,
                                     size_t line_size, size_t size, nats__frame *frame)
{
    size_t numbers = headers ? 2 : 1;
    uint64_t total = 0, block = 0;
    bool good = (count == 2 + numbers || count == 3 + numbers) &&
                number_of(&words[1], UINT64_MAX / 16, &frame->sid) &&
                number_of(&words[count - 1], MESSAGE_MAX_SIZE, &total) &&
                (!headers || number_of(&words[count - 2], total, &block));
    if (!good) {
        return NATS__FRAME_BAD;
    }
    frame->size = line_size + (size_t)total + 2;
    if (size < frame->size) {
        return NATS__FRAME_PART;
    }
    if (memcmp(body + total, "\r\n", 2) != 0) {
        return NATS__FRAME_BAD;
    }
    nats__message *message = &frame->message;
    *message = (nats__message){.subject = words[0].text,
                               .reply = count == 3 + numbers ? words[2].text : NULL,
                               .data = body + block,
                               .size = (size_t)(total - block),
                               .told = ""};
    words[0].text[words[0].size] = '\0';
    if (message->reply) {
        words[2].text[words[2].size] = '\0';
    }
    return !headers || read_block(message, body, (size_t)block) ? NATS__FRAME_MESSAGE
                                                                : NATS__FRAME_BAD;
}

static bool is_verb(const word *from, const char *verb)
{
    return from->size == strlen(verb) && strncasecmp(from->text, verb, from->size) == 0;
}

nats__frame_kind nats__frame_read(char *data, size_t size, nats__frame *ret_frame)
{
    word words[WORDS];
    char *newline = memchr(data, '\n', size);
    ret_frame->size = 0;
    if (!newline) {
        return size > LINE_MAX_SIZE ? NATS__FRAME_BAD : NATS__FRAME_PART;
    }
    char *end = newline > data && newline[-1] == '\r' ? newline - 1 : newline;
    size_t line_size = (size_t)(newline + 1 - data), count = split(data, end, words);
    ret_frame->size = line_size;
    if (count == 0) {
        return NATS__FRAME_BAD;
    }
    bool headers = is_verb(&words[0], "HMSG");
    if (headers || is_verb(&words[0], "MSG")) {
        return count > WORDS ? NATS__FRAME_BAD
                             : read_message(words + 1, count - 1, headers, newline + 1, line_size,
                                            size, ret_frame);
    }
    if (is_verb(&words[0], "-ERR")) {
        *end = '\0';
        ret_frame->text = count > 1 ? words[1].text : "";
        return NATS__FRAME_ERROR;
    }
    if (is_verb(&words[0], "PING")) {
        return NATS__FRAME_PING;
    }
    return is_verb(&words[0], "PONG") || is_verb(&words[0], "+OK") || is_verb(&words[0], "INFO")
               ? NATS__FRAME_OTHER
               : NATS__FRAME_BAD;
}

const char *nats__line_of(const nats__message *message, const char *name)
{
    size_t name_size = strlen(name);
    const char *at = message->lines, *end = at + message->lines_size;
    while (at && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline) {
            return NULL;
        }
        if ((size_t)(newline - at) > name_size && at[name_size] == ':' &&
            strncasecmp(at, name, name_size) == 0) {
            at += name_size + 1;
            return at + strspn(at, " ");
        }
        at = newline + 1;
    }
    return NULL;
}
