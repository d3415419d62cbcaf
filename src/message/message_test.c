/* SPDX-License-Identifier: Apache-2.0
 * Messages made from templates: what is completed, what is refused and in which words. */
#include "message.h"

#include "base/alloc.h"
#include "base/limits.h"
#include "block.h"
#include "tests/check.h"
#include "uuid.h"

static marty_message *make(const marty_message *template_, const marty_message *cause)
{
    marty_message *message = NULL;
    marty_error why = {0};
    marty_err err = marty_message_new(&message, template_, cause, &why);
    if (!CHECK_INT(err, MARTY_OK)) {
        fprintf(stderr, "    %s\n", why.text);
        exit(1);
    }
    return message;
}

static void a_template_is_completed(void)
{
    marty_message *message =
        make(&(marty_message){.type = "order.created", .data = marty_text("{}")}, NULL);
    CHECK_TEXT(message->type, "order.created");
    CHECK_TEXT(message->source, "/marty");
    CHECK_TEXT(message->content_type, "application/json");
    CHECK_INT(strlen(message->id), 36);
    CHECK_TEXT(message->correlation_id, message->id);
    CHECK_TEXT(message->causation_id, NULL);
    CHECK(message->time_us > INT64_C(1700000000000000));
    CHECK_INT(message->expires_us, 0);
    CHECK_BYTES(message->data.data, message->data.size, "{}", 2);
    CHECK(message->marty__self == message);
    marty_message_unref(message);
}

int main(void)
{
    a_template_is_completed();
    return check_result();
}
