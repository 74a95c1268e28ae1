"""A daemon with `--control`, and the two ways to talk to it."""

import contextlib
import http.client
import json
import pathlib
import re
import socket
import subprocess
from dataclasses import dataclass
from typing import Any

#: Seconds that an answer may take at most.
PATIENCE = 30


@dataclass
class Response:
    """A response of the control service."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json", self.headers["content-type"]
        return json.loads(self.body)


class Daemon:
    """A running daemon on free ports of loopback."""

    def __init__(self, program: str, *flags: str) -> None:
        command = [program, "-u", "root", "-l", "127.0.0.1", "-p", "-1", "--control", "0", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        listens = re.compile(r"listens on 127\.0\.0\.1:(\d+), control:127\.0\.0\.1:(\d+)$")
        # Other lines may come first, such as that of a proxy.
        found = next(filter(None, map(listens.search, self.process.stderr)), None)
        assert found, "the daemon does not listen"
        self.cache, self.control = (("127.0.0.1", int(port)) for port in found.groups())

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        _, log = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, (self.process.returncode, log)
        assert "panicked" not in log, log

    def request(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Response:
        """Sends a request on a connection of its own."""
        with contextlib.closing(http.client.HTTPConnection(*self.control, timeout=PATIENCE)) as connection:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """Sends a request with a JSON body, and returns the object of its answer."""
        changes = {"Content-Type": "application/json"} if method == "POST" else {}
        text = None if body is None else json.dumps(body).encode()
        answer = self.request(method, path, text, changes)
        assert answer.status < 300, (answer.status, answer.body)
        return answer.json()

    def connect(self) -> socket.socket:
        """Returns a connection to the control service."""
        return socket.create_connection(self.control, timeout=PATIENCE)

    def client(self) -> socket.socket:
        """Returns a connection of a client of memcached."""
        return socket.create_connection(self.cache, timeout=PATIENCE)

    def ask(self, command: str) -> bytes:
        """Sends a command of memcached on a connection of its own, and returns the answer."""
        with self.client() as client:
            client.sendall(command.encode() + b"\r\nquit\r\n")
            return b"".join(iter(lambda: client.recv(4096), b""))

    def memory(self) -> int:
        """Returns the resident memory in bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        [kilobytes] = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.M)
        return int(kilobytes) * 1024
