#!/usr/bin/env python3
"""Writes the log of a memcached at -v, -vv and -vvv for some requests.

    record.py /path/to/memcached > daemon/tests/data/verbose.log

`daemon/tests/verbose.rs` compares this server with it. Lines of the result:

    = NAME          begins a dialogue; a name that begins with "udp" uses datagrams
    - ARGUMENTS     arguments of the server, if any; {users} is a file of passwords
    > REQUEST       bytes that the client sends, with Python's escapes
    < close         the client closes its connection
    2| LINE         a line of the log, after the lowest verbosity that has it

Descriptors are N. The recorder leaves out lines of the start, of memcached's background threads
and of Cyrus SASL itself. For SASL it creates a database of Cyrus SASL with the user of `{users}`.
"""

import ctypes
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

LEVELS = (1, 2, 3)
QUIET = 0.4  # Seconds without a line after which a request counts as done.
START = 3.0  # Seconds until the lines of the start have been read.
AT_ONCE = 8  # Dialogues.
CLOSE = "close"
BACKGROUND = re.compile(rb"SASL \(severity|Kicking LRU crawler|Nothing left to crawl|LRU crawler thread|LRU maintainer|idle timeout")
USER, PASSWORD = b"user", b"password"


def packet(opcode, key=b"", extras=b"", value=b"", cas=0, opaque=0, magic=0x80):
    length = len(extras) + len(key) + len(value)
    head = struct.pack(">BBHBBHIIQ", magic, opcode, len(key), len(extras), 0, 0, length, opaque, cas)
    return head + extras + key + value


def datagram(payload, number=1):
    return struct.pack(">HHHH", number, 0, 1, 0) + payload


ZERO8, COUNT = bytes(8), struct.pack(">QQI", 2, 10, 0)
PLAIN = b"\0" + USER + b"\0" + PASSWORD
NOOP = packet(10)

