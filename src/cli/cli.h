/* SPDX-License-Identifier: Apache-2.0
 * What every verb of the program shares: the verb table, exit codes, what was given, where output
 * goes. A verb is one row of data and one function; one process runs one verb. */
#ifndef MARTY_CLI_CLI_H
#define MARTY_CLI_CLI_H
#include "flags.h"

#include <jansson.h>
#include <stdio.h>

enum { /* exit codes */
       CLI_OK = 0,
       CLI_ERROR = 1,
       CLI_USAGE = 2,
       CLI_NOT_FOUND = 3,
       CLI_NOTHING = 4, /* before the time limit */
       CLI_PARTIAL = 5,
       CLI_STUCK = 6, /* a saga that was waited for */
       CLI_TIMED_OUT = 124,
       CLI_INTERRUPTED = 130
};
typedef struct cli_run cli_run;
typedef struct cli_verb {
    const char *name;      /* "pub", "dlq replay" */
    const char *arguments; /* "TYPE [DATA]", for help */
    const char *summary;   /* one line, no full stop */
    const char *text;      /* paragraphs */
    const char *examples;  /* lines */
    const cli_flag *tables[CLI_TABLES_MAX];
    int (*run)(cli_run *cli);
    int argument_min, argument_max; /* max -1 = any number */
    const char *words;              /* of the first argument, for completion: "a|b", "@contexts" */
    bool hidden;
} cli_verb;

typedef enum cli_format { CLI_TABLE = 1, CLI_JSON, CLI_JSONL, CLI_RAW } cli_format;
typedef struct cli_column {
    const char *title, *field; /* field: a path in the row, "stats.lag" */
    bool right;
} cli_column;
typedef struct cli_output {
    cli_format format;
    bool quiet, verbose, colour, narrate_tty;
    const cli_column *columns; /* of the rows being given */
    size_t column_count, row_count;
    json_t *rows;        /* kept until the widths are known */
    bool single;         /* one object instead of an array */
    int write_errno;     /* EPIPE = nobody reads, which is fine; of who may write */
    _Atomic bool broken; /* nothing can be written any more, for that reason; seen on any thread */
    int64_t progress_ns;
    bool progress_shown;
} cli_output;
/* One value that the command line, the environment, a context or nothing decided. */
typedef struct cli_setting {
    char *value; /* NULL = none */
    char from[160];
} cli_setting;
typedef struct cli_settings {
    cli_setting context, backend, config, service, envelope;
} cli_settings;
struct cli_run {
    const cli_verb *verb;
    cli_given given;
    cli_output out;
    cli_settings settings;
    _Atomic bool was_down, hush_states; /* for the narration of states, on any thread */
    bool idle;                          /* the bus was opened to be looked at only */
};

/* ---- the table of verbs (verbs.c) */
extern const cli_verb *const cli_verbs[]; /* NULL-ended, in the order of help */
/** Flags of all verbs; of those that talk to a backend; of those that publish; of those that
 * destroy. */
extern const cli_flag cli_flags_common[], cli_flags_bus[], cli_flags_publish[], cli_flags_message[],
    cli_flags_danger[], cli_flags_none[];
/** The verb of one or two words, or NULL. */
const cli_verb *cli_verb_find(const char *first, const char *second);
/** Whether some verb has this first word and a second one. */
bool cli_verb_is_noun(const char *first);
/** Say that there is no such verb, and which may be meant; second may be NULL. An exit code. */
int cli_no_such_verb(const cli_run *cli, const char *first, const char *second);

/* ---- help.c, cmd_man.c, cmd_complete.c: made from the tables */
void cli_help_all(FILE *to);
void cli_help_verb(FILE *to, const cli_verb *verb);
/** The verbs of a noun. */
void cli_help_noun(FILE *to, const char *noun);

/* ---- what was given */
bool cli_set(const cli_run *cli, const char *flag);
/** Text of a flag, or what it is without. */
const char *cli_string(const cli_run *cli, const char *flag, const char *without);
uint64_t cli_number(const cli_run *cli, const char *flag, uint64_t without);
/** A duration as the API's timeout, in ms; refuses over 24 days by using 24 days. */
int32_t cli_timeout(const cli_run *cli, const char *flag, int32_t without);
/** Argument i, or NULL. */
const char *cli_argument(const cli_run *cli, size_t i);

/* ---- errors and narration (say.c): all on stderr */
/** A mistake in the command line; returns CLI_USAGE. */
int cli_usage(const cli_run *cli, const char *format, ...) MARTY__ATTRIBUTE(format(printf, 2, 3));
/** An error of the library, with what to try next; returns the exit code for it. */
int cli_fail(const cli_run *cli, marty_err err, const marty_error *why);
/** The same for an error of the program's own. */
int cli_failf(const cli_run *cli, marty_err err, const char *format, ...)
    MARTY__ATTRIBUTE(format(printf, 3, 4));
