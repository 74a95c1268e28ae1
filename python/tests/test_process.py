"""Caches and servers in processes that fork and end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import memcache_rs
from memcache_rs import Cache, Cluster, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def in_a_child(work: Callable[[], None]) -> int:
    """Runs `work` in a child. Returns the exit status, or the negative number of a signal."""
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(20)
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_cannot_use_the_cache_of_its_parent() -> None:
    cache = Cache()
    cache.set("key", "value")
    clock = cache.clock
    views = cache.get_views("key")

    def work() -> None:
        nonlocal views
        assert b"".join(views or ()) == b"value"
        views = None
        for use in (lambda: cache.get("key"), lambda: cache.set("key", "1"), lambda: len(cache), clock.freeze):
            with pytest.raises(memcache_rs.ForkError, match="parent process"):
                use()
        assert "closed" in repr(cache)
        cache.close()
        # A cache of the child works.
        with Cache() as own:
            own.set("key", "own")
            assert own.get("key") == b"own"

    assert in_a_child(work) == 0
    assert cache.get("key") == b"value"
    assert b"".join(views or ()) == b"value"


def test_a_child_does_not_stop_its_parents_server(tmp_path: Path) -> None:
    with Server(unix_socket=tmp_path / "socket", host="127.0.0.1") as server:
        watch = server.watch()
        place = (server.address, server.host, server.port, server.url, server.unix_socket, None)

        def work() -> None:
            # The addresses can be read.
            assert server.address == server.tcp_addresses[0] == place[0]
            assert (server.host, server.port, server.url, server.unix_socket, server.udp_address) == place[1:]
            for use in (server.stats, lambda: server.faults, lambda: server.watch(), lambda: server.clock.time()):
                with pytest.raises(memcache_rs.ForkError, match="parent process"):
                    use()
            with pytest.raises(memcache_rs.ForkError):
                watch.get(0)
            watch.close()
            assert not server.running
            assert repr(server) == "<Server of the parent process>"
            server.stop()
            server.__exit__(None, None, None)
            del globals()["kept"]
            with Server() as own:
                socket.create_connection(own.address).close()

        globals()["kept"] = [server.cache, server.clock, server.faults]
        assert in_a_child(work) == 0
        assert server.running
        socket.create_connection(server.address).close()
        assert (tmp_path / "socket").exists()


def test_a_child_does_not_stop_its_parents_cluster() -> None:
    with Cluster(2, proxy=True) as cluster:
        address, addresses = cluster.address, cluster.addresses
        clock = cluster.clock

        def work() -> None:
            assert (cluster.address, cluster.addresses) == (address, addresses)
            for use in (lambda: cluster.clock, clock.resume, cluster.reload_proxy, cluster.proxy.stats):
                with pytest.raises(memcache_rs.ForkError, match="parent process"):
                    use()
            cluster.kill(1)
            assert not any(server.running for server in (*cluster, cluster.proxy))
            for start in (lambda: cluster.revive(1), cluster.start):
                with pytest.raises(memcache_rs.ForkError, match="parent process"):
                    start()
            cluster.stop()
            with Cluster(1, proxy=True) as own:
                socket.create_connection(own.address).close()

        assert in_a_child(work) == 0
        assert all(server.running for server in (*cluster, cluster.proxy))
        with socket.create_connection(cluster.address, timeout=20) as client:
            for _ in range(2):
                client.sendall(b"set key 0 0 1\r\nx\r\n")
                assert client.recv(100) == b"STORED\r\n"
                cluster.kill(1)
                cluster.revive(1)


@pytest.mark.parametrize("kind", ["IPv4", "IPv6", "UDP", "Unix"])
def test_a_child_does_not_hold_its_parents_sockets(tmp_path: Path, kind: str) -> None:
    """The parent is killed and the child lives. The address is free, and clients see the end."""
    kinds: dict[str, dict[str, Any]] = {
        "IPv4": {"host": "127.0.0.1"},
        "IPv6": {"host": "::1"},
        "UDP": {"udp": True},
        "Unix": {"unix_socket": str(tmp_path / "socket")},
    }
    settings = kinds[kind]
    done = python(
        f"""
        import os, signal, socket, time
        from memcache_rs import Server, StartError

        settings = {settings!r}
        server = Server(**settings).start()
        if server.unix_socket:
            client = socket.socket(socket.AF_UNIX)
            client.connect(server.unix_socket)
        else:
            client = socket.create_connection(server.address)
            settings["port"] = server.port
        client.sendall(b"mn\\r\\n")
        assert client.recv(10) == b"MN\\r\\n"
        other = socket.create_server(("127.0.0.1", 0))
        parent = os.getpid()
        if os.fork():
            signal.pause()
        os.kill(parent, signal.SIGKILL)
        # No process has the server's end of this connection any more.
        assert client.recv(10) == b""
        assert other.getsockname()
        # The kernel closes the other sockets when the last thread ends, which may be later.
        end = time.monotonic() + 20
        while True:
            try:
                again = Server(**settings).start()
                break
            except StartError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.001)
        with again:
            print("served again", flush=True)
        client.close()
        other.close()
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGKILL, "served again\n", "")


