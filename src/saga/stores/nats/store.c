/* SPDX-License-Identifier: Apache-2.0
 * The store of sagas on JetStream: nats://HOST:PORT,.../BUCKET?replicas=3&sync=always. Opening
 * makes the bucket where it is missing (create=no: refuses), and refuses one that keeps fewer
 * copies than were asked for, or more than the last message of a key. What a client cannot see
 * (whether servers sync each write) is taken from the URL, and the line of description says so. */
#include "kv.h"

#include <stdlib.h>
#include <string.h>

enum { NOT_IN_USE = 10059, IN_USE = 10058, NO_CLUSTER = 10074, OFF = 10039, OFF_HERE = 10076 };

static const char *const keys[] = {"inbox",  "domain",   "name",    "replicas", "sync", "create",
                                   "user",   "password", "token",   "creds",    "nkey", "tls",
                                   "tls_ca", "tls_cert", "tls_key", "tls_host", NULL};

/* ---- the URL */
static marty_err check_keys(const marty_url *url, marty_error *why)
{
    for (size_t i = 0; i < url->parameter_count; i++) {
        const char *name = url->parameters[i].name;
        size_t at = 0;
        while (keys[at] && strcmp(keys[at], name) != 0) {
            at++;
        }
        if (!keys[at]) {
            return marty_error_set(why, MARTY_E_CONFIG,
                                   "%s: a store of sagas knows no key %.64s; it knows replicas, "
                                   "sync, create, inbox, domain, "
                                   "name and those of credentials and TLS",
                                   url->redacted, name);
        }
    }
    return MARTY_OK;
}

static marty_err read_bucket(marty_saga_store *store, const marty_url *url, marty_error *why)
{
    static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *path = url->path && *url->path == '/' ? url->path + 1 : url->path;
    path = path && *path ? path : "sagas";
    if (strlen(path) > KV_NAME_MAX || path[strspn(path, safe)]) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "%s: a bucket has a name of 1 to %d letters, digits, - and _",
                               url->redacted, KV_NAME_MAX);
    }
    (void)snprintf(store->bucket, sizeof store->bucket, "%s", path);
    return MARTY_OK;
}

static marty_err read_url(marty_saga_store *store, const marty_url *url, marty_error *why)
{
    const char *replicas = marty_url_get(url, "replicas"), *sync = marty_url_get(url, "sync");
    const char *create = marty_url_get(url, "create");
    store->options.url = (marty_url *)(uintptr_t)url; /* read only */
    store->replicas = 3;
    marty_err err = check_keys(url, why);
    err = err ? err : read_bucket(store, url, why);
    err = err ? err : nats__options_connection(&store->options, why);
    if (!err && replicas && (strlen(replicas) != 1 || replicas[0] < '1' || replicas[0] > '5')) {
        err = marty_error_set(why, MARTY_E_CONFIG,
                              "%s: replicas=%.16s: expected a number from 1 to 5", url->redacted,
                              replicas);
    }
    if (!err && sync && strcmp(sync, "always") != 0 && strcmp(sync, "unknown") != 0) {
        err = marty_error_set(why, MARTY_E_CONFIG, "%s: sync=%.16s: expected always or unknown",
                              url->redacted, sync);
    }
    store->replicas = !err && replicas ? (uint32_t)(replicas[0] - '0') : store->replicas;
    if (!err && create && strcmp(create, "yes") != 0 && strcmp(create, "no") != 0) {
        err = marty_error_set(why, MARTY_E_CONFIG, "%s: create=%.16s: expected yes or no",
                              url->redacted, create);
    }
    store->synced = sync && strcmp(sync, "always") == 0;
    store->there = create && strcmp(create, "no") == 0;
    const char *domain = store->options.domain;
    (void)snprintf(store->api, sizeof store->api, "$JS%s%.64s.API", domain ? "." : "",
                   domain ? domain : "");
    return err;
}

