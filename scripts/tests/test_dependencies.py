"""Tests of dependencies.py on small outputs of `cargo metadata`."""

import unittest

import dependencies

RULES = {
    "licenses": {"allow": ["MIT", "Apache-2.0"], "exceptions": [{"crate": "subtle", "allow": ["BSD-3-Clause"]}]},
    "bans": {"deny": [{"crate": "parking_lot", "wrappers": ["bench"]}]},
}


def metadata(crates, edges, members=("core",)):
    """Returns the metadata of `crates` (name to fields) with `edges` (user, used, kind)."""
    packages = []
    for name, fields in crates.items():
        source = None if name in members else "registry+https://example.org"
        packages.append({
            "id": name, "name": name, "version": "1.0.0", "license": "MIT", "source": source, "dependencies": [], **fields
        })
    nodes = [
        {"id": name, "deps": [{"pkg": used, "dep_kinds": [{"kind": kind}]} for user, used, kind in edges if user == name]}
        for name in crates
    ]
    return {"packages": packages, "resolve": {"nodes": nodes}, "workspace_members": list(members)}


class DependenciesTest(unittest.TestCase):
    def faults(self, *arguments, **options):
        return list(dependencies.faults(metadata(*arguments, **options), RULES))

    def test_expressions_of_licences(self):
        names = {"MIT", "Apache-2.0", "ISC", "Apache-2.0 WITH LLVM-exception"}
        for expression in (
            "MIT", "GPL-3.0 OR MIT", "MIT/GPL-3.0", "MIT AND ISC", "(GPL-3.0 OR MIT) AND ISC",
            "Apache-2.0 WITH LLVM-exception", "GPL-3.0 AND ISC OR MIT",
        ):
            self.assertTrue(dependencies.allowed(expression, names), expression)
        for expression in (
            "", "GPL-3.0", "MIT AND GPL-3.0", "GPL-3.0 AND MIT", "MIT AND (GPL-3.0 OR BSD-3-Clause)",
            "MIT WITH Other-exception", "MIT ISC",
        ):
            self.assertFalse(dependencies.allowed(expression, names), expression)

    def test_good_crates_have_no_fault(self):
        crates = {"core": {}, "libc": {"license": "MIT OR Apache-2.0"}, "subtle": {"license": "BSD-3-Clause"}}
        self.assertEqual(self.faults(crates, [("core", "libc", None), ("core", "subtle", None)]), [])

    def test_a_licence_that_is_not_allowed_is_a_fault(self):
        crates = {"core": {}, "middle": {}, "copyleft": {"license": "GPL-3.0"}}
        found = self.faults(crates, [("core", "middle", None), ("middle", "copyleft", "build")])
        self.assertEqual(found, ["copyleft 1.0.0: the licence GPL-3.0 is not in deny.toml"])
        self.assertEqual(len(self.faults({"core": {}, "bare": {"license": None}}, [("core", "bare", None)])), 1)

    def test_an_exception_is_for_its_crate_only(self):
        crates = {"core": {}, "other": {"license": "BSD-3-Clause"}}
        self.assertEqual(len(self.faults(crates, [("core", "other", None)])), 1)

    def test_crates_for_tests_may_have_any_licence(self):
        crates = {"core": {}, "harness": {"license": "GPL-3.0"}, "below": {"license": "GPL-3.0"}}
        self.assertEqual(self.faults(crates, [("core", "harness", "dev"), ("harness", "below", None)]), [])

    def test_a_source_that_is_no_registry_is_a_fault(self):
        crates = {"core": {}, "fork": {"source": "git+https://example.org/fork"}}
        self.assertEqual(
            self.faults(crates, [("core", "fork", "dev")]),
            ["fork 1.0.0: the source git+https://example.org/fork is no registry"],
        )

    def test_another_registry_is_a_fault(self):
        crates = {"core": {"dependencies": [{"name": "libc", "registry": "https://example.org/index"}]}}
        self.assertEqual(
            self.faults(crates, []), ["core 1.0.0: libc comes from another registry, https://example.org/index"]
        )

    def test_a_ban_spares_the_wrappers(self):
        crates = {"core": {}, "bench": {}, "parking_lot": {}}
        edges = [("bench", "parking_lot", None)]
        self.assertEqual(self.faults(crates, edges, members=("core", "bench")), [])
        edges.append(("core", "parking_lot", None))
        self.assertEqual(
            self.faults(crates, edges, members=("core", "bench")), ["core: deny.toml bans parking_lot here"]
        )


if __name__ == "__main__":
    unittest.main()
