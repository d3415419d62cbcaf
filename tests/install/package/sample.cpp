/* SPDX-License-Identifier: Apache-2.0
 * The headers, and the inline verbs in them, used from C++. */
#include <marty/backend.h>
#include <marty/marty.h>

int main()
{
    marty_error why = {};
    marty_message order = {};
    order.type = "order.created";
    order.data = marty_text("{}");
    marty_message *message = nullptr;
    if (marty_message_new(&message, &order, nullptr, &why)) {
        return 1;
    }
    bool same = message->data.size == 2;
    marty_message_unref(message);
    marty_err (*publish)(marty_bus *, const char *, marty_bytes, const marty_publish_options *,
                         marty_error *) = marty_publish_event;
    return same && publish ? 0 : 1;
}
