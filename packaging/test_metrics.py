#!/usr/bin/env python3
"""Checks `--metrics`, the alert rules and the dashboard with Prometheus and promtool.

A daemon with TLS and a snapshot serves under load, behind it a proxy with one backend that is down.
A Prometheus on loopback scrapes both each second. Then:

- promtool finds no fault in the text, except in names that the public exporter has;
- each series of the public exporter is there, with the value that `stats` reports;
- each query of the dashboard has data, and each alert rule is evaluated on metrics that exist;
- clients that hold up HTTP do not hold up memcached.

usage: test_metrics.py DAEMON
"""

import json
import math
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "packaging/prometheus"
DASHBOARD = ROOT / "packaging/grafana/memcached-rs.json"
EXPORTER = ROOT / "core/tests/exporter.txt"
PATIENCE = 30
# The window of the dashboard's rates: a few scrapes.
WINDOW = "10s"


def eventually(what: str, holds) -> object:
    """Returns the first true result of `holds`."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if result := holds():
            return result
        time.sleep(0.05)
    sys.exit(f"{what}: not within {PATIENCE} seconds")


def run(*command: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=PATIENCE, **options)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Client:
    """A connection that speaks memcached's text protocol."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.file = self.socket.makefile("rb")

    def ask(self, request: str, last: tuple[str, ...]) -> list[str]:
        """Sends a request, and returns the lines of the reply up to one of `last`."""
        self.socket.sendall(request.encode("latin-1"))
        lines: list[str] = []
        while not lines or lines[-1] not in last:
            line = self.file.readline().decode("latin-1")
            if not line:
                raise EOFError(lines)
            lines.append(line.rstrip("\r\n"))
        return lines

    def stats(self, group: str = "") -> dict[str, str]:
        lines = self.ask(f"stats {group}".strip() + "\r\n", ("END",))
        return dict(line.removeprefix("STAT ").split(" ", 1) for line in lines[:-1])


class Load(threading.Thread):
    """Requests of all kinds until it is stopped."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.client = Client(port)
        self.is_over = threading.Event()
        self.rounds = 0

    def run(self) -> None:
        value = "x" * 4000
        while not self.is_over.is_set():
            n = self.rounds
            batch = "".join(
                f"set user:{n}{i} 0 {i % 3 * 100} 4000\r\n{value}\r\nget user:{n}{i} page:{n}\r\nget user:hot\r\n"
                f"touch user:{n} 0\r\n"
                for i in range(20)
            )
            batch += (
                f"set user:hot 0 0 1\r\n1\r\nincr user:hot 1\r\ndecr user:hot 1\r\nincr none 1\r\ndecr none 1\r\n"
                f"cas user:hot 0 0 1 1\r\n1\r\ncas none 0 0 1 1\r\n1\r\ndelete user:{n}0\r\ndelete none\r\n"
                f"set \xff: 0 20 1\r\n1\r\nmg user:hot v\r\nget dead:1\r\nversion\r\n"
            )
            self.client.ask(batch, ("VERSION 1.6.45",))
            self.rounds += 1

    def stop(self) -> None:
        self.is_over.set()
        self.join(PATIENCE)


@contextmanager
def process(name: str, *command: object, log: Path) -> Iterator[subprocess.Popen]:
    with log.open("w") as output:
        started = subprocess.Popen(list(map(str, command)), stdout=output, stderr=output)
    try:
        yield started
    except BaseException:
        print(f"{name}:\n{log.read_text()}", file=sys.stderr)
        raise
    finally:
        started.terminate()
        started.wait(PATIENCE)


def http(port: int, path: str, accept: str = "*/*", method: str = "GET") -> tuple[int, str, str]:
    """Returns the status, the type and the text of a response."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.status, response.headers["Content-Type"], response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def certificate(folder: Path) -> tuple[Path, Path]:
    chain, key = folder / "chain.pem", folder / "key.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-subj", "/CN=localhost", "-keyout", key, "-out", chain, check=True)  # fmt: skip
    return chain, key


def check_rules() -> None:
    """promtool reads the rules, runs their tests, and reads the configuration."""
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"],
                    ["check", "config", "prometheus.yml"]):  # fmt: skip
        done = run("promtool", *command, cwd=RULES)
        if done.returncode != 0:
            sys.exit(f"promtool {' '.join(command)}:\n{done.stdout}{done.stderr}")


