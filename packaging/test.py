"""Checks the files of packaging/, the manual pages and the completions, with the tools of Debian.

usage: test.py DAEMON DIRECTORY   DIRECTORY has man/ and completions/, as `make man` writes them

A check whose tool is not installed is skipped with one line.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
UNITS = HERE / "systemd"
PATIENCE = 60

# The largest exposure that systemd-analyze may find, of 100. Debian's memcached.service has 48.
EXPOSURE = 15

DAEMON = Path("target/release/memcached-rs")
MADE = Path("target")


def run(*words: object, **options) -> subprocess.CompletedProcess[str]:
    command = [str(word) for word in words]
    if not shutil.which(command[0]):
        raise unittest.SkipTest(f"{command[0]} is not installed")
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **options)


class Units(unittest.TestCase):
    def test_systemd_reads_the_units(self) -> None:
        with tempfile.TemporaryDirectory() as place:
            names = []
            for unit in UNITS.iterdir():
                text = unit.read_text().replace("/usr/bin/memcached-rs", str(DAEMON))
                name = unit.name.replace("@.", "@name.")
                for file in {unit.name, name}:
                    (Path(place) / file).write_text(text)
                names.append(Path(place) / name)
            done = run("systemd-analyze", "verify", "--man=no", *names)
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_the_service_is_hardened(self) -> None:
        for unit in UNITS.glob("*.service"):
            done = run(
                "systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={EXPOSURE}", unit
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_filter_allows_every_call_of_the_daemon(self) -> None:
        allowed = calls("@system-service") - calls("@privileged")
        with tempfile.TemporaryDirectory() as place:
            trace, file = Path(place) / "trace", Path(place) / "cache.mcrs"
            if not shutil.which("strace"):
                raise unittest.SkipTest("strace is not installed")
            strace = ["strace", "-f", "-qq", "-o", trace]
            flags = ["-p", "-1", "-U", "-1", "-l", "127.0.0.1", "--persist", file]
            daemon = subprocess.Popen([*strace, DAEMON, *flags], stderr=subprocess.PIPE, text=True)
            assert daemon.stderr
            for turn in range(2):
                line = next(line for line in daemon.stderr if " listens on " in line)
                port = re.search(r"127\.0\.0\.1:(\d+)", line)
                pid = int(re.match(r"\d+", trace.read_text())[0])
                ask(int(port[1]), b"set key 0 0 1\r\nx\r\nget key\r\nquit\r\n")
                os.kill(pid, signal.SIGTERM if turn else signal.SIGRTMIN + 1)
            self.assertEqual(daemon.wait(PATIENCE), 0)
            daemon.stderr.close()
            made = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.M))
        self.assertGreater(len(made), 20)
        self.assertEqual(made - allowed, set())


def calls(group: str) -> set[str]:
    """Returns the system calls of a group, those of the groups in it included."""
    found: set[str] = set()
    for line in run("systemd-analyze", "syscall-filter", "--no-pager", group).stdout.splitlines()[1:]:
        name = line.strip()
        if name.startswith("@"):
            found |= calls(name)
        elif name and not name.startswith("#"):
            found.add(name)
    return found


def ask(port: int, request: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(request)
        while client.recv(4096):
            pass


class Files(unittest.TestCase):
    def test_the_daemon_reads_the_examples(self) -> None:
        for flag, name in [("--config", "memcached-rs.toml"), ("--options-file", "memcached.conf")]:
            done = run(DAEMON, "--check", flag, HERE / name)
            self.assertEqual((done.returncode, done.stderr), (0, ""))


class Manual(unittest.TestCase):
    pages = ("memcached-rs.1", "mcrs.1")

    def test_man_shows_the_pages(self) -> None:
        for page in self.pages:
            environment = {**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"}
            done = run("man", "--warnings", "-l", "-Tutf8", MADE / "man" / page, env=environment)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            # Bold letters are written twice, over each other.
            shown = re.sub(r".\x08", "", done.stdout)
            for part in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"]:
                self.assertIn(part, shown)

    def test_mandoc_finds_no_mistake(self) -> None:
        for page in self.pages:
            done = run("mandoc", "-Tlint", "-Wwarning", MADE / "man" / page)
            said = [line for line in done.stdout.splitlines() if "missing date" not in line]
            self.assertEqual(said, [])


class Completions(unittest.TestCase):
    """Each shell completes a line. The end of a line is what the user has typed so far."""

    cases = (
        ("memcached-rs", "--persist-i", {"--persist-interval"}),
        ("memcached-rs", "--enable-s", {"--enable-sasl", "--enable-shutdown", "--enable-ssl"}),
        ("mcrs", "insp", {"inspect"}),
        ("mcrs", "dump --password-f", {"--password-file"}),
        ("mcrs", "keys --by-p", {"--by-prefix"}),
    )

    def test_bash(self) -> None:
        script = """
            source "$1"
            COMP_WORDS=($2); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
            "$(complete -p "${COMP_WORDS[0]}" | grep -oP '(?<=-F )\\S+')" "${COMP_WORDS[0]}" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
            printf '%s\\n' "${COMPREPLY[@]}"
        """
        for program, typed, expected in self.cases:
            done = run("bash", "-c", script, "bash", MADE / "completions/bash" / program, f"{program} {typed}")
            self.assertEqual((set(done.stdout.split()), done.stderr), (expected, ""), typed)

    def test_fish(self) -> None:
        for program, typed, expected in self.cases:
            script = f'source "{MADE}/completions/fish/{program}.fish"; complete -C "{program} {typed}"'
            with tempfile.TemporaryDirectory() as home:
                done = run("fish", "--no-config", "-c", script, env={**os.environ, "HOME": home})
            found = {line.split("\t")[0] for line in done.stdout.splitlines()}
            self.assertEqual((found, done.stderr), (expected, ""), typed)

    def test_zsh_reads_the_script(self) -> None:
        for program in ["memcached-rs", "mcrs"]:
            done = run("zsh", "-n", MADE / "completions/zsh" / f"_{program}")
            self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    DAEMON, MADE = (Path(word).resolve() for word in sys.argv[1:3])
    unittest.main(argv=sys.argv[:1], verbosity=2)
