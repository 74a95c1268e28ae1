"""Servers that announce each other."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import memcache_rs
from memcache_rs import Cluster


def discover(address: tuple[str, int]) -> tuple[int, list[str]]:
    """Returns the version and the nodes that auto discovery announces."""
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(b"config get cluster\r\nquit\r\n")
        _, version, nodes, *_ = client.makefile().read().split("\n")
    return int(version), nodes.split()


def test_nodes_announce_each_other() -> None:
    with Cluster(3) as cluster:
        nodes = [f"{host}|{host}|{port}" for host, port in cluster.addresses]
        for address in cluster.addresses:
            assert discover(address)[1] == nodes
        assert len({server.port for server in cluster}) == 3
        addresses = cluster.addresses
        version = discover(addresses[0])[0]
        cluster[1].cache.set("key", "value")
        cluster.kill(1)
        assert not cluster[1].running
        assert cluster.addresses == addresses
        later, left = discover(addresses[0])
        assert (later > version, left) == (True, [nodes[0], nodes[2]])
        cluster.revive(1)
        assert cluster.addresses == addresses
        assert discover(addresses[1])[1] == nodes
        assert cluster[1].cache.get("key") is None
    for address in addresses:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
    with pytest.raises(memcache_rs.ClosedError):
        _ = Cluster(2).addresses


def test_a_node_that_does_not_exist() -> None:
    cluster = Cluster(2)
    for use in (cluster.kill, cluster.revive):
        with pytest.raises(IndexError, match="number must be from 0 to 1, the last node, got 2"):
            use(2)


@pytest.mark.parametrize(
    ("size", "settings"), [(0, {}), (2, {"port": 1}), (2, {"cache": object()}), (2, {"persist": "cache.mcrs"})]
)
def test_invalid_settings_of_a_cluster(size: int, settings: dict[str, Any]) -> None:
    with pytest.raises(memcache_rs.ConfigError):
        Cluster(size, **settings)


def test_clients_that_shard() -> None:
    pymemcache = pytest.importorskip("pymemcache.client.hash")
    with Cluster(3) as cluster:
        client = pymemcache.HashClient(cluster.addresses)
        keys = [f"key{n}" for n in range(200)]
        client.set_many(dict.fromkeys(keys, b"value"))
        assert client.get_many(keys) == dict.fromkeys(keys, b"value")
        sizes = [len(server.cache) for server in cluster]
        assert sum(sizes) == 200
        assert all(sizes)
        client.close()
