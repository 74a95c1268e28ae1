"""Unmodified clients with one face: `get` and `set` of a key, whose value is the key itself.

Both raise `Failed` if the client reports an error. The settings are those of examples/cluster.
"""

import os
import pathlib
import select
import subprocess
import sys

from nodes import PATIENCE
from pymemcache.client.base import Client

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "examples" / "cluster"))

import connect  # noqa: E402


class Failed(Exception):
    """The client reported an error."""


class Pylibmc:
    """pylibmc, which is libmemcached."""

    def __init__(self, nodes, weights=None, **behaviors):
        servers = [(node.host, node.port) for node in nodes]
        self.client = connect.with_pylibmc(servers, weights, **behaviors)

    def get(self, key):
        try:
            return self.client.get(key)
        except Exception as error:
            raise Failed(repr(error)) from error

    def set(self, key):
        try:
            stored = self.client.set(key, key)
        except Exception as error:
            raise Failed(repr(error)) from error
        if not stored:
            raise Failed("not stored")

    def close(self):
        self.client.disconnect_all()


class Pymemcache:
    """pymemcache, with any of its classes."""

    def __init__(self, client):
        self.client = client

    def get(self, key):
        try:
            value = self.client.get(key)
        except Exception as error:
            raise Failed(repr(error)) from error
        return value and value.decode()

    def set(self, key):
        try:
            self.client.set(key, key, noreply=False)
        except Exception as error:
            raise Failed(repr(error)) from error

    def close(self):
        self.client.close()


class Proxied(Pymemcache):
    """pymemcache with a proxy, which ends with the client."""

    def __init__(self, proxy):
        self.proxy = proxy
        super().__init__(Client((proxy.host, proxy.port), timeout=2, no_delay=True))

    def close(self):
        super().close()
        self.proxy.kill()


class Driver:
    """A client in another language, behind a program that reads lines."""

    def __init__(self, *command):
        environment = os.environ | {"NODE_PATH": str(ROOT / "target" / "node" / "node_modules")}
        pipe, command = subprocess.PIPE, [str(word) for word in command]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1, env=environment)

    def request(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        # A client may wait for a node without an end.
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            raise OSError(f"no answer to {line!r} within {PATIENCE} s")
        word, _, rest = self.process.stdout.readline().strip().partition(" ")
        if word not in ("stored", "value", "miss"):
            raise Failed(rest or "the program ended")
        return rest if word == "value" else None

    def get(self, key):
        return self.request(f"get {key}")

    def set(self, key):
        self.request(f"set {key}")

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def pymemcache(nodes):
    return Pymemcache(connect.with_pymemcache([(node.host, node.port) for node in nodes]))


def php(nodes):
    return Driver("php", HERE / "driver.php", *(f"{node.name}:1" for node in nodes))


def node(kind, nodes):
    return Driver("node", HERE / "driver.js", kind, *(node.name for node in nodes))
