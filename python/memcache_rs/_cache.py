"""The cache in process: the native one, with what needs no speed."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from memcache_rs import _native

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from memcache_rs._typing import TTL, Octets, Serializer

P = ParamSpec("P")
R = TypeVar("R")

_KEY_MAX = 250


class _Flight:
    """A value that one thread computes and others wait for."""

    __slots__ = ("done", "failed", "thread", "value")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.failed = False
        self.thread = threading.get_ident()
        self.value = b""


class Cache(_native.Cache):
    """A cache in this process: bytes in, bytes out, with what memcached does.

    ``memory_limit`` bytes hold the items and what finds them; when they are full, what is used least goes, or, without
    ``evictions``, a store raises :class:`OutOfMemoryError`. An item takes at most ``item_size_max`` bytes (1 MiB,
    rounded up to a whole 512 KiB).

    Keys have 1 to 250 bytes. Keys and values are bytes, str (as UTF-8), or anything with a buffer. A ``ttl`` is
    seconds, a timedelta, or a datetime; a part of a second counts as a whole one, 0 is over at once, and None, the
    default, is never.

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

    __slots__ = ("__weakref__", "_flights", "_lock")

    def __init__(
        self,
        memory_limit: int = 64 << 20,
        *,
        item_size_max: int | None = None,
        evictions: bool = True,
        _shared: _native.Cache | None = None,
    ) -> None:
        # The arguments are those of __new__.
        self._lock = threading.Lock()
        self._flights: dict[bytes, _Flight] = {}

    def get_or_set(
        self, key: Octets, make: Callable[[], Octets], ttl: TTL = None, *, stale_for: float | timedelta | None = None
    ) -> bytes:
        """The value of ``key``; if there is none, what ``make`` returns, which is stored.

        However many threads ask at once, one of them calls ``make`` and the others wait for its value. If it raises,
        its caller gets the exception and the next one tries.

        With ``stale_for`` nobody waits for what was there before: for so many seconds after its ``ttl`` the old value
        is still given to all but the one caller that makes the new one. The same happens to what was marked by
        :meth:`invalidate`. (These are memcached's win and stale flags.)

        >>> cache = Cache()
        >>> cache.get_or_set("answer", lambda: b"42", ttl=60)
        b'42'
        >>> cache.get_or_set("answer", lambda: b"another", ttl=60)
        b'42'
        """
        found = self._lease(key, stale_for)
        if found is not None:
            value, win = found
            return self._renew(key, make, ttl, stale_for) if win else value
        name = _octets(key)
        while True:
            with self._lock:
                flight = self._flights.get(name)
                mine = flight is None
                if flight is None:
                    flight = self._flights[name] = _Flight()
            if mine:
                return self._fly(flight, name, make, ttl, stale_for)
            if flight.thread == threading.get_ident():
                raise RuntimeError(f"making the value of {key!r} asks for the value of {key!r}")
            flight.done.wait()
            if not flight.failed:
                return flight.value

    def _fly(
        self, flight: _Flight, name: bytes, make: Callable[[], Octets], ttl: TTL, stale_for: float | timedelta | None
    ) -> bytes:
        flight.failed = True
        try:
            # The flight before this one may have ended between the look and the start.
            value = self.get(name)
            if value is None:
                value = _octets(make())
                self.set(name, value, _later(ttl, stale_for))
            flight.value = value
            flight.failed = False
            return value
        finally:
            with self._lock:
                del self._flights[name]
            flight.done.set()

    def _renew(self, key: Octets, make: Callable[[], Octets], ttl: TTL, stale_for: float | timedelta | None) -> bytes:
        try:
            value = _octets(make())
            self.set(key, value, _later(ttl, stale_for))
        except BaseException:
            # The next caller wins in place of this one.
            self.invalidate(key)
            raise
        return value

    @overload
    def memoize(
        self,
        ttl: TTL = None,
        *,
        serializer: None = None,
        key: Callable[..., Octets] | None = None,
        stale_for: float | timedelta | None = None,
    ) -> Callable[[Callable[P, Octets]], Memoized[P, bytes]]: ...
    @overload
    def memoize(
        self,
        ttl: TTL = None,
        *,
        serializer: Serializer,
        key: Callable[..., Octets] | None = None,
        stale_for: float | timedelta | None = None,
    ) -> Callable[[Callable[P, R]], Memoized[P, R]]: ...
    def memoize(
        self,
        ttl: TTL = None,
        *,
        serializer: Serializer | None = None,
        key: Callable[..., Octets] | None = None,
        stale_for: float | timedelta | None = None,
    ) -> Callable[[Callable[..., Any]], Memoized[..., Any]]:
        """Keeps what a function returns, by its arguments.

        Without a ``serializer`` the function returns bytes or str, and its callers get bytes. ``"json"`` and
        ``"pickle"`` take what those modules take (unpickle only what you stored yourself: do not name pickle for a
        cache that is served to others); a pair of functions does what they do.

        The key is made of the function's name and its arguments, if those are str, bytes, numbers, None, or tuples of
        these; for others, ``key`` makes it of the same arguments. ``.forget(…)`` removes the value for its arguments,
        and ``.key(…)`` tells the key.

        >>> cache = Cache()
        >>> @cache.memoize(ttl=60, serializer="json")
        ... def squares(n):
        ...     print("counting")
        ...     return [i * i for i in range(n)]
        >>> squares(4)
        counting
        [0, 1, 4, 9]
        >>> squares(4)
        [0, 1, 4, 9]
        """
        dumps, loads = _serializer(serializer)

        def decorate(function: Callable[..., Any]) -> Memoized[..., Any]:
            return Memoized(self, function, ttl, stale_for, key, dumps, loads)

        return decorate


