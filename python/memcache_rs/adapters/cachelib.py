"""A cache for cachelib and Flask-Caching on a cache in this process.

Example:
    >>> from memcache_rs.adapters.cachelib import MemcacheCache
    >>> cache = MemcacheCache(default_timeout=60)
    >>> cache.set("key", {"any": "value"})
    True
    >>> cache.get("key")
    {'any': 'value'}
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from cachelib import BaseCache
from cachelib.serializers import BaseSerializer

from memcache_rs import Cache
from memcache_rs._values import keep
from memcache_rs.adapters._local import COUNTED, SMALL, change, key_of, room_of, span
from memcache_rs.errors import NotANumberError, OutOfMemoryError, ValueTooLargeError

#: The prefix of serialized values that begin with a digit or with this prefix.
_SERIALIZED = b"="


def _seconds(timeout: int | timedelta) -> int:
    """Rounds a timedelta up, as newer versions of cachelib do. Version 0.14 knows no timedelta."""
    return math.ceil(timeout.total_seconds()) if isinstance(timeout, timedelta) else timeout


class MemcacheCache(BaseCache):
    """A cache with cachelib's interface.

    Values are pickled, except whole numbers of at least 0, which the cache counts natively.
    :meth:`inc` and :meth:`dec` are atomic and keep the timeout. If the cache has no room for a
    value, ``set`` and ``add`` return ``False``.

    As in cachelib, a timeout of 0 never expires. A timeout of more than 100 years never expires
    either. A negative timeout expires at once.

    Args:
        default_timeout: The timeout in seconds, or a timedelta, of values stored without one.
        cache: An existing cache or namespace to use. ``None`` makes a cache. :meth:`clear` removes
            the items of a namespace alone.
        ignore_delete_many_errors: cachelib's setting. It has no effect, because deletes do not
            fail.
        **settings: The settings of :class:`memcache_rs.Cache` without ``cache``.

    Raises:
        ConfigError: A setting is invalid.

    Example:
        >>> cache = MemcacheCache(default_timeout=60, memory_limit=16 << 20)
        >>> cache.set("key", "value", timeout=0), cache.get("key")
        (True, 'value')
    """

    serializer = BaseSerializer()

    def __init__(
        self,
        default_timeout: int | timedelta = 300,
        *,
        cache: Cache[Any] | None = None,
        ignore_delete_many_errors: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__(_seconds(default_timeout))
        # Newer versions of cachelib read this attribute.
        self.ignore_delete_many_errors = ignore_delete_many_errors
        self.cache: Cache[Any] = Cache(**settings) if cache is None else cache
        self._bytes = self.cache.with_serializer(None)
        self._room = room_of(self.cache)

    def _name(self, key: str) -> bytes:
        return key_of(key, room=self._room)

    def _ttl(self, timeout: int | timedelta | None) -> float | None:
        seconds = self._normalize_timeout(None if timeout is None else _seconds(timeout))
        return None if seconds == 0 else span(seconds)

    def _dumps(self, value: Any) -> bytes:
        if type(value) is int and 0 <= value < COUNTED:
            return b"%d" % value
        data = self.serializer.dumps(value)
        if data is None:
            raise TypeError(f"value must be picklable, got {type(value).__name__}")
        # A pickle never begins like that.
        return _SERIALIZED + data if data[:1].isdigit() or data.startswith(_SERIALIZED) else data

    def _loads(self, data: bytes) -> Any:
        if data[:1].isdigit():
            return int(data)
        return self.serializer.loads(data.removeprefix(_SERIALIZED))

    def get(self, key: str) -> Any:
        value = self._bytes.get(self._name(key))
        return None if value is None else self._loads(value)

    def get_many(self, *keys: str) -> list[Any]:
        names = [self._name(key) for key in keys]
        found = self._bytes.get_many(names)
        return [self._loads(found[name]) if name in found else None for name in names]

    def set(self, key: str, value: Any, timeout: int | timedelta | None = None) -> bool:
        return keep(self._bytes, self._name(key), self._dumps(value), self._ttl(timeout))

    def add(self, key: str, value: Any, timeout: int | timedelta | None = None) -> bool:
        try:
            return self._bytes.add(self._name(key), self._dumps(value), self._ttl(timeout))
        except (ValueTooLargeError, OutOfMemoryError):
            return False

    def delete(self, key: str) -> bool:
        return self._bytes.delete(self._name(key))

    def has(self, key: str) -> bool:
        return self._name(key) in self._bytes

    def clear(self) -> bool:
        self._bytes.flush()
        return True

    def inc(self, key: str, delta: int = 1) -> int | None:
        """Increments a number, atomically. The timeout stays as it is.

        A missing key starts at ``delta``, with the default timeout.

        Args:
            key: The key.
            delta: The number to add, which may be negative.

        Returns:
            The new number, or ``None`` if the cache has no room for it.

        Raises:
            TypeError: The value is not a number.

        Example:
            >>> cache = MemcacheCache()
            >>> cache.inc("visits"), cache.inc("visits", 41)
            (1, 42)
        """
        name = self._name(key)
        try:
            if type(delta) is int and 0 <= delta < SMALL:
                try:
                    return self._bytes.incr(name, delta, initial=delta, ttl=self._ttl(None))
                except NotANumberError:
                    # A negative number or a float, or a value that raises TypeError below.
                    pass
            while True:
                number = change(self._bytes, name, lambda old: self._dumps((self._loads(old) or 0) + delta))
                if number is not None:
                    return self._loads(number)  # type: ignore[no-any-return]
                if self._bytes.add(name, self._dumps(delta), self._ttl(None)):
                    return delta
        except (ValueTooLargeError, OutOfMemoryError):
            return None

    def dec(self, key: str, delta: int = 1) -> int | None:
        """Decrements a number, atomically. The timeout stays as it is.

        A missing key starts at ``-delta``, with the default timeout.

        Args:
            key: The key.
            delta: The number to subtract, which may be negative.

        Returns:
            The new number, which may be negative, or ``None`` if the cache has no room for it.

        Raises:
            TypeError: The value is not a number.

        Example:
            >>> cache = MemcacheCache()
            >>> cache.dec("left"), cache.dec("left", -3)
            (-1, 2)
        """
        return self.inc(key, -delta)
