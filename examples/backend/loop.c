/* SPDX-License-Identifier: Apache-2.0
 * loop:NAME, a backend from outside of Marty's tree, built against the installed headers alone: a
 * broker in memory that the buses of one process share. It claims what it has (groups, confirmed
 * messages, replies) and nothing else; core does retries and dead letters by the means that every
 * backend has. One lock guards all. It is held while core is told something, which is allowed: core
 * holds none of its own when it calls an op, and calls no op from a slot of the sink. */
#include <marty/backend.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES_MAX = 255, FULL_NAME = 800, JOBS_MAX = 100000 };

typedef struct job { /* a message for one group: it waits there, or a subscription holds it */
    struct job *next;
    struct group *group;
    marty_message *message;
    uint64_t seq, tag;
    uint32_t tries;
    char reply_to[FULL_NAME]; /* of a request, else "" */
} job;

typedef struct group { /* of a channel, which is no more than its groups */
    struct group *next;
    marty_kind kind;
    job *waiting; /* by seq */
    bool alone;   /* of one subscription: goes with it */
    char channel[FULL_NAME], name[NAME_BYTES_MAX + 1];
} group;

typedef struct sub {
    struct sub *next;
    marty_port *port;
    group *group;
    uint64_t number;
    uint32_t credit;
    job *held;
} sub;

struct marty_port {
    const marty_sink *sink;
    bool connected;
    char name[NAME_BYTES_MAX + 1]; /* of the URL: goes before the names of channels */
};

static struct {
    pthread_mutex_t lock;
    uint64_t seq, tags, jobs, ports;
    group *groups;
    sub *subs;
} hub = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const marty_capabilities claims = {
    .can = {[MARTY_KIND_TOPIC] = MARTY_CAN_CONFIRM | MARTY_CAN_GROUPS,
            [MARTY_KIND_QUEUE] = MARTY_CAN_CONFIRM,
            [MARTY_KIND_BROADCAST] = MARTY_CAN_CONFIRM,
            [MARTY_KIND_REQUEST] = MARTY_CAN_CONFIRM | MARTY_CAN_REPLY,
            [MARTY_KIND_REPLY] = MARTY_CAN_CONFIRM | MARTY_CAN_REPLY},
    .level = MARTY_LEVEL_MEMORY,
    .copies = 1,
    .synced = MARTY_NO,
    .name_bytes_max = NAME_BYTES_MAX,
    .payload_bytes_max = 1 << 20};

/* ---- groups and their messages; all with the lock held */
static bool has_many_groups(marty_kind kind)
{
    return kind == MARTY_KIND_TOPIC || kind == MARTY_KIND_BROADCAST;
}

/* Others are done with once delivered. */
static bool is_settled(marty_kind kind)
{
    return kind == MARTY_KIND_TOPIC || kind == MARTY_KIND_QUEUE || kind == MARTY_KIND_DEAD;
}

static group *group_find(const char *channel, const char *name)
{
    group *g = hub.groups;
    while (g && (g->alone || strcmp(g->channel, channel) != 0 || strcmp(g->name, name) != 0)) {
        g = g->next;
    }
    return g;
}

/* Found or made; NULL with why. name NULL: one of its own. */
static group *group_get(marty_kind kind, const char *channel, const char *name, marty_error *why)
{
    group *g = name ? group_find(channel, name) : NULL;
    for (group *other = hub.groups; other; other = other->next) {
        if (strcmp(other->channel, channel) == 0 && other->kind != kind) {
            marty_error_set(why, MARTY_E_EXISTS, "%.255s is of another kind", channel);
            return NULL;
        }
    }
    if (!g && (g = marty_alloc_zero(1, sizeof *g)) == NULL) {
        marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for the channel %.255s", channel);
    } else if (!g->kind) {
        g->kind = kind;
        g->alone = !name;
        (void)snprintf(g->channel, sizeof g->channel, "%s", channel);
        (void)snprintf(g->name, sizeof g->name, "%s", name ? name : "");
        g->next = hub.groups;
        hub.groups = g;
    }
    return g;
}

static void job_free(job *j)
{
    hub.jobs--;
    marty_message_unref(j->message);
    marty_free(j);
}

