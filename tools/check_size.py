#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nothing is too long to read: no function over 60 lines, no header over 400, no file over 1 MiB."""
import re

from house import Report, blank, files, no_directives, root

FUNCTION_LINES, HEADER_LINES, FILE_BYTES = 60, 400, 1 << 20


def functions(text):
    """Name, first and last line of each function; extern "C" counts as nothing."""
    text = no_directives(blank(text))
    text = re.sub(r'extern\s+"\s*"\s*\{', lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)
    depth, begin, name, first = 0, 0, None, 0
    for match in re.finditer(r"[{};]", text):
        char, at = match.group(0), match.start()
        if char == "{":
            if depth == 0:
                head = text[begin:at].rstrip()
                name = re.search(r"\(?\b(\w+)\)?\s*\(", head) if head.endswith(")") else None
                first = text.count("\n", 0, begin + len(text[begin:at]) - len(text[begin:at].lstrip())) + 1
            depth += 1
        elif char == "}":
            depth = max(depth - 1, 0)
            if depth == 0:
                if name:
                    yield name.group(1), first, text.count("\n", 0, at) + 1
                name, begin = None, at + 1
        elif depth == 0:
            begin = at + 1


def main():
    base = root()
    report = Report(base, "size")
    seen = 0
    for path in files(base, ".c", ".h", under=("include", "src", "tests", "bench", "examples")):
        text = path.read_text()
        if path.suffix == ".h" and text.count("\n") > HEADER_LINES:
            report(path, 1, f"a header of {text.count(chr(10))} lines, the limit is {HEADER_LINES}: one concept each")
        for name, first, last in functions(text):
            seen += 1
            if last - first + 1 > FUNCTION_LINES:
                report(path, first, f"{name} has {last - first + 1} lines, the limit is {FUNCTION_LINES}")
    for path in files(base):
        if path.stat().st_size > FILE_BYTES:
            report(path, 1, f"{path.stat().st_size} bytes, the limit is {FILE_BYTES}")
    report.done(seen)


if __name__ == "__main__":
    main()
