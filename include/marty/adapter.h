/* SPDX-License-Identifier: Apache-2.0
 * What the adapters of brokers share: memory, errors, log, names, URLs and the wire form of a
 * message. Exported, so that a module of yours has the same. Included by <marty/backend.h>. */
#ifndef MARTY_ADAPTER_H
#define MARTY_ADAPTER_H
#include <marty/marty.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Core's side of a port; its slots are in <marty/backend.h>.
 *  @since 0.1 @source docs/design/0003-backend-port.md */
typedef struct marty_sink marty_sink;

/** How a message looks on the wire. @since 0.1 @source docs/design/0006-envelope.md */
typedef enum marty_format {
    MARTY_BINARY = 1, /**< Attributes as headers, data as the body. */
    MARTY_STRUCTURED, /**< All as one JSON document. */
    MARTY_LEGACY      /**< The envelope of the Python services. */
} marty_format;

/**
 * Our name as the broker's: a byte that is not allowed becomes _xHH_, and a dot becomes __ where
 * dots are not allowed. It can always be turned back; it is never cut.
 *
 * @param ret_name The broker's name, with its NUL: max + 1 bytes.
 * @param max The most bytes without NUL.
 * @param name Ours. Borrowed.
 * @param allowed The bytes that need no encoding. Borrowed.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, or nothing was written.
 * @errors MARTY_E_ARGUMENT (too long, with name, length and limit; or malformed).
 * @threads Any.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_MUST marty_err marty_name_encode(char *ret_name, size_t max, const char *name,
                                       const char *allowed, marty_error *why);

/**
 * The broker's name as ours: the inverse of marty_name_encode.
 *
 * @param ret_name Ours, with its NUL: max + 1 bytes.
 * @param max The most bytes without NUL.
 * @param native The broker's. Borrowed.
 * @param allowed As it was encoded with. Borrowed.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, or nothing was written.
 * @errors MARTY_E_ARGUMENT (too long, or never made by marty_name_encode).
 * @threads Any.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_MUST marty_err marty_name_decode(char *ret_name, size_t max, const char *native,
                                       const char *allowed, marty_error *why);

/**
 * Memory from the library's allocator, which one hook can make fail, so that tests reach adapters.
 *
 * @param size How many bytes.
 * @return The block, yours to give to marty_free; NULL when there is none.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_API void *marty_alloc(size_t size);

/**
 * The same, zeroed; the product is checked for overflow.
 *
 * @param count How many.
 * @param size Bytes of each.
 * @return The block, yours to give to marty_free; NULL when there is none.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_API void *marty_alloc_zero(size_t count, size_t size);

/**
 * A block of another size with the same content, as realloc.
 *
 * @param block Of marty_alloc, or NULL.
 * @param size How many bytes.
 * @return The block in place of the old one; NULL when there is none, and the old one is still
 *     valid.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_API void *marty_realloc(void *block, size_t size);

/**
 * Give a block back.
 *
 * @param block Of marty_alloc; NULL is fine.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_API void marty_free(void *block);

/**
 * Fill in an error: `return marty_error_set(why, MARTY_E_CONFIG, "port %d: ...", port);`
 *
 * @param why Filled with code, its class and the text; NULL is fine.
 * @param code What went wrong.
 * @param format printf-like; the text is cut to fit.
 * @return code.
 * @errors The code given.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0005-errors.md
 */
MARTY_API marty_err marty_error_set(marty_error *why, marty_err code, const char *format, ...)
    MARTY__ATTRIBUTE(format(printf, 3, 4));

/**
 * A line for the log of the bus.
 *
 * @param sink Core's side of the port.
 * @param level 0 error, 1 warning, 2 information, 3 debug.
 * @param format printf-like, without secrets; the text is cut to fit.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_API void marty_port_log(const marty_sink *sink, int level, const char *format, ...)
    MARTY__ATTRIBUTE(format(printf, 3, 4));

/** One host of a URL. @since 0.1 @source docs/design/0003-backend-port.md */
typedef struct marty_url_host {
    const char *host; /**< A name or an address, without brackets. */
    uint16_t port;    /**< 0 = none given. */
} marty_url_host;

/** A URL, scheme:[//[user[:password]@]host[:port][,host[:port]...]][/path][?key=value&...], taken
 *  apart and percent-decoded. One allocation.
 *  @since 0.1 @source docs/design/0003-backend-port.md */
