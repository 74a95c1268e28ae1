"""Saving a cache to files and file objects, and loading it."""

from __future__ import annotations

import errno
import gzip
import io
import os
import random
import socket
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import pytest

import memcache_rs
from memcache_rs import BadSnapshotError, BusyError, Cache, CancelledError, Progress, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def cache() -> Iterator[Cache]:
    with Cache() as cache:
        yield cache


@pytest.fixture
def large() -> Iterator[Cache]:
    """Returns a cache of 100 values of 100 KiB that do not compress: a snapshot of ten blocks."""
    source = random.Random(1)
    with Cache() as cache:
        for number in range(100):
            cache.set(f"{number}", source.randbytes(100 << 10))
        yield cache


def saved(cache: Cache, **options: Any) -> bytes:
    file = io.BytesIO()
    cache.save(file, **options)
    return file.getvalue()


def items(cache: Cache) -> dict[bytes, bytes]:
    return {key: cache[key] for key in cache}


def test_a_snapshot_has_all_of_an_item(cache: Cache, tmp_path: Path) -> None:
    cache.clock.freeze()
    cache.set("plain", "value")
    cache.set("full", b"\0\xff", ttl=100, flags=7)
    cache.get("full")
    for path in (tmp_path / "cache.mcrs", str(tmp_path / "ключ")):
        done = cache.save(path, note="two items")
        assert (done.items, done.bytes, done.skipped) == (2, 16, 0)
        assert done.file_bytes == os.stat(path).st_size
        assert os.stat(path).st_mode & 0o777 == 0o600
        with Cache() as warm:
            loaded = warm.load(path)
            assert (loaded.items, loaded.bytes, loaded.note) == (2, 16, "two items")
            assert loaded.program == f"memcache-rs {memcache_rs.__version__}"
            assert loaded.saved_at == cache.clock.time()
            item, was = warm.get_item("full"), cache.info("full")
            assert item is not None
            assert was is not None
            assert (item.value, item.flags, item.cas, item.fetched) == (b"\0\xff", 7, was.cas, True)
            assert warm.get("plain") == b"value"
    assert len(list(tmp_path.iterdir())) == 2


def test_results_show_their_counters(cache: Cache) -> None:
    cache.set("key", "value")
    file = io.BytesIO()
    done = cache.save(file)
    assert repr(done).startswith(f"Saved(items=1, bytes=8, file_bytes={len(file.getvalue())}, skipped=0, seconds=0.")
    loaded = cache.load(io.BytesIO(file.getvalue()[:-1]))
    assert repr(loaded).startswith(
        "Loaded(items=0, bytes=0, expired=0, existing=1, too_large=0, no_memory=0, damaged=0, "
        f"damage=(Damage(offset={loaded.damage[0].offset}, kind='truncated', items=0, bytes=0),), "
        "truncated=True, seconds=0."
    )


def test_newer_items_stay_unless_they_are_replaced(cache: Cache) -> None:
    cache.set("key", "old")
    snapshot = saved(cache)
    cache.set("key", "new")
    assert cache.load(io.BytesIO(snapshot)).existing == 1
    assert cache["key"] == b"new"
    assert cache.load(io.BytesIO(snapshot), replace=True).items == 1
    assert cache["key"] == b"old"


def test_the_time_between_counts_unless_it_is_paused(cache: Cache) -> None:
    cache.clock.freeze()
    cache.set("key", "value", ttl=60)
    snapshot = saved(cache)
    cache.clock.advance(59)
    cache.load(io.BytesIO(snapshot), replace=True)
    assert cache.get_item("key").ttl == 1  # type: ignore[union-attr]
    cache.clock.advance(1_000_000)
    assert cache.load(io.BytesIO(snapshot)).expired == 1
    assert cache.load(io.BytesIO(snapshot), ttl="paused").items == 1
    cache.clock.advance(59)
    assert "key" in cache
    cache.clock.advance(1)
    assert "key" not in cache


def test_items_that_do_not_fit_are_counted(large: Cache) -> None:
    snapshot = saved(large, codec="none")
    assert len(snapshot) > 100 * (100 << 10)
    with Cache(8 << 20, evictions=False) as small:
        loaded = small.load(io.BytesIO(snapshot), threads=1)
        assert loaded.no_memory > 0
        assert loaded.items + loaded.no_memory == 100
    with Cache(item_size_max=50 << 10) as strict:
        assert strict.load(io.BytesIO(snapshot)).too_large == 100


