"""The examples of the documents: each runs, and does what it asserts."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DOCUMENTS = [
    HERE.parent / "README.md",
    ROOT / "README.md",
    *(ROOT / "docs" / name for name in ("cluster.md", "monitoring.md", "namespaces.md", "proxy.md", "snapshots.md")),
]
EXAMPLES = [
    pytest.param(block, id=f"{document.parent.name}-{number}")
    for document in DOCUMENTS
    if document.exists()
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```$", document.read_text(), re.S | re.M))
    # scripts/tests/test_snapshots.py runs the program that reads a file of its arguments.
    if "sys.argv" not in block
]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example(example: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for package in ("django", "flask_caching", "dogpile", "cachetools", "prometheus_client"):
        if f"from {package}" in example or f"adapters.{package}" in example:
            pytest.importorskip(package)
    if "flask_caching" in example and metadata.version("flask-caching") < "2.5":
        pytest.skip("earlier versions, as CPython 3.10 has them, accept no cachelib cache")
    if "def test_" in example:
        for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
            monkeypatch.delenv(name, raising=False)
        pytester.makepyfile(example)
        pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=example.count("def test_"))
        return
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "example", "exec"), names)
    if "CACHES" in names:
        use_with_django(names["CACHES"], tmp_path)


def use_with_django(settings: dict[str, dict[str, Any]], directory: Path) -> None:
    """Uses the cache of an example of Django's settings, at a socket in another directory."""
    from django.core.cache import CacheHandler

    location = directory / Path(settings["default"]["LOCATION"]).name
    cache: Any = CacheHandler({"default": settings["default"] | {"LOCATION": str(location)}})["default"]
    cache.set("key", {"any": "value"})
    assert cache.get("key") == {"any": "value"}
    assert location.is_socket()
    cache._shared.leave()
