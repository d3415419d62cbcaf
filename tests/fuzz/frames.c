/* SPDX-License-Identifier: Apache-2.0
 * What a NATS server sends: however the bytes are cut by the network, the same frames come out, and
 * all that they point to lies inside of what was read. */
#include "src/backends/nats/frames.h"

#include "tests/fuzz/fuzz.h"

static bool inside(const char *start, size_t size, const char *part, size_t part_size)
{
    return part >= start && part_size <= size && (size_t)(part - start) <= size - part_size;
}

static void check_message(const char *data, const nats__frame *frame)
{
    const nats__message *message = &frame->message;
    FUZZ_CHECK(inside(data, frame->size, message->subject, strlen(message->subject) + 1));
    FUZZ_CHECK(!message->reply ||
               inside(data, frame->size, message->reply, strlen(message->reply) + 1));
    FUZZ_CHECK(inside(data, frame->size, message->data, message->size));
    FUZZ_CHECK(message->lines_size == 0 ||
               inside(data, frame->size, message->lines, message->lines_size));
    FUZZ_CHECK(message->lines_size == 0 ||
               memcmp(message->lines + message->lines_size, "\r\n", 2) == 0);
    const char *value = nats__line_of(message, "Nats-Pending-Messages");
    FUZZ_CHECK(!value || inside(message->lines, message->lines_size, value, 1));
}

/* A number for all frames up to the first part or bad one; cut: so much of each frame is shown
 * first. */
static uint64_t read_all(const uint8_t *from, size_t size, size_t cut)
{
    char *data = malloc(size + 1);
    uint64_t sum = 1469598103934665603u;
    size_t used = 0;
    FUZZ_CHECK(data);
    memcpy(data, from, size);
    for (;;) {
        nats__frame frame = {0};
        size_t left = size - used;
        nats__frame_kind kind = NATS__FRAME_PART;
        if (cut < left) {
            kind = nats__frame_read(data + used, cut, &frame);
            FUZZ_CHECK(kind == NATS__FRAME_PART || frame.size <= cut || kind == NATS__FRAME_BAD);
        }
        if (kind == NATS__FRAME_PART) {
            kind = nats__frame_read(data + used, left, &frame);
        }
        sum = (sum ^ (uint64_t)kind ^ frame.size << 8) * 1099511628211u;
        if (kind == NATS__FRAME_PART || kind == NATS__FRAME_BAD) {
            break;
        }
        FUZZ_CHECK(frame.size > 0 && frame.size <= left);
        if (kind == NATS__FRAME_MESSAGE) {
            check_message(data + used, &frame);
            sum = (sum ^ frame.sid ^ (uint64_t)frame.message.status << 32) * 1099511628211u;
        }
        used += frame.size;
    }
    free(data);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t whole = read_all(data, size, SIZE_MAX);
    for (size_t cut = 1; cut < size && cut < 64; cut += 1 + cut / 4) {
        FUZZ_CHECK(read_all(data, size, cut) == whole);
    }
    return 0;
}
