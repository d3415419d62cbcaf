/* SPDX-License-Identifier: Apache-2.0
 * The rules of CloudEvents, W3C trace context and header names, one predicate each. Those called
 * _wrong return NULL when all is well, else a static text that says what was expected. Pure. */
#ifndef MARTY_MESSAGE_RULES_H
#define MARTY_MESSAGE_RULES_H
#include <marty/message.h>

/** CloudEvents String: no control characters, noncharacters, surrogates, only UTF-8. */
const char *marty__text_wrong(const char *text, size_t size);
/** Name of an attribute: a to z, 0 to 9, not "data" nor "data_base64". */
const char *marty__attribute_name_wrong(const char *name, size_t size);
/** Name of a transport header: token characters (RFC 9110). */
const char *marty__header_name_wrong(const char *name, size_t size);
/** Names of headers that an envelope uses itself: "content-type", "ce-...", "ce_...",
 * "cloudEvents:..." and "cloudEvents_..." in any case. */
bool marty__header_name_reserved(const char *name, size_t size);
/** Value of a transport header: no CR, LF, NUL. */
const char *marty__header_value_wrong(const char *value, size_t size);
/** Canonical text of a value of that kind. */
const char *marty__value_wrong(marty_header_kind kind, const char *value, size_t size);
/** URI reference, not empty; absolute: with a scheme. */
const char *marty__uri_wrong(const char *text, size_t size, bool absolute);
/** "type/subtype", then anything printable. */
const char *marty__content_type_wrong(const char *text, size_t size);
const char *marty__trace_parent_wrong(const char *text, size_t size);
const char *marty__trace_state_wrong(const char *text, size_t size);
enum { MARTY__MEDIA_TYPE_BYTES_MAX = 128 }; /* longer ones say nothing to us */
/** Whether the media type says JSON ("json" or "+json"); whether it says text (text/..., +xml). */
bool marty__content_is_json(const char *content_type, size_t size);
bool marty__content_is_text(const char *content_type, size_t size);
/** ASCII case ignored. */
bool marty__same_word(const char *a, size_t a_size, const char *b, size_t b_size);
#endif
