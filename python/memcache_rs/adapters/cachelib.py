"""A cache for cachelib, on a cache in this process.

>>> from memcache_rs.adapters.cachelib import MemcacheCache
>>> cache = MemcacheCache(default_timeout=60)
>>> cache.set("key", {"any": "value"})
True
>>> cache.get("key")
{'any': 'value'}

Values are pickled, as in cachelib's other caches, but for whole numbers from 0 on, which the cache counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cachelib import BaseCache
from cachelib.serializers import BaseSerializer

from memcache_rs import Cache
from memcache_rs._values import keep
from memcache_rs.adapters._local import COUNTED, SMALL, change, key_of, span
from memcache_rs.errors import NotANumberError, OutOfMemoryError, ValueTooLargeError

if TYPE_CHECKING:
    from datetime import timedelta

#: Stands before serialized values that begin as a number does, or with this.
_SERIALIZED = b"="


class MemcacheCache(BaseCache):
    """cachelib's interface: a timeout of 0 is for ever, as there, and so is one of more than 100 years.

    A value with a timeout below 0 is over at once. ``inc`` and ``dec`` are atomic, and leave the timeout as it is.
    ``set`` and ``add`` return False for a value that the cache has no room for.

    ``settings`` are those of :class:`memcache_rs.Cache`; ``cache`` is one that is there.
    """

    serializer = BaseSerializer()

    def __init__(
        self,
        default_timeout: int | timedelta = 300,
        *,
        cache: Cache | None = None,
        ignore_delete_many_errors: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__(default_timeout)
        # Of newer versions alone; here deleting does not fail.
        self.ignore_delete_many_errors = ignore_delete_many_errors
        self.cache = Cache(**settings) if cache is None else cache

    def _ttl(self, timeout: int | timedelta | None) -> float | None:
        seconds = self._normalize_timeout(timeout)
        return None if seconds == 0 else span(seconds)

    def _dumps(self, value: Any) -> bytes:
        if type(value) is int and 0 <= value < COUNTED:
            return b"%d" % value
        octets = self.serializer.dumps(value)
        if octets is None:
            raise TypeError(f"a {type(value).__name__} cannot be pickled")
        # A pickle never does.
        return _SERIALIZED + octets if octets[:1].isdigit() or octets.startswith(_SERIALIZED) else octets

    def _loads(self, octets: bytes) -> Any:
        if octets[:1].isdigit():
            return int(octets)
        return self.serializer.loads(octets.removeprefix(_SERIALIZED))

    def get(self, key: str) -> Any:
        value = self.cache.get(key_of(key))
        return None if value is None else self._loads(value)

    def get_many(self, *keys: str) -> list[Any]:
        names = [key_of(key) for key in keys]
        found = self.cache.get_many(names)
        return [self._loads(found[name]) if name in found else None for name in names]

    def set(self, key: str, value: Any, timeout: int | timedelta | None = None) -> bool:
        return keep(self.cache, key_of(key), self._dumps(value), self._ttl(timeout))

    def add(self, key: str, value: Any, timeout: int | timedelta | None = None) -> bool:
        try:
            return self.cache.add(key_of(key), self._dumps(value), self._ttl(timeout))
        except (ValueTooLargeError, OutOfMemoryError):
            return False

    def delete(self, key: str) -> bool:
        return self.cache.delete(key_of(key))

    def has(self, key: str) -> bool:
        return key_of(key) in self.cache

    def clear(self) -> bool:
        self.cache.flush()
        return True

    def inc(self, key: str, delta: int = 1) -> int | None:
        """Adds to a number, atomically; it keeps its timeout. A key that is not there begins at ``delta``.

        Args:
            key: The key.
            delta: What to add; it may be negative.

        Returns:
            The new number, or None if the cache has no room for it.

        Raises:
            TypeError: The value is no number.

        Example:
            >>> cache = MemcacheCache()
            >>> cache.inc("visits"), cache.inc("visits", 41)
            (1, 42)
        """
        name = key_of(key)
        try:
            if type(delta) is int and 0 <= delta < SMALL:
                try:
                    return self.cache.incr(name, delta, initial=delta, ttl=self._ttl(None))
                except NotANumberError:
                    # Below zero, a float, or what raises a TypeError now.
                    pass
            while True:
                number = change(self.cache, name, lambda old: self._dumps((self._loads(old) or 0) + delta))
                if number is not None:
                    return self._loads(number)  # type: ignore[no-any-return]
                if self.cache.add(name, self._dumps(delta), self._ttl(None)):
                    return delta
        except (ValueTooLargeError, OutOfMemoryError):
            return None

    def dec(self, key: str, delta: int = 1) -> int | None:
        """Takes from a number, atomically; it keeps its timeout. A key that is not there begins at ``-delta``.

        Args:
            key: The key.
            delta: What to take; it may be negative.

        Returns:
            The new number, which may be below 0, or None if the cache has no room for it.

        Raises:
            TypeError: The value is no number.

        Example:
            >>> cache = MemcacheCache()
            >>> cache.dec("left"), cache.dec("left", -3)
            (-1, 2)
        """
        return self.inc(key, -delta)
