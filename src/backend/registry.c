/* SPDX-License-Identifier: Apache-2.0
 * The list of backends: built in, registered, loaded. Entries are added and never removed, under
 * one lock; the lock is held while a module is loaded, so that two threads load it once. */
#include "registry.h"

#include "base/assert.h"
#include "base/buffer.h"
#include "base/thread.h"
#include "url.h"

#include <string.h>

typedef struct known {
    const char *scheme, *module, *package; /* module NULL = built in */
} known;

/* Schemes that the project has or plans, whether or not installed here; alphabetical. */
static const known known_schemes[] = {
    {"amqp", "amqp", "marty-amqp"},       {"amqps", "amqp", "marty-amqp"},
    {"kafka", "kafka", "marty-kafka"},    {"memory", NULL, "libmarty"},
    {"nats", "nats", "marty-nats"},       {"pubsub", "pubsub", "marty-pubsub"},
    {"pulsar", "pulsar", "marty-pulsar"}, {"redis", "redis", "marty-redis"},
    {"rediss", "redis", "marty-redis"},   {"servicebus", "servicebus", "marty-servicebus"},
    {"sns", "sns", "marty-sns"},          {"sqlite", NULL, "libmarty"},
    {"tls", "nats", "marty-nats"},
};
enum { KNOWN_COUNT = sizeof known_schemes / sizeof known_schemes[0] };

static const marty_backend *const built_in[] = {&marty__memory_backend, &marty__sqlite_backend,
                                                NULL};

typedef struct entry {
    struct entry *next;
    const char *scheme; /* the one asked for: an alias of the module's own */
    const marty_backend *backend;
} entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static entry *entries;

static const known *find_known(const char *scheme)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (strcmp(known_schemes[i].scheme, scheme) == 0) {
            return &known_schemes[i];
        }
    }
    return NULL;
}

static const marty_backend *find_present(const char *scheme)
{
    for (size_t i = 0; built_in[i]; i++) {
        if (strcmp(built_in[i]->scheme, scheme) == 0) {
            return built_in[i];
        }
    }
    for (entry *each = entries; each; each = each->next) {
        if (strcmp(each->scheme, scheme) == 0) {
            return each->backend;
        }
    }
    return NULL;
}

/* scheme must live for ever. */
static marty_err keep(const char *scheme, const marty_backend *backend, marty_error *why)
{
    entry *added = marty_alloc_zero(1, sizeof *added);
    if (!added) {
        return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to add the backend %s", scheme);
    }
    *added = (entry){entries, scheme, backend};
    entries = added;
    return MARTY_OK;
}

marty_err marty__backend_check(const marty_backend *backend, marty_error *why)
{
    if (!backend || backend->abi != MARTY_BACKEND_ABI) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "the backend was built for ABI %u of the port, this library has %u; "
                               "install the one that belongs to marty %s",
                               backend ? backend->abi : 0, MARTY_BACKEND_ABI, MARTY_VERSION);
    }
    if (backend->size < sizeof *backend) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED,
                               "the backend's table has %u bytes, the port asks for %zu",
                               backend->size, sizeof *backend);
    }
    if (!backend->lead != !backend->serve) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "a backend has both lead and serve, or none of them");
    }
    if (!backend->scheme || !backend->claims || !backend->open || !backend->connect ||
        !backend->publish || !backend->subscribe || !backend->grant || !backend->settle ||
        !backend->unsubscribe || !backend->close || !backend->free) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "a slot of the backend's table is NULL; only package, cancel, "
                               "topology, and lead with serve may be");
    }
    if (!*backend->scheme || backend->scheme[strspn(backend->scheme, "abcdefghijklmnopqrstuvwxyz"
                                                                     "0123456789-")]) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "the scheme \"%.32s\" of a backend must be of a-z, 0-9 and -",
                               backend->scheme);
    }
    return MARTY_OK;
}

marty_err marty_backend_register(const marty_backend *backend, marty_error *why)
{
    marty_err err = marty__backend_check(backend, why);
    if (err) {
        return err;
    }
    marty__lock(&lock);
    if (find_present(backend->scheme)) {
        err =
            marty_error_set(why, MARTY_E_EXISTS, "there is a backend %s: already", backend->scheme);
    } else {
        err = keep(backend->scheme, backend, why);
    }
    marty__unlock(&lock);
    return err;
}

static void unknown_scheme(const char *scheme, marty_error *why)
{
    const char *words[KNOWN_COUNT + 1] = {0};
    marty__buffer list = {0};
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        words[i] = known_schemes[i].scheme;
        marty__buffer_format(&list, "%s%s:", i ? " " : "", words[i]);
    }
    for (entry *each = entries; each; each = each->next) {
        if (!find_known(each->scheme)) {
            marty__buffer_format(&list, " %s:", each->scheme);
        }
    }
    const char *near = marty__nearest(scheme, words);
    marty_error_set(why, MARTY_E_CONFIG, "no backend has the scheme %.32s:%s%s%s; there are %s",
                    scheme, near ? "; did you mean " : "", near ? near : "", near ? ":" : "",
                    list.failed ? "memory: sqlite: nats:" : list.data);
    marty__buffer_free(&list);
}

/* Schemes of stores of sagas only. */
static bool is_store(const char *scheme)
{
    return strcmp(scheme, "postgres") == 0 || strcmp(scheme, "postgresql") == 0;
}

static const marty_backend *load(const char *scheme, marty_error *why)
{
    const known *row = find_known(scheme);
    const char *module = row && row->module ? row->module : scheme;
    const marty_backend *backend = find_present(module); /* under its other name */
    char package[64] = "marty-";
    if (is_store(scheme)) {
        marty_error_set(why, MARTY_E_CONFIG,
                        "%s: keeps sagas (--store, marty_saga_open) and is no backend of a bus",
                        scheme);
        return NULL;
    }
    if (!row && !marty__module_exists(module)) {
        unknown_scheme(scheme, why);
        return NULL;
    }
    if (!backend) {
        (void)strncat(package, module, sizeof package - strlen(package) - 1);
        backend = marty__module_load(module, package, why);
    }
    if (!backend || keep(row ? row->scheme : backend->scheme, backend, why)) {
        return NULL;
    }
    return backend;
}

const marty_backend *marty__backend_find(const char *scheme, marty_error *why)
{
    marty__assert(scheme);
    marty__lock(&lock);
    const marty_backend *backend = find_present(scheme);
    if (!backend) {
        backend = load(scheme, why);
    }
    marty__unlock(&lock);
    return backend;
}

marty_err marty_backend_find(const marty_backend **ret_backend, const char *scheme,
                             marty_error *why)
{
    marty_error reason = {0};
    if (!ret_backend || !scheme || !*scheme) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "a scheme and a place for its table are "
                               "needed");
    }
    const marty_backend *backend = marty__backend_find(scheme, &reason);
    if (!backend) {
        return marty_error_set(why, reason.code, "%s", reason.text);
    }
    *ret_backend = backend;
    return MARTY_OK;
}
