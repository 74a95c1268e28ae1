"""A cache for cachelib, on a cache in this process.

>>> from memcache_rs.adapters.cachelib import MemcacheCache
>>> cache = MemcacheCache(default_timeout=60)
>>> cache.set("key", {"any": "value"})
True
>>> cache.get("key")
{'any': 'value'}

Values are pickled, as in cachelib's other caches.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from cachelib import BaseCache
from cachelib.serializers import BaseSerializer

from memcache_rs import Cache
from memcache_rs.errors import ValueTooLargeError

if TYPE_CHECKING:
    from datetime import timedelta

_KEY_MAX = 250


class MemcacheCache(BaseCache):
    """cachelib's interface; a timeout of 0 is for ever, as there.

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

    def _key(self, key: str) -> bytes:
        octets = key.encode()
        return octets if 0 < len(octets) <= _KEY_MAX else b"sha256:" + hashlib.sha256(octets).hexdigest().encode()

    def _ttl(self, timeout: int | timedelta | None) -> int | None:
        return self._normalize_timeout(timeout) or None

    def _dumps(self, value: Any) -> bytes:
        octets = self.serializer.dumps(value)
        if octets is None:
            raise TypeError(f"a {type(value).__name__} cannot be pickled")
        return octets

    def get(self, key: str) -> Any:
        value = self.cache.get(self._key(key))
        return None if value is None else self.serializer.loads(value)

    def get_many(self, *keys: str) -> list[Any]:
        octets = [self._key(key) for key in keys]
        found = self.cache.get_many(octets)
        return [self.serializer.loads(found[key]) if key in found else None for key in octets]

    def set(self, key: str, value: Any, timeout: int | timedelta | None = None) -> bool:
        try:
            self.cache.set(self._key(key), self._dumps(value), self._ttl(timeout))
        except ValueTooLargeError:
            return False
        return True

    def add(self, key: str, value: Any, timeout: int | timedelta | None = None) -> bool:
        try:
            return self.cache.add(self._key(key), self._dumps(value), self._ttl(timeout))
        except ValueTooLargeError:
            return False

    def delete(self, key: str) -> bool:
        return self.cache.delete(self._key(key))

    def has(self, key: str) -> bool:
        return self._key(key) in self.cache

    def clear(self) -> bool:
        self.cache.flush()
        return True
