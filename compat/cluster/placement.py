#!/usr/bin/env python3
"""Records where clients and proxies put keys, or compares it with what is recorded.

usage: placement.py [--write] [--only TEXT] SERVER

SERVER is a daemon or a memcached. It listens on loopback addresses of its own, because rings are
made of addresses. Each case of core/tests/data/placement.toml has a client, which stores all keys,
and the settings of a pool that finds them. `node` of a case has a digit for each key: the index of
the node that the client chose. The tests of core compare the pool with it.

--write records all cases anew. --only takes the cases with this text in their names.
MEMCACHED_PROXY names a memcached that is built with its proxy. Without it, its cases are skipped.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import tomllib

import memcache
import pylibmc
from nodes import Process, ask, free_port, unquote
from pymemcache.client.base import Client
from pymemcache.client.hash import HashClient

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE = ROOT / "core" / "tests" / "data" / "placement.toml"
#: Three nodes with memcached's port, which some rings leave out, and five with another one.
PLAIN = [f"127.77.1.{n}:11211" for n in range(1, 4)]
OTHER = [f"127.77.2.{n}:24077" for n in range(1, 6)]
ASCII = [f"user:{n}" for n in range(240)] + ["a", "a{b}c", "{b}", "x{b}{c}", "b", "a}b{", "a/b", "a/c", "k" * 200]
#: Bytes above 127, which C code reads as negative numbers. Some clients refuse such keys.
KEYS = [*ASCII, *(f"ключ-{n}" for n in range(30)), "é", "日本語"]

PHP = """
$setup = json_decode($argv[1], true);
$client = new Memcached();
foreach ($setup["options"] as $name => $value) {
    $client->setOption(constant("Memcached::$name"), is_string($value) ? constant("Memcached::$value") : $value);
}
$client->addServers($setup["servers"]);
while (($key = fgets(STDIN)) !== false) {
    if (!$client->set(trim($key), "x")) exit(1);
}
"""
RUBY = """
require "dalli"
client = Dalli::Client.new(ARGV)
$stdin.each_line { |key| client.set(key.strip, "x") or exit 1 }
"""
GO = """
package main

import ("bufio"; "os"; "github.com/bradfitz/gomemcache/memcache")

func main() {
    client := memcache.New(os.Args[1:]...)
    for keys := bufio.NewScanner(os.Stdin); keys.Scan(); {
        if err := client.Set(&memcache.Item{Key: keys.Text(), Value: []byte("x")}); err != nil {
            panic(err)
        }
    }
}
"""
NODE = """
const [module, ...servers] = process.argv.slice(1);
const keys = require("fs").readFileSync(0, "utf8").trim().split("\\n");
const client = module === "memjs" ? require(module).Client.create(servers.join(",")) : new (require(module))(servers);
const set = (key) => new Promise((resolve, reject) => {
  const done = (error) => (error ? reject(error) : resolve());
  module === "memjs" ? client.set(key, "x", {}, done) : client.set(key, "x", 0, done);
});
(async () => { for (const key of keys) await set(key); process.exit(0); })();
"""


class Case:
    """A client and the settings of a pool that finds its keys."""

    def __init__(self, name, store, nodes=OTHER, weights=None, keys=KEYS, names=None, **settings):
        self.name, self.store, self.nodes, self.keys, self.names = name, store, nodes, keys, names
        self.weights = weights or [1] * len(nodes)
        self.settings = settings

    def servers(self):
        """Returns the nodes as triples of host, port and weight."""
        split = (node.rsplit(":", 1) for node in self.nodes)
        return [(host, int(port), weight) for (host, port), weight in zip(split, self.weights, strict=True)]

    def pool(self):
        """Returns the settings of the pool as lines of TOML."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.settings.items()]
        backends = []
        for index, (node, weight) in enumerate(zip(self.nodes, self.weights, strict=True)):
            more = [f"weight = {weight}"] * (weight != 1)
            more += [f'name = "{self.names[index]}"'] if self.names else []
            address = json.dumps(node)
            backends.append(f"{{ address = {address}, {', '.join(more)} }}" if more else address)
        return "\n".join([*lines, f"backends = [{', '.join(backends)}]"])

    def record(self, program):
        """Stores the keys by the client. Returns a digit for each key."""
        nodes = [
            Process([program, "-U", "0", "-t", "1", "-m", "32", "-l", host, "-p", port], port, host)
            for host, port, _ in self.servers()
        ]
        try:
            self.store(self)
            held = [keys(node) for node in nodes]
        finally:
            for node in nodes:
                node.kill()
        return "".join(only(key, held) for key in self.keys)


