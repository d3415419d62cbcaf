/* SPDX-License-Identifier: Apache-2.0
 * Requests of `marty peer`: what jansson takes as it stands is taken, and each message's data is
 * the JSON that it was. */
#include "cli/peer.h"

#include "tests/fuzz/fuzz.h"

static void check_message(json_t *plain, json_t *ours)
{
    json_t *data = json_is_object(plain) ? json_object_get(plain, "data") : NULL;
    json_t *text = json_is_object(ours) ? json_object_get(ours, "data") : NULL;
    FUZZ_CHECK(!data == !text);
    if (data) {
        FUZZ_CHECK(json_is_string(text));
        json_t *inner = json_loadb(json_string_value(text), json_string_length(text),
                                   JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        FUZZ_CHECK(inner && json_equal(inner, data));
        json_decref(inner);
        FUZZ_CHECK(json_object_del(plain, "data") == 0 && json_object_del(ours, "data") == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_error_t error, wrong = {0};
    char *text = malloc(size ? size : 1); /* no NUL behind it: nothing may read there */
    FUZZ_CHECK(text);
    memcpy(text, data, size);
    json_t *plain = json_loadb(text, size, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    json_t *ours = peer_parse(text, size, false, &wrong);
    FUZZ_CHECK(ours || wrong.text[0]);
    if (plain) {
        FUZZ_CHECK(ours);
        check_message(json_object_get(plain, "message"), json_object_get(ours, "message"));
        json_t *all = json_object_get(plain, "messages");
        json_t *all_ours = json_object_get(ours, "messages");
        for (size_t i = 0; i < json_array_size(all); i++) {
            check_message(json_array_get(all, i), json_array_get(all_ours, i));
        }
        FUZZ_CHECK(json_equal(plain, ours)); /* all else is as it was */
    }
    json_decref(plain);
    json_decref(ours);
    free(text);
    return 0;
}