def test_the_codec_decides_whether_it_is_compressed(cache: Cache) -> None:
    cache.set("key", b"x" * 100_000)
    assert len(saved(cache)) < 2000
    assert len(saved(cache, codec="none")) > 100_000


# File objects.


def test_real_files_and_gzip(large: Cache, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with open(path, "wb") as file:
        file.write(b"before")
        done = large.save(file)
        assert file.tell() == 6 + done.file_bytes
    with open(path, "rb", buffering=0) as raw, Cache() as warm:
        raw.seek(6)
        assert warm.load(raw).items == 100
        assert items(warm) == items(large)
    with gzip.open(path, "wb") as file:
        large.save(file)
    with gzip.open(path, "rb") as file, Cache() as warm:
        assert warm.load(file).items == 100


def test_short_writes_and_reads(large: Cache) -> None:
    class Slow:
        """A file that takes and gives few bytes at a time."""

        def __init__(self, data: bytes = b"") -> None:
            self.data = data

        def write(self, data: bytes) -> int:
            part = data[:70_001]
            self.data += part
            return len(part)

        def read(self, length: int) -> bytearray:
            part, self.data = self.data[: min(length, 9_999)], self.data[min(length, 9_999) :]
            return bytearray(part)

    slow = Slow()
    done = large.save(slow)
    assert done.file_bytes == len(slow.data)
    with Cache() as warm:
        assert warm.load(slow, strict=True).items == 100
        assert items(warm) == items(large)


def test_a_writer_need_not_return_a_number(cache: Cache) -> None:
    cache.set("key", "value")
    parts: list[bytes] = []

    class Parts:
        def write(self, data: bytes) -> None:
            parts.append(data)

    cache.save(Parts())
    assert cache.load(io.BytesIO(b"".join(parts))).existing == 1


def test_the_exceptions_of_a_file_object_are_unchanged(large: Cache) -> None:
    class Full(io.BytesIO):
        error = ValueError("mine")

        def write(self, data: object) -> int:
            if self.tell() > 2 << 20:
                raise self.error
            return super().write(data)  # type: ignore[arg-type]

        def read(self, length: int | None = -1) -> bytes:
            raise self.error

    class Unflushed(io.BytesIO):
        def flush(self) -> None:
            raise Full.error

    for call in (
        lambda: large.save(Full()),
        lambda: large.save(Full(), threads=1),
        lambda: large.save(Unflushed()),
        lambda: large.load(Full()),
    ):
        with pytest.raises(ValueError, match="mine") as caught:
            call()
        assert caught.value is Full.error


def test_a_text_file_is_refused(cache: Cache, tmp_path: Path) -> None:
    cache.set("key", "value")
    with pytest.raises(TypeError, match="string argument expected, got 'bytes'"):
        cache.save(io.StringIO())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="file must be opened in binary mode"):
        cache.load(io.StringIO("text"))  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [-1, 1 << 40, "1", 0.5])
def test_writers_that_return_nonsense(cache: Cache, wrong: Any) -> None:
    class Wrong:
        def write(self, data: bytes) -> Any:
            return wrong

    with pytest.raises(ValueError, match=r"write\(\) must return a number of bytes from 0 to"):
        cache.save(Wrong())


def test_readers_that_return_nonsense(cache: Cache) -> None:
    class Wrong:
        def __init__(self, result: Any) -> None:
            self.result = result

        def read(self, length: int) -> Any:
            return self.result

    with pytest.raises(ValueError, match=r"read\(\) must return at most \d+ bytes, got 99999999"):
        cache.load(Wrong(bytes(99_999_999)))
    with pytest.raises(TypeError, match=r"the result of read\(\) must be"):
        cache.load(Wrong(5))
    with pytest.raises(BlockingIOError, match="blocking mode"):
        cache.load(Wrong(None))


def test_a_pipe_that_does_not_block(large: Cache) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    with open(read, "rb"), open(write, "wb", buffering=0) as pipe, pytest.raises(BlockingIOError) as caught:
        large.save(pipe)
    assert caught.value.errno == errno.EAGAIN


@pytest.mark.parametrize("file", [5, None, b"/tmp/file", object()])
def test_other_objects_are_no_files(cache: Cache, file: Any) -> None:
    with pytest.raises(TypeError, match=r"file must be a path, or a binary file with write\(\), got"):
        cache.save(file)
    with pytest.raises(TypeError, match=r"file must be a path, or a binary file with read\(\), got"):
        cache.load(file)


# Failures.


