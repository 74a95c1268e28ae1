"""A mapping with cachetools' interface, in the memory of one cache.

It needs no package. ``cachetools.cached`` accepts it, and so does other code that takes a mapping.

Example:
    >>> from memcache_rs.adapters.cachetools import MemcacheCache
    >>> cache = MemcacheCache(maxsize=16 << 20, ttl=60)
    >>> cache["key", 1] = {"any": "value"}
    >>> cache["key", 1], list(cache)
    ({'any': 'value'}, [('key', 1)])
"""

from __future__ import annotations

import pickle
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, cast

from memcache_rs import Cache
from memcache_rs._memoize import stable
from memcache_rs.adapters._local import key_of, room_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta


class MemcacheCache(MutableMapping[Any, Any]):
    """A mutable mapping whose items are evicted and expire.

    Keys are tuples of str, bytes, numbers, ``None``, enum members and classes, as
    ``cachetools.keys.hashkey`` and ``typedkey`` make them, or one of these alone. The numbers 1,
    1.0 and ``True`` are three keys. Keys and values are pickled, so each read returns a new object.

    Args:
        maxsize: Bytes of memory for all items. cachetools counts items, unless ``getsizeof`` is
            given. ``None`` means 64 MiB.
        ttl: How long an item lives. ``None`` means that it does not expire.
        cache: An existing cache or namespace to use, in place of ``maxsize``. It has no other
            items.

    Raises:
        ConfigError: ``maxsize`` is invalid.
        InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.

    Example:
        >>> cache = MemcacheCache(ttl=60)
        >>> cache["user:1"] = "Ada"
        >>> cache.pop("user:1"), len(cache)
        ('Ada', 0)
    """

    def __init__(
        self, maxsize: int | None = None, ttl: float | timedelta | None = None, *, cache: Cache[Any] | None = None
    ) -> None:
        self.cache: Cache[Any] = Cache(maxsize) if cache is None else cache
        self.cache._check_ttl(ttl)
        self.ttl = ttl
        self._bytes = self.cache.with_serializer(None)
        self._room = room_of(self.cache)

    @property
    def maxsize(self) -> int:
        """Bytes of memory for all items."""
        return int(self.cache.stats("settings")["maxbytes"])

    @property
    def currsize(self) -> int:
        """Bytes that the items take. With a namespace, bytes of all items of its cache."""
        return int(self.cache.stats()["bytes"])

    def _name(self, key: Any) -> bytes:
        """Returns the cache key of a key: the same bytes for equal keys, in every process."""
        return key_of(_text(key), room=self._room)

    def __getitem__(self, key: Any) -> Any:
        data = self._bytes.get(self._name(key))
        if data is None:
            return self.__missing__(key)
        return pickle.loads(data)[1]

    def __missing__(self, key: Any) -> Any:
        raise KeyError(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._bytes.set(self._name(key), pickle.dumps((key, value), pickle.HIGHEST_PROTOCOL), self.ttl)

    def __delitem__(self, key: Any) -> None:
        if not self._bytes.delete(self._name(key)):
            raise KeyError(key)

    def __contains__(self, key: Any) -> bool:
        return self._name(key) in self._bytes

    def __len__(self) -> int:
        return len(self._bytes)

    def __iter__(self) -> Iterator[Any]:
        for name in self._bytes:
            data = self._bytes.get(name)
            # The item may have expired since.
            if data is not None:
                yield pickle.loads(data)[0]

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Returns the value of a key. If there is none, it stores ``default``, atomically."""
        name, data = self._name(key), pickle.dumps((key, default), pickle.HIGHEST_PROTOCOL)
        return pickle.loads(self._bytes.get_or_set(name, lambda: data, self.ttl))[1]

    def clear(self) -> None:
        """Removes all items."""
        self._bytes.flush()


def _text(key: Any) -> str:
    if isinstance(key, tuple):
        return f"({','.join(map(_text, cast('tuple[object, ...]', key)))})"
    if isinstance(key, type):
        return f"<{key.__module__}.{key.__qualname__}>"
    return stable(key)
