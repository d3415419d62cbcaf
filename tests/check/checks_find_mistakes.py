#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A check that finds nothing wrong anywhere proves nothing. Here each tools/check_*.py gets a small tree that is right, and
must accept it, and then that tree with one mistake at a time, each of which it must name."""
import pathlib
import subprocess
import sys
import tempfile

TOOLS = pathlib.Path(sys.argv[1]) / "tools"
SPDX = "SPDX-License-Identifier: Apache-2.0"
TABLE = f"""/* {SPDX}
 * The table of errors, for this test. */
#ifndef MARTY_ERROR_H
#define MARTY_ERROR_H
/** The table. @since 0.1 @source CloudEvents */
#define MARTY_ERRORS(X) \\
    X(MARTY_E_ARGUMENT, 1)
/** The codes. @since 0.1 @source CloudEvents */
typedef enum marty_err {{
    MARTY_OK /**< Fine. */
}} marty_err;
/** A thing. @since 0.1 @source docs/page.md */
typedef struct marty_thing {{
    int first; /**< The first. */
    /** The second. */
    const char *second;
    /** A slot. */
    void (*slot)(int a, int b);
}} marty_thing;
/**
 * Does it.
 *
 * @param thing What to do it to.
 * @param timeout_ms How long.
 * @return MARTY_OK.
 * @errors MARTY_E_ARGUMENT.
 * @threads Any.
 * @blocks Until it is done.
 * @since 0.1
 * @source docs/page.md
 */
marty_err marty_do(marty_thing *thing, int timeout_ms);
#endif
"""
CODE = f"""/* {SPDX}
 * A source file of the bus, for this test. */
#include <marty/error.h>
#include "backend/port.h"

marty_err marty_do(marty_thing *thing, int timeout_ms)
{{
    const char *text = "strcpy(a, b); {{{{ // not code";
    return thing && text && timeout_ms ? MARTY_OK : MARTY_OK; /* never strcat( here */
}}
"""
GOOD = {
    "include/marty/error.h": TABLE,
    "src/bus/bus.c": CODE,
    "src/backend/port.h": f"/* {SPDX}\n * A header of the port, for this test. */\n",
    "src/base/list.h": f"/* {SPDX}\n * A header of base, for this test. */\n",
    "src/backends/nats/nats.c": f'/* {SPDX}\n * A module, for this test. */\n#include "base/list.h"\n',
    "docs/page.md": "A page.\n",
}
LONG = "\n".join(f"    int x{i} = {i};" for i in range(60))
# (check, file, what is replaced, by what, what the check must say)
MISTAKES = [
    ("includes", "src/bus/bus.c", "backend/port.h", "patterns/events.h", "src/bus may not include patterns/events.h"),
    ("includes", "src/bus/bus.c", '"backend/port.h"', "<sqlite3.h>", "may not use sqlite3.h"),
    ("includes", "src/bus/bus.c", '"backend/port.h"', '"backends/nats/nats.h"', "nobody includes a backend"),
    ("includes", "src/backends/nats/nats.c", "base/list.h", "base/map.h", "a module may include"),
    ("includes", "src/base/list.h", "*/\n", '*/\n#include "message/message.h"\n', "src/base may not include"),
    ("includes", "include/marty/error.h", "#define MARTY_ERROR_H", "#include <pthread.h>", "standard headers only"),
    ("docs", "include/marty/error.h", " * @threads Any.\n", "", "marty_do has no @threads"),
    ("docs", "include/marty/error.h", " * @errors MARTY_E_ARGUMENT.\n", "", "marty_do has no @errors"),
    ("docs", "include/marty/error.h", "@errors MARTY_E_ARGUMENT", "@errors MARTY_E_SORRY", "not in the table"),
    ("docs", "include/marty/error.h", " * @blocks Until it is done.\n", "", "marty_do has no @blocks"),
    ("docs", "include/marty/error.h", " * @param timeout_ms How long.\n", "", "no @param timeout_ms"),
    ("docs", "include/marty/error.h", "@param thing", "@param other", "@param other is not a parameter"),
    ("docs", "include/marty/error.h", " * @return MARTY_OK.\n", "", "marty_do has no @return"),
    ("docs", "include/marty/error.h", " /**< The first. */", "", "`int first` has no comment"),
    ("docs", "include/marty/error.h", "    /** The second. */\n", "", "`const char *second` has no comment"),
    ("docs", "include/marty/error.h", "    /** A slot. */\n", "", "has no comment"),
    ("docs", "include/marty/error.h", " /**< Fine. */", "", "`MARTY_OK` has no comment"),
    ("docs", "include/marty/error.h", "int first;", "int first, third;", "more than one thing on a line"),
    ("docs", "include/marty/error.h", "/** A thing. @since 0.1 @source docs/page.md */", "", "marty_thing has no doc comment"),
    ("docs", "include/marty/error.h", "/** The table. @since 0.1", "/** The table.", "MARTY_ERRORS has no @since"),
    ("docs", "include/marty/error.h", "@source docs/page.md */", "@source docs/gone.md */", "there is no docs/gone.md"),
    ("size", "src/bus/bus.c", "    const", LONG + "\n    const", "marty_do has 65 lines"),
    ("size", "src/backend/port.h", "*/\n", "*/\n" * 401, "a header of 402 lines"),
    ("size", "docs/page.md", "A page.", "x" * (1 << 20), "the limit is 1048576"),
    ("words", "src/bus/bus.c", "return thing", "strcpy(0, text); return thing", "strcpy: use"),
    ("words", "src/bus/bus.c", "return thing", "malloc(1); return thing", "malloc: use"),
    ("words", "src/bus/bus.c", "return thing", "clock_gettime(0, 0); return thing", "clock_gettime: use"),
    ("words", "src/bus/bus.c", "/* never", "/* TO" "DO never", "a note to oneself"),
    ("words", "src/bus/bus.c", SPDX, "All rights reserved", "do not say SPDX"),
    ("words", "src/bus/bus.c", "\n * A source file of the bus, for this test.", "", "what the file is for"),
    ("headers", "include/marty/error.h", "int timeout_ms)", "uint32_t timeout_ms)", "gcc"),
    ("headers", "include/marty/error.h", "const char *second", "const char *class", "g++"),
]


def run(check, changes):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**GOOD, **changes}.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        result = subprocess.run([sys.executable, "-B", TOOLS / f"check_{check}.py", folder], capture_output=True, text=True,
                                check=False)
        return result.returncode, result.stdout + result.stderr


failed = 0
for check in ("includes", "docs", "size", "words", "headers"):
    code, said = run(check, {})
    if code != 0:
        failed += 1
        print(f"{check} refuses what is right:\n{said}")
for check, name, old, new, expected in MISTAKES:
    assert old in GOOD[name], (check, name, old)
    code, said = run(check, {name: GOOD[name].replace(old, new)})
    if code != 1 or expected not in said:
        failed += 1
        print(f"{check} does not say `{expected}` when {name} has `{new[:60]}` for `{old[:60]}`; it says ({code}):\n{said}")
print(f"{len(MISTAKES) + 5} cases, {failed} failed")
sys.exit(1 if failed else 0)
