/* SPDX-License-Identifier: Apache-2.0
 * C01 (everything a sender sets comes out) and C02 (bodies are bytes). */
#include "contracts.h"
#include "round_trip.h"

#include <string.h>

static const marty_pattern all[] = {MARTY_EVENT, MARTY_COMMAND, MARTY_QUERY, MARTY_STREAM,
                                    MARTY_BROADCAST};

#define BYTES(text)                                                                                \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }
static const marty_header headers[] = {
    {"tenant", BYTES("north"), MARTY_ATTRIBUTE},
    {"retrycount", BYTES("-2147483648"), MARTY_ATTRIBUTE_INTEGER},
    {"sampled", BYTES("true"), MARTY_ATTRIBUTE_BOOLEAN},
    {"digest", BYTES("AAECAwQ="), MARTY_ATTRIBUTE_BINARY},
    {"origin", BYTES("https://shop.example/orders?id=7&x=%20"), MARTY_ATTRIBUTE_URI},
    {"placedat", BYTES("2026-11-25T09:30:00.123456Z"), MARTY_ATTRIBUTE_TIMESTAMP},
    {"greeting", BYTES("Gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x9a \"quoted\" 100% a,b;c=d"),
     MARTY_ATTRIBUTE},
    {"x-kept", BYTES("first"), MARTY_HEADER},
    {"x-kept", BYTES("second"), MARTY_HEADER},
    {"x-empty", BYTES(""), MARTY_HEADER},
    {"X-Case-Mixed", BYTES("yes"), MARTY_HEADER},
};

static marty_message whole(const char *id)
{
    return (marty_message){.type = "trip.whole",
                           .data = marty_text("{\"id\": 7}"),
                           .id = id,
                           .source = "/suite/c01",
                           .subject = "orders/7",
                           .key = "customer-42",
                           .content_type = "application/json; charset=utf-8",
                           .schema = "https://schemas.example/order/3",
                           .correlation_id = "correlation-1",
                           .causation_id = "cause-1",
                           .time_us = 1790000000123456,
                           .headers = headers,
                           .header_count = sizeof headers / sizeof headers[0]};
}

void c01_attributes(void)
{
    trip_open();
    for (size_t i = 0; i < 5; i++) {
        marty_error why = {0};
        marty_message sent = whole(suite_id("whole", (int)i));
        marty_message *came = trip(all[i], &sent, &why);
        EXPECT(came, "a %s with every attribute was refused: %s", suite_pattern_name(all[i]),
               why.text);
        trip_expect_same(all[i], &sent, came);
        for (size_t k = 0; k < sent.header_count; k++) {
            bool kind = false;
            for (size_t n = 0; n < came->header_count; n++) {
                kind = kind || (strcmp(came->headers[n].name, headers[k].name) == 0 &&
                                (came->headers[n].kind == MARTY_HEADER) ==
                                    (headers[k].kind == MARTY_HEADER));
            }
            EXPECT(kind || headers[k].kind == MARTY_HEADER,
                   "%s: the attribute %s came as a plain header", suite_pattern_name(all[i]),
                   headers[k].name);
        }
        marty_message_unref(came);
    }
    trip_close();
}

void c01_empty(void)
{
    trip_open();
    for (size_t i = 0; i < 5; i++) {
        marty_error why = {0};
        marty_message sent = {.type = "trip.empty"};
        marty_message *came = trip(all[i], &sent, &why);
        EXPECT(came, "a %s with nothing but a type was refused: %s", suite_pattern_name(all[i]),
               why.text);
        trip_expect_same(all[i], &sent, came);
        EXPECT(strlen(came->id) == 36, "%s: an id was to be given, \"%s\" is none",
               suite_pattern_name(all[i]), came->id);
        for (size_t k = 0; k < came->header_count; k++) {
            EXPECT(came->headers[k].kind != MARTY_HEADER, "%s: sent without headers, came with %s",
                   suite_pattern_name(all[i]), came->headers[k].name);
        }
        marty_message_unref(came);
    }
    trip_close();
}

void c02_bytes(void)
{
    static unsigned char every[512];
    for (size_t i = 0; i < sizeof every; i++) {
        every[i] = (unsigned char)(i < 256 ? i : 511 - i);
    }
    const marty_bytes bodies[] = {{every, sizeof every},
                                  BYTES("\0"),
                                  BYTES("\0\0\0nul inside\0"),
                                  BYTES("\xff\xfe\xc3\x28\xed\xa0\x80 no UTF-8"),
                                  BYTES("\r\n\r\nMSG x 1\r\n+OK\r\n"),
                                  BYTES("'; DROP TABLE message; --"),
                                  BYTES(" leading and trailing \n")};
    static const char *const types[] = {"application/octet-stream", "application/json",
                                        "text/plain"};
    trip_open();
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < sizeof bodies / sizeof bodies[0]; k++) {
            marty_error why = {0};
            marty_message sent = {
                .type = "trip.bytes", .data = bodies[k], .content_type = types[k % 3]};
            marty_message *came = trip(all[i], &sent, &why);
            EXPECT(came, "a %s with body %zu of %zu bytes was refused: %s",
                   suite_pattern_name(all[i]), k, bodies[k].size, why.text);
            trip_expect_same(all[i], &sent, came);
            marty_message_unref(came);
        }
    }
    trip_close();
}