/* Into its group, where it belongs by its number. */
static void job_wait(job *j)
{
    job **at = &j->group->waiting;
    while (*at && (*at)->seq < j->seq) {
        at = &(*at)->next;
    }
    j->next = *at;
    *at = j;
}

static void group_free(group *g)
{
    group **at = &hub.groups;
    while (*at != g) {
        at = &(*at)->next;
    }
    *at = g->next;
    for (job *j; (j = g->waiting) != NULL;) {
        g->waiting = j->next;
        job_free(j);
    }
    marty_free(g);
}

/* The one with most credit, so that all have their turn; NULL when none has any. */
static sub *whose_turn(const group *g)
{
    sub *found = NULL;
    for (sub *s = hub.subs; s; s = s->next) {
        if (s->group == g && s->credit > (found ? found->credit : 0)) {
            found = s;
        }
    }
    return found;
}

/* Hand out what waits to those with credit. */
static void dispatch(group *g)
{
    for (sub *to; g->waiting && (to = whose_turn(g)) != NULL;) {
        job *j = g->waiting;
        g->waiting = j->next;
        j->tag = ++hub.tags; /* a new one each time, so that an older one is LOST */
        j->next = to->held;
        to->held = j;
        to->credit--;
        marty_incoming one = {.subscription = to->number,
                              .tag = j->tag,
                              .message = marty_message_ref(j->message),
                              .reply_to = j->reply_to[0] ? j->reply_to : NULL,
                              .attempt = j->tries + 1,
                              .lease_until_ns = INT64_MAX};
        to->port->sink->delivered(to->port->sink, &one, 1);
        if (!is_settled(g->kind)) {
            to->held = j->next;
            job_free(j);
        }
    }
}

/* ---- open, connect, close */
static marty_err op_open(marty_port **ret_port, const char *text, const marty_sink *sink,
                         marty_error *why)
{
    marty_url *url = NULL;
    marty_port *port = NULL;
    int size = 0;
    marty_err err = marty_url_parse(&url, text, why);
    err = err ? err : marty_url_check(url, (const char *const[]){NULL}, why);
    if (!err && (port = marty_alloc_zero(1, sizeof *port)) == NULL) {
        err = marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to open %s", url->redacted);
    } else if (!err) { /* prefix=x keeps apart within one NAME */
        const char *prefix = marty_url_get(url, "prefix");
        size = snprintf(port->name, sizeof port->name, "%s%s%s", url->path ? url->path : "",
                        prefix ? "/" : "", prefix ? prefix : "");
        port->sink = sink;
    }
    if (!err && (!url->path || url->host_count || size > NAME_BYTES_MAX)) {
        err = marty_error_set(why, MARTY_E_CONFIG, "%s: write loop:NAME", url->redacted);
        marty_free(port);
    }
    marty_url_free(url);
    *ret_port = err ? NULL : port;
    return err;
}

static void op_free(marty_port *port)
{
    marty_free(port);
}

static marty_err op_connect(marty_port *port, marty_error *why)
{
    (void)why;
    pthread_mutex_lock(&hub.lock);
    hub.ports += !port->connected;
    port->connected = true;
    pthread_mutex_unlock(&hub.lock);
    port->sink->state(port->sink, MARTY_STATE_UP, &claims, MARTY_OK, "in this process");
    return MARTY_OK;
}

static sub **find_sub(const marty_port *port, uint64_t number) /* 0 = any */
{
    sub **at = &hub.subs;
    while (*at && ((*at)->port != port || (number && (*at)->number != number))) {
        at = &(*at)->next;
    }
    return at;
}

/* What it held waits again. */
static void leave(sub **at)
{
    sub *gone = *at;
    *at = gone->next;
    for (job *j; (j = gone->held) != NULL;) {
        gone->held = j->next;
        job_wait(j);
    }
    if (gone->group->alone) {
        group_free(gone->group);
    } else {
        dispatch(gone->group);
    }
    marty_free(gone);
}

static void op_close(marty_port *port, int64_t deadline_ns)
{
    (void)deadline_ns; /* nothing is on its way */
    pthread_mutex_lock(&hub.lock);
    for (sub **at; *(at = find_sub(port, 0));) {
        leave(at);
    }
    hub.ports -= port->connected;
    port->connected = false;
    while (!hub.ports && hub.groups) { /* with the last port all channels go */
        group_free(hub.groups);
    }
    pthread_mutex_unlock(&hub.lock);
    port->sink->state(port->sink, MARTY_STATE_CLOSED, NULL, MARTY_OK, "closed");
}

