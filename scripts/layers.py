#!/usr/bin/env python3
"""Checks which parts of the Rust code may use which.

Three rules hold in every crate of the workspace:

- No circles: following the imports of a file never leads back to it.
- In `core`, arrows point down: a folder uses only folders that stand before it in LAYERS.
- In the store, unsafe code is in the folders of UNSAFE.

A name that a module re-exports counts as an import of the file that defines the name.
Tests inside a file are not looked at.

Usage: scripts/layers.py [DIRECTORY]    The repository to check, this one by default.
"""

import re
import sys
from pathlib import Path

# The folders of core/src, lowest first.
LAYERS = ["base", "config", "tls", "store", "cache", "protocol", "state", "admin", "session", "net", "server"]

# Folders of core/src/store in which files may contain unsafe code.
UNSAFE = ["mem", "read"]

CRATES = ["core/src", "capi/src", "bench/src", "compat/src", "daemon/src", "bindings/python/src", "bindings/node/src"]

DEFINES = re.compile(
    r"^\s*(?:pub(?:\([^)]*\))? )?(?:const |unsafe |extern \"C\" )*"
    r"(?:struct|enum|union|trait|type|fn|const|static|macro_rules!) (\w+)",
    re.MULTILINE,
)
USE = re.compile(r"^\s*(?:pub(?:\([^)]*\))? )?use ([^;]+);", re.MULTILINE)
MODULE = re.compile(r"^\s*(?:pub(?:\([^)]*\))? )?mod (\w+);", re.MULTILINE)
INLINE = re.compile(r"(?<![\w:])((?:crate|super|self)(?:::\w+)+)")


def code(text):
    """Returns the code without comments, strings and test modules."""
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
    # The place to which a name is visible is not an import.
    text = re.sub(r"pub\(in [\w:]+\)", "pub", text)
    while match := re.search(r"#\[cfg\((?:all\()?(?:test|loom)\b[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:pub )?mod \w+ \{", text):
        depth, end = 1, match.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        text = text[: match.start()] + text[end:]
    return text


def paths(tree):
    """Expands `a::{b, c::d}` to its paths."""
    tree = re.sub(r"\s+", " ", tree.strip())
    brace = tree.find("{")
    if brace < 0:
        yield re.sub(r" as \w+$", "", tree)
        return
    prefix, depth, start = tree[:brace], 0, brace + 1
    for at in range(brace + 1, len(tree)):
        if tree[at] in ",}" and depth == 0:
            if part := tree[start:at].strip():
                yield from paths(prefix + part)
            start = at + 1
        depth += {"{": 1, "}": -1}.get(tree[at], 0)


class Crate:
    """The modules of a crate and the files that they import."""

    def __init__(self, root):
        self.files, self.names, self.reexports, self.imports = {}, {}, {}, {}
        for path in sorted(root.rglob("*.rs")):
            parts = list(path.relative_to(root).with_suffix("").parts)
            if parts[-1] in ("mod", "lib", "main"):
                parts.pop()
            self.files[tuple(parts)] = path
        for module, path in self.files.items():
            text = code(path.read_text())
            self.names[module] = set(DEFINES.findall(text))
            uses = [(p, "pub" in m.group(0).split("use")[0]) for m in USE.finditer(text) for p in paths(m.group(1))]
            self.imports[module] = [p for p, _ in uses] + INLINE.findall(USE.sub("", text))
            self.reexports[module] = {p.split("::")[-1]: p for p, _ in uses}

    def target(self, module, path, depth=0):
        """Returns the module whose file defines what `path` names, seen from `module`."""
        words = path.split("::")
        if words[0] == "crate":
            at, words = (), words[1:]
        elif words[0] in ("super", "self"):
            at = module
            while words and words[0] in ("super", "self"):
                at = at[:-1] if words[0] == "super" else at
                words = words[1:]
        elif module + (words[0],) in self.files:
            at = module
        else:
            return None
        while words and at + (words[0],) in self.files:
            at, words = at + (words[0],), words[1:]
        if words and at in self.files and words[0] not in self.names[at] and depth < 8:
            if through := self.reexports[at].get(words[0]):
                if not through.startswith(("crate", "super", "self")):
                    through = "self::" + through
                return self.target(at, through, depth + 1) or at
        return at if at in self.files else None

    def edges(self):
        """Returns a dictionary from each module to those it uses."""
        edges = {}
        for module, found in self.imports.items():
            targets = {self.target(module, path) for path in found}
            # A list of modules does not count.
            edges[module] = targets - {None, module}
        return edges


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
    return "::".join(module) or "(root)"


def check(repository):
    """Yields a line for each broken rule."""
    for folder in CRATES:
        crate = Crate(repository / folder)
        edges = crate.edges()
        # The root of a crate lists what it offers, and is used by nothing.
        edges.pop((), None)
        edges = {module: targets - {()} for module, targets in edges.items()}
        for group in circles(edges):
            inside = [f"{name(a)} -> {name(b)}" for a in group for b in sorted(edges[a]) if b in group]
            yield f"{folder}: circle of {len(group)} files: {', '.join(inside)}"
        if folder != "core/src":
            continue
        for module, path in sorted(crate.files.items()):
            if module[:1] == ("store",) and module[1:2] and module[1] not in UNSAFE and "(unsafe_code" in path.read_text():
                yield f"{folder}: {name(module)} must not contain unsafe code"
        for module, targets in sorted(edges.items()):
            if module[0] not in LAYERS:
                yield f"{folder}: {name(module)} is in no folder of LAYERS"
                continue
            for target in sorted(targets):
                if target[0] in LAYERS and LAYERS.index(target[0]) > LAYERS.index(module[0]):
                    yield f"{folder}: {name(module)} must not use {name(target)}"


if __name__ == "__main__":
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent)
    broken = list(check(root))
    for line in broken:
        print(line)
    sys.exit(1 if broken else 0)
