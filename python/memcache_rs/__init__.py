"""A memcached inside your process and your tests.

:class:`Cache` is a cache in this process. :class:`Server` serves one to any memcached client, on a
free port. The pytest plugin offers servers as fixtures.

Example:
    >>> from memcache_rs import Cache, Server
    >>> with Cache() as cache:
    ...     cache.set("greeting", "hello", ttl=60)
    ...     cache["greeting"]
    b'hello'
    >>> with Server() as server:
    ...     server.cache.set("greeting", "hello")
    ...     host, port = server.address
"""

from memcache_rs._cache import Cache
from memcache_rs._cluster import Cluster, ClusterClock
from memcache_rs._memoize import Memoized
from memcache_rs._native import (
    MEMCACHED_VERSION,
    Clock,
    Damage,
    FaultRule,
    Faults,
    HotKey,
    Item,
    ItemInfo,
    Loaded,
    Progress,
    Saved,
    __version__,
)
from memcache_rs._server import TLS, Server
from memcache_rs._watch import Event, Watch
from memcache_rs.errors import (
    BadSnapshotError,
    BusyError,
    CancelledError,
    ClosedError,
    ConfigError,
    ForkError,
    InvalidKeyError,
    InvalidTTLError,
    MemcacheError,
    NotANumberError,
    OutOfMemoryError,
    OutOfRangeError,
    SerializerError,
    StartError,
    ValueTooLargeError,
)

__all__ = [
    "MEMCACHED_VERSION",
    "TLS",
    "BadSnapshotError",
    "BusyError",
    "Cache",
    "CancelledError",
    "Clock",
    "ClosedError",
    "Cluster",
    "ClusterClock",
    "ConfigError",
    "Damage",
    "Event",
    "FaultRule",
    "Faults",
    "ForkError",
    "HotKey",
    "InvalidKeyError",
    "InvalidTTLError",
    "Item",
    "ItemInfo",
    "Loaded",
    "MemcacheError",
    "Memoized",
    "NotANumberError",
    "OutOfMemoryError",
    "OutOfRangeError",
    "Progress",
    "Saved",
    "SerializerError",
    "Server",
    "StartError",
    "ValueTooLargeError",
    "Watch",
    "__version__",
]
