/* SPDX-License-Identifier: Apache-2.0
 * What must be true of every event that a decoder made, and of its way through the codecs. */
#ifndef MARTY_TESTS_FUZZ_EVENT_H
#define MARTY_TESTS_FUZZ_EVENT_H
#include <marty/backend.h>

/** A decoded event is whole, and survives all three formats. */
void fuzz_event(const marty_message *event);
/** Split "name: value" lines and, behind an empty line, a body, into a wire message on the stack of
 * the caller. text is cut into pieces. Returns how many headers. */
size_t fuzz_wire(marty_message *wire, marty_header headers[], size_t most, char *text, size_t size);
#endif
