"""Flask-Caching with the cachelib adapter: its own tests, from its source distribution."""

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
    pytest.skip("earlier ones, which CPython 3.10 has, take no cache of cachelib", allow_module_level=True)

#: Those of its tests that are about a cache and no other backend.
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
            # What the adapter takes: settings of memcache_rs.Cache, or a cache that is there.
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
        # By name: the other classes of test_backend_cache.py are of other backends.
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rsf", *FILES, "test_ours.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # One wants a Redis.
    assert "138 passed, 1 skipped" in done.stdout
