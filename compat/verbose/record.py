#!/usr/bin/env python3
"""Writes what a memcached logs at -vv about some requests.

    record.py /path/to/memcached > daemon/tests/data/verbose.log

`daemon/tests/verbose.rs` compares this server with it. Lines of the result: `= NAME`
begins a connection, `> ` is a request (with Python's escapes), `| ` a line of the log.
Descriptors are N. Lines of libevent and of the start are left out.
"""

import re
import socket
import struct
import subprocess
import sys
import threading
import time


def packet(opcode, key=b"", extras=b"", value=b"", cas=0, opaque=0):
    length = len(extras) + len(key) + len(value)
    head = struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, length, opaque, cas)
    return head + extras + key + value


ZERO8, COUNT = bytes(8), struct.pack(">QQI", 2, 10, 0)

CASES = {
    "classic": [
        b"get foo\r\n", b"set foo 0 0 3\r\nbar\r\n", b"get foo\r\n", b"get foo none foo\r\n", b"get none\r\n",
        b"set n 0 0 1\r\n5\r\n", b"incr n 2\r\n", b"decr n 1\r\n", b"incr none 1\r\n", b"incr foo 1\r\n",
        b"touch foo 0\r\n", b"touch none 0\r\n", b"gat 0 foo none\r\n", b"add foo 0 0 1\r\nx\r\n",
        b"replace none 0 0 1\r\nx\r\n", b"append foo 0 0 1\r\nx\r\n", b"prepend none 0 0 1\r\nx\r\n",
        b"cas none 0 0 1 1\r\nx\r\n", b"set q 0 0 1 noreply\r\nx\r\nversion\r\n",
        b"add q 0 0 1 noreply\r\nx\r\nversion\r\n", b"delete q noreply\r\nversion\r\n", b"delete none\r\n",
        b"incr n 1 noreply\r\nversion\r\n", b"touch n 0 noreply\r\nversion\r\n",
        b"set foo 0 0 3\r\nlonger\r\n", b"bad command\r\n", b"set foo 0 0\r\n", b"get\r\n", b"verbosity 2\r\n",
        b"set big 0 0 2000000\r\n" + b"x" * 2000000 + b"\r\n", b"get " + b"k" * 251 + b"\r\n",
        b"stats reset\r\n", b"flush_all\r\n", b"flush_all noreply\r\nversion\r\n", b"lru_crawler enable\r\n",
        b"slabs reassign 1 1\r\n", b"cache_memlimit 64\r\n", b"shutdown\r\n",
        b"get foo\r\nget n\r\nset a 0 0 1\r\nb\r\nget a\r\n", b"quit\r\n",
    ],
    "values of several pieces": [
        b"set large 0 0 700000\r\n" + b"y" * 700000 + b"\r\n", b"get large\r\n", b"mg large s\r\n", b"quit\r\n",
    ],
    "meta": [
        b"mg m v\r\n", b"ms m 3 c\r\nbar\r\n", b"mg m v\r\n", b"mg m s q\r\nmn\r\n", b"mg none v q\r\nmn\r\n",
        b"ms m 3 q\r\nbar\r\nmn\r\n", b"ms m 1 ME\r\nx\r\n", b"ms m S1\r\nx\r\n", b"ma m\r\n", b"ms n 1\r\n5\r\n",
        b"ma n v\r\n", b"ma none\r\n", b"md n\r\n", b"md none\r\n", b"md none q\r\nmn\r\n", b"me none\r\n",
        b"ms m 3\r\nlonger\r\n", b"mg m v k O1\r\n", b"mg\r\n", b"mn\r\n", b"quit\r\n",
    ],
    "binary": [
        packet(0, b"foo"), packet(1, b"foo", ZERO8, b"bar"), packet(0, b"foo", opaque=7),
        packet(9, b"none") + packet(10), packet(12, b"foo"), packet(13, b"foo") + packet(10),
        packet(2, b"foo", ZERO8, b"x"), packet(3, b"none", ZERO8, b"x"), packet(17, b"foo", ZERO8, b"y") + packet(10),
        packet(14, b"foo", value=b"z"), packet(15, b"foo", value=b"z"), packet(14, b"none", value=b"z"),
        packet(5, b"n", COUNT), packet(5, b"n", COUNT), packet(6, b"n", COUNT),
        packet(28, b"foo", bytes(4)), packet(28, b"none", bytes(4)), packet(29, b"foo", bytes(4)),
        packet(29, b"none", bytes(4)), packet(4, b"foo"), packet(4, b"none"), packet(11), packet(10),
        packet(16, b"reset"), packet(8), packet(0x40), packet(7),
    ],
    "a bad magic": [packet(10), b"\x81" + bytes(23)],
}


def record(server, name, requests):
    probe = socket.socket()
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.close()
    command = [server, "-vv", "-u", "root", "-p", str(port), "-l", "127.0.0.1", "-t", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    told = []
    thread = threading.Thread(target=lambda: [told.append(line) for line in iter(process.stderr.readline, b"")])
    thread.start()
    time.sleep(0.5)
    del told[:]
    client = socket.create_connection(("127.0.0.1", port))
    time.sleep(0.1)
    print(f"= {name}")
    for request in [b"", *requests]:
        if request:
            text = repr(request)[2:-1]
            text = re.sub(r"(x|y)\1{999,}", lambda m: f"{{{m[1]}*{len(m[0])}}}", text)
            print(f"> {text}")
            client.sendall(request)
            time.sleep(0.15)
        for line in told:
            text = line.decode("latin-1").rstrip("\n")
            text = re.sub(r"^([<>]?)\d+(?=[ :])", r"\1N", text)
            print("| " + re.sub(r"close connection \d+", "close connection N", text))
        del told[:]
        try:
            client.setblocking(False)
            while client.recv(1 << 20):
                pass
        except OSError:
            pass
        client.setblocking(True)
    client.close()
    process.terminate()
    process.wait()
    thread.join()


for name, requests in CASES.items():
    record(sys.argv[1], name, requests)
