/* SPDX-License-Identifier: Apache-2.0
 * Configuration in YAML: no crash, an error names something, and the report shows no password. */
#include "bus/config.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    marty__config *config = NULL;
    marty_error why = {0};
    const marty_bus_options options = {.config_text = text};
    if (marty__config_load(&config, NULL, &options, &why) == MARTY_OK) {
        marty__buffer json = {0};
        marty__config_json(config, &json);
        FUZZ_CHECK(!json.failed && json.size);
        if (strstr(text, ":hunter2@")) {
            FUZZ_CHECK(!strstr(json.data, ":hunter2@"));
        }
        marty__buffer_free(&json);
        marty__config_free(config);
    } else {
        FUZZ_CHECK(!config && why.code && why.text[0]);
        FUZZ_CHECK(!strstr(why.text, ":hunter2@"));
    }
    free(text);
    return 0;
}