/* ---- the bucket */
static void make_stream(const marty_saga_store *store, kv_call *call)
{
    kv_info(store, call);
    (void)snprintf(call->subject, sizeof call->subject, "%s.STREAM.CREATE.KV_%s", store->api,
                   store->bucket);
    (void)snprintf(
        call->text, sizeof call->text,
        "{\"name\":\"KV_%s\",\"subjects\":[\"$KV.%s.>\"],\"retention\":\"limits\",\"storage\":"
        "\"file\",\"discard\":\"new\",\"max_msgs_per_subject\":1,\"max_consumers\":-1,\"max_msgs\":"
        "-1,\"max_bytes\":-1,\"max_msg_size\":-1,\"allow_rollup_hdrs\":true,\"deny_delete\":true,"
        "\"num_replicas\":%u}",
        store->bucket, store->bucket, (unsigned)store->replicas);
}

static marty_err cannot_open(const marty_saga_store *store, const kv_call *call, marty_error *why)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(call->json, "error"), "description"));
    if (call->code == OFF || call->code == OFF_HERE) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "%s: JetStream is off; a store of sagas needs it (nats-server -js)",
                               store->options.url->redacted);
    }
    if (store->there && call->code == NOT_IN_USE) {
        return marty_error_set(why, MARTY_E_NOT_FOUND,
                               "%s: no sagas are kept there: there is no bucket %s; an "
                               "orchestrator makes the store",
                               store->options.url->redacted, store->bucket);
    }
    if (store->there) {
        return kv_refused(call, "the bucket of sagas", why);
    }
    return marty_error_set(why, MARTY_E_CONFIG,
                           "%s: the bucket %s cannot be made with %u copies: %s; sagas want three "
                           "servers in a cluster, or replicas=1 from whoever can do without",
                           store->options.url->redacted, store->bucket, (unsigned)store->replicas,
                           text ? text : "no answer");
}

static marty_err check_bucket(marty_saga_store *store, const json_t *config, marty_error *why)
{
    json_int_t copies = json_integer_value(json_object_get(config, "num_replicas"));
    json_int_t kept = json_integer_value(json_object_get(config, "max_msgs_per_subject"));
    const char *storage = json_string_value(json_object_get(config, "storage"));
    if (kept != 1 || !storage || strcmp(storage, "file") != 0) {
        return marty_error_set(why, MARTY_E_CONFIG,
                               "%s: the stream KV_%s is no bucket of sagas: it must keep one "
                               "message of a key, in files",
                               store->options.url->redacted, store->bucket);
    }
    if (copies < (json_int_t)store->replicas) {
        return marty_error_set(
            why, MARTY_E_CONFIG,
            "%s: the bucket %s has %d copies, and %u were asked for; raise it (nats stream "
            "edit KV_%s --replicas %u), or say replicas=%d to do without",
            store->options.url->redacted, store->bucket, (int)copies, (unsigned)store->replicas,
            store->bucket, (unsigned)store->replicas, (int)copies);
    }
    store->replicas = (uint32_t)copies;
    return MARTY_OK;
}

/* A cluster that has just started cannot place three copies yet: what may pass is tried again. */
static bool may_pass(const marty_saga_store *store, const kv_call *call)
{
    return call->code && !(store->there && call->code == NOT_IN_USE) && call->code != IN_USE &&
           call->code != NO_CLUSTER && call->code != OFF && call->code != OFF_HERE;
}

static marty_err open_bucket(marty_saga_store *store, int64_t until_ns, marty_error *why)
{
    kv_call call = {.code = 0};
    marty_err err = kv_enter(store, &store->writer, until_ns, why);
    if (err) {
        return err;
    }
    kv_info(store, &call);
    err = kv_ask(store, &store->writer, &call, until_ns, why);
    while (!err && call.code) {
        if (store->there) {
            kv_info(store, &call);
        } else {
            make_stream(store, &call);
        }
        err = kv_ask(store, &store->writer, &call, until_ns, why);
        if (!err && (call.code == IN_USE || !call.code)) { /* another made it just now */
            kv_info(store, &call);
            err = kv_ask(store, &store->writer, &call, until_ns, why);
        } else if (!err && (!may_pass(store, &call) || kv_is_late(store, until_ns))) {
            err = cannot_open(store, &call, why);
        } else if (!err) {
            kv_pause(store, &store->writer, until_ns);
        }
    }
    err = err ? err : check_bucket(store, json_object_get(call.json, "config"), why);
    kv_end(&call);
    kv_leave(&store->writer);
    return err;
}

