"""The daemon in the wheel."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import memcache_rs

COMMANDS = [[sys.executable, "-I", "-m", "memcache_rs"], [str(Path(sys.executable).with_name("memcached-rs"))]]


@pytest.mark.parametrize("command", COMMANDS, ids=["module", "script"])
def test_version_and_bad_flags(command: list[str]) -> None:
    done = subprocess.run([*command, "-V"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert memcache_rs.MEMCACHED_VERSION in done.stdout
    done = subprocess.run([*command, "--nothing"], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "nothing" in done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_comes(tmp_path: Path, how: signal.Signals) -> None:
    path = tmp_path / "socket"
    user = ["-u", "root"] if os.geteuid() == 0 else []
    daemon = subprocess.Popen([*COMMANDS[0], "-s", str(path), *user], stderr=subprocess.PIPE, text=True)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            deadline = time.monotonic() + 20
            while client.connect_ex(str(path)) and time.monotonic() < deadline:
                assert daemon.poll() is None
                time.sleep(0.01)
            client.sendall(b"version\r\n")
            assert client.recv(100) == f"VERSION {memcache_rs.MEMCACHED_VERSION}\r\n".encode()
        daemon.send_signal(how)
        _, errors = daemon.communicate(timeout=20)
    finally:
        daemon.kill()
    assert daemon.returncode == 0
    assert errors == f"memcached-rs {memcache_rs.__version__} listens on unix:{path}\n"
    assert not path.exists()
