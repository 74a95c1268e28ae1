"""The cache in process: the native one, with what needs no speed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, overload

from memcache_rs import _native
from memcache_rs._flight import Flights
from memcache_rs._memoize import AsyncMemoized, Memoized, is_async, serializer_of
from memcache_rs._values import keep, octets
from memcache_rs.errors import ClosedError, MemcacheError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from datetime import timedelta

    from memcache_rs._memoize import BytesDecorator, Decorator
    from memcache_rs._typing import TTL, Octets, Serializer


class Cache(_native.Cache):
    """A cache in this process: bytes in, bytes out, with what memcached does.

    ``memory_limit`` bytes hold the items and what finds them; when they are full, what is used least goes, or, without
    ``evictions``, a store raises :class:`OutOfMemoryError`. An item takes at most ``item_size_max`` bytes (1 MiB,
    rounded up to a whole 512 KiB), and ``memory_limit`` is at least twice that: 2 MiB by default. Settings that cannot
    work raise :class:`ConfigError`.

    Keys have 1 to 250 bytes. Keys and values are bytes, str (as UTF-8), or anything with a buffer. A ``ttl`` is
    seconds, a timedelta, or a datetime; a part of a second counts as a whole one, 0 is over at once, and None, the
    default, is never. A datetime counts from ``time.time()`` at the call, also where a test freezes or moves that
    (freezegun, time-machine): one that is five minutes ahead there is five minutes of the cache's clock.

    >>> from datetime import timedelta
    >>> cache = Cache(memory_limit=16 << 20)
    >>> cache.set("user:1", "Ada", ttl=timedelta(minutes=5))
    >>> cache.get("user:1")
    b'Ada'
    >>> cache.get("user:2", "nobody")
    'nobody'
    >>> cache.set_many({"a": b"1", "b": b"2"})
    >>> cache.get_many(["a", "b", "c"])
    {'a': b'1', 'b': b'2'}
    >>> cache.incr("a", 41)
    42

    ``gets`` and ``cas`` store only if nobody else did meanwhile:

    >>> value, token = cache.gets("b")
    >>> cache.cas("b", value + b"!", token)
    True
    >>> cache.cas("b", b"too late", token)
    False

    It is a mapping, too:

    >>> cache["city"] = "London"
    >>> "city" in cache, cache["city"], len(cache)
    (True, b'London', 4)
    >>> del cache["city"]

    All methods may be called from any thread. Neither a copy nor a pickle can be made of it: another process reaches
    the same items through a :class:`Server`.
    """

    __slots__ = ("__weakref__", "_flights")

    def __init__(
        self,
        memory_limit: int = 64 << 20,
        *,
        item_size_max: int | None = None,
        evictions: bool = True,
        _shared: _native.Cache | None = None,
    ) -> None:
        # The arguments are those of __new__.
        self._flights = Flights()

    def get_or_set(
        self, key: Octets, make: Callable[[], Octets], ttl: TTL = None, *, stale_for: float | timedelta | None = None
    ) -> bytes:
        """Returns the value of ``key``; if there is none, stores and returns the value that ``make`` returns.

        However many threads ask at once, one of them calls ``make`` and the others wait for its value. A value that
        the cache cannot take, because it is too large or memory is exhausted, is returned to all of them, and not
        stored.

        With ``stale_for`` no caller waits for a value that was there before: for so many seconds after its ``ttl`` the
        old value is still given to all but the one caller that makes the new one. The same happens to an item that was
        marked by :meth:`invalidate`. (These are memcached's win and stale flags.)

        Args:
            key: 1 to 250 bytes.
            make: Makes the value. It must not ask for the same key.
            ttl: How long the value lives. It is checked before ``make`` is called.
            stale_for: How much longer the old value may be returned while a new one is made.

        Returns:
            The value, as bytes.

        Raises:
            InvalidKeyError: The key is empty or too long.
            InvalidTTLError: A time is negative, or more than 100 years.
            TypeError: ``make`` returned neither bytes nor str.
            RuntimeError: ``make`` asked for the same key.
            Exception: What ``make`` raised, for the caller whose ``make`` it was. The next waiter tries.

        Example:
            >>> cache = Cache()
            >>> cache.get_or_set("answer", lambda: b"42", ttl=60)
            b'42'
            >>> cache.get_or_set("answer", lambda: b"another", ttl=60)
            b'42'
        """
        found = self._lease(key, stale_for)
        if found is not None and not found[1]:
            return found[0]
        later = self._later(ttl, stale_for)
        name = octets(key)
        if found is not None:
            with self._renewal(name):
                value = octets(make())
            self._keep(name, value, later)
            return value
        while True:
            flight, leads = self._flights.board(name)
            if not leads:
                landed = flight.wait()
                if landed is not None:
                    return landed
                continue
            with flight:
                # The flight before this one may have ended between the look and the start.
                flight.value = self.get(name)
                if flight.value is None:
                    flight.value = octets(make())
                    self._keep(name, flight.value, later)
                return flight.value

    async def aget_or_set(
        self,
        key: Octets,
        make: Callable[[], Awaitable[Octets] | Octets],
        ttl: TTL = None,
        *,
        stale_for: float | timedelta | None = None,
    ) -> bytes:
        """Returns the value of ``key`` in a task of asyncio; if there is none, awaits the value that ``make`` makes.

        This is :meth:`get_or_set` for ``async def``. However many tasks and threads ask at once, one of them makes the
        value. If the task that makes it is cancelled, the next waiter makes it; a waiter that is cancelled leaves the
        others alone.

        Args:
            key: 1 to 250 bytes.
            make: Makes the value, or returns an awaitable of it. It must not ask for the same key.
            ttl: How long the value lives. It is checked before ``make`` is called.
            stale_for: How much longer the old value may be returned while a new one is made.

        Returns:
            The value, as bytes.

        Raises:
            InvalidKeyError: The key is empty or too long.
            InvalidTTLError: A time is negative, or more than 100 years.
            TypeError: ``make`` made neither bytes nor str.
            RuntimeError: ``make`` asked for the same key.
            Exception: What ``make`` raised, for the caller whose ``make`` it was. The next waiter tries.

        Example:
            >>> import asyncio
            >>> cache = Cache()
            >>> async def answer():
            ...     return b"42"
            >>> asyncio.run(cache.aget_or_set("answer", answer, ttl=60))
            b'42'
        """
        found = self._lease(key, stale_for)
        if found is not None and not found[1]:
            return found[0]
        later = self._later(ttl, stale_for)
        name = octets(key)
        if found is not None:
            with self._renewal(name):
                value = await _made(make)
            self._keep(name, value, later)
            return value
        import asyncio

        task = asyncio.current_task()
        while True:
            flight, leads = self._flights.board(name, task)
            if not leads:
                landed = await flight.wait_async(task)
                if landed is not None:
                    return landed
                continue
            with flight:
                # The flight before this one may have ended between the look and the start.
                flight.value = self.get(name)
                if flight.value is None:
                    flight.value = await _made(make)
                    self._keep(name, flight.value, later)
                return flight.value

    def _later(self, ttl: TTL, stale_for: float | timedelta | None) -> TTL:
        """The time to live of an item that may be stale at its end. What is wrong with it is raised now."""
        self._check_ttl(ttl)
        if ttl is None or stale_for is None:
            return ttl
        from datetime import datetime, timedelta

        if not isinstance(stale_for, timedelta):
            stale_for = timedelta(seconds=stale_for)
        later = (ttl if isinstance(ttl, (datetime, timedelta)) else timedelta(seconds=ttl)) + stale_for
        self._check_ttl(later)
        return later

    def _keep(self, key: bytes, value: bytes, ttl: TTL) -> None:
        """Stores a value that was made, if it can be: its maker has it anyway."""
        with contextlib.suppress(ClosedError):
            keep(self, key, value, ttl)

    @contextlib.contextmanager
    def _renewal(self, key: bytes) -> Generator[None, None, None]:
        try:
            yield
        except BaseException:
            # The next caller wins in place of this one.
            with contextlib.suppress(MemcacheError):
                self.invalidate(key)
            raise

    @overload
    def memoize(
        self,
        ttl: TTL = None,
        *,
        serializer: None = None,
        key: Callable[..., Octets] | None = None,
        stale_for: float | timedelta | None = None,
    ) -> BytesDecorator: ...
    @overload
    def memoize(
        self,
        ttl: TTL = None,
        *,
        serializer: Serializer,
        key: Callable[..., Octets] | None = None,
        stale_for: float | timedelta | None = None,
    ) -> Decorator: ...
    def memoize(
        self,
        ttl: TTL = None,
        *,
        serializer: Serializer | None = None,
        key: Callable[..., Octets] | None = None,
        stale_for: float | timedelta | None = None,
    ) -> Any:
        """Keeps the results of a function, an ``async def`` or a method, by their arguments.

        Without a ``serializer`` the function returns bytes or str, and its callers get bytes. ``"json"`` and
        ``"pickle"`` take what those modules take (unpickle only what you stored yourself: do not name pickle for a
        cache that is served to others); a pair of functions does what they do.

        Each decorated function has results of its own, whatever its name: two lambdas, or two closures of one factory,
        share none. Arguments are bound to the function's signature, so all spellings of a call are one:
        ``load(7)``, ``load(id=7)``, and ``load(7, "en")`` if that is the default. Arguments are str, bytes, numbers,
        None, members of enumerations, tuples and named tuples of these. For others ``key`` makes the key.

        Each object has results of its own method, for as long as it lives. Its attributes are not looked at: a method
        whose result depends on attributes that change needs a ``key``, which gets ``self`` as well. Decorate below
        ``@classmethod``, ``@staticmethod`` and ``@property`` (which needs a ``key``).

        The memoized function has two methods, which take its arguments. ``.forget(…)`` removes a result, ``.key(…)``
        returns the key.

        Args:
            ttl: How long a result lives.
            serializer: How results become bytes.
            key: Makes the whole key of a call, of 1 to 250 bytes: functions that make the same key share results.
            stale_for: See :meth:`get_or_set`.

        Returns:
            A decorator.

        Raises:
            TypeError: The serializer is none.

        Example:
            >>> cache = Cache()
            >>> @cache.memoize(ttl=60, serializer="json")
            ... def squares(n):
            ...     print("counting")
            ...     return [i * i for i in range(n)]
            >>> squares(4)
            counting
            [0, 1, 4, 9]
            >>> squares(n=4)
            [0, 1, 4, 9]
        """
        pair = serializer_of(serializer)

        def decorate(function: Callable[..., Any]) -> Memoized[..., Any]:
            if is_async(function):
                return AsyncMemoized(self, function, ttl, stale_for, key, pair)
            return Memoized(self, function, ttl, stale_for, key, pair)

        return decorate


async def _made(make: Callable[[], Awaitable[Octets] | Octets]) -> bytes:
    value: Any = make()
    return octets(await value if hasattr(value, "__await__") else value)
