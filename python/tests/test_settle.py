"""Clients that buffer requests or do not wait for replies.

A handle of the server sees all bytes that a client has written to its socket. The server cannot
wait for requests in the client's own buffer. These tests show when each client sends them.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from memcache_rs import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

pylibmc = pytest.importorskip("pylibmc")

ROUNDS = 100
PROTOCOLS = pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])


@pytest.fixture(params=[1, 4], ids=["1 thread", "4 threads"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(threads=request.param) as server:
        yield server


def client_of(server: Server, *, binary: bool, **behaviors: bool) -> Any:
    return pylibmc.Client([f"{server.host}:{server.port}"], binary=binary, behaviors=behaviors)


def set_in_buffer(client: Any, key: str, value: str) -> None:
    """pylibmc takes `MEMCACHED_BUFFERED`, libmemcached's result 32, for an error."""
    with pytest.raises(pylibmc.Error, match="error 32 "):
        client.set(key, value)


@PROTOCOLS
@pytest.mark.parametrize(
    "behaviors", [{"no_block": True}, {"_noreply": True}, {"no_block": True, "_noreply": True}], ids=str
)
def test_pylibmc_without_replies(server: Server, *, binary: bool, behaviors: dict[str, bool]) -> None:
    client = client_of(server, binary=binary, **behaviors)
    for n in range(ROUNDS):
        client.set("key", f"{n}")
        assert server.cache.get("key") == f"{n}".encode()
        client.append("key", "+")
        assert server.cache.get("key") == f"{n}+".encode()
        client.delete("key")
        assert server.cache.get("key") is None
    assert server.stats()["cmd_set"] == 2 * ROUNDS


@PROTOCOLS
def test_pylibmc_with_a_buffer(server: Server, *, binary: bool) -> None:
    """`buffer_requests` keeps sets in the client until it reads, or its buffer is full."""
    client = client_of(server, binary=binary, buffer_requests=True, no_block=True)
    for n in range(ROUNDS):
        set_in_buffer(client, "key", f"{n}")
        set_in_buffer(client, "other", f"{n}")
        assert client.get("missing") is None  # It sends what the buffer holds before it.
        assert server.cache.get("key") == f"{n}".encode()
        assert server.cache.get("other") == f"{n}".encode()
    assert server.stats()["cmd_set"] == 2 * ROUNDS


@PROTOCOLS
def test_pylibmc_keeps_a_buffer_that_no_server_can_see(server: Server, *, binary: bool) -> None:
    client = client_of(server, binary=binary, buffer_requests=True, no_block=True)
    set_in_buffer(client, "key", "value")
    assert server.cache.get("key") is None
    client.disconnect_all()  # It sends the rest.
    assert server.cache.get("key") == b"value"


PHP = """<?php
// Carries out a line of commands, then says so: `set 1`, `append +`, `delete`, `get`, `quit`.
[, $host, $port, $binary, $options] = $argv;
$client = new Memcached();
$client->setOption(Memcached::OPT_BINARY_PROTOCOL, (bool) $binary);
$client->setOption(Memcached::OPT_COMPRESSION, false);
foreach (explode(',', $options) as $option) {
    $client->setOption(constant("Memcached::$option"), true);
}
$client->addServer($host, (int) $port);
while (($line = fgets(STDIN)) !== false) {
    [$command, $value] = explode(' ', trim($line) . ' ');
    match ($command) {
        'set' => $client->set('key', $value),
        'append' => $client->append('key', $value),
        'delete' => $client->delete('key'),
        'get' => $client->get('missing'),
        'flush' => $client->flushBuffers(),
        'quit' => $client->quit(),
    };
    echo "done\\n";
}
"""


class Php:
    """PHP's memcached, a line at a time."""

    def __init__(self, server: Server, *, binary: bool, options: str) -> None:
        command = ["php", "-r", PHP.removeprefix("<?php"), server.host, str(server.port), str(int(binary)), options]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, line: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def close(self) -> None:
        assert self._process.communicate(timeout=30)[0] == ""
        assert self._process.returncode == 0


@pytest.mark.skipif(shutil.which("php") is None, reason="PHP is not installed")
@PROTOCOLS
@pytest.mark.parametrize("options", ["OPT_NO_BLOCK", "OPT_NOREPLY", "OPT_NO_BLOCK,OPT_NOREPLY"])
def test_php_without_replies(server: Server, *, binary: bool, options: str) -> None:
    php = Php(server, binary=binary, options=options)
    for n in range(ROUNDS):
        php(f"set {n}")
        assert server.cache.get("key") == f"{n}".encode()
        php("append +")
        assert server.cache.get("key") == f"{n}+".encode()
        php("delete")
        assert server.cache.get("key") is None
    assert server.stats()["cmd_set"] == 2 * ROUNDS
    php.close()


@pytest.mark.skipif(shutil.which("php") is None, reason="PHP is not installed")
@PROTOCOLS
@pytest.mark.parametrize("sends", ["get", "flush", "quit"])
def test_php_with_a_buffer(server: Server, *, binary: bool, sends: str) -> None:
    """`OPT_BUFFER_WRITES` keeps sets in the client until it reads or flushes."""
    php = Php(server, binary=binary, options="OPT_BUFFER_WRITES,OPT_NO_BLOCK")
    php("set kept")
    assert server.cache.get("key") is None
    for n in range(ROUNDS):
        php(f"set {n}")
        php(sends)
        assert server.cache.get("key") == f"{n}".encode()
    assert server.stats()["cmd_set"] == ROUNDS + 1
    php.close()
