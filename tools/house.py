# SPDX-License-Identifier: Apache-2.0
"""What the check_*.py scripts share: finding the files of the tree, reading C without its comments and strings, and
reporting. Each script takes the root of a tree (default: this one), prints one line a mistake and exits 1 if there is any."""
import pathlib
import re
import sys

SKIP = {".git", "demo", "node_modules", "__pycache__"}


def root():
    return pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()


def files(base, *suffixes, under=("",)):
    """Files of the tree, without build folders; suffixes none = all."""
    found = []
    for start in under:
        if not (base / start).is_dir():
            continue
        stack = [base / start]
        while stack:
            for path in stack.pop().iterdir():
                if path.is_symlink() or path.name in SKIP or re.fullmatch(r"build(-.*)?", path.name) and path.parent == base:
                    continue
                if path.is_dir():
                    stack.append(path)
                elif not suffixes or path.suffix in suffixes:
                    found.append(path)
    return sorted(found)


def blank(text, comments=True, strings=True):
    """C with comments and the insides of literals turned to spaces; every line and column stays where it is."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''

    def spaces(match):
        found = match.group(0)
        if found[0] == "/":
            return re.sub(r"[^\n]", " ", found) if comments else found
        return found[0] + re.sub(r"[^\n]", " ", found[1:-1]) + found[-1] if strings else found

    return re.sub(pattern, spaces, text, flags=re.S)


def no_directives(text):
    """The same for preprocessor lines, with their continuations."""
    return re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.M)


class Report:
    def __init__(self, base, what):
        self.base, self.what, self.mistakes = base, what, 0

    def __call__(self, path, line, text):
        self.mistakes += 1
        print(f"{pathlib.Path(path).relative_to(self.base)}:{line}: {text}")

    def done(self, looked_at):
        """Ends the script; having looked at nothing is a mistake too."""
        print(f"{self.what}: {looked_at} looked at, {self.mistakes} mistakes")
        sys.exit(1 if self.mistakes or not looked_at else 0)
