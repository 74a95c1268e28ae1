"""A cache for Django that all processes of a machine share, without a separate server.

``settings.py``::

    CACHES = {
        "default": {
            "BACKEND": "memcache_rs.adapters.django.MemcacheCache",
            "LOCATION": "/run/site/cache.sock",
            "OPTIONS": {"memory_limit": 256 << 20},
        }
    }

The first process that uses the cache hosts it: it accesses the cache directly, and serves it at the
Unix socket. Other processes connect there with pymemcache. When the host ends, the next process
that makes a call becomes the host, with an empty cache. To keep the cache, use it first in the
process that starts the workers, or run ``memcached-rs -s /run/site/cache.sock``. Without
``LOCATION`` each process has its own cache.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.exceptions import ImproperlyConfigured

from memcache_rs.adapters._local import COUNTED, SMALL, key_of, prefix_of
from memcache_rs.adapters._shared import SharedCache
from memcache_rs.errors import ConfigError, NotANumberError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Bytes that the text protocol does not allow in keys.
_NOT_IN_KEYS = bytes(range(33)) + b"\x7f"


class MemcacheCache(BaseCache):
    """A cache with Django's interface.

    Values are pickled, except whole numbers, which the cache counts natively. A value that is too
    large is not stored: ``add`` returns ``False`` and ``set_many`` returns its key. The end of a
    key that memcached refuses is hashed, and Django warns about it.

    Caches with different ``KEY_PREFIX`` may share a location: :meth:`clear` removes only the items
    of its own prefix.

    ``OPTIONS`` may have ``memory_limit`` (64 MiB), ``item_size_max`` (1 MiB) and ``evictions``, as
    of :class:`memcache_rs.Cache`. ``threads``, ``max_connections`` and ``unix_mask``, as of
    :class:`memcache_rs.Server`, apply to the host. ``timeout`` is how many seconds a client waits
    for a reply (3).

    Args:
        location: The path of the Unix socket. Without one, each process has its own cache.
        params: The other settings, with ``OPTIONS``.

    Raises:
        ImproperlyConfigured: A setting is invalid.

    Example:
        >>> cache = MemcacheCache(None, {"OPTIONS": {"memory_limit": 16 << 20}})
        >>> cache.set("key", {"any": "value"}, timeout=60)
        >>> cache.get("key")
        {'any': 'value'}
    """

    def __init__(self, location: str | None, params: dict[str, Any]) -> None:
        super().__init__(params)
        settings = dict(params.get("OPTIONS") or {})
        timeout = settings.pop("timeout", 3.0)
        # Entries are not counted. The memory limit bounds the cache.
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
        # Different keys may have the same name, such as 1 and "1".
        names = {key: self._key(key, version) for key in keys}
        values = self._shared.call(lambda store: store.get_many(list(dict.fromkeys(names.values()))))
        return {key: _loads(values[name]) for key, name in names.items() if name in values}

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        name, data, ttl = self._key(key, version), _dumps(value), self._ttl(timeout)
        self._shared.call(lambda store: store.set(name, data, ttl))

    def set_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        names = {self._key(key, version): key for key in data}
        values = {name: _dumps(data[key]) for name, key in names.items()}
        ttl = self._ttl(timeout)
        failed = self._shared.call(lambda store: store.set_many(values, ttl)) if values else []
        return [names[name] for name in failed]

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        name, data, ttl = self._key(key, version), _dumps(value), self._ttl(timeout)
        return self._shared.call(lambda store: store.add(name, data, ttl))

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
        """Increments a number, atomically. The timeout stays as it is.

        ``decr`` does the reverse. The number may become negative.

        Args:
            key: The key.
            delta: The number to add, which may be negative.
            version: The version of the key.

        Returns:
            The new number.

        Raises:
            ValueError: There is no such key.
            TypeError: The value is not a number.

        Example:
            >>> cache = MemcacheCache(None, {})
            >>> cache.set("visits", 41)
            >>> cache.incr("visits"), cache.decr("visits", 50)
            (42, -8)
        """
        name = self._key(key, version)
        number: int | None = None
        counted = False
        if type(delta) is int and 0 <= delta < SMALL:
            try:
                number = self._shared.call(lambda store: store.incr(name, delta))
                counted = True
            except NotANumberError:
                # A negative number or a float, or a value that raises TypeError below.
                pass
        if not counted:
            changed = self._shared.call(lambda store: store.change(name, lambda old: _dumps(_loads(old) + delta)))
            number = None if changed is None else _loads(changed)
        if number is None:
            raise ValueError(f"Key {key!r} not found")
        return number

    def clear(self, version: int | None = None) -> None:
        """Removes the items of this ``KEY_PREFIX``, in constant time.

        Without ``KEY_PREFIX``, or with a ``KEY_FUNCTION`` whose keys do not begin with it and a
        colon, this removes all items at the location.

        Args:
            version: Removes only the items of this version.

        Raises:
            ImproperlyConfigured: ``version`` is given, and ``KEY_FUNCTION`` makes keys that do not
                end with the key.

        Example:
            >>> cache = MemcacheCache(None, {"KEY_PREFIX": "site"})
            >>> cache.set("key", "old", version=1)
            >>> cache.set("key", "new", version=2)
            >>> cache.clear(version=1)
            >>> cache.get("key", version=1), cache.get("key", version=2)
            (None, 'new')
        """
        if version is not None:
            self._flush(self._prefix("", version))
        elif self.key_prefix and self.make_key("").startswith(f"{self.key_prefix}:"):
            self._flush(f"{self.key_prefix}:")
        else:
            self._shared.call(lambda store: store.flush())

    def delete_pattern(self, pattern: str, version: int | None = None) -> None:
        """Removes all items whose keys begin with a prefix, in constant time.

        A key that memcached refuses has a hash at its end. Of such keys, those that differ only in
        refused characters, or only after 179 bytes, are removed together.

        Args:
            pattern: The prefix and ``*``.
            version: The version of the keys.

        Raises:
            ValueError: ``pattern`` is not a prefix and one ``*``.
            ImproperlyConfigured: ``KEY_FUNCTION`` makes keys that do not end with the key.

        Example:
            >>> cache = MemcacheCache(None, {})
            >>> cache.set_many({"user:1": "Ada", "user:2": "Grace", "page": "Hello"})
            []
            >>> cache.delete_pattern("user:*")
            >>> cache.get_many(["user:1", "user:2", "page"])
            {'page': 'Hello'}
        """
        prefix, star = pattern[:-1], pattern[-1:]
        if star != "*" or any(sign in prefix for sign in "*?["):
            raise ValueError(f"pattern must be a prefix and one `*`, such as user:*, got {pattern!r}")
        self._flush(self._prefix(prefix, version))

    def _prefix(self, prefix: str, version: int | None) -> str:
        """Returns the beginning that ``KEY_FUNCTION`` gives to all keys with a prefix."""
        name: str = self.make_key(prefix, version)
        if not name.endswith(prefix) or self.make_key(f"{prefix}*", version) != f"{name}*":
            raise ImproperlyConfigured("KEY_FUNCTION must put the key at the end, to remove keys by their prefix")
        return name

    def _flush(self, prefix: str) -> None:
        name = prefix_of(prefix, _NOT_IN_KEYS)
        self._shared.call(lambda store: store.flush_prefix(name) if name else store.flush())


def _path(location: str | None) -> str | None:
    import os

    if not location:
        return None
    return os.path.abspath(os.fspath(location).removeprefix("unix:"))


def _dumps(value: Any) -> bytes:
    if type(value) is int and 0 <= value < COUNTED:
        return b"%d" % value
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _loads(data: bytes) -> Any:
    # A pickle never begins with a digit.
    return int(data) if data[:1].isdigit() else pickle.loads(data)