def keys(node):
    lines = ask(node.port, "lru_crawler metadump all", "END", node.host)
    return {unquote(word.removeprefix("key=")) for line in lines for word in line.split()[:1] if word != "OK"}


def only(key, held):
    """Returns the index of the one node that holds a key."""
    found = [str(index) for index, keys in enumerate(held) if key in keys]
    assert len(found) == 1, f"{key} is on {len(found)} nodes"
    return found[0]


def by_pylibmc(**behaviors):
    def store(case):
        names = [f"{host}:{port}:{weight}" for host, port, weight in case.servers()]
        client = pylibmc.Client(names, behaviors=behaviors)
        assert all(client.set(key.encode(), "x") for key in case.keys)

    return store


def by_php(**options):
    def store(case):
        setup = json.dumps({"options": options, "servers": case.servers()})
        run(["php", "-r", PHP, setup], case.keys)

    return store


def by_node(module):
    return lambda case: run(["node", "-e", NODE, module, *case.nodes], case.keys)


def by_dalli(case):
    servers = [f"{host}:{port}:{weight}" for host, port, weight in case.servers()]
    run(["ruby", "-e", RUBY, "--", *servers], case.keys)


def by_gomemcache(case):
    with tempfile.TemporaryDirectory() as place:
        path = pathlib.Path(place, "main.go")
        path.write_text(GO)
        # Debian installs its Go packages there. The cache is that of compat/clients/run.py.
        settings = ["GO111MODULE=off", "GOPATH=/usr/share/gocode", f"GOCACHE={ROOT / 'target' / 'go-cache'}"]
        run(["env", *settings, "go", "run", path, *case.nodes], case.keys)


def run(command, lines):
    environment = os.environ | {"NODE_PATH": str(ROOT / "target" / "node" / "node_modules")}
    text = "".join(f"{line}\n" for line in lines)
    subprocess.run(command, input=text, text=True, env=environment, check=True, timeout=60)


def by_pymemcache(case):
    client = HashClient([(host, port) for host, port, _ in case.servers()], allow_unicode_keys=True)
    assert all(client.set(key, "x", noreply=False) for key in case.keys)


def by_python_memcached(case):
    client = memcache.Client([(f"{host}:{port}", weight) for host, port, weight in case.servers()])
    assert all(client.set(key, "x") for key in case.keys)


def through(process, case):
    """Stores the keys through a proxy."""
    try:
        client = Client((process.host, process.port), timeout=5, allow_unicode_keys=True)
        assert all(client.set(key, "x", noreply=False) for key in case.keys)
    finally:
        process.kill()


def by_twemproxy(**settings):
    def store(case):
        port = free_port()
        settings_ = {"listen": f"127.0.0.1:{port}", "timeout": 5000, "auto_eject_hosts": "false"} | settings
        lines = [f"  {name}: {value}" for name, value in settings_.items()]
        names = case.names or [""] * len(case.nodes)
        servers = zip(case.servers(), names, strict=True)
        lines += ["  servers:", *(f"    - {host}:{port}:{weight} {name}" for (host, port, weight), name in servers)]
        with tempfile.TemporaryDirectory() as place:
            path = pathlib.Path(place, "nutcracker.yml")
            path.write_text("\n".join(["pool:", *lines, ""]))
            command = ["nutcracker", "-c", path, "-a", "127.0.0.1", "-s", free_port(), "-o", path.with_suffix(".log")]
            through(Process(command, port), case)

    return store


