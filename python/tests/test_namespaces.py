"""Namespaces, and the adapters that clear a part of a cache."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

import memcache_rs
from memcache_rs import Cache, Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def cache() -> Iterator[Cache]:
    with Cache() as cache, cache.clock.freeze():
        yield cache


def test_each_method_has_the_prefix(cache: Cache) -> None:
    users = cache.namespace("users:")
    users.set("1", "Ada", ttl=60)
    users["2"] = "Grace"
    users.set_many({"3": "Edsger", "n": "41"})
    assert sorted(cache) == [b"users:1", b"users:2", b"users:3", b"users:n"]
    assert (users.get("1"), users["2"], users.get("users:1", "none")) == (b"Ada", b"Grace", "none")
    assert users.get_many(["3", "x"]) == {"3": b"Edsger"}
    assert (users.incr("n"), users.decr("n", 2), users.incr("m", initial=7)) == (42, 40, 7)
    assert (users.add("1", "x"), users.replace("1", "Ada L"), users.append("1", "."), users.prepend("1", ">")) == (
        False,
        True,
        True,
        True,
    )
    value, cas = users.gets("1") or (b"", 0)
    assert (value, users.cas("1", "Ada", cas)) == (b">Ada L.", True)
    assert users.touch("1", 9)
    info, item = users.info("1"), users.get_item("1")
    assert info is not None
    assert item is not None
    assert (info.ttl, item.value) == (9, b"Ada")
    assert b"".join(users.get_views("1") or []) == b"Ada"
    assert users.get_and_touch("1", 5) == b"Ada"
    assert "1" in users
    assert "users:1" not in users
    assert users.delete_many(["1", "m", "x"]) == 2
    del users["n"]
    with pytest.raises(KeyError, match="n"):
        users["n"]
    assert (sorted(users), len(users), bool(users)) == ([b"2", b"3"], 2, True)
    cache["page"] = "Hello"
    users.flush_prefix("2")
    assert sorted(cache) == [b"page", b"users:3"]
    users.flush()
    assert list(cache) == [b"page"]
    assert (users.prefix, cache.prefix, repr(users)) == (b"users:", b"", '<Cache, namespace "users:">')


def test_a_namespace_of_a_namespace(cache: Cache) -> None:
    outer = cache.namespace("a:")
    inner = outer.namespace(b"b:")
    inner["1"] = outer["1"] = cache["1"] = "x"
    assert inner.prefix == b"a:b:"
    assert (sorted(inner), sorted(outer), len(cache)) == ([b"1"], [b"1", b"b:1"], 3)
    inner.clear()
    assert (list(inner), list(outer), sorted(cache)) == ([], [b"1"], [b"1", b"a:1"])
    outer.clear()
    assert list(cache.namespace("")) == [b"1"]


def test_the_whole_key_has_up_to_250_bytes(cache: Cache) -> None:
    space = cache.namespace("p" * 200)
    space["k" * 50] = space[""] = "x"
    assert len(cache) == 2
    with pytest.raises(memcache_rs.InvalidKeyError, match="1 to 250 bytes, got 251"):
        space["k" * 51] = "x"
    with pytest.raises(memcache_rs.InvalidKeyError, match=r"prefix must have at most 250 bytes.*got 251"):
        space.namespace("p" * 51)
    with pytest.raises(TypeError, match="prefix must be str"):
        cache.namespace(1)  # type: ignore[arg-type]
    with pytest.raises(memcache_rs.InvalidKeyError):
        cache.namespace("").get("")


def test_it_keeps_the_serializer_and_gets_another() -> None:
    with Cache(serializer="json") as cache:
        users = cache.namespace("users:")
        users["1"] = {"name": "Ada"}
        assert users["1"] == cache["users:1"] == {"name": "Ada"}
        raw = users.with_serializer(None)
        assert (raw["1"], raw.prefix) == (b'{"name": "Ada"}', b"users:")
        assert users.incr("n", initial=3) == users["n"] == 3


def test_a_close_of_one_handle_closes_all() -> None:
    cache = Cache()
    space = cache.namespace("a:")
    with space:
        assert space.stats()["curr_items"] == 0
    assert cache.closed
    with pytest.raises(memcache_rs.ClosedError):
        space.get("1")
    with pytest.raises(memcache_rs.ClosedError):
        cache.namespace("b:")


def test_values_are_made_once_for_all_handles(cache: Cache) -> None:
    space = cache.namespace("a:")
    begun, go_on = threading.Event(), threading.Event()
    found: list[bytes] = []

    def make() -> str:
        begun.set()
        go_on.wait()
        return "made"

    def second() -> None:
        found.append(cache.get_or_set("a:key", lambda: "another"))

    threads = [threading.Thread(target=lambda: found.append(space.get_or_set("key", make, 60)))]
    threads[0].start()
    begun.wait()
    threads.append(threading.Thread(target=second))
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join()
    assert found == [b"made", b"made"]
    assert cache["a:key"] == b"made"
    with pytest.raises(RuntimeError, match="its own key"):
        space.get_or_set("own", lambda: cache.get_or_set("a:own", lambda: "x"))


def test_stale_values_are_renewed(cache: Cache) -> None:
    space = cache.namespace("a:")
    space["key"] = "old"
    assert space.invalidate("key")
    assert space.get_or_set("key", lambda: "new", 60, stale_for=30) == b"new"
    assert space.get_or_set("key", lambda: "newer") == b"new"
    assert asyncio.run(space.aget_or_set("other", lambda: "made")) == b"made"
    assert sorted(cache) == [b"a:key", b"a:other"]


def test_memoized_functions(cache: Cache) -> None:
    calls: list[str] = []
    # So little is left for the name that both functions have the same beginning.
    space = cache.namespace("p" * 150)

    @space.memoize(ttl=60)
    def shout(word: str) -> str:
        calls.append(word)
        return word.upper()

    @space.memoize()
    def whisper(word: str) -> str:
        calls.append(word)
        return word.lower()

    @cache.memoize(key=lambda word: word)
    def plain(word: str) -> str:
        return word

    long = "w" * 300
    for _ in range(2):
        assert (shout("a"), shout(long), whisper("A"), whisper(long)) == (
            b"A",
            long.upper().encode(),
            b"a",
            long.encode(),
        )
    assert len(calls) == len(space) == 4
    shout.cache_clear()
    assert len(space) == 2
    shout("a")
    whisper("A")
    assert len(calls) == 5
    with pytest.raises(TypeError, match="namespace"):
        plain.cache_clear()


def test_methods_are_cleared_for_all_objects(cache: Cache) -> None:
    class Page:
        @cache.memoize()
        def show(self) -> str:
            return "page"

    one, two = Page(), Page()
    assert one.show() == two.show() == b"page"
    assert len(cache) == 2
    one.show.cache_clear()
    assert list(cache) == []


def test_a_quota_evicts_items_of_its_namespace(cache: Cache) -> None:
    site = cache.namespace("site1:")
    cache["other"] = "x"
    site.set_quota(1000)
    for number in range(100):
        site[str(number)] = b"x" * 100
    assert 1 < len(site) < 10
    assert site["99"] == b"x" * 100
    stats = cache.stats("quotas")
    assert (stats["quota:1:prefix"], stats["quota:1:limit"]) == ("site1:", 1000)
    assert int(stats["quota:1:bytes"]) <= 1000
    assert stats["quota:1:evicted"] == 100 - len(site)
    assert cache["other"] == b"x"
    with pytest.raises(memcache_rs.OutOfMemoryError):
        site["large"] = b"x" * 2000
    with pytest.raises(memcache_rs.ConfigError, match="quota must not overlap"):
        site.namespace("a").set_quota(1)
    with pytest.raises(memcache_rs.ConfigError, match="prefix of 1 to 250 bytes"):
        cache.set_quota(1)
    site.set_quota(None)
    site["large"] = b"x" * 2000
    assert cache.stats("quotas") == {}


def test_a_server_serves_the_whole_cache(cache: Cache) -> None:
    space = cache.namespace("a:")
    with Server(cache=space) as server:
        server.cache["key"] = "value"
        assert cache["a:key"] == b"value"


def test_adapters_clear_their_namespace(cache: Cache) -> None:
    cachelib = pytest.importorskip("memcache_rs.adapters.cachelib")
    region = pytest.importorskip("dogpile.cache").make_region()
    from memcache_rs.adapters.cachetools import MemcacheCache

    cache["page"] = "Hello"
    one = cachelib.MemcacheCache(cache=cache.namespace("one:"))
    two = MemcacheCache(cache=cache.namespace("two:"))
    region.configure("memcache_rs", arguments={"cache": cache.namespace("three:")})
    long = "k" * 245
    for key in ("key", long):
        assert one.set(key, [1])
        assert one.get(key) == [1]
        two[key] = [2]
        assert two[key] == [2]
        region.set(key, [3])
        assert region.get(key) == [3]
    assert (len(two), sorted(two), len(cache)) == (2, ["key", long], 7)
    one.clear()
    two.clear()
    assert len(cache.namespace("three:")) == 2
    cache.namespace("three:").clear()
    assert list(cache) == [b"page"]


def django_caches(location: Any, **settings: Any) -> Any:
    module = pytest.importorskip("memcache_rs.adapters.django")
    return module.MemcacheCache(location, settings)


@pytest.fixture(params=["private", "host", "client"])
def location(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Any]:
    """A location of Django's backend, and an own cache for each test."""
    pytest.importorskip("memcache_rs.adapters.django")
    path = None if request.param == "private" else tmp_path / "cache.sock"
    if request.param == "client":
        with Server(unix_socket=path or False):
            yield path
            django_caches(path)._shared.leave()
        return
    yield path
    django_caches(path).clear()
    django_caches(path)._shared.leave()


