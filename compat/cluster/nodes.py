"""Nodes of a cluster that a test kills and revives, and proxies in front of them."""

import contextlib
import os
import random
import re
import socket
import subprocess
import time
from urllib.parse import unquote

PATIENCE = 30


def free_port():
    """Returns a free port that the system gives to no connection while its node is dead."""
    while True:
        port = random.randrange(20000, 32768)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def ask(port, command, end, host="127.0.0.1"):
    """Sends a line, and returns the reply up to the line `end`."""
    with socket.create_connection((host, port), PATIENCE) as client:
        client.settimeout(PATIENCE)
        client.sendall(command.encode() + b"\r\n")
        lines = []
        for line in client.makefile("r", newline="\n"):
            if line.rstrip("\r\n") == end:
                return lines
            lines.append(line.rstrip("\r\n"))
    raise OSError(f"port {port} closed the connection after {command!r}")


class Process:
    """A program that listens on a port."""

    def __init__(self, command, port, host="127.0.0.1"):
        self.command = [str(word) for word in command]
        self.host, self.port = host, port
        self.name = f"{self.host}:{port}"
        if os.geteuid() == 0 and "memcached" in os.path.basename(self.command[0]):
            self.command += ["-u", "root"]
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection((self.host, self.port), 1).close()
                return
            except OSError:
                time.sleep(0.01)
        self.kill()
        raise OSError(f"does not accept connections: {' '.join(self.command)}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def cpu(self):
        """Returns the seconds of CPU that the process has used."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Node(Process):
    """A daemon."""

    def __init__(self, program):
        port = free_port()
        flags = ["-U", 0, "-m", 64, "-t", 1, "--cluster-nodes", f"127.0.0.1:{port}"]
        super().__init__([program, "-l", "127.0.0.1", "-p", port, *flags], port)

    def keys(self):
        """Returns the keys of the node."""
        lines = ask(self.port, "lru_crawler metadump all", "END")
        return {unquote(word.removeprefix("key=")) for line in lines for word in line.split()[:1] if word != "OK"}

    def flush(self):
        ask(self.port, "flush_all", "OK")


def twemproxy(config, place, nodes, **settings):
    """Starts nutcracker with a configuration of examples/cluster, these nodes and settings."""
    text, port = localise(config.read_text(), nodes), free_port()
    text = text.replace("22121", str(port))
    for name, value in settings.items():
        text, found = re.subn(rf"( {name}:) .*", rf"\1 {value}", text)
        assert found == 1, name
    path = place / f"nutcracker-{port}.yml"
    path.write_text(text)
    files = ["-o", path.with_suffix(".log"), "-p", path.with_suffix(".pid")]
    return Process(["nutcracker", "-c", path, "-a", "127.0.0.1", "-s", free_port(), *files], port)


def memcached_proxy(program, config, place, nodes):
    """Starts memcached's proxy with a configuration of examples/cluster, but these nodes."""
    port = free_port()
    path = place / f"proxy-{port}.lua"
    path.write_text(localise(config.read_text(), nodes))
    options = f"proxy_config=routelib,proxy_arg={path}"
    return Process([program, "-l", "127.0.0.1", "-p", port, "-U", 0, "-t", 1, "-o", options], port)


def own_proxy(program, config, place, nodes):
    """Starts the daemon as a proxy with a configuration of examples/cluster, but these nodes."""
    port = free_port()
    path = place / f"proxy-{port}.toml"
    path.write_text(localise(config.read_text(), nodes))
    return Process([program, "-l", "127.0.0.1", "-p", port, "-U", 0, "-t", 1, "-o", f"proxy_config={path}"], port)


def localise(text, nodes):
    """Returns a configuration with the ports of these nodes in place of 11211 to 11213."""
    for index, node in enumerate(nodes):
        text = text.replace(str(11211 + index), str(node.port))
    return text
