/* SPDX-License-Identifier: Apache-2.0
 * Messages as JSON and as lines. Data that is JSON is copied token by token, so that no number
 * changes its digits on the way. */
#include "message.h"

#include <ctype.h>
#include <marty/adapter.h>
#include <strings.h>

const char *cli_level_name(marty_level level)
{
    switch (level) {
    case MARTY_LEVEL_MEMORY:
        return "memory";
    case MARTY_LEVEL_WRITTEN:
        return "written";
    case MARTY_LEVEL_SYNCED:
        return "synced";
    case MARTY_LEVEL_REPLICATED:
        return "replicated";
    case MARTY_LEVEL_ANY:
        break;
    }
    return "any";
}

const char *cli_pattern_name(marty_pattern pattern)
{
    switch (pattern) {
    case MARTY_EVENT:
        return "event";
    case MARTY_COMMAND:
        return "command";
    case MARTY_QUERY:
        return "query";
    case MARTY_STREAM:
        return "stream";
    case MARTY_BROADCAST:
        return "broadcast";
    }
    return "unknown";
}

bool cli_is_json_type(const char *content_type)
{
    size_t length = content_type ? strcspn(content_type, "; ") : 0;
    if (!content_type) {
        return true;
    }
    return (length == 16 && strncasecmp(content_type, "application/json", 16) == 0) ||
           (length == 9 && strncasecmp(content_type, "text/json", 9) == 0) ||
           (length > 5 && strncasecmp(content_type + length - 5, "+json", 5) == 0);
}