def test_django_clears_its_own_prefix(location: Any) -> None:
    site, shop, bare = (django_caches(location, KEY_PREFIX=prefix) for prefix in ("site", "shop", ""))
    for cache in (site, shop, bare):
        for version in (1, 2):
            cache.set("key", version, version=version)
    shop.clear(version=2)
    assert (shop.get("key", version=1), shop.get("key", version=2), site.get("key", version=2)) == (1, None, 2)
    assert bare.incr_version("key") == 2
    bare.clear(version=1)
    assert (bare.get("key", version=2), site.get("key"), shop.get("key")) == (1, 1, 1)
    site.clear()
    assert [cache.get("key", version=2) for cache in (site, shop, bare)] == [None, None, 1]
    bare.clear()
    assert (shop.get("key"), bare.get("key", version=2)) == (None, None)


@pytest.mark.filterwarnings("ignore::django.core.cache.backends.base.CacheKeyWarning")
def test_django_deletes_by_a_pattern(location: Any) -> None:
    cache = django_caches(location, KEY_PREFIX="my site")
    users = ["user:1", "user:" + "k" * 300, "user:a b", "user:\x01", "user:ä", "user:" + "k" * 230]
    others = ["user", "users", "page", "\x02user:"]
    everything = users + others
    assert cache.set_many(dict.fromkeys(everything, 1)) == []
    cache.set("user:1", 1, version=2)
    assert sorted(cache.get_many(everything)) == sorted(everything)
    cache.delete_pattern("user:k*", version=1)
    assert sorted(cache.get_many(everything)) == sorted({*everything} - {users[1], users[5]})
    cache.delete_pattern("user:*")
    assert sorted(cache.get_many(everything)) == sorted(others)
    assert cache.get("user:1", version=2) == 1
    cache.delete_pattern("*")
    assert cache.get_many(everything) == {}
    for pattern in ("", "user", "*user", "u*r*", "u?*", "[u]*"):
        with pytest.raises(ValueError, match="pattern must be a prefix and one"):
            cache.delete_pattern(pattern)


def test_django_needs_the_key_at_the_end(location: Any) -> None:
    error = pytest.importorskip("django.core.exceptions").ImproperlyConfigured
    cache = django_caches(location, KEY_FUNCTION=lambda key, prefix, version: f"{key}:{version}", KEY_PREFIX="a")
    other = django_caches(location, KEY_FUNCTION=lambda key, prefix, version: f"{version}/{key}")
    cache.set("key", 1)
    other.set("key", 2)
    other.delete_pattern("k*")
    assert (cache.get("key"), other.get("key")) == (1, None)
    with pytest.raises(error, match="KEY_FUNCTION must put the key at the end"):
        cache.clear(version=1)
    with pytest.raises(error, match="KEY_FUNCTION must put the key at the end"):
        cache.delete_pattern("k*")
    cache.clear()
    assert cache.get("key") is None
