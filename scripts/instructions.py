"""Counts the instructions of the hot paths under callgrind.

    instructions.py BENCH            counts, and prints the change from bench/instructions.txt
    instructions.py BENCH --write    counts, and writes that file

Each operation runs twice, the second time more often. The cost of one operation is the difference
of the two counts, divided by the difference of the two numbers of operations. So start and end
cancel out. The counts are equal on all machines with the same compiler, within about one percent,
because the hash has a random key.
"""

import re
import subprocess
import sys
from pathlib import Path

FILE = Path("bench/instructions.txt")
FEW, MANY = 1_600, 17_600
HEADER = """\
# Instructions of one operation: 100-byte values, 1,000 keys, no network, no system call.
# `make instructions` shows the change against this file, `make instructions WRITE=1` renews it.
"""


def total(bench: str, operation: str, count: int) -> int:
    """Returns the number of instructions of a run."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", bench, "instructions"]
    run = subprocess.run([*command, operation, str(count)], capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode or not found:
        sys.exit(f"{operation}: {run.stderr}")
    return int(found[1])


def main() -> None:
    bench = sys.argv[1]
    names = subprocess.run([bench, "instructions", "list"], capture_output=True, text=True, check=True)
    before = {}
    if FILE.exists():
        rows = (line.rsplit(None, 1) for line in FILE.read_text().splitlines() if line and line[0] != "#")
        before = {name: int(count) for name, count in rows}
    counts = {}
    for name in names.stdout.splitlines():
        few, many = total(bench, name, FEW), total(bench, name, MANY)
        counts[name] = round((many - few) / (MANY - FEW))
        change = f"{counts[name] / before[name] - 1:+7.1%}" if before.get(name) else "    new"
        print(f"{name:24}{counts[name]:7}{change}", flush=True)
    if "--write" in sys.argv[2:]:
        FILE.write_text(HEADER + "".join(f"{name:24}{count:7}\n" for name, count in counts.items()))


main()
