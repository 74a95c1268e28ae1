"""Rules that adapters share: how keys, timeouts and numbers of other interfaces become ours."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from memcache_rs import Cache

KEY_MAX = 250
_HASHED = b"sha256:"
#: Bytes of a hash and what is before it.
_DIGEST = len(_HASHED) + 64
#: The longest TTL of the cache, 100 years. A longer timeout never expires.
_LONGEST = 100 * 365 * 86_400
#: Numbers below this are stored as decimal digits, which the cache counts natively.
COUNTED = 1 << 63
#: Numbers below this are added natively, because the sum cannot overflow.
SMALL = 1 << 32


def key_of(key: str, refused: bytes = b"", room: int = KEY_MAX) -> bytes:
    """Returns the cache key for a key of another interface. Different keys stay different.

    A key that is empty, longer than ``room``, or has a byte in ``refused`` becomes its beginning
    and a hash. So does a key that ends like a hash.
    """
    name = key.encode(errors="surrogatepass")
    fits = 0 < len(name) <= room and name[-_DIGEST:-64] != _HASHED
    if fits and name.translate(None, refused) == name:
        return name
    return _head(name, refused, room) + _HASHED + hashlib.sha256(name).hexdigest().encode()


def prefix_of(prefix: str, refused: bytes = b"") -> bytes:
    """Returns the prefix that :func:`key_of` gives to all keys with a prefix.

    It gives it to a few others, too: those that differ only in refused bytes, or only behind the
    beginning of a hashed key.
    """
    return _head(prefix.encode(errors="surrogatepass"), refused, KEY_MAX)


def _head(name: bytes, refused: bytes, room: int) -> bytes:
    """Returns the beginning of a hashed key. Each refused byte becomes ``_``."""
    return name[: max(room - _DIGEST, 0)].translate(bytes.maketrans(refused, b"_" * len(refused)))


def room_of(cache: Cache[Any]) -> int:
    """Returns the most bytes of a key of a cache or a namespace."""
    return KEY_MAX - len(cache.prefix)


def span(seconds: float | None) -> float | None:
    """Returns the TTL for a timeout. 0 or less expires at once, and over 100 years never."""
    return None if seconds is None or seconds > _LONGEST else float(max(seconds, 0))


def change(cache: Cache, key: bytes, change: Callable[[bytes], bytes]) -> bytes | None:
    """Replaces a value by the result of ``change``, atomically, and keeps the TTL."""
    while (item := cache.get_item(key)) is not None:
        value = change(item.value)
        if cache.cas(key, value, item.cas, item.ttl):
            return value
    return None
