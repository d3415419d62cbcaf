/* SPDX-License-Identifier: Apache-2.0
 * Where PostgreSQL's programs are, and how they are run: not as root, which they refuse to be. */
#ifndef TESTS_SUPPORT_POSTGRES_TOOLS_H
#define TESTS_SUPPORT_POSTGRES_TOOLS_H
#include "postgres.h"

enum { TEST_POSTGRES_ARGUMENTS = 32 };

/** Sets bin, in the same order as with_postgres.sh: named, fetched by setup, the system's. */
bool test_postgres_find(test_postgres *pair);
/** Makes the folder of both, which the servers' user can read, and moves bin where that user can
 * look. */
bool test_postgres_folder(test_postgres *pair);
/** The words that run what follows as the servers' user, so that it dies with us all the same; how
 * many, none when we are not root. */
size_t test_postgres_user(const char *argv[]);
/** Runs a program of bin to its end, output in tools.log. False: it failed. */
bool test_postgres_tool(const test_postgres *pair, const char *const arguments[]);
#endif
