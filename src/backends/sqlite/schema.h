/* SPDX-License-Identifier: Apache-2.0
 * The tables, and how a file of an older version becomes one of this version. Each step is kept as
 * it was released: a new version adds a step at the end. */
#ifndef MARTY_BACKENDS_SQLITE_SCHEMA_H
#define MARTY_BACKENDS_SQLITE_SCHEMA_H
#include "db.h"

enum { SQ_SCHEMA_VERSION = 3, SQ_APPLICATION_ID = 0x4d525459 /* "MRTY" */ };

/** Make or bring up to date, in one transaction; the shared file's door is held, so one process at
 * a time does it. E: UNSUPPORTED (made by a newer Marty), CONFIG (another program's database), as
 * marty__sq_explain. */
marty_err marty__sq_schema_ensure(sq_db *db, const marty_env *env, marty_error *why);
/** Run the steps up to a version on an empty file, as that version would have: for tests. */
int marty__sq_schema_make(sq_db *db, int version, int64_t now_us);
#endif