CLASSIC = [
    b"get foo\r\n", b"set foo 0 0 3\r\nbar\r\n", b"get foo\r\n", b"get foo none foo\r\n", b"get none\r\n", b"gets foo\r\n",
    b"set n 0 0 1\r\n5\r\n", b"incr n 2\r\n", b"decr n 1\r\n", b"incr none 1\r\n", b"incr foo 1\r\n",
    b"touch foo 0\r\n", b"touch none 0\r\n", b"gat 0 foo none\r\n", b"gats 0 foo\r\n", b"add foo 0 0 1\r\nx\r\n",
    b"replace none 0 0 1\r\nx\r\n", b"append foo 0 0 1\r\nx\r\n", b"prepend none 0 0 1\r\nx\r\n",
    b"cas none 0 0 1 1\r\nx\r\n", b"cas foo 0 0 1 999999\r\nx\r\n", b"cas foo 0 0 1 0\r\nx\r\n",
    b"cas foo 0 0 1 999999 noreply\r\nx\r\nversion\r\n", b"set q 0 0 1 noreply\r\nx\r\nversion\r\n",
    b"add q 0 0 1 noreply\r\nx\r\nversion\r\n", b"delete q noreply\r\nversion\r\n", b"delete none\r\n", b"delete n\r\n",
    b"set n 0 0 1\r\n5\r\n", b"incr n 1 noreply\r\nversion\r\n", b"touch n 0 noreply\r\nversion\r\n",
    b"set q 0 0 1 noreply\r\nx\r\n", b"delete q noreply\r\n",
    b"set foo 0 0 3\r\nlonger\r\n", b"bad command\r\n", b"set foo 0 0\r\n", b"set foo 0 0 -1\r\nbad\r\n", b"set foo x 0 3\r\nbad\r\n",
    b"get\r\n", b"x\r\n", b"\r\n",
    b"set big 0 0 2000000\r\n" + b"x" * 2000000 + b"\r\n", b"get " + b"k" * 251 + b"\r\n",
    b"add big 0 0 2000000 noreply\r\n" + b"x" * 2000000 + b"\r\n",
    b"get " + b" ".join(b"key%04d" % number for number in range(300)) + b"\r\n",
    b"stats reset\r\n", b"flush_all\r\n", b"flush_all noreply\r\nversion\r\n", b"lru_crawler enable\r\n",
    b"slabs reassign 1 1\r\n", b"cache_memlimit 64\r\n", b"shutdown\r\n", b"stats prefix\r\n",
    b"get foo\r\nget n\r\nset a 0 0 1\r\nb\r\nget a\r\n", b"quit\r\n",
]
META = [
    b"mg m v\r\n", b"ms m 3 c\r\nbar\r\n", b"mg m v\r\n", b"mg m s q\r\nmn\r\n", b"mg none v q\r\nmn\r\n",
    b"ms m 3 q\r\nbar\r\nmn\r\n", b"ms m 1 ME\r\nx\r\n", b"ms m S1\r\nx\r\n", b"ma m\r\n", b"ms n 1\r\n5\r\n",
    b"ms m 1 C999999\r\nx\r\n", b"ms m 1 C1 I\r\nx\r\n", b"ms none 1 MR\r\nx\r\n", b"ms none 1 MA\r\nx\r\n",
    b"ma n v\r\n", b"ma none\r\n", b"ma made N0 J5 v\r\n", b"md n\r\n", b"md none\r\n", b"md none q\r\nmn\r\n",
    b"md made C999999\r\n", b"me none\r\n", b"me made\r\n", b"mg new N30 v\r\n", b"mg new v\r\n", b"mg new T30\r\n",
    b"ms m 3\r\nlonger\r\n", b"ms m 2000000\r\n" + b"x" * 2000000 + b"\r\n", b"mg m v k O1\r\n",
    b"mg bG9uZw== b v\r\n", b"ms bG9uZw== 1 b\r\nx\r\n", b"mg bG9uZw== b k v\r\n", b"me bG9uZw== b\r\n",
    b"ms m 3 Tx\r\nbad\r\n", b"ms m 3 O" + b"o" * 40 + b"\r\nbad\r\n", b"mg m v\r\nmn\r\nmg m v\r\n", b"mg\r\n", b"mn\r\n", b"quit\r\n",
]
BINARY = [
    packet(0, b"foo"), packet(1, b"foo", ZERO8, b"bar"), packet(0, b"foo", opaque=7),
    packet(9, b"none") + NOOP, packet(12, b"foo"), packet(12, b"none"), packet(13, b"foo") + NOOP,
    packet(13, b"none"), packet(2, b"foo", ZERO8, b"x"), packet(3, b"none", ZERO8, b"x"),
    packet(1, b"foo", ZERO8, b"x", cas=999999), packet(1, b"none", ZERO8, b"x", cas=999999),
    packet(14, b"foo", value=b"z", cas=999999), packet(17, b"foo", ZERO8, b"y") + NOOP, packet(17, b"foo", ZERO8, b"y"),
    packet(18, b"foo", ZERO8, b"y"), packet(20, b"none"), packet(14, b"foo", value=b"z"),
    packet(15, b"foo", value=b"z"), packet(14, b"none", value=b"z"),
    packet(5, b"n", COUNT), packet(5, b"n", COUNT), packet(6, b"n", COUNT), packet(5, b"foo", COUNT),
    packet(5, b"none", struct.pack(">QQI", 2, 10, 0xffffffff)), packet(5, b"n", COUNT, cas=999999),
    packet(28, b"foo", bytes(4)), packet(28, b"none", bytes(4)), packet(29, b"foo", bytes(4)),
    packet(29, b"none", bytes(4)), packet(4, b"foo", cas=999999), packet(4, b"foo"), packet(4, b"none"),
    packet(11), NOOP, packet(2, b"big", ZERO8, b"x" * 2000000), packet(14, b"big", value=b"x" * 2000000),
    packet(16, b"reset"), packet(16, b"nothing"), packet(32), packet(33, b"PLAIN", value=PLAIN), packet(8),
    packet(0x40), packet(0x40, b"key") + b"key", packet(7),
]

