"""A backend for dogpile.cache, on a cache in this process.

>>> from dogpile.cache import make_region
>>> region = make_region().configure("memcache_rs", expiration_time=60, arguments={"memory_limit": 16 << 20})
>>> region.get_or_create("key", lambda: {"any": "value"})
{'any': 'value'}

``arguments`` are those of :class:`memcache_rs.Cache`, or ``cache``, one that is there. With ``ttl`` the cache drops
items after so long; the region's own expiration is dogpile's matter. Values are pickled unless the region has a
serializer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dogpile.cache.api import NO_VALUE, BytesBackend
from dogpile.cache.util import sha1_mangle_key

from memcache_rs import Cache

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dogpile.cache.api import SerializedReturnType

_KEY_MAX = 250
_SETTINGS = ("memory_limit", "item_size_max", "evictions")


class MemcacheBackend(BytesBackend):
    """What ``make_region().configure("memcache_rs")`` uses."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        # What is not known is left alone, as dogpile wants it: arguments may be meant for several backends.
        settings = {name: arguments[name] for name in _SETTINGS if name in arguments}
        self.key_mangler = _short
        self._ttl = arguments.get("ttl")
        cache = arguments.get("cache")
        self.cache: Cache = Cache(**settings) if cache is None else cache

    def get_serialized(self, key: str) -> SerializedReturnType:
        value = self.cache.get(key)
        return NO_VALUE if value is None else value

    def get_serialized_multi(self, keys: Iterable[str]) -> Sequence[SerializedReturnType]:
        keys = list(keys)
        found = self.cache.get_many(keys)
        return [found.get(key, NO_VALUE) for key in keys]

    def set_serialized(self, key: str, value: bytes) -> None:
        self.cache.set(key, value, self._ttl)

    def set_serialized_multi(self, mapping: Mapping[str, bytes]) -> None:
        self.cache.set_many(mapping, self._ttl)

    def delete(self, key: str) -> None:
        self.cache.delete(key)

    def delete_multi(self, keys: Iterable[str]) -> None:
        self.cache.delete_many(keys)


def _short(key: str) -> str:
    """Keys of 250 bytes at most, as all caches have them."""
    return key if len(key.encode()) <= _KEY_MAX else sha1_mangle_key(key)
