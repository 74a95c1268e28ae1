"""Conversion of keys, and storing of values that were made for a caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from memcache_rs.errors import OutOfMemoryError, ValueTooLargeError

if TYPE_CHECKING:
    from memcache_rs import _native
    from memcache_rs._typing import TTL, BytesLike

T = TypeVar("T")


def to_bytes(key: BytesLike) -> bytes:
    """Converts a key to bytes."""
    if isinstance(key, bytes):
        return key
    if isinstance(key, str):
        return key.encode()
    if isinstance(key, (int, list, tuple)) or not hasattr(key, "__len__"):
        raise TypeError(f"key must be str, bytes, bytearray or memoryview, got {type(key).__name__}")
    return memoryview(key).tobytes()


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


def keep(cache: _native.Cache, key: BytesLike, data: bytes, ttl: TTL, flags: int = 0) -> bool:
    """Stores bytes that their maker has anyway. Returns ``False`` if there is no room for them.

    In that case it removes the key, because the cache must not return an older value. The cache has
    no serializer.
    """
    try:
        cache.set(key, data, ttl, flags=flags)
    except (ValueTooLargeError, OutOfMemoryError):
        cache.delete(key)
        return False
    return True
