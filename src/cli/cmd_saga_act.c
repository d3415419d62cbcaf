/* SPDX-License-Identifier: Apache-2.0
 * marty saga cancel, pause, resume, retry, supply, skip, waive, replace, compensate, abandon,
 * migrate and signal: a person steers or repairs one saga, or looks what that would do. Who and why
 * go into its history. */
#include "saga.h"

#include <marty/adapter.h>
#include <stdlib.h>

static const cli_flag act_flags[] = {
    {"step", 0, CLI_STRING, "PATH",
     "Which step (ship, lines[3]/reserve); default: the one that is stuck or failing."},
    {"note", 'm', CLI_STRING, "TEXT", "Why, for the history; some verbs need it."},
    {"who", 0, CLI_STRING, "NAME", "Who, for the history; default: $USER."},
    {"id", 0, CLI_STRING, "ID", "Of this order: the same again is nothing new."},
    {"force", 0, CLI_SWITCH, NULL, "Also where it is refused for good reasons."},
    {"dry-run", 0, CLI_SWITCH, NULL, "Say what would be done, and do nothing."},
    {0}};
static const cli_flag migrate_flags[] = {
    {"to", 0, CLI_NUMBER, "VERSION", "Which version of its definition; default: the newest."},
    {"from", 0, CLI_NUMBER, "VERSION", "With --all: only those under this version of it."},
    {0}};
static const cli_flag supply_flags[] = {
    {"no-effect", 0, CLI_SWITCH, NULL,
     "It was made sure at the participant that it never happens, instead of a result."},
    {"key", 0, CLI_STRING, "KEY", "The op key that it is about (marty saga show has it)."},
    {0}};
static const cli_flag signal_flags[] = {
    {"id", 0, CLI_STRING, "ID", "Of the signal: the same again is nothing new."},
    {"keep", 0, CLI_DURATION, "DURATION", "How long it waits for its step; default: to the end."},
    {"dry-run", 0, CLI_SWITCH, NULL, "Say what would be done, and do nothing."},
    {0}};
static const cli_column columns[] = {{"ID", "id", false}, {"DONE", "done", false}};

/* What it would do, for people with the words of the saga's own history. */
static int preview(cli_run *cli, const cli_saga *saga, const char *id, marty_saga_verb verb,
                   const marty_saga_order *order)
{
    marty_error why = {0};
    marty_message *report = NULL;
    marty_err err = marty_saga_preview(saga->engine, id, verb, order, &report, &why);
    int code = err ? cli_saga_fail(cli, err, &why) : CLI_OK;
    if (!code && cli->out.format != CLI_TABLE) {
        (void)cli_line(cli, report->data.data, report->data.size);
    } else if (!code) {
        json_t *whole = cli_saga_read(cli, saga, id, &code);
        json_t *trial = json_loadb(report->data.data, report->data.size, 0, NULL);
        cli_saga_preview(cli, whole, trial);
        json_decref(trial);
        json_decref(whole);
    }
    marty_message_unref(report);
    return code;
}

static int act_on(cli_run *cli, const cli_saga *saga, const char *id, marty_saga_verb verb,
                  const marty_saga_order *order)
{
    marty_error why = {0};
    marty_err err = marty_saga_act(saga->engine, id, verb, order, &why);
    if (err) {
        return cli_saga_fail(cli, err, &why);
    }
    cli_rows_begin(cli, columns, 2, true);
    cli_row(cli, json_pack("{s:s, s:s}", "id", id, "done", cli->verb->name + strlen("saga ")));
    cli_rows_end(cli, NULL);
    cli_next(cli, "marty saga show %s", id);
    return CLI_OK;
}

static int act(cli_run *cli, marty_saga_verb verb, const marty_saga_order *order)
{
    cli_saga saga;
    char id[40];
    marty_error why = {0};
    bool dry = cli_set(cli, "dry-run");
    int code = cli_saga_open(cli, &saga, true, !dry);
    if (code) {
        return code;
    }
    code = cli_saga_find(cli, &saga, cli_argument(cli, 0), id);
    marty_err err = code || dry ? MARTY_OK : marty_bus_start(saga.bus, &why);
    if (err) {
        code = cli_fail(cli, err, &why);
    } else if (!code) {
        code = dry ? preview(cli, &saga, id, verb, order) : act_on(cli, &saga, id, verb, order);
    }
    return cli_saga_close(cli, &saga, code);
}