class Memoized(Generic[P, R]):
    """A function whose results are kept; see :meth:`Cache.memoize`."""

    __wrapped__: Callable[P, Any]
    __name__: str
    __qualname__: str

    def __init__(
        self,
        cache: Cache,
        function: Callable[P, Any],
        ttl: TTL,
        stale_for: float | timedelta | None,
        key: Callable[..., Octets] | None,
        dumps: Callable[[Any], Octets],
        loads: Callable[[bytes], Any],
    ) -> None:
        functools.update_wrapper(self, function)
        self._cache = cache
        self._ttl = ttl
        self._stale_for = stale_for
        self._make_key = key
        self._dumps = dumps
        self._loads = loads
        self._name = f"{function.__module__}.{function.__qualname__}"

    def key(self, *args: P.args, **kwargs: P.kwargs) -> bytes:
        """The key under which the result for these arguments is kept."""
        if self._make_key is not None:
            return _octets(self._make_key(*args, **kwargs))
        parts = [_stable(arg) for arg in args]
        parts += [f"{name}={_stable(value)}" for name, value in sorted(kwargs.items())]
        whole = f"{self._name}({','.join(parts)})".encode()
        if len(whole) <= _KEY_MAX:
            return whole
        import hashlib

        return self._name.encode()[: _KEY_MAX - 65] + b":" + hashlib.sha256(whole).hexdigest().encode()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        made: list[Any] = []

        def make() -> Octets:
            made.append(self.__wrapped__(*args, **kwargs))
            return self._dumps(made[0])

        value = self._cache.get_or_set(self.key(*args, **kwargs), make, self._ttl, stale_for=self._stale_for)
        return self._loads(value)  # type: ignore[no-any-return]

    def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Removes the result for these arguments; whether there was one."""
        return self._cache.delete(self.key(*args, **kwargs))

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:
            return self
        raise TypeError("memoize keeps results of functions; for a method, memoize a function of what it depends on")


def _octets(value: Octets) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (int, list, tuple)) or not hasattr(value, "__len__"):
        raise TypeError(
            f"a value is bytes, str, bytearray or memoryview, not {type(value).__name__}; name a serializer"
        )
    return memoryview(value).tobytes()


def _later(ttl: TTL, stale_for: float | timedelta | None) -> TTL:
    if ttl is None or stale_for is None:
        return ttl
    from datetime import datetime, timedelta

    if not isinstance(stale_for, timedelta):
        stale_for = timedelta(seconds=stale_for)
    if isinstance(ttl, (datetime, timedelta)):
        return ttl + stale_for
    return timedelta(seconds=ttl) + stale_for


def _stable(value: object) -> str:
    """How an argument is written into a key: the same in every process, and different for what is not equal."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return repr(value)
    if isinstance(value, tuple):
        parts = cast("tuple[object, ...]", value)
        return "(" + "".join(f"{_stable(part)}," for part in parts) + ")"
    raise TypeError(
        f"no key can be made of a {type(value).__name__}; give memoize a function `key` that makes one of the arguments"
    )


def _serializer(named: Serializer | None) -> tuple[Callable[[Any], Octets], Callable[[bytes], Any]]:
    if named is None:
        return _octets, bytes
    if named == "json":
        import json

        return json.dumps, json.loads
    if named == "pickle":
        import pickle

        return pickle.dumps, pickle.loads
    if isinstance(named, str) or len(named) != 2:
        raise TypeError(f'a serializer is "json", "pickle" or a pair of functions, not {named!r}')
    return named