/* ---- publishing */
/* The URL's name goes before; of a reply that is published the name is the address as it is. */
static marty_err full_name(const marty_port *port, const marty_channel *wanted, bool address,
                           char out[FULL_NAME], marty_error *why)
{
    const char *name = wanted->name ? wanted->name : "";
    if (wanted->kind == MARTY_KIND_STREAM || wanted->order == MARTY_ORDER_KEY) {
        return marty_error_set(why, MARTY_E_UNSUPPORTED, "loop: has no streams, no order by key");
    }
    if (!*name || strlen(name) > 2 * NAME_BYTES_MAX || strpbrk(name, "*>") ||
        (wanted->group && strlen(wanted->group) > NAME_BYTES_MAX)) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "\"%.64s\" is no name of a channel", name);
    }
    (void)snprintf(out, FULL_NAME, "%s%s%s", address ? "" : port->name, address ? "" : "/", name);
    return MARTY_OK;
}

static marty_err check(const marty_outgoing *out, marty_error *why)
{
    if (out->message->data.size > claims.payload_bytes_max) {
        return marty_error_set(why, MARTY_E_TOO_LARGE,
                               "message %.40s: %zu bytes, the limit is 1 MiB", out->message->id,
                               out->message->data.size);
    }
    if (hub.jobs >= JOBS_MAX) {
        return marty_error_set(why, MARTY_E_FULL, "loop: holds %d messages, its limit", JOBS_MAX);
    }
    return MARTY_OK;
}

/* For that group, or with NULL for each of the channel: all or none. */
static marty_err add(const char *channel, const group *only, const marty_outgoing *out,
                     const char *reply_to, marty_error *why)
{
    job *made = NULL, *j = NULL;
    bool fine = true;
    hub.seq++;
    for (group *g = hub.groups; g && fine; g = g->next) {
        bool takes = only ? g == only : strcmp(g->channel, channel) == 0;
        fine = !takes || (j = marty_alloc_zero(1, sizeof *j)) != NULL;
        if (takes && fine) {
            *j = (job){made, g, marty_message_ref(out->message), hub.seq, 0, 0, ""};
            (void)snprintf(j->reply_to, sizeof j->reply_to, "%s", reply_to);
            hub.jobs++;
            made = j;
        }
    }
    while ((j = made) != NULL) {
        made = j->next;
        if (fine) {
            job_wait(j);
            dispatch(j->group);
        } else {
            job_free(j);
        }
    }
    return fine ? MARTY_OK : marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a message");
}

static marty_err publish_one(marty_port *port, const marty_outgoing *out, marty_error *why)
{
    char name[FULL_NAME], reply_to[FULL_NAME] = "";
    const marty_channel reply = {.kind = MARTY_KIND_REPLY, .name = out->reply_to};
    bool many = has_many_groups(out->channel.kind);
    group *only = NULL;
    marty_err err =
        full_name(port, &out->channel, out->channel.kind == MARTY_KIND_REPLY, name, why);
    err = err || !out->reply_to ? err : full_name(port, &reply, false, reply_to, why);
    err = err ? err : check(out, why);
    if (!err && !many) {
        only = group_get(out->channel.kind, name, "", why);
        err = only ? MARTY_OK : why->code;
    } else if (!err && out->channel.group) {
        only = group_find(name, out->channel.group);
        err = only ? MARTY_OK
                   : marty_error_set(why, MARTY_E_NO_GROUP, "%.128s has no group %.128s", name,
                                     out->channel.group);
    }
    return err ? err : add(name, only, out, reply_to, why);
}

static marty_err op_publish(marty_port *port, const marty_outgoing batch[], size_t count,
                            size_t *ret_taken, marty_error *why)
{
    for (size_t i = 0; i < count; i++) {
        marty_published result = {.token = batch[i].token, .level = MARTY_LEVEL_MEMORY};
        pthread_mutex_lock(&hub.lock);
        result.err = publish_one(port, &batch[i], why);
        pthread_mutex_unlock(&hub.lock);
        result.text = result.err ? why->text : NULL;
        port->sink->published(port->sink, &result, 1);
    }
    *ret_taken = count;
    return MARTY_OK;
}

