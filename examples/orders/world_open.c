/* SPDX-License-Identifier: Apache-2.0
 * What the demo needs before the services run: its folder, empty, and the broker. Over SQLite the
 * broker is a file; over NATS it is a server, which chooses a free port itself. One thread. */
#include "world.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BROKER_SECONDS = 10, DEPTH = 16 };

static bool fail(const char *what, const char *why)
{
    fprintf(stderr, "demo: %s: %s\n", what, why);
    return false;
}

/* The files of an earlier run, by their names: whatever else is in the folder stays. */
static bool is_ours(const char *file)
{
    static const char *const ours[] = {"order.",       "orders.",  "inventory.", "sagas.",
                                       "orchestrator", "payment.", "shipping.",  "nats-server"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (strncmp(file, ours[i], strlen(ours[i])) == 0) {
            return true;
        }
    }
    return false;
}

static int remove_one(const char *path, const struct stat *state, int kind, struct FTW *where)
{
    (void)state;
    (void)kind;
    (void)where;
    return remove(path);
}

static bool empty_folder(const char *folder)
{
    char path[2 * WORLD_PATH];
    if (mkdir(folder, 0755) != 0 && errno != EEXIST) {
        return fail(folder, strerror(errno));
    }
    DIR *entries = opendir(folder);
    if (!entries) {
        return fail(folder, strerror(errno));
    }
    for (struct dirent *entry; (entry = readdir(entries));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (is_ours(entry->d_name)) {
            nftw(path, remove_one, DEPTH, FTW_DEPTH | FTW_PHYS);
        }
    }
    closedir(entries);
    return true;
}

/* The server writes its URL into PROGRAM_PID.ports. */
static bool find_ports(const world *w, char path[2 * WORLD_PATH])
{
    char end[32];
    bool found = false;
    snprintf(end, sizeof end, "_%d.ports", (int)world_pid(w, "nats-server"));
    DIR *entries = opendir(w->folder);
    for (struct dirent *entry; entries && !found && (entry = readdir(entries));) {
        size_t size = strlen(entry->d_name), end_size = strlen(end);
        found = size > end_size && strcmp(entry->d_name + size - end_size, end) == 0;
        snprintf(path, 2 * WORLD_PATH, "%s/%s", w->folder, entry->d_name);
    }
    if (entries) {
        closedir(entries);
    }
    return found;
}

static bool read_url(const world *w, char url[64])
{
    char path[2 * WORLD_PATH], text[512] = "";
    if (!find_ports(w, path)) {
        return false;
    }
    FILE *file = fopen(path, "r");
    if (!file) {
        return false;
    }
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    const char *at = strstr(text, "nats://");
    size_t length = at ? strcspn(at, "\"") : 0;
    if (length == 0 || length >= 64 || at[length] != '"') {
        return false; /* half written */
    }
    snprintf(url, 64, "%.*s", (int)length, at);
    return true;
}

static bool open_nats(world *w)
{
    char data[WORLD_PATH + 16], url[64] = "";
    const char *named = getenv("NATS_SERVER");
    char server[WORLD_PATH];
    snprintf(server, sizeof server, "%s",
             named                                        ? named
             : access("/usr/sbin/nats-server", X_OK) == 0 ? "/usr/sbin/nats-server"
                                                          : "nats-server");
    snprintf(data, sizeof data, "%.400s/nats-server-data", w->folder);
    char *argv[] = {
        server,    "-js", "-sd", data, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir",
        w->folder, NULL};
    if (!world_run(w, "nats-server", argv)) {
        return false;
    }
    for (double end = world_seconds() + BROKER_SECONDS; !read_url(w, url);) {
        if (world_seconds() > end) {
            return fail(server, "did not start (set NATS_SERVER to its path); see its log");
        }
        world_pause_ms(5);
    }
    /* A service that is killed keeps what it was given for as long as the lease. */
    snprintf(w->url, sizeof w->url, "%s?lease=1s", url);
    snprintf(w->shown, sizeof w->shown, "%s", url);
    snprintf(w->look, sizeof w->look, "%s -js -sd %s &  %s%s topology show -b nats://127.0.0.1",
             server, data, w->modules, w->program);
    return true;
}

static void open_sqlite(world *w)
{
    snprintf(w->url, sizeof w->url, "sqlite:%.400s/orders.db?lease=1s", w->folder);
    snprintf(w->shown, sizeof w->shown, "sqlite:%.400s/orders.db", w->folder);
    snprintf(w->look, sizeof w->look, "%s topology show -b %s", w->program, w->shown);
}

/* Bytes of the path two folders above; 0 when it has no such. */
static size_t parent_size(const char *path)
{
    size_t size = strlen(path);
    for (int up = 0; up < 2; up++) {
        while (size && path[--size] != '/') {
        }
    }
    return size;
}

/* In the build folder the program and its modules are two folders up; installed, Marty finds them
 * itself. */
static void find_program(world *w)
{
    char path[WORLD_PATH + 16];
    int up = (int)parent_size(w->bin);
    snprintf(path, sizeof path, "%.*s/modules", up, w->bin);
    char *modules = realpath(path, NULL);
    if (modules) {
        setenv("MARTY_MODULE_PATH", modules, 0);
        snprintf(w->modules, sizeof w->modules, "MARTY_MODULE_PATH=%.500s ", modules);
        free(modules);
    }
    snprintf(w->program, sizeof w->program, "%.*s/marty", up, w->bin);
    if (access(w->program, X_OK) != 0) {
        snprintf(w->program, sizeof w->program, "marty");
    }
}

bool world_open(world *w, const char *self, const char *folder, const char *backend)
{
    const char *slash = strrchr(self, '/');
    memset(w, 0, sizeof *w);
    if (strlen(self) > WORLD_PATH / 2 || strlen(folder) > WORLD_PATH / 2) {
        return fail(folder, "the path is too long");
    }
    snprintf(w->folder, sizeof w->folder, "%s", folder);
    snprintf(w->bin, sizeof w->bin, "%.*s", slash ? (int)(slash - self) : 1, slash ? self : ".");
    if (!empty_folder(folder)) {
        return false;
    }
    find_program(w);
    if (strcmp(backend, "nats") == 0) {
        return open_nats(w);
    }
    open_sqlite(w);
    return true;
}