/* One saga by its id, or all that flags choose. */
static int act_each(cli_run *cli, marty_saga_verb verb, const marty_saga_order *order,
                    uint64_t from)
{
    cli_saga saga;
    marty_error why = {0};
    int code = CLI_OK;
    bool dry = cli_set(cli, "dry-run");
    if (cli_set(cli, "all") == (cli->given.argument_count > 0)) {
        return cli_usage(cli, "say which: ID, or --all and what chooses them (--saga, --status)");
    }
    if (!cli_set(cli, "all")) {
        return act(cli, verb, order);
    }
    char *what = cli_textf("this does \"%s\" to all sagas that are chosen", cli->verb->name);
    bool yes = dry || cli_confirm(cli, what, "all", &code);
    marty_free(what);
    code = yes ? cli_saga_open(cli, &saga, true, !dry) : code;
    if (!yes || code) {
        return code;
    }
    marty_err err = dry ? MARTY_OK : marty_bus_start(saga.bus, &why);
    code = err ? cli_fail(cli, err, &why) : cli_saga_each(cli, &saga, verb, order, from);
    return cli_saga_close(cli, &saga, code);
}

static marty_saga_order order_of(const cli_run *cli)
{
    const char *user = getenv("USER");
    const char *data = cli_argument(cli, 1);
    marty_saga_order order = {.id = cli_string(cli, "id", NULL),
                              .who = cli_string(cli, "who", user && *user ? user : "unknown"),
                              .note = cli_string(cli, "note", NULL),
                              .step = cli_string(cli, "step", NULL),
                              .force = cli_set(cli, "force")};
    if (data) {
        order.data = marty_text(data);
    }
    return order;
}

/* clang-format off */
#define SAGA_ACT(word_, verb_, summary_, text_, examples_)                                          \
    static int word_(cli_run *cli)                                                                   \
    {                                                                                                \
        marty_saga_order order = order_of(cli);                                                      \
        return act_each(cli, verb_, &order, 0);                                                      \
    }                                                                                                \
    const cli_verb cli_verb_saga_##word_ = {                                                         \
        .name = "saga " #word_, .arguments = "[ID]", .summary = summary_,                            \
        .text = text_ " With --all it is done to all that the flags choose, one after another.",     \
        .examples = examples_,                                                                       \
        .tables = {act_flags, cli_flags_bulk, cli_flags_sagas, cli_flags_store, cli_flags_bus,       \
                   cli_flags_common},                                                                \
        .run = word_, .argument_max = 1}

SAGA_ACT(cancel, MARTY_SAGA_CANCEL, "undo what a saga has done",
         "Refused once its pivot is done: then it goes forward.",
         "marty saga cancel 019ac... -m 'customer called'");
SAGA_ACT(pause, MARTY_SAGA_PAUSE, "send nothing new for a saga",
         "Answers are still taken, deadlines run on.", "marty saga pause 019ac...");
SAGA_ACT(resume, MARTY_SAGA_RESUME, "go on with a paused saga",
         "What came due meanwhile comes first.", "marty saga resume 019ac...");
SAGA_ACT(retry, MARTY_SAGA_RETRY, "try what is stuck or failing again, at once",
         "The step or its undo gets its budget of attempts anew.",
         "marty saga retry 019ac...\nmarty saga retry 019ac... --step ship\nmarty saga retry --all --saga order --stuck in-doubt --dry-run");
SAGA_ACT(skip, MARTY_SAGA_SKIP, "go on without a stuck step",
         "Never for a pivot. What it may have done is listed as left.",
         "marty saga skip 019ac... --step notify -m 'told by phone'");
SAGA_ACT(waive, MARTY_SAGA_WAIVE, "leave an undo that is stuck undone",
         "Its effect stays, and is listed as left.",
         "marty saga waive 019ac... --step reserve -m 'goods were written off'");
SAGA_ACT(compensate, MARTY_SAGA_COMPENSATE, "undo instead of waiting for a stuck step",
         "Also of a completed saga, where its definition allows that.",
         "marty saga compensate 019ac... -m 'no stock for weeks'");
SAGA_ACT(abandon, MARTY_SAGA_ABANDON, "end a saga as it is",
         "Every effect that is or may be left is listed in it. Nothing is undone.",
         "marty saga abandon 019ac... -m 'settled by hand, ticket 4711'");
