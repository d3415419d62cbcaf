/* SPDX-License-Identifier: Apache-2.0
 * Messages that cannot go: too large, too many or hostile headers, names. Each is refused by the
 * call, and what is right still goes afterwards. */
#include "faults.h"

enum { MANY = 1100 };

static void open_at(fault_run *r, const char *scheme)
{
    if (strcmp(scheme, "nats") == 0) {
        fault_server(r, NULL, "");
    } else if (strcmp(scheme, "sqlite") == 0) {
        (void)snprintf(r->url, sizeof r->url, "sqlite:%s/orders.db", r->folder);
    } else {
        (void)snprintf(r->url, sizeof r->url, "memory:");
    }
    fault_open_well(r);
}

/* The refused one leaves err and why; the next one goes. */
static void refuse(fault_run *r, const char *type, marty_bytes data, const marty_message *with)
{
    marty_publish_options options = {.with = with};
    fault_publish(r, type, data, &options);
    marty_error why = {0};
    MUST_INT(marty_publish_event(r->bus, "order.created", marty_text("1"), NULL, &why), MARTY_OK);
}

static void publish_large(fault_run *r, size_t size)
{
    char *data = calloc(1, size);
    REQUIRE(data != NULL);
    memset(data, 'x', size);
    char path[600];
    (void)snprintf(path, sizeof path, "%s/large", r->folder);
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0);
    refuse(r, "order.created", (marty_bytes){data, size}, NULL);
    free(data);
}

void fault_too_large_sqlite(fault_run *r)
{
    open_at(r, "sqlite");
    publish_large(r, 40 << 20);
}

void fault_too_large_nats(fault_run *r)
{
    open_at(r, "nats");
    publish_large(r, 1 << 20);
}

void fault_too_many_headers(fault_run *r)
{
    static marty_header headers[MANY];
    static char names[MANY][8];
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "h%d", i);
        headers[i] = (marty_header){names[i], marty_text("1"), MARTY_HEADER};
    }
    open_at(r, "sqlite");
    refuse(r, "order.created", marty_text("1"),
           &(marty_message){.headers = headers, .header_count = MANY});
}

static void publish_header(fault_run *r, const char *name, const char *value)
{
    const marty_header header[] = {{name, marty_text(value), MARTY_HEADER}};
    refuse(r, "order.created", marty_text("1"),
           &(marty_message){.headers = header, .header_count = 1});
}

void fault_hostile_header(fault_run *r)
{
    open_at(r, "sqlite");
    publish_header(r, "x-note", "a\r\nx-admin: yes");
}

void fault_header_of_nats(fault_run *r)
{
    open_at(r, "nats");
    publish_header(r, "Nats-Rollup", "all");
}

void fault_name_empty(fault_run *r)
{
    open_at(r, "sqlite");
    refuse(r, "order..created", marty_text("1"), NULL);
}

void fault_name_pattern(fault_run *r)
{
    open_at(r, "sqlite");
    refuse(r, "order.*", marty_text("1"), NULL);
}

void fault_name_long(fault_run *r)
{
    char type[300];
    memset(type, 'x', sizeof type - 1);
    type[sizeof type - 1] = 0;
    open_at(r, "sqlite");
    refuse(r, type, marty_text("1"), NULL);
}

void fault_name_control(fault_run *r)
{
    open_at(r, "nats");
    refuse(r, "order.\ncreated", marty_text("1"), NULL);
}
