"""One caller computes: get_or_set and memoize."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from memcache_rs import Cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def cache() -> Iterator[Cache]:
    with Cache() as cache, cache.clock.freeze():
        yield cache


def never() -> bytes:
    raise AssertionError("this is not to be called")


def test_made_once(cache: Cache) -> None:
    assert cache.get_or_set("key", lambda: "value", 10) == b"value"
    assert cache.get_or_set("key", never, 10) == b"value"
    item = cache.get_item("key")
    assert item is not None
    assert item.ttl == 10
    assert cache.get_or_set("other", lambda: bytearray(b"value")) == b"value"


def test_others_wait_for_the_one_that_makes(cache: Cache) -> None:
    threads, calls, values = 8, 0, []
    started, go = threading.Event(), threading.Event()

    def make() -> bytes:
        nonlocal calls
        calls += 1
        started.set()
        assert go.wait(20)
        return b"value"

    workers = [threading.Thread(target=lambda: values.append(cache.get_or_set("key", make))) for _ in range(threads)]
    for worker in workers:
        worker.start()
    assert started.wait(20)
    # While it is made there is nothing to be seen.
    assert cache.get("key") is None
    go.set()
    for worker in workers:
        worker.join(20)
    assert (calls, values) == (1, [b"value"] * threads)


def test_who_fails_is_told_and_the_next_one_tries(cache: Cache) -> None:
    started, go = threading.Event(), threading.Event()
    outcomes: list[object] = []

    def fails() -> bytes:
        started.set()
        assert go.wait(20)
        raise OSError("no database")

    def ask(make: Callable[[], bytes]) -> None:
        try:
            outcomes.append(cache.get_or_set("key", make))
        except OSError as error:
            outcomes.append(str(error))

    first = threading.Thread(target=ask, args=(fails,))
    first.start()
    assert started.wait(20)
    second = threading.Thread(target=ask, args=(lambda: b"value",))
    second.start()
    go.set()
    first.join(20)
    second.join(20)
    assert sorted(map(str, outcomes)) == ["b'value'", "no database"]


def test_a_value_that_needs_itself(cache: Cache) -> None:
    with pytest.raises(RuntimeError, match="asks for the value"):
        cache.get_or_set("key", lambda: cache.get_or_set("key", never))
    assert cache.get_or_set("key", lambda: b"value") == b"value"


@pytest.mark.parametrize("stale_for", [30, timedelta(seconds=30)])
def test_the_old_value_while_one_makes_the_new(cache: Cache, stale_for: float | timedelta) -> None:
    def get(make: Callable[[], bytes]) -> bytes:
        return cache.get_or_set("key", make, 60, stale_for=stale_for)

    assert get(lambda: b"old") == b"old"
    cache.clock.advance(59)
    assert get(never) == b"old"
    cache.clock.advance(2)
    seen = []

    def make() -> bytes:
        seen.append(get(never))
        return b"new"

    assert get(make) == b"new"
    assert seen == [b"old"]
    assert get(never) == b"new"
    # Nobody asked in time.
    cache.clock.advance(90)
    assert get(lambda: b"newest") == b"newest"


def test_after_a_failure_another_one_renews(cache: Cache) -> None:
    cache.set("key", "old", 40)

    def fails() -> bytes:
        raise OSError("no database")

    with pytest.raises(OSError, match="no database"):
        cache.get_or_set("key", fails, 60, stale_for=50)
    assert cache.get("key") == b"old"
    assert cache.get_or_set("key", lambda: b"new", 60, stale_for=50) == b"new"


def test_invalidated(cache: Cache) -> None:
    assert not cache.invalidate("key")
    cache.set("key", "old")
    assert cache.invalidate("key", 30)
    item = cache.get_item("key")
    assert item is not None
    assert item.stale
    seen = []

    def make() -> bytes:
        seen.append(cache.get_or_set("key", never))
        return b"new"

    assert cache.get_or_set("key", make) == b"new"
    assert seen == [b"old"]


@pytest.mark.parametrize("value", [None, 1, ["a"]])
def test_what_is_no_value(cache: Cache, value: Any) -> None:
    with pytest.raises(TypeError, match="a value is bytes, str"):
        cache.get_or_set("key", lambda: value)
    assert cache.get("key") is None


def test_memoize_bytes(cache: Cache) -> None:
    calls = []

    @cache.memoize(ttl=60)
    def render(name: str, *, size: int = 1) -> str:
        """Renders."""
        calls.append((name, size))
        return name * size

    assert [render("a", size=2), render("a", size=2), render("a"), render("b")] == [b"aa", b"aa", b"a", b"b"]
    assert calls == [("a", 2), ("a", 1), ("b", 1)]
    assert (render.__name__, render.__doc__) == ("render", "Renders.")
    assert render.key("a") in cache
    assert render.forget("a")
    assert not render.forget("a")
    assert render("a") == b"a"
    assert len(calls) == 4
    cache.clock.advance(60)
    render("b")
    assert len(calls) == 5


@pytest.mark.parametrize(
    "serializer", ["json", "pickle", (lambda value: json.dumps(value).encode(), lambda value: json.loads(value))]
)
def test_memoize_other_values(cache: Cache, serializer: Any) -> None:
    calls = []

    @cache.memoize(serializer=serializer)
    def load(number: int) -> dict[str, int] | None:
        calls.append(number)
        return {"number": number} if number else None

    assert load(1) == load(1) == {"number": 1}
    # None is a value, too.
    assert load(0) is load(0) is None
    assert calls == [1, 0]


def test_memoize_tells_arguments_apart(cache: Cache) -> None:
    @cache.memoize(serializer="json")
    def load(*arguments: object, **named: object) -> None: ...

    keys = {
        load.key(*arguments)
        for arguments in [(), (1,), ("1",), (b"1",), (1.0,), (True,), (None,), (1, 2), ((1, 2),), ("1, 2",), ("1','2",)]
    }
    keys |= {load.key(a=1), load.key("a=1"), load.key(b=1, a=2), load.key("x" * 300), load.key("y" * 300)}
    assert len(keys) == 16
    assert all(len(key) <= 250 for key in keys)
    assert load.key(b=1, a=2) == load.key(a=2, b=1)
    with pytest.raises(TypeError, match="give memoize a function `key`"):
        load(object())


def test_memoize_with_keys_of_ones_own(cache: Cache) -> None:
    @cache.memoize(key=lambda user: f"user:{user['id']}")
    def name(user: dict[str, Any]) -> str:
        return str(user["name"])

    assert name({"id": 1, "name": "Ada"}) == b"Ada"
    assert cache.get("user:1") == b"Ada"


def test_memoize_refuses(cache: Cache) -> None:
    wrong: list[Any] = ["yaml", (), (1, 2, 3)]
    for serializer in wrong:
        with pytest.raises(TypeError, match="json"):
            cache.memoize(serializer=serializer)

    class Shop:
        @cache.memoize()
        def price(self) -> str:
            return "1"

    with pytest.raises(TypeError, match="method"):
        Shop().price()