static void describe(marty_saga_store *store)
{
    const char *copies =
        store->replicas >= 3
            ? "a lost server takes nothing"
            : "UNSAFE: what is lost with a server is gone (replicas=3 on a cluster keeps it)";
    const char *sync =
        store->synced ? "each write synced, as the URL says"
        : store->replicas >= 3
            ? "UNSAFE unless the servers run with sync_interval: always (clients cannot see it; "
              "say "
              "sync=always in the URL when they do): a power cut of most may take commits"
            : "UNSAFE unless the server runs with sync_interval: always (say sync=always when it "
              "does): a power cut may take commits of the last two minutes";
    (void)snprintf(store->line, sizeof store->line,
                   "nats: bucket %s, %u cop%s: %s; %s; a saga is one message of at most %zu bytes",
                   store->bucket, (unsigned)store->replicas, store->replicas == 1 ? "y" : "ies",
                   copies, sync, atomic_load(&store->payload_max));
}

/* ---- opening and closing */
static void kv_close(marty_saga_store *store)
{
    kv_link_free(&store->writer);
    kv_link_free(&store->reader);
    kv_link_free(&store->index->link);
    kv_trees_free(&store->index->trees);
    kv_known_free(store);
    (void)pthread_mutex_destroy(&store->mutex);
    marty_free(store->doubts);
    marty_free(store->index);
    marty_free(store);
}

static marty_err kv_open(marty_saga_store **ret_store, const marty_url *url, const marty_env *env,
                         int64_t until_ns, marty_error *why)
{
    marty_saga_store *store = marty_alloc_zero(1, sizeof *store);
    kv_index *index = marty_alloc_zero(1, sizeof *index);
    if (!store || !index) {
        marty_free(store);
        marty_free(index);
        return marty_error_set(why, MARTY_E_NO_MEMORY, "opening %s", url->redacted);
    }
    store->env = *env;
    store->index = index;
    store->env.random(store->env.user, &store->token, sizeof store->token);
    store->env.random(store->env.user, &index->trees.chance, sizeof index->trees.chance);
    bool locks = kv_link_init(&store->writer);
    locks &= kv_link_init(&store->reader);
    locks &= kv_link_init(&index->link);
    locks &= pthread_mutex_init(&store->mutex, NULL) == 0;
    marty_err err = locks ? read_url(store, url, why)
                          : marty_error_set(why, MARTY_E_NO_MEMORY, "opening %s", url->redacted);
    err = err ? err : open_bucket(store, until_ns, why);
    if (err) {
        kv_close(store);
        return err;
    }
    describe(store);
    *ret_store = store;
    return MARTY_OK;
}

static const char *kv_describe(const marty_saga_store *store)
{
    return store->line;
}

static const marty_saga_store_table table = {
    .abi = MARTY_SAGA_STORE_ABI,
    .scheme = "nats",
    .open = kv_open,
    .close = kv_close,
    .describe = kv_describe,
    .commit = kv_commit,
    .settle = kv_settle,
    .load = kv_load,
    .find = kv_find,
    .due = kv_due,
    .unsent = kv_unsent,
    .sent = kv_sent,
    .lease = kv_lease,
    .release = kv_release,
    .define = kv_define,
    .definitions = kv_definitions,
    .list = kv_list,
    .history = kv_history,
    .purge = kv_purge,
};

MARTY_API const marty_saga_store_table *marty_saga_store_module(uint32_t abi);

const marty_saga_store_table *marty_saga_store_module(uint32_t abi)
{
    return abi == MARTY_SAGA_STORE_ABI ? &table : NULL;
}
