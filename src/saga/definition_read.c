/* SPDX-License-Identifier: Apache-2.0
 * A document, YAML or JSON, into the structs of <marty/saga_definition.h>, with the line of each
 * step. Errors name file, line and field. No variables are replaced: a definition means the same
 * wherever it is read. Recursion is bounded by the depth that the parser allows. */
#include "definition_build.h"

#include "bus/config_read.h"

#include <stdio.h>

enum { YAML_DEPTH = 96, PATH_BYTES = 400 };

typedef struct reading {
    marty__config_reader r;
    marty__saga_line *lines;
    marty_err err;
} reading;

static bool read_steps(reading *d, const marty__yaml *list, const char *path, marty_step_body *ret);

/* ---- small values; each does nothing once something is wrong */
static void *made(reading *d, size_t count, size_t size)
{
    void *memory = d->err ? NULL : marty__arena_alloc(d->r.arena, (count + 1) * size);
    if (!memory && !d->err) {
        d->err = marty__config_no_memory(&d->r);
    }
    return memory;
}

static bool wrong(reading *d, const marty__yaml *at, const char *path, const char *text)
{
    d->err =
        d->err ? d->err : marty__config_wrong(&d->r, MARTY_E_CONFIG, at->line, path, "%s", text);
    return false;
}

static const char *joined(char to[PATH_BYTES], const char *path, const char *key)
{
    size_t size = strlen(path);
    if (size > PATH_BYTES / 2) {
        path += size - PATH_BYTES / 2; /* the end says more than the beginning */
    }
    snprintf(to, PATH_BYTES, "%s%s%s", path, *path && *key != '[' ? "." : "", key);
    return to;
}

static void get_text(reading *d, const marty__yaml *map, const char *path, const char *key,
                     const char **ret)
{
    char where[PATH_BYTES];
    const marty__yaml *node = marty__yaml_get(map, key);
    if (node && !d->err) {
        d->err = marty__config_text(&d->r, node, joined(where, path, key), ret);
    }
}

static void get_number(reading *d, const marty__yaml *map, const char *path, const char *key,
                       uint32_t *ret)
{
    char where[PATH_BYTES];
    const marty__yaml *node = marty__yaml_get(map, key);
    if (node && !d->err) {
        d->err =
            marty__config_number(&d->r, node, joined(where, path, key), 1, UINT32_MAX - 1, ret);
    }
}

static void get_ms(reading *d, const marty__yaml *map, const char *path, const char *key,
                   uint64_t *ret)
{
    char where[PATH_BYTES];
    const char *text = "";
    marty_error ignored;
    const marty__yaml *node = marty__yaml_get(map, key);
    get_text(d, map, path, key, &text);
    if (node && !d->err && (marty_parse_duration(ret, key, text, &ignored) || !*ret)) {
        (void)wrong(d, node, joined(where, path, key),
                    "expected a whole number and a unit of ms, s, m, h or d, such as 30s");
    }
}

static void get_ms32(reading *d, const marty__yaml *map, const char *path, const char *key,
                     uint32_t *ret)
{
    uint64_t ms = *ret;
    char where[PATH_BYTES];
    get_ms(d, map, path, key, &ms);
    if (ms > UINT32_MAX) {
        (void)wrong(d, map, joined(where, path, key), "longer than 49 days");
        return;
    }
    *ret = (uint32_t)ms;
}

static size_t get_word(reading *d, const marty__yaml *map, const char *path, const char *key,
                       const char *const words[])
{
    char where[PATH_BYTES];
    size_t index = 0;
    const marty__yaml *node = marty__yaml_get(map, key);
    if (node && !d->err) {
        d->err = marty__config_word(&d->r, node, joined(where, path, key), words, &index);
    }
    return index;
}

static bool get_flag(reading *d, const marty__yaml *map, const char *path, const char *key)
{
    static const char *const words[] = {"false", "true", NULL};
    return get_word(d, map, path, key, words) == 1;
}