def check_text(port: int) -> None:
    """promtool reads the text. Its advice on names may concern names of the exporter only."""
    status, kind, text = http(port, "/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8"), (status, kind)
    advice = run("promtool", "check", "metrics", input=text)
    lines = (advice.stdout + advice.stderr).splitlines()
    faults = [line for line in lines if not line.startswith("memcached_")]
    if advice.returncode not in (0, 3) or faults:
        sys.exit("promtool check metrics:\n" + "\n".join(lines))
    status, kind, text = http(port, "/metrics", "application/openmetrics-text;version=1.0.0")
    assert (status, kind) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8"), (status, kind)
    assert text.endswith("\n# EOF\n")


def check_values(client: Client, port: int, is_proxy: bool = False) -> None:
    """Each series of the exporter is between the values of `stats` before and after the scrape."""
    rows = [line.split() for line in EXPORTER.read_text().splitlines() if not line.startswith("#")]

    def stats() -> dict[tuple[str, str, str], float]:
        found = {}
        for group in ("stats", "settings", "items", "slabs"):
            for name, value in client.stats("" if group == "stats" else group).items():
                *slab, name = name.removeprefix("items:").split(":")
                number = {"yes": "1", "no": "0"}.get(value, value)
                if re.fullmatch(r"-?\d+(\.\d+)?", number):
                    found["stats" if name == "total_malloced" else group, "".join(slab), name] = float(number)
        return found

    before = stats()
    samples = {}
    for line in http(port, "/metrics")[2].splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            samples[name] = float(value)
    after = stats()
    compared = 0
    for name, _, group, stat in rows:
        if group == "extstore" or group == "proxy" and not is_proxy:
            continue
        # The statistics of a proxy are in those of the server.
        group = "stats" if group == "proxy" else group
        slabs = {slab for of, slab, _ in before if of == group} - {""} if group in ("items", "slabs") else {""}
        for slab in slabs:
            parts = [(group, slab, part) for part in stat.split("-")]
            series = name
            if slab:
                base, _, labels = name.partition("{")
                series = f'{base}{{slab="{slab}"' + (f",{labels}" if labels else "}")
            low, high = (found[parts[0]] - sum(found[part] for part in parts[1:]) for found in (before, after))
            value = samples.get(series)
            if value is None or not low <= value <= high:
                sys.exit(f"{series} is {value}, {stat} of stats was {low} before and {high} after")
            compared += 1
    # A proxy has no items, so no slab classes.
    assert compared > (50 if is_proxy else 100), compared


class Prometheus:
    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, **query: str):
        status, _, text = http(self.port, f"/api/v1/{path}?{urllib.parse.urlencode(query)}")
        answer = json.loads(text)
        if status != 200 or answer["status"] != "success":
            sys.exit(f"{query or path}: {answer.get('error')}")
        return answer["data"]

    def query(self, expression: str) -> list:
        return self.get("query", query=expression)["result"]