CASES = [
    ("classic", "", CLASSIC),
    ("values of several pieces", "", [
        b"set large 0 0 700000\r\n" + b"y" * 700000 + b"\r\n", b"get large\r\n", b"mg large s\r\n", b"quit\r\n",
    ]),
    ("meta", "", META),
    ("binary", "", BINARY),
    ("a bad magic", "", [NOOP, packet(10, magic=0x81)]),
    ("bad lengths", "", [packet(0, b"k", b"x")]),
    ("lengths beyond the body", "", [struct.pack(">BBHBBHIIQ", 0x80, 0, 9, 0, 0, 0, 3, 0, 0) + b"k" * 9]),
    ("a long key", "", [packet(0, b"k" * 251)]),
    ("pieces of commands", "", [
        b"ge", b"t foo\r\n", b"set foo 0 0 3\r\nb", b"ar\r", b"\n", b"get foo\r\nge", b"t foo\r\n", b"ms foo 3\r\n", b"bar\r\n",
        b"set big 0 0 2000000\r\n", b"x" * 2000000, b"\r\n", CLOSE,
    ]),
    ("pieces of packets", "", [
        packet(0, b"foo")[:10], packet(0, b"foo")[10:24], packet(0, b"foo")[24:], packet(1, b"foo", ZERO8, b"bar")[:-1], b"r",
        NOOP + packet(0, b"foo")[:20], packet(0, b"foo")[20:], CLOSE,
    ]),
    ("the end of input", "", [CLOSE]),
    ("the end of input in a value", "", [b"set foo 0 0 3\r\n", CLOSE]),
    ("the end of input in a refused value", "", [b"set foo 0 0 2000000\r\n", CLOSE]),
    ("verbosity", "", [b"verbosity 2\r\n", b"get foo\r\n", b"verbosity 9\r\n", b"get foo\r\n", b"verbosity 0\r\n", b"get foo\r\n"]),
    ("ascii alone", "-B ascii", [b"get foo\r\n", b"quit\r\n"]),
    ("binary alone", "-B binary", [packet(0, b"foo"), packet(23), ]),
    ("names in text", "-Y {users}", [
        b"get foo\r\n", b"set a 0 0 3\r\nx y\r\n", b"set a 0 0 99999\r\n", b"set a 0 0 3\r\nxyz\r\n",
        b"set a 0 0 %d\r\n%s %s\r\n" % (len(USER) + len(PASSWORD) + 1, USER, PASSWORD), b"get foo\r\n", b"quit\r\n",
    ]),
    ("a name in pieces", "-Y {users}", [
        b"set a 0 0 %d\r\n" % (len(USER) + len(PASSWORD) + 1), USER + b" ", PASSWORD + b"\r\n", b"get foo\r\n", CLOSE,
    ]),
    ("SASL", "-S", [
        packet(11), packet(33, b"NONE", value=PLAIN), packet(34, b"PLAIN", value=PLAIN), packet(33, b"PLAIN", value=b"\0bad"),
        packet(33, b"m" * 33, value=PLAIN), packet(33, b"PLAIN"), packet(34, b"PLAIN", value=PLAIN),
        packet(1, b"foo", ZERO8, b"bar") + packet(0, b"foo"), packet(32), packet(0, b"foo"),
    ]),
    ("SASL in pieces", "-S", [
        packet(33, b"PLAIN", value=PLAIN)[:30], packet(33, b"PLAIN", value=PLAIN)[30:-3], PLAIN[-3:], NOOP,
        packet(33, b"NONE", value=PLAIN), NOOP,
    ]),
    ("SASL without a name", "-S", [packet(32), NOOP]),
    ("SASL with a bad name", "-S", [packet(33, b"PLAIN", value=PLAIN + b"x"), packet(33, b"PLAIN", value=b"\0" + USER + b"\0y")]),
    ("udp text", "", [datagram(request) for request in CLASSIC if len(request) < 1400 and b"quit" not in request]),
    ("udp meta", "", [datagram(request) for request in META if len(request) < 1400 and b"quit" not in request]),
    ("udp binary", "", [datagram(request) for request in BINARY if len(request) < 1400 and request != packet(7)]),
    ("udp without a command", "", [datagram(b"get foo"), datagram(b"get foo\r\n")]),
]


