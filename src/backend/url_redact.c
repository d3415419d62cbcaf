/* SPDX-License-Identifier: Apache-2.0
 * What of a URL may be shown. It errs towards hiding: it works on the raw text, before anything is
 * known to be well-formed, so that the error about a malformed URL leaks no password either. Pure
 * functions. */
#include "url.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

bool marty__url_is_secret(const char *name, size_t size)
{
    static const char *const words[] = {"token", "pass", "secret", "creds", "seed", "nkey"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t length = strlen(words[i]);
        for (size_t at = 0; at + length <= size; at++) {
            if (strncasecmp(name + at, words[i], length) == 0) {
                return true;
            }
        }
    }
    return false;
}

static char *put(char *out, const char *text, size_t size)
{
    memcpy(out, text, size);
    return out + size;
}

/* A port that is no number may be a password cut short by a '/' or '?': hide it. */
static char *redact_hosts(char *out, const char *from, const char *end)
{
    for (const char *at = from; at < end; at++) {
        bool bracket = *at == '[' && memchr(at, ']', (size_t)(end - at));
        if (bracket) {
            at = memchr(at, ']', (size_t)(end - at));
        } else if (*at == ':' && at + 1 < end && !isdigit((unsigned char)at[1])) {
            out = put(out, from, (size_t)(at + 1 - from));
            return put(out, "***", 3);
        }
    }
    return put(out, from, (size_t)(end - from));
}

/* From after "//" to the '?' or the end. */
static char *redact_authority(char *out, const char *from, const char *end)
{
    const char *at_sign = memrchr(from, '@', (size_t)(end - from));
    if (at_sign) {
        const char *colon = memchr(from, ':', (size_t)(at_sign - from));
        if (colon) {
            out = put(out, from, (size_t)(colon + 1 - from));
        }
        out = put(out, "***@", 4);
        from = at_sign + 1;
    }
    const char *slash = memchr(from, '/', (size_t)(end - from));
    const char *hosts_end = slash ? slash : end;
    out = redact_hosts(out, from, hosts_end);
    return put(out, hosts_end, (size_t)(end - hosts_end));
}

static char *redact_parameters(char *out, const char *from)
{
    while (*from) {
        size_t size = strcspn(from, "&");
        const char *equals = memchr(from, '=', size);
        size_t name = equals ? (size_t)(equals - from) : size;
        /* an encoded name is not worth decoding here: hide its value */
        bool hide = equals && (marty__url_is_secret(from, name) || memchr(from, '%', name));
        out = hide ? put(put(out, from, name + 1), "***", 3) : put(out, from, size);
        from += size;
        if (*from) {
            out = put(out, from++, 1);
        }
    }
    return out;
}

void marty__url_redact(char *out, const char *text)
{
    size_t before_query = strcspn(text, "?");
    const char *end = text + before_query;
    const char *slashes = strstr(text, "//"); /* with or without a scheme before it */
    if (slashes && slashes < end) {
        out = put(out, text, (size_t)(slashes + 2 - text));
        out = redact_authority(out, slashes + 2, end);
    } else {
        out = put(out, text, before_query);
    }
    if (*end) {
        out = redact_parameters(put(out, end, 1), end + 1);
    }
    *out = '\0';
}
