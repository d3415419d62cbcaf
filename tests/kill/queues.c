/* SPDX-License-Identifier: Apache-2.0
 * What the broker still has: nothing may be in flight once every saga has ended and what the dead
 * had was delivered again, and nothing may have become a dead letter. */
#include "round.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The sum of all numbers under a name, in the JSON of a report. */
static long sum_of(const char *json, const char *name)
{
    long sum = 0;
    size_t size = strlen(name);
    for (const char *at = strstr(json, name); at; at = strstr(at + size, name)) {
        sum += strtol(at + size, NULL, 10);
    }
    return sum;
}

bool queues_are_empty(marty_bus *bus, bool held_too, char *ret_why, size_t why_size)
{
    static const char *const queues[] = {"commands.order", "commands.inventory", "commands.payment",
                                         "commands.shipping", "commands.orders"};
    bool empty = true;
    for (size_t i = 0; i < sizeof queues / sizeof *queues && empty; i++) {
        marty_message *report = NULL;
        char text[4000];
        marty_error why = {.code = MARTY_OK};
        if (marty_topology(bus, "inspect", queues[i], false, &report, &why) != MARTY_OK) {
            (void)snprintf(ret_why, why_size, "the broker's queues cannot be seen: %.400s",
                           why.text);
            return false;
        }
        (void)snprintf(text, sizeof text, "%.*s", MARTY_BYTES_ARGS(report->data));
        marty_message_unref(report);
        empty = strstr(text, "\"lag\":") && sum_of(text, "\"lag\":") == 0 &&
                (!held_too || sum_of(text, "\"unsettled\":") == 0);
        if (!empty) {
            (void)snprintf(ret_why, why_size, "the broker's queues do not become empty: %.400s",
                           text);
        }
    }
    return empty;
}

typedef struct letters {
    int count;
    char first[200];
} letters;

static marty_dead_verb on_letter(void *user, const marty_dead_letter *letter,
                                 marty_message *instead)
{
    letters *to = user;
    (void)instead;
    if (to->count++ == 0) {
        (void)snprintf(to->first, sizeof to->first, "%.60s: %.120s", letter->channel,
                       letter->cause ? letter->cause : "?");
    }
    return MARTY_DEAD_LEAVE;
}

bool letters_are_none(marty_bus *bus, char *ret_why, size_t why_size)
{
    letters found = {0};
    marty_error why = {0};
    marty_err err = marty_dead_letters(bus, "*", NULL, on_letter, &found, &why);
    bool none = (!err || err == MARTY_E_NOT_FOUND) && found.count == 0;
    if (!none) {
        (void)snprintf(ret_why, why_size, "%d dead letters, the first of %s; %.200s", found.count,
                       found.first, why.text);
    }
    return none;
}
