"""The cache in this process."""

from __future__ import annotations

import copy
import ctypes
import gc
import os
import pickle
import random
import socket
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

import memcache_rs
from memcache_rs import Cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def resident() -> int:
    """Returns the resident memory of this process in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def cache() -> Iterator[Cache]:
    with Cache() as cache, cache.clock.freeze():
        yield cache


def test_values_come_and_go(cache: Cache) -> None:
    assert cache.get("a") is None
    cache.set("a", "1")
    assert cache.get("a") == b"1"
    assert not cache.add("a", "2")
    assert cache.add("b", "2")
    assert not cache.replace("c", "3")
    assert cache.replace("b", "3")
    assert cache.append("b", "4")
    assert cache.prepend("b", "2")
    assert not cache.append("c", "4")
    assert cache.get("b") == b"234"
    assert cache.delete("b")
    assert not cache.delete("b")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda value: value.decode()])
def test_keys_and_values_of_all_kinds(cache: Cache, kind: Any) -> None:
    cache.set(kind(b"key"), kind(b"value"))
    assert cache.get(kind(b"key")) == b"value"
    assert cache[b"key"] == b"value"


def test_strings_are_utf8(cache: Cache) -> None:
    cache.set("ключ", "значение")
    assert cache.get("ключ".encode()) == "значение".encode()
    with pytest.raises(UnicodeEncodeError):
        cache.get("\ud800")


def test_memoryviews_with_steps_are_copied(cache: Cache) -> None:
    cache.set("key", memoryview(b"abcdef")[::2])
    assert cache.get("key") == b"ace"


def test_subclasses_of_bytes_and_str(cache: Cache) -> None:
    class Name(str):
        __slots__ = ()

    class Blob(bytes):
        pass

    cache.set(Name("key"), Blob(b"value"))
    assert cache.get("key") == b"value"


def test_defaults(cache: Cache) -> None:
    marker = object()
    assert cache.get("a", marker) is marker
    assert cache.get_and_touch("a", 1, marker) is marker
    cache.set("a", b"")
    assert cache.get("a", marker) == b""


def test_many(cache: Cache) -> None:
    keys = [f"key{n}" for n in range(100)]
    cache.set_many({key: str(n) for n, key in enumerate(keys) if n % 3}, ttl=10)
    assert cache.get_many(keys) == {key: str(n).encode() for n, key in enumerate(keys) if n % 3}
    assert cache.get_many(iter([b"key1", b"key1"])) == {b"key1": b"1"}
    assert cache.get_many([]) == {}
    assert cache.delete_many(keys) == 66
    assert len(cache) == 0


def test_many_with_keys_that_compare_in_python(cache: Cache) -> None:
    """The cache holds no lock while Python code of a key runs, so that code may use the cache."""

    class Key(str):
        __slots__ = ()

        def __hash__(self) -> int:
            cache.set("seen", "1")
            return hash(str(self))

    cache.set("a", "1")
    assert cache.get_many([Key("a")]) == {"a": b"1"}
    assert cache.get("seen") == b"1"


def test_cas(cache: Cache) -> None:
    assert cache.gets("a") is None
    assert cache.cas("a", "1", 1) is None
    cache.set("a", "1")
    found = cache.gets("a")
    assert found is not None
    value, token = found
    assert value == b"1"
    assert cache.cas("a", "2", token) is True
    assert cache.cas("a", "3", token) is False
    assert cache.get("a") == b"2"
    with pytest.raises(ValueError, match="gets"):
        cache.cas("a", "1", 0)


def test_counting(cache: Cache) -> None:
    assert cache.incr("n") is None
    assert cache.incr("n", initial=5, ttl=10) == 5
    assert cache.incr("n") == 6
    assert cache.incr("n", 10) == 16
    assert cache.decr("n", 100) == 0
    cache.set("n", str(2**64 - 1))
    assert cache.incr("n") == 0
    cache.set("n", "word")
    with pytest.raises(memcache_rs.NotANumberError, match="decimal"):
        cache.incr("n")


@pytest.mark.parametrize("number", [-1, 2**64, 10**5000], ids=["negative", "large", "endless"])
def test_numbers_out_of_range_are_errors_of_this_package(cache: Cache, number: int) -> None:
    calls: dict[str, Callable[[], object]] = {
        "delta must be a whole number from 0 to": lambda: cache.incr("n", number),
        "delta": lambda: cache.decr("n", number),
        "initial": lambda: cache.incr("n", initial=number),
        "flags": lambda: cache.set("a", "1", flags=number),
        "cas": lambda: cache.cas("a", "1", number),
        "memory_limit must be at": lambda: Cache(number),
        "[Ii]tem.* size": lambda: Cache(item_size_max=number),
    }
    for text, call in calls.items():
        with pytest.raises(memcache_rs.OutOfRangeError, match=text) as raised:
            call()
        assert isinstance(raised.value, (memcache_rs.MemcacheError, ValueError, OverflowError))
    with pytest.raises(memcache_rs.ConfigError):
        cache.clock.advance(10**400 * number)


@pytest.mark.parametrize("limit", [2**47, 2**63, 2**64 - 1])
def test_limits_beyond_all_memory_are_refused(limit: int) -> None:
    with pytest.raises(memcache_rs.StartError, match="memory"):
        Cache(limit)


def test_a_limit_holds_two_of_the_largest_items() -> None:
    with pytest.raises(memcache_rs.ConfigError, match="higher than 1/2 of memory max"):
        Cache(100)
    Cache(2 << 20).close()
    with pytest.raises(memcache_rs.ConfigError, match="higher than 1/2 of memory max"):
        Cache(100, item_size_max=1024)


@pytest.mark.parametrize("fake", [0.0, 946_684_800.0, 7e9])
@pytest.mark.parametrize("moved", [0, 86_400])
def test_a_datetime_counts_from_a_wall_clock_that_was_moved(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, fake: float, moved: int
) -> None:
    """freezegun and time-machine fake any year. The cache's clock may have been moved as well."""
    monkeypatch.setattr(time, "time", lambda: fake + 0.123456)
    cache.clock.advance(moved)
    cache.set("a", "1", ttl=datetime.fromtimestamp(fake + 60.123456, timezone.utc))
    item = cache.get_item("a")
    assert item is not None
    assert item.ttl == 60


