/* SPDX-License-Identifier: Apache-2.0
 * marty dlq replay and discard. Two walks: the first finds what is meant, so that it can be shown,
 * counted and confirmed; the second acts on exactly those, and on none that died meanwhile. */
#include "letters.h"

#include <inttypes.h>
#include <marty/adapter.h>

typedef struct acting {
    cli_run *cli;
    marty_bus *bus;
    cli_letters letters;
    json_t *chosen;  /* place -> row */
    json_t *pending; /* the row whose fate is known when the walk goes on; borrowed */
    marty_dead_verb verb;
    const char *done; /* "replayed", "discarded" */
    uint64_t count, acted, left;
    int64_t gap_ns, next_ns;
    const char *data; /* in place of what it had; NULL = as it was */
    bool edit;
    cli_text edited; /* lives until the letter is replayed */
} acting;

static const cli_column columns[] = {{"ID", "id", false},           {"TYPE", "type", false},
                                     {"CHANNEL", "channel", false}, {"GROUP", "group", false},
                                     {"RESULT", "result", false},   {"REASON", "cause", false}};

static marty_dead_verb choose(void *user, const marty_dead_letter *letter, marty_message *instead)
{
    acting *state = user;
    json_t *row = cli_letter_row(letter);
    char *place;
    (void)instead;
    if (!cli_letter_meant(&state->letters, row)) {
        json_decref(row);
        return MARTY_DEAD_LEAVE;
    }
    place = cli_letter_place(letter);
    (void)json_object_set_new(state->chosen, place, row);
    marty_free(place);
    state->count++;
    return state->letters.limit && state->count >= state->letters.limit ? MARTY_DEAD_STOP
                                                                        : MARTY_DEAD_LEAVE;
}

static void give(acting *state, json_t *row, const char *result)
{
    (void)json_object_set_new(row, "result", json_string(result));
    cli_row(state->cli, json_incref(row));
}

/* The walk went on, so what was asked for the letter before has happened. */
static void settle_pending(acting *state, bool fine)
{
    if (state->pending) {
        give(state, state->pending, fine ? state->done : "failed");
        state->acted += fine;
        state->pending = NULL;
    }
}

/* What is wrong with the new data, or NULL. */
static const char *mend(acting *state, const marty_dead_letter *letter, marty_message *instead)
{
    cli_text checked = {0};
    bool json;
    if (!instead) {
        return "left: it cannot be read, so not be edited";
    }
    cli_text_clear(&state->edited);
    if (state->edit && !cli_edit(state->cli, letter->message, &state->edited)) {
        return "left: not changed";
    }
    instead->data = state->edit ? (marty_bytes){state->edited.data, state->edited.size}
                                : marty_text(state->data);
    json = !cli_is_json_type(instead->content_type) ||
           cli_text_json_value(&checked, instead->data.data, instead->data.size);
    cli_text_free(&checked);
    return json ? NULL : "left: it would be JSON no more";
}

static marty_dead_verb act(void *user, const marty_dead_letter *letter, marty_message *instead)
{
    acting *state = user;
    char *place = cli_letter_place(letter);
    json_t *row = json_object_get(state->chosen, place);
    const char *left = NULL;
    marty_free(place);
    settle_pending(state, true);
    if (!row) {
        return state->acted + state->left >= state->count ? MARTY_DEAD_STOP : MARTY_DEAD_LEAVE;
    }
    left = state->edit || state->data ? mend(state, letter, instead) : NULL;
    if (left) {
        give(state, row, left);
        state->left++;
        return MARTY_DEAD_LEAVE;
    }
    if (state->gap_ns) {
        int64_t now = cli_monotonic_ns();
        cli_sleep_ns(state->next_ns - now);
        state->next_ns = (state->next_ns > now ? state->next_ns : now) + state->gap_ns;
    }
    state->pending = row;
    cli_progress(state->cli, "%" PRIu64 " of %" PRIu64 " %s", state->acted, state->count,
                 state->done);
    return state->verb;
}

static int execute(acting *state)
{
    marty_error why = {0};
    marty_err err = cli_letters_walk(state->bus, &state->letters, act, state, &why);
    settle_pending(state, err == MARTY_OK);
    cli_progress_end(state->cli);
    if (err) {
        int code = cli_fail(state->cli, err, &why);
        return state->acted ? CLI_PARTIAL : code;
    }
    if (state->acted + state->left < state->count) {
        cli_say(state->cli, "%" PRIu64 " of %" PRIu64 " are gone: somebody else took them",
                state->count - state->acted - state->left, state->count);
        return state->acted ? CLI_PARTIAL : CLI_NOT_FOUND;
    }
    return !state->left ? CLI_OK : state->acted ? CLI_PARTIAL : CLI_ERROR;
}

