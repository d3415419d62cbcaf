/* SPDX-License-Identifier: Apache-2.0
 * A window on one shard of a log: which offsets are delivered, which of them are settled, and how
 * far the group's position may move. For adapters of brokers that keep one number for each shard
 * and group, where our deliveries are settled in any order. Included by <marty/backend.h>. */
#ifndef MARTY_WINDOW_H
#define MARTY_WINDOW_H
#include <marty/marty.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Offsets of one shard, from the lowest that is not settled on. Not locked: one thread at a time.
 *  @since 0.1 @source docs/design/0014-port-tried-on-kafka-and-sqs.md */
typedef struct marty_window marty_window;

/**
 * A window that begins at a position, as the broker has it.
 *
 * @param ret_window Yours to give to marty_window_free.
 * @param position The first offset that is not settled.
 * @param saved What marty_window_save wrote with that position; NULL or unreadable = nothing, and
 *     what was settled above the position comes again. Borrowed.
 * @return MARTY_OK, or there is no window.
 * @errors MARTY_E_NO_MEMORY.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0014-port-tried-on-kafka-and-sqs.md
 */
MARTY_MUST marty_err marty_window_new(marty_window **ret_window, uint64_t position,
                                      const char *saved);

/**
 * Give a window back. Its items are the caller's: take them first (marty_window_each).
 *
 * @param window Yours; NULL is fine.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0014-port-tried-on-kafka-and-sqs.md
 */
MARTY_API void marty_window_free(marty_window *window);

/**
 * An offset that was read, above all that were added before; gaps are fine.
 *
 * @param window The window.
 * @param offset Of the message.
 * @param item Kept for the caller until the offset is taken; not NULL.
 * @param ret_attempts How often it was tried before, as it was saved; 0 = never.
 * @return MARTY_OK, or it is not to be delivered.
 * @errors MARTY_E_EXISTS (settled before the window began, or not above the last: skip it),
 *     MARTY_E_NO_MEMORY.
 * @threads Any, one at a time.
 * @since 0.1
 * @source docs/design/0014-port-tried-on-kafka-and-sqs.md
 */
MARTY_MUST marty_err marty_window_add(marty_window *window, uint64_t offset, void *item,
                                      uint32_t *ret_attempts);

/**
 * The item of an offset that is not settled.
 *
 * @param window The window.
 * @param offset Of the message; only as many low bits of it as are given count.
 * @param bits How many low bits of offset are known, 1 to 64: what a tag has room for.
 * @param ret_offset The whole offset; NULL = not asked.
 * @return The item; NULL when it is settled or was never added.
 * @threads Any, one at a time.
 * @since 0.1
 * @source docs/design/0014-port-tried-on-kafka-and-sqs.md
 */
MARTY_API void *marty_window_find(const marty_window *window, uint64_t offset, unsigned bits,
                                  uint64_t *ret_offset);

/**
 * An offset is settled: take its item out. The position may move.
 *
 * @param window The window.
 * @param offset Of the message.
 * @return Its item; NULL when it is settled already or was never added.
 * @threads Any, one at a time.
 * @since 0.1
 * @source docs/design/0014-port-tried-on-kafka-and-sqs.md
 */
MARTY_API void *marty_window_take(marty_window *window, uint64_t offset);

/**
 * It was tried once more and is not settled: saved with the position.
 *
 * @param window The window.
 * @param offset Of the message.
 * @param attempts How often it was tried.
 * @threads Any, one at a time.
 * @since 0.1
 * @source docs/design/0014-port-tried-on-kafka-and-sqs.md
 */
MARTY_API void marty_window_tried(marty_window *window, uint64_t offset, uint32_t attempts);

/**
 * Where the group may be said to be: everything below is settled.
 *
 * @param window The window.
 * @return The first offset that is not settled; behind the last one added when all are.
 * @threads Any, one at a time.
 * @since 0.1
 * @source docs/design/0014-port-tried-on-kafka-and-sqs.md
 */
MARTY_API uint64_t marty_window_position(const marty_window *window);

/**
 * How many are not settled.
 *
 * @param window The window.
 * @return How many were added and not taken.
 * @threads Any, one at a time.
 * @since 0.1
 * @source docs/design/0014-port-tried-on-kafka-and-sqs.md
 */
MARTY_API size_t marty_window_count(const marty_window *window);

/**
 * Go through what is not settled, in order.
 *
 * @param window The window; nothing is added or taken meanwhile.
 * @param at 0 to begin.
 * @param ret_offset Its offset; NULL = not asked.
 * @return The item; NULL past the last.
 * @threads Any, one at a time.
 * @since 0.1
 * @source docs/design/0014-port-tried-on-kafka-and-sqs.md
 */
MARTY_API void *marty_window_each(const marty_window *window, size_t *at, uint64_t *ret_offset);

/**
 * What is settled above the position and how often the others were tried, as text to keep beside
 * it ("2-5,7x3"), so that a restart repeats little.
 *
 * @param window The window.
 * @param ret_text The text with its NUL; what does not fit is left out, and comes again.
 * @param size Bytes of it, at least 1.
 * @return Bytes written, without NUL.
 * @threads Any, one at a time.
 * @since 0.1
 * @source docs/design/0014-port-tried-on-kafka-and-sqs.md
 */
MARTY_API size_t marty_window_save(const marty_window *window, char *ret_text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
