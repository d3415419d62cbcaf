/* SPDX-License-Identifier: Apache-2.0
 * The surroundings of one case: verdicts, the URL of the backend under test, buses. What the runner
 * knows comes by environment variables, so that processes of a case have it too. */
#include "suite.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int __lsan_do_recoverable_leak_check(void) __attribute__((weak)); /* of the address sanitizer */

static char notes[1024];
static char server_url[1024];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_flag decided = ATOMIC_FLAG_INIT;

static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

/* Writes the one result of this case and ends the process; a second thread that comes here waits
 * for that end. */
static _Noreturn void decide(const char *result, const char *reason, int code)
{
    while (atomic_flag_test_and_set(&decided)) {
        pause();
    }
    if (strcmp(result, "pass") == 0 && __lsan_do_recoverable_leak_check &&
        __lsan_do_recoverable_leak_check()) {
        result = "fail";
        reason = "memory was lost, says the leak checker";
        code = 1;
    }
    const char *path = setting("MARTY_SUITE_RESULT");
    FILE *file = *path ? fopen(path, "a") : NULL;
    if (file) {
        fprintf(file, "%s\t", result);
        for (const char *at = reason; *at; at++) {
            fputc((unsigned char)*at < ' ' ? ' ' : *at, file);
        }
        fputc('\n', file);
        fclose(file);
    }
    fprintf(stderr, "%s: %s\n", result, reason);
    fflush(NULL);
    _exit(code);
}

void suite_fail(const char *format, ...)
{
    char text[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    decide("fail", text, 1);
}

void suite_skip(const char *format, ...)
{
    char text[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    decide("skip", text, 0);
}

void suite_note(const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&lock);
    size_t have = strlen(notes);
    snprintf(notes + have, sizeof notes - have, "%s%s", have ? "; " : "", text);
    pthread_mutex_unlock(&lock);
}

void suite_log(const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%lld %d %s\n", (long long)test_now_ms(), (int)getpid(), text);
}

const char *suite_err(marty_err err)
{
    return marty_err_describe(err)->name;
}

void suite__expect_code(marty_err err, marty_err wanted, const marty_error *why, const char *format,
                        ...)
{
    if (err == wanted) {
        return;
    }
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    suite_fail("%s: %s wanted, got %s%s%s", text, suite_err(wanted), suite_err(err),
               err && why && why->text[0] ? ": " : "", err && why ? why->text : "");
}

/* ---- the backend under test */

const char *suite_backend(void)
{
    return setting("MARTY_SUITE_BACKEND");
}

const char *suite_folder(void)
{
    return setting("MARTY_SUITE_FOLDER");
}

void *suite_alloc(size_t size)
{
    typedef struct kept {
        struct kept *next;
        max_align_t memory[];
    } kept;
    static kept *all;
    kept *one = calloc(1, sizeof *one + size);
    if (!one) {
        abort();
    }
    pthread_mutex_lock(&lock);
    one->next = all;
    all = one;
    pthread_mutex_unlock(&lock);
    return one->memory;
}

const char *suite_wrapped(const char *wrapper, const char *keys)
{
    const char *url = server_url[0] ? server_url : setting("MARTY_SUITE_URL");
    const char *outer = setting("MARTY_SUITE_WRAP"), *common = setting("MARTY_SUITE_KEYS");
    size_t size = strlen(url) + strlen(outer) + strlen(wrapper) + strlen(common) +
                  (keys ? strlen(keys) : 0) + 8;
    char *text = suite_alloc(size);
    snprintf(text, size, "%s%s%s%s%s", wrapper, *wrapper ? ":" : "", outer, *outer ? ":" : "", url);
    const char *more[] = {common, keys ? keys : ""};
    for (size_t i = 0; i < 2; i++) {
        size_t length = strlen(text);
        if (*more[i]) {
            snprintf(text + length, size - length, "%s%s", strchr(text, '?') ? "&" : "?", more[i]);
        }
    }
    return text;
}

void suite_set_keys(const char *keys)
{
    setenv("MARTY_SUITE_KEYS", keys, 1);
}

bool suite_never(void *unused)
{
    (void)unused;
    return false;
}

void suite_pass(int64_t ms)
{
    for (int64_t until_ms = test_now_ms() + ms; test_now_ms() < until_ms;) {
        poll(NULL, 0, (int)(until_ms - test_now_ms()) + 1);
    }
}

const char *suite_url(const char *keys)
{
    return suite_wrapped("", keys);
}

void suite_set_url(const char *url)
{
    snprintf(server_url, sizeof server_url, "%s", url);
    setenv("MARTY_SUITE_URL", url, 1);
}

void suite_prepare(const char *backend, const char *url, const char *folder, const char *result)
{
    setenv("MARTY_SUITE_BACKEND", backend, 1);
    setenv("MARTY_SUITE_URL", url, 1);
    setenv("MARTY_SUITE_FOLDER", folder, 1);
    setenv("MARTY_TEST_SCRATCH", folder, 1);
    if (result) {
        setenv("MARTY_SUITE_RESULT", result, 1);
    }
}

/* ---- buses */

static void on_log(void *user, int level, const char *text)
{
    fprintf(stderr, "%lld %d marty[%d] %s: %s\n", (long long)test_now_ms(), (int)getpid(), level,
            user ? (const char *)user : "", text);
}

marty_bus *suite_open_with(const char *where, const marty_bus_options *options)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_bus_options mine = *options;
    if (!mine.on_log) {
        mine.on_log = on_log;
    }
    if (!mine.workers) {
        mine.workers = 4;
    }
    if (!mine.timeout_ms) {
        mine.timeout_ms = (int32_t)test_patience(10000);
    }
    const char *url = where || options->config_text ? where : suite_url(NULL);
    marty_err err = marty_bus_open(&bus, url, &mine, &why);
    EXPECT_OK(err, &why, "opening a bus on %s", url ? url : "a configuration");
    return bus;
}

