#!/usr/bin/env python3
"""Checks which files of the Rust code may use which.

Three rules hold in every crate of the workspace:

- No circles: following the imports of a file never leads back to it.
- In `core`, arrows point down: a folder uses only folders that stand before it in LAYERS.
- In the store, unsafe code is in the folders of UNSAFE.

A name that a module re-exports counts as an import of the file that defines the name. A path in
the code, as `super::item::size()`, counts like a `use`. Code for tests and for loom does not count.
The root of a crate lists its modules and is not looked at.

Usage: layers.py [REPOSITORY]    The repository to check, this one by default.
"""

import re
import sys
from pathlib import Path

# The folders of core/src, lowest first.
LAYERS = ["base", "config", "tls", "store", "cache", "persist", "protocol", "proxy", "state", "admin", "session", "net", "server"]

# Folders of core/src/store in which files may contain unsafe code.
UNSAFE = ["mem", "read"]

# Comments, then all kinds of text, in the order in which they hide each other.
TEXT = re.compile(
    r"//[^\n]*|/\*.*?\*/"
    r"|\bb?r(#*)\".*?\"\1"
    r"|(?:\b[bc])?\"(?:[^\"\\]|\\.)*\""
    r"|'(?:[^'\\\n]|\\[^\n]{1,8}?)'",
    re.DOTALL,
)
VISIBILITY = r"(?:pub(?:\([^)]*\))?\s+)?"
ATTRIBUTES = r"(?:#\[[^\]]*\]\s*)*"
TEST = re.compile(r"#\[cfg\((?:all\((?:[^()]*,\s*)?)?(?:test|loom)\b[^\]]*\]\s*" + ATTRIBUTES)
DEFINES = re.compile(
    r"^\s*" + VISIBILITY + r"(?:const |unsafe |extern \"\" )*"
    r"(?:struct|enum|union|trait|type|fn|const|static|macro_rules!) (\w+)",
    re.MULTILINE,
)
USE = re.compile(r"^\s*" + VISIBILITY + r"use ([^;]+);", re.MULTILINE)
INLINE = re.compile(r"(?<![\w:])((?:crate|super|self)(?:::\w+)+)")
MODULE = re.compile(r"\bmod \w+ \{")


def end_of_block(text, start):
    """Returns the position behind the block whose brace opens at or after `start`."""
    at = text.index("{", start)
    depth = 0
    for at in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            break
    return at + 1


def code(text):
    """Returns the code without comments, texts and tests, and the names of the test modules."""
    text = TEXT.sub(lambda match: "" if match[0].startswith("/") else '""', text)
    # The place to which a name is visible is not an import.
    text = re.sub(r"pub\(in [\w:]+\)", "pub", text)
    tests = set()
    while match := TEST.search(text):
        item = re.compile(VISIBILITY + r"(?:(use|mod) ?(\w+)?)?").match(text, match.end())
        semicolon, brace = text.find(";", match.end()), text.find("{", match.end())
        if item[1] == "use" or brace < 0 or 0 <= semicolon < brace:
            end = semicolon + 1 or len(text)
            if item[1] == "mod":
                tests.add(item[2])
        else:
            end = end_of_block(text, match.end())
        text = text[: match.start()] + text[end:]
    return text, tests


def flat(text):
    """Returns the code with paths in its inner modules as the module of the file sees them."""
    at = 0
    while match := MODULE.search(text, at):
        end = end_of_block(text, match.start())
        inside = re.sub(r"(?<![\w:])super::(super::)?", lambda path: path[1] or "self::", text[match.end() : end])
        text = text[: match.end()] + inside + text[end:]
        at = match.end()
    return text


def paths(tree):
    """Yields each path of `a::{b, c::d as e}` and the name that it gets."""
    tree = re.sub(r"\s+", " ", tree.strip())
    brace = tree.find("{")
    if brace < 0:
        path, _, alias = tree.partition(" as ")
        path = path.removesuffix("::self")
        yield path, alias or path.split("::")[-1]
        return
    prefix, depth, start = tree[:brace], 0, brace + 1
    for at in range(brace + 1, len(tree)):
        if tree[at] in ",}" and depth == 0:
            if part := tree[start:at].strip():
                yield from paths(prefix + part)
            start = at + 1
        depth += {"{": 1, "}": -1}.get(tree[at], 0)


