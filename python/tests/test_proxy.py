"""A proxy in this process, and a cluster behind one."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

import memcache_rs
from memcache_rs import Cluster, Server

if TYPE_CHECKING:
    from pathlib import Path

FAILURE = b"SERVER_ERROR backend failure\r\n"
KEYS = [f"key:{number}" for number in range(60)]


class Client:
    """A client that sends lines and compares replies."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, timeout=20)
        self._file = self._socket.makefile("rb")

    def send(self, request: str) -> None:
        self._socket.sendall(request.encode())

    def ask(self, request: str) -> bytes:
        """Returns the first line of the reply, and its value."""
        self.send(f"{request}\r\n")
        line = self._file.readline()
        if line.startswith(b"VALUE"):
            line += self._file.readline() + self._file.readline()
        return line

    def set(self, key: str) -> bytes:
        return self.ask(f"set {key} 0 60 1\r\nx")

    def get(self, key: str) -> bytes:
        return self.ask(f"get {key}")

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.mark.parametrize("as_file", [False, True])
def test_a_server_is_a_proxy(tmp_path: Path, as_file: bool) -> None:
    with Server() as backend:
        text = f"route = 'main'\npools.main.backends = ['127.0.0.1:{backend.port}']\n"
        path = tmp_path / "proxy.toml"
        path.write_text(text)
        with Server(proxy=path if as_file else text) as proxy:
            client = Client(proxy.address)
            assert client.set("key") == b"STORED\r\n"
            assert backend.cache.get("key") == b"x"
            proxy.retry_backends()
            assert client.get("key") == b"VALUE key 0 1\r\nx\r\nEND\r\n"
            client.close()


def test_a_proxy_reads_another_configuration(tmp_path: Path) -> None:
    with Server() as backend:
        path = tmp_path / "proxy.toml"
        path.write_text("route = { error = 'from the file' }")
        with Server(proxy=path) as proxy:
            client = Client(proxy.address)
            assert client.get("key") == b"SERVER_ERROR from the file\r\n"
            path.write_text("route = { error = 'again' }")
            proxy.reload_proxy()
            assert client.get("key") == b"SERVER_ERROR again\r\n"
            for wrong, line in (
                ("route = 'main'", "proxy: line 1: route: "),
                ("main", "proxy: must be a text in TOML"),
            ):
                with pytest.raises(memcache_rs.ConfigError, match=line):
                    proxy.reload_proxy(wrong)
            proxy.reload_proxy(f"route = 'main'\npools.main.backends = ['127.0.0.1:{backend.port}']\n")
            assert client.set("key") == b"STORED\r\n"
            proxy.reload_proxy()
            assert client.get("key") == b"VALUE key 0 1\r\nx\r\nEND\r\n"
            client.close()
            # The next start reads the last one, too.
            proxy.stop()
            client = Client(proxy.start().address)
            assert client.get("key") == b"VALUE key 0 1\r\nx\r\nEND\r\n"
            client.close()
            proxy.reload_proxy(path)
        with pytest.raises(memcache_rs.ConfigError, match="no proxy"):
            backend.reload_proxy()
    with pytest.raises(memcache_rs.ClosedError):
        proxy.reload_proxy()


def test_hot_keys_and_events_of_a_proxy() -> None:
    with Server() as backend:
        text = f"route = 'main'\n[pools.main]\nbackends = ['127.0.0.1:{backend.port}']\nlog = {{ sample = 1 }}\n"
        settings = {"sample_rate": 1}
        with Server(proxy=text, settings=settings) as proxy, proxy.clock.freeze():
            client = Client(proxy.address)
            with proxy.watch("proxyreqs", "proxyevents", timeout=20) as events:
                client.set("key")
                client.get("key")
                backend.stop()
                assert client.get("key") == FAILURE
                requests: list[str] = []
                others: set[str] = set()
                while len(requests) < 3 or not others:
                    event = next(events)
                    if event.type == "proxy_req":
                        requests.append(event.fields["req"])
                    else:
                        others.add(event.type)
            assert requests == ["set key 0 60 1", "get key", "get key"]
            assert others == {"proxy_backend"}
            assert [(key.key, key.reads, key.writes) for key in proxy.hot_keys()] == [(b"key", 2, 1)]
            with proxy.watch("proxyuser", timeout=0) as events:
                assert list(events) == []
            client.close()


