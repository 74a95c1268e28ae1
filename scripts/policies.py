#!/usr/bin/env python3
"""Simulates eviction policies on traces, to choose among them by evidence.

    policies.py RESULTS.jsonl TRACE.lis[.zst] ...

Needs libcachesim (and zstandard for .zst) from PyPI; `make policies` sees to that. Every policy gets the same memory
and pays the same overhead an item; sizes follow from the key, log-normal with mean 500 and sigma 1, as in `bench
replay`. One line of JSON for each trace, size and policy.
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
# What an item takes here beside key and value: header, rounding, its part of the index.
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
    """Blocks in the order in which they were asked for."""
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
    """Bytes of a block's item."""
    value = random.Random(block).lognormvariate(math.log(500) - 0.5, 1)
    return OVERHEAD + KEY + max(1, int(value))


def main():
    out, *traces = sys.argv[1:]
    with open(out, "w") as results:
        for path in traces:
            blocks = requests(path)
            sizes = {block: size(block) for block in set(blocks)}
            name = path.rsplit("/", 1)[-1]
            for mib in SIZES:
                for policy, make in POLICIES.items():
                    cache = make(mib * MIB)
                    request = lcs.Request()
                    misses = missed = total = 0
                    for block in blocks:
                        request.obj_id, request.obj_size = block, sizes[block]
                        bytes_ = sizes[block] - OVERHEAD
                        total += bytes_
                        if not cache.get(request):
                            misses += 1
                            missed += bytes_
                    line = {
                        "kind": "policy",
                        "trace": name,
                        "memory_mib": mib,
                        "policy": policy,
                        "miss_ratio": round(misses / len(blocks), 4),
                        "byte_miss_ratio": round(missed / total, 4),
                    }
                    results.write(json.dumps(line) + "\n")
                    results.flush()
                    print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
