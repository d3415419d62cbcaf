/* SPDX-License-Identifier: Apache-2.0
 * Messages of `marty peer` in: from the same JSON that goes out. Data is JSON when the content type
 * is, digit by digit, else text; data_base64 is exact. */
#include "peer.h"

#include <marty/adapter.h>

static const char fields[] =
    "type|id|source|subject|key|content_type|schema|correlation_id|causation_id|trace_parent|"
    "trace_state|time|expires|priority|headers|attributes|data|data_base64";

marty_err peer_fields_check(json_t *object, const char *known, marty_error *why)
{
    void *at = json_object_iter(object);
    for (; at; at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);
        if (!cli_choice_has(known, key)) {
            return marty_error_set(why, MARTY_E_ARGUMENT, "unknown field \"%s\"; there are %s", key,
                                   known);
        }
    }
    return MARTY_OK;
}

/* Strings of the template are copies, kept until it is freed. */
static const char *keep(cli_template *made, char *text)
{
    made->strings = cli_realloc(made->strings, (made->string_count + 1) * sizeof(char *));
    made->strings[made->string_count++] = text;
    return text;
}

static marty_err data_take(cli_template *made, const json_t *object, marty_error *why)
{
    const json_t *data = json_object_get(object, "data");
    const char *base64 = json_string_value(json_object_get(object, "data_base64"));
    void *bytes = NULL;
    size_t size = 0;
    cli_text text = {0};
    if (data && base64) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "data and data_base64: give one of them");
    }
    if (json_object_get(object, "data_base64")) {
        if (!base64 || !cli_base64_decode(&bytes, &size, base64)) {
            return marty_error_set(why, MARTY_E_ARGUMENT, "data_base64: this is no base64");
        }
        made->message.data.data = keep(made, bytes);
        made->message.data.size = size;
        return MARTY_OK;
    }
    if (!data) {
        return MARTY_OK;
    }
    if (cli_is_json_type(made->message.content_type)) { /* a string that holds JSON: peer_parse */
        cli_text_add(&text, json_string_value(data), json_string_length(data));
    } else {
        json_t *inner =
            json_loadb(json_string_value(data), json_string_length(data),
                       JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);
        bool is_text = json_is_string(inner);
        if (is_text) {
            cli_text_add(&text, json_string_value(inner), json_string_length(inner));
        }
        json_decref(inner);
        if (!is_text) {
            return marty_error_set(why, MARTY_E_ARGUMENT,
                                   "data: a text was expected, because content_type \"%s\" is no "
                                   "JSON",
                                   made->message.content_type);
        }
    }
    made->message.data.size = text.size;
    made->message.data.data = keep(made, text.data);
    return MARTY_OK;
}

/* A value of a header or attribute: its text and its kind. */
static marty_err value_take(cli_template *made, const char *name, json_t *value, bool attribute,
                            marty_error *why)
{
    static const struct {
        const char *word;
        marty_header_kind kind;
    } kinds[] = {{"binary", MARTY_ATTRIBUTE_BINARY},
                 {"uri", MARTY_ATTRIBUTE_URI},
                 {"timestamp", MARTY_ATTRIBUTE_TIMESTAMP}};
    char number[32];
    size_t i;
    if (json_is_string(value)) {
        cli_template_header(made, name, json_string_value(value), json_string_length(value),
                            attribute ? MARTY_ATTRIBUTE : MARTY_HEADER);
        return MARTY_OK;
    }
    if (attribute && json_is_integer(value)) {
        (void)snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        cli_template_header(made, name, number, strlen(number), MARTY_ATTRIBUTE_INTEGER);
        return MARTY_OK;
    }
    if (attribute && json_is_boolean(value)) {
        const char *word = json_is_true(value) ? "true" : "false";
        cli_template_header(made, name, word, strlen(word), MARTY_ATTRIBUTE_BOOLEAN);
        return MARTY_OK;
    }
    for (i = 0; attribute && i < sizeof kinds / sizeof kinds[0]; i++) {
        const char *text = json_string_value(json_object_get(value, kinds[i].word));
        if (text) {
            cli_template_header(made, name, text, strlen(text), kinds[i].kind);
            return MARTY_OK;
        }
    }
    return marty_error_set(why, MARTY_E_ARGUMENT, "%s \"%s\": a text was expected%s",
                           attribute ? "attribute" : "header", name,
                           attribute ? ", an integer, true, false, or {\"binary\": ...}, "
                                       "{\"uri\": ...}, {\"timestamp\": ...}"
                                     : ", or an array of them");
}

static marty_err headers_take(cli_template *made, const json_t *object, const char *field,
                              bool attributes, marty_error *why)
{
    json_t *all = json_object_get(object, field), *value, *one;
    marty_err err = MARTY_OK;
    const char *name;
    size_t i;
    if (all && !json_is_object(all)) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "%s: an object was expected", field);
    }
    json_object_foreach(all, name, value)
    {
        if (json_is_array(value)) {
            json_array_foreach(value, i, one)
            {
                err = err ? err : value_take(made, name, one, attributes, why);
            }
        } else {
            err = err ? err : value_take(made, name, value, attributes, why);
        }
    }
    return err;
}

static marty_err string_take(cli_template *made, const json_t *object, const char *field,
                             const char **ret_text, marty_error *why)
{
    const json_t *value = json_object_get(object, field);
    if (value && !json_is_string(value)) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "%s: a text was expected", field);
    }
    if (value) {
        *ret_text = keep(made, cli_strdup(json_string_value(value)));
    }
    return MARTY_OK;
}

static marty_err time_take(const json_t *object, const char *field, int64_t *ret_us,
                           marty_error *why)
{
    const json_t *value = json_object_get(object, field);
    if (value && (!json_is_string(value) || !cli_time_parse(ret_us, json_string_value(value)))) {
        return marty_error_set(why, MARTY_E_ARGUMENT,
                               "%s: a time such as 2026-11-01T10:00:00Z was expected", field);
    }
    return MARTY_OK;
}

marty_err peer_template(cli_template *ret_template, json_t *object, marty_error *why)
{
    cli_template made = {0};
    marty_message *message = &made.message;
    const struct {
        const char *field;
        const char **place;
    } strings[] = {{"type", &message->type},
                   {"id", &message->id},
                   {"source", &message->source},
                   {"subject", &message->subject},
                   {"key", &message->key},
                   {"content_type", &message->content_type},
                   {"schema", &message->schema},
                   {"correlation_id", &message->correlation_id},
                   {"causation_id", &message->causation_id},
                   {"trace_parent", &message->trace_parent},
                   {"trace_state", &message->trace_state}};
    marty_err err = MARTY_OK;
    size_t i;
    if (!json_is_object(object)) {
        return marty_error_set(why, MARTY_E_ARGUMENT, "message: an object was expected");
    }
    err = peer_fields_check(object, fields, why);
    for (i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        err = err ? err : string_take(&made, object, strings[i].field, strings[i].place, why);
    }
    err = err ? err : time_take(object, "time", &message->time_us, why);
    err = err ? err : time_take(object, "expires", &message->expires_us, why);
    message->priority = (int32_t)json_integer_value(json_object_get(object, "priority"));
    err = err ? err : headers_take(&made, object, "headers", false, why);
    err = err ? err : headers_take(&made, object, "attributes", true, why);
    err = err ? err : data_take(&made, object, why);
    if (err) {
        cli_template_free(&made);
        return err;
    }
    *ret_template = made;
    return MARTY_OK;
}
