/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MARTY_DEAD_LETTER_H
#define MARTY_DEAD_LETTER_H
#include <marty/bus.h>
#include <marty/subscribe.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct marty_dead_letter { /* made by the library; message NULL when unreadable: raw has it
                                      as it came */
    const char *dead_channel, *backend, *channel, *group, *position,
        *cause; /* where it lies; where it came from; why */
    marty_pattern pattern;
    const char *to;
    marty_err code;
    uint32_t attempts, replays;
    int64_t died_us;
    const marty_message *message;
    marty_bytes raw;
} marty_dead_letter;
typedef enum marty_dead_verb {
    MARTY_DEAD_LEAVE,
    MARTY_DEAD_REPLAY,
    MARTY_DEAD_REPLAY_FORCED,
    MARTY_DEAD_DISCARD,
    MARTY_DEAD_STOP
} marty_dead_verb;
typedef marty_dead_verb (*marty_on_dead)(
    void *user, const marty_dead_letter *letter,
    marty_message *instead); /* a template of it: mend it, then REPLAY */
/** Walk the dead letters of a channel ("*" = all), oldest first or from start; `each`, called on
 * this thread (it may call Marty), says what to do. REPLAY: to its group again, same id, then
 * removed (after 3 times only FORCED). B: to the end, 30,000 ms a letter. E: NOT_FOUND,
 * UNSUPPORTED, as publish. */
MARTY_MUST marty_err marty_dead_letters(marty_bus *bus, const char *channel,
                                        const marty_start *start, marty_on_dead each, void *user,
                                        marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
