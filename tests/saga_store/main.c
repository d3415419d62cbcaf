/* SPDX-License-Identifier: Apache-2.0
 * The suite of the stores of sagas: saga_store_suite URL [SEED CALLS]. "sqlite:" alone makes a file
 * of its own in a folder that is removed at the end. */
#include "suite.h"

#include <unistd.h>

/* A store that is not there is not made by who wants it to be there. */
static void wants_it_there(const char *url, bool there)
{
    char text[300];
    marty_err err = MARTY_OK;
    (void)snprintf(text, sizeof text, "%s%ccreate=no", url, strchr(url, '?') ? '&' : '?');
    for (int i = 0; i < 2; i++) { /* the first has left nothing */
        CHECK_HAS(suite_refusal(text, &err), there ? "" : "no sagas are kept there");
        CHECK_INT(err, there ? MARTY_OK : MARTY_E_NOT_FOUND);
    }
}

int main(int count, char **values)
{
    const char *text = count > 1 ? values[1] : "memory:";
    char folder[] = "/tmp/marty-saga-store-XXXXXX", url[200];
    bool own = strcmp(text, "sqlite:") == 0;
    if (own) {
        REQUIRE(mkdtemp(folder));
        (void)snprintf(url, sizeof url, "sqlite:%s/sagas.db", folder);
    } else {
        (void)snprintf(url, sizeof url, "%s%s", text, strcmp(text, "memory:") == 0 ? "suite" : "");
    }
    bool lasts = strncmp(text, "memory:", strlen("memory:")) != 0;
    if (lasts) {
        wants_it_there(url, false);
    }
    suite_store keep = suite_open(url); /* a shared store in memory lives as long as this */
    printf("%s\n", keep.table->describe(keep.handle));
    if (lasts) {
        wants_it_there(url, true);
    }
    uint64_t seed = count > 2 ? strtoull(values[2], NULL, 10) : 1;
    int failed = suite_random(url, seed, count > 3 ? (unsigned)strtoul(values[3], NULL, 10) : 4000);
    failed |= suite_cases(url); /* after the other, which begins with the first epochs */
    failed |= suite_many(url);
    failed |= suite_races(url);
    suite_close(&keep);
    if (own) {
        static const char *const ends[] = {"", "-wal", "-shm"};
        for (int i = 0; i < 3; i++) {
            char path[220];
            (void)snprintf(path, sizeof path, "%s/sagas.db%s", folder, ends[i]);
            (void)unlink(path);
        }
        (void)rmdir(folder);
    }
    return failed;
}
