#!/usr/bin/env python3
"""Runs the smoke tests of real clients against a memcached server.

usage: run.py [--only WAY,...] [--proxy] SERVER [CLIENT ...]

SERVER is a program, which is started on a free port and stopped, or a host:port. scripts/setup.sh
installs the clients. Prints a line for each client and ends with `N passed, N failed`. Clients that
need a name or TLS have a server of their own. With a host:port they are left out.

--only runs only the clients that talk in one of these ways: text, binary, sasl, tls.

--proxy puts the server, as a proxy, before another one. SERVER must be a program then. The clients
are those that talk in the ways text and tls: a proxy does not speak the binary protocol, as that of
memcached does not, and SASL needs it.

The arguments of a client are the host, the port, and the way to talk to the server: `text`;
`binary`; `sasl NAME PASSWORD`, which is the binary protocol with a name; or `tls CERTIFICATE`.
"""

import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYTHON = ROOT / "target" / "venv" / "bin" / "python"
GO_PROGRAM = ROOT / "target" / "client-go"

NODE_MODULES = ROOT / "target" / "node" / "node_modules"

NAME, PASSWORD = "somebody", "secret"

# The command, and the way it talks to the server.
CLIENTS = {
    "pymemcache": ([PYTHON, HERE / "client_pymemcache.py"], "text"),
    "python-memcached": ([PYTHON, HERE / "client_python_memcached.py"], "text"),
    "aiomcache": ([PYTHON, HERE / "client_aiomcache.py"], "text"),
    "emcache": ([PYTHON, HERE / "client_emcache.py"], "text"),
    "pylibmc": ([PYTHON, HERE / "client_pylibmc.py"], "text"),
    "libmemcached tools": (["bash", HERE / "client_libmemcached.sh"], "text"),
    "php memcached": (["php", HERE / "client_php.php"], "text"),
    "gomemcache": ([GO_PROGRAM], "text"),
    "node memcached": (["node", HERE / "client_memcached.js"], "text"),
    "memcache-client": (["node", HERE / "client_memcache_client.js"], "text"),
    "connect-memcached": (["node", HERE / "client_connect_memcached.js"], "text"),
    "memccapable": ([PYTHON, HERE / "client_memccapable.py"], "text"),
    "pymemcache, TLS": ([PYTHON, HERE / "client_pymemcache.py"], "tls"),
    "pylibmc, binary": ([PYTHON, HERE / "client_pylibmc.py"], "binary"),
    "libmemcached tools, binary": (["bash", HERE / "client_libmemcached.sh"], "binary"),
    "php memcached, binary": (["php", HERE / "client_php.php"], "binary"),
    "bmemcached": ([PYTHON, HERE / "client_bmemcached.py"], "binary"),
    "memjs": (["node", HERE / "client_memjs.js"], "binary"),
    "@keyv/memcache": (["node", HERE / "client_keyv_memcache.js"], "binary"),
    "memccapable, binary": ([PYTHON, HERE / "client_memccapable.py"], "binary"),
    "pylibmc, SASL": ([PYTHON, HERE / "client_pylibmc.py"], "sasl"),
    "php memcached, SASL": (["php", HERE / "client_php.php"], "sasl"),
    "bmemcached, SASL": ([PYTHON, HERE / "client_bmemcached.py"], "sasl"),
    "memjs, SASL": (["node", HERE / "client_memjs.js"], "sasl"),
}

# The kind of server for each way to talk.
KINDS = {"text": "plain", "binary": "plain", "sasl": "sasl", "tls": "tls"}

# Checks that a proxy does not pass: flush_all and dumps concern its own cache, as with memcached's.
# memccapable flushes before `ascii add`.
LEFT_OUT = [
    *("get after flush", "memcexist after memcflush", "memcdump's keys"),
    *("ascii flush", "ascii flush noreply", "ascii add"),
]

# The cluster of one node that plain servers announce, if the server can.
NODES = "localhost|127.0.0.1|PORT"


class Fleet:
    """The servers of a run: one of each kind, started when a client first needs it."""

    def __init__(self, program, is_proxy):
        self.program, self.is_proxy = program, is_proxy
        self.running = {}
        self.backends = []
        self.stubborn = []
        self.directory = tempfile.TemporaryDirectory(prefix="clients-")
        self.certificate = pathlib.Path(self.directory.name) / "certificate.pem"
        described = subprocess.run([program, "-h"], capture_output=True, text=True).stdout
        self.has_clusters = "--cluster-nodes" in described

    def address(self, kind):
        """Returns host and port of a server of this kind. A proxy is a new one for each client."""
        if self.is_proxy:
            self.end_all()
        if kind not in self.running:
            flags, environment = self.prepare(kind)
            if self.is_proxy:
                flags += self.add_backend()
            self.running[kind] = start(self.program, flags, environment)
        return self.running[kind][1:]

    def add_backend(self):
        """Starts a server, and returns the flags of a proxy before it."""
        backend, host, port = start(self.program, [], {})
        self.backends.append(backend)
        configuration = pathlib.Path(self.directory.name) / f"{port}.toml"
        configuration.write_text(f"route = 'all'\npools.all.backends = ['{host}:{port}']\n")
        return ["-o", f"proxy_config={configuration}"]

    def prepare(self, kind):
        """Returns the flags and the environment for a server of this kind."""
        directory = pathlib.Path(self.directory.name)
        if kind == "sasl":
            passwords = directory / "passwords"
            # memcached itself uses Cyrus SASL, which looks for a name with the host's behind it.
            names = NAME, f"{NAME}@{socket.gethostname()}"
            passwords.write_text("".join(f"{name}:{PASSWORD}\n" for name in names))
            # It also needs the list of mechanisms.
            (directory / "memcached.conf").write_text("mech_list: plain\n")
            return ["-S"], {"MEMCACHED_SASL_PWDB": str(passwords), "SASL_CONF_PATH": str(directory)}
        if kind == "tls":
            key = directory / "key.pem"
            command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
            command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
            command += ["-keyout", key, "-out", self.certificate]
            subprocess.run(command, check=True, capture_output=True)
            return ["-Z", "-o", f"ssl_chain_cert={self.certificate},ssl_key={key}"], {}
        return ["--cluster-nodes", NODES] if self.has_clusters else [], {}

    def ended(self):
        """Returns the kinds whose server has ended by itself."""
        return [kind for kind, server in self.running.items() if server[0].poll() is not None]

    def end_all(self):
        """Stops all servers."""
        for kind, (server, _, _) in self.running.items():
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                self.stubborn.append(kind)
        for backend in self.backends:
            backend.terminate()
            backend.wait(10)
        self.running, self.backends = {}, []

    def stop(self):
        """Stops all servers. Returns the kinds that did not stop."""
        self.end_all()
        self.directory.cleanup()
        return self.stubborn


