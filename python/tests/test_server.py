"""A server in this process."""

from __future__ import annotations

import contextlib
import copy
import errno
import gc
import os
import pickle
import socket
import ssl
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import memcache_rs
from memcache_rs import TLS, Cache, Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


class Client:
    """A connection of the text protocol."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        self.socket = connection
        self.file = connection.makefile("rwb")

    def ask(self, line: str) -> str:
        """Sends lines and returns the first line of the reply."""
        self.file.write(line.encode() + b"\r\n")
        self.file.flush()
        return self.line()

    def line(self) -> str:
        return self.file.readline().decode().rstrip("\r\n")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()


def connect(server: Server) -> Client:
    if server.unix_socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(server.unix_socket)
        return Client(connection)
    return Client(socket.create_connection(server.address, timeout=20))


def test_it_serves_its_cache(server: Server) -> None:
    with connect(server) as client:
        assert client.ask("set key 5 0 5\r\nvalue") == "STORED"
    item = server.cache.get_item("key")
    assert item is not None
    assert (item.value, item.flags) == (b"value", 5)
    assert server.host == "127.0.0.1"
    assert server.url == f"memcache://127.0.0.1:{server.port}"
    assert repr(server) == f"<Server at {server.url}>"
    assert server.stats()["curr_items"] == 1
    assert server.stats("settings")["num_threads"] == 1


def test_hot_keys_are_those_of_clients_and_of_the_program() -> None:
    with Server(settings={"sample_rate": 1}) as server:
        server.cache.set("greeting", "hello")
        with connect(server) as client:
            for _ in range(3):
                client.ask("get greeting")
            client.ask("get other")
        greeting, other = server.hot_keys()
        assert repr(greeting) == "HotKey(key=b'greeting', reads=3, writes=1, error=0, share=0.8)"
        assert (other.key, other.reads, other.share) == (b"other", 1, 0.2)
        assert [hot.key for hot in server.cache.hot_keys(1)] == [b"greeting"]
        assert server.stats("latency")["get:count"] == 4
        assert server.stats("hotkeys 1")["1:key"] == "greeting"
        with pytest.raises(memcache_rs.OutOfRangeError, match="most must be"):
            server.hot_keys(-1)


def test_a_cache_that_is_there_can_be_served() -> None:
    with Cache() as cache:
        cache.set("key", "value")
        with Server(cache=cache) as server, connect(server) as client:
            assert client.ask("mg key v") == "VA 5"
            assert server.cache is cache
        assert cache.get("key") == b"value"


def test_start_and_stop() -> None:
    server = Server()
    assert not server.running
    server.stop()
    for use in ("address", "cache", "clock", "faults", "url", "tls", "last_commands"):
        with pytest.raises(memcache_rs.ClosedError, match=r"start\(\)"):
            getattr(server, use)
    assert server.start() is server
    assert server.start() is server
    server.cache.set("key", "value")
    address = server.address
    server.stop()
    server.stop()
    assert not server.running
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    with pytest.raises(memcache_rs.ClosedError):
        server.stats()
    # A second start has the same address and an empty cache.
    server.start()
    assert server.address == address
    assert server.cache.get("key") is None
    server.stop(graceful=True)


def test_it_does_not_stop_while_replies_are_under_way(server: Server) -> None:
    with connect(server) as client:
        assert client.ask("mn") == "MN"
        thread = threading.Thread(target=server.stop, kwargs={"graceful": True, "timeout": 20})
        thread.start()
        assert client.line() == ""
        thread.join()


def test_a_port_that_is_taken(server: Server) -> None:
    with pytest.raises(memcache_rs.StartError, match=r"failed to listen on 127\.0\.0\.1") as raised:
        Server(server.port).start()
    assert raised.value.errno == errno.EADDRINUSE
    assert isinstance(raised.value, OSError)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"port": 70000}, "65535"),
        ({"host": "example.org"}, "IP address"),
        ({"threads": 0}, "threads"),
        ({"tls": "tests"}, "test-mutual"),
        ({"tls": TLS("/nowhere", "/nowhere")}, "certificate chain"),
        ({"auth": "none"}, "sasl"),
        ({"memory_limit": 1000}, "memory"),
        ({"cluster_nodes": ["nothing"]}, "cluster node"),
        ({"users": {"a": "b"}, "udp": True}, "UDP"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(memcache_rs.ConfigError, match=text):
        Server(**settings).start()


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Server(unix_socket=path, unix_mask=0o600) as server, connect(server) as client:
        assert client.ask("mn") == "MN"
        assert server.url == f"memcache://{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(memcache_rs.ClosedError, match="unix_socket"):
            server.address  # noqa: B018
    assert not path.exists()


def test_unix_socket_of_its_own() -> None:
    with Server(unix_socket=True, host="127.0.0.1") as server:
        path = server.unix_socket
        assert path is not None
        assert stat.S_ISSOCK(os.stat(path).st_mode)
        socket.create_connection(server.address).close()
    assert not os.path.exists(os.path.dirname(path))


def test_udp() -> None:
    with Server(udp=True) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        assert server.udp_address is not None
        client.sendto(b"\0\1\0\0\0\1\0\0mn\r\n", server.udp_address)
        assert client.recv(100) == b"\0\1\0\0\0\1\0\0MN\r\n"


def test_tls_with_certificates_made_on_the_spot() -> None:
    with Server(tls="test") as server:
        assert server.url.startswith("memcaches://")
        assert server.tls is not None
        directory = os.path.dirname(server.tls.certificate)
        assert stat.S_IMODE(os.stat(server.tls.key).st_mode) == 0o600
        context = server.ssl_context()
        # CPython 3.13 and later sets this flag by default.
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        with socket.create_connection(server.address) as raw:
            for name in ("localhost", "127.0.0.1"):
                with (
                    socket.create_connection(server.address) as other,
                    context.wrap_socket(other, server_hostname=name) as secure,
                    Client(secure) as client,
                ):
                    assert client.ask("mn") == "MN"
            with pytest.raises(ssl.SSLCertVerificationError):
                ssl.create_default_context().wrap_socket(raw, server_hostname="localhost")
    assert not os.path.exists(directory)
    with Server() as plain, pytest.raises(memcache_rs.ConfigError, match="no TLS"):
        plain.ssl_context()


def test_tls_of_both_sides() -> None:
    with Server(tls="test-mutual") as server:
        with (
            socket.create_connection(server.address) as raw,
            server.ssl_context().wrap_socket(raw, server_hostname="localhost") as secure,
            Client(secure) as client,
        ):
            assert client.ask("mn") == "MN"
        assert server.tls is not None
        assert server.tls.ca is not None
        bare = ssl.create_default_context(cafile=os.fspath(server.tls.ca))
        with (
            socket.create_connection(server.address) as raw,
            bare.wrap_socket(raw, server_hostname="localhost") as secure,
            pytest.raises((ssl.SSLError, ConnectionError)),
        ):
            # With TLS 1.3 the client sees the refusal on its first read.
            secure.recv(10)


def test_users_of_the_text_protocols() -> None:
    with Server(users={"ada": "secret"}, auth="text") as server, connect(server) as client:
        assert client.ask("get key") == "CLIENT_ERROR unauthenticated"
        assert client.ask("set auth 0 0 10\r\nada secret") == "STORED"
        assert client.ask("get key") == "END"


def test_rights_of_users() -> None:
    users = {"ada": "secret", "shop": "secret"}
    settings = {"rights": "ada all; shop ro,prefix=shop/"}
    with Server(users=users, auth="text", settings=settings) as server, connect(server) as client:
        assert client.ask("set auth 0 0 11\r\nshop secret") == "STORED"
        assert client.ask("get shop/a") == "END"
        assert client.ask("get other") == "CLIENT_ERROR not permitted"
        assert client.ask("set shop/a 0 0 1\r\nx") == "CLIENT_ERROR not permitted"
    with pytest.raises(memcache_rs.ConfigError, match="rights must be all, noadmin, ro or prefix=TEXT"):
        Server(users=users, settings={"rights": "ada rw"}).start()


def test_users_of_the_binary_protocol() -> None:
    bmemcached = pytest.importorskip("bmemcached")
    with Server(users={"ada": "secret"}) as server:
        client = bmemcached.Client(f"{server.host}:{server.port}", "ada", "secret")
        assert client.set("key", "value")
        assert client.get("key") == "value"
        client.disconnect_all()
        other = bmemcached.Client(f"{server.host}:{server.port}", "ada", "wrong")
        with pytest.raises(Exception, match=r"[Aa]uth"):
            other.get("key")
        other.disconnect_all()


def test_clock(server: Server) -> None:
    with connect(server) as client, server.clock.freeze() as clock:
        assert client.ask("set key 0 100 5\r\nvalue") == "STORED"
        clock.advance(99)
        assert client.ask("mg key t") == "HD t1"
        clock.advance(1)
        assert client.ask("mg key t") == "EN"


def test_faults(server: Server) -> None:
    faults = server.faults
    server.cache.set("key", "value")
    with connect(server) as client:
        with faults.error("out of order", command="get", times=1) as fault:
            assert client.ask("get key") == "SERVER_ERROR out of order"
            assert client.ask("mg key v") == "VA 5"
            assert client.line() == "value"
            assert client.ask("mn") == "MN"
        assert fault.remove() == 1
        with faults.miss(key="k*"):
            assert client.ask("get key") == "END"
        with faults.miss(key="other"):
            assert client.ask("mg key") == "HD"
        with faults.delay(0.05, command="mg"):
            begin = time.monotonic()
            assert client.ask("mg other") == "EN"
            assert time.monotonic() - begin >= 0.05
        with faults.delay_reply(0.001, command="get") as late:
            assert client.ask("get other") == "END"
        assert late.remove() == 1
        faults.error()
        faults.clear()
        assert client.ask("mn") == "MN"
        faults.drop()
        with contextlib.suppress(ConnectionResetError):
            assert client.ask("get key") == ""
        faults.clear()
    with connect(server) as client, faults.truncate(7, command="get"):
        assert client.ask("get key") == "VALUE k"
        assert client.line() == ""


def test_a_command_runs_before_its_late_reply(server: Server) -> None:
    server.faults.delay_reply(3600, command="set")
    with socket.create_connection(server.address) as late, connect(server) as client:
        late.sendall(b"set key 0 0 5\r\nvalue\r\n")
        while client.ask("mg key") != "HD":
            pass
        late.setblocking(False)
        with pytest.raises(BlockingIOError):
            late.recv(100)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda faults: faults.error("two\r\nlines"),
        lambda faults: faults.delay(-1),
        lambda faults: faults.delay_reply(-1),
        lambda faults: faults.miss(probability=1.5),
        lambda faults: faults.truncate(-1),
    ],
)
def test_invalid_faults(server: Server, attempt: Any) -> None:
    with pytest.raises(memcache_rs.ConfigError):
        attempt(server.faults)


def test_a_pattern_of_a_fault_was_named_value_in_its_error(server: Server) -> None:
    key: Any = 1
    with pytest.raises(TypeError, match=r"^key must be str, bytes"):
        server.faults.miss(key=key)


def test_watch(server: Server) -> None:
    with server.watch(timeout=20) as events, connect(server) as client:
        server.cache.set("a key", "value")
        client.ask("get nothing")
        server.cache.delete("a key")
        seen = []
        for event in events:
            seen.append((event.type, event.key))
            if event.type == "deleted":
                assert event.fields["cmd"] == "delete"
                assert abs(event.time - time.time()) < 60
                break
        assert ("item_store", b"a key") in seen
        assert ("item_get", b"nothing") in seen
        assert "conn_new" in [kind for kind, _ in seen]
    with server.watch("evictions", timeout=0) as events:
        assert list(events) == []
    with pytest.raises(memcache_rs.ConfigError, match="fetchers"):
        server.watch("nothing")  # type: ignore[arg-type]


def test_a_watch_ends_when_it_is_closed(server: Server) -> None:
    events = server.watch("mutations")
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.extend(events))
    thread.start()
    server.cache.set("key", "value")
    events.close()
    thread.join(20)
    assert len(seen) == 1


def test_watches_can_be_too_many(server: Server) -> None:
    watches = [server.watch() for _ in range(20)]
    with pytest.raises(memcache_rs.ConfigError, match="20"):
        server.watch()
    del watches
    gc.collect()
    server.watch().close()


def test_last_commands() -> None:
    with Server(record_commands=True) as server, connect(server) as client:
        client.ask("set key 0 0 5\r\nvalue")
        client.ask("mn")
        assert server.last_commands == ["set key 0 0 5", "mn"]
        server.clear_commands()
        for _ in range(300):
            client.ask("mn")
        assert server.last_commands == ["mn"] * 200


def test_neither_copied_nor_pickled(server: Server) -> None:
    for handle in (server, server.faults, server.clock, server.faults.miss()):
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="neither pickled nor copied"):
                attempt(handle)


def threads_of_this_process() -> int:
    return len(os.listdir("/proc/self/task"))


def descriptors_of_this_process() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_a_thousand_servers_leave_nothing(tmp_path: Path) -> None:
    gc.collect()
    Server().start().stop()
    before = threads_of_this_process(), descriptors_of_this_process()
    for n in range(1000):
        server = Server(unix_socket=tmp_path / "socket" if n % 2 else False, memory_limit=8 << 20)
        server.start()
        if n % 50 == 0:
            with connect(server) as client:
                assert client.ask("mn") == "MN"
        if n % 3:
            server.stop()
        del server
    gc.collect()
    # Threads of earlier tests may have ended.
    assert threads_of_this_process() <= before[0]
    assert descriptors_of_this_process() <= before[1]
    assert list(tmp_path.iterdir()) == []


def test_a_watch_ends_when_the_server_stops(server: Server) -> None:
    events = server.watch("mutations")
    server.cache.set("key", "value")
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.extend(events))
    thread.start()
    server.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert len(seen) == 1


def test_keys_for_tests_touch_no_disk_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Server(tls="test-mutual") as server:
        with (
            socket.create_connection(server.address) as raw,
            server.ssl_context().wrap_socket(raw, server_hostname="localhost") as secure,
            Client(secure) as client,
        ):
            assert client.ask("mn") == "MN"
        assert list(tmp_path.iterdir()) == []
        tls = server.tls
        assert tls is not None
        assert server.tls == tls
        assert Path(tls.key).read_text().startswith("-----BEGIN PRIVATE KEY-----")
        server.ssl_context()
    assert list(tmp_path.iterdir()) == []


def test_a_unix_socket_of_its_own_below_a_deep_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with Server(unix_socket=True) as server, connect(server) as client:
        assert client.ask("mn") == "MN"


@pytest.mark.parametrize("setting", ["port", "threads", "max_connections", "idle_timeout", "unix_mask", "memory_limit"])
@pytest.mark.parametrize("number", [-1, 2**64])
def test_numbers_of_settings_out_of_range(setting: str, number: int) -> None:
    settings: dict[str, Any] = {setting: number}
    texts = {"threads": "Number of threads", "max_connections": "[Mm]ax.*connections"}
    with pytest.raises(memcache_rs.OutOfRangeError, match=texts.get(setting, setting)):
        Server(**settings).start()


def test_last_commands_of_the_binary_protocol_and_of_a_server_that_was_stopped() -> None:
    with Server(record_commands=True) as server, connect(server) as client:
        key = b"key"
        client.file.write(b"\x80\x00" + len(key).to_bytes(2, "big") + bytes(4))
        client.file.write(len(key).to_bytes(4, "big") + bytes(12) + key)
        client.file.flush()
        assert client.file.read(24)[:2] == b"\x81\x00"
        assert server.last_commands == ["binary get key"]
        server.stop()
        assert server.last_commands == ["binary get key"]
        server.start()
        assert server.last_commands == ["binary get key"]
        server.clear_commands()
        assert server.last_commands == []


def test_a_set_without_reply_was_not_seen_by_the_handles() -> None:
    from pymemcache.client.base import Client as Pymemcache  # type: ignore[import-untyped]

    for threads in (1, 4):
        with Server(threads=threads) as server:
            client = Pymemcache(server.address)  # its set is noreply by default
            for n in range(200):
                value = str(n).encode()
                client.set("key", value)
                assert server.cache.get("key") == value
                assert server.stats()["cmd_set"] == n + 1
            with server.clock.freeze() as clock:
                for n in range(100):
                    client.set(f"key{n}", "1", expire=60)
                    clock.advance(60)
                    assert client.get(f"key{n}") is None
            for _ in range(100):
                client.set("key", "1")
                server.cache.flush()
                assert client.get("key") is None
            client.close()


def test_datagrams_and_tls_settle_too() -> None:
    with Server(tls="test", udp=True, threads=2) as server:
        with (
            socket.create_connection(server.address) as plain,
            server.ssl_context().wrap_socket(plain, server_hostname="localhost") as client,
        ):
            for n in range(50):
                client.sendall(b"set key 0 0 2 noreply\r\n%02d\r\n" % n)
                assert server.cache.get("key") == b"%02d" % n
        assert server.udp_address is not None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            for n in range(50):
                request = b"\0\1\0\0\0\1\0\0set udp 0 0 2 noreply\r\n%02d\r\n" % n
                datagrams.sendto(request, server.udp_address)
                assert server.cache.get("udp") == b"%02d" % n


def test_settle() -> None:
    cache = Cache()
    with Server(cache=cache) as server, socket.create_connection(server.address) as client:
        for n in range(50):
            client.sendall(b"set key 0 0 2 noreply\r\n%02d\r\n" % n)
            assert server.settle()
            assert cache.get("key") == b"%02d" % n
    with pytest.raises(memcache_rs.ClosedError):
        server.settle()
