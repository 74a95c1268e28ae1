"""Values of all types: every method converts them, and other clients read the plain ones."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import threading
import weakref
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

import memcache_rs
from memcache_rs import Cache, Server

if TYPE_CHECKING:
    from collections.abc import Callable

VALUES: list[Any] = [b"bytes", b"", "text é", "", 0, -5, 1 << 70, True, None, 1.5, [1, "two"], {"name": "Ada"}]
PAIR: Any = (lambda value: json.dumps(value).encode(), json.loads)


@pytest.fixture(params=["pickle", "json", PAIR], ids=["pickle", "json", "pair"])
def cache(request: pytest.FixtureRequest) -> Cache[Any]:
    cache = Cache[Any](serializer=request.param)
    cache.clock.freeze()
    return cache


def values(cache: Cache[Any]) -> list[Any]:
    """Returns the values that the cache can store: JSON has no bytes."""
    try:
        cache.set("bytes", b"bytes")
    except TypeError:
        return [value for value in VALUES if not isinstance(value, bytes)]
    return VALUES


def test_every_way_to_store_and_to_get(cache: Cache[Any]) -> None:
    def got() -> list[Any]:
        item = cache.get_item("key")
        pair = cache.gets("key")
        assert item is not None
        assert pair is not None
        many = cache.get_many(["key", "none"])
        return [cache.get("key"), cache["key"], cache.get_and_touch("key", 60), item.value, pair[0], *many.values()]

    def stored(store: Callable[[Any], object], value: Any) -> None:
        cache.set("key", "old")
        store(value)
        found = got()
        assert found == [value] * 6
        assert {type(one) for one in found} == {type(value)}

    for value in values(cache):
        stored(lambda value: cache.set("key", value, 60), value)
        stored(lambda value: cache.set_many({"key": value}), value)
        stored(lambda value: cache.replace("key", value), value)
        stored(lambda value: cache.__setitem__("key", value), value)
        stored(lambda value: cache.cas("key", value, (cache.gets("key") or (None, 1))[1]), value)
        stored(lambda value: cache.delete("key") and cache.add("key", value), value)
        stored(lambda value: cache.delete("key") and cache.get_or_set("key", lambda: value), value)
        stored(lambda value: cache.delete("key") and asyncio.run(cache.aget_or_set("key", lambda: value)), value)
        stored(lambda value: cache.invalidate("key") and cache.get_or_set("key", lambda: value), value)


def test_all_callers_of_a_flight_get_a_value_of_their_own(cache: Cache[Any]) -> None:
    started, go = threading.Event(), threading.Event()
    found: list[Any] = []

    def make() -> Any:
        started.set()
        assert go.wait(20)
        return [1, {"two": 2}]

    threads = [threading.Thread(target=lambda: found.append(cache.get_or_set("key", make))) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert started.wait(20)
    go.set()
    for thread in threads:
        thread.join(20)
    assert found == [[1, {"two": 2}]] * 5
    assert len({id(one) for one in found}) == 5


def test_memoize_has_the_serializer_of_the_cache(cache: Cache[Any]) -> None:
    calls = []

    @cache.memoize(ttl=60)
    def squares(count: int) -> list[int]:
        calls.append(count)
        return [n * n for n in range(count)]

    @cache.memoize(ttl=60)
    async def cubes(count: int) -> dict[str, int] | None:
        calls.append(count)
        return {"cube": count**3} if count else None

    assert squares(4) == squares(4) == [0, 1, 4, 9]
    assert asyncio.run(cubes(2)) == asyncio.run(cubes(2)) == {"cube": 8}
    assert asyncio.run(cubes(0)) is asyncio.run(cubes(0)) is None
    assert calls == [4, 2, 0]
    assert cache[squares.cache_key(4)] == [0, 1, 4, 9]


@pytest.mark.parametrize("serializer", ["pickle", "json"])
def test_flags_name_the_types(serializer: Any) -> None:
    cache = Cache(serializer=serializer)
    own = {"pickle": 1, "json": 32}[serializer]
    for value, data, flags in [
        (b"bytes", b"bytes", 0),
        ("text é", "text é".encode(), 16),
        (-12, b"-12", 2),
        (True, None, own),
        ({"name": "Ada"}, None, own),
    ]:
        cache.set("key", value)
        item = cache.with_serializer(None).get_item("key")
        assert item is not None
        assert item.flags == flags
        assert data is None or item.value == data


def test_numbers_are_counted(cache: Cache[Any]) -> None:
    assert cache.incr("visits", initial=5, ttl=60) == 5
    assert cache.incr("visits", initial=5) == 6
    assert cache.get("visits") == 6
    assert cache.decr("left", initial=3) == 3
    assert cache.decr("none") is None
    item = cache.get_item("visits")
    assert item is not None
    assert item.ttl == 60
    cache.set("list", [1])
    with pytest.raises(memcache_rs.NotANumberError):
        cache.incr("list", initial=1)


def test_a_number_that_has_become_shorter() -> None:
    cache = Cache(serializer="pickle")
    cache.set("left", 10)
    assert cache.decr("left") == 9
    assert cache.get("left") == 9


def test_append_takes_bytes() -> None:
    cache = Cache(serializer="json")
    cache.set("text", "one")
    assert cache.append("text", ",two")
    assert cache.prepend("text", b"zero,")
    assert cache.get("text") == "zero,one,two"
    data: Any = [1]
    with pytest.raises(TypeError):
        cache.append("text", data)
    views = cache.get_views("text")
    assert views is not None
    assert b"".join(views) == b"zero,one,two"


def test_subclasses_keep_their_class() -> None:
    cache = Cache(serializer="pickle")
    for value in (True, date(1815, 12, 10), bytearray(b"bytes")):
        cache.set("key", value)
        assert (cache["key"], type(cache["key"])) == (value, type(value))


def test_the_serializer_of_another_value() -> None:
    pickles, texts = (cache := Cache(serializer="pickle")), cache.with_serializer("json")
    pickles.set("pickle", [1])
    texts.set("json", [1])
    for reader, key in [(texts, "pickle"), (pickles, "json"), (pickles.with_serializer(PAIR), "json")]:
        with pytest.raises(memcache_rs.SerializerError, match="flags of the item must be"):
            reader.get(key)
        with pytest.raises(memcache_rs.SerializerError):
            reader.get_or_set(key, lambda: 1)
        with pytest.raises(memcache_rs.SerializerError):
            reader.get_many([key])
    # Compressed by another client.
    pickles.with_serializer(None).set("key", "x", flags=8 | 16)
    with pytest.raises(memcache_rs.SerializerError, match="got 24"):
        pickles.get("key")


def test_what_is_refused() -> None:
    for wrong in ("yaml", 1, (), (1, 2), (len,), (len, len, len)):
        value: Any = wrong
        with pytest.raises(TypeError, match='must be "json", "pickle" or a pair'):
            Cache(serializer=value)
        with pytest.raises(TypeError, match='must be "json", "pickle" or a pair'):
            Cache().with_serializer(value)
    cache = Cache(serializer="json")
    with pytest.raises(memcache_rs.ConfigError, match="flags must be 0"):
        cache.set("key", "value", flags=1)
    with pytest.raises(TypeError, match="not JSON serializable"):
        cache.set("key", object())
    with pytest.raises(TypeError, match="the result of serializer must be str"):
        Cache(serializer=(lambda value: value, bytes)).set("key", 1)
    cache.with_serializer(None).set("key", "{", flags=32)
    with pytest.raises(ValueError, match="Expecting property name"):
        cache.get("key")


def test_handles_share_items_and_end_together() -> None:
    cache = Cache(serializer="pickle")
    raw = cache.with_serializer(None)
    cache.set("key", "value")
    assert raw["key"] == b"value"
    with cache.clock.freeze() as clock:
        cache.set("key", "value", 60)
        clock.advance(60)
        assert "key" not in raw
    raw.close()
    assert cache.closed
    with pytest.raises(memcache_rs.ClosedError):
        cache.get("key")
    with pytest.raises(memcache_rs.ClosedError):
        cache.with_serializer(None)


def test_a_handle_outlives_the_cache() -> None:
    cache = Cache()
    cache.set("key", "value")
    handle = cache.with_serializer("json")
    del cache
    assert handle.get("key") == b"value"


def test_a_serializer_that_holds_its_cache_is_collected() -> None:
    class Codec:
        cache: Any

        def dumps(self, value: Any) -> bytes:
            return repr((self.cache, value)).encode()

    codec = Codec()
    codec.cache = Cache(serializer=(codec.dumps, bytes))
    gone = weakref.ref(codec)
    del codec
    gc.collect()
    assert gone() is None


def test_a_snapshot_has_the_bytes(cache: Cache[Any]) -> None:
    cache.set("key", [1, 2])
    file = io.BytesIO()
    cache.save(file)
    file.seek(0)
    loaded = cache.with_serializer(None)
    data = loaded.get("key")
    loaded.flush()
    assert loaded.load(file).items == 1
    assert loaded.get("key") == data
    assert cache.get("key") == [1, 2]


@pytest.mark.parametrize("value", VALUES)
def test_pymemcache_reads_and_writes_the_same(value: Any) -> None:
    pymemcache = pytest.importorskip("pymemcache")
    cache = Cache(serializer="pickle")
    with Server(cache=cache) as server:
        client = pymemcache.Client(server.address, serde=pymemcache.serde.pickle_serde, default_noreply=False)
        cache.set("ours", value)
        theirs = client.get("ours")
        assert (theirs, type(theirs)) == (value, type(value))
        client.set("theirs", value)
        assert (cache["theirs"], type(cache["theirs"])) == (value, type(value))
        flags = [cache.info(key).flags for key in ("ours", "theirs")]  # type: ignore[union-attr]
        assert flags[0] == flags[1]
        # Plain values are read with any serializer.
        if isinstance(value, (bytes, str)) or type(value) is int:
            assert cache.with_serializer("json").get("theirs") == value
        client.close()
