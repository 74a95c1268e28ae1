"""A cache for Django that all processes of a machine share, without a server to install or to start.

``settings.py``::

    CACHES = {
        "default": {
            "BACKEND": "memcache_rs.adapters.django.MemcacheCache",
            "LOCATION": "/run/site/cache.sock",
            "OPTIONS": {"memory_limit": 256 << 20},
        }
    }

The first process that uses it holds the cache and reads it in process; the others connect to its Unix socket with
pymemcache. When that process ends, the next call of another one takes its place, and the cache begins empty. (To keep
it through restarts of workers, use the cache once in the process that starts them, or start ``memcached-rs -s
/run/site/cache.sock``.) Without ``LOCATION`` each process has a cache of its own.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.exceptions import ImproperlyConfigured

from memcache_rs.adapters._local import COUNTED, SMALL, key_of
from memcache_rs.adapters._shared import SharedCache
from memcache_rs.errors import ConfigError, NotANumberError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Bytes that no key may have in the text protocol.
_NOT_IN_KEYS = bytes(range(33)) + b"\x7f"


class MemcacheCache(BaseCache):
    """Django's interface.

    ``OPTIONS`` are ``memory_limit`` (64 MiB), ``item_size_max`` (1 MiB), ``evictions``, and for the process that
    hosts, ``threads``, ``max_connections`` and ``unix_mask``, as of :class:`memcache_rs.Server`; ``timeout`` is how
    many seconds a client waits for a reply (3).

    Values are pickled, but for whole numbers, which ``incr`` counts without a lock. What is too large is not cached:
    ``add`` is False and ``set_many`` names it. Keys that memcached would refuse are hashed (Django warns of them).
    """

    def __init__(self, location: str | None, params: dict[str, Any]) -> None:
        super().__init__(params)
        settings = dict(params.get("OPTIONS") or {})
        timeout = settings.pop("timeout", 3.0)
        # A cache without entries to count leaves these to its memory limit.
        for name in ("MAX_ENTRIES", "CULL_FREQUENCY"):
            settings.pop(name, None)
        try:
            self._shared = SharedCache.at(_path(location), settings, timeout)
        except ConfigError as error:
            raise ImproperlyConfigured(str(error)) from error

    def _key(self, key: Any, version: int | None) -> bytes:
        return key_of(self.make_and_validate_key(key, version=version), _NOT_IN_KEYS)

    def _ttl(self, timeout: Any) -> float | None:
        ttl: float | None = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return ttl

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        name = self._key(key, version)
        value = self._shared.call(lambda store: store.get(name))
        return default if value is None else _loads(value)

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        # Keys that differ may have one name, such as 1 and "1".
        names = {key: self._key(key, version) for key in keys}
        values = self._shared.call(lambda store: store.get_many(list(dict.fromkeys(names.values()))))
        return {key: _loads(values[name]) for key, name in names.items() if name in values}

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        name, octets, ttl = self._key(key, version), _dumps(value), self._ttl(timeout)
        self._shared.call(lambda store: store.set(name, octets, ttl))

    def set_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        names = {self._key(key, version): key for key in data}
        values = {name: _dumps(data[key]) for name, key in names.items()}
        ttl = self._ttl(timeout)
        failed = self._shared.call(lambda store: store.set_many(values, ttl)) if values else []
        return [names[name] for name in failed]

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        name, octets, ttl = self._key(key, version), _dumps(value), self._ttl(timeout)
        return self._shared.call(lambda store: store.add(name, octets, ttl))

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        name, ttl = self._key(key, version), self._ttl(timeout)
        return self._shared.call(lambda store: store.touch(name, ttl))

    def delete(self, key: Any, version: int | None = None) -> bool:
        name = self._key(key, version)
        return self._shared.call(lambda store: store.delete(name))

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        names = [self._key(key, version) for key in keys]
        if names:
            self._shared.call(lambda store: store.delete_many(names))

    def has_key(self, key: Any, version: int | None = None) -> bool:
        name = self._key(key, version)
        return self._shared.call(lambda store: store.contains(name))

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Adds to a number, atomically; it keeps its time to live, and may fall below zero."""
        name = self._key(key, version)
        number: int | None = None
        counted = False
        if type(delta) is int and 0 <= delta < SMALL:
            try:
                number = self._shared.call(lambda store: store.incr(name, delta))
                counted = True
            except NotANumberError:
                # Below zero, a float, or what raises a TypeError now.
                pass
        if not counted:
            changed = self._shared.call(lambda store: store.change(name, lambda old: _dumps(_loads(old) + delta)))
            number = None if changed is None else _loads(changed)
        if number is None:
            raise ValueError(f"Key {key!r} not found")
        return number

    def clear(self) -> None:
        self._shared.call(lambda store: store.flush())


def _path(location: str | None) -> str | None:
    import os

    if not location:
        return None
    return os.path.abspath(os.fspath(location).removeprefix("unix:"))


def _dumps(value: Any) -> bytes:
    if type(value) is int and 0 <= value < COUNTED:
        return b"%d" % value
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _loads(octets: bytes) -> Any:
    # A pickle begins with another byte than a digit.
    return int(octets) if octets[:1].isdigit() else pickle.loads(octets)
