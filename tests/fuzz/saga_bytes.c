/* SPDX-License-Identifier: Apache-2.0
 * States and histories as bytes: no crash; a state that reads encodes to the very same bytes; what
 * folds gives a state that reads. */
#include "saga/machine.h"
#include "tests/fuzz/fuzz.h"

static void check_state(marty_bytes bytes)
{
    marty__arena arena = {0};
    marty__saga_state state;
    marty__buffer again = {0};
    if (bytes.size && !marty__saga_state_read(&state, &arena, bytes, NULL)) {
        marty__saga_state_write(&state, &again);
        FUZZ_CHECK(again.size == bytes.size && memcmp(again.data, bytes.data, bytes.size) == 0);
        FUZZ_CHECK(marty__saga_state_due(&state) >= 0);
    }
    marty__buffer_free(&again);
    marty__arena_free(&arena);
}

static void check_history(marty_bytes batch)
{
    marty__arena arena = {0}, other = {0};
    marty__saga_state state = {.arena = &arena}, read;
    marty__buffer bytes = {0}, json = {0};
    marty_err err = marty__saga_fold(&state, batch, NULL);
    if (!err && state.phase && state.slot_count) {
        marty__saga_state_write(&state, &bytes);
        (void)marty__saga_state_read(&read, &other, (marty_bytes){bytes.data, bytes.size}, NULL);
        FUZZ_CHECK(marty__saga_history_json(NULL, batch, &json, NULL) == MARTY_OK);
    }
    marty__buffer_free(&bytes);
    marty__buffer_free(&json);
    marty__arena_free(&arena);
    marty__arena_free(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const marty_bytes bytes = {data, size};
    check_state(bytes);
    check_history(bytes);
    return 0;
}
