#!/usr/bin/env python3
"""Runs the smoke tests of real clients against a memcached server.

usage: run.py SERVER [CLIENT ...]

SERVER is a program, which is started on a free port and stopped, or a host:port. The clients come from
scripts/setup.sh. Prints a line for each client and ends with `N passed, N failed`.
"""

import os
import pathlib
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYTHON = ROOT / "target" / "venv" / "bin" / "python"
GO_PROGRAM = ROOT / "target" / "client-go"

CLIENTS = {
    "pymemcache": [PYTHON, HERE / "client_pymemcache.py"],
    "python-memcached": [PYTHON, HERE / "client_python_memcached.py"],
    "aiomcache": [PYTHON, HERE / "client_aiomcache.py"],
    "emcache": [PYTHON, HERE / "client_emcache.py"],
    "pylibmc": [PYTHON, HERE / "client_pylibmc.py"],
    "libmemcached tools": ["bash", HERE / "client_libmemcached.sh"],
    "php memcached": ["php", HERE / "client_php.php"],
    "gomemcache": [GO_PROGRAM],
}


def start(program):
    """Starts the server on a free port; gives the process, the host and the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", "64"]
    if os.geteuid() == 0:
        command += ["-u", "root"]
    described = subprocess.run([program, "-h"], capture_output=True, text=True).stdout
    if "--cluster-nodes" in described:
        nodes = f"localhost|127.0.0.1|{port}"
        command += ["--cluster-nodes", nodes]
        os.environ["CLUSTER_NODES"] = nodes
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return server, "127.0.0.1", port
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.02)
    server.kill()
    sys.exit(f"{program} does not accept connections")


def build_go():
    """Debian's Go packages lie in a GOPATH."""
    environment = dict(os.environ, GOPATH="/usr/share/gocode", GO111MODULE="off", GOFLAGS="")
    environment.setdefault("GOCACHE", str(ROOT / "target" / "go-cache"))
    command = ["go", "build", "-o", str(GO_PROGRAM), str(HERE / "go" / "main.go")]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def run(name, host, port):
    """Runs one client's test; gives whether it passed and what it said."""
    if name == "gomemcache":
        built = build_go()
        if built.returncode != 0:
            return False, built.stderr.strip() or built.stdout.strip()
    command = [str(word) for word in CLIENTS[name]] + [host, str(port)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return False, "did not end within a minute"
    except OSError as error:
        return False, f"{error}; run scripts/setup.sh"
    output = (result.stdout + result.stderr).strip()
    return result.returncode == 0, output


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    target, names = sys.argv[1], sys.argv[2:] or list(CLIENTS)
    unknown = [name for name in names if name not in CLIENTS]
    if unknown:
        sys.exit(f"no client {unknown[0]}; there are {', '.join(CLIENTS)}")
    server = None
    host, _, port = target.rpartition(":")
    if "/" in target or not port.isdigit():
        server, host, port = start(target)
    passed = 0
    try:
        for name in names:
            begin = time.monotonic()
            good, output = run(name, host, port)
            passed += good
            last = output.splitlines()[-1] if output else ""
            print(f"{'ok  ' if good else 'FAIL'} {name:<20} {time.monotonic() - begin:5.1f} s  {last}", flush=True)
            if not good:
                print("\n".join("     " + line for line in output.splitlines()[-12:]), flush=True)
            if server is not None and server.poll() is not None:
                print(f"FAIL the server ended with {server.returncode}")
                break
    finally:
        if server is not None:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                print("FAIL the server did not stop")
                passed = max(0, passed - 1)
    print(f"{passed} passed, {len(names) - passed} failed")
    sys.exit(0 if passed == len(names) else 1)


main()
