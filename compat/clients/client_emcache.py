"""emcache, which speaks classic text and meta commands."""

import asyncio
import os

import emcache
from checks import LARGE, Checks, address, until_gone_async


async def main():
    check = Checks()
    node = emcache.MemcachedHostAddress(*address())
    client = await emcache.create_client([node], timeout=5.0)

    async def get(key):
        item = await client.get(key)
        return None if item is None else item.value

    await client.set(b"a", b"one", flags=3)
    item = await client.get(b"a", return_flags=True)
    check.equal("get", (item.value, item.flags), (b"one", 3))
    check.equal("get of nothing", await client.get(b"nothing"), None)
    try:
        await client.add(b"a", b"x")
        check.true("add of what is there", False)
    except emcache.NotStoredStorageCommandError:
        check.true("add", True)
    await client.replace(b"a", b"two")
    await client.append(b"a", b"-end")
    await client.prepend(b"a", b"start-")
    item = await client.gets(b"a")
    check.equal("gets", item.value, b"start-two-end")
    await client.cas(b"a", b"three", item.cas)
    check.equal("cas", await get(b"a"), b"three")
    try:
        await client.cas(b"a", b"four", item.cas)
        check.true("an old cas", False)
    except (emcache.StorageCommandError, emcache.NotStoredStorageCommandError):
        check.true("an old cas", True)
    await client.set(b"b", b"2")
    many = await client.get_many([b"a", b"none", b"b"])
    check.equal("get many", {key: item.value for key, item in many.items()}, {b"a": b"three", b"b": b"2"})
    many = await client.gets_many([b"a", b"b"])
    check.true("gets many", all(item.cas > 0 for item in many.values()))
    await client.set(b"n", b"10")
    check.equal("incr", await client.increment(b"n", 5), 15)
    check.equal("decr", await client.decrement(b"n", 20), 0)
    await client.touch(b"a", 100)
    await client.set(b"short", b"x", exptime=1)
    check.true("it expires", await until_gone_async(lambda: get(b"short")))
    await client.delete(b"a")
    check.equal("get after delete", await get(b"a"), None)
    await client.set(b"large", LARGE)
    check.equal("large get", await get(b"large"), LARGE)
    if hasattr(client, "gat"):
        item = await client.gat(100, b"b")
        check.equal("gat", item.value, b"2")
    if hasattr(client, "version"):
        check.true("version", str(await client.version(node)).find("1.6.") >= 0)
    if hasattr(client, "stats"):
        check.true("stats", "pid" in await client.stats(node))
    await client.flush_all(node)
    check.equal("get after flush", await get(b"large"), None)
    await client.close()
    if os.environ.get("CLUSTER_NODES"):
        client = await emcache.create_client([node], timeout=5.0, autodiscovery=True)
        await client.set(b"found", b"x")
        check.equal("get after discovery", await get(b"found"), b"x")
        check.equal("discovered", [found.address for found in client.cluster_managment().nodes()], ["localhost"])
        await client.close()
    check.done()


asyncio.run(main())