def test_a_cluster_follows_another_route(tmp_path: Path) -> None:
    path = tmp_path / "proxy.toml"
    with Cluster(2, proxy=True) as cluster:
        client = Client(cluster.address)
        assert {client.set(key) for key in KEYS} == {b"STORED\r\n"}
        here = {key for key in KEYS if key in cluster[1].cache}
        cluster.kill(1)
        cluster.reload_proxy('route = { failover = ["nodes", "next"] }')
        assert {key for key in KEYS if client.get(key) == b"END\r\n"} == here
        path.write_text("route = { error = 'from the file' }")
        cluster.reload_proxy(path)
        assert client.get("key") == b"SERVER_ERROR from the file\r\n"
        path.write_text("route = 'next'")
        cluster.reload_proxy()
        assert {client.get(key) for key in here} == {b"END\r\n"}
        wrong: Any
        for wrong in ("route = 'node'", "", False, 1):
            with pytest.raises(memcache_rs.ConfigError):
                cluster.reload_proxy(wrong)
        cluster.reload_proxy(True)
        assert {key for key in KEYS if client.get(key) == FAILURE} == here
        client.close()
        cluster.stop()
        with pytest.raises(memcache_rs.ClosedError):
            cluster.reload_proxy()
    with Cluster(1) as cluster, pytest.raises(memcache_rs.ClosedError, match="no proxy"):
        cluster.reload_proxy()


def test_a_mistake_has_its_line(tmp_path: Path) -> None:
    text = "pools.main.backends = ['127.0.0.1:1']\nroute = 'mian'\n"
    mistake = 'route: there is no pool or route "mian"'
    with pytest.raises(memcache_rs.ConfigError) as raised:
        Server(proxy=text).start()
    assert str(raised.value) == f"proxy: line 2: {mistake}"
    path = tmp_path / "proxy.toml"
    path.write_text(text)
    with pytest.raises(memcache_rs.ConfigError) as raised:
        Server(proxy=path).start()
    assert str(raised.value) == f"{path}:2: {mistake}"
    with pytest.raises(memcache_rs.ConfigError, match="No such file"):
        Server(proxy=tmp_path / "none.toml").start()
    with pytest.raises(memcache_rs.ConfigError, match="proxy must be a text in TOML"):
        Server(proxy="")
    with pytest.raises(memcache_rs.ClosedError):
        Server().retry_backends()


def test_a_node_that_dies_takes_its_keys_alone() -> None:
    with Cluster(3, proxy=True) as cluster:
        client = Client(cluster.address)
        assert {client.set(key) for key in KEYS} == {b"STORED\r\n"}
        here = {key for key in KEYS if key in cluster[1].cache}
        assert 0 < len(here) < len(KEYS)
        assert sum(len(server.cache) for server in cluster) == len(KEYS)
        for _ in range(3):
            cluster.kill(1)
            assert {key for key in KEYS if client.get(key) == FAILURE} == here
            cluster.revive(1)
            assert {key for key in KEYS if client.get(key) == b"END\r\n"} == here
            assert {client.set(key) for key in KEYS} == {b"STORED\r\n"}
        client.close()
    with pytest.raises(memcache_rs.ClosedError):
        cluster.address  # noqa: B018
    with cluster:
        client = Client(cluster.address)
        assert {client.get(key) for key in KEYS} == {b"END\r\n"}
        client.close()


def test_keys_fail_over_to_the_next_node() -> None:
    with Cluster(3, proxy='route = { failover = ["nodes", "next"] }') as cluster:
        client = Client(cluster.address)
        assert {client.set(key) for key in KEYS} == {b"STORED\r\n"}
        here = {key for key in KEYS if key in cluster[1].cache}
        cluster.kill(1)
        assert {key for key in KEYS if client.get(key) == b"END\r\n"} == here
        assert {client.set(key) for key in KEYS} == {b"STORED\r\n"}
        assert here <= {key for key in KEYS if key in cluster[2].cache}
        cluster.revive(1)
        assert {key for key in KEYS if client.get(key) == b"END\r\n"} == here
        client.close()


def test_a_node_under_load_dies_and_comes_back() -> None:
    with Cluster(3, proxy=True, threads=2) as cluster:
        replies: set[bytes] = set()
        done = threading.Event()

        def work() -> None:
            client = Client(cluster.address)
            while not done.is_set():
                replies.update(client.set(key) for key in KEYS)
            client.close()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in (0, 1, 2) * 3:
            cluster.kill(number)
            cluster.revive(number)
        done.set()
        for thread in threads:
            thread.join()
        assert b"STORED\r\n" in replies
        assert replies <= {b"STORED\r\n", FAILURE}
        client = Client(cluster.address)
        assert {client.set(key) for key in KEYS} == {b"STORED\r\n"}
        client.close()


def test_handles_of_nodes_see_stores_without_replies() -> None:
    with Cluster(2, proxy=True) as cluster:
        client = Client(cluster.address)
        for number in (0, 1):
            cluster.kill(number)
            cluster.revive(number)
            for key in KEYS:
                client.send(f"set {key} 0 0 1 noreply\r\nx\r\n")
            assert sum(len(server.cache) for server in cluster) == len(KEYS)
        client.close()


