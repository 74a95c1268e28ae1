"""The examples of the documents: they run, and say what they do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
DOCUMENTS = [HERE.parent / "README.md", HERE.parents[1] / "README.md"]
EXAMPLES = [
    pytest.param(block, id=f"{document.parent.name}-{number}")
    for document in DOCUMENTS
    if document.exists()
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```$", document.read_text(), re.S | re.M))
]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example(example: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    if "def test_" not in example:
        exec(compile(example, "example", "exec"), {"__name__": "example"})
        return
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    pytester.makepyfile(example)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=example.count("def test_"))
