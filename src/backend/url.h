/* SPDX-License-Identifier: Apache-2.0
 * Parts of the URL parser that its files share. The public calls are in <marty/backend.h>. */
#ifndef MARTY_BACKEND_URL_H
#define MARTY_BACKEND_URL_H
#include <marty/backend.h>

enum { MARTY__URL_BYTES_MAX = 16384 };

/** Write text as it may be shown into out, which has room for strlen(text) + 3 * (its '&' and '='
 * count) + 8 bytes: passwords, lone users (often a token) and secret parameters become "***".
 * Works on text that is no URL, too, so that every error may show it. */
void marty__url_redact(char *out, const char *text);
/** Whether a parameter of that name is a secret: it contains token, pass, secret, creds, seed or
 * nkey, in any case. */
bool marty__url_is_secret(const char *name, size_t size);
/** The nearest of the NULL-ended words, or NULL when none is near. */
const char *marty__nearest(const char *word, const char *const words[]);
/** Keys that every backend accepts; NULL-ended. */
extern const char *const marty__url_common_keys[];
#endif
