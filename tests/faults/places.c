/* SPDX-License-Identifier: Apache-2.0
 * Faults of where to: URLs, schemes, modules, files, configuration. Nothing is up yet. */
#include "faults.h"

static void open_path(fault_run *r, const char *scheme, const char *rest)
{
    (void)snprintf(r->url, sizeof r->url, "%s%s/%s", scheme, r->folder, rest);
    fault_open(r);
}

static void open_text(fault_run *r, const char *url)
{
    (void)snprintf(r->url, sizeof r->url, "%s", url);
    fault_open(r);
}

static void write_file(const fault_run *r, const char *name, const char *text)
{
    char path[600];
    (void)snprintf(path, sizeof path, "%s/%s", r->folder, name);
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL);
    REQUIRE(fputs(text, file) >= 0);
    REQUIRE(fclose(file) == 0);
}

static void open_config(fault_run *r, const char *text)
{
    write_file(r, "marty.yaml", text);
    open_path(r, "", "marty.yaml");
}

void fault_wrong_port(fault_run *r)
{
    open_text(r, "nats://127.0.0.1:99999");
}

void fault_wrong_key(fault_run *r)
{
    open_path(r, "sqlite:", "orders.db?snyc=full");
}

void fault_wrong_value(fault_run *r)
{
    open_path(r, "sqlite:", "orders.db?lease=soon");
}

void fault_wrong_path(fault_run *r)
{
    open_text(r, "nats://127.0.0.1:4222/orders");
}

void fault_no_folder(fault_run *r)
{
    open_path(r, "sqlite:", "none/orders.db");
}

void fault_no_database(fault_run *r)
{
    char text[2048];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    write_file(r, "orders.db", text);
    open_path(r, "sqlite:", "orders.db");
}

void fault_unknown_scheme(fault_run *r)
{
    open_text(r, "natz://127.0.0.1:4222");
}

void fault_missing_module(fault_run *r)
{
    open_text(r, "kafka://127.0.0.1:9092");
}

void fault_bad_yaml_value(fault_run *r)
{
    open_config(r, "service: orders\nbackends:\n  main: 'memory:'\nroutes:\n"
                   "  - {events: \"order.*\", to: logs}\n");
}

void fault_bad_yaml_key(fault_run *r)
{
    open_config(r, "backends: {main: 'memory:'}\nrety: {attempts: 5}\n");
}

void fault_bad_yaml_syntax(fault_run *r)
{
    open_config(r, "backends:\n  main: [memory\n");
}

void fault_no_route(fault_run *r)
{
    open_config(r, "backends: {main: 'memory:', log: 'memory:log'}\nroutes:\n"
                   "  - {events: \"order.*\", to: log}\n");
    REQUIRE(r->err == MARTY_OK);
    fault_publish(r, "user.created", marty_text("1"), NULL);
}
