#!/usr/bin/env python3
"""Runs three nodes behind each way to use more than one, kills one and revives it under load.

usage: run.py [--only TEXT] SERVER

SERVER is a daemon. --only takes the ways with this text in their names. scripts/setup.sh installs
the clients, and target/venv/bin/python runs this file.

Each way has a client that sets keys, and then gets them one after another. It sets a missing key
again, as an application does. In that time a node gets SIGKILL, and later starts again, empty. The
test prints what was lost, and checks:

- Each node holds exactly the keys that rings.py puts there: before, while the node is dead, after.
- Requests fail only for keys of the dead node. Keys of the others stay where they are.
- No client returns the value of another key.

MEMCACHED_PROXY names a memcached that is built with its proxy. Without it, that way is skipped.
"""

import collections
import os
import pathlib
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import clients
import rings
from nodes import PATIENCE, Node, ask, memcached_proxy, own_proxy, twemproxy

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "cluster"
KEYS = [f"user:{n}" for n in range(1500)]
#: The index of the node that dies.
DEAD = 1
#: The seconds that the load runs at least while the node is dead. Clients give up within them.
OUTAGE = 2.0


@dataclass
class Way:
    """A way to use three nodes."""

    name: str
    #: Builds the ring, as in rings.py.
    ring: Any
    #: Returns a client of the nodes.
    connect: Any
    #: Whether it takes a dead node out of the ring, and whether that node ever comes back.
    ejects: bool = True
    returns: bool = True
    weights: tuple = (1, 1, 1)
    #: Called with the nodes and the dead one, after the node has died and after it has started.
    changed: Any = lambda nodes, dead: None

    def owners(self, nodes, dead=None):
        """Returns the index of the node of each key."""
        named = [(node.name, weight) for node, weight in zip(nodes, self.weights, strict=True)]
        place = self.ring([None if index == dead else node for index, node in enumerate(named)])
        return {key: place(key) for key in KEYS}


class Load:
    """Gets keys one after another, and counts what goes wrong.

    `served` is the number of seconds until the first success for a key of `watched`.
    """

    def __init__(self, client, watched=frozenset()):
        self.client, self.watched, self.served = client, watched, None
        self.begun = time.monotonic()
        self.requests, self.failed, self.missed = 0, collections.Counter(), collections.Counter()

    def sweep(self):
        """Gets every key once. Returns whether none failed and none was missing."""
        before = self.failed.total() + self.missed.total()
        for key in KEYS:
            try:
                self.requests += 1
                value = self.client.get(key)
                if value is None:
                    self.missed[key] += 1
                    self.requests += 1
                    self.client.set(key)
                else:
                    check(f"{key} has its own value", value == key)
                if self.served is None and key in self.watched:
                    self.served = time.monotonic() - self.begun
            except clients.Failed:
                self.failed[key] += 1
        return before == self.failed.total() + self.missed.total()

    def sweep_until(self, done):
        """Sweeps until `done(clean, seconds)`. Returns the seconds since the start of the load."""
        while True:
            clean = self.sweep()
            spent = time.monotonic() - self.begun
            if done(clean, spent):
                return spent
            check(f"the keys are served within {PATIENCE} s", spent < PATIENCE)


def check(what, good):
    if not good:
        raise AssertionError(f"not so: {what}")


def held(owner, index):
    return {key for key, node in owner.items() if node == index}


def try_way(way, nodes):
    """Kills and revives a node behind this way. Returns the cells of a row."""
    for node in nodes:
        node.flush()
    way.changed(nodes, None)
    client = way.connect(nodes)
    try:
        for key in KEYS:
            client.set(key)
        check("all keys are found", Load(client).sweep())
        owner, fallback = way.owners(nodes), way.owners(nodes, DEAD)
        lost = held(owner, DEAD)
        for index, node in enumerate(nodes):
            check(f"node {index} holds the keys of its ring", node.keys() == held(owner, index))

        nodes[DEAD].kill()
        way.changed(nodes, DEAD)
        outage = Load(client, lost)
        outage.sweep_until(lambda clean, spent: (clean or not way.ejects) and spent > OUTAGE)
        check("an ejected node's keys are served, others are not", (outage.served is not None) == way.ejects)
        check("requests fail only for keys of the dead node", set(outage.failed) <= lost)
        check("only keys of the dead node are missed", set(outage.missed) <= lost)
        for index, node in enumerate(nodes):
            expected = held(fallback if way.ejects else owner, index)
            check(f"node {index} holds its part of all keys", index == DEAD or node.keys() == expected)
        moved = {key for key in KEYS if owner[key] != fallback[key]} if way.ejects else set()
        check("only keys of the dead node move", moved == (lost if way.ejects else set()))
        check("each of its keys fails or is missed", set(outage.failed) | set(outage.missed) == lost)

        nodes[DEAD].start()
        way.changed(nodes, None)
        after = Load(client)
        mine = lost if way.returns else set()
        back = after.sweep_until(lambda clean, spent: clean and nodes[DEAD].keys() == mine)
        check("requests fail only for keys of the revived node", set(after.failed) <= lost)
        copies = sum(len(node.keys()) for node in nodes) - len(KEYS)
        check("keys that moved leave a copy behind", copies == (len(lost) if moved and way.returns else 0))
    finally:
        client.close()
    return [
        way.name,
        f"{len(lost) / len(KEYS):.1%}",
        f"{outage.failed.total()} of {outage.requests}",
        f"{outage.served:.1f} s" if way.ejects else "revival",
        f"{len(moved) / len(KEYS):.1%}",
        f"{after.failed.total()}",
        f"{back:.1f} s" if way.returns else "never",
        f"{copies}",
    ]


