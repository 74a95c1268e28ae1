"""Clients that mean harm to the control service. The cache answers all the while.

Each attack keeps its connections open until the next check is done. The memory of the daemon has
one bound for all of them.
"""

import contextlib
import json
import pathlib
import socket
from collections.abc import Callable, Iterator

from daemon import Daemon

#: Bytes by which the memory of the daemon may grow, beyond the 4 MiB of a watch.
GROWTH = 24 << 20
HEAD = b"Host: localhost\r\nContent-Type: application/json\r\n"
Attack = Callable[[Daemon, contextlib.ExitStack], None]


def check_hostile(program: str, place: pathlib.Path) -> int:
    """Runs each attack, and returns their number."""
    token = place / "secret"
    token.write_text("0123456789abcdefghij")
    attacks: list[Attack] = [slow, endless, large, greedy, garbage, deaf_reader, deaf_watcher]
    for attack in attacks:
        with Daemon(program) as daemon:
            under(daemon, attack)
    with Daemon(program, "--control-token-file", str(token)) as daemon:
        under(daemon, guess)
    return len(attacks) + 1


def under(daemon: Daemon, attack: Attack) -> None:
    """Runs an attack, and checks the cache and the memory before it ends and after."""
    assert daemon.ask("mn") == b"MN\r\n"
    before = daemon.memory()
    with contextlib.ExitStack() as stack:
        attack(daemon, stack)
        assert daemon.ask("mn") == b"MN\r\n"
        grown = daemon.memory() - before
        assert grown < GROWTH, f"{attack.__name__}: {grown >> 20} MiB"
    # The service waits for nothing that the attack left behind.
    assert daemon.request("GET", "/v1/server").status in (200, 401)


def connections(daemon: Daemon, stack: contextlib.ExitStack, count: int) -> Iterator[socket.socket]:
    for _ in range(count):
        yield stack.enter_context(daemon.connect())


def push(client: socket.socket, data: bytes) -> bool:
    """Sends until the socket takes no more, or `data` is sent. Returns whether all was."""
    client.setblocking(False)
    try:
        while data:
            data = data[client.send(data) :]
    except (BlockingIOError, ConnectionError):
        return False
    return True


def slow(daemon: Daemon, stack: contextlib.ExitStack) -> None:
    """Takes every place with the first bytes of a request, and sends no more."""
    for client in connections(daemon, stack, 100):
        client.sendall(b"POST /v1/reset HTTP/1.1\r\nHost: loc")
    # The places are free again once the time for a head is over.
    assert daemon.request("GET", "/v1/server").status == 200


def endless(daemon: Daemon, stack: contextlib.ExitStack) -> None:
    """Sends bodies without an end, with and without a length."""
    for kind in (b"Content-Length: 99999999999\r\n", b"Transfer-Encoding: chunked\r\n") * 10:
        [client] = connections(daemon, stack, 1)
        client.sendall(b"POST /v1/faults HTTP/1.1\r\n" + HEAD + kind + b"\r\n")
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n" if b"chunked" in kind else b"x" * 0x10000
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                client.sendall(chunk)
        with contextlib.suppress(ConnectionError):
            assert client.recv(12) == b"HTTP/1.1 413"


def large(daemon: Daemon, stack: contextlib.ExitStack) -> None:
    """Sends heads without an end, and JSON that is deep."""
    for client in connections(daemon, stack, 20):
        push(client, b"GET /v1/server HTTP/1.1\r\n" + b"X: " + b"x" * (4 << 20))
    deep = b'{"seconds":' + b"[" * 60_000
    answer = daemon.request("POST", "/v1/clock/advance", deep, {"Content-Type": "application/json"})
    assert (answer.status, answer.json()["code"]) == (400, "invalid_json")


def greedy(daemon: Daemon, stack: contextlib.ExitStack) -> None:
    """Opens more connections than are served, and sends nothing."""
    for _ in range(400):
        client = stack.enter_context(socket.socket())
        client.setblocking(False)
        client.connect_ex(daemon.control)


def garbage(daemon: Daemon, stack: contextlib.ExitStack) -> None:
    """Sends other bytes behind a request."""
    request = b"GET /v1/clock HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for rest in (b"\0" * 100_000, b"get key\r\n" * 10_000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\0" * 99):
        [client] = connections(daemon, stack, 1)
        with contextlib.suppress(ConnectionError):
            client.sendall(request + rest)
        heard = b""
        with contextlib.suppress(ConnectionError):
            while part := client.recv(65536):
                heard += part
        assert heard.count(b"HTTP/1.1 200 OK") <= 1 and heard.count(b"HTTP/1.1 ") <= 2, heard[:1000]


def deaf_reader(daemon: Daemon, stack: contextlib.ExitStack) -> None:
    """Asks for long answers in a pipeline, and reads none."""
    request = b"GET /v1/stats?group=settings HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for client in connections(daemon, stack, 30):
        push(client, request * 20_000)


def deaf_watcher(daemon: Daemon, stack: contextlib.ExitStack) -> None:
    """Watches all events, and reads none."""
    [stream] = connections(daemon, stack, 1)
    stream.sendall(b"GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert stream.recv(12) == b"HTTP/1.1 200"
    client = stack.enter_context(daemon.client())
    for _ in range(50):
        client.sendall(b"mg " + b"k" * 200 + b"\r\n" + b"get key\r\n" * 5000 + b"mn\r\n")
        heard = b""
        while not heard.endswith(b"MN\r\n"):
            heard += client.recv(65536)
    # Lost events are counted in the stream.
    stats = daemon.send("GET", "/v1/stats")["stats"]
    assert stats["log_watcher_skipped"] > 0, json.dumps(stats)


def guess(daemon: Daemon, stack: contextlib.ExitStack) -> None:
    """Guesses the token a thousand times on one connection."""
    [client] = connections(daemon, stack, 1)
    heard = client.makefile("rb")
    for number in range(1000):
        token = f"Bearer {number:020}".encode()
        client.sendall(b"GET /v1/clock HTTP/1.1\r\nHost: x\r\nAuthorization: " + token + b"\r\n\r\n")
        assert heard.readline() == b"HTTP/1.1 401 Unauthorized\r\n"
        length = 0
        while (line := heard.readline()) != b"\r\n":
            name, _, value = line.partition(b": ")
            length = int(value) if name.lower() == b"content-length" else length
        assert b"0123456789abcdefghij" not in heard.read(length)
