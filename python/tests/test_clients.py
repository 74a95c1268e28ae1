"""Unmodified clients: the programs of compat/clients, and tests of the clients themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memcache_rs import Server

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENTS = Path(__file__).resolve().parents[2] / "compat" / "clients"
NAME, PASSWORD = "somebody", "secret"


@pytest.mark.skipif(not CLIENTS.is_dir(), reason="these are not in the source distribution")
@pytest.mark.parametrize(
    ("client", "how"),
    [
        ("pymemcache", "text"),
        ("python_memcached", "text"),
        ("aiomcache", "text"),
        ("emcache", "text"),
        ("pylibmc", "text"),
        ("pylibmc", "binary"),
        ("bmemcached", "binary"),
        ("bmemcached", "sasl"),
        ("pymemcache", "tls"),
    ],
)
def test_a_client(client: str, how: str) -> None:
    users = {NAME: PASSWORD} if how == "sasl" else None
    with Server(users=users, tls="test" if how == "tls" else None, threads=2) as server:
        more = [NAME, PASSWORD] if how == "sasl" else []
        if how == "tls":
            assert server.tls is not None
            more = [os.fspath(server.tls.ca or "")]
        program = CLIENTS / f"client_{client}.py"
        command = [sys.executable, str(program), server.host, str(server.port), how, *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("threads", [1, 4])
def test_the_integration_tests_of_pymemcache(source: Callable[[str], Path], tmp_path: Path, threads: int) -> None:
    """Runs pymemcache's integration tests, unmodified."""
    place = source("pymemcache")
    configuration = tmp_path / "pytest.ini"
    configuration.write_text("[pytest]\nmarkers =\n unit\n integration\n benchmark\n")
    with Server(threads=threads) as server:
        done = subprocess.run(
            [
                # The tests leave connections open.
                *[sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore"],
                *["-c", str(configuration), "--rootdir", str(place), "pymemcache/test/test_integration.py"],
                *["--server", server.host, "--port", str(server.port)],
            ],
            capture_output=True,
            text=True,
            cwd=place,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    # The three skipped ones are for TLS, and pymemcache skips them by default.
    assert "100 passed, 3 skipped" in done.stdout