marty_bus *suite_open_ordered(const char *service)
{
    char text[2048];
    snprintf(text, sizeof text,
             "backends:\n  main: \"%s\"\n"
             "routes:\n"
             "  - {events: \"order.>\", to: main, order: key}\n"
             "  - {commands: \"*\", to: main, order: key}\n"
             "  - {streams: \"*\", to: main}\n"
             "  - {broadcast: \">\", to: main}\n",
             suite_url(NULL));
    return suite_open_with(NULL, &(marty_bus_options){.service = service, .config_text = text});
}

marty_bus *suite_open(const char *service, const char *keys)
{
    return suite_open_with(suite_url(keys), &(marty_bus_options){.service = service});
}

void suite_start(marty_bus *bus)
{
    marty_error why = {0};
    EXPECT_OK(marty_bus_start(bus, &why), &why, "starting a bus");
}

void suite_close(marty_bus *bus)
{
    marty_error why = {0};
    EXPECT_OK(marty_bus_close(bus, (int32_t)test_patience(10000), &why), &why, "closing a bus");
    marty_bus_free(bus);
}

marty_subscription *suite_subscribe(marty_bus *bus, marty_pattern pattern, const char *name,
                                    recorder *recorder_, const marty_subscribe_options *options)
{
    marty_error why = {0};
    marty_subscription *subscription = NULL;
    if (pattern == MARTY_STREAM) {
        suite_want(MARTY_KIND_STREAM, MARTY_CAN_ORDER_BY_KEY); /* core takes no other stream */
    }
    marty_subscribe_options patient = options ? *options : (marty_subscribe_options){0};
    patient.timeout_ms = patient.timeout_ms ? patient.timeout_ms : SUITE_SUBSCRIBE_MS;
    marty_err err = marty_subscribe(bus, pattern, name, recorder_ ? recorder_handle : NULL,
                                    recorder_, &patient, &subscription, &why);
    EXPECT_OK(err, &why, "subscribing to the %s %s", suite_pattern_name(pattern), name);
    marty_subscription **kept = suite_alloc(sizeof(marty_subscription *));
    *kept = subscription; /* most cases let it end with the bus */
    return subscription;
}

bool suite_is_idle(void *subscription)
{
    static _Thread_local uint64_t seen;
    static _Thread_local int64_t since_ms;
    marty_stats stats;
    marty_subscription_stats(subscription, &stats);
    int64_t now_ms = test_now_ms();
    if (!since_ms || stats.delivered != seen || stats.unsettled) {
        seen = stats.delivered;
        since_ms = now_ms;
    }
    return now_ms - since_ms > 4500; /* longer than the leases of the cases that ask */
}

void suite_ignore_done(void *user, const marty_outcome *outcomes, size_t count)
{
    (void)user, (void)outcomes, (void)count;
}

/* ---- running one */

/* What a case has on its stack its handlers may still use when it returns. So it runs on a thread
 * that then stands still, above a pad that what is called afterwards uses up. */
static atomic_bool finished;

static bool is_finished(void *unused)
{
    (void)unused;
    return atomic_load(&finished);
}

static __attribute__((noinline)) void run_on_pad(const suite_case *one)
{
    volatile char pad[16384];
    pad[0] = pad[sizeof pad - 1] = 0;
    one->run();
    pad[1] = pad[0];
}

static _Noreturn void *run_it(void *user)
{
    const suite_case *const *one = user;
    run_on_pad(*one);
    atomic_store(&finished, true);
    for (;;) {
        pause();
    }
}

void suite_want(marty_kind kind, unsigned bits)
{
    for (unsigned bit = 1; bit && bit <= bits; bit <<= 1) {
        if ((bits & bit) && !suite_granted(kind, bit)) {
            suite_skip("%s is not granted on %s", suite_bit_name(bit), suite_kind_name((int)kind));
        }
    }
}

int suite_run_case(const suite_case *one)
{
    signal(SIGPIPE, SIG_DFL); /* a library that lets it through kills the case: C44 */
    for (int kind = MARTY_KIND_TOPIC; kind <= MARTY_KIND_DEAD; kind++) {
        if (one->kinds & SUITE_KIND(kind)) {
            suite_want((marty_kind)kind, one->needs);
        }
    }
    pthread_t thread;
    const void *chosen = one;
    EXPECT(pthread_create(&thread, NULL, run_it, &chosen) == 0, "a thread did not start");
    while (!atomic_load(&finished)) {
        test_wait_for(is_finished, NULL, 1000);
    }
    decide("pass", notes, 0);
}