static int confirm(acting *state, const char *verb, bool ask)
{
    char number[24], *what;
    int code = CLI_OK;
    bool yes;
    (void)snprintf(number, sizeof number, "%" PRIu64, state->count);
    what = cli_textf("this will %s %s dead letter%s", verb, number, state->count == 1 ? "" : "s");
    yes = !ask || cli_confirm(state->cli, what, number, &code);
    marty_free(what);
    return yes ? CLI_OK : code;
}

static int run(acting *state, const char *verb, bool ask)
{
    cli_run *cli = state->cli;
    marty_error why = {0};
    marty_err err = cli_letters_walk(state->bus, &state->letters, choose, state, &why);
    const char *place;
    json_t *row;
    char *would;
    int code;
    if (err) {
        return cli_fail(cli, err, &why);
    }
    if (state->count == 0) {
        cli_say(cli, "no dead letter is meant: marty dlq ls");
        return state->letters.id_count ? CLI_NOT_FOUND : CLI_OK;
    }
    if (cli_set(cli, "dry-run")) {
        would = cli_textf("would be %s", state->done);
        json_object_foreach(state->chosen, place, row)
        {
            give(state, row, would);
        }
        marty_free(would);
        return CLI_OK;
    }
    code = confirm(state, verb, ask);
    return code ? code : execute(state);
}

static int start(cli_run *cli, acting *state, const char *verb, bool ask)
{
    uint64_t rate = cli_number(cli, "rate", 0);
    int code = cli_letters_make(cli, 0, &state->letters);
    state->cli = cli;
    state->gap_ns = rate ? (int64_t)(1000000000 / rate) : 0;
    if (!code && !state->letters.id_count && !cli_set(cli, "where") && !cli_set(cli, "all")) {
        code = cli_usage(cli, "say which: ID..., --where CONDITION or --all");
    }
    code = code ? code : cli_bus_open(cli, &state->bus, false, false);
    code = code ? code : cli_letters_find(cli, state->bus, &state->letters);
    if (!code) {
        state->chosen = json_object();
        cli_rows_begin(cli, columns, sizeof columns / sizeof columns[0], false);
        code = run(state, verb, ask);
        cli_rows_end(cli, NULL);
        json_decref(state->chosen);
    }
    cli_letters_free(&state->letters);
    cli_text_free(&state->edited);
    return cli_bus_close(cli, state->bus, code);
}

static int replay(cli_run *cli)
{
    acting state = {.done = "replayed",
                    .verb = cli_set(cli, "force") ? MARTY_DEAD_REPLAY_FORCED : MARTY_DEAD_REPLAY,
                    .data = cli_string(cli, "data", NULL),
                    .edit = cli_set(cli, "edit")};
    if (state.data && state.edit) {
        return cli_usage(cli, "--data and --edit: one of them");
    }
    return start(cli, &state, "replay", cli->given.argument_count == 0);
}

static int discard(cli_run *cli)
{
    acting state = {.done = "discarded", .verb = MARTY_DEAD_DISCARD};
    return start(cli, &state, "discard", true);
}

static const cli_flag all_flags[] = {{"all", 'a', CLI_SWITCH, NULL, "All of them."},
                                     {"rate", 0, CLI_NUMBER, "N", "At most so many a second."},
                                     {0}};
static const cli_flag replay_flags[] = {
    {"edit", 'e', CLI_SWITCH, NULL,
     "Edit the data of each first, in VISUAL or EDITOR; what is not changed is left."},
    {"data", 'd', CLI_STRING, "DATA", "Give it this data."},
    {"force", 0, CLI_SWITCH, NULL, "Also what was replayed three times and died again."},
    {0}};

const cli_verb cli_verb_dlq_replay = {
    .name = "dlq replay",
    .arguments = "[ID...]",
    .summary = "give dead letters to their group again",
    .text = "Each goes back to the group it died in, not to the others, under its own id, and is "
            "then removed from the dead letters. Without ID say --where or --all; that is "
            "confirmed on a terminal, and needs --yes without one. With --edit or --data its data "
            "is mended on the way. Exit code 5 when some failed or were left.",
    .examples = "marty dlq replay 01JA2B3C\n"
                "marty dlq replay 01JA2B3C --edit\n"
                "marty dlq replay --where \"reason ~ 'timeout'\" --rate 100 --dry-run\n"
                "marty dlq replay --all --channel events.order --yes",
    .tables = {replay_flags, all_flags, cli_flags_letters, cli_flags_danger, cli_flags_bus,
               cli_flags_common},
    .run = replay,
    .argument_max = -1,
};
const cli_verb cli_verb_dlq_discard = {
    .name = "dlq discard",
    .arguments = "[ID...]",
    .summary = "remove dead letters for ever",
    .text = "What is removed cannot be replayed any more. It is confirmed on a terminal by typing "
            "how many, and needs --yes without one.",
    .examples = "marty dlq discard 01JA2B3C --yes\n"
                "marty dlq discard --where 'age > 7d' --dry-run",
    .tables = {all_flags, cli_flags_letters, cli_flags_danger, cli_flags_bus, cli_flags_common},
    .run = discard,
    .argument_max = -1,
};