def test_an_item_has_its_metadata(cache: Cache) -> None:
    cache.set("a", "1", ttl=10, flags=7)
    cache.clock.advance(3)
    item = cache.get_item("a")
    assert item is not None
    assert (item.value, item.flags, item.ttl, item.idle, item.fetched, item.stale) == (b"1", 7, 7, 3, False, False)
    assert item.cas > 0
    assert repr(item).startswith("Item(value=b'1', flags=7, cas=")
    assert cache.get_item("b") is None


def test_the_metadata_of_an_item_is_read_without_an_access(cache: Cache) -> None:
    cache.set("a", "Ada", ttl=10, flags=7)
    cache.clock.advance(3)
    info = cache.info("a")
    assert info is not None
    assert (info.length, info.flags, info.ttl, info.idle, info.fetched, info.stale) == (3, 7, 7, 3, False, False)
    assert repr(info) == f"ItemInfo(length=3, flags=7, cas={info.cas}, ttl=7)"
    item = cache.get_item("a")
    assert item is not None
    assert (item.cas, item.idle, item.fetched) == (info.cas, 3, False)
    later = cache.info("a")
    assert later is not None
    assert later.fetched
    assert cache.info("b") is None
    assert cache.cas("a", "Lovelace", info.cas)


def views_of(cache: Cache, key: str) -> list[memoryview]:
    views = cache.get_views(key)
    assert views is not None
    return views


