"""The adapters for cachelib and dogpile.cache, with dogpile's own tests of backends."""

from __future__ import annotations

import sys
import threading
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from memcache_rs import Cache

cachelib = pytest.importorskip("memcache_rs.adapters.cachelib")
fixtures: Any = pytest.importorskip("dogpile.testing.fixtures")


class TestDogpile(fixtures._GenericBackendTestSuite):  # type: ignore[misc]
    backend = "memcache_rs"
    config_args: ClassVar = {"arguments": {"memory_limit": 16 << 20}}


class TestDogpileSerializer(
    fixtures._GenericSerializerTestSuite,  # type: ignore[misc]
    fixtures._GenericBackendFixture,  # type: ignore[misc]
):
    backend = "memcache_rs"


def test_dogpile_with_a_cache_that_is_there() -> None:
    from dogpile.cache import make_region

    with Cache() as cache, cache.clock.freeze():
        region = make_region().configure("memcache_rs", arguments={"cache": cache, "ttl": 60})
        region.set("key" * 200, {"a": 1})
        assert region.get("key" * 200) == {"a": 1}
        assert len(cache) == 1
        cache.clock.advance(60)
        assert not region.get("key" * 200)


def test_a_cache_with_a_serializer() -> None:
    from dogpile.cache import make_region

    with Cache(serializer="json") as cache:
        region = make_region().configure("memcache_rs", arguments={"cache": cache})
        assert region.get_or_create("dogpile", lambda: (1, b"bytes")) == (1, b"bytes")
        assert region.get("dogpile") == (1, b"bytes")
        store = cachelib.MemcacheCache(cache=cache)
        assert store.set("cachelib", {1, 2})
        assert store.get("cachelib") == {1, 2}
        assert (store.inc("visits"), store.inc("visits"), store.dec("visits", 5), store.get("visits")) == (1, 2, -3, -3)


def test_cachelib() -> None:
    with Cache() as store, store.clock.freeze():
        cache = cachelib.MemcacheCache(10, cache=store)
        assert cache.get("a") is None
        assert cache.set("a", {"b": [1, None]})
        assert cache.get("a") == {"b": [1, None]}
        assert not cache.add("a", 1)
        assert cache.add("k" * 1000, 1)
        assert cache.has("k" * 1000)
        assert cache.get_many("a", "x", "k" * 1000) == [{"b": [1, None]}, None, 1]
        assert cache.get_dict("a", "x") == {"a": {"b": [1, None]}, "x": None}
        assert cache.set_many({"c": 1, "d": 2}, timeout=timedelta(seconds=5)) == ["c", "d"]
        assert (cache.inc("c"), cache.dec("d", 5)) == (2, -3)
        assert cache.delete_many("c", "d") == ["c", "d"]
        assert cache.set("forever", 1, timeout=0)
        assert cache.set("short", 1, timeout=5)
        store.clock.advance(5)
        assert not cache.has("short")
        store.clock.advance(5)
        assert not cache.has("a")
        store.clock.advance(1_000_000)
        assert cache.get("forever") == 1
        assert not cache.set("large", bytes(2 << 20))
        assert cache.delete("forever")
        assert not cache.delete("forever")
        cache.set("a", 1)
        assert cache.clear()
        assert cache.get("a") is None


@pytest.mark.parametrize("timeout", [sys.maxsize, 200 * 365 * 86_400])
def test_a_timeout_of_more_than_100_years_never_expires(timeout: int) -> None:
    with Cache() as store:
        for cache in (cachelib.MemcacheCache(cache=store), cachelib.MemcacheCache(timeout, cache=store)):
            assert cache.set("a", 1, timeout=timeout)
            assert cache.add("b", 1, timeout=timeout)
            assert cache.set("c", 1)
            items = [store.get_item(key) for key in ("a", "b")]
            assert [item and item.ttl for item in items] == [None, None]
            store.flush()


def test_a_timeout_of_cachelib_below_zero_removes() -> None:
    cache = cachelib.MemcacheCache()
    cache.set("a", 1)
    assert not cache.add("a", 2, timeout=-1)
    assert cache.get("a") == 1
    assert cache.set("a", 2, timeout=-1)
    assert not cache.has("a")
    assert cache.add("a", 2, timeout=-1)
    assert cache.get("a") is None


def test_cachelib_loses_no_counts_and_keeps_the_timeout() -> None:
    with Cache() as store, store.clock.freeze():
        cache = cachelib.MemcacheCache(300, cache=store)
        cache.set("n", 0, timeout=50)
        store.clock.advance(10)
        rounds, threads = 500, 8

        def count() -> None:
            for _ in range(rounds):
                cache.inc("n", 2)
                cache.dec("n")

        workers = [threading.Thread(target=count) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert cache.get("n") == rounds * threads
        item = store.get_item("n")
        assert item is not None
        assert item.ttl == 40
        # As in cachelib, a missing key starts at delta, with the default timeout.
        assert (cache.inc("new", 5), cache.dec("other", 2), cache.inc("other", -1)) == (5, -2, -3)
        item = store.get_item("new")
        assert item is not None
        assert item.ttl == 300
        cache.set("half", 0.5)
        cache.set("none", None)
        cache.set("word", "word")
        assert (cache.inc("half"), cache.inc("none")) == (1.5, 1)
        with pytest.raises(TypeError):
            cache.inc("word")


def test_numbers_and_serialized_values_are_told_apart() -> None:
    class Text:
        def dumps(self, value: object) -> bytes:
            return str(value).encode()

        def loads(self, octets: bytes) -> str:
            return octets.decode()

    cache = cachelib.MemcacheCache()
    cache.serializer = Text()
    for value in (7, "7", "=7", "word", 0):
        cache.set("a", value)
        assert cache.get("a") == value


def test_a_value_too_large_for_an_adapter_is_returned_and_not_kept() -> None:
    from dogpile.cache import make_region

    large = bytes(2 << 20)
    with Cache() as store:
        region = make_region().configure("memcache_rs", arguments={"cache": store})
        region.set("a", "old")
        region.set("a", large)
        assert not region.get("a")
        assert region.get_or_create("a", lambda: large) == large
        region.set_multi({"a": large, "b": 1})
        assert (region.get("b"), len(store)) == (1, 1)
        cache = cachelib.MemcacheCache(cache=store)
        cache.set("c", "old")
        assert not cache.set("c", large)
        assert cache.get("c") is None
        assert not cache.add("c", large)


def test_long_keys_of_adapters_are_not_taken_for_others() -> None:
    import hashlib

    from dogpile.cache import make_region

    long = "k" * 1000
    hashed = "sha256:" + hashlib.sha256(long.encode()).hexdigest()
    with Cache() as store:
        cache = cachelib.MemcacheCache(cache=store)
        region = make_region(key_mangler=str).configure("memcache_rs", arguments={"cache": store})
        for backend in (cache, region):
            for n, key in enumerate((long, hashed, "", "\ud800")):
                backend.set(key, n)
            assert backend.get_many(long, hashed, "", "\ud800") == [0, 1, 2, 3] if backend is cache else True
            assert [backend.get(key) for key in (long, hashed, "", "\ud800")] == [0, 1, 2, 3]
            store.flush()


def test_an_invalid_ttl_of_dogpile_is_refused_at_once() -> None:
    from dogpile.cache import make_region

    with pytest.raises(ValueError, match="ttl must not be negative"):
        make_region().configure("memcache_rs", arguments={"ttl": -1})
