"""The mapping for cachetools, with cachetools itself."""

from __future__ import annotations

import enum
import threading
from typing import Any

import pytest

import memcache_rs
from memcache_rs import Cache
from memcache_rs.adapters.cachetools import MemcacheCache


class Color(enum.Enum):
    RED = 1


def test_it_is_a_mapping() -> None:
    with Cache() as store, store.clock.freeze() as clock:
        cache = MemcacheCache(ttl=60, cache=store)
        keys: list[Any] = ["a", b"a", 1, 1.5, None, (), ("a",), ("a", ("b", 1)), Color.RED, int, "k" * 1000]
        for number, key in enumerate(keys):
            assert key not in cache
            cache[key] = {"number": number}
        assert [cache[key] for key in keys] == [{"number": number} for number in range(len(keys))]
        assert set(cache) == set(keys)
        assert len(cache.items()) == len(keys)
        del cache["a"]
        assert cache.get("a", "none") == "none"
        with pytest.raises(KeyError):
            del cache["a"]
        assert cache.pop(1) == {"number": 2}
        assert cache.setdefault("a", [1]) == cache.setdefault("a", [2]) == [1]
        clock.advance(60)
        assert (len(list(cache)), "a" in cache) == (0, False)
        cache["a"] = 1
        cache.clear()
        assert len(cache) == 0


def test_sizes_are_bytes() -> None:
    cache = MemcacheCache(8 << 20)
    assert (cache.maxsize, cache.currsize) == (8 << 20, 0)
    for number in range(20_000):
        cache[number] = bytes(1000)
    assert 0 < cache.currsize <= cache.maxsize
    assert 0 < len(cache) < 20_000
    # The newest item is there.
    assert cache[19_999] == bytes(1000)


def test_what_is_refused() -> None:
    for wrong in (object(), ["a"], ({},)):
        with pytest.raises(TypeError, match="arguments must be"):
            MemcacheCache()[wrong]
    with pytest.raises(memcache_rs.InvalidTTLError):
        MemcacheCache(ttl=-1)
    with pytest.raises(memcache_rs.ConfigError):
        MemcacheCache(1)
    with pytest.raises(ValueError, match="item_size_max"):
        MemcacheCache()["a"] = bytes(2 << 20)


@pytest.mark.parametrize("lock", [None, threading.Lock()], ids=["plain", "with a lock"])
def test_cachetools_accepts_it(lock: Any) -> None:
    cachetools: Any = pytest.importorskip("cachetools")
    calls = []

    @cachetools.cached(cache=MemcacheCache(), lock=lock)  # type: ignore[untyped-decorator]
    def load(number: int, *, name: str = "") -> dict[str, Any]:
        calls.append(number)
        return {"number": number, "name": name}

    large = cachetools.cached(cache=MemcacheCache(), key=cachetools.keys.typedkey, lock=lock)(bytes)

    assert load(1) == load(1) == {"number": 1, "name": ""}
    assert load(1, name="Ada") == load(1, name="Ada") == {"number": 1, "name": "Ada"}
    assert calls == [1, 1]
    # A value that is too large is returned, and not cached.
    assert large(2 << 20) == bytes(2 << 20)


def test_a_method_of_an_object() -> None:
    cachetools: Any = pytest.importorskip("cachetools")

    class Shop:
        def __init__(self) -> None:
            self.cache = MemcacheCache()

        def price(self, name: str) -> float:
            return len(name) * 1.5

        cached = cachetools.cachedmethod(lambda self: self.cache, key=lambda self, *args: args)(price)

    shop = Shop()
    assert shop.cached("tea") == shop.cached("tea") == 4.5
    assert list(shop.cache) == [("tea",)]
