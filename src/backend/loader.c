/* SPDX-License-Identifier: Apache-2.0
 * Loading a backend's module. Folders come from the build, or from $MARTY_MODULE_PATH (ignored in a
 * set-user-id program), never from a URL or the working folder. A module is a regular file, not a
 * symbolic link, which not everyone may write, in a folder which not everyone may write; its name
 * is fixed by the scheme. Called under the registry's lock. */
#include "registry.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MARTY_MODULE_DIR
#define MARTY_MODULE_DIR "/usr/local/lib/marty/modules"
#endif

enum { PATH_BYTES = 4096 };

static const char *folders(void)
{
    const char *set = secure_getenv("MARTY_MODULE_PATH");
    return set && *set ? set : MARTY_MODULE_DIR;
}

static bool is_module_name(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size <= 32 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == size;
}

/* The next folder of the list as a path of the module in it; false at the end. One that is not
 * absolute gives an empty path. */
static bool next_path(char path[PATH_BYTES], const char **list, const char *name)
{
    while (**list == ':') {
        (*list)++;
    }
    size_t size = strcspn(*list, ":");
    if (!size) {
        return false;
    }
    path[0] = '\0';
    if (**list == '/') {
        int written = snprintf(path, PATH_BYTES, "%.*s/marty-%s.so", (int)size, *list, name);
        if (written < 0 || written >= PATH_BYTES) {
            path[0] = '\0';
        }
    }
    *list += size;
    return true;
}

bool marty__module_exists(const char *name)
{
    char path[PATH_BYTES];
    const char *list = folders();
    while (is_module_name(name) && next_path(path, &list, name)) {
        struct stat found;
        if (path[0] && lstat(path, &found) == 0) {
            return true;
        }
    }
    return false;
}

static marty_err refuse(marty_error *why, const char *path, const char *reason)
{
    return marty_error_set(why, MARTY_E_CONFIG, "the module %s is refused: %s", path, reason);
}

/* Not written by everyone, and what it should be. */
static marty_err check_file(const char *path, marty_error *why)
{
    struct stat found;
    int file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        return refuse(why, path, errno == ELOOP ? "it is a symbolic link" : strerror(errno));
    }
    marty_err err = MARTY_OK;
    if (fstat(file, &found) != 0 || !S_ISREG(found.st_mode)) {
        err = refuse(why, path, "it is no regular file");
    } else if (found.st_mode & S_IWOTH) {
        err = refuse(why, path, "everyone may write it; chmod o-w it");
    }
    (void)close(file);
    if (err) {
        return err;
    }
    char folder[PATH_BYTES];
    (void)snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    if (stat(*folder ? folder : "/", &found) != 0 || (found.st_mode & S_IWOTH)) {
        return refuse(why, path, "everyone may write its folder; chmod o-w it");
    }
    return MARTY_OK;
}

/* The module stays loaded for ever, once it has the symbol. */
static void *open_module(const char *path, const char *symbol, marty_error *why)
{
    if (check_file(path, why)) {
        return NULL;
    }
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!module) {
        const char *reason = dlerror();
        marty_error_set(why, MARTY_E_MISSING_MODULE, "the module does not load: %s",
                        reason ? reason : path);
        return NULL;
    }
    void *found = dlsym(module, symbol);
    if (!found) {
        char reason[64];
        (void)snprintf(reason, sizeof reason, "it exports no %.40s", symbol);
        (void)refuse(why, path, reason);
        (void)dlclose(module);
    }
    return found;
}

void *marty__module_symbol(const char *name, const char *package, const char *symbol,
                           marty_error *why)
{
    if (!is_module_name(name)) {
        marty_error_set(why, MARTY_E_CONFIG,
                        "\"%.40s\" is no name of a module: up to 32 of a-z, 0-9 and -", name);
        return NULL;
    }
    char path[PATH_BYTES];
    const char *list = folders();
    while (next_path(path, &list, name)) {
        struct stat found;
        if (!path[0]) {
            marty_error_set(why, MARTY_E_CONFIG,
                            "MARTY_MODULE_PATH must hold absolute folders, not \"%.128s\"",
                            folders());
            return NULL;
        }
        if (lstat(path, &found) == 0) {
            return open_module(path, symbol, why);
        }
    }
    marty_error_set(why, MARTY_E_MISSING_MODULE,
                    "the backend %s is known but not installed: install the package %s (looked for "
                    "marty-%s.so in %.128s)",
                    name, package, name, folders());
    return NULL;
}

const marty_backend *marty__module_load(const char *name, const char *package, marty_error *why)
{
    const marty_backend *backend = marty__module_symbol(name, package, "marty_module", why);
    if (!backend) {
        return NULL;
    }
    marty_error reason = {0};
    marty_err err = marty__backend_check(backend, &reason);
    if (!err && strcmp(backend->scheme, name) != 0) {
        err = marty_error_set(&reason, MARTY_E_CONFIG, "its scheme is %s", backend->scheme);
    }
    if (err) {
        marty_error_set(why, err, "the module marty-%s.so is refused: %s", name, reason.text);
        return NULL;
    }
    return backend;
}
