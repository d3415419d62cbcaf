/* SPDX-License-Identifier: Apache-2.0
 * Probes of sqlite: real clocks, of which the wall clock may be ahead, and files in a folder of the
 * test's own, removed at its end. */
#ifndef MARTY_BACKENDS_SQLITE_TEST_FILE_H
#define MARTY_BACKENDS_SQLITE_TEST_FILE_H
#include "backend/registry.h"
#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static const marty_backend *const test_backend = &marty__sqlite_backend;
static _Atomic int64_t test_wall_ahead_us;

static int64_t test_wall(void *user)
{
    (void)user;
    return marty__wall_us() + test_wall_ahead_us;
}
static int64_t test_monotonic(void *user)
{
    (void)user;
    return marty__monotonic_ns();
}
static void test_random(void *user, void *buffer, size_t size)
{
    marty__env_real()->random(user, buffer, size);
}
static const marty_env test_env = {
    .monotonic_ns = test_monotonic, .wall_us = test_wall, .random = test_random};

#include "backend/test_talk.h"

static bool test_wait(probe *p, int64_t until_ns)
{
    return marty__wait(&p->changed, &p->lock, until_ns);
}

/** Wait until that much time is over. */
TOOL void pass_ms(int64_t ms)
{
    int64_t until_ns = marty__deadline_ns(marty__monotonic_ns(), ms);
    CHECK_SOON(marty__monotonic_ns() >= until_ns, WITHIN_MS);
}

/* ---- files */
static char test_folder[64];

TOOL const char *test_file(const char *name)
{
    static char paths[8][128];
    static unsigned turn;
    if (!test_folder[0]) {
        (void)snprintf(test_folder, sizeof test_folder, "/tmp/marty-sqlite-XXXXXX");
        REQUIRE(mkdtemp(test_folder) != NULL);
    }
    char *path = paths[turn++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", test_folder, name);
    return path;
}

TOOL void test_folder_remove(void)
{
    DIR *folder = test_folder[0] ? opendir(test_folder) : NULL;
    struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL) {
        char path[400];
        (void)snprintf(path, sizeof path, "%s/%s", test_folder, entry->d_name);
        (void)unlink(path);
    }
    if (folder) {
        (void)closedir(folder);
        (void)rmdir(test_folder);
    }
}

/** "name" or "name?keys", in the test's folder. */
TOOL probe *probe_open(const char *name)
{
    char url[300];
    (void)snprintf(url, sizeof url, "sqlite:%s", test_file(name));
    return probe_open_url(url);
}
#endif