COLUMNS = ["way", "keys of the node", "failed while dead", "served again after", "keys moved"]
COLUMNS += ["failed after revival", "node used after", "old copies"]


class Announcer:
    """Changes the list that nodes give to auto-discovery, as the operator of a cluster does."""

    def __init__(self):
        self.version = 1

    def __call__(self, nodes, dead):
        self.version += 1
        live = [node for index, node in enumerate(nodes) if index != dead]
        listed = " ".join(f"{node.host}|{node.host}|{node.port}" for node in live)
        text = f"{self.version}\n{listed}\n"
        for node in live:
            ask(node.port, f"config set cluster 0 {len(text)}\r\n{text}", "STORED")


def ways(place):
    """Returns the ways by their order in docs/cluster.md."""
    nutcracker, proxy = EXAMPLES / "nutcracker.yml", EXAMPLES / "proxy.lua"

    def pylibmc(*weights, **behaviors):
        return lambda nodes: clients.Pylibmc(nodes, weights or None, **behaviors)

    def behind_twemproxy(**settings):
        return lambda nodes: clients.Proxied(twemproxy(nutcracker, place, nodes, **settings))

    def behind_memcached(nodes):
        return clients.Proxied(memcached_proxy(os.environ["MEMCACHED_PROXY"], proxy, place, nodes))

    def behind_own(nodes):
        return clients.Proxied(own_proxy(nodes[0].command[0], EXAMPLES / "proxy.toml", place, nodes))

    def fnv1a(nodes):
        return rings.ketama(nodes, rings.fnv1a_64)

    plain = {"ketama_weighted": False, "ketama": True, "auto_eject": False}
    return [
        Way("pylibmc", rings.ketama, pylibmc()),
        Way(
            "pylibmc, weights 1 2 3, auto_eject off",
            rings.ketama,
            pylibmc(1, 2, 3, auto_eject=False),
            ejects=False,
            weights=(1, 2, 3),
        ),
        Way(
            "pylibmc, ketama without weights, auto_eject off",
            rings.ketama_without_weights,
            pylibmc(**plain),
            ejects=False,
        ),
        Way("pymemcache HashClient", rings.rendezvous, clients.pymemcache),
        Way("php-memcached", rings.ketama, clients.php),
        Way("Node memcached", rings.ketama, lambda nodes: clients.node("memcached", nodes), returns=False),
        Way("memjs", rings.modulo, lambda nodes: clients.node("memjs", nodes)),
        Way("auto-discovery", rings.ketama, lambda nodes: clients.node("discovery", nodes), changed=Announcer()),
        Way("twemproxy", rings.ketama, behind_twemproxy()),
        Way(
            "twemproxy, fnv1a_64, auto_eject_hosts off",
            fnv1a,
            behind_twemproxy(hash="fnv1a_64", auto_eject_hosts="false"),
            ejects=False,
        ),
        Way("memcache-rs's proxy", rings.ketama, behind_own, ejects=False),
        Way("memcached's proxy", rings.ketama, behind_memcached, ejects=False),
    ]


def main():
    words = sys.argv[1:]
    only = words[1] if len(words) == 3 and words[0] == "--only" else ""
    if len(words) != (3 if only else 1):
        sys.exit(__doc__)
    rows, failed, skipped = [], 0, 0
    nodes = []
    with tempfile.TemporaryDirectory() as directory:
        try:
            nodes += [Node(words[-1]) for _ in range(3)]
            for way in ways(pathlib.Path(directory)):
                if only not in way.name:
                    continue
                if way.name == "memcached's proxy" and not os.environ.get("MEMCACHED_PROXY"):
                    print("skip memcached's proxy: MEMCACHED_PROXY does not name a memcached with a proxy")
                    skipped += 1
                    continue
                begin = time.monotonic()
                try:
                    rows.append(try_way(way, nodes))
                    print(f"ok   {way.name:<48} {time.monotonic() - begin:4.1f} s", flush=True)
                except (AssertionError, OSError, clients.Failed) as error:
                    failed += 1
                    print(f"FAIL {way.name}: {error}", flush=True)
                    if nodes[DEAD].process.poll() is not None:
                        nodes[DEAD].start()
        finally:
            for node in nodes:
                node.kill()
    for row in [COLUMNS, ["---"] * len(COLUMNS), *rows]:
        print("| " + " | ".join(row) + " |")
    print(f"{len(rows)} passed, {failed} failed, {skipped} skipped")
    sys.exit(0 if rows and not failed else 1)


if __name__ == "__main__":
    main()
