/* SPDX-License-Identifier: Apache-2.0
 * Attributes of sagas' messages: see attributes.h. */
#include "attributes.h"

#include <string.h>

void marty__saga_attribute_add(marty_header headers[], size_t *count, const char *name,
                               const char *value)
{
    if (value && *value) {
        headers[(*count)++] =
            (marty_header){.name = name, .value = marty_text(value), .kind = MARTY_ATTRIBUTE};
    }
}

void marty__saga_attribute_get(char *ret, size_t size, const marty_message *message,
                               const char *name)
{
    marty_bytes value = marty_message_header(message, name);
    size_t length = value.size < size ? value.size : 0;
    if (length) {
        memcpy(ret, value.data, length);
    }
    ret[length] = '\0';
}
