"""memccapable, libmemcached's test of servers. The tests that memcached 1.6.45 passes must pass."""

import pathlib
import re
import subprocess
import sys

from checks import LEFT_OUT, address, how

host, port = address()
known = pathlib.Path(__file__).with_name("memccapable-1.6.45.txt").read_text().splitlines()
protocol = {"text": "ascii", "binary": "binary"}[how()]
wanted = {name for name in known if name.startswith(f"{protocol} ")} - LEFT_OUT
command = ["memccapable", "-h", host, "-p", str(port), "-a" if how() == "text" else "-b"]
result = subprocess.run(command, capture_output=True, text=True, timeout=50)
lines = re.findall(r"^((?:ascii|binary) .*?)\s+\[(\w+)\]$", result.stdout, re.MULTILINE)
passed = {name for name, verdict in lines if verdict == "pass"}
if not wanted <= passed:
    sys.exit("does not pass: " + ", ".join(sorted(wanted - passed)) + "\n" + result.stderr)
more = passed - wanted
print(f"{len(wanted)} checks" + (f", and {', '.join(sorted(more))}" if more else ""))
