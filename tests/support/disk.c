/* SPDX-License-Identifier: Apache-2.0
 * See disk.h. */
#include "support/disk.h"

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) {
        (void)close(fd);
    }
    return written;
}

const char *test_small_disk(const char *folder, const char *size)
{
    char map[64], option[64];
    unsigned user = (unsigned)getuid();
    if (unshare(user == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) {
        return "no file system of one's own is allowed here (unshare)";
    }
    (void)snprintf(map, sizeof map, "0 %u 1\n", user);
    (void)snprintf(option, sizeof option, "size=%s", size);
    if ((user != 0 && !write_text("/proc/self/uid_map", map)) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", folder, "tmpfs", 0, option) != 0) {
        return "no file system of one's own is allowed here (mount)";
    }
    return NULL;
}
