/* SPDX-License-Identifier: Apache-2.0
 * See hub.h: channels, groups, jobs, and whose turn it is. */
#include "hub.h"

#include <string.h>

enum { BATCH = 32 };
struct hub hub = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER};

bool has_one_group(marty_kind kind)
{
    return kind != MARTY_KIND_TOPIC && kind != MARTY_KIND_BROADCAST;
}

bool is_settled(marty_kind kind)
{
    return kind == MARTY_KIND_TOPIC || kind == MARTY_KIND_QUEUE || kind == MARTY_KIND_DEAD;
}

void *new_named(size_t size, const char *name)
{
    size_t name_size = strlen(name) + 1;
    char *made = marty_alloc_zero(1, size + name_size);
    return made ? (char *)memcpy(made + size, name, name_size) - size : NULL;
}

group *group_find(const channel *c, const char *name)
{
    group *g = c->groups;
    while (g && (g->alone || strcmp(g->name, name) != 0)) {
        g = g->next;
    }
    return g;
}

group *group_new(channel *c, const char *name, bool alone)
{
    group *g = new_named(offsetof(group, name), name);
    if (g) {
        g->channel = c;
        g->alone = alone;
        g->next = c->groups;
        c->groups = g;
    }
    return g;
}

channel *channel_get(marty_kind kind, const char *name, marty_error *why)
{
    channel *c = hub.channels;
    while (c && strcmp(c->name, name) != 0) {
        c = c->next;
    }
    if (c && c->kind != kind) {
        marty_error_set(why, MARTY_E_EXISTS, "channel %.255s is of another kind", name);
        return NULL;
    }
    if (c) {
        return c;
    }
    c = new_named(offsetof(channel, name), name);
    if (c) {
        c->kind = kind;
    }
    if (!c || (has_one_group(kind) && !group_new(c, "", false))) {
        marty_free(c);
        marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for the channel %.255s", name);
        return NULL;
    }
    c->next = hub.channels;
    hub.channels = c;
    return c;
}

/* ---- jobs */
void job_free(job *j)
{
    hub.jobs--;
    marty_message_unref(j->message);
    marty_free(j);
}

static void jobs_free(job *j)
{
    while (j) {
        job *next = j->next;
        job_free(j);
        j = next;
    }
}

void job_wait(job *j)
{
    job **at = &j->group->waiting;
    while (*at && (*at)->seq < j->seq) {
        at = &(*at)->next;
    }
    j->next = *at;
    j->holder = NULL;
    *at = j;
}

marty_err jobs_add(channel *c, group *only, const marty_message *message, const char *reply_to,
                   marty_error *why)
{
    job *made = NULL;
    uint64_t seq = ++hub.seq;
    for (group *g = c->groups; g; g = g->next) {
        job *j = !only || g == only ? new_named(offsetof(job, reply_to), reply_to) : NULL;
        if (j) {
            hub.jobs++;
            j->message = marty_message_ref(message);
            j->group = g;
            j->seq = seq;
            j->next = made;
            made = j;
        } else if (!only || g == only) {
            jobs_free(made);
            return marty_error_set(why, MARTY_E_NO_MEMORY, "no memory for a message");
        }
    }
    while (made) {
        job *next = made->next;
        job_wait(made);
        made = next;
    }
    return MARTY_OK;
}

void job_take(job *j)
{
    job **at = &j->holder->held;
    while (*at != j) {
        at = &(*at)->next;
    }
    *at = j->next;
    marty_port *port = j->holder->port;
    for (at = &port->out; *at;) {
        if (*at == j) {
            *at = j->out;
        } else {
            at = &(*at)->out;
        }
    }
    port->out_end = at;
}

/* ---- handing out */
/* The next with credit, which then is the last in turn; or NULL. */
static sub *whose_turn(group *g)
{
    sub **at = &g->subs;
    while (*at && !(*at)->credit) {
        at = &(*at)->in_group;
    }
    sub *found = *at;
    if (found) {
        *at = found->in_group;
        while (*at) {
            at = &(*at)->in_group;
        }
        found->in_group = NULL;
        *at = found;
    }
    return found;
}

void dispatch(group *g)
{
    for (sub *to; g->waiting && (to = whose_turn(g)) != NULL;) {
        job *j = g->waiting;
        g->waiting = j->next;
        j->tag = ++hub.tags;
        j->holder = to;
        j->next = to->held;
        to->held = j;
        to->credit--;
        j->out = NULL;
        *to->port->out_end = j;
        to->port->out_end = &j->out;
    }
}

void dispatch_channel(channel *c)
{
    for (group *g = c->groups; g; g = g->next) {
        dispatch(g);
    }
}

static void group_free(group *g)
{
    group **at = &g->channel->groups;
    while (*at != g) {
        at = &(*at)->next;
    }
    *at = g->next;
    jobs_free(g->waiting);
    marty_free(g);
}

void sub_leave(sub *gone)
{
    group *g = gone->group;
    while (gone->held) {
        job *j = gone->held;
        job_take(j);
        job_wait(j);
    }
    sub **at = &g->subs;
    while (*at != gone) {
        at = &(*at)->in_group;
    }
    *at = gone->in_group;
    at = &gone->port->subs;
    while (*at != gone) {
        at = &(*at)->next;
    }
    *at = gone->next;
    marty_free(gone);
    if (g->alone) {
        group_free(g);
    } else {
        dispatch(g);
    }
}

/* ---- telling core: one thread at a time for each port, so that its order is kept */
static void tell(marty_port *port)
{
    port->telling = true;
    while (port->out) {
        marty_incoming batch[BATCH];
        job *done = NULL;
        size_t count = 0;
        while (port->out && count < BATCH) {
            job *j = port->out;
            batch[count++] = (marty_incoming){.subscription = j->holder->number,
                                              .tag = j->tag,
                                              .message = marty_message_ref(j->message),
                                              .reply_to = *j->reply_to ? j->reply_to : NULL,
                                              .attempt = j->tries + 1,
                                              .lease_until_ns = INT64_MAX};
            port->out = j->out;
            port->out_end = port->out ? port->out_end : &port->out;
            if (!is_settled(j->group->channel->kind)) {
                job_take(j);
                j->next = done; /* its reply_to is lent until core has it */
                done = j;
            }
        }
        pthread_mutex_unlock(&hub.lock);
        port->sink->delivered(port->sink, batch, count);
        pthread_mutex_lock(&hub.lock);
        jobs_free(done);
    }
    port->telling = false;
    pthread_cond_broadcast(&hub.told);
}

void wait_until_told(marty_port *port)
{
    while (port->telling) {
        pthread_cond_wait(&hub.told, &hub.lock);
    }
}

void flush_and_unlock(void)
{
    for (marty_port *port = hub.ports; port;) {
        if (port->out && !port->telling) {
            tell(port);
            port = hub.ports; /* the list may have changed meanwhile */
        } else {
            port = port->next;
        }
    }
    pthread_mutex_unlock(&hub.lock);
}

/* ---- ports */
void port_enter(marty_port *port)
{
    port->connected = true;
    port->next = hub.ports;
    hub.ports = port;
}

void port_leave(marty_port *port)
{
    wait_until_told(port);
    while (port->subs) {
        sub_leave(port->subs);
    }
    marty_port **at = &hub.ports;
    while (*at != port) {
        at = &(*at)->next;
    }
    *at = port->next;
    port->connected = false;
    while (!hub.ports && hub.channels) {
        channel *c = hub.channels;
        hub.channels = c->next;
        while (c->groups) {
            group_free(c->groups);
        }
        marty_free(c);
    }
}
