/* SPDX-License-Identifier: Apache-2.0
 * Messages as core sees them: making them with a bus's surroundings, and copies that share all that
 * did not change. A counted message always has id, source, type, content_type and correlation_id,
 * never a bad attribute, never a header whose name an envelope uses (read from a broker, it gets
 * "raw-" in front); header values read from a broker may hold any bytes. Any thread. */
#ifndef MARTY_MESSAGE_MESSAGE_H
#define MARTY_MESSAGE_MESSAGE_H
#include <marty/backend.h>

#define MARTY__SOURCE_DEFAULT "/marty"
#define MARTY__ASKED_MS "martytimeout" /* attribute of a query: how long its asker waits */
#define MARTY__COPY_OF "martyid"       /* attribute of a copy: the id of what it is a copy of */
#define MARTY__UNREADABLE "marty.unreadable" /* type of a dead letter whose envelope is */

/** Whether it came from the library (marty_message_ref works); NULL and templates are not. */
MARTY_INLINE bool marty__message_counted(const marty_message *message)
{
    return message && message->marty__self == message;
}
/** marty_message_new with surroundings (NULL = the real ones) for id and time, and the source to
 * give when the template has none (NULL = MARTY__SOURCE_DEFAULT). A counted template gives one more
 * reference to itself. E: ARGUMENT (no template or type), MALFORMED, TOO_LARGE, UNSUPPORTED,
 * NO_MEMORY. */
marty_err marty__message_new(marty_message **ret_message, const marty_message *template_,
                             const marty_message *cause, const marty_env *env, const char *source,
                             marty_error *why);
/* What messages get that their templates do not say; one for all of a batch. */
typedef struct marty__making {
    const marty_env *env;       /* NULL = the real one */
    const char *source;         /* NULL = MARTY__SOURCE_DEFAULT */
    const marty_message *cause; /* NULL = none */
    int64_t now_us;             /* the wall clock when it was read already; 0 = env is asked */
    /* The last one made, which lives as long as this is used, and its template; NULL = none. */
    const marty_message *like, *like_template;
    uint64_t source_hash; /* marty__hash of source; 0 = not reckoned yet */
    bool
        unseen; /* nobody sees what is made before it is published, and clock and chance are real */
} marty__making;
/** marty__message_new for one of many. What differs from the last one in nothing but data, times
 * and priority is made from it, without looking at its fields again. */
marty_err marty__message_make(marty_message **ret_message, const marty_message *template_,
                              marty__making *how, marty_error *why);
/** Take so many references of a counted message that an op was lent. Whoever lends it keeps one and
 * lends it to nobody else meanwhile, so where that is the only one, nothing is locked. */
marty_message *marty__message_keep(const marty_message *message, uint32_t count);
/** Give so many back. */
void marty__message_unref_many(marty_message *message, uint32_t count);
/** First attribute of that name; headers of the same name, which anybody may set, do not count.
 * data NULL when absent. Borrowed from the message. */
marty_bytes marty__message_attribute(const marty_message *message, const char *name);
/** What a message costs in memory, for limits in bytes: its block, its data, its headers. */
size_t marty__message_cost(const marty_message *message);

/* How a copy differs. set: attributes (or headers, by kind) that take the place of all of the same
 * name and kind, or are added at the end, in order; value.data NULL removes. Names must be good;
 * values of attributes are cleaned (marty__text_clean), so that any text of a peer can be set.
 * Names of the fields themselves ("id", "subject", ...) are not for set. */
typedef struct marty__change {
    const char *id, *type; /* NULL = as it is */
    const marty_header *set;
    size_t set_count;
    bool expires; /* take expires_us below (0 = never) */
    int64_t expires_us;
} marty__change;
/** A message that shares data and strings with a counted one (which it keeps alive), changed. Yours
 * to unref. E: NO_MEMORY, TOO_LARGE (headers). */
marty_err marty__message_copy_with(marty_message **ret_message, const marty_message *message,
                                   const marty__change *change, marty_error *why);
/** A message for bytes that no envelope could be read from: data and headers as they came, save
 * that header names which would be read as an envelope ("ce-id", "content-type") get "raw-" in
 * front, bytes that no header name may have become %XX, and so do those of values that are no text
 * or have line breaks. For dead letters. E: as
 * marty_message_new. */
marty_err marty__message_unreadable(marty_message **ret_message, const char *type, marty_bytes raw,
                                    const marty_header *headers, size_t header_count,
                                    const marty_env *env, marty_error *why);
/** Copy text into out (room for size bytes plus NUL, at least 1) so that an attribute may hold it:
 * control characters become spaces, what is not UTF-8 or not a character becomes "?". Never
 * longer than it was; cut at room - 1 on a character's end. Returns the length. */
size_t marty__text_clean(char *out, size_t room, const char *text, size_t size);
#endif
