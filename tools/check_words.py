#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Words that the code does without: calls that are unsafe, or that bypass what src/base offers; notes to oneself. And
every file says its licence, every C file what it is for."""
import re

from house import Report, blank, files, root

NEVER = {
    "strcpy": "memcpy with a checked size", "strcat": "marty__buffer", "sprintf": "snprintf", "vsprintf": "vsnprintf",
    "gets": "fgets", "atoi": "strtol with its errors checked", "atol": "strtol", "atof": "strtod",
    "strtok": "strcspn and strspn", "alloca": "the heap", "longjmp": "return", "setjmp": "return",
}
ALLOCATION = {name: "marty_alloc and friends" for name in ("malloc", "calloc", "realloc", "strdup", "strndup", "asprintf")}
CLOCKS = {name: "the env's clocks" for name in ("clock_gettime", "gettimeofday", "time")}
CHANCE = {name: "the env's random" for name in ("getrandom", "getentropy", "rand", "random", "srand", "arc4random")}
SLEEPS = {name: "a wait for the condition, with a deadline" for name in ("sleep", "usleep")}
NOTES = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
SPDX = "SPDX-License-Identifier: Apache-2.0"
CODE = {".c", ".h", ".cpp", ".py", ".sh", ".cmake", ".map"}


def banned(path, base):
    """Calls that this file may not make, each with what to use instead."""
    parts = path.relative_to(base).parts
    words = dict(NEVER)
    if parts[0] == "include" or parts[0] == "src" and parts[1] != "base" and not (
            path.name.endswith("_test.c") or path.name.startswith("test_")):
        words.update(ALLOCATION)
        words.update(SLEEPS)
        words.update(CHANCE)
        if parts[1] != "cli":  # a program may show the time
            words.update(CLOCKS)
    return words


def calls(report, path, base):
    text = blank(path.read_text())
    words = banned(path, base)
    for match in re.finditer(r"(?<![\w.>])(\w+)\s*\(", text):
        word = match.group(1)
        if word in words and not re.search(r"(->|\.)\s*$", text[: match.start()][-4:]):
            report(path, text.count("\n", 0, match.start()) + 1, f"{word}: use {words[word]}")


def opening(report, path):
    """A licence on the first lines; of C also what the file is for."""
    text = path.read_text()
    if SPDX not in "".join(text.splitlines(True)[:3]):
        report(path, 1, f"the first lines do not say {SPDX}")
    elif path.suffix in (".c", ".h"):
        comment = text[: text.find("*/")]
        purpose = re.sub(r"[\s*/]+", " ", comment.split(SPDX, 1)[1]).strip()
        if not text.startswith("/* " + SPDX) or len(purpose) < 20 and not purpose.startswith("See "):
            report(path, 1, "the opening comment does not say what the file is for")


def main():
    base = root()
    report = Report(base, "words")
    seen = 0
    for path in files(base):
        if path.suffix in CODE or path.name in ("CMakeLists.txt", "Makefile"):
            seen += 1
            opening(report, path)
        if path.suffix in (".c", ".h"):
            calls(report, path, base)
        if path.suffix in CODE or path.suffix == ".md":
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if NOTES.search(line):
                    report(path, number, "a note to oneself: make it an issue, or do it")
    report.done(seen)


main()
