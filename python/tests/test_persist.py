"""Caches and servers whose items outlive the process."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import memcache_rs
from memcache_rs import Cache, Server


def test_items_outlive_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "cache.mcrs"
    with Cache(serializer="json", persist=path) as cache:
        assert not path.exists()
        cache.set("user:1", {"name": "Ada"}, 3600)
    with Cache(serializer="json", persist=str(path)) as cache:
        assert cache["user:1"] == {"name": "Ada"}
        cache.flush()
    with Cache(persist=path) as cache:
        assert len(cache) == 0


def test_a_cache_is_saved_once(tmp_path: Path) -> None:
    path = tmp_path / "cache.mcrs"
    cache = Cache(persist=path)
    cache.set("key", "value")
    cache.close()
    path.unlink()
    cache.close()
    assert not path.exists()


def test_a_handle_saves_for_all(tmp_path: Path) -> None:
    path = tmp_path / "cache.mcrs"
    cache = Cache(persist=path)
    cache.set("key", "value")
    cache.with_serializer("json").close()
    assert cache.closed
    cache.close()
    assert Cache(persist=path).get("key") == b"value"


PROGRAM = """
import os, sys
from memcache_rs import Cache
cache = Cache(persist=sys.argv[1])
cache.incr("runs", initial=1)
del cache
{more}
"""


def run(path: Path, more: str = "") -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(more=more)
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(path)], capture_output=True, text=True, cwd="/"
    )


def test_the_end_of_the_interpreter_saves(tmp_path: Path) -> None:
    path = tmp_path / "cache.mcrs"
    for more in ("", "raise SystemExit(0)", "if os.fork() == 0: sys.exit()\nos.wait()"):
        done = run(path, more)
        assert (done.returncode, done.stderr) == (0, "")
    with Cache(persist=path) as cache:
        assert cache.get("runs") == b"3"
    # A signal that ends the process saves nothing.
    assert run(path, "os.kill(os.getpid(), 15)").returncode == -signal.SIGTERM
    with Cache(persist=path) as cache:
        assert cache.get("runs") == b"3"


def test_a_save_that_fails_at_the_end_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    done = run(folder / "cache.mcrs", f"os.rmdir({str(folder)!r})")
    assert "FileNotFoundError" in done.stderr


@pytest.mark.parametrize("content", [b"", b"not a snapshot", None], ids=["empty", "foreign", "damaged"])
def test_a_file_that_is_not_a_whole_snapshot_stays_as_it_is(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "cache.mcrs"
    if content is None:
        with Cache(persist=path) as cache:
            cache.set("key", "value" * 1000)
        content = path.read_bytes()[:-8]
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(memcache_rs.BadSnapshotError):
            Cache(persist=path)
        assert path.read_bytes() == content


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Cache(persist=tmp_path / "none" / "cache.mcrs")
    with pytest.raises(IsADirectoryError):
        Cache(persist=tmp_path)
    wrong: Any = 1
    with pytest.raises(TypeError):
        Cache(persist=wrong)
    path = tmp_path / "cache.mcrs"
    with Cache(persist=path):
        (tmp_path / "link").symlink_to(path)
        with pytest.raises(memcache_rs.ConfigError, match="persist must be a file of one cache"):
            Cache(persist=tmp_path / "link")


def test_a_cache_is_closed_if_its_save_fails(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    cache = Cache(persist=folder / "cache.mcrs")
    folder.rmdir()
    with pytest.raises(FileNotFoundError):
        cache.close()
    assert cache.closed


def test_items_outlive_the_server(tmp_path: Path) -> None:
    path = tmp_path / "server.mcrs"
    server = Server(persist=path, settings={"persist_codec": "none"})
    with server:
        server.cache.set("user:1", "Ada", 3600)
    assert path.exists()
    with server:
        assert server.cache["user:1"] == b"Ada"
    with Server(persist=str(path)) as again:
        assert again.cache["user:1"] == b"Ada"


def test_a_server_refuses_a_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "server.mcrs"
    path.write_bytes(b"not a snapshot")
    with pytest.raises(memcache_rs.ConfigError, match=r"server\.mcrs: the file is not a snapshot"):
        Server(persist=path).start()
    assert path.read_bytes() == b"not a snapshot"
