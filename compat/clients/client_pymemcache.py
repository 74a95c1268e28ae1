"""pymemcache, the classic text protocol, over TLS or without."""

import os
import ssl

from checks import LARGE, Checks, address, certificate, how, until_gone
from pymemcache.client.base import Client, PooledClient

check = Checks()
nodes = os.environ.get("CLUSTER_NODES")
tls = ssl.create_default_context(cafile=certificate()) if how() == "tls" else None
client = Client(address(), no_delay=True, tls_context=tls)

check.true("version", client.version().startswith(b"1.6."))
check.true("set", client.set("a", "one", noreply=False))
check.equal("get", client.get("a"), b"one")
check.equal("get of nothing", client.get("nothing"), None)
check.equal("add", client.add("a", "two", noreply=False), False)
check.equal("replace", client.replace("a", "two", noreply=False), True)
check.equal("append", client.append("a", "-end", noreply=False), True)
check.equal("prepend", client.prepend("a", "start-", noreply=False), True)
check.equal("get again", client.get("a"), b"start-two-end")
check.equal("set many", client.set_many({"m1": "1", "m2": "2"}, noreply=False), [])
check.equal("get many", client.get_many(["m1", "none", "m2"]), {"m1": b"1", "m2": b"2"})
value, number = client.gets("a")
check.equal("cas", client.cas("a", "three", number, noreply=False), True)
check.equal("cas with an old number", client.cas("a", "four", number, noreply=False), False)
check.equal("cas of nothing", client.cas("nothing", "x", number, noreply=False), None)
client.set("n", "10")
check.equal("incr", client.incr("n", 5), 15)
check.equal("decr", client.decr("n", 20), 0)
check.equal("incr of nothing", client.incr("nothing", 1), None)
check.equal("touch", client.touch("a", 100, noreply=False), True)
check.equal("touch of nothing", client.touch("nothing", 100, noreply=False), False)
check.true("set with a time", client.set("short", "x", expire=1, noreply=False))
check.true("it expires", until_gone(lambda: client.get("short")))
check.equal("delete", client.delete("a", noreply=False), True)
check.equal("delete of nothing", client.delete("a", noreply=False), False)
if tls:
    ciphers = client.sock.cipher()
    check.true("TLS 1.2 or 1.3", ciphers and ciphers[1] in ("TLSv1.2", "TLSv1.3"))
check.true("large set", client.set("large", LARGE, noreply=False))
check.equal("large get", client.get("large"), LARGE)
for at in range(200):
    client.set(f"quiet{at}", str(at), noreply=True)
check.equal("sets without reply", len(client.get_many([f"quiet{at}" for at in range(200)])), 200)
check.true("stats", client.stats()[b"pid"] > 0)
check.true("stats settings", b"maxbytes" in client.stats("settings"))
check.true("flush", client.flush_all(noreply=False))
check.equal("get after flush", client.get_many(["m1", "m2", "large"]), {})
if nodes:
    # This is the request of its ElastiCache client, which is not in this release.
    told = client.raw_command(b"config get cluster", end_tokens=b"\n\r\nEND\r\n")
    check.equal("nodes of a cluster", told.splitlines()[1:], [b"1", nodes.encode()])
client.quit()
pool = PooledClient(address(), max_pool_size=4, tls_context=tls)
check.true("pool", pool.set("p", "x", noreply=False) and pool.get("p") == b"x")
check.done()
