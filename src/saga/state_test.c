/* SPDX-License-Identifier: Apache-2.0
 * What comes from a disk may be damaged, and memory may run out at any allocation: a damaged state
 * or history is refused, or is one that encodes to the very same bytes and can be gone on with; an
 * allocation that fails is an error, and nothing has happened. */
#include "base/alloc.h"
#include "test_machine.h"

static const char shape[] =
    "saga: shape\nevents: true\nsteps:\n"
    "- {name: a, service: s, command: a, compensate: b}\n"
    "- name: m\n  each: {items: /input/l, cap: 4, join: 1, steps: [{name: c, service: s, command: "
    "c, compensate: d, in_doubt: probe}]}\n"
    "- {name: w, signal: go}\n"
    "- {name: k, saga: child}\n";

static uint64_t chance = 1;

static uint32_t below(uint32_t limit)
{
    chance = chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(chance >> 33) % (limit ? limit : 1);
}

/* A saga with something in every corner of its state. */
static world rich(void)
{
    world w = world_new(shape);
    start(&w, "{\"l\":[1,2,3]}");
    answer(&w, "a", MARTY__SAGA_ACCEPTED, "");
    answer(&w, "a", MARTY__SAGA_PROGRESS, "{\"half\":1}");
    answer(&w, "a", MARTY__SAGA_RETRY, "");
    pass_to_due(&w);
    answer(&w, "a", MARTY__SAGA_OK, "{\"x\":1}");
    signal_(&w, "other", "s1", "5");
    answer(&w, "m[1]/c", MARTY__SAGA_REFUSED, "");
    pass_to_due(&w);
    verb(&w, MARTY__SAGA_VERB_PAUSE, NULL, NULL);
    return w;
}

static void try_state(world *w, marty_bytes bytes, unsigned *read)
{
    marty__arena arena = {0};
    marty__saga_state state;
    marty__buffer again = {0};
    if (!marty__saga_state_read(&state, &arena, bytes, NULL) && state.version) {
        marty__saga_state_write(&state, &again);
        CHECK_BYTES(again.data, again.size, bytes.data, bytes.size);
        (*read)++;
    }
    marty__buffer_free(&again);
    marty__arena_free(&arena);
    for (int verb_ = 0; verb_ < 3; verb_++) {
        const marty__saga_event events[] = {{.kind = MARTY__SAGA_EVENT_TICK},
                                            {.kind = MARTY__SAGA_EVENT_VERB,
                                             .verb = MARTY__SAGA_VERB_RESUME,
                                             .id = "x",
                                             .who = "ann"},
                                            {.kind = MARTY__SAGA_EVENT_VERB,
                                             .verb = MARTY__SAGA_VERB_CANCEL,
                                             .id = "y",
                                             .who = "ann"}};
        marty_err err = marty__saga_decide(w->definition, NULL, bytes, &events[verb_],
                                           w->now_us + 60000000, &w->again, NULL);
        CHECK(err != MARTY_E_NO_MEMORY);
    }
}

static void damaged_states_are_refused_or_whole(void)
{
    world w = rich();
    unsigned read = 0, tried = 0;
    size_t size = w.state.size;
    char *bytes = calloc(1, size + 1);
    REQUIRE(bytes);
    for (size_t cut = 0; cut < size; cut++) {
        try_state(&w, (marty_bytes){w.state.data, cut}, &read);
    }
    CHECK_INT(read, 0); /* no prefix is a state */
    for (int i = 0; i < 4000; i++, tried++) {
        memcpy(bytes, w.state.data, size);
        for (uint32_t flips = 1 + below(3); flips-- > 0;) {
            bytes[below((uint32_t)size)] ^= (char)(1u << below(8));
        }
        try_state(&w, (marty_bytes){bytes, size}, &read);
    }
    memcpy(bytes, w.state.data, size);
    bytes[size] = 0;
    unsigned longer = 0;
    try_state(&w, (marty_bytes){bytes, size + 1}, &longer);
    CHECK_INT(longer, 0);
    CHECK(read > 0 && read < tried);
    free(bytes);
    world_free(&w);
}

static void damaged_histories_are_refused(void)
{
    world w = rich();
    unsigned folded = 0;
    for (int i = 0; i < 4000; i++) {
        marty__arena arena = {0};
        marty__saga_state state = {.arena = &arena};
        size_t which = below((uint32_t)w.batch_count);
        char bytes[2000];
        bool fine = true;
        for (size_t b = 0; b <= which && fine; b++) {
            marty_bytes batch = {w.batches[b].data, w.batches[b].size};
            if (b == which) {
                REQUIRE(batch.size <= sizeof bytes);
                memcpy(bytes, batch.data, batch.size);
                bytes[below((uint32_t)batch.size)] ^= (char)(1u << below(8));
                batch.data = bytes;
            }
            fine = !marty__saga_fold(&state, batch, NULL);
        }
        folded += fine;
        marty__arena_free(&arena);
    }
    CHECK(folded > 0 && folded < 4000);
    marty__arena arena = {0};
    marty__saga_state state = {.arena = &arena};
    CHECK_INT(marty__saga_fold(&state, (marty_bytes){w.batches[1].data, w.batches[1].size}, NULL),
              MARTY_E_MALFORMED); /* a gap */
    marty__arena_free(&arena);
    world_free(&w);
}

static unsigned allowed;

static bool may_allocate(size_t size)
{
    (void)size;
    return allowed > 0 && allowed-- > 0;
}

/* Each allocation of a turn fails in turn, each time with a turn that is new. */
static void memory_may_run_out_anywhere(void)
{
    world w = rich();
    marty_bytes before = {w.state.data, w.state.size};
    const marty__saga_event event = {
        .kind = MARTY__SAGA_EVENT_VERB, .verb = MARTY__SAGA_VERB_RESUME, .id = "r", .who = "ann"};
    marty_err err = MARTY_E_NO_MEMORY;
    unsigned failures = 0;
    for (; err && failures < 1000; failures++) {
        marty__saga_turn turn = {0};
        allowed = failures;
        marty__alloc_set_hook(may_allocate);
        err = marty__saga_decide(w.definition, NULL, before, &event, w.now_us + 1, &turn, NULL);
        marty__alloc_set_hook(NULL);
        CHECK(!err || (err == MARTY_E_NO_MEMORY && !turn.changed && !turn.commands));
        marty__saga_turn_free(&turn);
    }
    CHECK(failures > 3 && !err);
    failures = 0;
    for (err = MARTY_E_NO_MEMORY; err && failures < 2000; failures++) {
        marty__saga_definition *made = NULL;
        allowed = failures;
        marty__alloc_set_hook(may_allocate);
        err = marty__saga_definition_read(&made, "x", shape, strlen(shape), NULL);
        marty__alloc_set_hook(NULL);
        CHECK(!err || err == MARTY_E_NO_MEMORY);
        marty__saga_definition_free(err ? NULL : made);
    }
    CHECK(failures > 3 && !err);
    world_free(&w);
}

int main(void)
{
    damaged_states_are_refused_or_whole();
    damaged_histories_are_refused();
    memory_may_run_out_anywhere();
    return check_result();
}
