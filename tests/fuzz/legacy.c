/* SPDX-License-Identifier: Apache-2.0
 * The envelope of the Python services; the type may be told by the subject. */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *body = fuzz_text(data, size);
    const char *types[] = {NULL, "saga.OrderPlaced"};
    for (size_t i = 0; i < 2; i++) {
        marty_message wire = {.type = types[i], .data = {body, size}}, *event = NULL;
        marty_error why = {0};
        if (marty_message_decode(&event, &wire, NULL, &why) == MARTY_OK) {
            fuzz_event(event);
            marty_message_unref(event);
        } else {
            FUZZ_CHECK(!event && why.code && why.text[0]);
        }
    }
    free(body);
    return 0;
}
