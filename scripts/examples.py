"""Runs the shell examples of README.md's section on the daemon and compares what they print.

An example is a ```sh block directly followed by a ```text block: what it must print. The daemon runs on a free port,
which takes the place of 11211. The Rust examples are doctests of the core crate.
"""

import re
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.S | re.M)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("the daemon does not answer")


def main() -> None:
    daemon = sys.argv[1]
    section = re.search(r"^## The daemon$(.*?)^## ", (ROOT / "README.md").read_text(), re.S | re.M)
    blocks = BLOCK.findall(section.group(1)) if section else []
    pairs = zip(blocks, blocks[1:])
    examples = [(script, printed) for (one, script), (two, printed) in pairs if (one, two) == ("sh", "text")]
    if not examples:
        sys.exit("README.md has no examples: the pattern is wrong, or the examples are gone")
    port = free_port()
    server = subprocess.Popen([daemon, "-l", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL)
    failed = 0
    try:
        wait_for(port)
        for script, expected in examples:
            script = script.replace("11211", str(port))
            done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, cwd=ROOT, timeout=60)
            if done.returncode != 0 or done.stdout.strip() != expected.strip():
                failed += 1
                print(f"README example:\n{script}\nexpected:\n{expected}\ngot:\n{done.stdout}{done.stderr}")
    finally:
        server.terminate()
        server.wait(10)
    print(f"{len(examples) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
