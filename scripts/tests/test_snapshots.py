"""The reader of snapshots in docs/snapshots.md reads a file of version 1."""

import re
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class SnapshotsTest(unittest.TestCase):
    def test_the_reader_in_the_document_prints_what_it_says(self):
        text = (ROOT / "docs/snapshots.md").read_text()
        reader = text[text.index("A reader in Python:") :]
        code, printed = re.search(r"^```python\n(.*?)^```$.*?^```text\n(.*?)^```$", reader, re.S | re.M).groups()
        command = [sys.executable, "-c", code, ROOT / "core/tests/data/version-1.mcrs"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual((done.stdout, done.returncode), (printed, 0), done.stderr)


if __name__ == "__main__":
    unittest.main()
