"""pylibmc over libmemcached, in the text protocol or the binary one, with a name or without."""

import pylibmc
from checks import LARGE, Checks, address, credentials, how, until_gone

check = Checks()
host, port = address()
server = [f"{host}:{port}"]
options = {"binary": how() != "text", "behaviors": {"cas": True, "tcp_nodelay": True}}
if how() == "sasl":
    check.true("pylibmc was built with SASL", pylibmc.support_sasl)
    name, password = credentials()
    stranger = pylibmc.Client(server, username=name, password=f"{password}x", **options)
    try:
        stranger.set("a", "x")
        check.true("a wrong password is refused", False)
    except pylibmc.Error:
        check.true("a wrong password is refused", True)
    options |= {"username": name, "password": password}
client = pylibmc.Client(server, **options)

check.true("set", client.set("a", "one"))
check.equal("get", client.get("a"), "one")
check.equal("get of nothing", client.get("nothing"), None)
check.true("a number", client.set("i", 7) and client.get("i") == 7)
check.equal("set many", client.set_multi({"m1": "1", "m2": "2"}), [])
check.equal("get many", client.get_multi(["m1", "none", "m2"]), {"m1": "1", "m2": "2"})
check.equal("add", client.add("a", "x"), False)
check.true("replace", client.replace("a", "two"))
check.true("append", client.append("a", "-end"))
check.true("prepend", client.prepend("a", "start-"))
value, number = client.gets("a")
check.equal("gets", value, "start-two-end")
check.equal("cas", client.cas("a", "three", number), True)
check.equal("an old cas", client.cas("a", "four", number), False)
client.set("n", 10)
check.equal("incr", client.incr("n", 5), 15)
check.equal("decr", client.decr("n", 20), 0)
if hasattr(client, "touch"):
    check.true("touch", client.touch("a", 100))
check.true("set with a time", client.set("short", "x", time=1))
check.true("it expires", until_gone(lambda: client.get("short")))
check.true("delete", client.delete("a"))
check.equal("delete of nothing", client.delete("a"), False)
check.true("large set", client.set("large", LARGE))
check.equal("large get", client.get("large"), LARGE)
check.true("stats", client.get_stats()[0][1])
check.true("flush", client.flush_all())
check.equal("get after flush", client.get_multi(["m1", "m2", "large"]), {})
check.done()
