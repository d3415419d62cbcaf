/* SPDX-License-Identifier: Apache-2.0
 * Contexts: named sets of "where" in files of the user, $XDG_CONFIG_HOME/marty/contexts/NAME.yaml,
 * readable by the user alone because a URL may carry a password. The name of the selected one is in
 * marty/context, that of the one before in marty/context.before. */
#include "cli.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <marty/adapter.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

enum { FILE_MAX = 65536 };

static char *folder(void)
{
    const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    return base && base[0] ? cli_textf("%s/marty", base)
                           : cli_textf("%s/.config/marty", home ? home : ".");
}

static char *path_in(const char *name)
{
    char *base = folder(), *path = cli_textf("%s/%s", base, name);
    marty_free(base);
    return path;
}

char *cli_context_path(const char *name)
{
    char *base = folder(), *path = cli_textf("%s/contexts/%s.yaml", base, name);
    marty_free(base);
    return path;
}

static marty_err name_check(const char *name, marty_error *why)
{
    size_t i, length = strlen(name);
    bool fine = length > 0 && length < 100 && name[0] != '.' && name[0] != '-';
    for (i = 0; i < length; i++) {
        fine = fine && (isalnum((unsigned char)name[i]) || strchr("._-", name[i]));
    }
    return fine ? MARTY_OK
                : marty_error_set(why, MARTY_E_ARGUMENT,
                                  "context \"%s\": a name has letters, digits, \".\", \"_\" and "
                                  "\"-\", and begins with a letter or digit",
                                  name);
}

static marty_err file_read(cli_text *ret_text, const char *path, marty_error *why)
{
    char bytes[FILE_MAX];
    FILE *file = fopen(path, "re");
    size_t size;
    if (!file) {
        return marty_error_set(why, errno == ENOENT ? MARTY_E_NOT_FOUND : MARTY_E_STORAGE, "%s: %s",
                               path, strerror(errno));
    }
    size = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    cli_text_add(ret_text, bytes, size);
    return MARTY_OK;
}

static void folders_make(const char *path)
{
    char *copy = cli_strdup(path), *at;
    for (at = copy + 1; *at; at++) {
        if (*at == '/') {
            *at = '\0';
            (void)mkdir(copy, 0700); /* what fails here is said by the write */
            *at = '/';
        }
    }
    marty_free(copy);
}

/* Whole or not at all: a new file, then renamed over the old one. */
static marty_err file_write(const char *path, const char *text, marty_error *why)
{
    char *beside = cli_textf("%s.new", path);
    size_t size = strlen(text);
    int file;
    bool fine;
    folders_make(path);
    file = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fine = file >= 0 && write(file, text, size) == (ssize_t)size && fsync(file) == 0;
    if (file >= 0) {
        fine = close(file) == 0 && fine;
    }
    fine = fine && rename(beside, path) == 0;
    marty_free(beside);
    return fine ? MARTY_OK : marty_error_set(why, MARTY_E_STORAGE, "%s: %s", path, strerror(errno));
}

static char **field_of(cli_context *context, const char *key)
{
    return strcmp(key, "backend") == 0    ? &context->backend
           : strcmp(key, "config") == 0   ? &context->config
           : strcmp(key, "service") == 0  ? &context->service
           : strcmp(key, "envelope") == 0 ? &context->envelope
                                          : NULL;
}

static marty_err node_wrong(const char *path, const yaml_node_t *node, const char *what,
                            marty_error *why)
{
    return marty_error_set(why, MARTY_E_MALFORMED, "%s:%zu: %s", path,
                           node ? node->start_mark.line + 1 : (size_t)1, what);
}

static marty_err document_read(cli_context *context, yaml_document_t *document, const char *path,
                               marty_error *why)
{
    yaml_node_t *root = yaml_document_get_root_node(document);
    yaml_node_pair_t *pair;
    if (!root || root->type != YAML_MAPPING_NODE) {
        return node_wrong(path, root, "a context is a mapping, such as \"backend: URL\"", why);
    }
    for (pair = root->data.mapping.pairs.start; pair < root->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = yaml_document_get_node(document, pair->key);
        yaml_node_t *value = yaml_document_get_node(document, pair->value);
        char **field = key->type == YAML_SCALAR_NODE
                           ? field_of(context, (const char *)key->data.scalar.value)
                           : NULL;
        if (!field) {
            return node_wrong(path, key,
                              "unknown key; there are backend, config, service, envelope", why);
        }
        if (value->type != YAML_SCALAR_NODE) {
            return node_wrong(path, value, "a text was expected", why);
        }
        marty_free(*field);
        *field = cli_strndup((const char *)value->data.scalar.value, value->data.scalar.length);
    }
    return MARTY_OK;
}

