"""Flask-Caching with the cachelib adapter, and Flask-Caching's own tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

flask = pytest.importorskip("flask")
caching = pytest.importorskip("flask_caching")
if metadata.version("flask-caching") < "2.5":
    pytest.skip("earlier versions, as CPython 3.10 has them, accept no cachelib cache", allow_module_level=True)

#: The test files that do not need another backend.
FILES = ("test_cache.py", "test_memoize.py", "test_signals.py", "test_templates.py", "test_view.py")

BACKEND = """
import pytest
import test_backend_cache
from memcache_rs.adapters.cachelib import MemcacheCache


class TestMemcacheCache(test_backend_cache.GenericCacheTests):
    @pytest.fixture
    def make_cache(self, clock):
        return MemcacheCache
"""


def test_a_page(memcache: Any) -> None:
    app = flask.Flask("shop")
    cache = caching.Cache(
        app,
        config={
            "CACHE_TYPE": "memcache_rs.adapters.cachelib.MemcacheCache",
            "CACHE_DEFAULT_TIMEOUT": 60,
            # The settings of the adapter: those of memcache_rs.Cache, or an existing cache.
            "CACHE_OPTIONS": {"cache": memcache.cache},
        },
    )
    rendered = []

    @app.route("/")  # type: ignore[untyped-decorator]
    @cache.cached()  # type: ignore[untyped-decorator]
    def index() -> str:
        rendered.append(1)
        return "cheese"

    with memcache.clock.freeze() as clock:
        client = app.test_client()
        assert client.get("/").text == client.get("/").text == "cheese"
        assert len(rendered) == 1
        clock.advance(60)
        client.get("/")
        assert len(rendered) == 2
    assert len(memcache.cache) == 1


def test_flask_cachings_own_tests(source: Callable[[str], Path], tmp_path: Path) -> None:
    theirs = source("flask_caching") / "tests"
    for name in (*FILES, "test_backend_cache.py", "test_template.html", "test_stream.html"):
        shutil.copy(theirs / name, tmp_path)
    shutil.copy(Path(__file__).with_name("flask_conftest.py"), tmp_path / "conftest.py")
    (tmp_path / "test_ours.py").write_text(BACKEND)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    done = subprocess.run(
        # test_backend_cache.py is not named, because its other classes need other backends.
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rsf", *FILES, "test_ours.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # The skipped one needs Redis.
    assert "138 passed, 1 skipped" in done.stdout