def test_errors_of_the_system(cache: Cache, tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "file"
    with pytest.raises(FileNotFoundError) as caught:
        cache.save(missing)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, f"{missing}.tmp")
    with pytest.raises(FileNotFoundError) as caught:
        cache.load(missing)
    assert caught.value.filename == str(missing)
    for call in (cache.save, cache.load):
        with pytest.raises(IsADirectoryError) as directory:
            call(tmp_path)
        assert directory.value.filename == str(tmp_path)
    with pytest.raises(OSError, match="No space left"), open("/dev/full", "wb", buffering=0) as full:
        cache.save(full)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """A limit of the file size stands for the disk."""
    done = python(
        f"""
        import os, pathlib, resource
        from memcache_rs import Cache
        cache = Cache()
        path = {str(tmp_path / "file")!r}
        cache.save(path)
        before = pathlib.Path(path).read_bytes()
        for n in range(20):
            cache.set(str(n), os.urandom(500_000))
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20))
        try:
            cache.save(path)
        except OSError as error:
            print(error.errno, error.filename == path + ".tmp")
        assert pathlib.Path(path).read_bytes() == before
        """
    )
    assert (done.stdout, done.stderr) == (f"{errno.EFBIG} True\n", "")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_damage_is_counted_or_refused(large: Cache) -> None:
    snapshot = bytearray(saved(large, codec="none"))
    snapshot[len(snapshot) // 2] ^= 1
    with Cache() as warm:
        loaded = warm.load(io.BytesIO(snapshot))
        (place,) = loaded.damage
        assert (place.kind, place.bytes, loaded.truncated) == ("data", 0, False)
        assert 0 < place.offset < len(snapshot) // 2
        assert loaded.damaged == place.items > 0
        assert loaded.items == len(warm) == 100 - loaded.damaged
        with pytest.raises(BadSnapshotError, match=f"the snapshot is damaged at byte {place.offset}"):
            warm.load(io.BytesIO(snapshot), strict=True)
    # The mark of that block.
    snapshot[place.offset] ^= 1
    with Cache() as warm:
        loaded = warm.load(io.BytesIO(snapshot))
        (lost,) = loaded.damage
        assert (lost.kind, lost.offset, lost.items) == ("lost", place.offset, 0)
        assert lost.bytes > place.items * (100 << 10)
        assert loaded.items == 100 - place.items


@pytest.mark.parametrize("file", [b"", b"text", bytes(1000), b"\x89MCRS\r\n\x1a\x02\0" + bytes(100)])
def test_other_files_are_no_snapshots(cache: Cache, file: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(file)
    for source in (tmp_path / "file", io.BytesIO(file)):
        with pytest.raises(BadSnapshotError):
            cache.load(source)
    assert len(cache) == 0


def test_invalid_options(cache: Cache) -> None:
    file = io.BytesIO()
    with pytest.raises(memcache_rs.ConfigError, match='codec must be "lz4" or "none", got "zip"'):
        cache.save(file, codec="zip")  # type: ignore[arg-type]
    with pytest.raises(memcache_rs.ConfigError, match='ttl must be "wall" or "paused", got "off"'):
        cache.load(file, ttl="off")  # type: ignore[arg-type]
    for threads in (0, -1, 257, 1 << 2000):
        with pytest.raises(memcache_rs.OutOfRangeError, match="threads must be a whole number from 1 to 256"):
            cache.load(file, threads=threads)
    with pytest.raises(memcache_rs.OutOfRangeError, match="rate must be"):
        cache.save(file, rate=0)
    with pytest.raises(memcache_rs.ConfigError, match="note must have at most 4096 bytes"):
        cache.save(file, note="é" * 2049)
    assert file.getvalue() == b""


# Progress, and the end of an operation.


@pytest.mark.parametrize("threads", [1, 3])
def test_progress_counts_up(large: Cache, threads: int) -> None:
    seen: list[Progress] = []
    snapshot = saved(large, threads=threads, progress=seen.append)
    assert len(seen) >= 9
    assert [step.items for step in seen] == sorted({step.items for step in seen})
    assert (seen[-1].items, seen[-1].bytes) == (100, 100 * (100 << 10) + 190)
    assert {step.all_items for step in seen} == {100}
    seen.clear()
    with Cache() as warm:
        warm.load(io.BytesIO(snapshot), threads=threads, progress=seen.append)
    assert len(seen) >= 9
    assert {step.all_items for step in seen} == {100}


def test_false_cancels(large: Cache, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    calls = []

    def stop(progress: Progress) -> bool:
        calls.append(progress)
        return False

    with pytest.raises(CancelledError):
        large.save(path, progress=stop)
    assert (len(calls), path.read_text(), len(list(tmp_path.iterdir()))) == (1, "old", 1)
    large.save(path)
    with Cache() as warm, pytest.raises(CancelledError):
        warm.load(path, progress=stop)
    assert len(calls) == 2


def test_the_exceptions_of_progress_are_unchanged(large: Cache, tmp_path: Path) -> None:
    error = KeyError("mine")

    def fail(progress: Progress) -> None:
        raise error

    for call in (
        lambda: large.save(tmp_path / "file", progress=fail),
        lambda: large.load(io.BytesIO(saved(large)), progress=fail),
    ):
        with pytest.raises(KeyError) as caught:
            call()
        assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_two_saves_to_one_file(large: Cache, tmp_path: Path) -> None:
    path = tmp_path / "file"
    refused = []

    def save_again(progress: Progress) -> None:
        with pytest.raises(BusyError, match=r"another save to .*file is under way"):
            large.save(path)
        refused.append(True)

    assert large.save(path, progress=save_again).items == 100
    assert refused


def test_a_flush_begins_the_save_of_a_file_again(large: Cache, tmp_path: Path) -> None:
    steps: list[Progress] = []

    def flush_once(progress: Progress) -> None:
        steps.append(progress)
        if len(steps) == 1:
            large.flush()

    assert large.save(tmp_path / "file", progress=flush_once).items == 0

    def flush(progress: Progress) -> None:
        large.flush()
        large.set("key", "value")

    large.set("key", "value")
    with pytest.raises(BusyError, match="flushed"):
        large.save(tmp_path / "file", progress=flush)
    large.set("key", "value")
    with pytest.raises(BusyError, match="flushed"):
        large.save(io.BytesIO(), progress=flush)


def test_ctrl_c_ends_a_save(tmp_path: Path) -> None:
    done = python(
        f"""
        import os, pathlib, signal, threading
        from memcache_rs import Cache
        # A shell starts background programs with SIGINT ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        cache = Cache()
        path = {str(tmp_path / "file")!r}
        cache.save(path)
        before = pathlib.Path(path).read_bytes()
        cache.set("key", "value")

        def interrupt():
            while not os.path.exists(path + ".tmp"):
                pass
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        try:
            # It takes minutes.
            cache.save(path, rate=1)
        except KeyboardInterrupt:
            print("interrupted")
        assert pathlib.Path(path).read_bytes() == before
        """
    )
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


# Threads.


def test_other_threads_run_during_a_load(large: Cache, tmp_path: Path) -> None:
    """The load waits in the system until another thread of Python opens the pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    snapshot = saved(large)
    thread = threading.Thread(target=pipe.write_bytes, args=[snapshot])
    with Cache() as warm:
        thread.start()
        assert warm.load(pipe).items == 100
        thread.join()


def test_other_threads_use_the_cache_during_a_save(large: Cache, tmp_path: Path) -> None:
    turn, done, end = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        number = 0
        while turn.wait(60) and not end.is_set():
            turn.clear()
            large.set(f"new:{number}", "value")
            assert large.delete(f"{number}")
            number += 1
            done.set()

    def let_work(progress: Progress) -> None:
        done.clear()
        turn.set()
        assert done.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        large.save(tmp_path / "file", progress=let_work)
    finally:
        end.set()
        turn.set()
        thread.join()
    with Cache() as warm:
        warm.load(tmp_path / "file", strict=True)
        for number in range(50, 100):
            assert warm[str(number)] == large[str(number)]


def test_loads_into_one_cache_at_once(large: Cache) -> None:
    snapshot = saved(large)
    results = []
    with Cache() as warm:
        threads = [threading.Thread(target=lambda: results.append(warm.load(io.BytesIO(snapshot)))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one.items + one.existing for one in results] == [100] * 4
        assert items(warm) == items(large)


# Servers.


def test_a_save_sees_what_clients_have_sent(tmp_path: Path) -> None:
    with Server() as server, socket.create_connection(server.address) as client:
        client.sendall(b"set key 7 0 5 noreply\r\nvalue\r\n")
        assert server.cache.save(tmp_path / "file").items == 1
        client.sendall(b"flush_all noreply\r\n")
        assert server.cache.load(tmp_path / "file").items == 1
        client.sendall(b"get key\r\n")
        assert client.recv(100) == b"VALUE key 7 5\r\nvalue\r\nEND\r\n"


def python(program: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a new interpreter."""
    return subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
    )
