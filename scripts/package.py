"""Makes and checks the packages of the published crates, as `cargo publish` uploads them.

Cargo builds each from its package alone; it takes a crate of the workspace from the package that it
has just made, so that no crate needs to be published first. Each package must have a README, both
licences as they are in the repository, and no dependency without a version.

usage: package.py [ARGUMENT OF CARGO ...]
"""

import json
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

LICENCES = ["LICENSE-APACHE", "LICENSE-MIT"]
# Fields that the registry shows.
DESCRIBED = ["categories", "description", "documentation", "homepage", "keywords", "license", "readme", "repository"]


def faults(root, archive, name):
    """Yields a sentence for each thing that is wrong with a package."""
    with tarfile.open(archive) as package:
        files = {member.name.partition("/")[2]: package.extractfile(member).read() for member in package if member.isfile()}
    for file in [*LICENCES, "README.md"]:
        if file not in files:
            yield f"{name}: {file} is missing"
    for file in LICENCES:
        if file in files and files[file] != (root / file).read_bytes():
            yield f"{name}: {file} is not the repository's"
    for file in files:
        if file.startswith("tests/"):
            yield f"{name}: {file} is a test, and cannot run outside the repository"
    manifest = tomllib.loads(files["Cargo.toml"].decode())
    for key in DESCRIBED:
        if not manifest["package"].get(key):
            yield f"{name}: {key} is missing in Cargo.toml"
    for table in ("dependencies", "dev-dependencies", "build-dependencies"):
        for dependency, how in manifest.get(table, {}).items():
            if isinstance(how, dict) and "version" not in how:
                yield f"{name}: {dependency} has no version"


def main(arguments):
    root = Path(__file__).resolve().parent.parent
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"]
    metadata = json.loads(subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout)
    # An empty list is what `publish = false` means.
    packages = [package for package in metadata["packages"] if package["publish"] is None]
    chosen = [argument for package in packages for argument in ("-p", package["name"])]
    subprocess.run(["cargo", "package", "--locked", *chosen, *arguments], cwd=root, check=True)
    found = []
    for package in packages:
        archive = Path(metadata["target_directory"], "package", f"{package['name']}-{package['version']}.crate")
        found += faults(root, archive, package["name"])
        print(archive)
    for fault in found:
        print(f"package: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
