"""Tests of package.py on packages that are made for each test."""

import io
import tarfile
import tempfile
import unittest
from pathlib import Path

import package

MANIFEST = "[package]\n" + "".join(
    f"{key} = {value}\n"
    for key, value in {
        "categories": '["caching"]',
        "description": '"A cache"',
        "documentation": '"https://docs.rs/cache"',
        "homepage": '"https://example.org"',
        "keywords": '["cache"]',
        "license": '"MIT"',
        "readme": '"README.md"',
        "repository": '"https://example.org/cache"',
    }.items()
)


class PackageTest(unittest.TestCase):
    def faults(self, changes=(), manifest=MANIFEST):
        """Returns what is wrong with a good package after `changes`. `None` removes a file."""
        files = {"Cargo.toml": manifest, "README.md": "A cache", "src/lib.rs": "", "LICENSE-MIT": "MIT", "LICENSE-APACHE": "Apache"}
        files.update(changes)
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for licence, text in (("LICENSE-MIT", "MIT"), ("LICENSE-APACHE", "Apache")):
                (root / licence).write_text(text)
            archive = root / "cache-1.0.0.crate"
            with tarfile.open(archive, "w:gz") as packed:
                for name, text in files.items():
                    if text is not None:
                        member = tarfile.TarInfo(f"cache-1.0.0/{name}")
                        member.size = len(text)
                        packed.addfile(member, io.BytesIO(text.encode()))
            return list(package.faults(root, archive, "cache"))

    def test_a_good_package_has_no_fault(self):
        self.assertEqual(self.faults(manifest=MANIFEST + '[dependencies]\nlibc = "0.2"\nlog = { version = "1" }\n'), [])

    def test_a_missing_file_is_a_fault(self):
        for name in ("README.md", "LICENSE-MIT", "LICENSE-APACHE"):
            self.assertEqual(self.faults({name: None}), [f"cache: {name} is missing"])

    def test_a_licence_that_differs_is_a_fault(self):
        self.assertEqual(self.faults({"LICENSE-MIT": "other"}), ["cache: LICENSE-MIT is not the repository's"])

    def test_a_packed_test_is_a_fault(self):
        found = self.faults({"tests/net.rs": ""})
        self.assertEqual(found, ["cache: tests/net.rs is a test, and cannot run outside the repository"])

    def test_a_missing_description_is_a_fault(self):
        for key in package.DESCRIBED:
            manifest = "".join(line for line in MANIFEST.splitlines(True) if not line.startswith(key))
            self.assertEqual(self.faults(manifest=manifest), [f"cache: {key} is missing in Cargo.toml"])

    def test_a_dependency_without_a_version_is_a_fault(self):
        for table in ("dependencies", "dev-dependencies", "build-dependencies"):
            manifest = f'{MANIFEST}[{table}]\ncore = {{ path = "../core" }}\n'
            self.assertEqual(self.faults(manifest=manifest), ["cache: core has no version"])


if __name__ == "__main__":
    unittest.main()