static void get_keys(reading *d, const marty__yaml *map, const char *path,
                     const char *const known[])
{
    if (!d->err) {
        d->err = marty__config_keys(&d->r, map, path, known);
    }
}

/* ---- clocks, retries, data, tests */
static void get_clocks(reading *d, const marty__yaml *map, const char *path, marty_saga_clocks *ret)
{
    get_ms(d, map, path, "timeout", &ret->attempt_ms);
    get_ms(d, map, path, "start_timeout", &ret->start_ms);
    get_ms(d, map, path, "heartbeat", &ret->heartbeat_ms);
    get_ms(d, map, path, "total_timeout", &ret->total_ms);
}

static void get_retry(reading *d, const marty__yaml *map, const char *path, marty_retry_policy *ret)
{
    static const char *const known[] = {"attempts", "first", "max", "jitter", NULL};
    static const char *const jitters[] = {"full", "none", NULL};
    char where[PATH_BYTES];
    const marty__yaml *retry = marty__yaml_get(map, "retry");
    if (!retry) {
        return;
    }
    joined(where, path, "retry");
    get_keys(d, retry, where, known);
    if (d->err) {
        return;
    }
    const marty__yaml *attempts = marty__yaml_get(retry, "attempts");
    if (attempts && attempts->kind == MARTY__YAML_TEXT &&
        strcmp(attempts->text, "unlimited") == 0) {
        ret->attempts = UINT32_MAX;
    } else {
        get_number(d, retry, where, "attempts", &ret->attempts);
    }
    get_ms32(d, retry, where, "first", &ret->first_ms);
    get_ms32(d, retry, where, "max", &ret->max_ms);
    ret->no_jitter = get_word(d, retry, where, "jitter", jitters) == 1;
}

static void get_data(reading *d, const marty__yaml *map, const char *path, marty_step *ret)
{
    char where[PATH_BYTES];
    const marty__yaml *data = marty__yaml_get(map, "data");
    if (!data || d->err) {
        return;
    }
    joined(where, path, "data");
    if (data->kind == MARTY__YAML_LIST) {
        (void)wrong(d, data, where, "expected a JSON pointer, or names with pointers");
        return;
    }
    size_t count = data->kind == MARTY__YAML_MAP ? data->count : 1;
    marty_saga_pick *picks = made(d, count, sizeof *picks);
    if (data->kind == MARTY__YAML_TEXT && picks) {
        picks[0].at = data->text;
    }
    const marty__yaml *at = data->kind == MARTY__YAML_MAP ? data->first : NULL;
    for (size_t i = 0; at && picks && !d->err; at = at->next, i++) {
        picks[i].name = at->key;
        d->err = marty__config_text(&d->r, at, where, &picks[i].at);
    }
    ret->data = picks;
    ret->data_count = count;
}

static void get_test(reading *d, const marty__yaml *map, const char *path, marty_saga_test *ret)
{
    static const char *const known[] = {"at",      "exists",  "equals",   "differs", "less",
                                        "at_most", "greater", "at_least", NULL};
    get_keys(d, map, path, known);
    if (d->err) {
        return;
    }
    get_text(d, map, path, "at", &ret->at);
    if (marty__yaml_get(map, "exists")) {
        ret->compare = get_flag(d, map, path, "exists") ? MARTY_SAGA_EXISTS : MARTY_SAGA_MISSING;
    }
    for (size_t i = 2; known[i] && !d->err; i++) {
        const marty__yaml *value = marty__yaml_get(map, known[i]);
        if (!value) {
            continue;
        }
        if (ret->compare || value->kind != MARTY__YAML_TEXT) {
            (void)wrong(d, value, path, "expected one comparison with one value");
        }
        ret->compare = (marty_saga_compare)(i + 1);
        ret->value = value->text;
    }
    if (!d->err && (!ret->at || !ret->compare)) {
        (void)wrong(d, map, path,
                    "a test needs \"at\" and one of exists, equals, differs, less, at_most, "
                    "greater, at_least");
    }
}