def test_views_show_values_without_a_copy(cache: Cache) -> None:
    assert cache.get_views("nothing") is None
    cache.set("small", "value")
    cache.set("empty", "")
    large = os.urandom(700_000)
    cache.set("large", large)
    (view,) = views_of(cache, "small")
    assert (bytes(view), view.readonly, view.format, view.contiguous) == (b"value", True, "B", True)
    assert b"".join(views_of(cache, "empty")) == b""
    views = views_of(cache, "large")
    assert len(views) > 1
    assert b"".join(views) == large
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        sent = ours.sendmsg(views)
        assert theirs.recv(sent, socket.MSG_WAITALL) == large[:sent]
    # The views and slices of them stay unchanged.
    part = views[-1][-100:]
    cache.flush()
    for n in range(1000):
        cache.set(str(n), os.urandom(100_000))
    assert bytes(view) == b"value"
    assert b"".join(views) == large
    del views
    cache.close()
    gc.collect()
    assert bytes(view) == b"value"
    assert part == large[-100:]


def test_a_view_is_only_for_reading(cache: Cache) -> None:
    cache.set("key", "value")
    (view,) = views_of(cache, "key")
    with pytest.raises(TypeError, match="read-only"):
        view[0] = 0
    with pytest.raises(TypeError, match="not writable"):
        ctypes.c_char.from_buffer(view.obj)
    with open(os.devnull, "rb") as file, pytest.raises((BufferError, TypeError)):
        file.readinto(view.obj)
    with pytest.raises(TypeError, match="cannot create"):
        type(view.obj)()
    assert cache.get("key") == b"value"


def test_views_take_no_memory_and_leave_none(cache: Cache) -> None:
    """The test takes a thousand views of a value of 1 MB. Copies of it would take 1 GB."""
    value = bytes(1_000_000)
    cache.set("key", value)
    kept = [cache.get_views("key") for _ in range(20)]
    before = resident()
    kept += [cache.get_views("key") for _ in range(100)]
    assert resident() - before < 20_000_000
    del kept
    for _ in range(1000):
        cache.get_views("key")
    assert resident() - before < 20_000_000


def test_a_cache_with_many_pinned_values_still_stores() -> None:
    with Cache(16 << 20) as cache:
        held = []
        for n in range(40):
            cache.set(str(n), n.to_bytes(2, "big") * 250_000)
            held.append(views_of(cache, str(n)))
        for n, views in enumerate(held):
            assert b"".join(views) == n.to_bytes(2, "big") * 250_000
        # The cache can use the released memory again.
        del held, views
        for n in range(40):
            cache.set(str(n), bytes(500_000))
        assert len(cache) > 20


@pytest.mark.parametrize("ttl", [60, 59.5, timedelta(minutes=1)])
def test_ttl(cache: Cache, ttl: float | timedelta) -> None:
    cache.set("a", "1", ttl=ttl)
    cache.clock.advance(59)
    assert "a" in cache
    cache.clock.advance(timedelta(seconds=1))
    assert "a" not in cache


@pytest.mark.parametrize("zone", [None, timezone.utc, timezone(timedelta(hours=5))])
def test_ttl_until_a_moment(cache: Cache, zone: timezone | None) -> None:
    cache.set("a", "1", ttl=datetime.fromtimestamp(cache.clock.time() + 60, zone))
    # The clock may have reached its next second before the set.
    cache.clock.advance(58)
    assert "a" in cache
    cache.clock.advance(2)
    assert "a" not in cache
    cache.set("b", "1", ttl=datetime(2001, 1, 1, tzinfo=zone))
    assert "b" not in cache


def test_datetimes_are_known_after_one_was_faked() -> None:
    """The cache once remembered the fake class of datetime that it saw first."""
    program = """
import datetime, sys
real = datetime.datetime
datetime.datetime = type("FakeDatetime", (real,), {})
from memcache_rs import Cache
cache = Cache()
cache.set("a", "1", ttl=datetime.datetime.now() + datetime.timedelta(minutes=5))
datetime.datetime = real
cache.set("a", "1", ttl=real.now() + datetime.timedelta(minutes=5))
sys.exit(cache.get_item("a").ttl != 300)
"""
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_ttl_of_zero_is_over_at_once(cache: Cache) -> None:
    cache.set("a", "1", ttl=0)
    assert cache.get("a") is None