def by_memcached_proxy(options=""):
    def store(case):
        port = free_port()
        backends = ", ".join(f'"{node}"' for node in case.nodes)
        text = f"pools{{ p = {{ options = {{ {options} }}, backends = {{ {backends} }} }} }}\n"
        with tempfile.TemporaryDirectory() as place:
            path = pathlib.Path(place, "proxy.lua")
            path.write_text(text + 'routes{ default = route_direct{ child = "p" } }\n')
            command = [os.environ["MEMCACHED_PROXY"], "-l", "127.0.0.1", "-p", port, "-U", "0", "-t", "1"]
            through(Process([*command, "-o", f"proxy_config=routelib,proxy_arg={path}"], port), case)

    return store


def cases():
    weights = [1, 2, 3, 1, 5]
    yield Case("pylibmc", by_pylibmc(), distribution="modula")
    for name in ("md5", "crc", "fnv1_32", "fnv1a_32", "fnv1_64", "fnv1a_64", "murmur"):
        key_hash = "crc32" if name == "crc" else name
        yield Case(f"pylibmc, hash {name}", by_pylibmc(hash=name), distribution="modula", key_hash=key_hash)
    yield Case("pylibmc, ketama", by_pylibmc(ketama=True), distribution="libmemcached")
    yield Case("pylibmc, ketama, port 11211", by_pylibmc(ketama=True), PLAIN, distribution="libmemcached")
    weighted = by_pylibmc(ketama_weighted=True)
    yield Case("pylibmc, ketama_weighted", weighted, distribution="ketama")
    yield Case("pylibmc, ketama_weighted, port 11211", weighted, PLAIN, distribution="ketama")
    yield Case("pylibmc, ketama_weighted, weights", weighted, weights=weights, distribution="ketama")
    yield Case("php-memcached", by_php(), keys=ASCII, distribution="modula")
    consistent = by_php(OPT_DISTRIBUTION="DISTRIBUTION_CONSISTENT")
    yield Case("php-memcached, DISTRIBUTION_CONSISTENT", consistent, keys=ASCII, distribution="libmemcached")
    ketama = by_php(OPT_LIBKETAMA_COMPATIBLE=True)
    named = "php-memcached, OPT_LIBKETAMA_COMPATIBLE, weights"
    yield Case(named, ketama, weights=weights, keys=ASCII, distribution="ketama")
    yield Case("pymemcache", by_pymemcache, distribution="rendezvous")
    yield Case("pymemcache, port 11211", by_pymemcache, PLAIN, distribution="rendezvous")
    crc32 = {"distribution": "modula", "key_hash": "crc32"}
    yield Case("python-memcached", by_python_memcached, **crc32)
    yield Case("python-memcached, weights", by_python_memcached, weights=weights, **crc32)
    yield Case("Dalli", by_dalli, keys=ASCII, distribution="dalli")
    yield Case("Dalli, weights, port 11211", by_dalli, PLAIN, [1, 3, 2], keys=ASCII, distribution="dalli")
    yield Case("gomemcache", by_gomemcache, keys=ASCII, distribution="modula", key_hash="crc32a")
    yield Case("memjs", by_node("memjs"), distribution="modula", key_hash="java")
    yield Case("memcached for Node", by_node("memcached"), keys=ASCII, distribution="ketama")
    yield Case("memcached for Node, port 11211", by_node("memcached"), PLAIN, keys=ASCII, distribution="ketama")
    for name in ("fnv1a_64", "fnv1_64", "fnv1a_32", "fnv1_32", "one_at_a_time", "md5", "crc32", "crc32a", "murmur"):
        twemproxy = by_twemproxy(distribution="ketama", hash=name)
        yield Case(f"twemproxy, hash {name}", twemproxy, distribution="ketama", key_hash=name)
    twemproxy = by_twemproxy(distribution="ketama", hash="fnv1a_64")
    for name, nodes, given in (("weights", OTHER, weights), ("port 11211", PLAIN, None)):
        yield Case(f"twemproxy, {name}", twemproxy, nodes, given, distribution="ketama", key_hash="fnv1a_64")
    named = ["ada", "bob", "cy", "dee", "eve"]
    yield Case("twemproxy, names", twemproxy, weights=weights, names=named, distribution="ketama", key_hash="fnv1a_64")
    twemproxy = by_twemproxy(distribution="modula", hash="crc32a")
    yield Case("twemproxy, modula, weights", twemproxy, weights=weights, distribution="modula", key_hash="crc32a")
    twemproxy = by_twemproxy(distribution="ketama", hash="md5", hash_tag='"{}"')
    yield Case("twemproxy, hash_tag", twemproxy, distribution="ketama", hash_tag="{}")
    if not os.environ.get("MEMCACHED_PROXY"):
        return
    yield Case("memcached's proxy", by_memcached_proxy(), distribution="jump")
    seeded = by_memcached_proxy('seed = "sprout"')
    yield Case("memcached's proxy, seed", seeded, distribution="jump", seed="sprout")
    for name, given in (("tags", "{}"), ("stop", "r:")):
        filtered = by_memcached_proxy(f'filter = "{name}", filter_conf = "{given}"')
        setting = {"hash_tag" if name == "tags" else "hash_stop": given}
        yield Case(f"memcached's proxy, filter {name}", filtered, distribution="jump", **setting)
    ring = "dist = mcp.dist_ring_hash"
    yield Case("memcached's proxy, ring", by_memcached_proxy(ring), distribution="ring")
    md5 = by_memcached_proxy(f"{ring}, hash = mcp.dist_ring_hash.hash")
    yield Case("memcached's proxy, ring, md5", md5, distribution="ring", key_hash="md5")
    for mode, distribution in (("ketama", "ketama_port"), ("twemproxy", "ketama"), ("evcache", "evcache")):
        options = f'{ring}, omode = "{mode}"'
        for nodes, port in ((OTHER, ""), (PLAIN, ", port 11211")):
            named = f"memcached's proxy, omode {mode}{port}"
            yield Case(named, by_memcached_proxy(options), nodes, distribution=distribution, key_hash="xxh3")
        md5 = by_memcached_proxy(f"{options}, hash = mcp.dist_ring_hash.hash")
        yield Case(f"memcached's proxy, omode {mode}, md5", md5, distribution=distribution)


