"""bmemcached (python-binary-memcached), the binary protocol, with a name or without."""

import os

import bmemcached
from bmemcached.exceptions import MemcachedException
from checks import LARGE, Checks, address, credentials, how, until_gone

check = Checks()
server = ["{}:{}".format(*address())]
name, password = credentials() if how() == "sasl" else (None, None)
if name:
    try:
        bmemcached.Client(server, name, f"{password}x").get("a")
        check.true("a wrong password is refused", False)
    except MemcachedException as error:
        check.equal("a wrong password is refused", error.code, 0x20)
client = bmemcached.Client(server, name, password, compression=None)

check.true("set", client.set("a", "one"))
check.equal("get", client.get("a"), "one")
check.equal("get of nothing", client.get("nothing"), None)
check.true("an object", client.set("o", {"x": [1, 2.5]}) and client.get("o") == {"x": [1, 2.5]})
check.true("a number", client.set("i", 7) and client.get("i") == 7)
check.equal("set many", client.set_multi({"m1": "1", "m2": "2"}), [])
check.equal("get many", client.get_multi(["m1", "none", "m2"]), {"m1": "1", "m2": "2"})
check.equal("add", client.add("a", "x"), False)
check.equal("add of nothing", client.add("b", "x"), True)
check.equal("replace", client.replace("a", "two"), True)
check.equal("replace of nothing", client.replace("nothing", "two"), False)
value, number = client.gets("a")
check.equal("gets", value, "two")
check.equal("cas", client.cas("a", "three", number), True)
check.equal("an old cas", client.cas("a", "four", number), False)
check.equal("get after cas", client.get("a"), "three")
check.equal("incr of nothing makes it", client.incr("n", 1, default=10), 10)
check.equal("incr", client.incr("n", 5), 15)
check.equal("decr", client.decr("n", 20), 0)
check.true("set with a time", client.set("short", "x", time=1))
check.true("it expires", until_gone(lambda: client.get("short")))
check.true("delete", client.delete("a"))
check.equal("it is gone", client.get("a"), None)
check.true("delete many", client.delete_multi(["m1", "m2"]))
check.true("large set", client.set("large", LARGE))
check.equal("large get", client.get("large"), LARGE)
try:
    client.set("larger", os.urandom(1_500_000))
    check.true("a value that is too large is refused", False)
except MemcachedException as error:
    check.equal("a value that is too large is refused", error.code, 3)
check.equal("get after that", client.get("large"), LARGE)
statistics = client.stats()[server[0]]
check.true("stats", int(statistics["pid"]) > 0)
check.true("stats settings", "maxbytes" in client.stats("settings")[server[0]])
check.true("flush", client.flush_all())
check.equal("get after flush", client.get_multi(["b", "n", "large"]), {})
client.disconnect_all()
check.done()
