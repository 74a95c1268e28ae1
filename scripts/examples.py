"""Runs the shell examples of README.md and docs/, and compares their output.

An example is a ```sh block. If a ```text block follows it directly, that is its output. Commands in
a ```console block are shown only. The rules for one document, from its top:

- All examples run in one new directory, in their order.
- A block of lines that start the daemon starts each line in turn. The last daemon keeps running and
  answers the examples below it; before the first such block a daemon with default settings does.
- The tool mcrs is beside the daemon.
- Free ports take the place of 11211, 11212 and 11280, and loopback that of 0.0.0.0.

Other tests run the other examples. The doctests of core/src/lib.rs run Rust. capi/tests/run.py runs
C and docs/abi.md. The tests of the packages run Python and JavaScript.
"""

import re
import select
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DAEMON = "target/release/memcached-rs"
TOOL = "target/release/mcrs"
EXAMPLE = re.compile(r"^```sh\n(.*?)^```$(?:\s+^```text\n(.*?)^```$)?", re.S | re.M)
START = re.compile(rf"(?:\w+=\S+ )*{re.escape(DAEMON)}\b")
PATIENCE = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Document:
    """One document under test: its directory, its ports and the daemon that runs."""

    def __init__(self, path: Path, daemon: Path, place: Path) -> None:
        self.path, self.program, self.place = path, daemon, place
        self.ports = {port: str(free_port()) for port in ("11211", "11212", "11280")}
        self.daemon: subprocess.Popen[bytes] | None = None
        self.faults: list[str] = []
        self.count = 0

    def localise(self, text: str) -> str:
        for port, free in self.ports.items():
            text = text.replace(port, free)
        text = text.replace(TOOL, str(self.program.with_name("mcrs")))
        return text.replace("0.0.0.0", "127.0.0.1").replace("/tmp/", f"{self.place}/")

    def start(self, line: str) -> None:
        """Starts the daemon of `line` in place of the one that runs."""
        self.stop()
        command = self.localise(line.partition("  #")[0].strip()).replace(DAEMON, f"exec {self.program}")
        if not re.search(r" -[ps] ", line):
            command += f" -p {self.ports['11211']}"
        self.daemon = subprocess.Popen(
            ["bash", "-c", command], cwd=self.place, stderr=subprocess.PIPE, bufsize=0
        )
        # Without a buffer here, so that `select` sees all lines that are not read.
        said = b""
        while b" listens on " not in said:
            ready, _, _ = select.select([self.daemon.stderr], [], [], PATIENCE)
            said = self.daemon.stderr.readline() if ready and self.daemon.stderr else b""
            if not said:
                self.faults.append(f"the daemon does not start: {command}")
                break

    def stop(self) -> None:
        if self.daemon:
            self.daemon.terminate()
            _, said = self.daemon.communicate(timeout=PATIENCE)
            if self.daemon.returncode != 0:
                self.faults.append(f"{self.daemon.args} ended with status {self.daemon.returncode}:\n{said}")
            self.daemon = None

    def run(self, script: str, expected: str | None) -> None:
        if not self.daemon:
            self.start(DAEMON)
        done = subprocess.run(
            ["bash", "-euc", self.localise(script)], capture_output=True, text=True, cwd=self.place, timeout=60
        )
        printed = done.stdout.replace("\r", "").strip()
        if done.returncode != 0 or expected is not None and printed != self.localise(expected).strip():
            self.faults.append(f"example:\n{script}expected:\n{expected}\ngot:\n{done.stdout}{done.stderr}")

    def check(self) -> None:
        for script, output in EXAMPLE.findall(self.path.read_text()):
            self.count += 1
            if START.match(script):
                for line in script.splitlines():
                    self.start(line)
            else:
                self.run(script, output or None)
        self.stop()


def main() -> None:
    program = Path(sys.argv[1]).resolve()
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    count = failed = 0
    for path in paths:
        if path.name == "abi.md":
            continue
        with tempfile.TemporaryDirectory() as place:
            document = Document(path, program, Path(place))
            try:
                document.check()
            finally:
                if document.daemon:
                    document.daemon.kill()
                    document.daemon.wait()
        for fault in document.faults:
            print(f"{path.relative_to(ROOT)}: {fault}")
        count += document.count
        failed += len(document.faults)
    if count == 0:
        sys.exit("README.md and docs/ have no examples; check the pattern")
    print(f"{count} examples, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