HEAD = """\
# Where clients put keys. compat/cluster/placement.py records and checks this file.
#
# `node` has a digit for each of the first keys: the index of the node. `pool` has the settings
# of a pool that must choose the same.

keys = [
"""


def write(recorded):
    """Writes the file from pairs of a case and its digits."""
    names = [json.dumps(key, ensure_ascii=False) for key in KEYS]
    lines = [f"    {', '.join(names[at : at + 6])}," for at in range(0, len(names), 6)]
    text = HEAD + "\n".join([*lines, "]", ""])
    for case, digits in recorded:
        text += f'\n[[case]]\nclient = "{case.name}"\npool = """\n{case.pool()}\n"""\nnode = "{digits}"\n'
    FILE.write_text(text)


def main():
    words = sys.argv[1:]
    program = words.pop() if words else sys.exit(__doc__)
    writes = words == ["--write"]
    text = words[1] if len(words) == 2 and words[0] == "--only" else ""
    if words and not writes and not text:
        sys.exit(__doc__)
    known = {} if writes else {case["client"]: case for case in tomllib.loads(FILE.read_text())["case"]}
    recorded, failed = [], 0
    for case in cases():
        if text not in case.name:
            continue
        digits = case.record(program)
        recorded.append((case, digits))
        found = known.pop(case.name, None)
        same = writes or found and found["node"] == digits and found["pool"].strip() == case.pool()
        failed += not same
        print(f"{'ok  ' if same else 'FAIL'} {case.name}", flush=True)
    if writes:
        write(recorded)
    left = sum(text in name for name in known)
    if left and not os.environ.get("MEMCACHED_PROXY"):
        print(f"skip {left} cases: MEMCACHED_PROXY does not name a memcached with a proxy")
    elif left:
        print(f"FAIL {left} cases of the file are not among those here")
        failed += left
    print(f"{len(recorded) - failed} passed, {failed} failed")
    sys.exit(0 if recorded and not failed else 1)


if __name__ == "__main__":
    main()
