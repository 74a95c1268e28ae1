"""Single flight: get_or_set and memoize."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import inspect
import json
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import memcache_rs
from memcache_rs import Cache
from memcache_rs._flight import Waiter

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


@pytest.mark.parametrize(
    "remove", [lambda cache: cache.delete("key"), Cache.flush, lambda cache: cache.flush_prefix("k")]
)
def test_a_delete_while_a_value_was_made_was_lost(cache: Cache, remove: Callable[[Cache], object]) -> None:
    started, go, values = threading.Event(), threading.Event(), []

    def old() -> bytes:
        started.set()
        assert go.wait(20)
        return b"old"

    first = threading.Thread(target=lambda: values.append(cache.get_or_set("key", old)))
    first.start()
    assert started.wait(20)
    remove(cache)
    go.set()
    first.join()
    assert (values, cache.get("key")) == ([b"old"], None)

    async def after_a_delete() -> list[bytes]:
        making = asyncio.Event()

        async def make_old() -> bytes:
            making.set()
            await asyncio.sleep(0)
            remove(cache)
            tasks.append(asyncio.create_task(cache.aget_or_set("key", lambda: b"new")))
            await asyncio.sleep(0)
            return b"old"

        tasks = [asyncio.create_task(cache.aget_or_set("key", make_old))]
        await making.wait()
        first = await tasks[0]
        return [first, await tasks[1]]

    # A caller that comes after the delete does not get the value from before.
    assert asyncio.run(after_a_delete()) == [b"old", b"new"]
    assert cache.get("key") == b"new"


def test_a_newer_value_outlives_the_one_that_was_made(cache: Cache) -> None:
    def make() -> bytes:
        cache.set("key", b"newer", 5)
        return b"made"

    assert cache.get_or_set("key", make, 60) == b"made"
    item = cache.get_item("key")
    assert item is not None
    assert (item.value, item.ttl) == (b"newer", 5)
    # Also while a stale value is renewed.
    cache.invalidate("key")
    assert cache.get_or_set("key", make, 60) == b"made"
    assert cache.get("key") == b"newer"

    def make_and_delete() -> bytes:
        assert cache.delete("key")
        return b"made"

    cache.invalidate("key")
    assert cache.get_or_set("key", make_and_delete, 60) == b"made"
    assert cache.get("key") is None


def test_waiters_get_the_value_of_the_leader(cache: Cache) -> None:
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
    # The key has no value until it is made.
    assert cache.get("key") is None
    go.set()
    for worker in workers:
        worker.join(20)
    assert (calls, values) == (1, [b"value"] * threads)


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Counts the callers that have begun to wait."""
    begun = threading.Semaphore(0)
    wait, wait_async = Waiter.wait, Waiter.wait_async

    def counted(waiter: Waiter) -> Any:
        begun.release()
        return wait(waiter)

    async def counted_async(waiter: Waiter) -> Any:
        begun.release()
        return await wait_async(waiter)

    monkeypatch.setattr(Waiter, "wait", counted)
    monkeypatch.setattr(Waiter, "wait_async", counted_async)
    return begun


@pytest.mark.parametrize("error", [OSError("no database"), KeyboardInterrupt("now")])
def test_waiters_get_an_error_but_not_an_interrupt(
    cache: Cache, waiting: threading.Semaphore, error: BaseException
) -> None:
    started, go = threading.Event(), threading.Event()
    outcomes: list[object] = []

    def fails() -> bytes:
        started.set()
        assert go.wait(20)
        raise error

    def ask(make: Callable[[], bytes]) -> None:
        try:
            outcomes.append(cache.get_or_set("key", make))
        except (OSError, KeyboardInterrupt) as raised:
            outcomes.append(raised)

    async def ask_async() -> bytes:
        return await cache.aget_or_set("key", lambda: b"value")

    def ask_in_loop() -> None:
        try:
            outcomes.append(asyncio.run(ask_async()))
        except OSError as raised:
            outcomes.append(raised)

    threads = [threading.Thread(target=ask, args=(fails,))]
    threads[0].start()
    assert started.wait(20)
    threads += [threading.Thread(target=ask, args=(lambda: b"value",)) for _ in range(2)]
    threads += [threading.Thread(target=ask_in_loop)]
    for thread in threads[1:]:
        thread.start()
    for _ in threads[1:]:
        assert waiting.acquire(timeout=20)
    go.set()
    for thread in threads:
        thread.join(20)
    if isinstance(error, Exception):
        assert outcomes == [error] * 4
        assert cache.get_or_set("key", lambda: b"again") == b"again"
    else:
        assert sorted(outcomes, key=str) == [b"value"] * 3 + [error]


