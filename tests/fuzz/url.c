/* SPDX-License-Identifier: Apache-2.0
 * URLs of backends: no crash, and the password is not in what may be shown. */
#include "tests/fuzz/fuzz.h"

/* In the seeds this stands where a password stands. */
static const char secret[] = "hunter2";

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) {
        count++;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    marty_url *url = NULL;
    marty_error why = {0};
    if (marty_url_parse(&url, text, &why) == MARTY_OK) {
        FUZZ_CHECK(url->scheme && url->scheme[0] && url->redacted);
        for (size_t i = 0; i < url->host_count; i++) {
            FUZZ_CHECK(url->hosts[i].host);
        }
        for (size_t i = 0; i < url->parameter_count; i++) {
            FUZZ_CHECK(marty_url_get(url, url->parameters[i].name));
        }
        if (url->password && strstr(url->password, secret) && count_of(text, secret) == 1) {
            FUZZ_CHECK(!strstr(url->redacted, secret));
        }
        marty_url_free(url);
    } else {
        FUZZ_CHECK(!url && why.code == MARTY_E_CONFIG && why.text[0]);
        const char *slashes = strstr(text, "//"), *at = strstr(text, ":hunter2@");
        bool hidden = slashes && at > slashes && at < text + strcspn(text, "?");
        FUZZ_CHECK(!hidden || count_of(text, secret) > 1 || !strstr(why.text, secret));
    }
    uint64_t number = 0;
    (void)!marty_parse_duration(&number, "key", text, &why);
    (void)!marty_parse_size(&number, "key", text, &why);
    free(text);
    return 0;
}
