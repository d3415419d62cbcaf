/* SPDX-License-Identifier: Apache-2.0
 * A message template from flags. What a field may hold is checked by the library, which names it.
 */
#include "message.h"

#include <marty/adapter.h>

void cli_template_header(cli_template *template_, const char *name, const char *value, size_t size,
                         marty_header_kind kind)
{
    size_t count = template_->message.header_count;
    marty_header *header;
    template_->headers = cli_realloc(template_->headers, (count + 1) * sizeof *template_->headers);
    template_->strings =
        cli_realloc(template_->strings, (template_->string_count + 2) * sizeof(char *));
    header = &template_->headers[count];
    memset(header, 0, sizeof *header);
    header->name = template_->strings[template_->string_count++] = cli_strdup(name);
    header->value.data = template_->strings[template_->string_count++] = cli_strndup(value, size);
    header->value.size = size;
    header->kind = kind;
    template_->message.headers = template_->headers;
    template_->message.header_count = count + 1;
}

static int headers_take(const cli_run *cli, cli_template *template_, const char *flag,
                        marty_header_kind kind)
{
    const cli_value *given = cli_flags_value(&cli->given, flag);
    size_t i;
    for (i = 0; i < given->count; i++) {
        const char *colon = strchr(given->list[i], ':');
        char *name;
        if (!colon || colon == given->list[i]) {
            return cli_usage(cli, "--%s: \"%s\" is not NAME:VALUE", flag, given->list[i]);
        }
        name = cli_strndup(given->list[i], (size_t)(colon - given->list[i]));
        colon += 1 + strspn(colon + 1, " ");
        cli_template_header(template_, name, colon, strlen(colon), kind);
        marty_free(name);
    }
    return CLI_OK;
}

int cli_template_make(const cli_run *cli, cli_template *ret_template)
{
    marty_message *message = &ret_template->message;
    int code;
    memset(ret_template, 0, sizeof *ret_template);
    message->key = cli_string(cli, "key", NULL);
    message->id = cli_string(cli, "id", NULL);
    message->source = cli_string(cli, "source", NULL);
    message->subject = cli_string(cli, "subject", NULL);
    message->content_type = cli_string(cli, "content-type", NULL);
    message->schema = cli_string(cli, "schema", NULL);
    message->correlation_id = cli_string(cli, "correlation-id", NULL);
    message->causation_id = cli_string(cli, "causation-id", NULL);
    message->trace_parent = cli_string(cli, "trace-parent", NULL);
    code = headers_take(cli, ret_template, "header", MARTY_HEADER);
    return code ? code : headers_take(cli, ret_template, "attribute", MARTY_ATTRIBUTE);
}

void cli_template_data(cli_template *template_, marty_bytes data)
{
    marty_message *message = &template_->message;
    const char *text = data.data ? data.data : "";
    json_t *value;
    message->data = data;
    if (message->content_type || data.size == 0) {
        return;
    }
    value = json_loadb(text, data.size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL,
                       NULL);
    if (!value) {
        message->content_type = cli_utf8_valid(text, data.size) && !memchr(text, 0, data.size)
                                    ? "text/plain"
                                    : "application/octet-stream";
    }
    json_decref(value);
}

void cli_template_free(cli_template *template_)
{
    size_t i;
    for (i = 0; i < template_->string_count; i++) {
        marty_free(template_->strings[i]);
    }
    marty_free(template_->strings);
    marty_free(template_->headers);
    memset(template_, 0, sizeof *template_);
}
