"""The backend for Django: Django's own tests, and processes that start, fork and end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memcache_rs import Server, StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[..., Any]

django = pytest.importorskip("memcache_rs.adapters.django")
shared = pytest.importorskip("memcache_rs.adapters._shared")
configuration = pytest.importorskip("django.core.exceptions")


@pytest.mark.parametrize("how", ["Private", "Host", "Client"])
def test_djangos_own_tests(how: str, source: Callable[[str], Path]) -> None:
    program = Path(__file__).with_name("django_cases.py")
    command = [sys.executable, "-W", "error", str(program), str(source("django")), how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    # The skipped ones are about culling, which the memory limit replaces.
    assert re.search(r"Ran 54 tests", done.stderr), done.stderr
    assert "OK (skipped=3)" in done.stderr


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.sock"


@pytest.fixture
def backend(path: Path) -> Iterator[Make]:
    """Makes backends that act like processes: each has its own lock file and connections."""
    made: list[Any] = []

    def make(**options: Any) -> Any:
        one = shared.SharedCache(os.fspath(path), options)
        made.append(one)
        cache = django.MemcacheCache(None, {})
        cache._shared = one
        return cache

    yield make
    for one in made:
        one.leave()


def test_the_first_hosts_and_the_others_connect(backend: Make, path: Path) -> None:
    first, second, third = (backend() for _ in range(3))
    first.set("key", {"any": "value"})
    assert second.get("key") == {"any": "value"}
    third.set("number", 41)
    assert second.incr("number") == first.get("number") == 42
    assert [cache._shared.hosting for cache in (first, second, third)] == [True, False, False]
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.with_suffix(".sock.lock").stat().st_mode) == 0o600


def test_when_the_host_ends_a_client_takes_over(backend: Make) -> None:
    first, second, third = (backend() for _ in range(3))
    for cache in (first, second, third):
        cache.get("key")
    first.set("key", "value")
    first._shared.leave()
    # The cache starts empty, and the call that found no host succeeds.
    assert second.add("key", "new")
    assert third.get("key") == "new"
    assert (second._shared.hosting, third._shared.hosting) == (True, False)
    # The former host becomes a client.
    assert first.get("key") == "new"
    assert not first._shared.hosting


def test_one_of_many_that_miss_their_host_takes_over(backend: Make) -> None:
    host, *others = (backend() for _ in range(8))
    host.set("key", 0)
    for cache in others:
        assert cache.get("key") == 0
    host._shared.leave()
    barrier = threading.Barrier(len(others))

    def use(cache: Any) -> None:
        barrier.wait()
        cache.add("key", 100)
        for _ in range(50):
            cache.incr("key")

    threads = [threading.Thread(target=use, args=(cache,)) for cache in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [cache._shared.hosting for cache in others].count(True) == 1
    assert {cache.get("key") for cache in (host, *others)} == {100 + 50 * len(others)}


def test_a_server_that_is_there_is_the_host(backend: Make, path: Path) -> None:
    with Server(unix_socket=path) as server:
        one, other = backend(), backend()
        one.set("key", "value")
        assert other.get("key") == "value"
        assert len(server.cache) == 1
        assert not path.with_suffix(".sock.lock").exists()
    # The server has ended.
    assert one.get("key") is None
    assert one._shared.hosting


def test_errors_of_one_call(backend: Make, path: Path) -> None:
    with Server(unix_socket=path) as server:
        cache = backend()
        cache.set("key", 1)
        with server.faults.drop(command="get", times=2):
            assert cache.get("key") == 1
        with server.faults.error("out of order", command="get"), pytest.raises(Exception, match="out of order"):
            cache.get("key")
        assert cache.get("key") == 1


@pytest.mark.parametrize("hosting", [True, False])
def test_a_value_that_is_too_large(backend: Make, hosting: bool) -> None:
    host, client = backend(item_size_max=1 << 20), backend(item_size_max=1 << 20)
    host.get("key")
    cache = host if hosting else client
    large = os.urandom(2 << 20)
    cache.set("key", "small")
    cache.set("key", large)
    assert cache.get("key") is None
    assert not cache.add("key", large)
    cache.set("b", "old")
    assert cache.set_many({"a": 1, "b": large, "c": 3}) == ["b"]
    assert cache.get_many(["a", "b", "c"]) == {"a": 1, "c": 3}


@pytest.mark.parametrize("hosting", [True, False])
def test_counting(backend: Make, hosting: bool) -> None:
    host, client = backend(), backend()
    host.get("key")
    cache = host if hosting else client
    clock = host._shared._store.cache.clock
    with clock.freeze():
        cache.set("n", 5, timeout=60)
        assert [cache.incr("n"), cache.decr("n", 10), cache.incr("n", -1), cache.incr("n", 2)] == [6, -4, -5, -3]
        assert cache.incr("n", 1 << 70) == (1 << 70) - 3
        cache.set("half", 0.5, timeout=None)
        assert cache.incr("half") == 1.5
        for value in (True, False, -1, 1 << 64, (1 << 63) - 1, 0):
            cache.set("v", value)
            assert cache.get("v") == value
            assert type(cache.get("v")) is type(value)
        # Counting changes no timeout.
        clock.advance(59)
        assert cache.get("n") is not None
        clock.advance(1)
        assert cache.get("n") is None
        clock.advance(10_000)
        assert cache.get("half") == 1.5
        for other in ("text", None):
            cache.set("t", other)
            with pytest.raises(TypeError):
                cache.incr("t")
        with pytest.raises(ValueError, match="not found"):
            cache.decr("missing")


@pytest.mark.parametrize("hosting", [True, False])
def test_timeouts(backend: Make, hosting: bool) -> None:
    host, client = backend(), backend()
    host.get("key")
    cache = host if hosting else client
    clock = host._shared._store.cache.clock
    day = 86_400
    for timeout in (0, -1, -0.5):
        cache.set("key", "value", timeout)
        assert cache.get("key") is None
    with clock.freeze():
        spans = {
            "part": 0.5,
            "month": 30 * day,
            "more": 30 * day + 1,
            "years": 99 * 365 * day,
            "ages": 1e12,
            "ever": None,
        }
        for key, span in spans.items():
            cache.set(key, key, span)
        cache.set("default", "default")

        def left() -> list[str]:
            return list(cache.get_many([*spans, "default"]))

        assert left() == [*spans, "default"]
        clock.advance(1)
        assert left() == ["month", "more", "years", "ages", "ever", "default"]
        clock.advance(300)
        assert left() == ["month", "more", "years", "ages", "ever"]
        # Long timeouts are absolute on the wire, and the two clocks may differ by a second.
        clock.advance(30 * day)
        assert left() == ["years", "ages", "ever"]
        clock.advance(90 * 365 * day)
        assert left() == ["years", "ages", "ever"]
        assert cache.touch("years", 5)
        clock.advance(5)
        assert left() == ["ages", "ever"]


@pytest.mark.filterwarnings("ignore::django.core.cache.CacheKeyWarning")
@pytest.mark.parametrize("hosting", [True, False])
def test_keys_that_memcached_would_refuse(backend: Make, hosting: bool) -> None:
    host, client = backend(), backend()
    host.get("key")
    cache, other = (host, client) if hosting else (client, host)
    for key in ("with space", "line\r\nflush_all", "nul\0", "é" * 200, "x" * 300, "", "é", "\x7f", 7):
        cache.set(key, key)
        assert other.get(key) == key
        assert other.has_key(key)
        assert cache.delete(key)
        assert not other.has_key(key)


def test_values_of_all_kinds_from_threads(backend: Make) -> None:
    host, client = backend(), backend()
    host.get("key")

    def use(number: int) -> None:
        cache = (host, client)[number % 2]
        for turn in range(100):
            value = {"number": number, "turn": turn, "bytes": bytes(turn * 100)}
            cache.set(f"{number}", value)
            assert (client, host)[number % 2].get(f"{number}") == value

    failed: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            use(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_async(backend: Make) -> None:
    async def use() -> None:
        cache = backend()
        await cache.aset("key", 1)
        assert await cache.aincr("key") == 2
        assert await cache.aget_many(["key", "other"]) == {"key": 2}
        assert await cache.aget_or_set("other", lambda: 3) == 3

    asyncio.run(use())


def test_a_private_cache_is_that_of_all_its_aliases() -> None:
    settings = {"OPTIONS": {"memory_limit": 16 << 20}}
    one, other = django.MemcacheCache(None, settings), django.MemcacheCache("", settings)
    one.set("private", 1)
    assert other.get("private") == 1
    assert django.MemcacheCache(None, {"OPTIONS": {"memory_limit": 17 << 20}}).get("private") is None


def test_settings_that_cannot_work(path: Path, backend: Make) -> None:
    with pytest.raises(configuration.ImproperlyConfigured, match="must not have unknown settings, got memory"):
        django.MemcacheCache(str(path), {"OPTIONS": {"memory": 1}})
    django.MemcacheCache(f"unix:{path}", {})
    with pytest.raises(configuration.ImproperlyConfigured, match="must be the same"):
        django.MemcacheCache(str(path), {"OPTIONS": {"threads": 2}})
    del shared._known[str(path)]
    path.write_text("")
    with pytest.raises(ValueError, match="must be a Unix socket"):
        backend().get("key")


def test_a_lock_that_is_held_without_a_host(path: Path, backend: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_PATIENCE", 0.05)
    holder = backend()._shared
    assert holder._take_lock(str(path))
    with pytest.raises(StartError, match=r"a process holds .*\.lock"):
        backend().get("key")
    holder._give_up_lock()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_users_socket_is_not_trusted(path: Path, backend: Make) -> None:
    with Server(unix_socket=path):
        os.chown(path, 12345, 12345)
        with pytest.raises(ValueError, match="belongs to user 12345"):
            backend().get("key")
        assert backend(unix_mask=0o777).get("key") is None


PRELUDE = """
import os, signal, sys
from memcache_rs.adapters.django import MemcacheCache
cache = MemcacheCache(sys.argv[1], {})

