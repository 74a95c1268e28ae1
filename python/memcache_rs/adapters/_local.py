"""Rules that adapters share: how keys, timeouts and numbers of other interfaces become ours."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from memcache_rs import Cache

_KEY_MAX = 250
_HASHED = b"sha256:"
#: The longest TTL of the cache, 100 years. A longer timeout never expires.
_LONGEST = 100 * 365 * 86_400
#: Numbers below this are stored as decimal digits, which the cache counts natively.
COUNTED = 1 << 63
#: Numbers below this are added natively, because the sum cannot overflow.
SMALL = 1 << 32


def key_of(key: str, refused: bytes = b"") -> bytes:
    """Returns the cache key for a key of another interface. Different keys stay different.

    It hashes keys that are empty, too long, or have a byte in ``refused``. It also hashes keys that
    look like a hash.
    """
    name = key.encode(errors="surrogatepass")
    fits = 0 < len(name) <= _KEY_MAX and not name.startswith(_HASHED)
    if fits and name.translate(None, refused) == name:
        return name
    return _HASHED + hashlib.sha256(name).hexdigest().encode()


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
