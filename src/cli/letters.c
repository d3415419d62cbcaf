/* SPDX-License-Identifier: Apache-2.0
 * Dead letters as rows, and which of them are meant. */
#include "letters.h"

#include <marty/adapter.h>

#define FIELDS                                                                                     \
    "id|type|source|subject|key|channel|group|backend|pattern|to|code|reason|cause|attempts|"      \
    "replays|age|position|dead_channel"

const cli_flag cli_flags_letters[] = {
    {"channel", 0, CLI_STRING, "CHANNEL", "Only of this channel (events.order); default: all."},
    {"where", 'w', CLI_STRING, "CONDITION",
     "Only these: \"reason ~ 'timeout' and attempts >= 5 and age > 1h\"; by id, type, source, "
     "subject, key, channel, group, backend, pattern, to, code, reason, attempts, replays, age, "
     "position, dead_channel."},
    {"limit", 'n', CLI_NUMBER, "N", "At most so many."},
    {0}};
const cli_column cli_letter_columns[] = {
    {"ID", "id", false},       {"TYPE", "type", false},        {"CHANNEL", "channel", false},
    {"GROUP", "group", false}, {"ATTEMPTS", "attempts", true}, {"DIED", "died", false},
    {"REASON", "cause", false}};

int cli_letters_make(const cli_run *cli, size_t first, cli_letters *ret_letters)
{
    const char *where = cli_string(cli, "where", NULL);
    cli_text why = {0};
    int code = CLI_OK;
    memset(ret_letters, 0, sizeof *ret_letters);
    ret_letters->channel = cli_string(cli, "channel", "*");
    ret_letters->limit = cli_number(cli, "limit", 0);
    if (cli->given.argument_count > first) {
        ret_letters->ids = cli->given.arguments + first;
        ret_letters->id_count = cli->given.argument_count - first;
    }
    if (where) {
        ret_letters->where = cli_where_parse(where, FIELDS, &why);
        code = ret_letters->where ? CLI_OK : cli_usage(cli, "%s", why.data);
    }
    cli_text_free(&why);
    return code;
}

void cli_letters_free(cli_letters *letters)
{
    cli_where_free(letters->where);
    if (letters->found) {
        marty_free((void *)(uintptr_t)letters->ids); /* then they are ours */
        json_decref(letters->found);
    }
    letters->where = NULL;
}

static void put(json_t *row, const char *key, const char *text)
{
    if (text && text[0]) {
        json_t *value = json_string(text);
        (void)json_object_set_new(row, key, value ? value : json_string("(not UTF-8)"));
    }
}

json_t *cli_letter_row(const marty_dead_letter *letter)
{
    const marty_message *message = letter->message;
    json_t *row = json_object();
    char died[40];
    put(row, "id", message ? message->id : NULL);
    put(row, "type", message ? message->type : "(unreadable)");
    put(row, "source", message ? message->source : NULL);
    put(row, "subject", message ? message->subject : NULL);
    put(row, "key", message ? message->key : NULL);
    put(row, "channel", letter->channel);
    put(row, "group", letter->group);
    put(row, "backend", letter->backend);
    put(row, "pattern", letter->pattern ? cli_pattern_name(letter->pattern) : NULL);
    put(row, "to", letter->to);
    put(row, "code", letter->code ? marty_err_describe(letter->code)->name : NULL);
    put(row, "cause", letter->cause);
    (void)json_object_set_new(row, "attempts", json_integer(letter->attempts));
    (void)json_object_set_new(row, "replays", json_integer(letter->replays));
    if (letter->died_us) {
        cli_time_text(died, letter->died_us);
        put(row, "died", died);
        (void)json_object_set_new(row, "age",
                                  json_integer((cli_wall_us() - letter->died_us) / 1000));
    }
    put(row, "dead_channel", letter->dead_channel);
    put(row, "position", letter->position);
    return row;
}

