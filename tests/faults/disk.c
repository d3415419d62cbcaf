/* SPDX-License-Identifier: Apache-2.0
 * A disk that is really full: a small file system of this process and its children alone. Where
 * that is not allowed the row is skipped and says so. */
#include "faults.h"

#include "support/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PIECE = 16384, BALLAST = 256 << 10 };

/* Before any thread is started: the row's folder becomes a disk of that many bytes. */
static void small_disk(const fault_run *r, const char *size)
{
    const char *refused = test_small_disk(r->folder, size);
    if (refused) {
        fault_skip(refused);
    }
}

static void fill(fault_run *r, int limit)
{
    static char data[PIECE];
    memset(data, 'x', sizeof data);
    r->err = MARTY_OK;
    for (int i = 0; i < limit && r->err == MARTY_OK; i++) {
        /* within the time after which a silent server is held for dead */
        fault_publish(r, "order.created", (marty_bytes){data, sizeof data},
                      &(marty_publish_options){.timeout_ms = 3500});
    }
}

static void ballast_path(const fault_run *r, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/ballast", r->folder);
}

void fault_disk_sqlite(fault_run *r)
{
    char path[600];
    static char data[BALLAST];
    small_disk(r, "2m");
    ballast_path(r, path, sizeof path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0 && write(fd, data, sizeof data) == (ssize_t)sizeof data && close(fd) == 0);
    (void)snprintf(r->url, sizeof r->url, "sqlite:%s/orders.db", r->folder);
    fault_open_well(r);
    fill(r, 1000);
}

/* There is room again, and the same bus goes on. */
void fault_disk_sqlite_after(fault_run *r)
{
    char path[600];
    marty_error why = {0};
    marty_err err = MARTY_E_STORAGE;
    ballast_path(r, path, sizeof path);
    REQUIRE(unlink(path) == 0);
    for (int64_t until = test_now_ms() + test_patience(10000); err && test_now_ms() < until;) {
        err = marty_publish_event(r->bus, "order.paid", marty_text("1"), NULL, &why);
    }
    MUST_INT(err, MARTY_OK);
}

void fault_disk_nats(fault_run *r)
{
    char store[600];
    small_disk(r, "16m");
    (void)snprintf(store, sizeof store, "%s", r->folder);
    test_server_options options = {.store_folder = store};
    fault_server(r, &options, "");
    fault_open_well(r);
    fill(r, 4000);
}
