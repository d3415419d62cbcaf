/* SPDX-License-Identifier: Apache-2.0
 * A message as it goes out. A counted one that needs no change goes as it is, without a copy. */
#include "patterns.h"

#include "message/message.h"

#include <string.h>

marty_err marty__outgoing_message(marty_bus *bus, const marty_message *from,
                                  const marty_message *cause, const char *id, int64_t expires_us,
                                  marty_message **ret_message, marty_error *why)
{
    if (marty__message_counted(from) && !id && !expires_us) {
        *ret_message = marty_message_ref(from);
        return MARTY_OK;
    }
    marty_message copy = *from;
    copy.marty__self = NULL;
    copy.id = id ? id : copy.id;
    copy.expires_us = expires_us ? expires_us : copy.expires_us;
    return marty__message_new(ret_message, &copy, cause, &bus->env, bus->source, why);
}
