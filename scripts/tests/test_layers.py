"""Tests of layers.py on small crates that are made for each test."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

import layers


class LayersTest(unittest.TestCase):
    def lines(self, files):
        """Returns the exit status for a repository of `files` and the lines of the report."""
        with tempfile.TemporaryDirectory() as folder:
            for path, text in files.items():
                file = Path(folder, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                status = layers.main([folder])
        return status, output.getvalue().splitlines()

    def assert_clean(self, files):
        self.assertEqual(self.lines(files), (0, []))

    def assert_broken(self, files, *parts):
        status, lines = self.lines(files)
        self.assertEqual((status, len(lines)), (1, 1), lines)
        for part in parts:
            self.assertIn(part, lines[0])

    def test_arrows_that_point_down_are_fine(self):
        self.assert_clean({
            "core/src/lib.rs": "mod base;\nmod store;\npub use store::item::Item;\n",
            "core/src/base/mod.rs": "pub mod clock;\n",
            "core/src/base/clock.rs": "pub struct Clock;\n",
            "core/src/store/mod.rs": "pub mod item;\n",
            "core/src/store/item.rs": "use crate::base::clock::Clock;\npub struct Item(Clock);\n",
        })

    def test_a_folder_must_not_use_a_higher_one(self):
        self.assert_broken(
            {
                "core/src/store/item.rs": "use crate::cache::Mode;\n",
                "core/src/cache/mod.rs": "pub enum Mode { Set }\n",
            },
            "core/src: store::item must not use cache",
        )

    def test_a_forbidden_edge_may_be_a_path_in_the_code(self):
        self.assert_broken(
            {
                "core/src/store/item.rs": "pub fn size() -> usize {\n    crate::cache::LONGEST\n}\n",
                "core/src/cache/mod.rs": "pub const LONGEST: usize = 1;\n",
            },
            "store::item must not use cache",
        )

    def test_a_forbidden_edge_may_lead_through_the_root(self):
        self.assert_broken(
            {
                "core/src/lib.rs": "mod cache;\nmod store;\npub use cache::types::Mode;\n",
                "core/src/store/item.rs": "use crate::Mode;\n",
                "core/src/cache/mod.rs": "pub mod types;\n",
                "core/src/cache/types.rs": "pub enum Mode { Set }\n",
            },
            "store::item must not use cache::types",
        )

    def test_each_file_of_core_is_in_a_layer(self):
        self.assert_broken({"core/src/lonely.rs": "pub struct Lonely;\n"}, "lonely is in no folder")

    def test_two_files_that_import_each_other_are_a_circle(self):
        self.assert_broken(
            {
                "bench/src/load.rs": "use crate::trace::{self, Trace as Requests};\npub const KEY: u32 = 1;\n",
                "bench/src/trace.rs": "use crate::load::KEY;\npub struct Trace;\n",
            },
            "bench/src: circle of 2 files",
            "load -> trace",
            "trace -> load",
        )

    def test_a_circle_through_a_reexport(self):
        # first takes B from the list of names, which has it from second.
        self.assert_broken(
            {
                "bench/src/names/mod.rs": "pub use crate::second::B as C;\n",
                "bench/src/first.rs": "use crate::names::C;\npub struct A(C);\n",
                "bench/src/second.rs": "pub struct B;\nfn of(a: &crate::first::A) {}\n",
            },
            "circle of 2 files: first -> second, second -> first",
        )

    def test_a_circle_through_super(self):
        self.assert_broken(
            {
                "bench/src/wire/mod.rs": "mod text;\npub struct Head;\npub fn head() -> Head {\n    text::head()\n}\n",
                "bench/src/wire/text.rs": "use super::Head;\npub fn head() -> Head { Head }\n",
            },
            "circle of 2 files: wire -> wire::text, wire::text -> wire",
        )

    def test_a_circle_in_a_program_of_several_files(self):
        self.assert_broken(
            {
                "compat/src/lib.rs": "pub mod line;\n",
                "compat/src/line.rs": "",
                "compat/src/bin/tester/main.rs": "mod line;\nmod group;\n",
                "compat/src/bin/tester/line.rs": "use crate::group::Group;\npub struct Line;\n",
                "compat/src/bin/tester/group.rs": "use crate::line::Line;\npub struct Group;\n",
            },
            "compat/src/bin/tester: circle of 2 files: group -> line, line -> group",
        )

    def test_code_for_tests_does_not_count(self):
        self.assert_clean({
            "bench/src/load.rs": "pub const KEY: u32 = 1;\n#[cfg(test)]\nuse crate::trace::Trace;\n"
            "#[cfg(all(test, feature = \"tls\"))]\n#[expect(unused, reason = \"}\")]\n"
            "mod tests {\n    use crate::trace::Trace;\n    fn it() {}\n}\n",
            "bench/src/trace.rs": "use crate::load::KEY;\npub struct Trace;\n#[cfg(test)]\nmod tests;\n",
            "bench/src/trace/tests.rs": "use super::Trace;\nuse crate::late::Late;\n",
            "bench/src/late.rs": "use crate::trace::Trace;\npub struct Late;\n",
        })

    def test_code_behind_a_test_module_counts(self):
        self.assert_broken(
            {
                "bench/src/load.rs": "#[cfg(test)]\nmod tests {\n    fn it() {}\n}\nuse crate::trace::Trace;\n",
                "bench/src/trace.rs": "use crate::load::KEY;\n",
            },
            "load -> trace",
        )

    def test_comments_and_texts_do_not_count(self):
        self.assert_clean({
            "bench/src/load.rs": "//! See crate::trace::Trace.\n/* crate::trace::Trace */\n"
            "const A: &str = \"crate::trace::Trace\";\nconst B: char = '\"';\n"
            "const C: &str = r#\"\" crate::trace::Trace \"#;\nconst D: &str = \"http://\";\n",
            "bench/src/trace.rs": "use crate::load::A;\npub struct Trace;\n",
        })

    def test_a_text_does_not_hide_what_follows(self):
        self.assert_broken(
            {
                "bench/src/load.rs": "const A: char = '\"';\nconst B: &str = \"//\"; use crate::trace::Trace;\n"
                "fn of() { crate::trace::run(); }\n",
                "bench/src/trace.rs": "use crate::load::A;\npub struct Trace;\n",
            },
            "load -> trace",
        )

    def test_super_in_a_module_within_a_file_is_that_file(self):
        self.assert_clean({
            "bench/src/wire/mod.rs": "mod text;\nuse text::head;\n",
            "bench/src/wire/text.rs": "pub fn head() {}\nmod codes {\n    use super::head;\n}\n",
        })

    def test_unsafe_code_stays_in_its_folders(self):
        unsafe = '#![allow(unsafe_code, reason = "tests")]\npub struct Item;\n'
        self.assert_clean({"core/src/store/mem/item.rs": unsafe})
        self.assert_broken({"core/src/store/log/item.rs": unsafe}, "store/log/item.rs must not contain unsafe code")
        self.assert_broken({"core/src/store/item.rs": unsafe}, "store/item.rs must not contain unsafe code")


if __name__ == "__main__":
    unittest.main()
