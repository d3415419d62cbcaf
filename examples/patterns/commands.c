/* SPDX-License-Identifier: Apache-2.0
 * Commands: have one service do something. A command whose handler fails is tried again; one that
 * cannot be done is rejected, and lies with its cause in the dead letters (marty dlq ls).
 *   commands [BUS-URL] */
#include <marty/marty.h>

#include <stdio.h>

static marty_err on_charge(void *user, marty_delivery *command)
{
    (void)user;
    printf("charge %s, attempt %u\n", command->message->subject, command->attempt);
    if (command->attempt < 3) {
        return MARTY_E_FAILED; /* once more, after a while */
    }
    marty_bus_stop(command->bus);
    return MARTY_OK;
}

static marty_err on_refund(void *user, marty_delivery *command)
{
    (void)user;
    printf("refund %s: rejected\n", command->message->subject);
    return marty_reject(command, "there is no such card");
}

int main(int argc, char **argv)
{
    marty_error why = {0};
    marty_bus *bus = NULL;
    marty_message visa = {.subject = "visa-1234"}, none = {.subject = "none-0000"};
    bool failed = marty_bus_open(&bus, argc > 1 ? argv[1] : "memory:",
                                 &(marty_bus_options){.service = "payment"}, &why) ||
                  marty_handle_commands(bus, "charge", on_charge, NULL, NULL, NULL, &why) ||
                  marty_handle_commands(bus, "refund", on_refund, NULL, NULL, NULL, &why) ||
                  /* usually from another program: the service is named, not its instances */
                  marty_send_command(bus, "payment", "refund", marty_text("{\"amount\": 5}"),
                                     &(marty_publish_options){.with = &none}, &why) ||
                  marty_send_command(bus, "payment", "charge", marty_text("{\"amount\": 5}"),
                                     &(marty_publish_options){.with = &visa}, &why) ||
                  marty_bus_run(bus, &why);
    if (failed) {
        fprintf(stderr, "%s\n", why.text);
    }
    marty_bus_free(bus);
    return failed;
}
