"""Checks the crates in Cargo.lock against deny.toml: licences, sources, and banned crates.

`cargo deny check` does this and more, but takes minutes to install. This script reads the same
rules: the keys `allow` and `exceptions` of licenses, and `deny` of bans. Crates that only tests use
may have any licence.

usage: dependencies.py   reads the output of `cargo metadata --format-version 1` from standard input
"""

import json
import re
import sys
import tomllib
from pathlib import Path


def allowed(expression, names):
    """Returns whether an SPDX expression can be met with licences of `names`."""
    # Old crates write a slash for OR.
    words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def word():
        return words[position] if position < len(words) else None

    def take():
        nonlocal position
        position += 1
        return words[position - 1] if position <= len(words) else ""

    def single():
        if word() == "(":
            take()
            result = either()
            take()
            return result
        name = take()
        if word() == "WITH":
            take()
            name += f" WITH {take()}"
        return name in names

    def both():
        result = single()
        while word() == "AND":
            take()
            # Reads on, also if the result is known.
            result = single() and result
        return result

    def either():
        result = both()
        while word() == "OR":
            take()
            result = both() or result
        return result

    return either() and word() is None


def shipped(metadata):
    """Returns the ids of the crates that are built for something else than tests."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = list(metadata["workspace_members"])
    seen = set()
    while waiting:
        identity = waiting.pop()
        if identity in seen:
            continue
        seen.add(identity)
        for dependency in nodes[identity]["deps"]:
            if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    return seen


def faults(metadata, rules):
    """Yields a sentence for each rule that a crate breaks."""
    packages = {package["id"]: package for package in metadata["packages"]}
    licences = rules["licenses"]
    exceptions = {one["crate"]: one["allow"] for one in licences.get("exceptions", [])}
    built = shipped(metadata)
    for identity, package in packages.items():
        name = f"{package['name']} {package['version']}"
        names = {*licences["allow"], *exceptions.get(package["name"], [])}
        licence = package["license"] or "none"
        if identity in built and not allowed(licence, names):
            yield f"{name}: the licence {licence} is not in deny.toml"
        if package["source"] is not None and not package["source"].startswith("registry+"):
            yield f"{name}: the source {package['source']} is no registry"
        for dependency in package["dependencies"]:
            # Cargo names a registry only if it is not the default one.
            if dependency["registry"] is not None:
                yield f"{name}: {dependency['name']} comes from another registry, {dependency['registry']}"
    banned = {one["crate"]: one.get("wrappers", []) for one in rules["bans"]["deny"]}
    for node in metadata["resolve"]["nodes"]:
        user = packages[node["id"]]["name"]
        for dependency in node["deps"]:
            name = packages[dependency["pkg"]]["name"]
            if name in banned and user not in banned[name]:
                yield f"{user}: deny.toml bans {name} here"


def main():
    root = Path(__file__).resolve().parent.parent
    rules = tomllib.loads((root / "deny.toml").read_text())
    found = sorted(faults(json.load(sys.stdin), rules))
    for fault in found:
        print(f"dependencies: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