@pytest.mark.parametrize("error", [StopIteration("none"), KeyboardInterrupt("now")])
def test_an_exception_of_make_arrives_unchanged(cache: Cache, error: BaseException) -> None:
    def fails() -> bytes:
        raise error

    for key in ("missing", "stale"):
        cache.set("stale", "old")
        cache.invalidate("stale")
        with pytest.raises(type(error), match=str(error)):
            cache.get_or_set(key, fails)
        assert cache.get_or_set(key, lambda: "new") == b"new"


def test_a_value_that_needs_itself(cache: Cache) -> None:
    with pytest.raises(RuntimeError, match="its own key"):
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
    # The old value expires if no caller renews it.
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
def test_an_invalid_value_of_make(cache: Cache, value: Any) -> None:
    with pytest.raises(TypeError, match="value must be str, bytes"):
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
    assert render.cache_key("a") in cache
    assert render.cache_delete("a")
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

    @cache.memoize(serializer=serializer)  # type: ignore[untyped-decorator]
    def load(number: int) -> dict[str, int] | None:
        calls.append(number)
        return {"number": number} if number else None

    assert load(1) == load(1) == {"number": 1}
    # None is a value as well.
    assert load(0) is load(0) is None
    assert calls == [1, 0]


def test_memoize_tells_arguments_apart(cache: Cache) -> None:
    @cache.memoize(serializer="json")
    def load(*arguments: object, **named: object) -> None: ...

    keys = {
        load.cache_key(*arguments)
        for arguments in [(), (1,), ("1",), (b"1",), (1.0,), (True,), (None,), (1, 2), ((1, 2),), ("1, 2",), ("1','2",)]
    }
    keys |= {
        load.cache_key(a=1),
        load.cache_key("a=1"),
        load.cache_key(b=1, a=2),
        load.cache_key("x" * 300),
        load.cache_key("y" * 300),
    }
    assert len(keys) == 16
    assert all(len(key) <= 250 for key in keys)
    assert load.cache_key(b=1, a=2) == load.cache_key(a=2, b=1)
    with pytest.raises(TypeError, match="pass memoize a `key`"):
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


class Color(enum.Enum):
    RED = 1


class Point(NamedTuple):
    x: int
    y: int


def test_memoize_tells_functions_of_one_name_apart(cache: Cache) -> None:
    def make(factor: int) -> Callable[[int], int]:
        @cache.memoize(serializer="json")
        def times(number: int) -> int:
            return number * factor

        return times

    assert (make(2)(10), make(3)(10)) == (20, 30)
    first, second = (cache.memoize()(lambda: "1"), cache.memoize()(lambda: "2"))
    assert (first(), second(), first()) == (b"1", b"2", b"1")

    # One function's name looks like the key of another.
    def plain(text: str, other: str = "") -> str:
        return text

    def odd() -> str:
        return "odd"

    odd.__qualname__ = f"{plain.__qualname__}('a',''"
    ours, theirs = cache.memoize()(plain), cache.memoize()(odd)
    assert (ours("a"), theirs()) == (b"a", b"odd")


def test_memoize_is_not_taken_in_by_what_arguments_print(cache: Cache) -> None:
    class Liar(str):
        __slots__ = ()

        def __repr__(self) -> str:
            return "'same'"

    @cache.memoize(serializer="json")
    def load(*arguments: object, **named: object) -> None: ...

    for liar in (Liar("a"), (Liar("a"),), {"x": 1}):
        with pytest.raises(TypeError, match="pass memoize a `key`"):
            load.cache_key(liar)
    calls: list[Any] = [
        ((), {"a": 1, "b": 2}),
        ((), {"a": "1,'b':2"}),
        ((), {"a':1,'b": 2}),
        (((1,), 2), {}),
        ((1, (2,)), {}),
        (((1, 2),), {}),
        ((Point(1, 2),), {}),
        ((Color.RED,), {}),
        ((1,), {}),
        ((10**5000,), {}),
        ((-(10**5000),), {}),
    ]
    assert len({load.cache_key(*arguments, **named) for arguments, named in calls}) == len(calls)