char *cli_letter_place(const marty_dead_letter *letter)
{
    return cli_textf("%s %s %s", letter->backend ? letter->backend : "",
                     letter->dead_channel ? letter->dead_channel : "",
                     letter->position ? letter->position : "");
}

bool cli_letter_meant(const cli_letters *letters, const json_t *row)
{
    const char *id = json_string_value(json_object_get(row, "id"));
    const char *position = json_string_value(json_object_get(row, "position"));
    bool meant = letters->id_count == 0;
    size_t i;
    for (i = 0; i < letters->id_count && !meant; i++) {
        const char *wanted = letters->ids[i]; /* "#42" names an unreadable one by its position */
        meant = (id && strcmp(id, wanted) == 0) ||
                (position && wanted[0] == '#' && strcmp(position, wanted + 1) == 0);
    }
    return meant && cli_where_holds(letters->where, row);
}

marty_err cli_letters_walk(marty_bus *bus, const cli_letters *letters, marty_on_dead each,
                           void *user, marty_error *why)
{
    marty_err err = marty_dead_letters(bus, letters->channel, NULL, each, user, why);
    return err == MARTY_E_NOT_FOUND && strcmp(letters->channel, "*") == 0 ? MARTY_OK : err;
}

/* ---- ids by their beginnings */
enum { SHORTEST = 4, WHOLE = 32, SHOWN = 5 };

/* Of each that was typed: the ids that begin so, or only the one that is the same. */
static marty_dead_verb on_candidate(void *user, const marty_dead_letter *letter,
                                    marty_message *instead)
{
    const cli_letters *letters = user;
    const char *id = letter->message ? letter->message->id : NULL;
    (void)instead;
    for (size_t i = 0; id && i < letters->id_count; i++) {
        const char *typed = letters->ids[i];
        json_t *all = json_object_get(letters->found, typed);
        if (strcmp(id, typed) == 0) {
            (void)json_object_set_new(letters->found, typed, json_pack("{s:b}", id, true));
        } else if (strlen(typed) >= SHORTEST && strncmp(id, typed, strlen(typed)) == 0 &&
                   !json_object_get(all, typed)) {
            (void)json_object_set_new(all, id, json_true());
        }
    }
    return MARTY_DEAD_LEAVE;
}

static int say_several(cli_run *cli, const char *typed, json_t *all)
{
    const char *id;
    json_t *one;
    size_t shown = 0;
    int code =
        cli_failf(cli, MARTY_E_ARGUMENT,
                  "%zu ids begin with %s; say more of the one:", json_object_size(all), typed);
    json_object_foreach(all, id, one)
    {
        if (shown++ < SHOWN) {
            (void)fprintf(stderr, "  %s\n", id);
        }
    }
    return code;
}

static bool are_whole(const cli_letters *letters)
{
    bool whole = true;
    for (size_t i = 0; i < letters->id_count; i++) {
        whole = whole && (strlen(letters->ids[i]) >= WHOLE || letters->ids[i][0] == '#');
    }
    return whole;
}

int cli_letters_find(cli_run *cli, marty_bus *bus, cli_letters *letters)
{
    marty_error why = {0};
    int code = CLI_OK;
    if (are_whole(letters)) {
        return CLI_OK;
    }
    letters->found = json_object();
    for (size_t i = 0; i < letters->id_count; i++) {
        (void)json_object_set_new(letters->found, letters->ids[i], json_object());
    }
    const char **ids = cli_alloc(letters->id_count * sizeof *ids);
    marty_err err = cli_letters_walk(bus, letters, on_candidate, letters, &why);
    code = err ? cli_fail(cli, err, &why) : CLI_OK;
    for (size_t i = 0; i < letters->id_count; i++) {
        json_t *all = json_object_get(letters->found, letters->ids[i]);
        bool one = json_object_size(all) == 1;
        ids[i] = one ? json_object_iter_key(json_object_iter(all)) : letters->ids[i];
        if (!code && json_object_size(all) > 1) {
            code = say_several(cli, letters->ids[i], all);
        }
    }
    letters->ids = ids;
    return code;
}
