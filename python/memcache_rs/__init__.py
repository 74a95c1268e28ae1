"""A memcached inside your process and your tests.

>>> from memcache_rs import Cache, Server
>>> with Cache() as cache:
...     cache.set("greeting", "hello", ttl=60)
...     cache["greeting"]
b'hello'

A server is the same cache for any memcached client, on a port that is free:

>>> with Server() as server:
...     server.cache.set("greeting", "hello")
...     host, port = server.address

What it needs: CPython 3.10 or later, and nothing else.
"""

from memcache_rs._cache import Cache
from memcache_rs._native import MEMCACHED_VERSION, Clock, FaultRule, Faults, Item, __version__
from memcache_rs._server import TLS, Cluster, Event, Server, Watch
from memcache_rs.errors import (
    ClosedError,
    ConfigError,
    ForkError,
    InvalidKeyError,
    InvalidTTLError,
    MemcacheError,
    NotANumberError,
    OutOfMemoryError,
    OutOfRangeError,
    StartError,
    ValueTooLargeError,
)

__all__ = [
    "MEMCACHED_VERSION",
    "TLS",
    "Cache",
    "Clock",
    "ClosedError",
    "Cluster",
    "ConfigError",
    "Event",
    "FaultRule",
    "Faults",
    "ForkError",
    "InvalidKeyError",
    "InvalidTTLError",
    "Item",
    "MemcacheError",
    "NotANumberError",
    "OutOfMemoryError",
    "OutOfRangeError",
    "Server",
    "StartError",
    "ValueTooLargeError",
    "Watch",
    "__version__",
]
