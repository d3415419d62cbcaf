/* SPDX-License-Identifier: Apache-2.0
 * Binary events: header lines, an empty line, a body; the first byte chooses the prefix. */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const prefixes[] = {"ce-", "ce_", "cloudEvents_", "", NULL};
    enum { MOST = 64 };
    marty_header headers[MOST];
    marty_message wire, *event = NULL;
    marty_error why = {0};
    if (!size) {
        return 0;
    }
    const char *prefix = prefixes[data[0] % 5];
    char *text = fuzz_text(data + 1, size - 1);
    fuzz_wire(&wire, headers, MOST, text, size - 1);
    if (marty_message_decode(&event, &wire, prefix, &why) == MARTY_OK) {
        fuzz_event(event);
        marty_message_unref(event);
    } else {
        FUZZ_CHECK(!event && why.code && why.text[0]);
    }
    free(text);
    return 0;
}
