/* SPDX-License-Identifier: Apache-2.0
 * Where the servers of a run keep their data: in memory where there is room, since a cluster makes
 * tens of thousands of small files, and the disk of a busy machine takes a minute to remove them.
 * A run holds a lock on its folder, so that the next one knows what a run that was killed has left
 * behind, and removes it. One thread. */
#include "runner.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MEMORY "/dev/shm"
#define NAME "marty-servers"
static const unsigned long long room = 2ull << 30;

/* The lock ends with the process. */
static bool lock(const char *folder)
{
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool locked = descriptor >= 0 && flock(descriptor, LOCK_EX | LOCK_NB) == 0;
    if (!locked && descriptor >= 0) {
        close(descriptor);
    }
    return locked;
}

static void remove_left_behind(void)
{
    DIR *memory = opendir(MEMORY);
    for (struct dirent *entry; memory && (entry = readdir(memory));) {
        char path[320];
        struct stat info;
        snprintf(path, sizeof path, "%s/%s", MEMORY, entry->d_name);
        if (strncmp(entry->d_name, NAME ".", sizeof NAME) == 0 && lstat(path, &info) == 0 &&
            info.st_uid == getuid() && S_ISDIR(info.st_mode) && lock(path)) {
            test_folder_remove(path);
        }
    }
    if (memory) {
        closedir(memory);
    }
}

bool stores_make(char *ret_path, size_t size)
{
    struct statvfs memory;
    char fresh[] = MEMORY "/" NAME "-new.XXXXXX";
    bool there = !getenv("MARTY_TEST_SCRATCH") && statvfs(MEMORY, &memory) == 0 &&
                 (unsigned long long)memory.f_bavail * memory.f_frsize >= room;
    if (!there) {
        return test_folder_make(ret_path, size, "servers");
    }
    remove_left_behind();
    if (!mkdtemp(fresh)) {
        return test_folder_make(ret_path, size, "servers");
    }
    const char *unique = fresh + strlen(fresh) - 6; /* locked before it has a name to be found by */
    snprintf(ret_path, size, "%s/%s.%s", MEMORY, NAME, unique);
    return lock(fresh) && rename(fresh, ret_path) == 0;
}
