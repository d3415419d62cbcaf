/* SPDX-License-Identifier: Apache-2.0
 * The table of verbs and the flag tables that several verbs share. Data only. */
#include "cli.h"

#define ADDRESS(name) &cli_verb_##name,
const cli_verb *const cli_verbs[] = {CLI_VERBS(ADDRESS) NULL};

const cli_flag cli_flags_none[] = {{0}};
const cli_flag cli_flags_common[] = {
    {"output", 'o', CLI_CHOICE, "table|json|jsonl|raw",
     "Form of the output: a table on a terminal, JSON lines in a pipe."},
    {"quiet", 'q', CLI_SWITCH, NULL, "Do not narrate on stderr; errors are still said."},
    {"verbose", 'v', CLI_SWITCH, NULL, "Show the log of the bus on stderr."},
    {"color", 0, CLI_CHOICE, "auto|always|never",
     "Colors: on a terminal unless NO_COLOR is set, always, or never."},
    {"help", 'h', CLI_SWITCH, NULL, "Help for this verb."},
    {0}};
const cli_flag cli_flags_bus[] = {
    {"backend", 'b', CLI_STRING, "URL",
     "URL of a broker (sqlite:orders.db, nats://127.0.0.1:4222), or the name of one backend of the "
     "configuration."},
    {"config", 'c', CLI_STRING, "FILE", "Configuration file (marty.yaml)."},
    {"context", 0, CLI_STRING, "NAME", "Context to use; see: marty context ls."},
    {"service", 0, CLI_STRING, "NAME", "Name of the service we act as; source of what we publish."},
    {"envelope", 0, CLI_CHOICE, "cloudevents|legacy|both",
     "Envelope on the wire: CloudEvents, that of the older Python services, or read either."},
    {"wait", 0, CLI_DURATION, "DURATION",
     "Go on trying that long when a broker is not there; default: one try."},
    {0}};
const cli_flag cli_flags_message[] = {
    {"header", 'H', CLI_LIST, "NAME:VALUE", "A header of the message; may be given again."},
    {"attribute", 0, CLI_LIST, "NAME:VALUE",
     "A CloudEvents extension attribute; may be given again."},
    {"key", 'k', CLI_STRING, "KEY", "Messages of one key keep their order."},
    {"id", 0, CLI_STRING, "ID", "Id of the message; a repeated id is stored once where granted."},
    {"source", 0, CLI_STRING, "URI", "Source of the message; default: from the service."},
    {"subject", 0, CLI_STRING, "TEXT", "CloudEvents subject."},
    {"content-type", 0, CLI_STRING, "TYPE",
     "Default: application/json when the data is JSON, text/plain when it is text."},
    {"schema", 0, CLI_STRING, "URI", "CloudEvents dataschema."},
    {"correlation-id", 0, CLI_STRING, "ID", "What this message belongs to."},
    {"causation-id", 0, CLI_STRING, "ID", "Id of the message that caused this one."},
    {"trace-parent", 0, CLI_STRING, "TRACE", "W3C traceparent."},
    {0}};
const cli_flag cli_flags_publish[] = {
    {"lines", 'l', CLI_SWITCH, NULL, "One message from each line of stdin."},
    {"exact", 0, CLI_SWITCH, NULL, "Keep the line end at the end of stdin."},
    {"count", 'n', CLI_NUMBER, "N", "Publish it that many times, each with an id of its own."},
    {"in", 0, CLI_DURATION, "DURATION", "Deliver it after this time (scheduled)."},
    {"at", 0, CLI_STRING, "TIME", "Deliver it at this time: 2026-11-01T10:00, 10:30."},
    {"ttl", 0, CLI_DURATION, "DURATION", "After this time nobody shall handle it any more."},
    {"level", 0, CLI_CHOICE, "memory|written|synced|replicated",
     "Refuse when the backend cannot store it at least this well."},
    {"timeout", 't', CLI_DURATION, "DURATION", "Time to wait for the outcome; default 5s."},
    {0}};
const cli_flag cli_flags_danger[] = {
    {"dry-run", 0, CLI_SWITCH, NULL, "Say what would be done, and do nothing."},
    {"yes", 'y', CLI_SWITCH, NULL, "Do not ask; needed without a terminal."},
    {0}};

const cli_verb *cli_verb_find(const char *first, const char *second)
{
    size_t i;
    for (i = 0; cli_verbs[i]; i++) {
        const char *name = cli_verbs[i]->name;
        const char *space = strchr(name, ' ');
        if (!space ? !second && strcmp(name, first) == 0
                   : second && strncmp(name, first, strlen(first)) == 0 &&
                         name + strlen(first) == space && strcmp(space + 1, second) == 0) {
            return cli_verbs[i];
        }
    }
    return NULL;
}

bool cli_verb_is_noun(const char *first)
{
    size_t i, length = strlen(first);
    for (i = 0; cli_verbs[i]; i++) {
        if (strncmp(cli_verbs[i]->name, first, length) == 0 && cli_verbs[i]->name[length] == ' ') {
            return true;
        }
    }
    return false;
}