static void get_tests(reading *d, const marty__yaml *map, const char *path, const char *key,
                      marty_step_body *ret)
{
    char where[PATH_BYTES];
    const marty__yaml *tests = marty__yaml_get(map, key);
    if (!tests || d->err) {
        return;
    }
    joined(where, path, key);
    bool list = tests->kind == MARTY__YAML_LIST;
    size_t count = list ? tests->count : 1;
    marty_saga_test *made_tests = made(d, count, sizeof *made_tests);
    const marty__yaml *at = list ? tests->first : tests;
    for (size_t i = 0; i < count && !d->err; i++) {
        get_test(d, at, where, &made_tests[i]);
        at = list ? at->next : NULL;
    }
    ret->tests = made_tests;
    ret->test_count = count;
}

/* ---- groups */
static const char *const refusals[] = {"settle", "cut", NULL};

static void get_body(reading *d, const marty__yaml *map, const char *path, marty_step_body *ret)
{
    char where[PATH_BYTES];
    const marty__yaml *steps = marty__yaml_get(map, "steps");
    if (!steps) {
        (void)wrong(d, map, path, "\"steps\" is missing");
    } else if (!d->err) {
        (void)read_steps(d, steps, joined(where, path, "steps"), ret);
    }
}

static void get_parallel(reading *d, const marty__yaml *map, const char *path, marty_step *ret)
{
    static const char *const known[] = {"branches", "join", "on_refusal", NULL};
    char where[PATH_BYTES], each[PATH_BYTES], number[24];
    get_keys(d, map, path, known);
    if (d->err) {
        return;
    }
    get_number(d, map, path, "join", &ret->join);
    ret->cut = get_word(d, map, path, "on_refusal", refusals) == 1;
    const marty__yaml *branches = marty__yaml_get(map, "branches");
    joined(where, path, "branches");
    if (!branches || branches->kind != MARTY__YAML_LIST) {
        (void)wrong(d, branches ? branches : map, where, "expected a list of lists of steps");
        return;
    }
    marty_step_body *bodies = made(d, branches->count, sizeof *bodies);
    const marty__yaml *at = branches->first;
    for (size_t i = 0; at && !d->err; at = at->next, i++) {
        snprintf(number, sizeof number, "[%zu]", i);
        (void)read_steps(d, at, joined(each, where, number), &bodies[i]);
    }
    ret->parallel = bodies;
    ret->parallel_count = branches->count;
}

static void get_choice(reading *d, const marty__yaml *list, const char *path, marty_step *ret)
{
    static const char *const known[] = {"when", "steps", NULL};
    char each[PATH_BYTES], number[24];
    if (list->kind != MARTY__YAML_LIST) {
        (void)wrong(d, list, path, "expected a list of cases, each with \"when\" and \"steps\"");
        return;
    }
    marty_step_body *bodies = made(d, list->count, sizeof *bodies);
    const marty__yaml *at = list->first;
    for (size_t i = 0; at && !d->err; at = at->next, i++) {
        snprintf(number, sizeof number, "[%zu]", i);
        joined(each, path, number);
        get_keys(d, at, each, known);
        if (!d->err) {
            get_tests(d, at, each, "when", &bodies[i]);
            get_body(d, at, each, &bodies[i]);
        }
    }
    ret->choice = bodies;
    ret->choice_count = list->count;
}

static void get_repeat(reading *d, const marty__yaml *map, const char *path, marty_step *ret)
{
    static const char *const known[] = {"while", "until", "cap", "steps", NULL};
    marty_step_body *body = made(d, 1, sizeof *body);
    get_keys(d, map, path, known);
    if (d->err) {
        return;
    }
    ret->until = marty__yaml_get(map, "until") != NULL;
    if (ret->until == (marty__yaml_get(map, "while") != NULL)) {
        (void)wrong(d, map, path, "needs either \"while\" or \"until\"");
        return;
    }
    get_tests(d, map, path, ret->until ? "until" : "while", body);
    get_number(d, map, path, "cap", &ret->cap);
    get_body(d, map, path, body);
    ret->repeat = body;
}

