/* SPDX-License-Identifier: Apache-2.0
 * What the two files that read the legacy envelope share. Not shared by threads. */
#ifndef MARTY_MESSAGE_LEGACY_H
#define MARTY_MESSAGE_LEGACY_H
#include "codec.h"
#include "json_scan.h"
#include "uuid.h"

enum { MARTY__PYTHON = true }; /* JSON as json.loads takes it */

typedef struct marty__legacy_reader {
    marty__draft draft;
    const marty_message *wire;
    marty__json_value data, metadata, headers, ttl, reply_to;
    bool has_data, has_ttl;
    char id[MARTY__UUID_TEXT];
} marty__legacy_reader;

/** Whether a member has that name. */
bool marty__legacy_named(const marty__json_value *name, const char *text);
/** The text of a string, the JSON of anything else. */
marty__piece marty__legacy_piece(const marty__json_value *value);
/** A text, or a number as its text, into a field; null and "" are as good as absent. */
marty_err marty__legacy_text(marty__legacy_reader *to, marty__field field,
                             const marty__json_value *value, marty_error *why);
/** Add a header or an attribute. */
marty_err marty__legacy_header_add(marty__legacy_reader *to, marty__piece name,
                                   marty_header_kind kind, const marty__json_value *value,
                                   marty_error *why);
/** Take a member of metadata.headers. */
marty_err marty__legacy_header(marty__legacy_reader *to, const marty__json_value *name,
                               const marty__json_value *value, marty_error *why);
#endif
