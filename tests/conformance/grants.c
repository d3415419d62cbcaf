/* SPDX-License-Identifier: Apache-2.0
 * What the backend under test grants: asked of it once by the runner (or by a process that has no
 * answer yet), by the report that any program can read, and kept in a file for all cases. */
#include "suite.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static marty_capabilities granted;
static char version[64] = "?";
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The report of the backend, with the version that the server says it has; NULL: why. */
static json_t *ask(marty_bus *bus, marty_error *why)
{
    marty_message *report = NULL, *server = NULL;
    if (marty_bus_report(bus, MARTY_REPORT_BACKENDS, &report, why)) {
        return NULL;
    }
    json_t *whole = json_loadb(report->data.data, report->data.size, 0, NULL);
    marty_message_unref(report);
    json_t *backend = json_incref(json_array_get(json_object_get(whole, "backends"), 0));
    json_decref(whole);
    if (!marty_topology(bus, "inspect", NULL, false, &server, why)) {
        json_t *answers = json_loadb(server->data.data, server->data.size, 0, NULL);
        json_t *first = json_array_get(json_object_get(answers, "answers"), 0);
        json_object_set(backend, "server", json_object_get(first, "answer"));
        json_decref(answers);
        marty_message_unref(server);
    }
    return backend;
}

bool suite_probe(const char *path, char *ret_why, size_t size)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_bus_options options = {.service = "probe", .timeout_ms = (int32_t)test_patience(10000)};
    json_t *backend = NULL;
    if (!marty_bus_open(&bus, suite_url(NULL), &options, &why)) {
        backend = ask(bus, &why);
    }
    marty_bus_free(bus);
    if (!backend) {
        snprintf(ret_why, size, "%s", why.text);
        return false;
    }
    bool written = json_dump_file(backend, path, JSON_INDENT(1)) == 0;
    json_decref(backend);
    snprintf(ret_why, size, "%s cannot be written", path);
    return written;
}

static uint64_t number(const json_t *limits, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(limits, name));
}

static unsigned words_of(const json_t *words)
{
    size_t index;
    json_t *word;
    unsigned bits = 0;
    json_array_foreach(words, index, word)
    {
        for (unsigned bit = 1; suite_bit_name(bit)[0]; bit <<= 1) {
            bits |= strcmp(suite_bit_name(bit), json_string_value(word)) == 0 ? bit : 0;
        }
    }
    return bits;
}

static void load(void)
{
    static const char *const levels[] = {"any", "memory", "written", "synced", "replicated"};
    const char *path = getenv("MARTY_SUITE_GRANTS");
    char own[1200], why[512];
    if (!path || !*path) {
        snprintf(own, sizeof own, "%s/grants-of-%d.json", suite_folder(), (int)getpid());
        path = own;
        EXPECT(suite_probe(path, why, sizeof why), "asking what is granted: %s", why);
    }
    json_t *backend = json_load_file(path, 0, NULL);
    EXPECT(backend, "%s cannot be read", path);
    json_t *report = json_object_get(backend, "granted"),
           *limits = json_object_get(report, "limits");
    for (int kind = MARTY_KIND_TOPIC; kind <= MARTY_KIND_DEAD; kind++) {
        const json_t *can = json_object_get(report, "can");
        granted.can[kind] = words_of(json_object_get(can, suite_kind_name(kind)));
    }
    const char *level = json_string_value(json_object_get(report, "level"));
    for (int i = 0; level && i < 5; i++) {
        granted.level = strcmp(levels[i], level) == 0 ? (marty_level)i : granted.level;
    }
    granted.payload_bytes_max = number(limits, "payload_bytes");
    granted.header_count_max = (uint32_t)number(limits, "headers");
    granted.header_bytes_max = number(limits, "header_bytes");
    granted.name_bytes_max = (uint32_t)number(limits, "name_bytes");
    granted.delay_ms_max = number(limits, "delay_ms");
    granted.retry_ms_max = number(limits, "retry_ms");
    granted.delay_step_ms = number(limits, "delay_step_ms");
    granted.settle_lag_ms = number(limits, "settle_lag_ms");
    granted.uncounted = json_is_false(json_object_get(limits, "counted"));
    granted.give_back_counts = json_is_true(json_object_get(limits, "give_back_counts"));
    granted.only_unordered = words_of(json_object_get(report, "only_unordered"));
    granted.only_ordered = words_of(json_object_get(report, "only_ordered"));
    granted.lease_ms = number(limits, "lease_ms");
    granted.deduplicate_ms = number(limits, "deduplicate_ms");
    json_t *server = json_object_get(backend, "server");
    const char *text = json_string_value(json_object_get(server, "version"));
    snprintf(version, sizeof version, "%s", text ? text : marty_version());
    json_decref(backend);
}

bool suite_granted(marty_kind kind, unsigned bits)
{
    pthread_once(&once, load);
    /* channels of the suite have the order that their kind has by default, save where it asks */
    uint64_t not_there = kind == MARTY_KIND_STREAM ? granted.only_unordered : granted.only_ordered;
    return (granted.can[kind] & ~(not_there & ~(uint64_t)MARTY_CAN_ORDER_BY_KEY) & bits) == bits;
}

const marty_capabilities *suite_capabilities(void)
{
    pthread_once(&once, load);
    return &granted;
}

marty_level suite_level(void)
{
    pthread_once(&once, load);
    return granted.level;
}

const char *suite_version(void)
{
    pthread_once(&once, load);
    return version;
}
