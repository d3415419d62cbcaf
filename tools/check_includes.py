#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Folders are the architecture: which folder of src/ may include which (docs/design/0001-architecture.md). Arrows are
followed through. <marty/...> is allowed everywhere; unit tests (x_test.c, test_x.h) may include what they like."""
import re

from house import Report, blank, files, root

ARROWS = {
    "base": [],
    "message": ["base"],
    "backend": ["message"],
    "backends": ["backend"],
    "bus": ["backend"],
    "reliability": ["bus"],
    "patterns": ["bus", "reliability"],
    "pipeline": ["message"],
    "relay": ["bus", "pipeline", "reliability"],
    "saga": ["bus", "reliability"],
    "observe": ["base"],
    "server": [],
    "cli": [],
}
BUILT_IN = {"memory", "sqlite"}  # other backends are modules: exported symbols and what is inline only
MODULES_MAY = {"base/gate.h", "base/grouped.h", "base/list.h"}
SHARED = {"saga/stores/nats": {"backends/nats/common.h"}}  # one module, one way to connect
PUBLIC_STD = {"stdbool.h", "stddef.h", "stdint.h", "string.h"}
LIBRARIES = {  # header: folders that may use the library
    "sqlite3.h": ["backend/sqlite", "backends/sqlite", "saga/stores/sqlite", "saga/participant/sqlite"],
    "libpq-fe.h": ["saga/postgres", "saga/stores/postgres", "saga/participant/postgres"],
    "yaml.h": ["bus", "saga", "cli"],
    "jansson.h": ["message", "backend", "backends", "bus", "patterns", "reliability", "saga", "cli"],
    "nats": ["backends/nats", "saga/stores/nats"],
    "openssl": ["backends/nats"],
}


def reach(folder):
    """The folders that one may include."""
    found, todo = {folder}, [folder]
    while todo:
        for next_ in ARROWS[todo.pop()]:
            if next_ not in found:
                found.add(next_)
                todo.append(next_)
    return found


def judge(base, path, name, angled):
    """Why this include is wrong, or None."""
    parts = path.relative_to(base).parts
    if angled and name.startswith("marty/"):
        return None
    if parts[0] == "include":
        return None if angled and name in PUBLIC_STD else f"a public header may include standard headers only, not {name}"
    folder = parts[1]
    if folder not in ARROWS:
        return f"src/{folder} is not a folder of the architecture"
    place = "/".join(parts[1:-1])
    if angled:
        library = name.split("/")[0]
        allowed = LIBRARIES.get(library)
        if allowed is not None and not any(place == a or place.startswith(a + "/") for a in allowed):
            return f"src/{place} may not use {library}"
        return None
    if (path.parent / name).exists() and "/" not in name:
        return None
    target = name.split("/")[0]
    if name in SHARED.get(place, ()):
        return None
    if folder == "backends" and parts[2] not in BUILT_IN:
        own = name.startswith("/".join(parts[1:3]) + "/")
        return None if own or name in MODULES_MAY else f"a module may include <marty/...> and its own files only, not {name}"
    if target == "backends" and name.split("/")[:2] != list(parts[1:3]):
        return f"nobody includes a backend: {name}"
    if target in ARROWS and target in reach(folder):
        return None
    return f"src/{folder} may not include {name}; it may: {', '.join(sorted(reach(folder) - {folder})) or 'public headers only'}"


def main():
    base = root()
    report = Report(base, "includes")
    seen = 0
    for path in files(base, ".c", ".h", under=("include", "src")):
        if path.name.endswith("_test.c") or path.name.startswith("test_"):
            continue
        seen += 1
        text = blank(path.read_text(), strings=False)
        for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', text, re.M):
            why = judge(base, path, match.group(2), match.group(1) == "<")
            if why:
                report(path, text.count("\n", 0, match.start()) + 1, why)
    report.done(seen)


main()
