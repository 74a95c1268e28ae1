"""Kills a node behind a proxy while clients work, and starts it again.

usage: failover.py [PATH OF memcached-rs]

Starts three nodes and a proxy with failover.toml, on free ports. Four clients ask for 300 keys
again and again, and store each key that they miss. Prints what the clients see. Ends with status 1
if a request fails.
"""

import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

CONFIGURATION = pathlib.Path(__file__).with_name("failover.toml")
KEYS = [f"user:{number}" for number in range(300)]
PATIENCE = 20


def free_ports(count):
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_until(what, is_so):
    end = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > end:
            sys.exit(f"failover.py: waited for {PATIENCE} s: {what}")
        time.sleep(0.01)


class Daemon:
    """A daemon that can be killed and started again at its port."""

    def __init__(self, program, port, *flags):
        # The user stays the same, also for root.
        self.command = [program, "-l", "127.0.0.1", "-p", str(port), "-t", "1", "-u", "root", *flags]
        self.port = port
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        wait_until(f"{self.command} listens", self.listens)

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def kill(self):
        self.process.kill()
        self.process.wait()

    def items(self):
        with Client(self.port) as client:
            client.socket.sendall(b"stats\r\n")
            lines = iter(lambda: client.replies.readline().decode().split(), ["END"])
            return next(int(value) for _, name, value in lines if name == "curr_items")


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.replies = self.socket.makefile("rb")

    def get(self, key):
        """Returns the value, or `None` for a miss."""
        self.socket.sendall(f"get {key}\r\n".encode())
        line = self.replies.readline()
        if line == b"END\r\n":
            return None
        if not line.startswith(b"VALUE"):
            raise OSError(f"get {key}: {line}")
        value = self.replies.readline().strip()
        self.replies.readline()
        return value

    def set(self, key, value):
        self.socket.sendall(f"set {key} 0 600 {len(value)}\r\n{value}\r\n".encode())
        line = self.replies.readline()
        if line != b"STORED\r\n":
            raise OSError(f"set {key}: {line}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.replies.close()
        self.socket.close()


class Load:
    """Clients in threads, and what they have seen since the last report."""

    def __init__(self, port, count):
        self.port = port
        self.lock = threading.Lock()
        self.requests, self.missed, self.failures = 0, set(), []
        self.rounds = [0] * count
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(number,)) for number in range(count)]
        for thread in self.threads:
            thread.start()

    def work(self, number):
        with Client(self.port) as client:
            while not self.over.is_set():
                for key in KEYS:
                    self.ask(client, key)
                self.rounds[number] += 1

    def ask(self, client, key):
        try:
            found = client.get(key)
            if found is None:
                client.set(key, f"the value of {key}")
        except OSError as failure:
            with self.lock:
                self.failures.append(failure)
            return
        with self.lock:
            self.requests += 1
            if found is None:
                self.missed.add(key)

    def report(self, what):
        """Waits until each client has asked for all keys twice, then prints what they have seen."""
        wanted = [rounds + 2 for rounds in self.rounds]
        wait_until(what, lambda: self.dead() or all(map(int.__ge__, self.rounds, wanted)))
        with self.lock:
            missed, failures = len(self.missed), len(self.failures)
            self.requests, self.missed = 0, set()
        print(f"{what}: {missed} of {len(KEYS)} keys missed, {failures} requests failed", flush=True)

    def dead(self):
        """Returns the number of clients that have ended by themselves. Python prints why."""
        return sum(not thread.is_alive() for thread in self.threads)

    def stop(self):
        """Ends all clients, and records whether one has ended before."""
        if dead := self.dead():
            self.failures.append(f"{dead} of {len(self.threads)} clients have died")
        self.over.set()
        for thread in self.threads:
            thread.join()


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "memcached-rs"
    ports = dict(zip(["11211", "11212", "11213"], free_ports(3), strict=True))
    text = CONFIGURATION.read_text()
    for port, free in ports.items():
        text = re.sub(rf"\b{port}\b", str(free), text)
    daemons = []
    with tempfile.TemporaryDirectory() as directory:
        configuration = pathlib.Path(directory) / "proxy.toml"
        configuration.write_text(text)
        try:
            nodes = [Daemon(program, port) for port in ports.values()]
            daemons += nodes
            proxy = Daemon(program, *free_ports(1), "-o", f"proxy_config={configuration}")
            daemons.append(proxy)
            load = Load(proxy.port, 4)
            try:
                load.report("three nodes")
                print("items:", *(node.items() for node in nodes), flush=True)
                nodes[1].kill()
                load.report("node-2 is killed")
                nodes[1].start()
                # The proxy finds it within 200 ms, then stores what is missed.
                wait_until("node-2 has items", lambda: nodes[1].items() > 0)
                load.report("node-2 is back")
                print("items:", *(node.items() for node in nodes), flush=True)
            finally:
                load.stop()
        finally:
            for daemon in daemons:
                daemon.kill()
    for failure in load.failures[:5]:
        print(failure)
    return 1 if load.failures else 0


if __name__ == "__main__":
    sys.exit(main())
