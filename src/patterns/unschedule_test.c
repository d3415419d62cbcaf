/* SPDX-License-Identifier: Apache-2.0
 * Taking back what cannot be named is refused at once. What it would have waited with lies where a
 * message of about that size was before. The suite takes back what was scheduled (C21). */
#include <marty/marty.h>

#include "tests/check.h"

#include <string.h>

enum { TOO_LONG = 20000, MOST = 1200 };

static void free_a_message_of(size_t size)
{
    static char data[MOST];
    marty_error why = {0};
    marty_message *message = NULL;
    memset(data, 0xff, sizeof data);
    marty_message template_ = {.type = "order.made", .id = "1", .data = {data, size}};
    REQUIRE(!marty_message_new(&message, &template_, NULL, &why));
    marty_message_unref(message);
}

static void an_id_that_is_too_long_is_refused_at_once(void)
{
    static char id[TOO_LONG + 1];
    marty_error why = {0};
    marty_bus *bus = NULL;
    memset(id, 'x', TOO_LONG);
    REQUIRE(!marty_bus_open(&bus, "memory:", &(marty_bus_options){.service = "s"}, &why));
    for (size_t size = 0; size <= MOST; size += 50) {
        free_a_message_of(size);
        CHECK_INT(marty_unschedule(bus, MARTY_EVENT, NULL, "order.made", id, &why),
                  MARTY_E_TOO_LARGE);
    }
    CHECK_INT(marty_unschedule(bus, MARTY_EVENT, NULL, "order.made", "", &why), MARTY_E_ARGUMENT);
    CHECK_INT(marty_unschedule(bus, MARTY_EVENT, NULL, "order.made", "1", &why), MARTY_E_NOT_FOUND);
    CHECK_INT(marty_bus_close(bus, 0, &why), MARTY_OK);
    marty_bus_free(bus);
}

int main(void)
{
    an_id_that_is_too_long_is_refused_at_once();
    return check_result();
}
