"""Tests of api.py on pages as rustdoc writes them."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

import api

PAGES = {
    "index.html": '<dl><dt id="reexport.Shared"><code>pub use <a>std::sync::Arc</a> as Shared;</code></dt></dl>',
    "all.html": '<a href="index.html">top</a><ul class="all-items">'
    '<li><a href="struct.Cache.html">Cache</a></li><li><a href="base/enum.Mode.html">base::Mode</a></li></ul>',
    "struct.Cache.html": """
<pre class="rust item-decl"><code>#[non_exhaustive]pub struct Cache {
    pub limit: usize,
    <span>/* private fields */</span>
}</code></pre>
<h2 id="fields">Fields</h2><span id="structfield.limit"><code>limit: usize</code></span>
<h2 id="implementations">Implementations</h2>
<section id="impl-Cache"><h3 class="code-header">impl Cache</h3></section>
<section id="method.get"><h4 class="code-header">pub fn get(
    &amp;self,
    key: &amp;[u8],
) -&gt; bool</h4></section>
<section id="method.keys"><h4 class="code-header">pub fn keys(&amp;self) -&gt; Keys&lt;'_&gt; <a>ⓘ</a></h4></section>
<h2 id="trait-implementations">Trait Implementations</h2>
<section id="impl-Debug-for-Cache"><h3 class="code-header">impl Debug for Cache</h3></section>
<section id="method.fmt"><h4 class="code-header">fn fmt(&amp;self)</h4></section>
<section id="impl-IntoIterator-for-Cache"><h3 class="code-header">impl IntoIterator for Cache</h3></section>
<section id="associatedtype.Item"><h4 class="code-header">type Item = u8</h4></section>
<h2 id="synthetic-implementations">Auto Trait Implementations</h2>
<section id="impl-Send-for-Cache"><h3 class="code-header">impl Send for Cache</h3></section>
<section id="impl-Unpin-for-Cache"><h3 class="code-header">impl Unpin for Cache</h3></section>
<h2 id="blanket-implementations">Blanket Implementations</h2>
<section id="impl-Any-for-T"><h3 class="code-header">impl&lt;T&gt; Any for T</h3></section>
""",
    "base/enum.Mode.html": """
<pre class="rust item-decl"><code>pub enum Mode { Set }</code></pre>
<h2 id="variants">Variants</h2><section id="variant.Set"><h3 class="code-header">Set</h3></section>
""",
}

LINES = [
    "Cache: #[non_exhaustive] pub struct Cache { private fields }",
    "Cache: impl Debug for Cache",
    "Cache: impl IntoIterator for Cache",
    "Cache: impl IntoIterator for Cache: type Item = u8",
    "Cache: impl Send for Cache",
    "Cache::get: pub fn get(&self, key: &[u8]) -> bool",
    "Cache::keys: pub fn keys(&self) -> Keys<'_>",
    "Cache::limit: limit: usize",
    "base::Mode: pub enum Mode",
    "base::Mode::Set: Set",
    "pub use std::sync::Arc as Shared;",
]


class ApiTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for path, text in PAGES.items():
            file = self.folder / path
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)

    def run_main(self, *arguments):
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = api.main([str(argument) for argument in arguments])
        return status, output.getvalue(), errors.getvalue()

    def test_each_public_item_has_a_line(self):
        self.assertEqual(self.run_main(self.folder)[:2], (0, "\n".join(LINES) + "\n"))

    def test_an_equal_list_passes(self):
        (self.folder / "api.txt").write_text("\n".join(LINES) + "\n")
        self.assertEqual(self.run_main(self.folder, "--check", self.folder / "api.txt"), (0, "", ""))

    def test_a_removed_and_a_changed_item_fail(self):
        old = [line.replace("-> bool", "-> u8") for line in LINES] + ["Gone: pub struct Gone"]
        (self.folder / "api.txt").write_text("\n".join(old) + "\n")
        status, output, errors = self.run_main(self.folder, "--check", self.folder / "api.txt")
        self.assertEqual(status, 1)
        self.assertIn("-Gone: pub struct Gone", output)
        self.assertIn("-Cache::get: pub fn get(&self, key: &[u8]) -> u8", output)
        self.assertIn("+Cache::get: pub fn get(&self, key: &[u8]) -> bool", output)
        self.assertIn("`make api`", errors)

    def test_wrong_arguments_are_refused(self):
        self.assertEqual(self.run_main()[0], 2)
        self.assertEqual(self.run_main(self.folder, "--chekc", "api.txt")[0], 2)


if __name__ == "__main__":
    unittest.main()
