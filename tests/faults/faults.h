/* SPDX-License-Identifier: Apache-2.0
 * Bad input and faults, each with what is said of it: one table of rows, one function a row. The
 * runner gives each row a process of its own, so that a row may fork, change its mounts and leave a
 * broken bus behind. A row fills in `why` with what the library said; the runner compares it, and
 * then has the program meet the same. */
#ifndef TESTS_FAULTS_FAULTS_H
#define TESTS_FAULTS_FAULTS_H
#include "check.h"
#include "support/certificates.h"
#include "support/server.h"
#include "support/wait.h"

#include <marty/marty.h>

/** As REQUIRE, of two numbers: a row ends with what does not hold. */
#define MUST_INT(have, want) REQUIRE(CHECK_INT(have, want))

typedef struct fault_run {
    char folder[512];   /* empty, of this row alone; the program runs in it */
    char url[1024];     /* what {url} is in the words of the program */
    marty_bus *bus;     /* closed by the runner */
    test_server server; /* freed by the runner; port 0 = none */
    const char *which;  /* "old" or "new": which server */
    marty_err err;      /* what the library answered */
    marty_error why;    /* and said */
} fault_run;

typedef struct fault_row {
    const char *name;    /* for the command line */
    const char *item;    /* what goes wrong, for people: the same for rows that belong together */
    const char *backend; /* "memory", "sqlite", "nats" or "any" */
    marty_err code;      /* what the library answers */
    const char *text;    /* its text, ~ for what differs from run to run; "" = MARTY_OK */
    const char *then;    /* what else holds, checked by the row; may be NULL */
    const char
        *program;  /* a command of a shell, {url} in it; NULL = only programs in C can do it */
    int exit_code; /* of the program; it says the same code and text */
    void (*run)(fault_run *r);
    void (*after)(fault_run *r); /* once the program has met it; may be NULL */
} fault_row;

/** All rows; NULL-named at the end. */
extern const fault_row fault_rows[];

/** Opens r->bus on r->url, as the service "billing"; fills in err and why. */
void fault_open(fault_run *r);
/** The same, and ends the row when it fails. */
void fault_open_well(fault_run *r);
/** Starts the row's server, and makes r->url of it and `keys` ("" = none). NULL options = plain. */
void fault_server(fault_run *r, const test_server_options *options, const char *keys);
/** Publishes an event; fills in err and why. */
void fault_publish(fault_run *r, const char *type, marty_bytes data,
                   const marty_publish_options *options);
/** Ends the row as skipped, with the reason. */
_Noreturn void fault_skip(const char *reason);

/* The rows' functions, by file. */
void fault_wrong_port(fault_run *r);
void fault_wrong_key(fault_run *r);
void fault_wrong_value(fault_run *r);
void fault_wrong_path(fault_run *r);
void fault_no_folder(fault_run *r);
void fault_no_database(fault_run *r);
void fault_unknown_scheme(fault_run *r);
void fault_missing_module(fault_run *r);
void fault_bad_yaml_value(fault_run *r);
void fault_bad_yaml_key(fault_run *r);
void fault_bad_yaml_syntax(fault_run *r);
void fault_no_route(fault_run *r);

void fault_nobody_listens(fault_run *r);
void fault_unknown_host(fault_run *r);
void fault_refused_password(fault_run *r);
void fault_refused_token(fault_run *r);
void fault_no_permission(fault_run *r);
void fault_wrong_ca(fault_run *r);
void fault_wrong_host(fault_run *r);
void fault_expired(fault_run *r);
void fault_tls_of_plain(fault_run *r);
void fault_plain_of_tls(fault_run *r);
void fault_missing_stream(fault_run *r);
void fault_missing_stream_sub(fault_run *r);

void fault_disk_sqlite(fault_run *r);
void fault_disk_sqlite_after(fault_run *r);
void fault_disk_nats(fault_run *r);

void fault_too_large_sqlite(fault_run *r);
void fault_too_large_nats(fault_run *r);
void fault_too_many_headers(fault_run *r);
void fault_hostile_header(fault_run *r);
void fault_name_empty(fault_run *r);
void fault_name_pattern(fault_run *r);
void fault_name_long(fault_run *r);
void fault_name_control(fault_run *r);
void fault_header_of_nats(fault_run *r);

void fault_use_after_close(fault_run *r);
void fault_double_close(fault_run *r);
void fault_publish_in_handler(fault_run *r);
void fault_close_in_handler(fault_run *r);
void fault_thrown_away(fault_run *r);
void fault_fork(fault_run *r);
void fault_shutdown_in_query(fault_run *r);
void fault_shutdown_in_receive(fault_run *r);
void fault_shutdown_in_publish(fault_run *r);
#endif