@pytest.mark.parametrize(
    "ttl",
    [-1, -0.5, float("nan"), float("inf"), 1e12, timedelta(seconds=-1), "60", True, datetime(9999, 1, 1), [], 10**400],
)
@pytest.mark.parametrize("method", ["set", "add", "touch", "incr"])
def test_bad_ttl(cache: Cache, ttl: Any, method: str) -> None:
    cache.set("a", "1")
    arguments = {"set": ("a", "1"), "add": ("b", "1"), "touch": ("a",), "incr": ("n",)}[method]
    more = {"initial": 0} if method == "incr" else {}
    with pytest.raises(memcache_rs.InvalidTTLError, match=r"^ttl must ") as raised:
        getattr(cache, method)(*arguments, ttl=ttl, **more)
    assert isinstance(raised.value, ValueError)


def test_touch(cache: Cache) -> None:
    assert not cache.touch("a", 10)
    cache.set("a", "1", ttl=10)
    assert cache.touch("a", 100)
    cache.clock.advance(50)
    assert cache.get_and_touch("a", 100) == b"1"
    cache.clock.advance(99)
    assert cache.get("a") == b"1"
    assert cache.touch("a")
    cache.clock.advance(1_000_000)
    assert cache.get("a") == b"1"


def test_mapping(cache: Cache) -> None:
    assert bool(cache)
    cache["a"] = "1"
    cache["b"] = b"2"
    assert sorted(cache) == [b"a", b"b"]
    assert dict(cache.get_many(cache)) == {b"a": b"1", b"b": b"2"}
    assert len(cache) == 2
    del cache["a"]
    assert "a" not in cache
    with pytest.raises(KeyError, match="a"):
        cache["a"]
    with pytest.raises(KeyError, match="a"):
        del cache["a"]
    cache.flush()
    assert list(cache) == []


def test_flush_prefix(cache: Cache) -> None:
    cache.set_many({"a:1": "x", "a:2": "x", "b:1": "y"})
    cache.flush_prefix("a:")
    cache.set("a:2", "new")
    assert sorted(cache) == [b"a:2", b"b:1"]
    cache.flush_prefix(memoryview(b"b:"))
    assert sorted(cache) == [b"a:2"]
    cache.flush_prefix(b"")
    assert len(cache) == 0
    with pytest.raises(TypeError, match="prefix must be str"):
        cache.flush_prefix(1)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["", "k" * 251, b""])
def test_bad_keys(cache: Cache, key: str | bytes) -> None:
    for call in (cache.get, cache.delete, cache.gets, cache.touch, cache.__getitem__, cache.__contains__):
        with pytest.raises(memcache_rs.InvalidKeyError, match="1 to 250 bytes"):
            call(key)
    with pytest.raises(ValueError, match="1 to 250 bytes"):
        cache.get_many(["a", key])


@pytest.mark.parametrize("thing", [1, 1.5, None, ["a"], object()])
def test_bad_types(cache: Cache, thing: Any) -> None:
    with pytest.raises(TypeError, match="key must be str, bytes"):
        cache.get(thing)
    with pytest.raises(TypeError, match="value must be str, bytes"):
        cache.set("a", thing)


def test_values_too_large(cache: Cache) -> None:
    with pytest.raises(memcache_rs.ValueTooLargeError, match="item_size_max"):
        cache.set("a", bytes(2 << 20))
    with Cache(item_size_max=4 << 20) as large:
        value = random.randbytes(3 << 20)
        large.set("a", value)
        assert large.get("a") == value
        assert large.get_many(["a"]) == {"a": value}
        found = large.gets("a")
        assert found is not None
        assert found[0] == value


