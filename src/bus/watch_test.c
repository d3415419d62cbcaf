/* SPDX-License-Identifier: Apache-2.0
 * The watchdog: a consumer that gets nothing while something is due is told and subscribed again;
 * one of which all waits for its time, or is another's, is left alone. Takes two of its looks, 15
 * s: both are watched at once. */
#include "test_script.h"

#include <string.h>

typedef struct watched {
    const char *channel, *row; /* what inspect says of its group, behind the name */
    atomic_uint subscribes, looks, told;
} watched;

static watched stuck = {.channel = "events.stuck", .row = "\"lag\":3,\"due\":1"};
static watched older = {.channel = "events.older", .row = "\"lag\":3"}; /* says no due */
static watched later = {.channel = "events.later", .row = "\"lag\":3,\"due\":0"};

static watched *find(const char *channel)
{
    watched *const all[] = {&stuck, &older, &later};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (channel && strcmp(all[i]->channel, channel) == 0) {
            return all[i];
        }
    }
    return NULL;
}

static marty_err note_subscribe(marty_port *port, uint64_t number, const marty_want *want,
                                marty_error *why)
{
    watched *self = find(want->channel.name);
    REQUIRE(self);
    atomic_fetch_add(&self->subscribes, 1);
    return op_subscribe(port, number, want, why);
}

static marty_err answer_topology(marty_port *port, const char *verb, const marty_want *what,
                                 int64_t deadline_ns, marty_message **ret_answer, marty_error *why)
{
    char text[256];
    watched *self = find(what->channel.name);
    (void)port;
    (void)deadline_ns;
    REQUIRE(self && what->channel.group && strcmp(verb, "inspect") == 0);
    (void)snprintf(text, sizeof text,
                   "{\"groups\":[{\"group\":\"other\",\"lag\":9,\"due\":9},{\"group\":\"%s\",%s}]}",
                   what->channel.group, self->row);
    marty_message answer = {.type = "x.y", .source = "/x", .id = "1", .data = marty_text(text)};
    atomic_fetch_add(&self->looks, 1);
    return marty_message_new(ret_answer, &answer, NULL, why);
}

static void note_state(void *user, const marty_state_event *event)
{
    (void)user;
    watched *self = event->state == MARTY_STATE_STALLED ? find(event->channel) : NULL;
    if (self) {
        CHECK_INT(event->reason, MARTY_E_TIMEOUT);
        atomic_fetch_add(&self->told, 1);
    }
}

static void who_gets_nothing_of_what_is_due_is_subscribed_again(void)
{
    static marty_backend backend;
    marty_error why = {0};
    marty_bus *bus = NULL;
    backend = script_backend;
    backend.scheme = "watched";
    backend.subscribe = note_subscribe;
    backend.topology = answer_topology;
    REQUIRE(!marty_backend_register(&backend, &why));
    REQUIRE(!marty_bus_open(
        &bus, "watched:", &(marty_bus_options){.service = "s", .on_state = note_state}, &why));
    const char *types[] = {"stuck.*", "older.*", "later.*"};
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT(marty_subscribe_to_events(bus, types[i], handle, NULL, NULL, NULL, &why),
                  MARTY_OK);
    }
    CHECK_INT(marty_bus_start(bus, &why), MARTY_OK);
    CHECK_SOON(atomic_load(&stuck.subscribes) == 2 && atomic_load(&older.subscribes) == 2, 30000);
    CHECK_SOON(atomic_load(&later.looks) >= 2, 30000);
    CHECK_SOON(atomic_load(&stuck.told) == 1 && atomic_load(&older.told) == 1, 5000);
    CHECK_INT(atomic_load(&later.told), 0);
    CHECK_INT(atomic_load(&later.subscribes), 1);
    CHECK_INT(marty_bus_close(bus, 20000, &why), MARTY_OK);
    marty_bus_free(bus);
}

int main(void)
{
    who_gets_nothing_of_what_is_due_is_subscribed_again();
    return check_result();
}