/* clang-format on */

static int replace(cli_run *cli)
{
    marty_saga_order order = order_of(cli);
    return act(cli, MARTY_SAGA_REPLACE_INPUT, &order);
}

const cli_verb cli_verb_saga_replace = {
    .name = "saga replace",
    .arguments = "ID DATA",
    .summary = "try what is stuck again with other data",
    .text = "DATA (JSON) takes the place of what the step, or its undo, was given.",
    .examples = "marty saga replace 019ac... '{\"address\":\"...\"}' --step ship",
    .tables = {act_flags, cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = replace,
    .argument_min = 2,
    .argument_max = 2,
};

static int migrate(cli_run *cli)
{
    marty_saga_order order = order_of(cli);
    if (!cli_saga_version(cli, "to", &order.version)) {
        return cli_usage(cli, "--to: no version is that high");
    }
    if (cli_set(cli, "all") && !cli_set(cli, "saga")) {
        return cli_usage(cli, "--all: say of which definition: --saga NAME");
    }
    return act_each(cli, MARTY_SAGA_MIGRATE, &order, cli_number(cli, "from", 0));
}

const cli_verb cli_verb_saga_migrate = {
    .name = "saga migrate",
    .arguments = "[ID]",
    .summary = "go on under another version of the definition",
    .text = "Sagas stay with the version that they began with; this takes one over to another that "
            "is registered. What has begun must be there under the same name, kind and place, and "
            "nothing new before it; else it is refused, and the text names the step. With --all it "
            "is done "
            "to all that the flags choose, one after another; those that are there already stay as "
            "they are, so the same again is fine.",
    .examples = "marty saga migrate 019ac... --dry-run\n"
                "marty saga migrate 019ac... --to 2 -m 'the new carrier'\n"
                "marty saga migrate --all --saga order --from 1 --to 2 --dry-run\n"
                "marty saga migrate --all --saga order --from 1 --to 2 -m 'the new carrier' --yes",
    .tables = {migrate_flags, act_flags, cli_flags_bulk, cli_flags_sagas, cli_flags_store,
               cli_flags_bus, cli_flags_common},
    .run = migrate,
    .argument_max = 1,
};

static int supply(cli_run *cli)
{
    marty_saga_order order = order_of(cli);
    order.no_effect = cli_set(cli, "no-effect");
    order.key = cli_string(cli, "key", NULL);
    if (order.no_effect && !order.key) {
        return cli_usage(cli, "--no-effect needs --key: the op key that was sealed");
    }
    if (order.no_effect == (order.data.size > 0)) {
        return cli_usage(cli, "give RESULT (JSON), or --no-effect: one of them");
    }
    return act(cli, MARTY_SAGA_SUPPLY, &order);
}

const cli_verb cli_verb_saga_supply = {
    .name = "saga supply",
    .arguments = "ID [RESULT]",
    .summary = "give the result that a stuck step should have had",
    .text = "For a step whose outcome nobody knows but you: RESULT is JSON.",
    .examples =
        "marty saga supply 019ac... '{\"receipt\":17}' --step charge -m 'seen at the bank'\n"
        "marty saga supply 019ac... --no-effect --key 5d54872e... --step charge -m 'sealed at the "
        "bank'",
    .tables = {supply_flags, act_flags, cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = supply,
    .argument_min = 1,
    .argument_max = 2,
};

static int signal_verb(cli_run *cli)
{
    const char *data = cli_argument(cli, 2);
    marty_saga_order order = {.id = cli_string(cli, "id", NULL),
                              .signal = cli_argument(cli, 1),
                              .keep_ms = cli_number(cli, "keep", 0)};
    if (data) {
        order.data = marty_text(data);
    }
    return act(cli, MARTY_SAGA_SIGNAL, &order);
}

const cli_verb cli_verb_saga_signal = {
    .name = "saga signal",
    .arguments = "ID SIGNAL [DATA]",
    .summary = "send a saga what it waits for",
    .text = "One that comes before its step waits for it. DATA is JSON.",
    .examples = "marty saga signal 019ac... approved '{\"by\":\"kim\"}' --id approval-7",
    .tables = {signal_flags, cli_flags_store, cli_flags_bus, cli_flags_common},
    .run = signal_verb,
    .argument_min = 2,
    .argument_max = 3,
};