def fork(work):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return child

def wait(child):
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, status
"""


def program(text: str, path: Path | str) -> subprocess.Popen[str]:
    code = PRELUDE + textwrap.dedent(text)
    command = [sys.executable, "-I", "-W", "error", "-W", "ignore:This process", "-c", code, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors == ""
    return out


def test_a_host_that_is_killed(path: Path, backend: Make) -> None:
    with program(
        """
        cache.set("key", "value")
        print("ready", cache._shared.hosting, flush=True)
        sys.stdin.read()
        """,
        path,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready True\n"
        cache = backend()
        assert cache.get("key") == "value"
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        assert cache.get("key") is None
        assert cache._shared.hosting


def test_a_host_that_ends_leaves_no_socket(path: Path) -> None:
    assert finish(program("cache.set('key', 1); print(cache._shared.hosting)", path)) == "True\n"
    assert [file.name for file in path.parent.iterdir()] == ["cache.sock.lock"]


def test_children_of_the_host_are_clients(path: Path) -> None:
    """As with gunicorn --preload, the parent uses the cache before it forks."""
    out = finish(
        program(
            """
            cache.set("parent", 1)

            def work():
                assert not cache._shared.hosting
                assert cache.get("parent") >= 1
                for _ in range(100):
                    cache.incr("parent")
                assert not cache._shared.hosting

            children = [fork(work) for _ in range(4)]
            for child in children:
                wait(child)
            assert cache._shared.hosting
            print(cache.get("parent"))
            """,
            path,
        )
    )
    assert out == "401\n"


def test_children_of_a_client_have_connections_of_their_own(path: Path, backend: Make) -> None:
    host = backend()
    host.set("key", 0)
    finish(
        program(
            """
            assert cache.get("key") == 0

            def work():
                for number in range(200):
                    cache.set(str(os.getpid()), number)
                    assert cache.get(str(os.getpid())) == number

            children = [fork(work) for _ in range(3)]
            work()
            for child in children:
                wait(child)
            """,
            path,
        )
    )
    assert len(host._shared._store.cache) == 5


def test_a_child_does_not_hold_its_parents_lock(path: Path, backend: Make) -> None:
    """The host is killed, and its child lives on. The child has not used the cache."""
    with program(
        """
        cache.set("key", 1)

        def work():
            print("child", flush=True)
            # Waits until the test has become the host.
            sys.stdin.readline()
            assert cache.get("key") == "of the test"

        fork(work)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        path,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.wait(60)
        assert process.stdout.readline() == "child\n"
        cache = backend()
        cache.set("key", "of the test")
        assert cache._shared.hosting
        process.stdin.write("go on\n")
        process.stdin.flush()
        # The child closes the pipes when it ends.
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


def test_a_child_has_a_private_cache_of_its_own() -> None:
    finish(
        program(
            """
            cache.set("key", "of the parent")

            def work():
                assert cache.get("key") is None
                cache.set("key", "of the child")
                assert cache.get("key") == "of the child"

            wait(fork(work))
            assert cache.get("key") == "of the parent"
            """,
            "",
        )
    )


def test_forks_while_threads_use_the_cache(path: Path) -> None:
    finish(
        program(
            """
            import threading
            stop = threading.Event()

            def use():
                while not stop.is_set():
                    cache.set("key", 1)
                    cache.get("key")
                    cache._shared.leave()

            threads = [threading.Thread(target=use) for _ in range(3)]
            for thread in threads:
                thread.start()
            for _ in range(20):
                wait(fork(lambda: cache.set("child", 1)))
            stop.set()
            for thread in threads:
                thread.join()
            """,
            path,
        )
    )


def test_a_stale_socket_is_no_obstacle(path: Path, backend: Make) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    cache = backend()
    cache.set("key", 1)
    assert cache._shared.hosting
