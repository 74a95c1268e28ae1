"""The cache behind other packages' interfaces, with their own tests where they ship them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import pytest

from memcache_rs import Cache

cachelib = pytest.importorskip("memcache_rs.adapters.cachelib")
fixtures: Any = pytest.importorskip("dogpile.testing.fixtures")


class TestDogpile(fixtures._GenericBackendTestSuite):  # type: ignore[misc]
    backend = "memcache_rs"
    config_args: ClassVar = {"arguments": {"memory_limit": 16 << 20}}


class TestDogpileSerializer(fixtures._GenericSerializerTestSuite, fixtures._GenericBackendFixture):  # type: ignore[misc]
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