def test_memoize_knows_a_call_in_all_its_spellings(cache: Cache) -> None:
    calls = []

    @cache.memoize()
    def load(id: int, lang: str = "en", *more: int, loud: bool = False, connection: object = cache) -> str:
        calls.append((id, lang))
        return f"{id} {lang}"

    assert load(7) == load(id=7) == load(7, "en") == load(lang="en", id=7) == load(7, loud=False) == b"7 en"
    assert load(7, connection=cache) == b"7 en"
    assert calls == [(7, "en")]
    assert load.cache_delete(id=7, lang="en")
    assert not load.cache_delete(7)
    assert (
        len({load.cache_key(7), load.cache_key(7, "de"), load.cache_key(7, "en", 1), load.cache_key(7, loud=True)}) == 4
    )
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        load()  # type: ignore[call-arg]
    # It would remove nothing.
    with pytest.raises(TypeError, match="missing a required argument: 'id'"):
        load.cache_delete()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="put it below @staticmethod"):
        cache.memoize()(staticmethod(never))


def test_memoized_methods_are_each_objects_own(cache: Cache) -> None:
    class Shop:
        def __init__(self, price: int) -> None:
            self.base = price

        @cache.memoize(serializer="json")
        def price(self, count: int = 1) -> int:
            return self.base * count

        @cache.memoize()
        @classmethod
        def kind(cls) -> str:
            return cls.__name__

        @classmethod
        @cache.memoize()
        def below(cls, mark: str = "") -> str:
            return cls.__name__ + mark

        @staticmethod
        @cache.memoize()
        def place() -> str:
            return "here"

    class Market(Shop):
        pass

    cheap, dear = Shop(1), Shop(100)
    assert (cheap.price(2), dear.price(2), cheap.price(count=2), Shop.price(dear, 2)) == (2, 200, 2, 200)
    dear.base = 5
    assert dear.price(2) == 200
    assert dear.price.cache_delete(2)
    assert (dear.price(2), cheap.price.cache_key(), Shop.price.cache_key(cheap)) == (
        10,
        cheap.price.cache_key(1),
        cheap.price.cache_key(1),
    )
    kinds: Any = (Shop, Market)
    assert (*(shop.kind() for shop in kinds), Shop.place(), cheap.place()) == (b"Shop", b"Market", b"here", b"here")

    of_cheap: Any = cheap
    shop_kind, market_kind = (shop.kind for shop in kinds)
    assert shop_kind.cache_key() == of_cheap.kind.cache_key() != market_kind.cache_key()
    assert (shop_kind.cache_delete(), shop_kind.cache_delete(), market_kind.cache_delete()) == (True, False, True)
    # Since Python 3.13, `classmethod` does not bind what it decorates.
    own: Any = (Shop,) if sys.version_info >= (3, 13) else ()
    below: Any = Shop.below
    assert (below(), below(mark="!"), cheap.below("!"), *(shop.below() for shop in kinds)) == (
        b"Shop",
        b"Shop!",
        b"Shop!",
        b"Shop",
        b"Market",
    )
    assert (below.cache_delete(*own), below.cache_delete(*own), below.cache_delete(*own, "!")) == (True, False, True)

    # A new object does not get the number of a deleted one.
    seen = set()
    for _ in range(100):
        shop = Shop(1)
        seen.add(shop.price.cache_key())
        del shop
    assert len(seen) == 100

    class Slotted:
        __slots__ = ()

        @cache.memoize()
        def price(self) -> str:
            return "1"

    with pytest.raises(TypeError, match="pass memoize a `key`"):
        Slotted().price()


@pytest.mark.parametrize("full", [False, True], ids=["too large", "memory exhausted"])
def test_a_value_that_cannot_be_stored_is_not_lost(full: bool, waiting: threading.Semaphore) -> None:
    with Cache(8 << 20, evictions=False) as cache:
        if full:
            with contextlib.suppress(memcache_rs.OutOfMemoryError):
                for n in range(100_000):
                    cache.set(str(n), bytes(1000))
        large = bytes(900_000 if full else 2 << 20)
        calls, values = [], []
        started, go = threading.Event(), threading.Event()

        @cache.memoize(ttl=60)
        def load() -> bytes:
            calls.append(1)
            started.set()
            assert go.wait(20)
            return large

        workers = [threading.Thread(target=lambda: values.append(load())) for _ in range(5)]
        workers[0].start()
        assert started.wait(20)
        for worker in workers[1:]:
            worker.start()
        for _ in workers[1:]:
            assert waiting.acquire(timeout=20)
        go.set()
        for worker in workers:
            worker.join(20)
        assert (len(calls), values) == (1, [large] * 5)
        assert load.cache_key() not in cache
        # An older value is removed.
        cache.set("key", "old", 40)
        assert cache.get_or_set("key", lambda: large, 60, stale_for=50) == large
        assert cache.get("key") is None


