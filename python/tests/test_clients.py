"""Real clients, unmodified: what compat/clients does with the daemon, and some of their own tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from memcache_rs import Server

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
