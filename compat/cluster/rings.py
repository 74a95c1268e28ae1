"""Where clients and proxies put keys, computed without them.

A ring is built from the nodes that are in it: pairs of a name (`host:port`) and a weight, or `None`
for a node that is out. It is a function from a key to the index of a node.

Clients leave out the port of a node if it is 11211. The rings here do not, because tests use other
ports.
"""

import bisect
import hashlib
import struct


def md5(text, part=0):
    """Returns 32 bits of the MD5 of a text."""
    return struct.unpack_from("<I", hashlib.md5(text.encode()).digest(), 4 * part)[0]


def one_at_a_time(text):
    """Returns Bob Jenkins's hash, the default of libmemcached."""
    value = 0
    for byte in text.encode():
        value = (value + byte) & 0xFFFFFFFF
        value = (value + (value << 10)) & 0xFFFFFFFF
        value ^= value >> 6
    value = (value + (value << 3)) & 0xFFFFFFFF
    value ^= value >> 11
    return (value + (value << 15)) & 0xFFFFFFFF


def fnv1a_64(text):
    """Returns the lower half of FNV-1a with 64 bits, of which twemproxy computes only that half."""
    value = 0x84222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x1B3) & 0xFFFFFFFF
    return value


def murmur3(text):
    """Returns MurmurHash3 with 32 bits, seed 0."""
    data, value = text.encode(), 0
    for at in range(0, len(data) // 4 * 4, 4):
        value ^= scramble(int.from_bytes(data[at : at + 4], "little"))
        value = (rotate(value, 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    value ^= scramble(int.from_bytes(data[len(data) // 4 * 4 :], "little")) ^ len(data)
    value = ((value ^ value >> 16) * 0x85EBCA6B) & 0xFFFFFFFF
    value = ((value ^ value >> 13) * 0xC2B2AE35) & 0xFFFFFFFF
    return value ^ value >> 16


def scramble(block):
    return (rotate((block * 0xCC9E2D51) & 0xFFFFFFFF, 15) * 0x1B873593) & 0xFFFFFFFF


def rotate(value, by):
    return (value << by | value >> (32 - by)) & 0xFFFFFFFF


def single(number):
    """Rounds to 32 bits of floating point, in which libmemcached and twemproxy compute weights."""
    return struct.unpack("f", struct.pack("f", number))[0]


def on_circle(points, digest):
    """Returns the ring of these points. A key belongs to the first point at or after its hash."""
    points = sorted(points)
    values = [value for value, _ in points]
    return lambda key: points[bisect.bisect_left(values, digest(key)) % len(points)][1]


def ketama(nodes, digest=md5):
    """The weighted ketama of libmemcached, twemproxy and others: 160 points a node, by weight."""
    live = [node for node in nodes if node]
    total = sum(weight for _, weight in live)
    points = []
    for index, node in enumerate(nodes):
        if node:
            share = single(node[1] / total)
            texts = int(single(share * 40 * len(live) + 1e-10))
            points += [(md5(f"{node[0]}-{n}", part), index) for n in range(texts) for part in range(4)]
    return on_circle(points, digest)


def ketama_without_weights(nodes):
    """The `ketama` of libmemcached, for nodes of equal weight: 100 points a node, no MD5."""
    points = [(one_at_a_time(f"{node[0]}-{n}"), index) for index, node in enumerate(nodes) if node for n in range(100)]
    return on_circle(points, one_at_a_time)


def rendezvous(nodes):
    """The default of pymemcache's HashClient: the node with the highest hash of node and key."""
    live = [(index, node[0]) for index, node in enumerate(nodes) if node]
    return lambda key: max((murmur3(f"{name}-{key}"), name, index) for index, name in live)[2]


def modulo(nodes):
    """The default of memjs: a hash modulo the number of nodes, then the next node that is in."""

    def place(key):
        value = 0
        for character in key:
            value = (31 * value + ord(character)) & 0xFFFFFFFF
        value = abs(value - (1 << 32) if value >> 31 else value)
        first = value % len(nodes)
        return next(at % len(nodes) for at in range(first, first + len(nodes)) if nodes[at % len(nodes)])

    return place