def test_children_serve_while_threads_of_the_parent_wait() -> None:
    """A child once inherited a table of waiting threads, and one of a thousand hung here."""
    stop = threading.Event()
    with Cache() as cache:

        def crowd() -> None:
            while not stop.is_set():
                Cache(16 << 20).close()
                cache.incr("n", initial=0)

        threads = [threading.Thread(target=crowd) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:

            def serve() -> None:
                for _ in range(3):
                    with Server() as own:
                        socket.create_connection(own.address).close()

            for _ in range(40):
                assert in_a_child(serve) == 0
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_children_that_exit_as_programs_do(tmp_path: Path) -> None:
    """The child runs atexit and finalization, which must not wait for threads of the parent."""
    done = python(
        f"""
        import os, sys
        from memcache_rs import Cache, Server
        cache = Cache()
        server = Server(unix_socket={str(tmp_path / "socket")!r}).start()
        child = os.fork()
        if child == 0:
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert server.running and os.path.exists(server.unix_socket)
        """
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_was_not_stopped_ends_with_the_interpreter(tmp_path: Path) -> None:
    done = python(
        f"""
        from memcache_rs import Server
        kept = [Server(unix_socket={str(tmp_path / "socket")!r}).start(), Server(tls="test").start()]
        kept.append(kept)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_the_socket_of_a_killed_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    done = python(
        f"""
        import os, signal
        from memcache_rs import Server
        Server(unix_socket={str(path)!r}).start()
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert done.returncode == -signal.SIGKILL
    with Server(unix_socket=path) as server, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"mn\r\n")
        assert client.recv(10) == b"MN\r\n"
        # A running server keeps its socket.
        with pytest.raises(memcache_rs.StartError):
            Server(unix_socket=path).start()
        assert server.running


def test_ctrl_c_ends_a_wait() -> None:
    done = python(
        """
        import os, signal, threading
        from memcache_rs import Server
        # A shell starts background programs with SIGINT ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with Server() as server, server.watch("evictions") as events:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                next(events)
            except KeyboardInterrupt:
                print("interrupted")
        """
    )
    assert done.stdout == "interrupted\n", done.stderr


@pytest.fixture
def short() -> Iterator[Path]:
    """Returns a directory whose path is short enough for a Unix socket in it."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as place:
        yield Path(place)


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=["TERM", "HUP", "KILL"])
def test_a_signal_leaves_no_keys_and_its_socket_goes_with_the_next_server(short: Path, which: int) -> None:
    place = short
    done = python(
        f"""
        import os, signal, tempfile
        from memcache_rs import Server
        tempfile.tempdir = {str(place)!r}
        signal.signal({int(which)}, signal.SIG_DFL) if {int(which)} != 9 else None
        kept = [Server(tls="test-mutual").start(), Server(unix_socket=True).start()]
        kept[0].ssl_context()
        os.kill(os.getpid(), {int(which)})
        """
    )
    assert done.returncode == -which, done.stderr
    (left,) = place.iterdir()
    assert sorted(file.name for file in left.iterdir()) == ["lock", "memcached.sock"]
    done = python(
        f"""
        import tempfile
        from memcache_rs import Server
        tempfile.tempdir = {str(place)!r}
        with Server(unix_socket=True) as one, Server(unix_socket=True) as other:
            # The directory of a running server stays.
            assert one.unix_socket != other.unix_socket
            import os
            assert len(os.listdir(tempfile.tempdir)) == 2
            assert os.path.exists(one.unix_socket)
        """
    )
    assert done.returncode == 0, done.stderr
    assert list(place.iterdir()) == []


def test_ctrl_c_ends_a_graceful_stop() -> None:
    done = python(
        """
        import os, signal, socket, threading
        from memcache_rs import Server
        signal.signal(signal.SIGINT, signal.default_int_handler)
        server = Server().start()
        client = socket.create_connection(server.address)
        # The server waits for the rest of this command.
        client.sendall(b"set key 0 0 10\\r\\nhalf")
        while not server.stats()["cmd_set"] and server.stats()["bytes_read"] < 20:
            pass
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            server.stop(graceful=True, timeout=50)
        except KeyboardInterrupt:
            print("interrupted", server.running)
        """
    )
    assert done.stdout == "interrupted False\n", done.stderr


def python(program: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a new interpreter."""
    return subprocess.run(
        [sys.executable, "-I", "-W", "error", "-W", "ignore:This process", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
    )
