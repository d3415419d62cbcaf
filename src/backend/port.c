/* SPDX-License-Identifier: Apache-2.0
 * Small helpers that every adapter uses at the port. Any thread. */
#include <marty/backend.h>

#include <stdarg.h>
#include <stdio.h>

void marty_port_log(const marty_sink *sink, int level, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    sink->log(sink, level, text);
}
