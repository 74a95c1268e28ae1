"""A backend for dogpile.cache on a cache in this process.

Example:
    >>> from dogpile.cache import make_region
    >>> arguments = {"memory_limit": 16 << 20}
    >>> region = make_region().configure("memcache_rs", expiration_time=60, arguments=arguments)
    >>> region.get_or_create("key", lambda: {"any": "value"})
    {'any': 'value'}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dogpile.cache.api import NO_VALUE, BytesBackend

from memcache_rs import Cache
from memcache_rs._values import keep
from memcache_rs.adapters._local import key_of, room_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dogpile.cache.api import SerializedReturnType

_SETTINGS = ("memory_limit", "item_size_max", "evictions")


class MemcacheBackend(BytesBackend):
    """The backend that ``make_region().configure("memcache_rs")`` makes.

    Values are pickled unless the region has a serializer. Keys may have any length. A value that
    the cache has no room for is returned to the caller and not stored.

    Args:
        arguments: ``memory_limit``, ``item_size_max`` and ``evictions``, as of
            :class:`memcache_rs.Cache`. Or ``cache``, an existing cache or namespace. ``ttl`` is
            the TTL of items; the region checks its own expiration time besides.

    Raises:
        ConfigError: A setting is invalid.
        InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.

    Example:
        >>> backend = MemcacheBackend({"memory_limit": 16 << 20, "ttl": 60})
        >>> backend.set_serialized("key", b"value")
        >>> backend.get_serialized("key")
        b'value'
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        # dogpile allows unknown arguments, because they may be for several backends.
        settings = {name: arguments[name] for name in _SETTINGS if name in arguments}
        self._ttl = arguments.get("ttl")
        cache = arguments.get("cache")
        self.cache: Cache[Any] = Cache(**settings) if cache is None else cache
        # dogpile serializes the values.
        self._bytes = self.cache.with_serializer(None)
        self._room = room_of(self.cache)
        # An invalid TTL is refused here, before a value is made.
        self.cache._check_ttl(self._ttl)

    def _name(self, key: str) -> bytes:
        return key_of(key, room=self._room)

    def get_serialized(self, key: str) -> SerializedReturnType:
        value = self._bytes.get(self._name(key))
        return NO_VALUE if value is None else value

    def get_serialized_multi(self, keys: Iterable[str]) -> Sequence[SerializedReturnType]:
        names = [self._name(key) for key in keys]
        found = self._bytes.get_many(names)
        return [found.get(name, NO_VALUE) for name in names]

    def set_serialized(self, key: str, value: bytes) -> None:
        # The caller has the value, even if the cache has no room for it.
        keep(self._bytes, self._name(key), value, self._ttl)

    def set_serialized_multi(self, mapping: Mapping[str, bytes]) -> None:
        for key, value in mapping.items():
            self.set_serialized(key, value)

    def delete(self, key: str) -> None:
        self._bytes.delete(self._name(key))

    def delete_multi(self, keys: Iterable[str]) -> None:
        self._bytes.delete_many(self._name(key) for key in keys)
