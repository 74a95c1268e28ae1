"""The fixtures for pytest, in separate test runs."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import memcache_rs
from memcache_rs import Cache

if TYPE_CHECKING:
    from memcache_rs import Clock, Cluster, Server

# A module for the inner test runs.
HELPERS = """
    import socket

    def ask(address, line):
        with socket.create_connection(address, timeout=20) as connection:
            connection.sendall(line.encode() + b"\\r\\nquit\\r\\n")
            return connection.makefile().read()
"""


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    # The options of this test run must not reach the inner ones.
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    pytester.makepyfile(helpers=HELPERS)
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    return pytester


def run(inner: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return inner.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:randomly", *arguments)


def test_the_fixtures_as_they_are(memcache: Server, memcache_clock: Clock, memcache_server: Server) -> None:
    assert memcache is memcache_server
    memcache.cache.set("key", "value", ttl=10)
    memcache_clock.advance(10)
    assert memcache.cache.get("key") is None


@pytest.mark.memcache_cluster(2, proxy=True)
def test_a_cluster_behind_a_proxy(memcache_cluster: Cluster) -> None:
    with socket.create_connection(memcache_cluster.address, timeout=20) as client:
        client.sendall(b"set key 0 0 1\r\nx\r\n")
        assert client.recv(100) == b"STORED\r\n"
    assert sum("key" in server.cache for server in memcache_cluster) == 1


@pytest.mark.memcache_cluster(proxy=True)
def test_the_size_of_a_cluster_behind_a_proxy(memcache_cluster: Cluster) -> None:
    assert (len(memcache_cluster), memcache_cluster.proxy.running) == (3, True)


@pytest.mark.memcache_cluster(2)
def test_the_cluster_as_it_is(memcache_cluster: Cluster) -> None:
    assert len(memcache_cluster) == 2


def test_async_tests_have_the_fixtures(inner: pytest.Pytester) -> None:
    pytest.importorskip("anyio")
    inner.makepyfile(
        """
        import asyncio, pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        async def test_expiry(memcache, memcache_clock):
            reader, writer = await asyncio.open_connection(*memcache.address)
            writer.write(b"set key 0 60 5 noreply\\r\\nvalue\\r\\nmn\\r\\n")
            assert await reader.readline() == b"MN\\r\\n"
            assert memcache.cache.get("key") == b"value"
            memcache_clock.advance(60)
            assert await memcache.cache.aget_or_set("key", lambda: "new") == b"new"
            writer.close()
            await writer.wait_closed()
        """
    )
    run(inner).assert_outcomes(passed=1)


def test_each_test_has_an_empty_server(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import time, pytest

        @pytest.mark.parametrize("number", range(4))
        def test_fresh(memcache, number):
            assert len(memcache.cache) == 0
            assert memcache.last_commands == []
            assert abs(memcache.clock.time() - time.time()) < 5
            memcache.cache.set("key", "value")
            assert memcache.cache.get("key") == b"value"
            memcache.clock.freeze()
            memcache.clock.advance([1000, -40, 10**6, 0][number])
            memcache.cache.set("other", "value")
            memcache.faults.drop()
            if number == 2:
                memcache.stop()

        def test_same_address(memcache, memcache_server):
            assert memcache.address == memcache_server.address
        """
    )
    run(inner).assert_outcomes(passed=5)


def test_the_clock_stands_still_and_runs_again(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        def test_clock(memcache_clock, memcache):
            memcache.cache.set("key", "value", ttl=3600)
            memcache_clock.advance(3599)
            assert "key" in memcache.cache
            memcache_clock.advance(1)
            assert "key" not in memcache.cache
        """
    )
    run(inner).assert_outcomes(passed=1)


def test_clusters_of_sizes(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import pytest
        from helpers import ask

        def test_default(memcache_cluster):
            assert len(memcache_cluster) == 4

        @pytest.mark.memcache_cluster(2)
        def test_marked(memcache_cluster):
            told = ask(memcache_cluster.addresses[0], "config get cluster")
            for host, port in memcache_cluster.addresses:
                assert f"{host}|{host}|{port}" in told

        @pytest.mark.memcache_cluster(size=1)
        def test_marked_by_name(memcache_cluster):
            assert len(memcache_cluster) == 1
        """
    )
    run(inner, "--memcache-cluster-size=4", "--strict-markers").assert_outcomes(passed=3)


