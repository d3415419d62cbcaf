/* SPDX-License-Identifier: Apache-2.0
 * Other processes of a case, and marks: lines in files of its folder, each written at once, so that
 * what a process did before kill -9 can be counted afterwards. */
#include "suite.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char *suite_self(void)
{
    static char path[1024];
    if (!path[0]) {
        ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
        path[length > 0 ? length : 0] = 0;
    }
    return path;
}

test_process suite_spawn(const char *role, const char *const words[])
{
    const char *argv[24] = {suite_self(), "--role", role};
    size_t count = 3;
    for (size_t i = 0; words && words[i] && count < 23; i++) {
        argv[count++] = words[i];
    }
    test_process process;
    EXPECT(test_process_start(&process, argv, NULL, NULL), "the process %s did not start", role);
    return process;
}

bool suite_has_processes(void)
{
    return getenv("MARTY_SUITE_PROCESSES") != NULL;
}

test_process suite_spawn_off(const char *role, const char *const words[], long shift_s)
{
#ifdef SUITE_SANITIZED
    suite_skip("nothing can be preloaded before a sanitizer");
#endif
    char preload[1100], shift[64];
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s/tests/clock_shift.so", SUITE_BUILD_DIR);
    snprintf(shift, sizeof shift, "MARTY_CLOCK_SHIFT=%ld", shift_s);
    const char *environment[] = {preload, shift, NULL};
    const char *argv[24] = {suite_self(), "--role", role};
    for (size_t i = 0; words && words[i] && i < 20; i++) {
        argv[3 + i] = words[i];
    }
    test_process process;
    EXPECT(test_process_start(&process, argv, environment, NULL), "the process %s did not start",
           role);
    return process;
}

void suite_join(test_process *process, int64_t limit_ms)
{
    EXPECT(test_process_join(process, limit_ms), "a process was not done within %lld ms",
           (long long)limit_ms);
    EXPECT(WIFEXITED(process->status) && WEXITSTATUS(process->status) == 0,
           "a process ended with status %d", process->status);
}

void suite_die(void)
{
    kill(getpid(), SIGKILL);
    for (;;) {
        pause();
    }
}

static void path_of(char *ret_path, size_t size, const char *file)
{
    snprintf(ret_path, size, "%s/%s", suite_folder(), file);
}

void suite_mark(const char *file, const char *line)
{
    char path[1024], text[256];
    path_of(path, sizeof path, file);
    int length = snprintf(text, sizeof text, "%s\n", line);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (descriptor < 0 || write(descriptor, text, (size_t)length) != length) {
        suite_fail("a mark cannot be written to %s", path);
    }
    close(descriptor);
}

typedef struct lines {
    char *text;
    char **line;
    size_t count;
} lines;

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All whole lines, sorted. */
static lines read_lines(const char *file)
{
    char path[1024];
    path_of(path, sizeof path, file);
    lines all = {0};
    FILE *from = fopen(path, "r");
    if (!from) {
        return all;
    }
    size_t room = 1 << 20;
    all.text = calloc(1, room + 1);
    all.line = calloc(room / 2, sizeof *all.line);
    if (!all.text || !all.line) {
        abort();
    }
    size_t size = fread(all.text, 1, room, from);
    fclose(from);
    for (char *at = all.text, *end; (end = memchr(at, '\n', size - (size_t)(at - all.text)));
         at = end + 1) {
        *end = 0;
        all.line[all.count++] = at;
    }
    qsort(all.line, all.count, sizeof *all.line, compare);
    return all;
}

static void free_lines(lines *all)
{
    free(all->line);
    free(all->text);
}

size_t suite_marks(const char *file)
{
    lines all = read_lines(file);
    free_lines(&all);
    return all.count;
}

size_t suite_marks_unique(const char *file)
{
    lines all = read_lines(file);
    size_t unique = 0;
    for (size_t i = 0; i < all.count; i++) {
        unique += i == 0 || strcmp(all.line[i], all.line[i - 1]) != 0;
    }
    free_lines(&all);
    return unique;
}

size_t suite_marks_of(const char *file, const char *line)
{
    lines all = read_lines(file);
    size_t count = 0;
    for (size_t i = 0; i < all.count; i++) {
        count += strcmp(all.line[i], line) == 0;
    }
    free_lines(&all);
    return count;
}

typedef struct mark_wait {
    const char *file;
    size_t wanted;
} mark_wait;

static bool are_marked(void *user)
{
    const mark_wait *wait = user;
    return suite_marks_unique(wait->file) >= wait->wanted;
}

bool suite_wait_marks(const char *file, size_t unique, int64_t limit_ms)
{
    mark_wait wait = {file, unique};
    return test_wait_for(are_marked, &wait, limit_ms);
}