@pytest.mark.parametrize("size", [1024, 1500, 100_000, 700_000])
def test_small_largest_items(size: int) -> None:
    with Cache(item_size_max=size) as cache:
        cache.set("a", bytes(size - 200))
        with pytest.raises(memcache_rs.ValueTooLargeError):
            cache.set("a", bytes(size + 512 * 1024))


def test_eviction_and_its_absence() -> None:
    with Cache(8 << 20) as cache:
        for n in range(20_000):
            cache.set(str(n), bytes(1000))
        assert 1000 < len(cache) < 10_000
        assert cache.stats()["evictions"] != 0
    with Cache(8 << 20, evictions=False) as cache:
        values = {str(n): bytes(1000) for n in range(20_000)}
        with pytest.raises(memcache_rs.OutOfMemoryError, match="memory_limit"):
            cache.set_many(values)


def test_settings_that_cannot_work() -> None:
    with pytest.raises(memcache_rs.ConfigError, match="1/2 of memory max"):
        Cache(1 << 20, item_size_max=1 << 20)
    with pytest.raises(memcache_rs.ConfigError, match="1024"):
        Cache(item_size_max=10)
    with pytest.raises(memcache_rs.ConfigError):
        Cache(-1)


def test_statistics(cache: Cache) -> None:
    cache.set("a", "1")
    cache.get("a")
    cache.get("b")
    stats = cache.stats()
    assert (stats["cmd_set"], stats["get_hits"], stats["get_misses"], stats["curr_items"]) == (1, 1, 1, 1)
    assert stats["version"] == memcache_rs.MEMCACHED_VERSION
    assert cache.stats("items")["items:1:number"] == 1
    with pytest.raises(ValueError, match="group must be"):
        cache.stats("nothing")


def test_closed() -> None:
    cache = Cache()
    cache.set("a", "1")
    cache.close()
    cache.close()
    for use in (lambda: cache.get("a"), lambda: cache.set("a", "1"), lambda: len(cache), lambda: cache.clock):
        with pytest.raises(memcache_rs.ClosedError, match="make a new one"):
            use()
    assert cache.closed
    assert repr(cache) == "<Cache, closed>"


def test_neither_copied_nor_pickled(cache: Cache) -> None:
    for handle in (cache, cache.clock):
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="neither pickled nor copied"):
                attempt(handle)


def test_time_can_be_moved_back(cache: Cache) -> None:
    before = cache.clock.time()
    cache.clock.advance(100)
    cache.clock.advance(-100)
    assert cache.clock.time() == before
    with pytest.raises(memcache_rs.ConfigError, match="whole"):
        cache.clock.advance(0.5)
    with cache.clock.freeze() as clock:
        assert clock.time() == before


def test_threads_hammer_one_cache() -> None:
    cache = Cache(16 << 20)
    rounds, threads = 3_000, 8
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for n in range(rounds):
                key = f"key{rng.randrange(200)}"
                cache.set(key, key * rng.randrange(1, 100), ttl=rng.choice([None, 1, 100]))
                value = cache.get(key)
                assert value is None or value.startswith(key.encode())
                cache.incr("count", initial=1)
                if n % 100 == 0:
                    assert all(
                        found.startswith(name.encode()) for name, found in cache.get_many([key, "key1", "key2"]).items()
                    )
                    list(cache)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    assert cache.get("count") == str(rounds * threads).encode()


@pytest.mark.skipif(not hasattr(sys, "getrefcount"), reason="counts references")
def test_nothing_leaks(cache: Cache) -> None:
    key, value, default = "key" * 3, b"value" * 10, object()
    before = [sys.getrefcount(thing) for thing in (key, value, default)]
    for _ in range(1000):
        cache.set(key, value)
        cache.get(key, default)
        cache.get("missing", default)
        cache.get_many([key])
        with pytest.raises(TypeError):
            cache.set(key, default)  # type: ignore[arg-type]
    gc.collect()
    assert [sys.getrefcount(thing) for thing in (key, value, default)] == before
