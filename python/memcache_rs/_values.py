"""Conversion of values, and storing of values that were made for a caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from memcache_rs.errors import OutOfMemoryError, ValueTooLargeError

if TYPE_CHECKING:
    from memcache_rs import _native
    from memcache_rs._typing import TTL, BytesLike

T = TypeVar("T")


def to_bytes(value: BytesLike) -> bytes:
    """Converts a key or a value to bytes."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    refuse_awaitable(value)
    if isinstance(value, (int, list, tuple)) or not hasattr(value, "__len__"):
        raise TypeError(
            f"value must be str, bytes, bytearray or memoryview, got {type(value).__name__}; "
            "convert it, or use memoize with a serializer"
        )
    return memoryview(value).tobytes()


def refuse_awaitable(value: T) -> T:
    """Returns a value, or raises :class:`TypeError` if it has to be awaited."""
    if hasattr(value, "__await__"):
        # Python warns of a coroutine that is neither awaited nor closed.
        close: Any = getattr(value, "close", None)
        if close is not None:
            close()
        raise TypeError(
            f"the function must return a value, got a {type(value).__name__} to await; "
            "call aget_or_set, or memoize an async def"
        )
    return value


def keep(cache: _native.Cache, key: BytesLike, value: BytesLike, ttl: TTL) -> bool:
    """Stores a value that its maker has anyway. Returns ``False`` if the cache has no room for it.

    In that case it removes the key, because the cache must not return an older value.
    """
    try:
        cache.set(key, value, ttl)
    except (ValueTooLargeError, OutOfMemoryError):
        cache.delete(key)
        return False
    return True
