"""Values on their way into a cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from memcache_rs.errors import OutOfMemoryError, ValueTooLargeError

if TYPE_CHECKING:
    from memcache_rs import _native
    from memcache_rs._typing import TTL, Octets

T = TypeVar("T")


def octets(value: Octets) -> bytes:
    """Converts a key or a value to bytes."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    finished(value)
    if isinstance(value, (int, list, tuple)) or not hasattr(value, "__len__"):
        raise TypeError(
            f"a value is bytes, str, bytearray or memoryview, not {type(value).__name__}; name a serializer"
        )
    return memoryview(value).tobytes()


def finished(value: T) -> T:
    """Returns a value, unless it has to be awaited: that is a TypeError."""
    if hasattr(value, "__await__"):
        # A coroutine that is not closed warns that it was never awaited.
        close: Any = getattr(value, "close", None)
        if close is not None:
            close()
        raise TypeError(
            f"a value is made by a function that returns it, not by one that returns a {type(value).__name__} to "
            "await; call aget_or_set, or memoize an async def"
        )
    return value


def keep(cache: _native.Cache, key: Octets, value: Octets, ttl: TTL) -> bool:
    """Stores a value that was computed. Returns False if the cache has no room for it: then the key is removed.

    A cache that cannot take a value is no reason to lose it, but it must not go on returning an older one.
    """
    try:
        cache.set(key, value, ttl)
    except (ValueTooLargeError, OutOfMemoryError):
        cache.delete(key)
        return False
    return True
