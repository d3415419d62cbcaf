/* SPDX-License-Identifier: Apache-2.0
 * Dead letters: what could not be handled lies with its original bytes, headers, cause, attempts
 * and origin until someone looks. Walk them, replay them, discard them. */
#ifndef MARTY_DEAD_LETTER_H
#define MARTY_DEAD_LETTER_H
#include <marty/bus.h>
#include <marty/subscribe.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One dead letter. Made by the library, borrowed until the callback returns.
 *  @since 0.1 @source docs/design/0001-architecture.md */
typedef struct marty_dead_letter {
    const char *dead_channel;     /**< Where it lies. */
    const char *backend;          /**< On which backend. */
    const char *channel;          /**< Where it came from. */
    const char *group;            /**< For which group it died. */
    const char *position;         /**< Where it was in that channel; NULL when unknown. */
    const char *cause;            /**< Why, for people. */
    marty_pattern pattern;        /**< How it was published. */
    const char *to;               /**< To which service or stream; NULL = none. */
    marty_err code;               /**< Why, for programs. */
    uint32_t attempts;            /**< How often it was tried. */
    uint32_t replays;             /**< How often it was replayed. */
    int64_t died_us;              /**< When, Unix time in microseconds. */
    const marty_message *message; /**< The message; NULL when it cannot be read. */
    marty_bytes raw;              /**< Its bytes as they came. */
} marty_dead_letter;

/** What to do with a dead letter. @since 0.1 @source docs/design/0002-public-api.md */
typedef enum marty_dead_verb {
    MARTY_DEAD_LEAVE,         /**< Let it lie and go on. */
    MARTY_DEAD_REPLAY,        /**< To its group again, same id, then remove; at most 3 times. */
    MARTY_DEAD_REPLAY_FORCED, /**< The same, however often. */
    MARTY_DEAD_DISCARD,       /**< Remove it. */
    MARTY_DEAD_STOP           /**< Let it lie and end the walk. */
} marty_dead_verb;

/**
 * Says what to do with each dead letter. It may call Marty.
 *
 * @param user As given to marty_dead_letters.
 * @param letter The letter. Borrowed until the return.
 * @param instead A template of its message: mend it, then replay. Borrowed until the return.
 * @return What to do.
 * @threads The one that called marty_dead_letters.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
typedef marty_dead_verb (*marty_on_dead)(void *user, const marty_dead_letter *letter,
                                         marty_message *instead);

/**
 * Walk the dead letters of a channel, oldest first. A replay goes to the group that it died for,
 * under the same id, and the letter is removed then; after 3 times only MARTY_DEAD_REPLAY_FORCED
 * does it.
 *
 * @param bus The bus.
 * @param channel The channel that they came from, by our name; "*" = all. Borrowed.
 * @param start Where to begin; NULL = the oldest.
 * @param each Says what to do; called on this thread.
 * @param user Given to each.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK at the end, or when each has stopped it.
 * @errors The common ones; MARTY_E_NOT_FOUND, MARTY_E_UNSUPPORTED, those of marty_publish.
 * @threads Any.
 * @blocks To the end, at most 30,000 ms a letter.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_MUST marty_err marty_dead_letters(marty_bus *bus, const char *channel,
                                        const marty_start *start, marty_on_dead each, void *user,
                                        marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