static void get_each(reading *d, const marty__yaml *map, const char *path, marty_step *ret)
{
    static const char *const known[] = {"items",      "cap",   "at_once", "join",
                                        "on_refusal", "steps", NULL};
    marty_step_body *body = made(d, 1, sizeof *body);
    get_keys(d, map, path, known);
    if (d->err) {
        return;
    }
    get_text(d, map, path, "items", &ret->items);
    get_number(d, map, path, "cap", &ret->cap);
    get_number(d, map, path, "at_once", &ret->at_once);
    get_number(d, map, path, "join", &ret->join);
    ret->cut = get_word(d, map, path, "on_refusal", refusals) == 1;
    get_body(d, map, path, body);
    ret->each = body;
}

/* ---- steps */
static void get_compensate(reading *d, const marty__yaml *map, const char *path, marty_step *ret)
{
    static const char *const known[] = {"command",       "local",         "service",
                                        "timeout",       "start_timeout", "heartbeat",
                                        "total_timeout", "retry",         NULL};
    char where[PATH_BYTES];
    const marty__yaml *undo = marty__yaml_get(map, "compensate");
    if (!undo || d->err) {
        return;
    }
    joined(where, path, "compensate");
    if (undo->kind == MARTY__YAML_TEXT) {
        d->err = marty__config_text(&d->r, undo, where, &ret->compensate);
        return;
    }
    get_keys(d, undo, where, known);
    if (d->err) {
        return;
    }
    const char *command = NULL, *local = NULL;
    get_text(d, undo, where, "command", &command);
    get_text(d, undo, where, "local", &local);
    get_text(d, undo, where, "service", &ret->compensate_service);
    get_clocks(d, undo, where, &ret->compensate_clocks);
    get_retry(d, undo, where, &ret->compensate_retry);
    ret->compensate = ret->local ? local : command;
    if (ret->saga) {
        if (command || local) {
            (void)wrong(d, undo, where, "a child saga is undone by itself");
        }
    } else if (!ret->compensate || (command && local)) {
        (void)wrong(d, undo, where,
                    ret->local ? "expected \"local\", as the step is local"
                               : "expected \"command\"");
    }
}

static void get_groups(reading *d, const marty__yaml *map, const char *path, marty_step *ret)
{
    static const struct {
        const char *key;
        void (*get)(reading *, const marty__yaml *, const char *, marty_step *);
    } groups[] = {{"parallel", get_parallel},
                  {"choice", get_choice},
                  {"repeat", get_repeat},
                  {"each", get_each}};
    char where[PATH_BYTES];
    for (size_t i = 0; i < sizeof groups / sizeof *groups && !d->err; i++) {
        const marty__yaml *group = marty__yaml_get(map, groups[i].key);
        if (group) {
            groups[i].get(d, group, joined(where, path, groups[i].key), ret);
        }
    }
}