marty_err cli_context_load(cli_context *ret_context, const char *name, marty_error *why)
{
    cli_context context = {0};
    cli_text text = {0};
    yaml_parser_t parser;
    yaml_document_t document;
    char *path = cli_context_path(name);
    marty_err err = name_check(name, why);
    err = err ? err : file_read(&text, path, why);
    if (!err) {
        (void)yaml_parser_initialize(&parser);
        yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, text.size);
        if (yaml_parser_load(&parser, &document)) {
            err = document_read(&context, &document, path, why);
            yaml_document_delete(&document);
        } else {
            err = marty_error_set(why, MARTY_E_MALFORMED, "%s:%zu: %s", path,
                                  parser.problem_mark.line + 1,
                                  parser.problem ? parser.problem : "no YAML");
        }
        yaml_parser_delete(&parser);
    }
    if (err) {
        cli_context_free(&context);
    } else {
        *ret_context = context;
    }
    cli_text_free(&text);
    marty_free(path);
    return err;
}

static void line_add(cli_text *text, const char *key, const char *value)
{
    if (value) {
        cli_text_format(text, "%s: ", key);
        cli_text_json(text, value, strlen(value)); /* a JSON string is a YAML string */
        cli_text_put(text, "\n");
    }
}

marty_err cli_context_save(const cli_context *context, const char *name, marty_error *why)
{
    cli_text text = {0};
    char *path = cli_context_path(name);
    marty_err err = name_check(name, why);
    cli_text_put(&text, "# made by: marty context add\n");
    line_add(&text, "backend", context->backend);
    line_add(&text, "config", context->config);
    line_add(&text, "service", context->service);
    line_add(&text, "envelope", context->envelope);
    err = err ? err : file_write(path, text.data, why);
    cli_text_free(&text);
    marty_free(path);
    return err;
}

marty_err cli_context_remove(const char *name, marty_error *why)
{
    char *path = cli_context_path(name), *selected = cli_context_selected();
    marty_err err = name_check(name, why);
    if (!err && unlink(path) != 0) {
        err = marty_error_set(why, errno == ENOENT ? MARTY_E_NOT_FOUND : MARTY_E_STORAGE,
                              "context \"%s\": %s", name,
                              errno == ENOENT ? "there is none of that name" : strerror(errno));
    }
    if (!err && selected && strcmp(selected, name) == 0) {
        char *pointer = path_in("context");
        (void)unlink(pointer);
        marty_free(pointer);
    }
    marty_free(selected);
    marty_free(path);
    return err;
}

void cli_context_free(cli_context *context)
{
    marty_free(context->backend);
    marty_free(context->config);
    marty_free(context->service);
    marty_free(context->envelope);
    memset(context, 0, sizeof *context);
}

static char *pointer_read(const char *file)
{
    char *path = path_in(file), *name = NULL;
    cli_text text = {0};
    if (file_read(&text, path, NULL) == MARTY_OK && text.size) {
        name = cli_strndup(text.data, strcspn(text.data, "\r\n"));
    }
    cli_text_free(&text);
    marty_free(path);
    return name;
}

char *cli_context_selected(void)
{
    return pointer_read("context");
}

marty_err cli_context_select(const char *name, marty_error *why)
{
    char *before = pointer_read("context.before"), *now = cli_context_selected();
    char *path = path_in("context"), *path_before = path_in("context.before");
    cli_context context = {0};
    marty_err err = MARTY_OK;
    if (strcmp(name, "-") == 0) {
        name = before;
        err = name ? MARTY_OK
                   : marty_error_set(why, MARTY_E_NOT_FOUND, "no context was selected before");
    }
    err = err ? err : cli_context_load(&context, name, why);
    if (!err && now && strcmp(now, name) != 0) {
        err = file_write(path_before, now, why);
    }
    err = err ? err : file_write(path, name, why);
    cli_context_free(&context);
    marty_free(before);
    marty_free(now);
    marty_free(path);
    marty_free(path_before);
    return err;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **cli_context_names(size_t *ret_count)
{
    char *path = path_in("contexts"), **names = cli_alloc(sizeof *names);
    DIR *files = opendir(path);
    const struct dirent *entry;
    size_t count = 0;
    while (files && (entry = readdir(files)) != NULL) {
        size_t length = strlen(entry->d_name);
        if (length > 5 && strcmp(entry->d_name + length - 5, ".yaml") == 0) {
            names = cli_realloc(names, (count + 1) * sizeof *names);
            names[count++] = cli_strndup(entry->d_name, length - 5);
        }
    }
    if (files) {
        (void)closedir(files);
    }
    qsort(names, count, sizeof *names, by_name);
    marty_free(path);
    *ret_count = count;
    return names;
}
