/* SPDX-License-Identifier: Apache-2.0
 * A configuration changed on its way to the bus: one backend only, or another envelope. What is
 * wrong in the file is left for the library to say, which names line and field. Nodes are named by
 * number here: adding one moves them all. */
#include "session.h"

#include <errno.h>
#include <marty/adapter.h>
#include <yaml.h>

static bool is_scalar(yaml_document_t *document, int node, const char *text)
{
    const yaml_node_t *found = yaml_document_get_node(document, node);
    return found && found->type == YAML_SCALAR_NODE &&
           (!text || strcmp((const char *)found->data.scalar.value, text) == 0);
}

/* The pair of a mapping with that key, or NULL. */
static yaml_node_pair_t *pair_of(yaml_document_t *document, int mapping, const char *key)
{
    const yaml_node_t *node = yaml_document_get_node(document, mapping);
    yaml_node_pair_t *pair;
    if (!node || node->type != YAML_MAPPING_NODE) {
        return NULL;
    }
    for (pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        if (is_scalar(document, pair->key, key)) {
            return pair;
        }
    }
    return NULL;
}

static void value_set(yaml_document_t *document, int mapping, const char *key, const char *text)
{
    int node;
    if (!pair_of(document, mapping, key)) {
        return;
    }
    node = yaml_document_add_scalar(document, NULL, (const yaml_char_t *)text, (int)strlen(text),
                                    YAML_DOUBLE_QUOTED_SCALAR_STYLE);
    cli_assert(node != 0);
    pair_of(document, mapping, key)->value = node;
}

static void url_edit(yaml_document_t *document, int mapping, const char *key, const char *envelope)
{
    const yaml_node_pair_t *pair = pair_of(document, mapping, key);
    if (pair && is_scalar(document, pair->value, NULL)) {
        const yaml_node_t *node = yaml_document_get_node(document, pair->value);
        char *url = cli_url_with((const char *)node->data.scalar.value, "envelope", envelope);
        value_set(document, mapping, key, url);
        marty_free(url);
    } else if (pair) {
        url_edit(document, pair->value, "url", envelope); /* backends: {main: {url: ...}} */
    }
}

static marty_err keep_only(yaml_document_t *document, int backends, const char *name,
                           const char *path, marty_error *why)
{
    yaml_node_t *node = yaml_document_get_node(document, backends);
    const yaml_node_pair_t *kept = pair_of(document, backends, name);
    yaml_node_pair_t *pair;
    char known[200] = "";
    if (kept) {
        *node->data.mapping.pairs.start = *kept;
        node->data.mapping.pairs.top = node->data.mapping.pairs.start + 1;
        return MARTY_OK;
    }
    for (pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(document, pair->key);
        size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "",
                       key->type == YAML_SCALAR_NODE ? (const char *)key->data.scalar.value : "?");
    }
    return marty_error_set(why, MARTY_E_NOT_FOUND, "%s: no backend called \"%s\"; there are %s",
                           path, name, known);
}

/* Everything that names a backend names the one that is left. */
static void point_all(yaml_document_t *document, const char *name)
{
    const yaml_node_pair_t *routes = pair_of(document, 1, "routes");
    const yaml_node_pair_t *outbox = pair_of(document, 1, "outbox");
    int list = routes ? routes->value : 0, place = outbox ? outbox->value : 0;
    size_t i;
    const yaml_node_t *node = list ? yaml_document_get_node(document, list) : NULL;
    size_t count = node && node->type == YAML_SEQUENCE_NODE
                       ? (size_t)(node->data.sequence.items.top - node->data.sequence.items.start)
                       : 0;
    for (i = 0; i < count; i++) {
        value_set(document, yaml_document_get_node(document, list)->data.sequence.items.start[i],
                  "to", name);
    }
    if (place) {
        value_set(document, place, "backend", name);
    }
    value_set(document, 1, "scheduler", name);
}

static marty_err document_edit(yaml_document_t *document, const char *path, const char *backend,
                               const char *envelope, marty_error *why)
{
    const yaml_node_pair_t *pair = pair_of(document, 1, "backends");
    int backends = pair ? pair->value : 0;
    const yaml_node_t *node = backends ? yaml_document_get_node(document, backends) : NULL;
    marty_err err = MARTY_OK;
    size_t count, i;
    if (!node || node->type != YAML_MAPPING_NODE) {
        return MARTY_OK;
    }
    if (backend) {
        err = keep_only(document, backends, backend, path, why);
        if (!err) {
            point_all(document, backend);
        }
    }
    node = yaml_document_get_node(document, backends);
    count = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    for (i = 0; envelope && i < count; i++) {
        int key = yaml_document_get_node(document, backends)->data.mapping.pairs.start[i].key;
        if (is_scalar(document, key, NULL)) {
            char *name =
                cli_strdup((const char *)yaml_document_get_node(document, key)->data.scalar.value);
            url_edit(document, backends, name, envelope);
            marty_free(name);
        }
    }
    return err;
}

static int collect(void *user, unsigned char *bytes, size_t size)
{
    cli_text_add(user, bytes, size);
    return 1;
}

static bool document_write(cli_text *ret_text, yaml_document_t *document)
{
    yaml_emitter_t emitter;
    bool fine;
    (void)yaml_emitter_initialize(&emitter);
    yaml_emitter_set_output(&emitter, collect, ret_text);
    yaml_emitter_set_width(&emitter, -1);
    yaml_emitter_set_unicode(&emitter, 1);
    fine = yaml_emitter_open(&emitter) && yaml_emitter_dump(&emitter, document) &&
           yaml_emitter_close(&emitter);
    yaml_emitter_delete(&emitter);
    return fine;
}

marty_err cli_config_edit(char **ret_text, const char *path, const char *backend,
                          const char *envelope, marty_error *why)
{
    FILE *file = fopen(path, "re");
    cli_text text = {0};
    yaml_parser_t parser;
    yaml_document_t document;
    marty_err err = MARTY_OK;
    if (!file) {
        return marty_error_set(why, MARTY_E_NOT_FOUND, "%s: %s", path, strerror(errno));
    }
    (void)yaml_parser_initialize(&parser);
    yaml_parser_set_input_file(&parser, file);
    if (!yaml_parser_load(&parser, &document)) {
        err = marty_error_set(why, MARTY_E_CONFIG, "%s:%zu: %s", path, parser.problem_mark.line + 1,
                              parser.problem ? parser.problem : "no YAML");
    } else {
        err = document_edit(&document, path, backend, envelope, why);
        if (err) {
            yaml_document_delete(&document);
        } else if (!document_write(&text, &document)) {
            err = marty_error_set(why, MARTY_E_CONFIG, "%s: cannot be written again", path);
        }
    }
    yaml_parser_delete(&parser);
    (void)fclose(file);
    if (err) {
        cli_text_free(&text);
    } else {
        *ret_text = text.data;
    }
    return err;
}