/** The exit code for an error. */
int cli_exit_code(marty_err err);
/** What happens, for people; silent with --quiet. */
void cli_say(const cli_run *cli, const char *format, ...) MARTY__ATTRIBUTE(format(printf, 2, 3));
/** The next thing to type. */
void cli_next(const cli_run *cli, const char *format, ...) MARTY__ATTRIBUTE(format(printf, 2, 3));
/** A line that is written over, for anything that takes over a second; on a terminal only. */
void cli_progress(cli_run *cli, const char *format, ...) MARTY__ATTRIBUTE(format(printf, 2, 3));
/** Take the progress line away. */
void cli_progress_end(cli_run *cli);
/** Ask for a typed confirmation of a destructive act: true = go on. Without a terminal --yes is
 * needed. *ret_code is the exit code when it is refused. */
bool cli_confirm(cli_run *cli, const char *what, const char *type_this, int *ret_code);

/* ---- output (output.c): all on stdout */
/** Decide format and colour from flags and terminal. */
void cli_output_begin(cli_run *cli);
/** Rows follow; single: exactly one, shown as an object. */
void cli_rows_begin(cli_run *cli, const cli_column *columns, size_t count, bool single);
/** Give a row (stolen). */
void cli_row(cli_run *cli, json_t *row);
/** No more rows; none: what to say (stderr) when there was not one, or NULL. */
void cli_rows_end(cli_run *cli, const char *none);
/** One line of a stream of results that is JSON already; false when nobody reads any more. */
bool cli_line(cli_run *cli, const char *json, size_t size);
/** Give out what is printed so far. */
void cli_flush(cli_run *cli);
/** Begin and end an endless stream of lines (the brackets of -o json). */
void cli_lines_begin(cli_run *cli);
void cli_lines_end(cli_run *cli);
/** Text in a colour ("1;31"), or as it is; to a buffer. */
void cli_text_colour(const cli_run *cli, cli_text *text, const char *colour, const char *string);
/** JSON text of a path in an object as a cell: "-" when absent. Free with marty_free. */
char *cli_cell(const json_t *row, const char *field);

/* ---- clock.c */
int64_t cli_monotonic_ns(void);
int64_t cli_wall_us(void);
/** RFC 3339 in UTC, microseconds when there are any. */
void cli_time_text(char ret_text[40], int64_t time_us);
/** "12:03:04.123", local. */
void cli_time_short(char ret_text[16], int64_t time_us);
/** "2026-11-01", "2026-11-01T10:00", "...:00.5Z", "+02:00", "10:30" (today); local without zone. */
bool cli_time_parse(int64_t *ret_us, const char *text);
/** "earliest", "now", "5m" (ago), "@2026-11-01"; false when it is none of these. */
bool cli_from_parse(marty_start *ret_start, const char *text);
void cli_sleep_ns(int64_t ns);

/* ---- settings.c, context.c */
/** Fill cli->settings: flags > environment > context > default. CLI_OK, or an exit code said. */
int cli_settings_resolve(cli_run *cli);
void cli_settings_free(cli_run *cli);
typedef struct cli_context {
    char *backend, *config, *service, *envelope; /* NULL = not set */
} cli_context;
/** Read a context by name. NOT_FOUND, MALFORMED (file:line), ARGUMENT (the name). */
marty_err cli_context_load(cli_context *ret_context, const char *name, marty_error *why);
marty_err cli_context_save(const cli_context *context, const char *name, marty_error *why);
marty_err cli_context_remove(const char *name, marty_error *why);
void cli_context_free(cli_context *context);
/** Name of the selected one (free it), or NULL. */
char *cli_context_selected(void);
/** Select; "-" = the one before. */
marty_err cli_context_select(const char *name, marty_error *why);
/** Names, sorted, count of them; free each and the array. */
char **cli_context_names(size_t *ret_count);
/** Path of a context's file; free it. */
char *cli_context_path(const char *name);

/* ---- verbs, one per file */
/* clang-format off */
#define CLI_VERBS(X) \
    X(pub) X(sub) X(send) X(handle) X(request) X(reply) X(stream_publish) X(stream_read) \
    X(broadcast) X(dlq_ls) X(dlq_show) X(dlq_replay) X(dlq_discard) X(bench) X(doctor) \
    X(backend_ls) X(subscription_ls) X(topology_create) X(topology_check) X(topology_show) \
    X(topology_remove) X(config_explain) X(config_validate) X(context_ls) X(context_add) \
    X(context_select) X(context_show) X(context_rm) X(errors_ls) X(errors_lookup) X(peer) \
    X(saga_run) X(saga_start) X(saga_wait) X(saga_ls) X(saga_show) X(saga_watch) X(saga_signal) \
    X(saga_cancel) X(saga_pause) X(saga_resume) X(saga_retry) X(saga_supply) X(saga_skip) \
    X(saga_waive) X(saga_replace) X(saga_compensate) X(saga_abandon) X(saga_migrate) X(saga_export) X(saga_purge) \
    X(saga_lint) X(saga_graph) X(saga_replay) \
    X(completion) X(complete) X(man) X(version) X(help)
/* clang-format on */
#define CLI__VERB_DECLARE(name) extern const cli_verb cli_verb_##name;
CLI_VERBS(CLI__VERB_DECLARE)
#endif
