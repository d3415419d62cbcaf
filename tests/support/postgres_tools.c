/* SPDX-License-Identifier: Apache-2.0
 * See postgres_tools.h. */
#include "postgres_tools.h"

#include "server.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOOL_MS = 60000 };

static bool take_bin(test_postgres *pair, const char *folder)
{
    char path[600];
    snprintf(path, sizeof path, "%.500s/initdb", folder);
    bool there = access(path, X_OK) == 0;
    if (there) {
        snprintf(pair->bin, sizeof pair->bin, "%s", folder);
    }
    return there;
}

/* A folder with a version in its path: the last there is. */
static bool take_versions(test_postgres *pair, const char *parent)
{
    bool found = false;
    DIR *entries = opendir(parent);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        char path[600];
        snprintf(path, sizeof path, "%.400s/%.40s/bin", parent, entry->d_name);
        found = (entry->d_name[0] != '.' && take_bin(pair, path)) || found;
    }
    if (entries) {
        closedir(entries);
    }
    return found;
}

bool test_postgres_find(test_postgres *pair)
{
    const char *named = getenv("POSTGRES_BIN");
    char path[600];
    if (named && take_bin(pair, named)) {
        return true;
    }
    test_server_cached(path, sizeof path, "postgresql/usr/lib/postgresql");
    return take_versions(pair, path) || take_versions(pair, "/usr/lib/postgresql");
}

size_t test_postgres_user(const char *argv[])
{
    static const char *const user[] = {"setpriv",        "--reuid=nobody",   "--regid=nogroup",
                                       "--clear-groups", "--pdeathsig=KILL", "env",
                                       "HOME=/tmp"};
    size_t count = geteuid() == 0 ? sizeof user / sizeof *user : 0;
    memcpy(argv, user, count * sizeof *argv);
    return count;
}

bool test_postgres_tool(const test_postgres *pair, const char *const arguments[])
{
    const char *argv[TEST_POSTGRES_ARGUMENTS] = {NULL};
    char program[600], log[600];
    size_t count = test_postgres_user(argv);
    snprintf(program, sizeof program, "%s/%s", pair->bin, arguments[0]);
    snprintf(log, sizeof log, "%s/tools.log", pair->folder);
    argv[count++] = program;
    for (size_t i = 1; arguments[i] && count + 1 < TEST_POSTGRES_ARGUMENTS; i++) {
        argv[count++] = arguments[i];
    }
    return test_process_run(argv, log, TOOL_MS) == 0;
}

bool test_postgres_folder(test_postgres *pair)
{
    const char *from = pair->bin;
    if (!test_folder_make_in(pair->folder, sizeof pair->folder, "/tmp", "marty-postgres")) {
        return false;
    }
    if (geteuid() != 0) {
        return true;
    }
    char to[600], log[600];
    snprintf(to, sizeof to, "%.500s/server", pair->folder);
    snprintf(log, sizeof log, "%.500s/tools.log", pair->folder);
    const char *const mine[] = {"chown", "nobody:nogroup", pair->folder, NULL};
    bool fine = test_process_run(mine, NULL, TOOL_MS) == 0;
    const char *tree = strstr(from, "/usr/lib/postgresql/");
    if (fine && tree && tree != from) { /* in a folder of root's, where others cannot look */
        char prefix[512];
        snprintf(prefix, sizeof prefix, "%.*s", (int)(tree - from), from);
        const char *const copy[] = {"cp", "-r", prefix, to, NULL};
        fine = test_process_run(copy, log, TOOL_MS) == 0;
        snprintf(pair->bin, sizeof pair->bin, "%.200s%.300s", to, tree);
    }
    return fine;
}