def test_options_and_settings(inner: pytest.Pytester) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    inner.makepyfile(
        f"""
        def test_settings(memcache):
            assert memcache.port == {port}
            settings = memcache.stats("settings")
            assert (settings["num_threads"], settings["maxbytes"]) == (2, 8 << 20)
            assert memcache.url.startswith("memcaches://")
        """
    )
    ini = "[pytest]\nmemcache_threads = 2\nmemcache_memory_limit = 33554432\nmemcache_tls = test\n"
    inner.makeini(ini)
    run(inner, f"--memcache-port={port}", f"--memcache-memory-limit={8 << 20}").assert_outcomes(passed=1)
    inner.makeini("[pytest]\nmemcache_threads = many\n")
    run(inner).stdout.fnmatch_lines(["*memcache_threads must be a number, got 'many'*"])
    assert "--memcache-port=N" in inner.runpytest_subprocess("--help").stdout.str()


def test_a_failure_shows_the_last_commands(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        from helpers import ask

        def test_passes(memcache):
            ask(memcache.address, "get of-another-test")

        def test_fails(memcache):
            for n in range(30):
                ask(memcache.address, f"get key{n}")
            assert not "seen"

        def test_fails_without():
            assert not "seen"
        """
    )
    result = run(inner)
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*memcached at memcache://127.0.0.1:*: last commands*", "...", "get key29", "quit"])
    output = result.stdout.str()
    assert "of-another-test" not in output
    assert "get key3\n" not in output
    assert output.count("last commands") == 1


def test_a_failure_shows_commands_of_the_binary_protocol_and_of_a_stopped_server(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import socket

        def test_fails(memcache):
            with socket.create_connection(memcache.address, timeout=20) as client:
                client.sendall(b"\\x80\\x00\\x00\\x03" + bytes(4) + b"\\x00\\x00\\x00\\x03" + bytes(12) + b"key")
                assert client.recv(100)
            memcache.stop()
            assert not "seen"
        """
    )
    result = run(inner)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*memcached that was stopped: last commands*", "binary get key"])


def test_the_address_is_in_the_environment(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import os

        def test_address(memcache):
            assert os.environ["MEMCACHED"] == f"{memcache.host}:{memcache.port}"
        """
    )
    run(inner).assert_outcomes(passed=1)


def test_dates_that_a_test_fakes_do_not_move_the_clock(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import time, pytest
        from datetime import datetime, timezone

        real = time.time

        @pytest.fixture
        def fake(request, monkeypatch):
            monkeypatch.setattr(time, "time", lambda: request.param)

        @pytest.mark.parametrize("fake", [0.0, 946684800.0, 4e9, 7e9], indirect=True)
        def test_faked(fake, memcache):
            assert abs(memcache.clock.time() - real()) < 5
            memcache.cache.set("key", "value", ttl=datetime.fromtimestamp(time.time() + 60, timezone.utc))
            assert memcache.cache.get_item("key").ttl == 60

        def test_after(memcache):
            assert abs(memcache.clock.time() - time.time()) < 5
        """
    )
    run(inner).assert_outcomes(passed=5)


