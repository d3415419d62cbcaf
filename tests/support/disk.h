/* SPDX-License-Identifier: Apache-2.0
 * A disk of a few megabytes for a test: a file system in memory that only this process and its
 * children see, and that is gone with the last of them. */
#ifndef TESTS_SUPPORT_DISK_H
#define TESTS_SUPPORT_DISK_H
/** The folder becomes a disk of that size ("2m"). Before any thread is started. NULL, or what is
 * not allowed here (a static text): then the test is to be skipped. */
const char *test_small_disk(const char *folder, const char *size);
#endif
