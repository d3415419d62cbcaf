/* SPDX-License-Identifier: Apache-2.0
 * From the scheme of a URL to its backend: built in, registered by the program, or loaded. */
#ifndef MARTY_BACKEND_REGISTRY_H
#define MARTY_BACKEND_REGISTRY_H
#include <marty/backend.h>

/** The backend of a scheme (lower case, as marty_url_parse gives it). Loads its module when need
 * be; what is found is kept for ever. NULL with why: MISSING_MODULE naming the package and where it
 * was looked for, CONFIG (unknown scheme, module refused), UNSUPPORTED (ABI). Any thread; blocks on
 * the file system. */
const marty_backend *marty__backend_find(const char *scheme, marty_error *why);
/** What of backend keeps it from being used: fills why and returns the code. */
marty_err marty__backend_check(const marty_backend *backend, marty_error *why);
/** Load `marty-<name>.so` from the folders that count. The same results as marty__backend_find;
 * package names what to install. */
const marty_backend *marty__module_load(const char *name, const char *package, marty_error *why);
/** The same for any symbol of a module: NULL with why. */
void *marty__module_symbol(const char *name, const char *package, const char *symbol,
                           marty_error *why);
/** Whether the module file of a name exists in the folders that count. */
bool marty__module_exists(const char *name);

/* The backends that are part of the library. */
extern const marty_backend marty__memory_backend;
extern const marty_backend marty__sqlite_backend;
#endif