def start(program, flags, environment):
    """Starts the server on a free port. Returns the process, the host and the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", "64"]
    command += [flag.replace("PORT", str(port)) for flag in flags]
    if os.geteuid() == 0:
        command += ["-u", "root"]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=os.environ | environment)
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
    raise OSError(f"{program} {' '.join(flags)} does not accept connections")


def build_go():
    """Builds the Go program. Debian's Go packages lie in a GOPATH."""
    environment = dict(os.environ, GOPATH="/usr/share/gocode", GO111MODULE="off", GOFLAGS="")
    environment.setdefault("GOCACHE", str(ROOT / "target" / "go-cache"))
    command = ["go", "build", "-o", str(GO_PROGRAM), str(HERE / "go" / "main.go")]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def run(name, host, port, fleet):
    """Runs a client's test. Returns whether it passed, and its output."""
    if name == "gomemcache":
        built = build_go()
        if built.returncode != 0:
            return False, built.stderr.strip() or built.stdout.strip()
    client, how = CLIENTS[name]
    more = {"sasl": [NAME, PASSWORD], "tls": [fleet and fleet.certificate]}.get(how, [])
    command = [str(word) for word in [*client, host, port, how, *more]]
    environment = os.environ | {"NODE_PATH": str(NODE_MODULES)}
    if fleet and fleet.has_clusters and KINDS[how] == "plain":
        environment["CLUSTER_NODES"] = NODES.replace("PORT", str(port))
    if fleet and fleet.is_proxy:
        environment["LEFT_OUT"] = ";".join(LEFT_OUT)
    if how == "sasl":
        # pylibmc has its own Cyrus SASL, which looks for its mechanisms where Debian has none.
        places = pathlib.Path("/usr/lib").glob("*/sasl2")
        environment.setdefault("SASL_PATH", ":".join(str(place) for place in places))
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    except subprocess.TimeoutExpired:
        return False, "did not end within a minute"
    except OSError as error:
        return False, f"{error}; run scripts/setup.sh"
    output = (result.stdout + result.stderr).strip()
    return result.returncode == 0, output


def main():
    words = sys.argv[1:]
    ways = set(KINDS)
    if len(words) > 1 and words[0] == "--only":
        ways = set(words[1].split(","))
        words = words[2:]
    is_proxy = words[:1] == ["--proxy"]
    if is_proxy:
        ways &= {"text", "tls"}
        words = words[1:]
    if not words or words[0].startswith("-") or not ways <= set(KINDS):
        sys.exit(__doc__)
    target, names = words[0], words[1:] or list(CLIENTS)
    unknown = [name for name in names if name not in CLIENTS]
    if unknown:
        sys.exit(f"no client {unknown[0]}; there are: {'; '.join(CLIENTS)}")
    names = [name for name in names if CLIENTS[name][1] in ways]
    host, _, port = target.rpartition(":")
    fleet = None
    if "/" in target or not port.isdigit():
        fleet = Fleet(target, is_proxy)
    elif is_proxy:
        sys.exit("--proxy needs a program")
    else:
        names = [name for name in names if KINDS[CLIENTS[name][1]] == "plain"]
    passed = 0
    try:
        for name in names:
            begin = time.monotonic()
            try:
                if fleet:
                    host, port = fleet.address(KINDS[CLIENTS[name][1]])
                good, output = run(name, host, port, fleet)
            except OSError as error:
                good, output = False, str(error)
            passed += good
            last = output.splitlines()[-1] if output else ""
            print(f"{'ok  ' if good else 'FAIL'} {name:<26} {time.monotonic() - begin:5.1f} s  {last}", flush=True)
            if not good:
                print("\n".join("     " + line for line in output.splitlines()[-12:]), flush=True)
            if fleet and fleet.ended():
                print(f"FAIL the server ended: {', '.join(fleet.ended())}")
                break
    finally:
        for kind in fleet.stop() if fleet else []:
            print(f"FAIL the server did not stop: {kind}")
            passed = max(0, passed - 1)
    print(f"{passed} passed, {len(names) - passed} failed")
    sys.exit(0 if passed == len(names) else 1)


main()