def check_queries(prometheus: Prometheus) -> None:
    """Each query of the dashboard has data."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    count = 0
    for panel in panels:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in {"$__rate_interval": WINDOW, "$job": ".*", "$instance": ".*"}.items():
                expression = expression.replace(name, value)
            result = prometheus.query(expression)
            # A ratio of two rates that are 0 is not a number.
            if not any(math.isfinite(float(sample["value"][1])) for sample in result):
                sys.exit(f"panel {panel['title']!r} has no data: {expression}")
            count += 1
    print(f"metrics: {count} queries of the dashboard have data")


def check_alerts(prometheus: Prometheus) -> None:
    """Each rule is evaluated without an error, and reads metrics that the server has."""
    rules = eventually("the evaluation of the rules", lambda: [
        rule for group in prometheus.get("rules")["groups"] for rule in group["rules"] if rule["health"] != "unknown"
    ])  # fmt: skip
    for rule in rules:
        if rule["health"] != "ok":
            sys.exit(f"{rule['name']}: {rule.get('lastError')}")
        for name in set(re.findall(r"\bmemcache\w*", rule["query"])) - {"memcached"}:
            if not prometheus.query(name):
                sys.exit(f"{rule['name']} reads {name}, which does not exist")
    print(f"metrics: {len(rules)} alert rules read metrics that exist")


def check_health(port: int) -> None:
    for path, method, status in [("/healthz", "GET", 200), ("/readyz", "GET", 200), ("/readyz", "HEAD", 200),
                                 ("/", "GET", 404), ("/metrics", "POST", 405)]:  # fmt: skip
        assert http(port, path, method=method)[0] == status, (path, method)


def check_hostile(client: Client, port: int) -> None:
    """memcached goes on while clients send half a request by HTTP, or read no response."""
    halves = []
    for number in range(100):
        half = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        half.sendall([b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 200][number % 3])
        halves.append(half)
    for _ in range(100):
        reply = client.ask("set user:1 0 0 1\r\n1\r\nget user:1\r\n", ("END",))
        assert reply == ["STORED", "VALUE user:1 0 1", "1", "END"], reply
    for half in halves:
        half.close()
    check_health(port)


def main(daemon: str) -> None:
    begun = time.monotonic()
    check_rules()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chain, key = certificate(folder)
        memcached, secured, metrics, console, proxy, proxy_metrics = (free_port() for _ in range(6))
        flags = ["-u", "root", "-m", "8", "-t", "2", "-D", ":", "-A", "--metrics", metrics,
                 "-l", f"notls:127.0.0.1:{memcached},127.0.0.1:{secured}", "-Z", "--persist", folder / "items.mcrs",
                 "-o", f"ssl_chain_cert={chain},ssl_key={key},ssl_session_cache",
                 "-o", "maxconns_fast,idle_timeout=3600,temporary_ttl=30"]  # fmt: skip
        # The rules and the target of the file, each second.
        settings = (RULES / "prometheus.yml").read_text().replace("15s", "1s").replace("9150", str(metrics))
        settings = settings.replace("alerts.yml", str(RULES / "alerts.yml"))
        settings = settings.replace(f'["127.0.0.1:{metrics}"]', f'["127.0.0.1:{metrics}", "127.0.0.1:{proxy_metrics}"]')
        pools = {"main": f"localhost:{memcached}", "dead": f"127.0.0.1:{free_port()}"}
        routes = ["route = { by_prefix = { dead = 'dead' }, default = 'main' }"]
        routes += [f"pools.{pool}.backends = ['{address}']" for pool, address in pools.items()]
        routes += [f"pools.{pool}.health = {{ every_ms = 200 }}" for pool in pools]
        (folder / "proxy.toml").write_text("\n".join(routes))
        through = ["-u", "root", "-t", "2", "--metrics", proxy_metrics, "-l", f"127.0.0.1:{proxy}",
                   "-o", f"proxy_config={folder}/proxy.toml,sample_rate=1"]  # fmt: skip
        (folder / "prometheus.yml").write_text(settings)
        server = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                  f"--web.listen-address=127.0.0.1:{console}", "--log.level=warn"]  # fmt: skip
        with (process("memcached-rs", daemon, *flags, log=folder / "daemon.log"),
              process("the proxy", daemon, *through, log=folder / "proxy.log"),
              process("prometheus", *server, log=folder / "prometheus.log")):  # fmt: skip
            def listens(port: int) -> bool:
                with socket.socket() as probe:
                    return probe.connect_ex(("127.0.0.1", port)) == 0

            eventually("the server", lambda: listens(memcached) and http(metrics, "/readyz")[0] == 200)
            client = Client(memcached)
            assert client.ask("persist save\r\n", ("OK",)) == ["OK"]
            eventually("the proxy", lambda: listens(proxy) and http(proxy_metrics, "/readyz")[0] == 200)
            loads = [Load(memcached), Load(proxy)]
            for load in loads:
                load.start()
            eventually("Prometheus", lambda: listens(console) and http(console, "/-/ready")[0] == 200)
            prometheus = Prometheus(console)
            eventually("scrapes", lambda: prometheus.query('count_over_time(up{job="memcached"}[1m]) > 5'))
            check_text(metrics)
            check_text(proxy_metrics)
            check_queries(prometheus)
            check_alerts(prometheus)
            for load in loads:
                load.stop()
                assert load.rounds > 10, load.rounds
            check_values(client, metrics)
            check_values(Client(proxy), proxy_metrics, is_proxy=True)
            check_health(metrics)
            check_hostile(client, metrics)
    print(f"metrics: passed in {time.monotonic() - begun:.0f} seconds")


if __name__ == "__main__":
    main(sys.argv[1])
