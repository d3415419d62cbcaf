/* SPDX-License-Identifier: Apache-2.0
 * The conformance suite: every contract against one backend.
 *   conformance --backend memory [--contract C09[.keys]] [--jobs 3] [--json FILE]
 *   conformance --backend mask:dead_letter:sqlite | --backend 'redis://127.0.0.1:6379'
 *   conformance --sabotage memory [--contract FAULT]
 *   conformance --list | --backends
 * Inside: --case NAME, --role NAME WORDS, --probe FILE (processes of the suite itself). */
#include "runner.h"
#include "wrap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    const char *backend, *contract, *json, *sabotage, *one_case, *role, *probe;
    int jobs, rest;
    bool list, backends;
} arguments;

static int usage(void)
{
    fprintf(stderr,
            "usage: conformance --backend ROW|URL [--contract C09[.case]] [--jobs N] [--json "
            "FILE]\n       conformance --sabotage ROW [--contract FAULT]\n       conformance "
            "--list | --backends\n");
    return 2;
}

static bool parse(arguments *self, int argc, char *argv[])
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        const struct {
            const char *flag;
            const char **to;
        } texts[] = {{"--backend", &self->backend}, {"--contract", &self->contract},
                     {"--json", &self->json},       {"--sabotage", &self->sabotage},
                     {"--case", &self->one_case},   {"--role", &self->role},
                     {"--probe", &self->probe}};
        bool known = false;
        for (size_t k = 0; k < sizeof texts / sizeof texts[0] && value; k++) {
            if (strcmp(argv[i], texts[k].flag) == 0) {
                *texts[k].to = value;
                known = true;
            }
        }
        if (known) {
            i++;
            self->rest = i + 1;
            if (self->role) {
                return true;
            }
        } else if (strcmp(argv[i], "--jobs") == 0 && value) {
            self->jobs = (int)strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--list") == 0) {
            self->list = true;
        } else if (strcmp(argv[i], "--backends") == 0) {
            self->backends = true;
        } else {
            return false;
        }
    }
    return true;
}

static int print_list(void)
{
    size_t count;
    const suite_case *cases = suite_cases(&count);
    for (size_t i = 0; i < count; i++) {
        printf("%s.%-24s %s\n", cases[i].contract, cases[i].name, cases[i].says);
    }
    return 0;
}

static int print_backends(void)
{
    for (size_t i = 0; target_row(i)[0]; i++) {
        printf("%s\n", target_row(i));
    }
    return 0;
}

static int run_named_case(const char *name)
{
    size_t count;
    const suite_case *cases = suite_cases(&count);
    for (size_t i = 0; i < count; i++) {
        char whole[96];
        snprintf(whole, sizeof whole, "%s.%s", cases[i].contract, cases[i].name);
        if (strcmp(whole, name) == 0) {
            return suite_run_case(&cases[i]);
        }
    }
    fprintf(stderr, "no case is called %s\n", name);
    return 2;
}

static int run_role(const arguments *self, int argc, char *argv[])
{
    suite_role role = suite_find_role(self->role);
    if (!role) {
        fprintf(stderr, "no role is called %s\n", self->role);
        return 2;
    }
    role(argc - self->rest, argv + self->rest);
    return 0;
}

static int run_probe(const char *path)
{
    char why[600];
    if (suite_probe(path, why, sizeof why)) {
        return 0;
    }
    fprintf(stderr, "%s\n", why);
    return 1;
}

static int run_backend(const arguments *self)
{
    static verdict verdicts[SUITE_CASES_MAX];
    target to;
    char why[400], version[64], path[1024];
    if (!target_find(&to, self->backend, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 2;
    }
    run_options options = {.only = self->contract, .jobs = self->jobs};
    int64_t began = test_now_ms();
    size_t count = runner_run(&to, &options, verdicts, version, sizeof version);
    size_t passed = 0, skipped = 0;
    for (size_t i = 0; i < count; i++) {
        passed += strcmp(verdicts[i].result, "pass") == 0;
        skipped += strcmp(verdicts[i].result, "skip") == 0;
    }
    const char *build = getenv("MARTY_BUILD_DIR");
    snprintf(path, sizeof path, "%s/conformance.json", build ? build : SUITE_BUILD_DIR);
    if (!report_write(self->json ? self->json : path, to.name, version, verdicts, count)) {
        return 2;
    }
    printf("1..%zu\n# %s %s: %zu passed, %zu failed, %zu skipped, %lld ms\n", count, to.name,
           version, passed, count - passed - skipped, skipped, (long long)(test_now_ms() - began));
    if (count == skipped) {
        return count ? 77 : 2;
    }
    return passed + skipped != count;
}

/* Handlers may run on while a case ends and its thread stands still (suite.c): its stack is there,
 * but the address sanitizer has it elsewhere and takes it away. */
static void keep_stacks(void)
{
    const char *before = getenv("ASAN_OPTIONS");
    char options[1024];
    snprintf(options, sizeof options, "%s:detect_stack_use_after_return=0", before ? before : "");
    setenv("ASAN_OPTIONS", options, 1);
}

int main(int argc, char *argv[])
{
    arguments self = {.jobs = 3};
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!parse(&self, argc, argv) || self.jobs < 1 || self.jobs > 8) {
        return usage();
    }
    setenv("MARTY_MODULE_PATH", SUITE_BUILD_DIR "/modules", 0);
    keep_stacks();
    wrap_register();
    if (self.one_case) {
        return run_named_case(self.one_case);
    }
    if (self.role) {
        return run_role(&self, argc, argv);
    }
    if (self.probe) {
        return run_probe(self.probe);
    }
    if (self.list || self.backends) {
        return self.list ? print_list() : print_backends();
    }
    if (self.sabotage) {
        return sabotage(self.sabotage, self.contract, self.jobs);
    }
    return self.backend ? run_backend(&self) : usage();
}
