"""Fixtures for pytest: a memcached in the test process, empty for each test.

``memcache_server``
    The server of the test session: with pytest-xdist, of a worker's session.
``memcache``
    The same server, for one test: empty, no faults, no recorded commands, and its clock shows the time of the system:
    not that of a test which fakes dates.
``memcache_clock``
    Its clock, stopped, until the test ends.
``memcache_cluster``
    Three servers of a test's own, or as many as ``@pytest.mark.memcache_cluster(5)`` says.

A failing test's report shows the commands that the servers of its fixtures saw last, of every protocol.

While the server of the session runs, its address, as ``host:port``, is in the environment as ``MEMCACHED``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from memcache_rs import Clock, Cluster, Server

#: Commands that a report shows of each server.
_SHOWN = 20

_servers = pytest.StashKey["list[Server]"]()

_TLS = ("off", "test", "test-mutual")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options, which overrule the settings of the same names."""
    group = parser.getgroup("memcache", "memcached in the test process")
    port = "port of the memcached that tests use (0, the default: one that is free); a worker of xdist adds its number"
    memory = "bytes of memory for its items (64 MiB)"
    threads = "its worker threads (1)"
    tls = "whether it speaks TLS: off, test or test-mutual"
    nodes = "nodes of memcache_cluster (3)"
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
    """Tells pytest of the marker."""
    config.addinivalue_line("markers", "memcache_cluster(size): how many nodes the fixture memcache_cluster has")


def _number(config: pytest.Config, name: str, default: int) -> int:
    option = config.getoption(f"memcache_{name}")
    if option is not None:
        return int(option)
    text = str(config.getini(f"memcache_{name}") or "").strip()
    try:
        return int(text) if text else default
    except ValueError:
        raise pytest.UsageError(f"memcache_{name} is a number, not {text!r}") from None


def _settings(config: pytest.Config) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "memory_limit": _number(config, "memory_limit", 64 << 20),
        "threads": _number(config, "threads", 1),
        "record_commands": True,
    }
    tls = config.getoption("memcache_tls") or str(config.getini("memcache_tls") or "off")
    if tls not in _TLS:
        raise pytest.UsageError(f"memcache_tls is off, test or test-mutual, not {tls!r}")
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
    """The server of this session; what it holds stays from test to test. See ``memcache``."""
    from memcache_rs import Server

    port = _number(pytestconfig, "port", 0)
    worker = getattr(pytestconfig, "workerinput", {}).get("workerid", "")
    if port and worker.startswith("gw"):
        port += int(worker[2:])
    with Server(port, **_settings(pytestconfig)) as server, pytest.MonkeyPatch.context() as patch:
        host, number = server.address
        patch.setenv("MEMCACHED", f"[{host}]:{number}" if ":" in host else f"{host}:{number}")
        yield server


@pytest.fixture
def memcache(memcache_server: Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A memcached for this test: empty, and without faults."""
    # A test may have stopped it.
    memcache_server.start()
    _reset(memcache_server)
    request.node.stash.setdefault(_servers, []).append(memcache_server)
    yield memcache_server
    if memcache_server.running:
        memcache_server.faults.clear()


@pytest.fixture
def memcache_clock(memcache: Server) -> Iterator[Clock]:
    """The clock of ``memcache``, which stands still: ``advance`` moves it."""
    with memcache.clock.freeze() as clock:
        yield clock


@pytest.fixture
def memcache_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Several servers that tell of each other (auto discovery), for this test."""
    from memcache_rs import Cluster

    size = _number(request.config, "cluster_size", 3)
    marker = request.node.get_closest_marker("memcache_cluster")
    if marker is not None:
        size = marker.args[0] if marker.args else marker.kwargs["size"]
    with Cluster(size, **_settings(request.config)) as cluster:
        request.node.stash.setdefault(_servers, []).extend(cluster)
        yield cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds what the servers saw to the report of a test that failed."""
    report = yield
    if report.failed:
        from memcache_rs import MemcacheError

        for server in item.stash.get(_servers, ()):
            try:
                commands = server.last_commands
                name = f"at {server.url}" if server.running else "that was stopped"
            except MemcacheError:
                # In a child of a fork, for example.
                continue
            lines = commands[-_SHOWN:] or ["(none)"]
            if len(commands) > _SHOWN:
                lines.insert(0, "...")
            report.sections.append((f"memcached {name}: last commands", "\n".join(lines)))
    return report