class Crate:
    """The modules of a crate, and the files that they import."""

    def __init__(self, root):
        self.files, self.names, self.reexports, self.imports = set(), {}, {}, {}
        texts, tests = {}, set()
        for path in sources(root):
            parts = path.relative_to(root).with_suffix("").parts
            module = parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts
            texts[module], found = code(path.read_text())
            tests |= {(*module, test) for test in found}
        self.files = {module for module in texts if not any(module[: len(test)] == test for test in tests)}
        for module in self.files:
            self.read(module, flat(texts[module]))

    def read(self, module, text):
        """Collects what a file defines and imports."""
        self.names[module] = set(DEFINES.findall(text))
        uses = [use for match in USE.finditer(text) for use in paths(match[1])]
        rest = USE.sub("", text)
        # A module names its children without `self::`.
        children = "|".join(file[-1] for file in self.files if file and file[:-1] == module)
        below = re.findall(rf"(?<![\w:.])((?:{children})(?:::\w+)+)", rest) if children else []
        self.imports[module] = [path for path, _ in uses] + INLINE.findall(rest) + below
        self.reexports[module] = {name: path for path, name in uses if name != "*"}

    def target(self, module, path, depth=0):
        """Returns the module whose file defines what `path` names, seen from `module`."""
        words = path.split("::")
        at = module
        if words[0] == "crate":
            at, words = (), words[1:]
        elif words[0] in ("super", "self"):
            while words and words[0] in ("super", "self"):
                at = at[:-1] if words[0] == "super" else at
                words = words[1:]
        elif (*module, words[0]) not in self.files:
            return None
        while words and (*at, words[0]) in self.files:
            at, words = (*at, words[0]), words[1:]
        if at not in self.files:
            return None
        if words and words[0] not in self.names[at] and depth < 8:
            if through := self.reexports[at].get(words[0]):
                return self.target(at, "::".join([through, *words[1:]]), depth + 1) or at
        return at

    def edges(self):
        """Returns a dictionary from each module but the root to the others that it uses."""
        return {
            module: {self.target(module, path) for path in found} - {None, module, ()}
            for module, found in self.imports.items()
            if module
        }


def crates(repository):
    """Yields the folder of each crate: `src`, and each program of several files in `src/bin`."""
    for source in sorted([*repository.glob("*/src"), *repository.glob("bindings/*/src")]):
        yield source
        yield from sorted(main.parent for main in source.glob("bin/*/main.rs"))


def sources(root):
    """Yields the files of a crate, without those of its other programs."""
    for path in sorted(root.rglob("*.rs")):
        if "bin" not in path.relative_to(root).parts:
            yield path


def circles(edges):
    """Returns the sets of modules that reach each other (Tarjan)."""
    index, low, stack, on, found = {}, {}, [], set(), []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        on.add(node)
        for other in sorted(edges[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in on:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = []
            while not group or group[-1] != node:
                group.append(stack.pop())
                on.discard(group[-1])
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def name(module):
    return "::".join(module)


def check(repository):
    """Yields a line for each broken rule."""
    for root in crates(repository):
        folder = root.relative_to(repository).as_posix()
        edges = Crate(root).edges()
        for group in circles(edges):
            inside = [f"{name(a)} -> {name(b)}" for a in group for b in sorted(edges[a]) if b in group]
            yield f"{folder}: circle of {len(group)} files: {', '.join(inside)}"
        if folder != "core/src":
            continue
        for path in sorted((root / "store").rglob("*.rs")):
            inside = path.relative_to(root).as_posix()
            if inside.split("/")[1] not in UNSAFE and "(unsafe_code" in path.read_text():
                yield f"{folder}: {inside} must not contain unsafe code"
        for module, targets in sorted(edges.items()):
            if module[0] not in LAYERS:
                yield f"{folder}: {name(module)} is in no folder of LAYERS"
                continue
            for target in sorted(targets):
                if target[0] in LAYERS and LAYERS.index(target[0]) > LAYERS.index(module[0]):
                    yield f"{folder}: {name(module)} must not use {name(target)}"


def main(arguments):
    repository = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    found = list(check(repository))
    for line in found:
        print(f"layers: {line}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
