#!/usr/bin/env python3
"""Measures the Python package beside others, in one process and one run.

usage: python.py RESULTS.jsonl

Each cache reads and writes one value of 100 bytes by a str key, then reads 100 keys at a time. Each
number is the best of several rounds, because the best repeats even on a machine that does other
work. Prints a table at the end.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable
from typing import Any

import cachebox
import cachetools
import diskcache
import lru
import pymemcache

import memcache_rs

KEY, VALUE = "key:0000000001", b"x" * 100
KEYS = [f"key:{n:010}" for n in range(100)]
ROUNDS = 9


def nanoseconds(statement: str, names: dict[str, Any], slow: bool = False) -> float:
    """Returns the time of a statement, with its share of the loop, as timeit measures it."""
    count = 500 if slow else 200_000
    return min(timeit.repeat(statement, globals=names, number=count, repeat=ROUNDS)) / count * 1e9


def subjects(memcached: socket.socket | None, directory: str) -> dict[str, dict[str, tuple[str, dict[str, Any]]]]:
    """Returns for each subject the statements to measure and the names in them."""

    def mapping(cache: Any) -> dict[str, tuple[str, dict[str, Any]]]:
        for key in [KEY, *KEYS]:
            cache[key] = VALUE
        names = {"cache": cache, "key": KEY, "value": VALUE, "keys": KEYS}
        return {
            "get": ("cache.get(key)", names),
            "set": ("cache[key] = value", names),
            "get_many": ("{key: cache.get(key) for key in keys}", names),
        }

    @functools.lru_cache(maxsize=1000)
    def function(key: str) -> bytes:
        return VALUE

    function(KEY)
    ours = memcache_rs.Cache()
    ours.set_many(dict.fromkeys([KEY, *KEYS], VALUE))
    names = {"cache": ours, "key": KEY, "value": VALUE, "keys": KEYS}
    found: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
        "dict": mapping({}),
        "functools.lru_cache": {"get": ("cache(key)", {"cache": function, "key": KEY})},
        "memcache_rs.Cache": {
            "get": ("cache.get(key)", names),
            "set": ("cache.set(key, value)", names),
            "get_many": ("cache.get_many(keys)", names),
        },
        "lru-dict": mapping(lru.LRU(1000)),
        "cachebox.LRUCache": mapping(cachebox.LRUCache(1000)),
        "cachetools.LRUCache": mapping(cachetools.LRUCache(1000)),
        "diskcache": mapping(diskcache.Cache(directory)),
    }
    if memcached is not None:
        client = pymemcache.Client(memcached.getpeername())
        client.set_many(dict.fromkeys([KEY, *KEYS], VALUE))
        names = {"cache": client, "key": KEY, "value": VALUE, "keys": KEYS}
        found["pymemcache, memcached"] = {
            "get": ("cache.get(key)", names),
            "set": ("cache.set(key, value, noreply=False)", names),
            "get_many": ("cache.get_many(keys)", names),
        }
    return found


def first_reply() -> float:
    """Returns the milliseconds from the start of a server to its first reply."""
    begin = time.perf_counter()
    with memcache_rs.Server() as server, socket.create_connection(server.address) as client:
        client.sendall(b"mn\r\n")
        assert client.recv(10) == b"MN\r\n"
        return (time.perf_counter() - begin) * 1e3


def import_time() -> float:
    """Returns the milliseconds of an import in a fresh interpreter, the best of several."""
    program = "import time; t = time.perf_counter(); import memcache_rs; print((time.perf_counter() - t) * 1e3)"
    done = [subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True) for _ in range(15)]
    return min(float(one.stdout) for one in done)


def start_memcached() -> tuple[subprocess.Popen[bytes], socket.socket] | None:
    """Starts a memcached to compare with. Returns None if there is none."""
    program = os.environ.get("MEMCACHED") or shutil.which("memcached")
    if program is None:
        return None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user = ["-u", "root"] if os.geteuid() == 0 else []
    process = subprocess.Popen([program, "-l", "127.0.0.1", "-p", str(port), "-U", "0", *user])
    for _ in range(200):
        try:
            return process, socket.create_connection(("127.0.0.1", port))
        except OSError:
            time.sleep(0.02)
    process.kill()
    return None


def measure(write: Callable[[dict[str, Any]], None]) -> None:
    """Measures all subjects and passes each result to `write`."""
    memcached = start_memcached()
    directory = tempfile.mkdtemp(prefix="bench-python-")
    try:
        for name, statements in subjects(memcached and memcached[1], directory).items():
            slow = name in ("diskcache", "pymemcache, memcached")
            for what, (statement, names) in statements.items():
                per = len(KEYS) if what == "get_many" else 1
                few = slow or what == "get_many"
                write({"python": what, "subject": name, "ns": nanoseconds(statement, names, few) / per})
        starts = [first_reply() for _ in range(50)]
        write({"python": "server start", "subject": "memcache_rs.Server", "ms": statistics.median(starts)})
        write({"python": "import", "subject": "memcache_rs", "ms": import_time()})
    finally:
        shutil.rmtree(directory)
        if memcached is not None:
            memcached[1].close()
            memcached[0].terminate()
            memcached[0].wait()


def main() -> None:
    results: list[dict[str, Any]] = []
    measure(results.append)
    with open(sys.argv[1], "w") as file:
        for result in results:
            file.write(json.dumps({**result, "interpreter": platform.python_version()}) + "\n")
    base = next(result["ns"] for result in results if (result["python"], result["subject"]) == ("get", "dict"))
    for result in results:
        if "ns" in result:
            print(f"{result['subject']:24} {result['python']:10} {result['ns']:10.0f} ns {result['ns'] / base:7.1f}x dict.get")
        else:
            print(f"{result['subject']:24} {result['python']:12} {result['ms']:8.2f} ms")


main()