def test_xdist_and_randomly(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import os, pytest

        @pytest.mark.parametrize("number", range(40))
        def test_own(memcache, number):
            assert len(memcache.cache) == 0
            memcache.cache.set(str(os.getpid()), "value")
            assert list(memcache.cache) == [str(os.getpid()).encode()]
        """
    )
    for arguments in (("-n", "2"), ("-n", "2", "--dist", "worksteal", "--memcache-port", str(free_ports(2)))):
        result = inner.runpytest_subprocess("-p", "xdist", "-p", "randomly", "-p", "no:cacheprovider", *arguments)
        result.assert_outcomes(passed=40)


def free_ports(count: int) -> int:
    """Returns the first of `count` consecutive free ports."""
    for first in range(21_000, 30_000, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


def test_snapshots_fill_caches_and_servers(inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    inner.mkdir("fixtures")
    with Cache() as cache, cache.clock.freeze():
        # A year ago.
        cache.clock.advance(-365 * 86400)
        cache.set_many({"user:1": "Ada", "user:2": "Grace"}, ttl=60)
        cache.save(inner.path / "fixtures" / "users.mcrs")
    inner.makepyfile(
        """
        import pytest
        import memcache_rs
        from helpers import ask

        kept = []

        def test_a_cache(warm_cache):
            cache = warm_cache("fixtures/users.mcrs")
            kept.append(cache)
            with cache.clock.freeze() as clock:
                assert cache.get("user:1") == b"Ada"
                clock.advance(60)
                assert "user:1" not in cache

        def test_it_is_closed_at_the_end():
            assert kept[0].closed

        def test_a_server(warm_cache, memcache, memcache_clock):
            memcache.cache.set_many({"user:1": "older", "other": "stays"})
            assert warm_cache("fixtures/users.mcrs", memcache) is memcache.cache
            assert len(memcache.cache) == 3
            memcache_clock.advance(59)
            assert ask(memcache.address, "get user:1").startswith("VALUE user:1 0 3\\nAda")
            memcache_clock.advance(1)
            assert memcache.cache.get("user:1") is None

        def test_a_cache_of_the_test(warm_cache):
            with memcache_rs.Cache() as cache:
                assert warm_cache("fixtures/users.mcrs", into=cache) is cache
                assert cache["user:2"] == b"Grace"

        def test_a_cache_that_is_too_small(warm_cache, tmp_path):
            with memcache_rs.Cache(item_size_max=8 << 20) as cache:
                cache.set("large", bytes(7 << 20))
                cache.save(tmp_path / "large.mcrs")
            with pytest.raises(memcache_rs.OutOfMemoryError, match="got 1 that do not"):
                warm_cache(tmp_path / "large.mcrs")
            assert len(warm_cache(tmp_path / "large.mcrs", item_size_max=8 << 20)) == 1

        def test_bad_files_and_arguments(warm_cache, tmp_path):
            with pytest.raises(FileNotFoundError):
                warm_cache("fixtures/none.mcrs")
            file = tmp_path / "cut.mcrs"
            file.write_bytes(open(__file__.rpartition("/")[0] + "/fixtures/users.mcrs", "rb").read()[:-1])
            with pytest.raises(memcache_rs.BadSnapshotError):
                warm_cache(file)
            with pytest.raises(TypeError, match="settings are for a new cache"):
                warm_cache(file, memcache_rs.Cache(), evictions=False)
        """
    )
    # The directory of the file counts, not the working directory.
    (elsewhere := inner.path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    result = run(inner, "-W", "ignore::ResourceWarning", "--rootdir", str(inner.path), str(inner.path))
    result.assert_outcomes(passed=6)


def test_imports_are_few() -> None:
    """Every test run of a user loads the plugin, so it imports slow modules only when needed."""
    modules = "'ssl', 'socket', 'pickle', 'json', 'dataclasses', 'tempfile', 'shutil', 'datetime', 'inspect'"
    program = f"import sys, memcache_rs; sys.exit(str([name for name in ({modules}) if name in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"sys = __import__('sys'); sys.path.append({site()!r})\n{program}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr.strip() == "[]"


def site() -> str:
    """Returns the directory in which the package is installed."""
    return str(Path(memcache_rs.__file__).parents[1])
