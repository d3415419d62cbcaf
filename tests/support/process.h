/* SPDX-License-Identifier: Apache-2.0
 * Child processes of tests: started with output in a file, stopped, frozen and killed by their own
 * id only. A child dies with the thread that started it (so start them on a thread that lives on):
 * an aborted test leaves nothing behind. */
#ifndef TESTS_SUPPORT_PROCESS_H
#define TESTS_SUPPORT_PROCESS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

typedef struct test_process {
    pid_t pid;  /* 0 = not running */
    int status; /* of waitpid, once it ended */
} test_process;

/** Runs argv[0] (found in PATH); stdin is empty, stdout and stderr are appended to log_path (NULL =
 * inherited). environment: NULL-ended NAME=value lines added, or NULL. */
bool test_process_start(test_process *process, const char *const argv[],
                        const char *const environment[], const char *log_path);
/** Whether it still runs; takes its status when it does not. */
bool test_process_alive(test_process *process);
/** Whether it has a handler of its own for that signal; a service has one for SIGTERM once it
 * serves.
 */
bool test_process_catches(const test_process *process, int number);
/** Sends a signal: SIGCONT, SIGTERM ... */
void test_process_signal(test_process *process, int number);
/** SIGSTOP, and waits until it stands still: until then its threads go on. */
void test_process_freeze(test_process *process);
/** Waits for its end. False: it still runs after limit_ms. */
bool test_process_join(test_process *process, int64_t limit_ms);
/** kill -9, and waits for its end. Fine when it does not run. */
void test_process_kill(test_process *process);
/** Runs to the end; its exit code, or -1 when it did not start, was killed or took too long. */
int test_process_run(const char *const argv[], const char *log_path, int64_t limit_ms);
/** Prints the end of what a process said, for a failure that nobody can look at afterwards. */
void test_log_show(FILE *to, const char *log_path);
/** A new empty folder below the tests' scratch folder; false when it cannot be made. */
bool test_folder_make(char *ret_path, size_t size, const char *name);
/** The same below another folder, which is made if it is not there. */
bool test_folder_make_in(char *ret_path, size_t size, const char *parent, const char *name);
/** Removes it with everything in it. */
void test_folder_remove(const char *path);
#endif
