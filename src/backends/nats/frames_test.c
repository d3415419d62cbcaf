/* SPDX-License-Identifier: Apache-2.0
 * Frames of a server: whole ones, parts of them, and what is none. */
#include "frames.h"

#include "tests/check.h"

static char bytes[8192];

static nats__frame_kind read_text(const char *text, nats__frame *frame)
{
    size_t size = strlen(text);
    memcpy(bytes, text, size);
    memset(frame, 0, sizeof *frame);
    return nats__frame_read(bytes, size, frame);
}

static void a_message_has_its_words_and_its_data(void)
{
    nats__frame frame;
    CHECK_INT(read_text("MSG a.b 9 5\r\nhello\r\nPING\r\n", &frame), NATS__FRAME_MESSAGE);
    CHECK_INT(frame.size, 20);
    CHECK_INT(frame.sid, 9);
    CHECK_TEXT(frame.message.subject, "a.b");
    CHECK(frame.message.reply == NULL);
    CHECK_INT(frame.message.status, 0);
    CHECK_INT(frame.message.lines_size, 0);
    CHECK_BYTES(frame.message.data, frame.message.size, "hello", 5);
    CHECK_INT(read_text("MSG a.b 12 _INBOX.1 0\r\n\r\n", &frame), NATS__FRAME_MESSAGE);
    CHECK_TEXT(frame.message.reply, "_INBOX.1");
    CHECK_INT(frame.message.size, 0);
    CHECK_INT(read_text("msg  a.b\t12   3 \r\nx\r\n\r\n", &frame), NATS__FRAME_MESSAGE);
    CHECK_BYTES(frame.message.data, frame.message.size, "x\r\n", 3);
}

static void header_lines_stand_behind_the_status(void)
{
    nats__frame frame;
    CHECK_INT(read_text("HMSG s 1 r 27 29\r\nNATS/1.0\r\nA: one\r\nB:two\r\n\r\nhi\r\n", &frame),
              NATS__FRAME_MESSAGE);
    CHECK_INT(frame.message.status, 0);
    CHECK_TEXT(frame.message.told, "");
    CHECK_BYTES(frame.message.lines, frame.message.lines_size, "A: one\r\nB:two\r\n", 15);
    CHECK_BYTES(frame.message.data, frame.message.size, "hi", 2);
    const char *one = nats__line_of(&frame.message, "a");
    CHECK(one && strncmp(one, "one\r", 4) == 0);
    const char *two = nats__line_of(&frame.message, "B");
    CHECK(two && strncmp(two, "two\r", 4) == 0);
    CHECK(!nats__line_of(&frame.message, "C"));
    CHECK_INT(read_text("HMSG s 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", &frame), NATS__FRAME_MESSAGE);
    CHECK_INT(frame.message.status, 503);
    CHECK_INT(frame.message.size, 0);
    CHECK_INT(read_text("HMSG s 1 58 58\r\nNATS/1.0 409 Batch Completed\r\n"
                        "Nats-Pending-Messages: 3\r\n\r\n\r\n",
                        &frame),
              NATS__FRAME_MESSAGE);
    CHECK_INT(frame.message.status, 409);
    CHECK_TEXT(frame.message.told, "Batch Completed");
    const char *left = nats__line_of(&frame.message, "Nats-Pending-Messages");
    CHECK(left && *left == '3');
}

static void a_part_says_how_much_it_wants(void)
{
    static const char whole[] = "HMSG s 1 r 20 24\r\nNATS/1.0\r\nA: one\r\n\r\nabcd\r\n";
    for (size_t size = 0; size + 1 < sizeof whole; size++) {
        nats__frame frame;
        memcpy(bytes, whole, sizeof whole);
        CHECK_INT(nats__frame_read(bytes, size, &frame), NATS__FRAME_PART);
        CHECK_INT(frame.size, size < 18 ? 0 : (int64_t)sizeof whole - 1);
        CHECK_BYTES(bytes, sizeof whole, whole, sizeof whole);
    }
}

static void other_lines_are_told_apart(void)
{
    nats__frame frame;
    CHECK_INT(read_text("PING\r\nMSG", &frame), NATS__FRAME_PING);
    CHECK_INT(frame.size, 6);
    CHECK_INT(read_text("PONG\r\n", &frame), NATS__FRAME_OTHER);
    CHECK_INT(read_text("+OK\r\n", &frame), NATS__FRAME_OTHER);
    CHECK_INT(read_text("INFO {\"server_id\":\"x\"} \r\n", &frame), NATS__FRAME_OTHER);
    CHECK_INT(read_text("-ERR 'Stale Connection'\r\n", &frame), NATS__FRAME_ERROR);
    CHECK_TEXT(frame.text, "'Stale Connection'");
    CHECK_INT(read_text("-ERR\r\n", &frame), NATS__FRAME_ERROR);
    CHECK_TEXT(frame.text, "");
}

static void what_is_no_frame_is_refused(void)
{
    static const char *const bad[] = {
        "\r\n",
        "HELLO\r\n",
        "MSG\r\n",
        "MSG a\r\n",
        "MSG a 1\r\n",
        "MSG a x 1\r\nb\r\n",
        "MSG a 1 r s 1\r\nb\r\n",
        "MSG a 1 -1\r\nb\r\n",
        "MSG a 1 99999999999\r\nb\r\n",
        "MSG a 1 67108865\r\nb\r\n",
        "MSG a 1 1\r\nbcd\r\n",
        "HMSG a 1 3\r\nabc\r\n",
        "HMSG a 1 14 13\r\nNATS/1.0\r\n\r\nx\r\n",
        "HMSG a 1 12 12\r\nNUTS/1.0\r\n\r\n\r\n",
        "HMSG a 1 12 12\r\nNATS/1.0\r\nxx\r\n",
        "HMSG a 1 10 10\r\nNATS/1.0\r\n\r\n",
        "HMSG a 1 99999999999999999999 99999999999999999999\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        nats__frame frame;
        CHECK_INT(read_text(bad[i], &frame), NATS__FRAME_BAD);
    }
}

int main(void)
{
    a_message_has_its_words_and_its_data();
    header_lines_stand_behind_the_status();
    a_part_says_how_much_it_wants();
    other_lines_are_told_apart();
    what_is_no_frame_is_refused();
    return check_result();
}
