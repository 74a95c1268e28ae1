"""Prints the licences of the crates that are linked into packages, with their texts.

A text that several crates share is printed once, below their names. A crate that ships no text is
listed with the licence that its manifest names.

usage: licences.py PACKAGE ...
"""

import json
import platform
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE)", re.I)
RULE = "-" * 80


def linked(names: list[str]) -> list[dict]:
    """Returns the crates of others that the packages link, in the order of their names."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform"]
    command.append(f"{platform.machine()}-unknown-linux-gnu")
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = [key for key, package in packages.items() if package["name"] in names]
    if len(waiting) != len(names):
        sys.exit(f"licences: PACKAGE must be a package of the workspace, got {' '.join(names)}")
    found = set(waiting)
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            # A dependency of the build or of tests alone is not linked.
            if dependency["pkg"] not in found and any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                found.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    others = [packages[key] for key in found if packages[key]["source"] is not None]
    return sorted(others, key=lambda package: (package["name"], package["version"]))


def main() -> None:
    texts: dict[str, list[str]] = defaultdict(list)
    for package in linked(sys.argv[1:]):
        name = f"{package['name']} {package['version']} ({package['license']})"
        files = [path for path in sorted(Path(package["manifest_path"]).parent.iterdir()) if FILE.match(path.name)]
        for path in files:
            if path.is_file():
                texts[path.read_text(errors="replace").strip()].append(name)
        if not files:
            texts[f"The crate has no text. Its source: {package['repository']}"].append(name)
    for text, names in sorted(texts.items(), key=lambda pair: pair[1]):
        print(RULE, *dict.fromkeys(names), RULE, text, "", sep="\n")


if __name__ == "__main__":
    main()