def test_faults_and_the_clock_of_a_cluster() -> None:
    with Cluster(2, proxy=True) as cluster:
        client = Client(cluster.address)
        for key in KEYS:
            client.set(key)
        here = {key for key in KEYS if key in cluster[1].cache}
        with cluster[1].faults.error("out of order", command="get"):
            broken = {key for key in KEYS if client.get(key) == b"SERVER_ERROR out of order\r\n"}
        assert broken == here
        with cluster.clock.freeze() as clock:
            before = clock.time()
            cluster.kill(0)
            clock.advance(60)
            cluster.revive(0)
            times = {server.clock.time() for server in (*cluster, cluster.proxy)}
            assert times == {before + 60}
            assert {client.get(key) for key in KEYS} == {b"END\r\n"}
        cluster.clock.reset()
        client.close()


def test_faults_of_the_proxy_reach_no_node() -> None:
    with Cluster(2, proxy=True, record_commands=True) as cluster:
        client = Client(cluster.address)
        with cluster.proxy.faults.error("out of order"):
            assert client.set("key") == b"SERVER_ERROR out of order\r\n"
            assert client.get("key") == b"SERVER_ERROR out of order\r\n"
        # The proxy has asked for the version when it connected.
        assert {command for server in cluster for command in server.last_commands} <= {"version"}
        assert client.get("key") == b"END\r\n"
        client.close()


@pytest.mark.parametrize("further", [{"item_size_max": 4 << 20}, {"settings": {"item_size_max": 4 << 20}}])
def test_large_values_pass_the_proxy(further: dict[str, Any]) -> None:
    with Cluster(2, proxy=True, **further) as cluster:
        client = Client(cluster.address)
        assert client.ask(f"set key 0 0 {2 << 20}\r\n{'x' * (2 << 20)}") == b"STORED\r\n"
        assert sum(len(server.cache) for server in cluster) == 1
        client.close()


def test_rights_are_those_of_the_proxy() -> None:
    further = {"rights": "ada ro", "sample_rate": 1}
    with Cluster(2, proxy=True, users={"ada": "secret"}, auth="text", settings=further) as cluster:
        client = Client(cluster.address)
        assert client.ask("set auth 0 0 10\r\nada secret") == b"STORED\r\n"
        assert client.get("key") == b"END\r\n"
        assert client.set("key") == b"CLIENT_ERROR not permitted\r\n"
        assert {server.stats("settings")["memcache_rs_sample_rate"] for server in (*cluster, cluster.proxy)} == {1}
        client.close()


def test_a_route_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "proxy.toml"
    path.write_text("route = { error = 'from the file' }")
    for proxy in (path, str(path)):
        with Cluster(1, proxy=proxy) as cluster:
            client = Client(cluster.address)
            assert client.get("key") == b"SERVER_ERROR from the file\r\n"
            client.close()
    with pytest.raises(memcache_rs.ConfigError, match=r"cannot read .*none\.toml"):
        Cluster(1, proxy=tmp_path / "none.toml").start()
    wrong: Any
    for wrong in ("", "nodes", 1, None, b"route = 'nodes'"):
        with pytest.raises(memcache_rs.ConfigError, match="proxy must be"):
            Cluster(1, proxy=wrong)


def test_a_kill_that_the_proxy_does_not_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memcache_rs._cluster._PATIENCE", 0.01)
    with Cluster(2, proxy=True) as cluster:
        client = Client(cluster.address)
        key = next(key for key in KEYS if client.set(key) and key in cluster[0].cache)
        with cluster[0].faults.delay_reply(3600):
            client.send(f"get {key}\r\n")
            with pytest.raises(TimeoutError, match="node 1"):
                cluster.kill(1)
        assert not cluster[1].running
        client.close()


def test_a_cluster_in_asyncio() -> None:
    async def run() -> None:
        async with Cluster(2, proxy=True) as cluster:
            await asyncio.to_thread(cluster.kill, 1)
            assert [server.running for server in cluster] == [True, False]
        assert not cluster.proxy.running
        assert not cluster[0].running

    asyncio.run(run())


def test_settings_of_clients_are_those_of_the_proxy() -> None:
    with Cluster(2, proxy=True, tls="test", users={"ada": "secret"}, auth="text") as cluster:
        assert cluster.proxy.url.startswith("memcaches://")
        raw = socket.create_connection(cluster.address, timeout=20)
        with cluster.proxy.ssl_context().wrap_socket(raw, server_hostname="localhost") as client:
            client.sendall(b"set key 0 0 1\r\nx\r\n")
            assert client.recv(100).startswith(b"CLIENT_ERROR bad auth")
    cluster = Cluster(2, proxy=True, users={"ada": "secret"})
    with pytest.raises(memcache_rs.ConfigError, match="SASL"):
        cluster.start()
    assert not any(server.running for server in cluster)
    with pytest.raises(memcache_rs.ConfigError, match="proxy: line 1: route: "):
        Cluster(2, proxy="route = 'node'").start()
    for settings in ({"tls": "none"}, {"unix_socket": True}):
        with pytest.raises(memcache_rs.ConfigError):
            Cluster(2, proxy=True, **settings)
    with Cluster(1) as cluster, pytest.raises(memcache_rs.ClosedError, match="no proxy"):
        cluster.address  # noqa: B018
