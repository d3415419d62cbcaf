/* SPDX-License-Identifier: Apache-2.0
 * Queries: ask a service, and get its answer or its error before a deadline.
 *   queries [BUS-URL] */
#include <marty/marty.h>

#include <stdio.h>
#include <string.h>

static marty_err on_profile(void *user, marty_delivery *query)
{
    (void)user;
    if (memcmp(query->message->data.data, "7", query->message->data.size) != 0) {
        return marty_fail(query, MARTY_CLASS_CALLER, "not_found", "there is no such user");
    }
    return marty_reply(query, &(marty_message){.data = marty_text("{\"name\": \"Ada\"}")}, NULL);
}

static bool ask(marty_bus *bus, const char *who)
{
    marty_error why = {0};
    marty_message *reply = NULL;
    marty_err err = marty_query(bus, "user", "profile", marty_text(who),
                                &(marty_query_options){.timeout_ms = 5000}, &reply, &why);
    if (err == MARTY_OK) {
        printf("user %s: %.*s\n", who, MARTY_BYTES_ARGS(reply->data));
    } else if (err == MARTY_E_REMOTE) {
        printf("user %s: the service says %s, %s\n", who, why.remote, why.text);
    } else {
        printf("user %s: %s\n", who, why.text); /* nobody answers, or not in time */
    }
    marty_message_unref(reply);
    return err == MARTY_OK || err == MARTY_E_REMOTE;
}

int main(int argc, char **argv)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    bool failed = marty_bus_open(&bus, argc > 1 ? argv[1] : "memory:",
                                 &(marty_bus_options){.service = "user"}, &why) ||
                  marty_handle_queries(bus, "profile", on_profile, NULL, NULL, NULL, &why) ||
                  marty_bus_start(bus, &why); /* handlers run on threads of the bus */
    if (failed) {
        fprintf(stderr, "%s\n", why.text);
    } else {
        failed = !ask(bus, "7") || !ask(bus, "8");
    }
    marty_bus_free(bus);
    return failed;
}