def make_database(directory):
    """Creates the database and the configuration of Cyrus SASL, in a process of its own."""
    path = os.path.join(directory, "sasldb2")
    with open(os.path.join(directory, "memcached.conf"), "w") as file:
        file.write(f"mech_list: plain\npwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {path}\n")
    os.environ["SASL_CONF_PATH"] = directory
    if os.fork() == 0:
        sasl, connection = ctypes.CDLL("libsasl2.so.2"), ctypes.c_void_p()
        done = sasl.sasl_server_init(None, b"memcached") or sasl.sasl_server_new(
            b"memcached", None, None, None, None, None, 0, ctypes.byref(connection)
        ) or sasl.sasl_setpass(connection, USER, PASSWORD, len(PASSWORD), None, 0, 1)
        os._exit(abs(done) & 255)
    _, status = os.wait()
    if status:
        sys.exit("the database of SASL cannot be made")


def record(server, name, arguments, requests, level):
    """Returns the lines that belong to the start of a connection, and to each request."""
    udp = name.startswith("udp")
    probe = socket.socket(type=socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.close()
    ports = ["-p", "0", "-U", str(port)] if udp else ["-p", str(port)]
    command = [server, "-" + "v" * level, "-u", "root", *ports, "-l", "127.0.0.1", "-t", "1", *arguments.split()]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    told = []
    thread = threading.Thread(target=lambda: [told.append(line) for line in iter(process.stderr.readline, b"")])
    thread.start()
    time.sleep(START)
    del told[:]
    client = socket.socket(type=socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    while client.connect_ex(("127.0.0.1", port)):
        time.sleep(0.1)
        del told[:]
    lines = []
    try:
        for request in [b"", *requests]:
            if request == CLOSE:
                client.close()
            elif request:
                client.sendall(request)
            count = -1
            while len(told) != count:
                count = len(told)
                time.sleep(QUIET)
            lines.append([])
            for line in told:
                text = line.decode("latin-1").rstrip("\n")
                text = re.sub(r"^([<>]?)\d+(?=[ :])", r"\1N", text)
                text = re.sub(r"close connection \d+", "close connection N", text)
                if not BACKGROUND.match(line):
                    lines[-1].append(re.sub(r"expected \d+", "expected N", text))
            del told[:]
            try:
                client.setblocking(False)
                while client.recv(1 << 20):
                    pass
            except OSError:
                pass
            if request != CLOSE:
                client.setblocking(True)
    finally:
        client.close()
        process.terminate()
        process.wait()
        thread.join()
    return lines


def with_levels(records):
    """Prefixes each of the last record's lines with the level of the first record that has it."""
    *lower, lines = [list(record) for record in records]
    for text in lines:
        level = len(records)
        for number, record in reversed(list(enumerate(lower, 1))):
            if level == number + 1 and record and record[0] == text:
                record.pop(0)
                level = number
        yield level, text
    if any(lower):
        sys.exit(f"lines of a lower level alone: {lower}")


def main():
    with tempfile.TemporaryDirectory() as directory:
        make_database(directory)
        users = os.path.join(directory, "users")
        with open(users, "wb") as file:
            file.write(USER + b":" + PASSWORD + b"\n")
        os.environ["MEMCACHED_SASL_PWDB"] = users  # For this server instead of Cyrus SASL's.
        with ThreadPoolExecutor(AT_ONCE) as pool:
            recorded = [
                pool.submit(record, sys.argv[1], name, arguments.replace("{users}", users), requests, level)
                for name, arguments, requests in CASES
                for level in LEVELS
            ]
        records = iter([future.result() for future in recorded])
        for name, arguments, requests in CASES:
            print(f"= {name}")
            if arguments:
                print(f"- {arguments}")
            for request, *lines in zip([b"", *requests], *(next(records) for _ in LEVELS)):
                if request == CLOSE:
                    print("< close")
                elif request:
                    text = re.sub(r"(x|y)\1{999,}", lambda m: f"{{{m[1]}*{len(m[0])}}}", repr(request)[2:-1])
                    print(f"> {text}")
                for level, text in with_levels(lines):
                    print(f"{level}| {text}")


main()
