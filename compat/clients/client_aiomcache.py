"""aiomcache."""

import asyncio

import aiomcache
from checks import LARGE, Checks, address, until_gone_async


async def main():
    check = Checks()
    client = aiomcache.Client(*address())
    check.true("version", (await client.version()).startswith(b"1.6."))
    check.true("set", await client.set(b"a", b"one"))
    check.equal("get", await client.get(b"a"), b"one")
    check.equal("get of nothing", await client.get(b"nothing"), None)
    check.equal("add", await client.add(b"a", b"x"), False)
    check.true("replace", await client.replace(b"a", b"two"))
    check.true("append", await client.append(b"a", b"-end"))
    check.true("prepend", await client.prepend(b"a", b"start-"))
    value, number = await client.gets(b"a")
    check.equal("gets", value, b"start-two-end")
    check.equal("cas", await client.cas(b"a", b"three", number), True)
    check.equal("an old cas", await client.cas(b"a", b"four", number), False)
    await client.set(b"b", b"2")
    check.equal("get many", await client.multi_get(b"a", b"none", b"b"), (b"three", None, b"2"))
    await client.set(b"n", b"10")
    check.equal("incr", await client.incr(b"n", 5), 15)
    check.equal("decr", await client.decr(b"n", 20), 0)
    check.true("touch", await client.touch(b"a", 100))
    check.true("set with a time", await client.set(b"short", b"x", exptime=1))
    check.true("it expires", await until_gone_async(lambda: client.get(b"short")))
    check.true("delete", await client.delete(b"a"))
    check.equal("delete of nothing", await client.delete(b"a"), False)
    check.true("large set", await client.set(b"large", LARGE))
    check.equal("large get", await client.get(b"large"), LARGE)
    many = await asyncio.gather(*(client.set(b"c%d" % at, b"%d" % at) for at in range(100)))
    check.true("sets at the same time", all(many))
    check.true("stats", b"pid" in await client.stats())
    await client.flush_all()
    check.equal("get after flush", await client.get(b"large"), None)
    await client.close()
    check.done()


asyncio.run(main())
