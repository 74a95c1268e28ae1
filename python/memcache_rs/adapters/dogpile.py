"""A backend for dogpile.cache, on a cache in this process.

>>> from dogpile.cache import make_region
>>> region = make_region().configure("memcache_rs", expiration_time=60, arguments={"memory_limit": 16 << 20})
>>> region.get_or_create("key", lambda: {"any": "value"})
{'any': 'value'}

``arguments`` are those of :class:`memcache_rs.Cache`, or ``cache``, one that is there. With ``ttl`` the cache drops
items after so long; the region's own expiration is dogpile's matter. Values are pickled unless the region has a
serializer. Keys may be of any length. A value that the cache has no room for is returned to its caller, and not kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dogpile.cache.api import NO_VALUE, BytesBackend

from memcache_rs import Cache
from memcache_rs._values import keep
from memcache_rs.adapters._local import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dogpile.cache.api import SerializedReturnType

_SETTINGS = ("memory_limit", "item_size_max", "evictions")


class MemcacheBackend(BytesBackend):
    """What ``make_region().configure("memcache_rs")`` uses."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        # What is not known is left alone, as dogpile wants it: arguments may be meant for several backends.
        settings = {name: arguments[name] for name in _SETTINGS if name in arguments}
        self._ttl = arguments.get("ttl")
        cache = arguments.get("cache")
        self.cache: Cache = Cache(**settings) if cache is None else cache
        # Now, and not when a value was made.
        self.cache._check_ttl(self._ttl)

    def get_serialized(self, key: str) -> SerializedReturnType:
        value = self.cache.get(key_of(key))
        return NO_VALUE if value is None else value

    def get_serialized_multi(self, keys: Iterable[str]) -> Sequence[SerializedReturnType]:
        names = [key_of(key) for key in keys]
        found = self.cache.get_many(names)
        return [found.get(name, NO_VALUE) for name in names]

    def set_serialized(self, key: str, value: bytes) -> None:
        # The caller has the value, also if the cache has no room for it.
        keep(self.cache, key_of(key), value, self._ttl)

    def set_serialized_multi(self, mapping: Mapping[str, bytes]) -> None:
        for key, value in mapping.items():
            self.set_serialized(key, value)

    def delete(self, key: str) -> None:
        self.cache.delete(key_of(key))

    def delete_multi(self, keys: Iterable[str]) -> None:
        self.cache.delete_many(key_of(key) for key in keys)
