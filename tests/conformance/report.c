/* SPDX-License-Identifier: Apache-2.0
 * build/conformance.json: an array of {contract, backend, version, result, reason, ms, cases}, one
 * entry per contract and backend. Runs against other backends add to it; a lock and a rename keep
 * it whole when several run at once. */
#include "runner.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static json_t *case_json(const verdict *made)
{
    return json_pack("{ss ss ss ss sI}", "case", made->one->name, "says",
                     made->one->says ? made->one->says : "every claim was shown by a case",
                     "result", made->result, "reason", made->reason, "ms", (json_int_t)made->ms);
}

/* Adds a case's reason to its contract's. */
static void add_reason(char *reason, size_t size, const verdict *made, bool failed)
{
    bool fails = strcmp(made->result, "fail") == 0;
    bool skips = strcmp(made->result, "skip") == 0;
    if (!made->reason[0] || (failed && !fails)) {
        return;
    }
    size_t have = strlen(reason);
    snprintf(reason + have, size - have, "%s%s%s: %s", have ? "; " : "", made->one->name,
             skips ? " skipped" : "", made->reason);
}

/* One contract from its cases: fails if one fails, is skipped if all are. */
static json_t *contract_json(const char *contract, const char *backend, const char *version,
                             const verdict verdicts[], size_t count)
{
    static char reason[16384];
    json_t *cases = json_array();
    size_t passed = 0, failed = 0;
    int64_t ms = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(verdicts[i].one->contract, contract) == 0) {
            passed += strcmp(verdicts[i].result, "pass") == 0;
            failed += strcmp(verdicts[i].result, "fail") == 0;
        }
    }
    reason[0] = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(verdicts[i].one->contract, contract) == 0) {
            add_reason(reason, sizeof reason, &verdicts[i], failed > 0);
            json_array_append_new(cases, case_json(&verdicts[i]));
            ms += verdicts[i].ms;
        }
    }
    return json_pack("{ss ss ss ss ss sI so}", "contract", contract, "backend", backend, "version",
                     version, "result",
                     failed   ? "fail"
                     : passed ? "pass"
                              : "skip",
                     "reason", reason, "ms", (json_int_t)ms, "cases", cases);
}

static bool is_ours(const json_t *entry, const char *backend, const verdict verdicts[],
                    size_t count)
{
    const char *name = json_string_value(json_object_get(entry, "backend"));
    const char *contract = json_string_value(json_object_get(entry, "contract"));
    if (!name || !contract || strcmp(name, backend) != 0) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(verdicts[i].one->contract, contract) == 0) {
            return true;
        }
    }
    return false;
}

static json_t *merge(json_t *old, const char *backend, const char *version,
                     const verdict verdicts[], size_t count)
{
    json_t *all = json_array(), *entry;
    size_t index;
    json_array_foreach(old, index, entry)
    {
        if (!is_ours(entry, backend, verdicts, count)) {
            json_array_append(all, entry);
        }
    }
    for (size_t i = 0; i < count; i++) {
        bool first = true;
        for (size_t k = 0; k < i && first; k++) {
            first = strcmp(verdicts[k].one->contract, verdicts[i].one->contract) != 0;
        }
        if (first) {
            json_array_append_new(
                all, contract_json(verdicts[i].one->contract, backend, version, verdicts, count));
        }
    }
    return all;
}

bool report_write(const char *path, const char *backend, const char *version,
                  const verdict verdicts[], size_t count)
{
    char lock_path[1100], new_path[1100];
    snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    snprintf(new_path, sizeof new_path, "%s.new", path);
    int lock = open(lock_path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    if (lock < 0 || flock(lock, LOCK_EX) != 0) {
        fprintf(stderr, "%s cannot be locked\n", lock_path);
        return false;
    }
    json_t *old = json_load_file(path, 0, NULL);
    json_t *all = merge(old, backend, version, verdicts, count);
    bool written =
        json_dump_file(all, new_path, JSON_INDENT(1)) == 0 && rename(new_path, path) == 0;
    json_decref(old);
    json_decref(all);
    close(lock);
    if (!written) {
        fprintf(stderr, "%s cannot be written\n", path);
    }
    return written;
}
