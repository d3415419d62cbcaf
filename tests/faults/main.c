/* SPDX-License-Identifier: Apache-2.0
 * Runs the rows of faults.h: `faults memory+sqlite`, `faults nats new|old`, or `faults ROW
 * [new|old]` for one of them; `faults --page` prints docs/reference/faults.md. Each row runs in a
 * process of its own with a deadline. Exit code 77: all rows of the run were skipped, and why was
 * said. */
#include "faults.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

/* A server of the row is there: one that takes two seconds to greet is asked once more. */
enum { SKIPPED = 77, ROW_SECONDS = 60, OUTPUT_MAX = 16384, GREET_MS = 20000 };

_Noreturn void fault_skip(const char *reason)
{
    printf("skipped: %s\n", reason);
    (void)fflush(stdout);
    exit(SKIPPED);
}

void fault_open(fault_run *r)
{
    marty_bus_options options = {.service = "billing", .timeout_ms = r->server.port ? GREET_MS : 0};
    r->err = marty_bus_open(&r->bus, r->url, &options, &r->why);
}

void fault_open_well(fault_run *r)
{
    fault_open(r);
    if (r->err) {
        fprintf(stderr, "%s: %s\n", r->url, r->why.text);
    }
    REQUIRE(r->err == MARTY_OK);
}

void fault_server(fault_run *r, const test_server_options *options, const char *keys)
{
    char base[256], why[512];
    test_server_options own = options ? *options : (test_server_options){0};
    own.kind = strcmp(r->which, "old") == 0 ? TEST_NATS_OLD : TEST_NATS_NEW;
    if (!test_server_find(own.kind, base, sizeof base, why, sizeof why)) {
        fault_skip(why);
    }
    if (!test_server_start(&r->server, &own, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
    test_server_url(&r->server, base, sizeof base);
    (void)snprintf(r->url, sizeof r->url, "%s%s%s", base, keys[0] ? "?" : "", keys);
}

void fault_publish(fault_run *r, const char *type, marty_bytes data,
                   const marty_publish_options *options)
{
    r->err = marty_publish_event(r->bus, type, data, options, &r->why);
}

/* Whether the text is as the pattern says, in which ~ is any run of characters. */
static bool matches(const char *text, const char *pattern)
{
    const char *star = NULL, *from = NULL;
    while (*text) {
        if (*pattern == '~') {
            star = ++pattern;
            from = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++from;
        } else {
            return false;
        }
    }
    return pattern[strspn(pattern, "~")] == 0;
}

/* The command, with the URL put in. */
static void command_make(const fault_row *row, const fault_run *r, char *text, size_t size)
{
    const char *at = strstr(row->program, "{url}");
    int before = at ? (int)(at - row->program) : (int)strlen(row->program);
    int wrote = at ? snprintf(text, size, "%.*s'%s'%s%s", before, row->program, r->url,
                              r->server.port ? " --wait 20s" : "", at + 5)
                   : snprintf(text, size, "%s", row->program);
    REQUIRE(wrote > 0 && (size_t)wrote < size);
}

static void read_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    REQUIRE(file != NULL);
    text[fread(text, 1, size - 1, file)] = 0;
    REQUIRE(fclose(file) == 0);
}

/* The program, in the row's folder: exit code, and a line `CODE  text` on stderr. */
static bool run_program(const fault_row *row, const fault_run *r)
{
    static char command[4096], said[OUTPUT_MAX], wanted[1024];
    const char *name = marty_err_describe(row->code)->name;
    char log[600];
    (void)snprintf(log, sizeof log, "%s.log", r->folder);
    command_make(row, r, command, sizeof command);
    REQUIRE(chdir(r->folder) == 0);
    const char *argv[] = {"sh", "-c", command, NULL};
    int code = test_process_run(argv, log, test_patience(30000));
    read_file(log, said, sizeof said);
    REQUIRE(unlink(log) == 0);
    (void)snprintf(wanted, sizeof wanted, "~%s  %s\n~", name, row->text);
    bool good = code == row->exit_code && matches(said, wanted);
    if (!good) {
        fprintf(stderr, "%s: exit code %d, wanted %d and\n  %s  %s\nsaid:\n%s", command, code,
                row->exit_code, name, row->text, said);
    }
    return good;
}

static int run_row(const fault_row *row, const char *which)
{
    static fault_run r;
    r.which = which;
    REQUIRE(test_folder_make(r.folder, sizeof r.folder, "fault"));
    row->run(&r);
    const char *name = marty_err_describe(r.err)->name;
    bool good = r.err == row->code && (!r.err || matches(r.why.text, row->text));
    printf("%s  %s\n", name, r.why.text);
    if (!good) {
        fprintf(stderr, "the library answered %s  %s\n  wanted %s  %s\n", name, r.why.text,
                marty_err_describe(row->code)->name, row->text);
    } else if (row->program) {
        good = run_program(row, &r);
    }
    if (good && row->after) {
        row->after(&r);
    }
    marty_bus_free(r.bus);
    test_server_free(&r.server);
    REQUIRE(chdir("/") == 0);
    test_folder_remove(r.folder);
    return good ? 0 : 1;
}

/* In a child of its own, before any thread. */
static int run_apart(const fault_row *row, const char *which)
{
    int status = 0;
    (void)fflush(stdout);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        (void)alarm((unsigned)test_patience(ROW_SECONDS));
        exit(run_row(row, which));
    }
    while (waitpid(child, &status, 0) != child) {
        REQUIRE(errno == EINTR);
    }
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "%s: %s\n", row->name, strsignal(WTERMSIG(status)));
    }
    printf("%-7s %s\n", code == 0 ? "fine" : code == SKIPPED ? "skipped" : "FAILED", row->name);
    return code;
}

