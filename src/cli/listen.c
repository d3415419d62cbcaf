/* SPDX-License-Identifier: Apache-2.0
 * What sub, handle, reply and stream read share: subscribe by the flags, show what comes, settle it
 * when it is shown, stop at a count, a time limit or a signal. Handlers run on the bus's workers
 * and take turns at stdout by the lock of the wait. */
#include "message.h"
#include "session.h"

#include <marty/adapter.h>

typedef struct listener_state {
    cli_run *cli;
    const cli_listening *listening;
    cli_wait wait;
} listener_state;

const cli_flag cli_flags_listen[] = {
    {"count", 'n', CLI_NUMBER, "N", "Stop after that many messages."},
    {"timeout", 't', CLI_DURATION, "DURATION",
     "Stop after this time; exit code 4 when nothing came, 5 when fewer than --count came."},
    {"group", 'g', CLI_STRING, "NAME",
     "Share the messages with the group of this name, which keeps its place."},
    {"concurrency", 0, CLI_NUMBER, "N", "Handle that many at a time; order by key is kept."},
    {"attempts", 0, CLI_NUMBER, "N",
     "Attempts before a message goes to the dead letters; default 5."},
    {"lease", 0, CLI_DURATION, "DURATION",
     "How long after this one has died others get what it had; at most the backend's lease."},
    {0}};
const cli_flag cli_flags_position[] = {
    {"from", 'f', CLI_STRING, "WHEN",
     "Where a new group begins: earliest, now, 5m (ago), @2026-11-01, @2026-11-01T10:00."},
    {"position", 0, CLI_STRING, "POSITION", "Begin at this position of the log."},
    {"reset", 0, CLI_SWITCH, NULL, "Move a group that exists to --from or --position, too."},
    {0}};

static marty_err on_message(void *user, marty_delivery *delivery)
{
    listener_state *listener = user;
    cli_wait *wait = &listener->wait;
    const cli_listening *listening = listener->listening;
    bool taken, shown = true;
    (void)pthread_mutex_lock(&wait->lock);
    taken = !listener->cli->out.broken && cli_wait_take(wait);
    if (taken && !listening->hide) {
        shown = cli_message_show(listener->cli, delivery->message, delivery);
    }
    if (!taken || !shown || wait->full) {
        (void)marty_subscription_pause(delivery->subscription, true, NULL);
        cli_wait_wake(wait);
    }
    (void)pthread_mutex_unlock(&wait->lock);
    if (!taken || !shown) {
        return marty_give_back(delivery, 0, "enough"); /* another one gets it */
    }
    return listening->handle ? listening->handle(listening->user, delivery) : MARTY_OK;
}

static int options_make(const cli_run *cli, const cli_listening *listening,
                        marty_subscribe_options *options)
{
    bool kept = listening->pattern != MARTY_QUERY; /* queries have no past to begin at */
    const char *from = kept ? cli_string(cli, "from", NULL) : NULL;
    const char *position = kept ? cli_string(cli, "position", NULL) : NULL;
    uint64_t attempts = cli_number(cli, "attempts", 0);
    uint64_t lanes = cli_number(cli, "concurrency", 0), lease_ms = cli_number(cli, "lease", 0);
    options->group = cli_string(cli, "group", listening->own_group ? MARTY_GROUP_INSTANCE : NULL);
    options->service = listening->service;
    options->concurrency = lanes > 1024 ? 1024 : (uint32_t)lanes;
    options->retry.attempts = attempts > UINT32_MAX ? UINT32_MAX : (uint32_t)attempts;
    options->lease_ms = lease_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)lease_ms;
    options->reset = kept && cli_set(cli, "reset");
    if (from && position) {
        return cli_usage(cli, "--from and --position: give one of them");
    }
    if (from && !cli_from_parse(&options->start, from)) {
        return cli_usage(
            cli,
            "--from: \"%s\" is none of earliest, now, a time ago such as 5m, or a time "
            "such as @2026-11-01",
            from);
    }
    if (!from && !position && listening->pattern == MARTY_STREAM) {
        options->start.from = MARTY_FROM_EARLIEST; /* also for a reader of its own */
    }
    if (position) {
        options->start.from = MARTY_FROM_POSITION;
        options->start.position = position;
    }
    return CLI_OK;
}

static int subscribe(listener_state *listener, marty_bus *bus,
                     const marty_subscribe_options *options)
{
    cli_run *cli = listener->cli;
    const cli_listening *listening = listener->listening;
    marty_error why = {0};
    marty_err err = marty_subscribe(bus, listening->pattern, listening->name, on_message, listener,
                                    options, NULL, &why);
    err = err ? err : marty_bus_start(bus, &why);
    return err ? cli_fail(cli, err, &why) : CLI_OK;
}

/* The bus drains when it is closed: what runs is settled, what waits is given back. */
int cli_listen(cli_run *cli, const cli_listening *listening)
{
    listener_state listener = {.cli = cli, .listening = listening};
    marty_subscribe_options options = {0};
    marty_bus *bus = NULL;
    int code = options_make(cli, listening, &options), closed;
    if (code) {
        return code;
    }
    cli_wait_init(&listener.wait, cli_number(cli, "count", 0));
    code = cli_bus_open(cli, &bus, false, false);
    if (!code) {
        cli_lines_begin(cli);
        code = subscribe(&listener, bus, &options);
        if (!code) {
            cli_say(cli, "listening for %s \"%s\"; stop with Ctrl-C",
                    cli_pattern_name(listening->pattern), listening->name);
            cli_wait_run(cli, &listener.wait, cli_number(cli, "timeout", 0));
        }
        closed = cli_bus_close(cli, bus, CLI_OK);
        code = code ? code : closed ? closed : cli_wait_code(cli, &listener.wait);
        cli_lines_end(cli);
    }
    cli_wait_free(&listener.wait);
    return code;
}