typedef struct marty_url {
    const char *scheme;             /**< "nats". */
    const char *user;               /**< NULL = absent. */
    const char *password;           /**< NULL = absent. */
    const char *path;               /**< As given after scheme: or the hosts; NULL = absent. */
    const marty_url_host *hosts;    /**< In order. */
    size_t host_count;              /**< How many hosts. */
    const marty_header *parameters; /**< In order. */
    size_t parameter_count;         /**< How many parameters. */
    const char *redacted;           /**< As it may be shown: no password, no secret parameters. */
} marty_url;

/**
 * Take a URL apart.
 *
 * @param ret_url The parts; yours to give to marty_url_free.
 * @param text The URL. Borrowed.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, or there is no result.
 * @errors MARTY_E_CONFIG (with the place), MARTY_E_NO_MEMORY.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_MUST marty_err marty_url_parse(marty_url **ret_url, const char *text, marty_error *why);

/**
 * Give a parsed URL back.
 *
 * @param url Yours; NULL is fine.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_API void marty_url_free(marty_url *url);

/**
 * The value of a parameter.
 *
 * @param url A parsed URL.
 * @param name Of the parameter.
 * @return Its value, borrowed from url; NULL when absent.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_API const char *marty_url_get(const marty_url *url, const char *name);

/**
 * Refuse parameters that nobody reads: each must be in the list, or common to all backends.
 *
 * @param url A parsed URL.
 * @param known The keys of this backend; NULL ends the list.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK when all are known.
 * @errors MARTY_E_CONFIG (names the unknown key and the known ones).
 * @threads Any.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_MUST marty_err marty_url_check(const marty_url *url, const char *const known[],
                                     marty_error *why);

/**
 * "30s", "200ms", "5m", "2h" or "7d" as milliseconds.
 *
 * @param ret_ms The result.
 * @param key What it is the value of, for the error.
 * @param text The value.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, or nothing was written.
 * @errors MARTY_E_CONFIG (names the key).
 * @threads Any.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_MUST marty_err marty_parse_duration(uint64_t *ret_ms, const char *key, const char *text,
                                          marty_error *why);

/**
 * "64KiB", "10GiB" or "1000000" as bytes.
 *
 * @param ret_bytes The result.
 * @param key What it is the value of, for the error.
 * @param text The value.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, or nothing was written.
 * @errors MARTY_E_CONFIG (names the key).
 * @threads Any.
 * @since 0.1
 * @source docs/design/0003-backend-port.md
 */
MARTY_MUST marty_err marty_parse_size(uint64_t *ret_bytes, const char *key, const char *text,
                                      marty_error *why);

/**
 * A message in wire form: its data is the body, its headers are those of the transport; its fields
 * (id, key, ...) stay the message's own. Nothing is copied that need not change.
 *
 * The prefix says which binding it is. "ce-" (HTTP, NATS): values are percent-encoded and no header
 * may have CR, LF or NUL. Any other ("ce_", "cloudEvents_", "" for none): values as they are. The
 * content type is the header "content-type" in every form but LEGACY, which has no headers; of
 * NATS, binary, it goes by ce-datacontenttype, which is read too. LEGACY takes the reply address
 * from the attribute "replyto".
 *
 * @param ret_wire The wire form; yours to unref.
 * @param from The message. Borrowed.
 * @param format How it looks.
 * @param prefix Before the names of attributes in headers; NULL = "ce-". Borrowed.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, or there is no result.
 * @errors MARTY_E_MALFORMED (a value that this form cannot carry), MARTY_E_NO_MEMORY.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0006-envelope.md; CloudEvents 1.0.2
 */
MARTY_MUST marty_err marty_message_encode(marty_message **ret_wire, const marty_message *from,
                                          marty_format format, const char *prefix,
                                          marty_error *why);

/**
 * A message from wire form, of which the headers tell the format: the inverse of
 * marty_message_encode. It is lenient where senders are loose: any case in names, too much or no
 * percent-encoding, JSON that no header announces, a bad trace (dropped).
 *
 * @param ret_message The message; yours to unref.
 * @param wire Body and headers as the transport has them. For the older envelope its type and
 *     source say what the subject tells and the envelope does not. Borrowed; may be on the stack.
 * @param prefix Before the names of attributes in headers; NULL = "ce-", and what is no CloudEvent
 *     is read as the older envelope. Borrowed.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, or there is no result.
 * @errors MARTY_E_MALFORMED, MARTY_E_TOO_LARGE, MARTY_E_NO_MEMORY.
 * @threads Any.
 * @since 0.1
 * @source docs/design/0006-envelope.md; CloudEvents 1.0.2
 */
MARTY_MUST marty_err marty_message_decode(marty_message **ret_message, const marty_message *wire,
                                          const char *prefix, marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
