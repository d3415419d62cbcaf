/* SPDX-License-Identifier: Apache-2.0
 * Templates: what marty_message_new accepts, every format carries. Lines "name: value" set fields
 * ("type: x"), headers ("x: y") and, with a kind in front, attributes ("1name: x"). */
#include "tests/fuzz/fuzz.h"

#include "message/draft.h"

/* A NUL ends a field; a header's value keeps it, and is refused for it. */
static void put_field(marty_message *template_, const marty_header *line, char *value)
{
    value[line->value.size] = '\0';
    for (int i = 0; i < MARTY__FIELDS; i++) {
        if (strcmp(line->name, marty__fields[i].name) == 0) {
            *marty__field_of(template_, (marty__field)i) = value;
        }
    }
    if (strcmp(line->name, "time") == 0) {
        template_->time_us = strtoll(value, NULL, 10);
    } else if (strcmp(line->name, "expires") == 0) {
        template_->expires_us = strtoll(value, NULL, 10);
    } else if (strcmp(line->name, "priority") == 0) {
        template_->priority = (int32_t)strtoll(value, NULL, 10);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MOST = 48 };
    marty_header lines[MOST], headers[MOST];
    marty_message wire, template_ = {.headers = headers}, *event = NULL;
    marty_error why = {0};
    char *text = fuzz_text(data, size);
    size_t count = fuzz_wire(&wire, lines, MOST, text, size);
    template_.data = wire.data;
    for (size_t i = 0; i < count; i++) {
        const char *name = lines[i].name;
        char *value = text + ((const char *)lines[i].value.data - text);
        bool kind = name[0] >= '0' && name[0] <= '6';
        if (name[0] == '.') {
            lines[i].name++;
            put_field(&template_, &lines[i], value);
        } else {
            headers[template_.header_count] = lines[i];
            headers[template_.header_count].name = name + kind;
            headers[template_.header_count++].kind =
                kind ? (marty_header_kind)(name[0] - '0') : MARTY_HEADER;
        }
    }
    if (marty_message_new(&event, &template_, NULL, &why) == MARTY_OK) {
        fuzz_event(event);
        marty_message_unref(event);
    } else {
        FUZZ_CHECK(!event && why.code && why.text[0]);
    }
    free(text);
    return 0;
}
