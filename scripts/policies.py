#!/usr/bin/env python3
"""Simulates eviction policies on traces, to choose among them by evidence.

    policies.py RESULTS.jsonl TRACE.lis[.zst] ...

Needs libcachesim (and zstandard for .zst) from PyPI, which `make policies` installs. Every policy
has the same memory and the same overhead per item. Sizes follow from the key: log-normal with mean
500 and sigma 1, as in `bench replay`. Writes one line of JSON for each trace, size and policy.

Two more caches show the limits of all policies. One knows all future requests, and a policy can
hardly do better. The other has no memory limit, and no policy can do better.
"""

import io
import json
import math
import random
import sys

import libcachesim as lcs

MIB = 1 << 20
SIZES = (32, 64)
REQUESTS = 1_500_000
KEY = 16
# Size of the sample from which the cache that knows the future drops an item.
SAMPLE = 64
# Overhead of an item beside key and value: header, rounding, its part of the index.
OVERHEAD = 42
POLICIES = {
    "LRU": lcs.LRU,
    "SLRU": lcs.SLRU,
    "S3-FIFO": lcs.S3FIFO,
    "SIEVE": lcs.Sieve,
    "ARC": lcs.ARC,
    "LIRS": lcs.LIRS,
    "W-TinyLFU": lcs.WTinyLFU,
    "LHD": lcs.LHD,
    "GDSF": lcs.GDSF,
}


def requests(path):
    """Returns the requested blocks in order."""
    if path.endswith(".zst"):
        import zstandard

        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(open(path, "rb")))
    else:
        lines = open(path)
    blocks = []
    for line in lines:
        first, count = map(int, line.split()[:2])
        blocks.extend(range(first, first + count))
        if len(blocks) >= REQUESTS:
            break
    return blocks[:REQUESTS]


def size(block):
    """Returns the bytes of a block's item."""
    value = random.Random(block).lognormvariate(math.log(500) - 0.5, 1)
    return OVERHEAD + KEY + max(1, int(value))


def simulate(cache, blocks, sizes):
    """Yields the requests that a policy of libcachesim misses."""
    request = lcs.Request()
    for at, block in enumerate(blocks):
        request.obj_id, request.obj_size = block, sizes[block]
        if not cache.get(request):
            yield at


def known_future(capacity, blocks, sizes):
    """Yields the requests that a cache with knowledge of the future misses.

    Of SAMPLE items, it drops the one with the largest product of size and time to its next use
    (libcachesim's BeladySize). It never keeps an item that is not used again.
    """
    never = len(blocks)
    following = [never] * never
    last = {}
    for at in range(never - 1, -1, -1):
        following[at] = last.get(blocks[at], never)
        last[blocks[at]] = at
    random_ = random.Random(1)
    due, held, places, used = {}, [], {}, 0

    def drop(block):
        nonlocal used
        used -= sizes[block]
        del due[block]
        place, moved = places.pop(block), held.pop()
        if moved != block:
            held[place], places[moved] = moved, place

    for at, block in enumerate(blocks):
        if block not in due:
            yield at
            if following[at] < never and sizes[block] <= capacity:
                places[block] = len(held)
                held.append(block)
                used += sizes[block]
                due[block] = following[at]
        elif following[at] < never:
            due[block] = following[at]
        else:
            drop(block)
        while used > capacity:
            sample = (held[int(random_.random() * len(held))] for _ in range(SAMPLE))
            drop(max(sample, key=lambda other: sizes[other] * (due[other] - at)))


def first_requests(blocks):
    """Yields the requests that a cache without a limit misses."""
    seen = set()
    for at, block in enumerate(blocks):
        if block not in seen:
            seen.add(block)
            yield at


def main():
    out, *traces = sys.argv[1:]
    with open(out, "w") as results:
        for path in traces:
            blocks = requests(path)
            sizes = {block: size(block) for block in set(blocks)}
            values = [sizes[block] - OVERHEAD for block in blocks]
            name, total = path.rsplit("/", 1)[-1], sum(values)
            for mib in SIZES:
                runs = {policy: simulate(make(mib * MIB), blocks, sizes) for policy, make in POLICIES.items()}
                runs["future known"] = known_future(mib * MIB, blocks, sizes)
                runs["no limit"] = first_requests(blocks)
                for policy, missed in runs.items():
                    missed = list(missed)
                    line = {
                        "kind": "policy",
                        "trace": name,
                        "memory_mib": mib,
                        "policy": policy,
                        "miss_ratio": round(len(missed) / len(blocks), 4),
                        "byte_miss_ratio": round(sum(values[at] for at in missed) / total, 4),
                    }
                    results.write(json.dumps(line) + "\n")
                    results.flush()
                    print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
