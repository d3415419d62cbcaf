#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every public declaration says what it does. A function: @param for each parameter, @return unless void, @errors when it
returns marty_err, @threads, @blocks when it has a timeout, @since, @source. A type or macro: @since and @source, and a
line for each field and enumerator. What @source names in docs/ exists; what @errors names is in the table."""
import re

from house import Report, blank, files, root

ABOVE = re.compile(r"/\*\*(?![/<]).*?\*/", re.S)
LINE = 'declares more than one thing on a line'


def balanced(text, at, opening, closing):
    """Where the bracket that opens at `at` is closed."""
    depth = 0
    for index in range(at, len(text)):
        depth += (text[index] == opening) - (text[index] == closing)
        if depth == 0:
            return index
    return len(text) - 1


def units(text):
    """The header in order: (kind, offset, source) with kind doc, directive or declaration. Comments other than doc
    comments are spaces; doc comments inside a declaration stay in it."""
    clean = re.sub(r"/\*(?!\*).*?\*/|//[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.S)
    bare = blank(clean)
    at = 0
    while at < len(clean):
        if clean[at].isspace():
            at += 1
        elif clean.startswith("/**", at):
            end = clean.index("*/", at) + 2
            yield "doc", at, clean[at:end]
            at = end
        elif clean[at] == "#":
            match = re.compile(r"(?:\\\n|[^\n])*").match(clean, at)
            yield "directive", at, match.group(0)
            at = match.end()
        elif re.compile(r'extern\s+"C"\s*\{').match(clean, at):
            at = clean.index("{", at) + 1
        elif clean[at] == "}":
            at += 1
        else:
            end = declaration_end(bare, at)
            yield "declaration", at, clean[at:end]
            at = end


def declaration_end(bare, at):
    """After the `;`, the body, or the closing bracket of a macro that makes a function."""
    if re.compile(r"MARTY__\w+_VERB\s*\(").match(bare, at):
        return balanced(bare, bare.index("(", at), "(", ")") + 1
    index = at
    while index < len(bare):
        if bare[index] == ";":
            return index + 1
        if bare[index] == "{":
            index = balanced(bare, index, "{", "}")
            if not re.match(r"\s*(typedef|struct|enum|union)\b", bare[at:index]):
                return index + 1
        index += 1
    return len(bare)


def parameters(text):
    """Names of the parameters of a list without its brackets."""
    names, depth, part = [], 0, ""
    for char in text + ",":
        depth += (char in "([") - (char in ")]")
        if char == "," and depth == 0:
            match = re.search(r"\(\*\s*(\w+)\)", part) or re.search(r"(\w+)\s*(?:\[[^\]]*\])*\s*$", part)
            if part.strip() not in ("", "void", "..."):
                names.append(match.group(1))
            part = ""
        else:
            part += char
    return names


def function_of(bare):
    """(name, return type, parameter names) of a function or of a typedef of one, or None."""
    head = bare.split("{")[0]
    match = re.match(r"\s*typedef\s+(.*?)\(\s*\*\s*(\w+)\s*\)\s*\(", head, re.S)
    if not match and not re.match(r"\s*(typedef|struct|enum|union)\b", head):
        match = re.match(r"(.*?)\b(\w+)\s*\(", head, re.S)
    if not match:
        return None
    opening = match.end() - 1
    closing = balanced(head, opening, "(", ")")
    kind = re.sub(r"\b(MARTY_(API|MUST|INLINE|VERB)|extern|static|inline)\b", "", match.group(1)).strip()
    return match.group(2), kind, parameters(head[opening + 1 : closing])


class Header:
    def __init__(self, base, path, report, codes):
        self.base, self.path, self.codes = base, path, codes
        self.text = path.read_text()
        self.report = lambda at, what: report(path, self.text.count("\n", 0, at) + 1, what)
        self.declarations = 0

    def check(self):
        doc, documented = None, set()
        for kind, at, source in units(self.text):
            if kind == "doc":
                doc = source
            elif kind == "directive":
                match = re.match(r"#\s*define\s+(\w+)", source)
                if match and not re.fullmatch(r"MARTY_\w+_H", match.group(1)) and match.group(1) not in documented:
                    self.entity(at, match.group(1), doc)
                    documented.add(match.group(1))
                    doc = None
            else:
                self.declaration(at, source, doc)
                doc = None

    def entity(self, at, name, doc, needs=("since", "source")):
        self.declarations += 1
        if not doc:
            self.report(at, f"{name} has no doc comment")
            return
        if not re.search(r"[A-Za-z]{3}", re.sub(r"@\w+[^@]*", "", doc)):
            self.report(at, f"{name}: the comment does not say what it is")
        for tag in needs:
            if not re.search(rf"@{tag}\s+\S", doc):
                self.report(at, f"{name} has no @{tag}")
        for page in re.findall(r"docs/[\w/.-]+\.md", doc):
            if not (self.base / page).exists():
                self.report(at, f"{name}: there is no {page}")

    def declaration(self, at, source, doc):
        bare = blank(source)
        verb = re.match(r"MARTY__\w+_VERB\s*\(\s*(\w+)", bare)
        function = None if verb else function_of(bare)
        if verb:
            self.entity(at, verb.group(1), doc, ("threads", "since", "source"))
        elif function:
            self.function(at, doc, *function)
        else:
            name = re.search(r"(\w+)\s*;\s*$", bare) or re.search(r"(?:struct|enum)\s+(\w+)", bare)
            self.entity(at, name.group(1) if name else "enum", doc)
            if "{" in bare:
                self.members(at, source, "enum" in bare.split("{")[0])

    def function(self, at, doc, name, kind, names):
        needs = ["threads", "since", "source"]
        if kind != "void":
            needs.append("return")
        if kind == "marty_err":
            needs.append("errors")
        if any(re.search(r"timeout|deadline_ns", n) for n in names):
            needs.append("blocks")
        self.entity(at, name, doc, needs)
        said = re.findall(r"@param\s+(\w+)\s+\S", doc or "")
        for missing in [n for n in names if n not in said]:
            self.report(at, f"{name}: no @param {missing}")
        for surplus in [n for n in said if n not in names]:
            self.report(at, f"{name}: @param {surplus} is not a parameter")
        for code in re.findall(r"\bMARTY_E_\w+", doc or ""):
            if code not in self.codes:
                self.report(at, f"{name}: {code} is not in the table")

    def members(self, at, source, is_enum):
        """Each field or enumerator on a line of its own, with a comment above it or behind it."""
        start = source.index("{") + 1
        body = source[start : source.rindex("}")]
        if is_enum and "," not in blank(body) and "(" in body:
            return  # made by a macro that documents each
        bare, begin = blank(body), 0
        ends = [m.start() for m in re.finditer("," if is_enum else ";", bare)]
        depths = [bare[:e].count("(") - bare[:e].count(")") for e in ends]
        ends = [e for e, d in zip(ends, depths) if d == 0] + ([len(body)] if is_enum else [])
        for end in ends:
            piece = bare[begin:end]
            if piece.strip():
                first = begin + len(piece) - len(piece.lstrip())
                line_end = body.find("\n", end) if body.find("\n", end) >= 0 else len(body)
                behind = "/**<" in body[end:line_end] or is_enum and "/**<" in body[first:line_end]
                if not behind and not ABOVE.search(body[begin:first]):
                    self.report(at + start + first, f"`{' '.join(piece.split())}` has no comment")
                if not is_enum and "(" not in piece and "," in piece:
                    self.report(at + start + first, f"`{' '.join(piece.split())}` {LINE}")
            begin = end + 1


def main():
    base = root()
    report = Report(base, "docs")
    table = base / "include/marty/error.h"
    codes = set(re.findall(r"X\((MARTY_E_\w+)", table.read_text())) if table.exists() else set()
    seen = 0
    for path in files(base, ".h", under=("include",)):
        header = Header(base, path, report, codes)
        header.check()
        seen += header.declarations
    report.done(seen)


main()
