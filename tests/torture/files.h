/* SPDX-License-Identifier: Apache-2.0
 * Databases of torture: files of a folder of their own, in memory where there is such a place
 * (syncs are counted, not waited for), and copies of them as a crash would leave them. One thread.
 */
#ifndef TESTS_TORTURE_FILES_H
#define TESTS_TORTURE_FILES_H

/** The path of "NAME.db" and what comes behind it ("", "-wal"); in one of a few buffers. */
const char *files_path(const char *name, const char *end);
/** Copy a database with its log, as a crash of the machine leaves it: without its shared memory. */
void files_copy(const char *from, const char *to);
/** Remove all. */
void files_remove(void);
#endif
