#!/usr/bin/env python3
"""Measures what each way to use three nodes costs, beside one node without a proxy.

usage: cost.py SERVER BENCH

SERVER is a daemon, and BENCH the load generator of this repository. MEMCACHED_PROXY names a
memcached that is built with its proxy, which is left out otherwise. Each figure is the median of
five rounds, and each round measures all ways in turn.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import clients
from nodes import Node, memcached_proxy, own_proxy, twemproxy
from pymemcache.client.base import Client

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "cluster"
ROUNDS = 5
LOADS = {
    "get": ["--workload", "get"],
    "set": ["--workload", "set"],
    "get of 20 keys": ["--workload", "multiget", "--multiget", "20"],
}
#: Requests per second. All ways carry out this load, so latencies can be compared.
RATES = {"get": 8000, "set": 8000, "get of 20 keys": 800}


def load(bench, process, name):
    """Returns the server's CPU for a request, and the median latency, in microseconds."""
    command = [bench, "load", "--address", f"127.0.0.1:{process.port}", "--pid", str(process.process.pid)]
    command += ["--connections", "16", "--keys", "3000", "--duration", "2", "--rate", str(RATES[name]), "--json"]
    done = subprocess.run(command + LOADS[name], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    return result["cpu_ns_per_request"] / 1000, result["p50_us"]


def gets(client, get):
    """Returns the client's CPU for a get, in microseconds."""
    keys = [f"key{n}" for n in range(1000)]
    for key in keys:
        client.set(key, "x" * 100)
    begin = time.process_time()
    for _ in range(3):
        for key in keys:
            get(key)
    return (time.process_time() - begin) / 3000 * 1e6


def ratios(title, first, rows):
    """Prints the medians, and their ratios to those of the row `first`."""
    print(f"| {title} | " + " | ".join(rows[first][0]) + " |")
    for name, rounds in rows.items():
        cells = []
        for what in rounds[0]:
            value, base = (statistics.median(one[what] for one in rows[row]) for row in (name, first))
            cells.append(f"{value:.1f} µs, {value / base:.2f}x")
        print(f"| {name} | " + " | ".join(cells) + " |")


def main():
    program, bench = sys.argv[1:]
    processes = [Node(program) for _ in range(4)]
    one, nodes = processes[0], processes[1:]
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        try:
            ways = {"one node": one, "twemproxy": twemproxy(EXAMPLES / "nutcracker.yml", place, nodes)}
            ways["memcache-rs's proxy"] = own_proxy(program, EXAMPLES / "proxy.toml", place, nodes)
            if proxy := os.environ.get("MEMCACHED_PROXY"):
                ways["memcached's proxy"] = memcached_proxy(proxy, EXAMPLES / "proxy.lua", place, nodes)
            processes += list(ways.values())[1:]
            sides = {"CPU": {}, "latency": {}}
            for _ in range(ROUNDS):
                for way, process in ways.items():
                    cpu, latency = {}, {}
                    for name in LOADS:
                        cpu[name], latency[name] = load(bench, process, name)
                    sides["CPU"].setdefault(way, []).append(cpu)
                    sides["latency"].setdefault(way, []).append(latency)
            ratios("CPU of the node or the proxy", "one node", sides["CPU"])
            ratios("median latency", "one node", sides["latency"])

            single, many = [one], nodes
            faces = {
                "pylibmc": [clients.Pylibmc(some).client for some in (single, many)],
                "pymemcache": [Client((one.host, one.port), no_delay=True), clients.pymemcache(many).client],
            }
            rows = {"one node": [], "three nodes": []}
            for _ in range(ROUNDS):
                for row, at in (("one node", 0), ("three nodes", 1)):
                    rows[row].append({name: gets(pair[at], pair[at].get) for name, pair in faces.items()})
            ratios("CPU of the client for a get", "one node", rows)
        finally:
            for process in processes:
                process.kill()


if __name__ == "__main__":
    main()
