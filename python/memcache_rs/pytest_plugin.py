"""Fixtures for pytest: a memcached in the test process, empty for each test.

``memcache``
    A :class:`Server` for one test: empty, without faults and recorded commands, its clock set to
    the system time.
``memcache_clock``
    The clock of ``memcache``, stopped until the test ends.
``memcache_cluster``
    A :class:`Cluster` for one test, of 3 nodes. The arguments of another one are those of
    ``@pytest.mark.memcache_cluster(5, proxy=True)``.
``memcache_server``
    The server of the test session, which ``memcache`` empties. Each worker of pytest-xdist has its
    own session.
``warm_cache``
    A function that fills a cache or a server from a snapshot, a :class:`WarmCache`.

The report of a failed test shows the last commands that its servers received.

While the server of the session runs, the environment variable ``MEMCACHED`` has its address, as
``host:port``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from os import PathLike
    from pathlib import Path

    from memcache_rs import Cache, Clock, Cluster, Server

#: How many commands of each server a report shows.
_SHOWN = 20

_servers = pytest.StashKey["list[Server]"]()

_TLS = ("off", "test", "test-mutual")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options, which override the ini settings of the same names."""
    group = parser.getgroup("memcache", "memcached in the test process")
    port = "port of the memcached for tests (default: 0, a free one); a worker of xdist adds its number"
    memory = "bytes for its items (default: 64 MiB)"
    threads = "number of its worker threads (default: 1)"
    tls = "its TLS: off (default), test or test-mutual"
    nodes = "number of nodes of memcache_cluster (default: 3)"
    for name, text in (
        ("port", port),
        ("memory-limit", memory),
        ("threads", threads),
        ("cluster-size", nodes),
    ):
        group.addoption(f"--memcache-{name}", type=int, default=None, metavar="N", help=text)
        parser.addini(f"memcache_{name.replace('-', '_')}", text)
    group.addoption("--memcache-tls", choices=_TLS, default=None, help=tls)
    parser.addini("memcache_tls", tls)


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    line = "memcache_cluster(size, **settings): the number of nodes and the settings of the fixture memcache_cluster"
    config.addinivalue_line("markers", line)


def _number(config: pytest.Config, name: str) -> int | None:
    """Returns an option that is a number, or ``None`` if it is not given."""
    option = config.getoption(f"memcache_{name}")
    if option is not None:
        return int(option)
    text = str(config.getini(f"memcache_{name}") or "").strip()
    try:
        return int(text) if text else None
    except ValueError:
        raise pytest.UsageError(f"memcache_{name} must be a number, got {text!r}") from None


def _settings(config: pytest.Config) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "memory_limit": _number(config, "memory_limit"),
        "threads": _number(config, "threads"),
        "record_commands": True,
    }
    tls = config.getoption("memcache_tls") or str(config.getini("memcache_tls") or "off")
    if tls not in _TLS:
        raise pytest.UsageError(f"memcache_tls must be off, test or test-mutual, got {tls!r}")
    if tls != "off":
        settings["tls"] = tls
    return settings


def _reset(server: Server) -> None:
    server.faults.clear()
    server.clock.reset()
    server.cache.flush()
    server.clear_commands()


@pytest.fixture(scope="session")
def memcache_server(pytestconfig: pytest.Config) -> Iterator[Server]:
    """Returns the server of the test session, which keeps its items from test to test.

    Use ``memcache`` for a server that is empty at the start of each test.
    """
    from memcache_rs import Server

    port = _number(pytestconfig, "port") or 0
    worker = getattr(pytestconfig, "workerinput", {}).get("workerid", "")
    if port and worker.startswith("gw"):
        port += int(worker[2:])
    with Server(port, **_settings(pytestconfig)) as server, pytest.MonkeyPatch.context() as patch:
        host, number = server.address
        patch.setenv("MEMCACHED", f"[{host}]:{number}" if ":" in host else f"{host}:{number}")
        yield server


@pytest.fixture
def memcache(memcache_server: Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    """Returns a server that is empty and without faults at the start of the test."""
    # An earlier test may have stopped the server.
    memcache_server.start()
    _reset(memcache_server)
    request.node.stash.setdefault(_servers, []).append(memcache_server)
    yield memcache_server
    if memcache_server.running:
        memcache_server.faults.clear()


@pytest.fixture
def memcache_clock(memcache: Server) -> Iterator[Clock]:
    """Returns the clock of ``memcache``, stopped. ``advance`` moves it."""
    with memcache.clock.freeze() as clock:
        yield clock


@pytest.fixture
def memcache_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Returns servers for this test, with a proxy if the marker says ``proxy=True``."""
    from memcache_rs import Cluster

    settings = _settings(request.config)
    size = _number(request.config, "cluster_size")
    if size is not None:
        settings["size"] = size
    marker = request.node.get_closest_marker("memcache_cluster")
    if marker is not None:
        settings |= dict(zip(("size",), marker.args, strict=False)) | marker.kwargs
    with Cluster(**settings) as cluster:
        servers = [cluster.proxy, *cluster] if settings.get("proxy") else list(cluster)
        request.node.stash.setdefault(_servers, []).extend(servers)
        yield cluster


class WarmCache:
    """Fills caches from snapshots for one test. The fixture ``warm_cache`` returns it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: list[Cache] = []

    def __call__(self, path: str | PathLike[str], into: Cache[Any] | Server | None = None, **settings: Any) -> Cache:
        """Returns a cache with the items of a snapshot, which :meth:`Cache.save` has written.

        An item has the time to live that it had left at the save, however old the file is. That
        holds for a frozen clock, too.

        Args:
            path: The file. A relative path begins at the directory of the test's file.
            into: A cache or a server to fill. Its items stay, unless the snapshot has their keys.
                Without it, the result is a new cache, which is closed after the test.
            **settings: Arguments of the new :class:`Cache`.

        Returns:
            The cache.

        Raises:
            BadSnapshotError: The file is damaged, or not a snapshot.
            OutOfMemoryError: The items do not fit in the cache.
            OSError: The file cannot be read.
            TypeError: There are settings, and ``into`` is given.
        """
        from memcache_rs import Cache, OutOfMemoryError

        if into is None:
            cache = Cache(**settings)
            self._made.append(cache)
        elif settings:
            raise TypeError("settings are for a new cache; leave them out, or leave out into")
        else:
            cache = into if isinstance(into, Cache) else into.cache
        loaded = cache.load(self._directory / path, replace=True, ttl="paused", strict=True)
        left = loaded.no_memory + loaded.too_large
        if left > 0:
            raise OutOfMemoryError(
                f"all items of {path} must fit in the cache, got {left} that do not; "
                "raise memory_limit or item_size_max"
            )
        return cache

    def close(self) -> None:
        """Closes the caches that it has made."""
        for cache in self._made:
            cache.close()


@pytest.fixture
def warm_cache(request: pytest.FixtureRequest) -> Iterator[WarmCache]:
    """Returns a function that fills a cache or a server from a snapshot."""
    warm = WarmCache(request.path.parent)
    yield warm
    warm.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the commands that the servers received to the report of a failed test."""
    report = yield
    if report.failed:
        from memcache_rs import MemcacheError

        for server in item.stash.get(_servers, ()):
            try:
                commands = server.last_commands
                name = f"at {server.url}" if server.running else "that was stopped"
            except MemcacheError:
                # The test may have forked, and this is the child.
                continue
            lines = commands[-_SHOWN:] or ["(none)"]
            if len(commands) > _SHOWN:
                lines.insert(0, "...")
            report.sections.append((f"memcached {name}: last commands", "\n".join(lines)))
    return report
