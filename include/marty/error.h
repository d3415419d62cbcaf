/* SPDX-License-Identifier: Apache-2.0
 * What a call answers: a code from one append-only table, and an optional text in memory of the
 * caller's own. No thread-locals, no allocation. */
#ifndef MARTY_ERROR_H
#define MARTY_ERROR_H
#include <marty/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
/**
 * The table of errors, append-only: X(name, number, class, text). Of a publish only
 * MARTY_E_MAYBE_STORED leaves a doubt; every other error means not stored. Retry code branches on
 * the class only: CALLER, fix the program or its configuration; RETRY, the same call with the same
 * id may succeed later; FATAL, not until a person or another system changes something.
 *
 * @since 0.1
 * @source docs/design/0005-errors.md
 */
#define MARTY_ERRORS(X)                                                                            \
    X(MARTY_OK, 0, NONE, "fine")                                                                   \
    X(MARTY_E_ARGUMENT, 1, CALLER, "an argument or field is wrong")                                \
    X(MARTY_E_STATE, 2, CALLER, "not now: settled already, running already, or wrong thread")      \
    X(MARTY_E_CONFIG, 3, CALLER, "the URL or configuration is wrong")                              \
    X(MARTY_E_UNSUPPORTED, 4, CALLER, "the backend does not grant this")                           \
    X(MARTY_E_NOT_FOUND, 5, CALLER, "no such channel, subscription, saga or file")                 \
    X(MARTY_E_EXISTS, 6, CALLER, "exists already and is different")                                \
    X(MARTY_E_TOO_LARGE, 7, CALLER, "over a limit of the backend or configuration")                \
    X(MARTY_E_MALFORMED, 8, CALLER, "the bytes are not what they should be")                       \
    X(MARTY_E_CLOSED, 9, CALLER, "the bus is stopping or closed")                                  \
    X(MARTY_E_FORKED, 10, CALLER, "opened before fork; open another in the child")                 \
    X(MARTY_E_CANCELLED, 11, CALLER, "cancelled by the program; not stored")                       \
    X(MARTY_E_REMOTE, 12, CALLER, "the responder answered with an error")                          \
    X(MARTY_E_FULL, 13, RETRY, "the in-flight limit is reached; not stored")                       \
    X(MARTY_E_TIMEOUT, 14, RETRY, "not finished in time")                                          \
    X(MARTY_E_UNAVAILABLE, 15, RETRY, "the backend is down or refuses; not stored")                \
    X(MARTY_E_MAYBE_STORED, 16, RETRY, "perhaps stored: publish again, same id")                   \
    X(MARTY_E_NO_RESPONDER, 17, RETRY, "nobody answers this query now")                            \
    X(MARTY_E_LOST, 18, RETRY, "lease or fence lost: another one has it now")                      \
    X(MARTY_E_NO_MEMORY, 19, RETRY, "out of memory")                                               \
    X(MARTY_E_STORAGE, 20, RETRY, "disk full or failing; not stored")                              \
    X(MARTY_E_DENIED, 21, FATAL, "credentials refused or no permission")                           \
    X(MARTY_E_TLS, 22, FATAL, "the peer's certificate or TLS is refused")                          \
    X(MARTY_E_PROTOCOL, 23, FATAL, "the peer does not speak as it should")                         \
    X(MARTY_E_MISSING_MODULE, 24, FATAL, "the backend is known but not installed")                 \
    X(MARTY_E_INTERNAL, 25, FATAL, "a bug in Marty; please report")                                \
    X(MARTY_E_NO_GROUP, 26, RETRY, "no group would receive it; not stored")                        \
    X(MARTY_E_FAILED, 27, RETRY, "the program's handler failed")
/* clang-format on */

/** One row of the table as an enumerator. @since 0.1 @source docs/design/0005-errors.md */
#define MARTY__ERR_ENUM(name, number, class_, text) name = (number),

/** The code of an error: a row of MARTY_ERRORS. @since 0.1 @source docs/design/0005-errors.md */
typedef enum marty_err { MARTY_ERRORS(MARTY__ERR_ENUM) } marty_err;

/** Who can do something about an error. @since 0.1 @source docs/design/0005-errors.md */
typedef enum marty_class {
    MARTY_CLASS_NONE,   /**< No error. */
    MARTY_CLASS_CALLER, /**< Fix the program or its configuration. */
    MARTY_CLASS_RETRY,  /**< The same call with the same id may succeed later. */
    MARTY_CLASS_FATAL   /**< Not until a person or another system changes something. */
} marty_class;

/**
 * What went wrong. Owned by the caller, usually on the stack; 512 bytes for ever; written on
 * failure only; there are no secrets in it.
 *
 * @since 0.1
 * @source docs/design/0005-errors.md
 */
typedef struct marty_error {
    /** What the backend or the responder asked for; 0 = use your own backoff. */
    uint32_t retry_after_ms;
    /** The row of the table, the same that the call returned. */
    marty_err code;
    /** The class of code; of MARTY_E_REMOTE the responder's own. Branch on this. */
    marty_class error_class;
    /** Of MARTY_E_REMOTE the responder's code, for example "not_found"; else "". */
    char remote[56];
    /** For people: which thing, what was expected, what to do. */
    char text[444];
} marty_error;

/** A row of the table. Static. @since 0.1 @source docs/design/0005-errors.md */
typedef struct marty_err_info {
    marty_err code;          /**< The number. */
    marty_class error_class; /**< Its class. */
    const char *name;        /**< "MARTY_E_TIMEOUT". */
    const char *text;        /**< What it means, in a few words. */
} marty_err_info;

/**
 * The row of the table for a code.
 *
 * @param err The code; a number that is not in the table gives a row of class FATAL.
 * @return The row, never NULL. Static: it is never freed.
 * @threads Any, also in a signal handler.
 * @since 0.1
 * @source docs/design/0005-errors.md
 */
MARTY_API const marty_err_info *marty_err_describe(marty_err err);

/**
 * Version of the library that runs, which may be newer than the header that you compiled with.
 *
 * @return "1.2.3". Static: it is never freed.
 * @threads Any, also in a signal handler.
 * @since 0.1
 * @source docs/design/0002-public-api.md
 */
MARTY_API const char *marty_version(void);

#ifdef __cplusplus
}
#endif
#endif
