/* SPDX-License-Identifier: Apache-2.0
 * Looking at a saga's definition without running it: what is wrong with it, how it looks, and what
 * the machine would do. No store, no broker, no engine; pure functions of what they are given. */
#ifndef MARTY_SAGA_TOOLS_H
#define MARTY_SAGA_TOOLS_H
#include <marty/message.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Everything that is wrong with a definition.
 *
 * @param file Its name, for errors and lines. Borrowed.
 * @param text The document, YAML or JSON. Borrowed.
 * @param ret_report Yours to unref; data: {"saga", "version", "hash", "canonical", "errors": n,
 *     "findings": [{"error", "code", "line", "step", "text"}]}.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK also with findings; else it cannot be read, and why says where.
 * @errors MARTY_E_CONFIG (file, line and field are in the text), MARTY_E_NO_MEMORY.
 * @threads Any.
 * @since 0.1
 * @source docs/reference/saga-definition.md
 */
MARTY_MUST marty_err marty_saga_lint(const char *file, marty_bytes text, marty_message **ret_report,
                                     marty_error *why);

/**
 * A definition as a picture.
 *
 * @param file Its name, for errors. Borrowed.
 * @param text The document, YAML or JSON. Borrowed.
 * @param format "dot" or "mermaid". Borrowed.
 * @param ret_report Yours to unref; data: the picture's text.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK, or there is no report.
 * @errors MARTY_E_CONFIG (as lint), MARTY_E_ARGUMENT (format), MARTY_E_NO_MEMORY.
 * @threads Any.
 * @since 0.1
 * @source docs/reference/saga-definition.md
 */
MARTY_MUST marty_err marty_saga_graph(const char *file, marty_bytes text, const char *format,
                                      marty_message **ret_report, marty_error *why);

/**
 * What the machine makes of events, one after another.
 *
 * @param file Name of the definition, for errors. Borrowed.
 * @param definition The document, YAML or JSON. Borrowed.
 * @param events JSON lines, one event each. Borrowed.
 * @param ret_report Yours to unref; data: JSON lines, one for each event: state, history, commands,
 *     due time.
 * @param why Details on failure; may be NULL.
 * @return MARTY_OK; an event that the machine refuses is in its line. Else there is no report.
 * @errors MARTY_E_CONFIG (the definition, as lint), MARTY_E_MALFORMED (an event: the text says
 *     which line), MARTY_E_NO_MEMORY.
 * @threads Any.
 * @since 0.1
 * @source docs/reference/saga-replay.md
 */
MARTY_MUST marty_err marty_saga_replay(const char *file, marty_bytes definition, marty_bytes events,
                                       marty_message **ret_report, marty_error *why);

#ifdef __cplusplus
}
#endif
#endif
