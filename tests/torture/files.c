/* SPDX-License-Identifier: Apache-2.0
 * Databases of torture: see files.h. */
#include "files.h"

#include "check.h"

#include <dirent.h>
#include <unistd.h>

static char folder[40];

const char *files_path(const char *name, const char *end)
{
    static char paths[8][100];
    static unsigned turn;
    if (!folder[0]) {
        (void)snprintf(folder, sizeof folder, "%s/marty-torture-XXXXXX",
                       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        REQUIRE(mkdtemp(folder));
    }
    char *path = paths[turn++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s.db%s", folder, name, end);
    return path;
}

static void copy_file(const char *from, const char *to)
{
    char buffer[65536];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    REQUIRE(in && out);
    for (size_t size; (size = fread(buffer, 1, sizeof buffer, in)) > 0;) {
        REQUIRE(fwrite(buffer, 1, size, out) == size);
    }
    (void)fclose(in);
    REQUIRE(fclose(out) == 0);
}

void files_copy(const char *from, const char *to)
{
    (void)unlink(files_path(to, "-shm"));
    copy_file(files_path(from, ""), files_path(to, ""));
    copy_file(files_path(from, "-wal"), files_path(to, "-wal"));
}

void files_remove(void)
{
    DIR *entries = folder[0] ? opendir(folder) : NULL;
    for (struct dirent *entry; entries && (entry = readdir(entries)) != NULL;) {
        char path[400];
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        (void)unlink(path);
    }
    if (entries) {
        (void)closedir(entries);
        (void)rmdir(folder);
    }
}