static void get_step(reading *d, const marty__yaml *map, const char *path, marty_step *ret)
{
    static const char *const known[] = {
        "name",         "service", "command",       "local",        "saga",
        "saga_version", "timer",   "signal",        "ttl",          "parallel",
        "choice",       "repeat",  "each",          "kind",         "in_doubt",
        "compensate",   "timeout", "start_timeout", "heartbeat",    "total_timeout",
        "retry",        "data",    "outside",       "at_most_once", NULL};
    static const char *const kinds[] = {"compensatable", "read_only", "pivot", "retriable", NULL};
    static const char *const doubts[] = {"retry", "probe", "compensate", "hold", NULL};
    get_keys(d, map, path, known);
    if (d->err) {
        return;
    }
    get_text(d, map, path, "name", &ret->name);
    get_text(d, map, path, "service", &ret->service);
    get_text(d, map, path, "command", &ret->command);
    get_text(d, map, path, "local", &ret->local);
    get_text(d, map, path, "saga", &ret->saga);
    get_number(d, map, path, "saga_version", &ret->saga_version);
    get_ms(d, map, path, "timer", &ret->timer_ms);
    get_text(d, map, path, "signal", &ret->signal);
    get_ms(d, map, path, "ttl", &ret->signal_ms);
    ret->kind = (marty_step_kind)get_word(d, map, path, "kind", kinds);
    ret->in_doubt = (marty_in_doubt)get_word(d, map, path, "in_doubt", doubts);
    ret->outside = get_flag(d, map, path, "outside");
    ret->at_most_once = get_flag(d, map, path, "at_most_once");
    get_clocks(d, map, path, &ret->clocks);
    get_retry(d, map, path, &ret->retry);
    get_data(d, map, path, ret);
    get_compensate(d, map, path, ret);
    get_groups(d, map, path, ret);
}

static bool read_steps(reading *d, const marty__yaml *list, const char *path, marty_step_body *ret)
{
    char each[PATH_BYTES], number[24];
    if (list->kind != MARTY__YAML_LIST) {
        return wrong(d, list, path, "expected a list of steps");
    }
    marty_step *steps = made(d, list->count, sizeof *steps);
    const marty__yaml *at = list->first;
    for (size_t i = 0; at && !d->err; at = at->next, i++) {
        marty__saga_line *line = made(d, 0, sizeof *line);
        if (!line) {
            return false;
        }
        *line = (marty__saga_line){&steps[i], at->line, d->lines};
        d->lines = line;
        snprintf(number, sizeof number, "[%zu]", i);
        get_step(d, at, joined(each, path, number), &steps[i]);
    }
    ret->steps = steps;
    ret->step_count = list->count;
    return d->err == MARTY_OK;
}

static void read_saga(reading *d, const marty__yaml *root, marty_saga *ret)
{
    static const char *const known[] = {"saga",       "version", "deadline", "undo_completed",
                                        "undo_order", "events",  "steps",    NULL};
    static const char *const orders[] = {"dependency", "strict", NULL};
    get_keys(d, root, "", known);
    if (d->err) {
        return;
    }
    get_text(d, root, "", "saga", &ret->name);
    get_number(d, root, "", "version", &ret->version);
    get_ms(d, root, "", "deadline", &ret->deadline_ms);
    ret->version = ret->version ? ret->version : 1;
    ret->undo_completed = get_flag(d, root, "", "undo_completed");
    ret->strict_undo = get_word(d, root, "", "undo_order", orders) == 1;
    ret->events = get_flag(d, root, "", "events");
    const marty__yaml *steps = marty__yaml_get(root, "steps");
    marty_step_body body = {0};
    if (!steps) {
        (void)wrong(d, root, "", "\"steps\" is missing");
    } else if (!d->err && read_steps(d, steps, "steps", &body)) {
        ret->steps = body.steps;
        ret->step_count = body.step_count;
    }
}

marty_err marty__saga_definition_read(marty__saga_definition **ret, const char *file,
                                      const char *text, size_t size, marty_error *why)
{
    marty__arena arena = {0};
    reading d = {.r = {.arena = &arena, .file = file, .why = why}};
    const marty__yaml *root = NULL;
    marty_saga saga = {0};
    d.err = marty__yaml_parse_plain(&root, &arena, file, text, size, YAML_DEPTH, why);
    if (!d.err && !root) {
        d.err = marty_error_set(why, MARTY_E_CONFIG, "%s: there is nothing in it", file);
    }
    if (!d.err) {
        read_saga(&d, root, &saga);
    }
    if (!d.err) {
        const marty__saga_source source = {
            .saga = &saga, .file = file, .lines = d.lines, .line = root->line};
        d.err = marty__saga_definition_from(ret, &source, why);
    }
    marty__arena_free(&arena);
    return d.err;
}
