/* SPDX-License-Identifier: Apache-2.0
 * A strict JSON scanner for the message path: it checks and finds, it builds nothing and allocates
 * nothing. What it finds are slices of the text. RFC 8259, only UTF-8, no lone surrogates, depth at
 * most MARTY__JSON_DEPTH. Not shared by threads. */
#ifndef MARTY_MESSAGE_JSON_SCAN_H
#define MARTY_MESSAGE_JSON_SCAN_H
#include <marty/types.h>

enum { MARTY__JSON_DEPTH = 64 };
typedef enum marty__json_kind {
    MARTY__JSON_NULL,
    MARTY__JSON_TRUE,
    MARTY__JSON_FALSE,
    MARTY__JSON_NUMBER,
    MARTY__JSON_STRING,
    MARTY__JSON_OBJECT,
    MARTY__JSON_ARRAY
} marty__json_kind;
typedef struct marty__json_value {
    marty__json_kind kind;
    bool escaped, plain; /* a string: has escapes; is printable ASCII without escapes */
    const char *at;      /* the whole value; of a string what is between its quotes */
    size_t size;
} marty__json_value;
typedef struct marty__json_scan {
    const char *begin, *at, *end;
    bool python;       /* NaN, Infinity and lone surrogates are fine, as json.loads has it */
    const char *wrong; /* static text, once something is */
} marty__json_scan;

/** Begin with a text. */
void marty__json_begin(marty__json_scan *scan, const char *text, size_t size, bool python);
/** White space, then one value, with all that is in it, `depth` levels deep already. */
bool marty__json_read(marty__json_scan *scan, marty__json_value *ret_value, unsigned depth);
/** Whether only white space is left; else wrong. */
bool marty__json_finish(marty__json_scan *scan);
/** Enter an object (or an array): white space and its opening brace. */
bool marty__json_enter(marty__json_scan *scan, char brace);
/** Next member of an object entered: 1 and its name and value, 0 at its end, -1 when wrong. first
 * is true for the first member only. */
int marty__json_member(marty__json_scan *scan, bool first, marty__json_value *ret_name,
                       marty__json_value *ret_value, unsigned depth);
/** The same for elements of an array. */
int marty__json_element(marty__json_scan *scan, bool first, marty__json_value *ret_value,
                        unsigned depth);
/** Turn the inside of a valid string into text; returns its length, never more than size. A lone
 * surrogate becomes U+FFFD. out may be text. */
size_t marty__json_unescape(char *out, const char *text, size_t size);
/** The code point of \uXXXX (or a pair of them) at text, which is behind the "\u"; returns how many
 * bytes it has there, 0 when it has no form. A lone surrogate is given as it is. */
size_t marty__json_unicode(const char *text, const char *end, uint32_t *ret_point);
/** One code point of the inside of a valid string, escaped or not (a lone surrogate as it is);
 * returns how many bytes it takes there. */
size_t marty__json_point(const char *text, size_t size, uint32_t *ret_point);
/** Whether all of text is one valid JSON value, white space around it allowed; where it is. */
bool marty__json_valid(const char *text, size_t size, bool python, unsigned depth,
                       marty__json_value *ret_value);
/** Where it stopped, for error texts. */
MARTY_INLINE size_t marty__json_offset(const marty__json_scan *scan)
{
    return (size_t)(scan->at - scan->begin);
}
#endif