bool cli_text_json_value(cli_text *text, const char *json, size_t size)
{
    json_t *value =
        json_loadb(json, size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);
    bool quoted = false;
    size_t at, from = 0;
    if (!value) {
        return false;
    }
    json_decref(value);
    for (at = 0; at < size; at++) {
        char byte = json[at];
        if (quoted && byte == '\\') {
            at++;
        } else if (byte == '"') {
            quoted = !quoted;
        } else if (!quoted && (byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t')) {
            cli_text_add(text, json + from, at - from);
            from = at + 1;
        }
    }
    cli_text_add(text, json + from, size - from);
    return true;
}

static void name_put(cli_text *text, const char *name)
{
    if (text->size && text->data[text->size - 1] != '{') {
        cli_text_put(text, ",");
    }
    cli_text_json(text, name, strlen(name));
    cli_text_put(text, ":");
}

static void string_put(cli_text *text, const char *name, const char *value)
{
    if (value) {
        name_put(text, name);
        cli_text_json(text, value, strlen(value));
    }
}

static void time_put(cli_text *text, const char *name, int64_t time_us)
{
    char shown[40];
    if (time_us) {
        cli_time_text(shown, time_us);
        string_put(text, name, shown);
    }
}

static void number_put(cli_text *text, const char *name, int64_t number)
{
    name_put(text, name);
    cli_text_format(text, "%lld", (long long)number);
}

/* Numbers and truth as JSON has them; kinds that JSON has not as an object {"uri": ...}. */
static void value_put(cli_text *text, const marty_header *header)
{
    static const char *const words[] = {[MARTY_ATTRIBUTE_BINARY] = "binary",
                                        [MARTY_ATTRIBUTE_URI] = "uri",
                                        [MARTY_ATTRIBUTE_TIMESTAMP] = "timestamp"};
    const char *value = header->value.data;
    if (header->kind == MARTY_ATTRIBUTE_INTEGER || header->kind == MARTY_ATTRIBUTE_BOOLEAN) {
        cli_text_add(text, value, header->value.size);
    } else if (header->kind == MARTY_HEADER || header->kind == MARTY_ATTRIBUTE) {
        cli_text_json(text, value, header->value.size);
    } else {
        cli_text_format(text, "{\"%s\":", words[header->kind]);
        cli_text_json(text, value, header->value.size);
        cli_text_put(text, "}");
    }
}

/* A name that repeats gives an array, in order, at the place of its first. */
static void headers_put(cli_text *text, const marty_message *message, const char *title,
                        bool attributes)
{
    bool begun = false;
    size_t i, k;
    for (i = 0; i < message->header_count; i++) {
        const marty_header *header = &message->headers[i];
        size_t same = 0, before = 0;
        if ((header->kind != MARTY_HEADER) != attributes) {
            continue;
        }
        for (k = 0; k < message->header_count; k++) {
            const marty_header *other = &message->headers[k];
            if ((other->kind != MARTY_HEADER) == attributes &&
                strcmp(other->name, header->name) == 0) {
                same++;
                before += k < i;
            }
        }
        if (before) {
            continue;
        }
        if (!begun) {
            name_put(text, title);
            cli_text_put(text, "{");
            begun = true;
        }
        name_put(text, header->name);
        cli_text_put(text, same > 1 ? "[" : "");
        value_put(text, header);
        for (k = i + 1; same > 1 && k < message->header_count; k++) {
            const marty_header *other = &message->headers[k];
            if ((other->kind != MARTY_HEADER) == attributes &&
                strcmp(other->name, header->name) == 0) {
                cli_text_put(text, ",");
                value_put(text, other);
            }
        }
        cli_text_put(text, same > 1 ? "]" : "");
    }
    cli_text_put(text, begun ? "}" : "");
}

static void data_put(cli_text *text, const marty_message *message, bool exact)
{
    const char *data = message->data.data ? message->data.data : "";
    size_t size = message->data.size, before = text->size;
    bool json = cli_is_json_type(message->content_type);
    if (size == 0) {
        return;
    }
    if (!exact && json) {
        name_put(text, "data");
        if (cli_text_json_value(text, data, size)) {
            return;
        }
        text->size = before;
    }
    if (!exact && !json && cli_utf8_valid(data, size)) {
        name_put(text, "data");
        cli_text_json(text, data, size);
        return;
    }
    name_put(text, "data_base64");
    cli_text_put(text, "\"");
    cli_text_base64(text, data, size);
    cli_text_put(text, "\"");
}

void cli_delivery_json(cli_text *text, const marty_delivery *delivery)
{
    string_put(text, "pattern", cli_pattern_name(delivery->pattern));
    string_put(text, "backend", delivery->backend);
    string_put(text, "channel", delivery->channel);
    string_put(text, "group", delivery->group);
    string_put(text, "position", delivery->position);
    number_put(text, "attempt", delivery->attempt);
    if (delivery->shard) {
        number_put(text, "shard", delivery->shard);
    }
    time_put(text, "deadline", delivery->deadline_ms * 1000);
}

void cli_message_json(cli_text *text, const marty_message *message, const marty_delivery *delivery,
                      bool exact)
{
    cli_text_put(text, "{");
    string_put(text, "type", message->type);
    string_put(text, "id", message->id);
    string_put(text, "source", message->source);
    time_put(text, "time", message->time_us);
    string_put(text, "subject", message->subject);
    string_put(text, "key", message->key);
    string_put(text, "content_type", message->content_type);
    string_put(text, "schema", message->schema);
    string_put(text, "correlation_id", message->correlation_id);
    string_put(text, "causation_id", message->causation_id);
    string_put(text, "trace_parent", message->trace_parent);
    string_put(text, "trace_state", message->trace_state);
    time_put(text, "expires", message->expires_us);
    if (message->priority) {
        number_put(text, "priority", message->priority);
    }
    headers_put(text, message, "headers", false);
    headers_put(text, message, "attributes", true);
    if (delivery) {
        cli_delivery_json(text, delivery);
    }
    data_put(text, message, exact);
    cli_text_put(text, "}");
}

/* "12:03:04.123  order.created  key=7  {...}" */
static void line_put(const cli_run *cli, cli_text *text, const marty_message *message,
                     const marty_delivery *delivery)
{
    char when[16];
    cli_text type = {0};
    const char *data = message->data.data ? message->data.data : "";
    cli_time_short(when, message->time_us ? message->time_us : cli_wall_us());
    cli_text_colour(cli, text, "2", when);
    cli_text_safe(&type, message->type, strlen(message->type));
    cli_text_put(text, "  ");
    cli_text_colour(cli, text, "1;36", type.data ? type.data : "");
    cli_text_free(&type);
    if (message->key) {
        cli_text_put(text, "  key=");
        cli_text_safe(text, message->key, strlen(message->key));
    }
    if (delivery && delivery->attempt > 1) {
        cli_text_format(text, "  attempt=%u", delivery->attempt);
    }
    cli_text_put(text, "  ");
    if (message->data.size && cli_utf8_valid(data, message->data.size)) {
        cli_text_safe(text, data, message->data.size);
    } else if (message->data.size) {
        cli_text_format(text, "(%zu bytes)", message->data.size);
    }
}

bool cli_message_show(cli_run *cli, const marty_message *message, const marty_delivery *delivery)
{
    cli_text text = {0};
    bool fine;
    if (cli->out.format == CLI_RAW) {
        return cli_line(cli, message->data.data ? message->data.data : "", message->data.size);
    }
    if (cli->out.format == CLI_TABLE) {
        line_put(cli, &text, message, delivery);
    } else {
        cli_message_json(&text, message, delivery, false);
    }
    fine = cli_line(cli, text.data, text.size);
    cli_text_free(&text);
    return fine;
}