static void put_cell(const char *text)
{
    for (; *text; text++) {
        if (*text == '~') {
            (void)fputs("...", stdout);
        } else {
            (void)printf("%s%c", strchr("*|_", *text) ? "\\" : "", *text);
        }
    }
}

static void print_row(const fault_row *row)
{
    printf("| %s | %s | `%s`", row->item, row->backend, marty_err_describe(row->code)->name);
    if (row->text[0]) {
        (void)fputs(" ", stdout);
        put_cell(row->text);
    }
    if (row->then) {
        printf("%s*%s*", row->text[0] ? ". " : " ", row->then);
    }
    if (row->program) {
        const char *at = strstr(row->program, "{url}");
        printf(" | `%.*s%s%s`: %d |\n", at ? (int)(at - row->program) : 4096, row->program,
               at ? "URL" : "", at ? at + 5 : "", row->exit_code);
    } else {
        printf(" | |\n");
    }
}

static void print_page(void)
{
    printf(
        "# What is said when something goes wrong\n\n"
        "Printed by `faults --page` from the table in tests/faults/rows.c; do not edit. Each row "
        "is run as a test: through the library, whose\n"
        "code and text are these (`...` is what differs from run to run), and through the "
        "program, which says the same on stderr and ends with\n"
        "that exit code. In italics what else the test checks. Rows without a program are "
        "mistakes that only a program in C can make.\n\n"
        "| What goes wrong | Backend | Code, text | Program, exit code |\n|---|---|---|---|\n");
    for (const fault_row *row = fault_rows; row->name; row++) {
        print_row(row);
    }
}

/* The program of this build is what commands call `marty`. */
static void find_program(void)
{
    static char path[8192];
    const char *folder = getenv("MARTY_BIN"), *old = getenv("PATH");
    (void)snprintf(path, sizeof path, "%s%s%s", folder ? folder : "", folder ? ":" : "",
                   old ? old : "");
    REQUIRE(setenv("PATH", path, 1) == 0);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *which = argc > 2 ? argv[2] : "new";
    bool nats = strcmp(what, "nats") == 0, local = strcmp(what, "local") == 0;
    unsigned ran = 0, failed = 0, skipped = 0;
    find_program();
    if (strcmp(what, "--page") == 0) {
        print_page();
        return 0;
    }
    for (const fault_row *row = fault_rows; row->name; row++) {
        bool of_nats = strcmp(row->backend, "nats") == 0;
        if (strcmp(row->name, what) == 0 || (nats && of_nats) || (local && !of_nats)) {
            int code = run_apart(row, which);
            ran++;
            skipped += code == SKIPPED;
            failed += code != 0 && code != SKIPPED;
        }
    }
    printf("%u rows, %u failed, %u skipped\n", ran, failed, skipped);
    if (ran == 0) {
        fprintf(stderr, "usage: faults local | nats [old|new] | ROW [old|new] | --page\n");
        return 2;
    }
    return failed ? 1 : skipped == ran ? SKIPPED : 0;
}
