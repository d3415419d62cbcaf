/* SPDX-License-Identifier: Apache-2.0
 * Attributes of the messages between an engine and its participants, as docs/guide/participants.md
 * has them: written by one side, read by the other. Any thread. */
#ifndef MARTY_SAGA_ATTRIBUTES_H
#define MARTY_SAGA_ATTRIBUTES_H
#include <marty/message.h>

/** Add one to headers, which have room; nothing when value is NULL or empty. Borrowed. */
void marty__saga_attribute_add(marty_header headers[], size_t *count, const char *name,
                               const char *value);
/** Copy one into ret; one that is missing, or too long for it, is "". */
void marty__saga_attribute_get(char *ret, size_t size, const marty_message *message,
                               const char *name);
#endif