/* ---- consuming */
static marty_err join(marty_port *port, uint64_t number, const marty_want *want, const char *name,
                      marty_error *why)
{
    bool many = has_many_groups(want->channel.kind);
    group *g = group_get(want->channel.kind, name, many ? want->channel.group : "", why);
    sub *joined = g ? marty_alloc_zero(1, sizeof *joined) : NULL;
    if (!joined) {
        return g ? marty_error_set(why, MARTY_E_NO_MEMORY, "no memory to subscribe") : why->code;
    }
    *joined = (sub){hub.subs, port, g, number, want->credit, NULL};
    hub.subs = joined;
    return MARTY_OK;
}

static marty_err op_subscribe(marty_port *port, uint64_t number, const marty_want *want,
                              marty_error *why)
{
    char name[FULL_NAME];
    bool starts_back = want->start.from != MARTY_FROM_GROUP && want->start.from != MARTY_FROM_NOW;
    marty_err err = full_name(port, &want->channel, false, name, why);
    if (!err && (want->reset || starts_back)) {
        err = marty_error_set(why, MARTY_E_UNSUPPORTED, "loop: keeps nothing to start or seek in");
    }
    pthread_mutex_lock(&hub.lock);
    if (!err && !*find_sub(port, number)) { /* the same number again: new patterns, core matches */
        err = join(port, number, want, name, why);
    }
    if (!err) {
        port->sink->subscribed(port->sink, number, MARTY_OK, "");
        dispatch((*find_sub(port, number))->group);
    }
    pthread_mutex_unlock(&hub.lock);
    return err;
}

static void op_grant(marty_port *port, uint64_t number, uint32_t credit)
{
    pthread_mutex_lock(&hub.lock);
    sub *to = *find_sub(port, number);
    if (to) {
        to->credit += credit;
        dispatch(to->group);
    }
    pthread_mutex_unlock(&hub.lock);
}

static marty_err settle_one(marty_port *port, const marty_settling *how)
{
    sub *from = *find_sub(port, how->subscription);
    job **at = from ? &from->held : NULL;
    while (at && *at && (*at)->tag != how->tag) {
        at = &(*at)->next;
    }
    job *j = at ? *at : NULL;
    if (!j) {
        return from && !is_settled(from->group->kind) ? MARTY_OK : MARTY_E_LOST;
    }
    if (how->verb == MARTY_SETTLE_EXTEND) {
        return MARTY_OK; /* there are no leases */
    }
    *at = j->next;
    if (how->verb == MARTY_SETTLE_ACK) {
        job_free(j);
    } else {
        j->tries += how->verb == MARTY_SETTLE_RETRY;
        job_wait(j);
        dispatch(j->group);
    }
    return MARTY_OK;
}

static void op_settle(marty_port *port, const marty_settling batch[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&hub.lock);
        marty_err err = settle_one(port, &batch[i]);
        pthread_mutex_unlock(&hub.lock);
        port->sink->settled(port->sink, batch[i].subscription, batch[i].verb, &batch[i].tag, 1, err,
                            INT64_MAX);
    }
}

static void op_unsubscribe(marty_port *port, uint64_t number)
{
    pthread_mutex_lock(&hub.lock);
    sub **at = find_sub(port, number);
    if (*at) {
        leave(at);
    }
    pthread_mutex_unlock(&hub.lock);
    port->sink->subscribed(port->sink, number, MARTY_E_CLOSED, "unsubscribed");
}

MARTY_API const marty_backend marty_module = {.abi = MARTY_BACKEND_ABI,
                                              .size = sizeof(marty_backend),
                                              .scheme = "loop",
                                              .package = "marty-loop",
                                              .claims = &claims,
                                              .open = op_open,
                                              .connect = op_connect,
                                              .publish = op_publish,
                                              .subscribe = op_subscribe,
                                              .grant = op_grant,
                                              .settle = op_settle,
                                              .unsubscribe = op_unsubscribe,
                                              .close = op_close,
                                              .free = op_free};
