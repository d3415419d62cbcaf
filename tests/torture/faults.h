/* SPDX-License-Identifier: Apache-2.0
 * Faults for torture over SQLite: between arm and disarm the n-th call of a kind fails, once or
 * from then on. The kinds: memory (our allocations), sqlite-memory, disk-error, disk-full, locked,
 * statement (one that fails alone, and leaves the transaction around it as it is).
 * A run is made again and again, with the fault at another point each time. Any thread may make
 * calls. */
#ifndef TESTS_TORTURE_FAULTS_H
#define TESTS_TORTURE_FAULTS_H
#include <stdbool.h>

/** Begin to count, and to fail at `at` (0 = never). */
void faults_arm(long at, bool for_ever);
/** No more faults; how many calls there were. */
long faults_disarm(void);
/** On this thread no call is counted until it is said again: it is of the test itself. */
void faults_exempt(bool exempt);

/** One run with a fault there, and what must hold after it; how many points it had. */
typedef long (*faults_run)(const char *kind, long at, bool for_ever);

/** main of a test of torture. Arguments: KIND SECONDS (0 = all points) [POINT [for ever]]. */
int faults_main(int count, char **values, faults_run run);
/** The faults of this run, for people; made in a buffer of this file. */
const char *faults_name(const char *kind, long at, bool for_ever);
#endif
