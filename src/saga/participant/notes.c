/* SPDX-License-Identifier: Apache-2.0
 * Which notes a scheme means: those of the library, or of a module. */
#include "notes.h"

#include "backend/registry.h"

#include <string.h>

/* Notes in a module: its scheme, and the package that brings it. */
static const marty__notes_table *load_notes(const char *scheme, marty_error *why)
{
    void *symbol = marty__module_symbol("postgres", "marty-postgres", "marty_notes_module", why);
    marty__notes_entry entry = NULL;
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast from an object to a function */
    const marty__notes_table *table = entry ? entry(MARTY__NOTES_ABI) : NULL;
    if (entry && !table) {
        (void)marty_error_set(why, MARTY_E_UNSUPPORTED,
                              "the module marty-postgres.so is of another version than the "
                              "library, for %s:",
                              scheme);
    }
    return table;
}

const marty__notes_table *marty__notes_find(const marty_url *url, marty_error *why)
{
    if (strcmp(url->scheme, marty__notes_sqlite.scheme) == 0) {
        return &marty__notes_sqlite;
    }
    if (strcmp(url->scheme, "postgres") == 0 || strcmp(url->scheme, "postgresql") == 0) {
        return load_notes(url->scheme, why);
    }
    (void)marty_error_set(why, MARTY_E_CONFIG,
                          "%s: a participant keeps its notes in its own database, sqlite:FILE or "
                          "postgres://HOST/NAME",
                          url->redacted);
    return NULL;
}