def test_a_cache_that_make_closes_does_not_lose_the_value() -> None:
    cache = Cache()

    def make() -> bytes:
        cache.close()
        return b"value"

    assert cache.get_or_set("key", make) == b"value"


@pytest.mark.parametrize("ttl", [-1, 1e12, "60", timedelta(days=36_525)])
def test_an_invalid_ttl_is_refused_before_make_is_called(cache: Cache, ttl: Any) -> None:
    with pytest.raises(memcache_rs.InvalidTTLError):
        cache.get_or_set("key", never, ttl, stale_for=86_400)


def test_tasks_share_one_flight(cache: Cache) -> None:
    calls = []

    async def work() -> list[dict[str, int]]:
        go = asyncio.Event()

        @cache.memoize(ttl=60, serializer="json")
        async def load(number: int) -> dict[str, int]:
            calls.append(number)
            await go.wait()
            return {"number": number}

        assert inspect.iscoroutinefunction(load) or asyncio.iscoroutinefunction(load)
        tasks = [asyncio.create_task(load(7)) for _ in range(4)] + [asyncio.create_task(load(number=7))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        # The cancellation of a waiter affects no other waiter.
        tasks[2].cancel()
        go.set()
        values = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(values.pop(2), asyncio.CancelledError)
        assert await load(7) == {"number": 7}
        assert load.cache_delete(7)
        return values  # type: ignore[return-value]

    assert asyncio.run(work()) == [{"number": 7}] * 4
    assert calls == [7]


def test_a_task_that_is_cancelled_leaves_its_flight_to_the_next(cache: Cache) -> None:
    async def work() -> bytes:
        started = asyncio.Event()

        async def hangs() -> bytes:
            started.set()
            await asyncio.Event().wait()
            return b"never"

        async def makes() -> bytes:
            return b"value"

        first = asyncio.create_task(cache.aget_or_set("key", hangs))
        await started.wait()
        second = asyncio.create_task(cache.aget_or_set("key", makes))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(work()) == b"value"
    assert cache.get("key") == b"value"


def test_tasks_and_threads_share_flights(cache: Cache) -> None:
    started, go = threading.Event(), threading.Event()

    def make() -> bytes:
        started.set()
        assert go.wait(20)
        return b"value"

    thread = threading.Thread(target=cache.get_or_set, args=("key", make))
    thread.start()
    assert started.wait(20)

    async def work() -> bytes:
        task = asyncio.create_task(cache.aget_or_set("key", never))
        await asyncio.sleep(0)
        go.set()
        return await task

    assert asyncio.run(work()) == b"value"
    thread.join(20)


def test_tasks_that_would_wait_for_themselves_are_refused(cache: Cache) -> None:
    async def itself() -> bytes:
        return await cache.aget_or_set("key", never)

    async def blocks() -> bytes:
        return cache.get_or_set("key", never)

    for make in (itself, blocks):
        with pytest.raises(RuntimeError, match="its own key"):
            asyncio.run(cache.aget_or_set("key", make))


def test_stale_values_while_a_task_makes_the_new(cache: Cache) -> None:
    async def fails() -> bytes:
        raise OSError("no database")

    async def makes() -> bytes:
        assert await cache.aget_or_set("key", never, 60, stale_for=50) == b"old"
        return bytes(2 << 20)

    cache.set("key", "old", 40)
    with pytest.raises(OSError, match="no database"):
        asyncio.run(cache.aget_or_set("key", fails, 60, stale_for=50))
    assert asyncio.run(cache.aget_or_set("key", makes, 60, stale_for=50)) == bytes(2 << 20)
    assert cache.get("key") is None


@pytest.mark.parametrize("serializer", [None, "json"])
def test_an_awaitable_is_not_a_value(cache: Cache, serializer: Any) -> None:
    async def value() -> str:
        return "value"

    wrapped: Any = lambda: value()  # noqa: E731
    with pytest.raises(TypeError, match="memoize an async def"):
        cache.memoize(serializer=serializer)(wrapped)()
    with pytest.raises(TypeError, match="aget_or_set"):
        cache.get_or_set("key", wrapped)
    assert asyncio.run(cache.aget_or_set("key", wrapped)) == b"value"
