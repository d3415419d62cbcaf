/* SPDX-License-Identifier: Apache-2.0
 * C30 (a missing channel is made or a typed error, as configured) and what topology tells. */
#include "contracts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool answer_has(const marty_message *report, const char *text)
{
    return memmem(report->data.data, report->data.size, text, strlen(text)) != NULL;
}

/* The op is optional in the port. */
static void want_topology(void)
{
    marty_error why = {0};
    marty_message *report = NULL;
    marty_bus *bus = suite_open("control", NULL);
    if (marty_topology(bus, "list", NULL, false, &report, &why) == MARTY_E_UNSUPPORTED) {
        suite_skip("%s", why.text);
    }
    marty_message_unref(report);
    suite_close(bus);
}

void c30_created(void)
{
    marty_error why = {0};
    marty_message *report = NULL;
    want_topology();
    marty_bus *bus = suite_open("billing", NULL);
    marty_err err = marty_topology(bus, "check", "commands.billing", false, &report, &why);
    EXPECT_ERR(err, MARTY_E_NOT_FOUND, &why, "checking a channel that is not there");
    EXPECT_OK(marty_topology(bus, "ensure", "commands.billing", false, &report, &why), &why,
              "making a channel");
    marty_message_unref(report);
    EXPECT_OK(marty_topology(bus, "check", "commands.billing", false, &report, &why), &why,
              "checking the channel that was made");
    marty_message_unref(report);
    suite_publish_many(bus, MARTY_COMMAND, "billing", "charge", "m", 0, 3, 0);
    EXPECT_OK(marty_topology(bus, "inspect", "commands.billing", false, &report, &why), &why,
              "inspecting it");
    EXPECT(answer_has(report, "commands.billing") && answer_has(report, "\"messages\""),
           "the inspection says %.*s", MARTY_BYTES_ARGS(report->data));
    marty_message_unref(report);
    EXPECT_OK(marty_topology(bus, "list", NULL, false, &report, &why), &why, "listing");
    EXPECT(answer_has(report, "commands.billing"), "the list has no commands.billing: %.*s",
           MARTY_BYTES_ARGS(report->data));
    marty_message_unref(report);
    EXPECT_OK(marty_topology(bus, "remove", "commands.billing", true, &report, &why), &why,
              "removing it");
    marty_message_unref(report);
    err = marty_topology(bus, "check", "commands.billing", false, &report, &why);
    EXPECT_ERR(err, MARTY_E_NOT_FOUND, &why, "checking the channel that was removed");
}

void c30_check_only(void)
{
    marty_error why = {0};
    want_topology();
    marty_bus *bus = suite_open("billing", "topology=check");
    marty_message message = {.type = "charge"};
    marty_err err = suite_try_publish(bus, MARTY_COMMAND, "billing", &message, NULL, NULL, &why);
    EXPECT_ERR(err, MARTY_E_NOT_FOUND, &why,
               "publishing to a channel that is not there, with "
               "topology=check");
    EXPECT(strstr(why.text, "commands.billing"), "the error does not name the channel: %s",
           why.text);
    recorder *heard_ = recorder_new(NULL, NULL);
    marty_subscribe_options options = {.timeout_ms = 3000};
    err = marty_handle_commands(bus, "charge", recorder_handle, heard_, &options, NULL, &why);
    if (err == MARTY_OK) { /* it is asked of the broker at the start */
        err = marty_bus_start(bus, &why);
    }
    suite_log("subscribing with topology=check: %s %s", suite_err(err), why.text);
    marty_bus *maker = suite_open("maker", NULL);
    suite_publish(maker, MARTY_COMMAND, "billing", "charge", "m-0000", NULL, "x");
    EXPECT_OK(suite_try_publish(bus, MARTY_COMMAND, "billing", &message, NULL, NULL, &why), &why,
              "publishing once the channel is there");
}

void c30_live_group(void)
{
    marty_error why = {0};
    marty_message *report = NULL;
    want_topology();
    marty_bus *bus = suite_open("billing", NULL), *other = suite_open("control", NULL);
    recorder *heard_ = recorder_new(NULL, NULL);
    suite_subscribe(bus, MARTY_COMMAND, "charge", heard_, NULL);
    suite_start(bus);
    suite_publish(other, MARTY_COMMAND, "billing", "charge", "m-0000", NULL, "x");
    recorder_expect(heard_, "m", 0, 1, 1);
    marty_err err = marty_topology(other, "remove", "commands.billing", false, &report, &why);
    EXPECT_ERR(err, MARTY_E_STATE, &why, "removing a channel with live members");
    suite_publish(other, MARTY_COMMAND, "billing", "charge", "m-0001", NULL, "x");
    recorder_expect(heard_, "m", 0, 2, 1);
}

void c30_different(void)
{
    /* The channel is there, ordered by key; a program that wants it without order is told. */
    marty_error why = {0};
    char text[2048];
    snprintf(text, sizeof text,
             "backends: {main: \"%s\"}\n"
             "routes:\n"
             "  - {events: \"order.>\", to: main, order: key}\n",
             suite_url(NULL));
    marty_bus *first =
        suite_open_with(NULL, &(marty_bus_options){.service = "shop", .config_text = text});
    suite_publish(first, MARTY_EVENT, NULL, "order.created", "m-0000", "k", "x");
    marty_bus *second = suite_open("billing", NULL);
    marty_message message = {.type = "order.created"};
    marty_err err = suite_try_publish(second, MARTY_EVENT, NULL, &message, NULL, NULL, &why);
    EXPECT_ERR(err, MARTY_E_EXISTS, &why, "publishing without order to a channel that has one");
    EXPECT(strstr(why.text, "order"), "the error does not name the field: %s", why.text);
    recorder *heard_ = recorder_new(NULL, NULL);
    err = marty_subscribe_to_events(second, "order.*", recorder_handle, heard_, NULL, NULL, &why);
    if (err == MARTY_OK) { /* it is asked of the broker at the start */
        err = marty_bus_start(second, &why);
    }
    EXPECT(err == MARTY_E_EXISTS || err == MARTY_OK, "subscribing without order: %s %s",
           suite_err(err), why.text);
    suite_publish(first, MARTY_EVENT, NULL, "order.created", "m-0001", "k", "x");
}
