"""What adapters do with a cache in this process: keys, times and numbers by the rules of other interfaces."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from memcache_rs import Cache

_KEY_MAX = 250
_HASHED = b"sha256:"
#: More is for ever: what the cache takes, 100 years.
_FOR_EVER = 100 * 365 * 86_400
#: What is kept as decimal digits, which the cache counts by itself.
COUNTED = 1 << 63
#: What may be added to that without the least danger of an overflow.
SMALL = 1 << 32


def key_of(key: str, refused: bytes = b"") -> bytes:
    """The key under which one of another interface is kept, whatever it is; keys that differ stay different.

    Keys that are empty, too long, or have a byte in ``refused`` are hashed, and so are those that look hashed.
    """
    octets = key.encode(errors="surrogatepass")
    fits = 0 < len(octets) <= _KEY_MAX and not octets.startswith(_HASHED)
    if fits and octets.translate(None, refused) == octets:
        return octets
    return _HASHED + hashlib.sha256(octets).hexdigest().encode()


def span(seconds: float | None) -> float | None:
    """A time to live for the cache: what is not above 0 is over at once, and more than 100 years is for ever."""
    return None if seconds is None or seconds > _FOR_EVER else float(max(seconds, 0))


def change(cache: Cache, key: bytes, change: Callable[[bytes], bytes]) -> bytes | None:
    """Replaces a value by what ``change`` makes of it, atomically, and keeps its time to live."""
    while (item := cache.get_item(key)) is not None:
        value = change(item.value)
        if cache.cas(key, value, item.cas, item.ttl):
            return value
    return None
