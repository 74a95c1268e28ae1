# Types by hand, docstrings from the doc comments in bindings/python: see tests/test_docs.py.

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, Generic, NoReturn, final, overload

from typing_extensions import Buffer, Self, TypeVar, disjoint_base

from memcache_rs._typing import (
    TTL,
    BytesLike,
    Codec,
    OnProgress,
    Outcome,
    Path,
    Readable,
    Serializer,
    ServerSettings,
    Setting,
    SnapshotTTL,
    Stored,
    Writable,
)

_T = TypeVar("_T")
_K = TypeVar("_K", bound=str | Buffer)
_V = TypeVar("_V", default=bytes)

__all__ = [
    "COMMANDS",
    "MEMCACHED_VERSION",
    "Cache",
    "Clock",
    "Damage",
    "Directory",
    "FaultRule",
    "Faults",
    "HotKey",
    "Item",
    "ItemInfo",
    "Leader",
    "Loaded",
    "Progress",
    "Saved",
    "Server",
    "Watcher",
    "__version__",
    "check_settings",
    "cluster_proxy",
    "load",
    "make_certificates",
    "parse_event",
    "run_daemon",
    "save",
    "unix_time",
]

MEMCACHED_VERSION: Final[str]
#: How many commands a server records.
COMMANDS: Final[int]
__version__: Final[str]

def unix_time() -> int:
    """Returns the Unix time of the system clock, also while a test fakes Python's dates."""

def cluster_proxy(route: str | None, nodes: list[str]) -> str:
    """Returns the configuration of a proxy before nodes, each ``HOST:PORT``."""

def check_settings(settings: Mapping[str, Setting]) -> list[str]:
    """Checks settings of a server, each alone. Returns the names of those that a cache has."""

def make_certificates() -> list[tuple[str, str]]:
    """Makes a test authority, and a server and a client certificate signed by it.

    Returns:
        Pairs of a file name and its PEM text.

    Raises:
        RuntimeError: The keys could not be made.
    """

def run_daemon(args: list[str]) -> int:
    """Runs the daemon ``memcached-rs``.

    It needs a process of its own, because it installs signal handlers and may fork.

    Args:
        args: The command line, with the program name first.

    Returns:
        The exit status.
    """

@final
class Item(Generic[_V]):
    """An item: a value with its metadata, as :meth:`Cache.get_item` found it.

    Example:
        >>> cache = Cache()
        >>> cache.set("user:1", "Ada", ttl=60)
        >>> item = cache.get_item("user:1")
        >>> item.value, item.ttl
        (b'Ada', 60)
    """
    @classmethod
    def __class_getitem__(cls, values: Any) -> Any: ...
    @property
    def value(self) -> _V:
        """The value."""
    @property
    def flags(self) -> int:
        """The client flags, a number of 32 bits that was stored with the value."""
    @property
    def cas(self) -> int:
        """The CAS, which changes with each store. :meth:`Cache.cas` takes it."""
    @property
    def ttl(self) -> int | None:
        """Seconds until the item expires. ``None`` means that it does not."""
    @property
    def idle(self) -> int:
        """Seconds since the item was last accessed."""
    @property
    def fetched(self) -> bool:
        """Whether the item was read before this call."""
    @property
    def stale(self) -> bool:
        """Whether :meth:`Cache.invalidate` marked the item and no value was stored since."""

@final
class HotKey:
    """A key that many requests are for, as :meth:`Cache.hot_keys` found it.

    The numbers are estimates from samples of the last 2 to 4 seconds.

    Example:
        >>> cache = Cache(settings={"sample_rate": 1})
        >>> cache.set("user:1", "Ada")
        >>> cache.hot_keys()
        [HotKey(key=b'user:1', reads=0, writes=1, error=0, share=1.0)]
    """
    @property
    def key(self) -> bytes:
        """The key."""
    @property
    def reads(self) -> int:
        """Gets, including those that missed."""
    @property
    def writes(self) -> int:
        """Other requests: stores, deletes, touches, increments."""
    @property
    def error(self) -> int:
        """Requests that may be missing in both numbers, at most, beside the error of sampling."""
    @property
    def share(self) -> float:
        """The part of all requests that are for this key, from 0 to 1."""

@final
class ItemInfo:
    """The metadata of an item, as :meth:`Cache.info` found it.

    Example:
        >>> cache = Cache()
        >>> cache.set("user:1", "Ada", ttl=60)
        >>> info = cache.info("user:1")
        >>> info.length, info.ttl
        (3, 60)
    """
    @property
    def length(self) -> int:
        """The length of the value in bytes."""
    @property
    def flags(self) -> int:
        """The client flags, a number of 32 bits that was stored with the value."""
    @property
    def cas(self) -> int:
        """The CAS, which changes with each store. :meth:`Cache.cas` takes it."""
    @property
    def ttl(self) -> int | None:
        """Seconds until the item expires. ``None`` means that it does not."""
    @property
    def idle(self) -> int:
        """Seconds since the item was last accessed."""
    @property
    def fetched(self) -> bool:
        """Whether the item was ever read."""
    @property
    def stale(self) -> bool:
        """Whether :meth:`Cache.invalidate` marked the item and no value was stored since."""

@final
class Saved:
    """The result of :meth:`Cache.save`.

    Example:
        >>> import io
        >>> cache = Cache()
        >>> cache.set("user:1", "Ada")
        >>> saved = cache.save(io.BytesIO())
        >>> saved.items, saved.bytes
        (1, 9)
    """
    @property
    def items(self) -> int:
        """The number of items in the snapshot."""
    @property
    def bytes(self) -> int:
        """Bytes of their keys and values."""
    @property
    def file_bytes(self) -> int:
        """Bytes of the snapshot."""
    @property
    def skipped(self) -> int:
        """Items that were left out because there was no memory to copy them."""
    @property
    def seconds(self) -> float:
        """Seconds that it took."""

@final
class Loaded:
    """The result of :meth:`Cache.load`.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> Cache().save(file, note="empty").items
        0
        >>> _ = file.seek(0)
        >>> loaded = Cache().load(file)
        >>> loaded.items, loaded.damaged, loaded.note
        (0, 0, 'empty')
    """
    @property
    def items(self) -> int:
        """Items that were stored. Some may have been evicted again, if memory is full."""
    @property
    def bytes(self) -> int:
        """Bytes of the keys and values of those items."""
    @property
    def expired(self) -> int:
        """Items that were left out because they have expired."""
    @property
    def existing(self) -> int:
        """Items that were left out because the cache had their keys."""
    @property
    def too_large(self) -> int:
        """Items that were left out because they are larger than ``item_size_max``."""
    @property
    def no_memory(self) -> int:
        """Items that were left out because memory is full."""
    @property
    def damaged(self) -> int:
        """Items that are known to be lost by damage."""
    @property
    def damage(self) -> tuple[Damage, ...]:
        """The first ten places of damage, in the order of the file."""
    @property
    def truncated(self) -> bool:
        """Whether the end of the snapshot is missing."""
    @property
    def seconds(self) -> float:
        """Seconds that it took."""
    @property
    def saved_at(self) -> float:
        """The Unix time of the save in seconds, by the clock of the saved cache."""
    @property
    def note(self) -> str:
        """The note that was saved."""
    @property
    def program(self) -> str:
        """Name and version of the program that saved it."""

@final
class Damage:
    """A place of damage in a snapshot.

    ``kind`` is ``"data"`` for a block that differs from its checksum, and ``"lost"`` for bytes in
    place of a block. It is ``"codec"`` for a block that this version cannot unpack, ``"no_memory"``
    for one that did not fit in memory, and ``"truncated"`` for a missing end.

    Example:
        >>> import io
        >>> cache, file = Cache(), io.BytesIO()
        >>> cache.save(file).items
        0
        >>> loaded = cache.load(io.BytesIO(file.getvalue()[:-8]))
        >>> loaded.damage[0].kind
        'truncated'
    """
    @property
    def offset(self) -> int:
        """The offset in the file."""
    @property
    def kind(self) -> str:
        """The kind of the damage."""
    @property
    def items(self) -> int:
        """Items that are known to be lost."""
    @property
    def bytes(self) -> int:
        """Bytes in place of a block."""

@final
class Progress:
    """How far a save or a load is.

    Example:
        >>> import io
        >>> cache = Cache()
        >>> cache.set("user:1", "Ada")
        >>> saved = cache.save(io.BytesIO(), progress=print)
        Progress(items=1, bytes=9, all_items=1)
    """
    @property
    def items(self) -> int:
        """Items so far."""
    @property
    def bytes(self) -> int:
        """Bytes of keys and values so far."""
    @property
    def all_items(self) -> int:
        """About how many items there are in all. 0 if that is not known."""

def save(
    cache: Cache[Any],
    file: Path | Writable,
    *,
    codec: Codec | None,
    threads: int | None,
    rate: int | None,
    note: str | None,
    progress: OnProgress | None,
) -> Saved:
    """Saves the items of a cache to a path or a file object."""

def load(
    cache: Cache[Any],
    file: Path | Readable,
    *,
    replace: bool,
    ttl: SnapshotTTL | None,
    strict: bool,
    threads: int | None,
    progress: OnProgress | None,
) -> Loaded:
    """Loads the items of a snapshot at a path or in a file object."""

@disjoint_base
class Cache(Generic[_V]):
    """A cache in this process. `memcache_rs.Cache` is its subclass."""
    def __new__(
        cls,
        memory_limit: int | None = None,
        *,
        item_size_max: int | None = None,
        evictions: bool | None = None,
        serializer: Serializer | None = None,
        persist: Path | None = None,
        settings: Mapping[str, Setting] | None = None,
        _of: Cache[Any] | None = None,
        _prefix: BytesLike | None = None,
    ) -> Self: ...
    @overload
    def get(self, key: BytesLike, default: None = None, /) -> _V | None:
        """Returns the value of a key.

        Args:
            key: The key, 1 to 250 bytes.
            default: The result if there is no item.

        Returns:
            The value, or ``default`` if there is no item.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            TypeError: ``key`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("user:1", "Ada")
            >>> cache.get("user:1")
            b'Ada'
            >>> cache.get("user:2", "unknown")
            'unknown'
        """
    @overload
    def get(self, key: BytesLike, default: _T, /) -> _V | _T: ...
    def get_many(self, keys: Iterable[_K]) -> dict[_K, _V]:
        """Returns the values of several keys.

        Args:
            keys: The keys, 1 to 250 bytes each.

        Returns:
            The values by key. Keys without an item are left out.

        Raises:
            InvalidKeyError: A key is empty or longer than 250 bytes.
            TypeError: A key is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set_many({"a": "1", "b": "2"})
            >>> cache.get_many(["a", "b", "c"])
            {'a': b'1', 'b': b'2'}
        """
    def gets(self, key: BytesLike, /) -> tuple[_V, int] | None:
        """Returns the value of a key together with its CAS, for :meth:`cas`.

        Args:
            key: The key, 1 to 250 bytes.

        Returns:
            The value and the CAS, or ``None`` if there is no item.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            TypeError: ``key`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("user:1", "Ada")
            >>> value, cas = cache.gets("user:1")
            >>> value
            b'Ada'
        """
    def get_item(self, key: BytesLike, /) -> Item[_V] | None:
        """Returns an item: the value of a key with its metadata.

        The metadata is as it was before this call, which counts as an access.

        Args:
            key: The key, 1 to 250 bytes.

        Returns:
            The item, or ``None`` if there is no item.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            TypeError: ``key`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("user:1", "Ada", ttl=60, flags=7)
            >>> item = cache.get_item("user:1")
            >>> item.value, item.ttl, item.flags
            (b'Ada', 60, 7)
        """
    def info(self, key: BytesLike, /) -> ItemInfo | None:
        """Returns the metadata of a key, without its value.

        This does not count as an access.

        Args:
            key: The key, 1 to 250 bytes.

        Returns:
            The metadata, or ``None`` if there is no item.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            TypeError: ``key`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("user:1", "Ada", ttl=60)
            >>> info = cache.info("user:1")
            >>> info.length, info.ttl, info.fetched
            (3, 60, False)
        """
    def get_views(self, key: BytesLike, /) -> list[memoryview] | None:
        """Returns the value of a key as read-only memoryviews, without copying a large value.

        Values over 4 KiB are not copied. The cache may keep such a value in pieces; then there are
        several views, in order. Smaller values are usually copied, because that is faster. Pass the
        views to ``socket.sendmsg`` or ``os.writev`` as they are.

        The views stay valid and unchanged if the key is overwritten or the cache is closed. Views
        of a large value pin a part of the cache's memory, so release them soon. If too much of the
        cache is pinned, the value is copied instead.

        Args:
            key: The key, 1 to 250 bytes.

        Returns:
            The views, or ``None`` if there is no item.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            TypeError: ``key`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("page", b"x" * 10_000)
            >>> sum(len(view) for view in cache.get_views("page"))
            10000
        """
    def set(self, key: BytesLike, value: _V | BytesLike, ttl: TTL = None, *, flags: int = 0) -> None:
        """Stores a value under a key, and replaces an item that is there.

        Args:
            key: The key, 1 to 250 bytes.
            value: The value. A str is stored as UTF-8.
            ttl: Seconds, a timedelta or a datetime. ``None`` means that the item does not expire.
            flags: The client flags, a number of 32 bits that is stored with the value.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
            ValueTooLargeError: The item does not fit in ``item_size_max``.
            OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
            OutOfRangeError: ``flags`` does not fit in 32 bits.
            TypeError: ``key`` or ``value`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("session", "Ada", ttl=60)
            >>> cache.get("session")
            b'Ada'
        """
    def set_many(self, values: Mapping[_K, _V | BytesLike], ttl: TTL = None, *, flags: int = 0) -> None:
        """Stores several values, each under its key.

        If one cannot be stored, those before it stay stored.

        Args:
            values: A mapping of keys to values.
            ttl: Seconds, a timedelta or a datetime. ``None`` means that the item does not expire.
            flags: The client flags, a number of 32 bits that is stored with the value.

        Raises:
            InvalidKeyError: A key is empty or longer than 250 bytes.
            InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
            ValueTooLargeError: An item does not fit in ``item_size_max``.
            OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
            OutOfRangeError: ``flags`` does not fit in 32 bits.
            TypeError: A key or a value is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set_many({"a": "1", "b": "2"}, ttl=60)
            >>> len(cache)
            2
        """
    def add(self, key: BytesLike, value: _V | BytesLike, ttl: TTL = None, *, flags: int = 0) -> bool:
        """Stores a value if the key has no item.

        Args:
            key: The key, 1 to 250 bytes.
            value: The value. A str is stored as UTF-8.
            ttl: Seconds, a timedelta or a datetime. ``None`` means that the item does not expire.
            flags: The client flags, a number of 32 bits that is stored with the value.

        Returns:
            ``True`` if the value was stored, ``False`` if there is an item.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
            ValueTooLargeError: The item does not fit in ``item_size_max``.
            OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
            OutOfRangeError: ``flags`` does not fit in 32 bits.
            TypeError: ``key`` or ``value`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.add("lock", "1", ttl=10), cache.add("lock", "2", ttl=10)
            (True, False)
        """
    def replace(self, key: BytesLike, value: _V | BytesLike, ttl: TTL = None, *, flags: int = 0) -> bool:
        """Stores a value if the key has an item.

        Args:
            key: The key, 1 to 250 bytes.
            value: The value. A str is stored as UTF-8.
            ttl: Seconds, a timedelta or a datetime. ``None`` means that the item does not expire.
            flags: The client flags, a number of 32 bits that is stored with the value.

        Returns:
            ``True`` if the value was stored, ``False`` if there is no item.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
            ValueTooLargeError: The item does not fit in ``item_size_max``.
            OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
            OutOfRangeError: ``flags`` does not fit in 32 bits.
            TypeError: ``key`` or ``value`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.replace("user:1", "Ada")
            False
        """
    def append(self, key: BytesLike, value: BytesLike) -> bool:
        """Appends bytes to the value of a key. TTL and flags stay as they are.

        Args:
            key: The key, 1 to 250 bytes.
            value: The bytes to append.

        Returns:
            ``True`` if the value was changed, ``False`` if there is no item.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            ValueTooLargeError: The item does not fit in ``item_size_max``.
            OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
            TypeError: ``key`` or ``value`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("log", "one")
            >>> cache.append("log", ",two"), cache.get("log")
            (True, b'one,two')
        """
    def prepend(self, key: BytesLike, value: BytesLike) -> bool:
        """Prepends bytes to the value of a key. TTL and flags stay as they are.

        Args:
            key: The key, 1 to 250 bytes.
            value: The bytes to prepend.

        Returns:
            ``True`` if the value was changed, ``False`` if there is no item.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            ValueTooLargeError: The item does not fit in ``item_size_max``.
            OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
            TypeError: ``key`` or ``value`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("log", "two")
            >>> cache.prepend("log", "one,"), cache.get("log")
            (True, b'one,two')
        """
    def cas(self, key: BytesLike, value: _V | BytesLike, cas: int, ttl: TTL = None, *, flags: int = 0) -> bool | None:
        """Stores a value if the item has not changed since its CAS was read.

        Args:
            key: The key, 1 to 250 bytes.
            value: The value. A str is stored as UTF-8.
            cas: The CAS, from :meth:`gets`, :meth:`get_item` or :meth:`info`.
            ttl: Seconds, a timedelta or a datetime. ``None`` means that the item does not expire.
            flags: The client flags, a number of 32 bits that is stored with the value.

        Returns:
            ``True`` if the value was stored, ``False`` if the item has changed, ``None`` if there
            is no item.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
            ValueTooLargeError: The item does not fit in ``item_size_max``.
            OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
            OutOfRangeError: ``cas`` does not fit in 64 bits, or ``flags`` in 32.
            ValueError: ``cas`` is 0, which no item has.
            TypeError: ``key`` or ``value`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("user:1", "Ada")
            >>> _, cas = cache.gets("user:1")
            >>> cache.cas("user:1", "Ada Lovelace", cas)
            True
            >>> cache.cas("user:1", "too late", cas)
            False
        """
    def incr(self, key: BytesLike, delta: int = 1, *, initial: int | None = None, ttl: TTL = None) -> int | None:
        """Increments a decimal number, atomically. It wraps around at 2**64.

        The TTL stays as it is.

        Args:
            key: The key, 1 to 250 bytes.
            delta: The number to add, from 0 to 2**64 - 1.
            initial: The number to store if there is no item. ``None`` stores nothing.
            ttl: The TTL of an item that ``initial`` creates. See :meth:`set`.

        Returns:
            The new number, or ``None`` if there is no item and no ``initial``.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            NotANumberError: The value is not a decimal number from 0 to 2**64 - 1.
            InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
            OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
            OutOfRangeError: ``delta`` or ``initial`` is negative, or does not fit in 64 bits.
            TypeError: ``key`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.incr("visits", initial=1)
            1
            >>> cache.incr("visits", 41)
            42
        """
    def decr(self, key: BytesLike, delta: int = 1, *, initial: int | None = None, ttl: TTL = None) -> int | None:
        """Decrements a decimal number, atomically. It stops at 0.

        The TTL stays as it is.

        Args:
            key: The key, 1 to 250 bytes.
            delta: The number to subtract, from 0 to 2**64 - 1.
            initial: The number to store if there is no item. ``None`` stores nothing.
            ttl: The TTL of an item that ``initial`` creates. See :meth:`set`.

        Returns:
            The new number, or ``None`` if there is no item and no ``initial``.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            NotANumberError: The value is not a decimal number from 0 to 2**64 - 1.
            InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
            OutOfMemoryError: ``memory_limit`` is reached, and ``evictions`` is off.
            OutOfRangeError: ``delta`` or ``initial`` is negative, or does not fit in 64 bits.
            TypeError: ``key`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("left", "5")
            >>> cache.decr("left"), cache.decr("left", 10)
            (4, 0)
        """
    def touch(self, key: BytesLike, ttl: TTL = None) -> bool:
        """Sets the TTL of an item.

        Args:
            key: The key, 1 to 250 bytes.
            ttl: Seconds, a timedelta or a datetime. ``None`` means that the item does not expire.

        Returns:
            ``True`` if the TTL was set, ``False`` if there is no item.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
            TypeError: ``key`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("session", "Ada", ttl=60)
            >>> cache.touch("session", ttl=120), cache.info("session").ttl
            (True, 120)
        """
    @overload
    def get_and_touch(self, key: BytesLike, ttl: TTL = None, default: None = None) -> _V | None:
        """Returns the value of a key, and sets the TTL of the item.

        Args:
            key: The key, 1 to 250 bytes.
            ttl: Seconds, a timedelta or a datetime. ``None`` means that the item does not expire.
            default: The result if there is no item.

        Returns:
            The value, or ``default`` if there is no item.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
            TypeError: ``key`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("session", "Ada", ttl=60)
            >>> cache.get_and_touch("session", ttl=120), cache.info("session").ttl
            (b'Ada', 120)
        """
    @overload
    def get_and_touch(self, key: BytesLike, ttl: TTL, default: _T) -> _V | _T: ...
    def delete(self, key: BytesLike, /) -> bool:
        """Removes the item of a key.

        Args:
            key: The key, 1 to 250 bytes.

        Returns:
            ``True`` if the item was removed, ``False`` if there is no item.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            TypeError: ``key`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("user:1", "Ada")
            >>> cache.delete("user:1"), cache.delete("user:1")
            (True, False)
        """
    def delete_many(self, keys: Iterable[BytesLike]) -> int:
        """Removes the items of several keys.

        Args:
            keys: The keys, 1 to 250 bytes each.

        Returns:
            The number of items removed.

        Raises:
            InvalidKeyError: A key is empty or longer than 250 bytes.
            TypeError: A key is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set_many({"a": "1", "b": "2"})
            >>> cache.delete_many(["a", "b", "c"])
            2
        """
    def flush(self) -> None:
        """Removes all items.

        Raises:
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("user:1", "Ada")
            >>> cache.flush()
            >>> len(cache)
            0
        """
    def set_quota(self, limit: int | None, /) -> None:
        """Limits the bytes of the items of a namespace.

        A store that exceeds the limit evicts other items of the namespace, old ones first, and none
        of others. ``stats("quotas")`` reports limits, bytes and evictions. A new limit examines all
        items of the cache, so set limits before items are stored.

        Args:
            limit: Most bytes, as ``stats`` counts them. ``None`` removes the limit.

        Raises:
            ConfigError: This is not a namespace, its prefix overlaps with that of another quota, or
                there are 1,024 quotas.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> site = cache.namespace("site1:")
            >>> site.set_quota(1500)
            >>> site.set_many({"a": b"x" * 1000, "b": b"x" * 1000})
            >>> list(site), cache.stats("quotas")["quota:1:evicted"]
            ([b'b'], 1)
        """
    def clear(self) -> None:
        """Removes all items, as :meth:`flush` does. This is the name that mappings have.

        Raises:
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set_many({"user:1": "Ada", "post:1": "Hello"})
            >>> cache.namespace("user:").clear()
            >>> list(cache)
            [b'post:1']
        """
    def flush_prefix(self, prefix: BytesLike) -> None:
        """Removes all items whose keys begin with a prefix.

        This takes constant time. Later gets find none of the items, and their memory is freed in
        the background.

        Args:
            prefix: The prefix. An empty one is that of all items.

        Raises:
            TypeError: The prefix is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set_many({"site1:page": "old", "site2:page": "other"})
            >>> cache.flush_prefix("site1:")
            >>> cache.get("site1:page"), cache.get("site2:page")
            (None, b'other')
        """
    def invalidate(self, key: BytesLike, ttl: TTL = None) -> bool:
        """Marks an item as stale, so that :meth:`get_or_set` renews it.

        The item stays readable. The next caller of :meth:`get_or_set` makes a new value, and other
        callers get the old one until then.

        Args:
            key: The key, 1 to 250 bytes.
            ttl: The new TTL of the stale item. ``None`` leaves the TTL as it is.

        Returns:
            ``True`` if the item was marked, ``False`` if there is no item.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            InvalidTTLError: ``ttl`` is negative, more than 100 years, or not a time.
            TypeError: ``key`` is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("report", "old")
            >>> cache.invalidate("report"), cache.get("report")
            (True, b'old')
            >>> cache.get_or_set("report", lambda: "new")
            b'new'
        """
    def _lease(self, key: BytesLike, stale_for: float | timedelta | None = None) -> tuple[_V, bool] | None:
        """Returns the value of a key for :meth:`get_or_set`, and whether the caller must renew it.

        Only one caller gets ``True``, if the item is stale or expires within ``stale_for`` seconds.
        """
    @classmethod
    def __class_getitem__(cls, values: Any) -> Any: ...
    def _dumps(self, value: _V | BytesLike) -> Stored:
        """Returns the bytes and the flags with which a value is stored."""
    def _loads(self, data: bytes, flags: int) -> _V:
        """Returns the value of bytes and flags."""
    def _join(self, key: bytes, caller: tuple[int, int], notify: Callable[[Outcome], None]) -> Leader | tuple[int, int]:
        """Makes the caller the leader of a key, or returns the leader that it waits for.

        A caller is a thread, and a task or 0. ``notify`` is called with the outcome of the
        leader.
        """
    def _renew(self, key: bytes) -> Leader:
        """Returns a leader for a stale value, which ``_lease`` has chosen the caller to renew."""
    def _store_made(self, leader: Leader, key: bytes, value: bytes, ttl: TTL, flags: int) -> bool:
        """Stores what a leader has made, unless there is a newer value.

        Returns ``False`` if the key was deleted since, so that waiters must not get the value.
        """
    def _check_ttl(self, ttl: TTL, name: str = "ttl") -> None:
        """Raises :class:`InvalidTTLError` if a time is not a TTL. The error names the parameter."""
    def stats(self, group: str = "", /) -> dict[str, int | str]:
        """Returns statistics under memcached's names.

        Args:
            group: ``""`` for the general statistics, ``"items"``, ``"slabs"``, ``"sizes"``,
                ``"quotas"``, ``"settings"``, ``"conns"``, ``"latency"`` or ``"hotkeys"``.

        Returns:
            The statistics by name. Whole numbers are int, all others str.

        Raises:
            ValueError: ``group`` is none of these.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("user:1", "Ada")
            >>> cache.stats()["curr_items"]
            1
        """
    def metrics(self, format: str = "prometheus", /) -> str:
        """Returns metrics as text, for a monitoring system.

        The names are those of Prometheus' memcached exporter, and further ones that begin with
        ``memcache_rs_``. :mod:`memcache_rs.adapters.prometheus` adds them to ``prometheus_client``.

        Args:
            format: ``"prometheus"`` for the text form 0.0.4, or ``"openmetrics"`` for
                OpenMetrics 1.0.

        Returns:
            The text.

        Raises:
            ValueError: ``format`` is neither.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> "memcached_current_items 0" in cache.metrics()
            True
        """
    def hot_keys(self, most: int = 10) -> list[HotKey]:
        """Returns the keys that had the most requests in the last 2 to 4 seconds.

        The numbers are estimates from samples: one of ``sample_rate`` requests is counted, 128 by
        default. Requests of this program count, and those of clients of a server of this cache.

        Args:
            most: The number of keys, at most 512.

        Returns:
            The keys, the one with the most requests first.

        Raises:
            OutOfRangeError: ``most`` is negative.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache(settings={"sample_rate": 1})
            >>> for n in range(9):
            ...     _ = cache.get("page:home"), cache.get(f"page:{n}")
            >>> [hottest] = cache.hot_keys(1)
            >>> hottest.key, hottest.reads, hottest.share
            (b'page:home', 9, 0.5)
        """
    @property
    def prefix(self) -> bytes:
        """The prefix of a namespace, or ``b""``.

        Example:
            >>> Cache().namespace("users:").namespace("drafts:").prefix
            b'users:drafts:'
        """
    @property
    def clock(self) -> Clock:
        """The clock of the cache, which tests can stop and move.

        Raises:
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("session", "Ada", ttl=60)
            >>> with cache.clock.freeze() as clock:
            ...     clock.advance(60)
            ...     cache.get("session", "expired")
            'expired'
        """
    def close(self) -> None:
        """Closes the cache and removes all items.

        A second call does nothing. In a child of ``fork`` it leaves the parent's cache as it is. A
        ``with`` block closes the cache at its end.

        Example:
            >>> cache = Cache()
            >>> cache.close()
            >>> cache.closed
            True
        """
    @property
    def closed(self) -> bool:
        """Whether the cache is closed.

        Example:
            >>> with Cache() as cache:
            ...     cache.closed
            False
        """
    def __contains__(self, key: BytesLike, /) -> bool: ...
    def __getitem__(self, key: BytesLike, /) -> _V: ...
    def __setitem__(self, key: BytesLike, value: _V | BytesLike, /) -> None: ...
    def __delitem__(self, key: BytesLike, /) -> None: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...
    def __reduce__(self) -> NoReturn: ...

@final
class Clock:
    """The clock of a cache, which counts whole seconds.

    ``Cache.clock`` and ``Server.clock`` return it. At first it follows the system clock. Tests stop
    it with :meth:`freeze` and move it with :meth:`advance`. A ``with`` block resumes it at its end.

    Example:
        >>> cache = Cache()
        >>> with cache.clock.freeze() as clock:
        ...     cache.set("session", "Ada", ttl=60)
        ...     clock.advance(59)
        ...     cache.get("session")
        b'Ada'
    """
    def freeze(self) -> Clock:
        """Stops the clock.

        Returns:
            The clock. As a context manager it resumes at the end of the block.

        Raises:
            ForkError: The cache belongs to the parent process.

        Example:
            >>> clock = Cache().clock
            >>> with clock.freeze():
            ...     before = clock.time()
            ...     clock.advance(60)
            ...     clock.time() - before
            60
        """
    def resume(self) -> None:
        """Lets the clock run again, from the time it shows.

        Raises:
            ForkError: The cache belongs to the parent process.

        Example:
            >>> clock = Cache().clock.freeze()
            >>> clock.resume()
        """
    def reset(self) -> None:
        """Sets the clock to the system time and lets it run.

        Raises:
            ForkError: The cache belongs to the parent process.

        Example:
            >>> clock = Cache().clock.freeze()
            >>> clock.advance(3600)
            >>> clock.reset()
        """
    def advance(self, by: float | timedelta) -> None:
        """Moves the clock forwards, or backwards if the time is negative.

        Args:
            by: Whole seconds, or a timedelta of whole seconds.

        Raises:
            ConfigError: ``by`` is not whole seconds, or the clock cannot show that time.
                It reaches from 34 years before the cache was made to 102 years after.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.set("session", "Ada", ttl=60)
            >>> cache.clock.advance(60)
            >>> "session" in cache
            False
        """
    def time(self) -> int:
        """Returns the time that the clock shows.

        Returns:
            A Unix time in seconds.

        Raises:
            ForkError: The cache belongs to the parent process.

        Example:
            >>> clock = Cache().clock.freeze()
            >>> before = clock.time()
            >>> clock.advance(60)
            >>> clock.time() - before
            60
        """
    def __enter__(self) -> Clock: ...
    def __exit__(self, *_exception: object) -> None: ...
    def __reduce__(self) -> NoReturn: ...

@final
class Faults:
    """The faults that a server injects for its clients.

    ``Server.faults`` returns it. Each method adds a rule and returns it. The rule stays until
    :meth:`FaultRule.remove`, the end of its ``with`` block, or :meth:`clear`. Faults apply to
    commands of clients that read or change items, and not to the methods of ``Server.cache``.

    Example:
        >>> with Server() as server:
        ...     with server.faults.error("out of order", command="get", times=1) as rule:
        ...         pass  # The next get of a client fails.
        ...     rule.remove()
        0
    """
    def delay(
        self,
        seconds: float,
        *,
        command: str | None = None,
        key: BytesLike | None = None,
        times: int | None = None,
        probability: float = 1.0,
    ) -> FaultRule:
        """Delays commands.

        Args:
            seconds: How long a command waits before the server runs it.
            command: A command name on the wire, such as ``get`` or ``mg``. ``None`` means all.
            key: A pattern for keys, in which ``*`` stands for any bytes. ``None`` means all.
            times: How often the fault is injected. ``None`` means without limit.
            probability: The probability with which a matching command meets the fault.

        Returns:
            The rule. It removes itself at the end of a ``with`` block.

        Raises:
            ConfigError: ``seconds`` is not from 0 to 2**64, or ``probability`` not from 0 to 1.
            OutOfRangeError: ``times`` is negative, or does not fit in 64 bits.
            TypeError: ``key`` is neither str nor bytes-like.
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server() as server:
            ...     rule = server.faults.delay(0.5, command="set")
        """
    def delay_reply(
        self,
        seconds: float,
        *,
        command: str | None = None,
        key: BytesLike | None = None,
        times: int | None = None,
        probability: float = 1.0,
    ) -> FaultRule:
        """Runs commands, and delays their replies.

        Later commands of the connection run in between. Their replies wait behind the delayed one.

        Args:
            seconds: How long a reply waits after the command has run.
            command: A command name on the wire, such as ``get`` or ``mg``. ``None`` means all.
            key: A pattern for keys, in which ``*`` stands for any bytes. ``None`` means all.
            times: How often the fault is injected. ``None`` means without limit.
            probability: The probability with which a matching command meets the fault.

        Returns:
            The rule. It removes itself at the end of a ``with`` block.

        Raises:
            ConfigError: ``seconds`` is not from 0 to 2**64, or ``probability`` not from 0 to 1.
            OutOfRangeError: ``times`` is negative, or does not fit in 64 bits.
            TypeError: ``key`` is neither str nor bytes-like.
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server() as server:
            ...     rule = server.faults.delay_reply(0.5, command="set")
        """
    def drop(
        self,
        *,
        command: str | None = None,
        key: BytesLike | None = None,
        times: int | None = None,
        probability: float = 1.0,
    ) -> FaultRule:
        r"""Closes the connection in place of running a command.

        Args:
            command: A command name on the wire, such as ``get`` or ``mg``. ``None`` means all.
            key: A pattern for keys, in which ``*`` stands for any bytes. ``None`` means all.
            times: How often the fault is injected. ``None`` means without limit.
            probability: The probability with which a matching command meets the fault.

        Returns:
            The rule. It removes itself at the end of a ``with`` block.

        Raises:
            ConfigError: ``probability`` is not from 0 to 1.
            OutOfRangeError: ``times`` is negative, or does not fit in 64 bits.
            TypeError: ``key`` is neither str nor bytes-like.
            ForkError: The server belongs to the parent process.

        Example:
            >>> import socket
            >>> with Server() as server, server.faults.drop(command="get"):
            ...     with socket.create_connection(server.address) as client:
            ...         client.sendall(b"get key\r\n")
            ...         client.recv(100)
            b''
        """
    def error(
        self,
        message: str = "injected",
        *,
        command: str | None = None,
        key: BytesLike | None = None,
        times: int | None = None,
        probability: float = 1.0,
    ) -> FaultRule:
        r"""Answers commands with ``SERVER_ERROR`` in place of running them.

        Args:
            message: The text after ``SERVER_ERROR``, one line.
            command: A command name on the wire, such as ``get`` or ``mg``. ``None`` means all.
            key: A pattern for keys, in which ``*`` stands for any bytes. ``None`` means all.
            times: How often the fault is injected. ``None`` means without limit.
            probability: The probability with which a matching command meets the fault.

        Returns:
            The rule. It removes itself at the end of a ``with`` block.

        Raises:
            ConfigError: ``message`` has a line break, or ``probability`` is not from 0 to 1.
            OutOfRangeError: ``times`` is negative, or does not fit in 64 bits.
            TypeError: ``key`` is neither str nor bytes-like.
            ForkError: The server belongs to the parent process.

        Example:
            >>> import socket
            >>> with Server() as server, server.faults.error("out of order"):
            ...     with socket.create_connection(server.address) as client:
            ...         client.sendall(b"get key\r\n")
            ...         client.recv(100)
            b'SERVER_ERROR out of order\r\n'
        """
    def miss(
        self,
        *,
        command: str | None = None,
        key: BytesLike | None = None,
        times: int | None = None,
        probability: float = 1.0,
    ) -> FaultRule:
        r"""Lets commands that read find no item.

        Args:
            command: A command name on the wire, such as ``get`` or ``mg``. ``None`` means all.
            key: A pattern for keys, in which ``*`` stands for any bytes. ``None`` means all.
            times: How often the fault is injected. ``None`` means without limit.
            probability: The probability with which a matching command meets the fault.

        Returns:
            The rule. It removes itself at the end of a ``with`` block.

        Raises:
            ConfigError: ``probability`` is not from 0 to 1.
            OutOfRangeError: ``times`` is negative, or does not fit in 64 bits.
            TypeError: ``key`` is neither str nor bytes-like.
            ForkError: The server belongs to the parent process.

        Example:
            >>> import socket
            >>> with Server() as server, server.faults.miss(key="user:*"):
            ...     server.cache.set("user:1", "Ada")
            ...     with socket.create_connection(server.address) as client:
            ...         client.sendall(b"get user:1\r\n")
            ...         client.recv(100)
            b'END\r\n'
        """
    def truncate(
        self,
        after: int,
        *,
        command: str | None = None,
        key: BytesLike | None = None,
        times: int | None = None,
        probability: float = 1.0,
    ) -> FaultRule:
        r"""Cuts a reply off and closes the connection.

        Args:
            after: The number of bytes of the reply that are sent.
            command: A command name on the wire, such as ``get`` or ``mg``. ``None`` means all.
            key: A pattern for keys, in which ``*`` stands for any bytes. ``None`` means all.
            times: How often the fault is injected. ``None`` means without limit.
            probability: The probability with which a matching command meets the fault.

        Returns:
            The rule. It removes itself at the end of a ``with`` block.

        Raises:
            ConfigError: ``probability`` is not from 0 to 1.
            OutOfRangeError: ``after`` or ``times`` is negative, or does not fit in 64 bits.
            TypeError: ``key`` is neither str nor bytes-like.
            ForkError: The server belongs to the parent process.

        Example:
            >>> import socket
            >>> with Server() as server, server.faults.truncate(3):
            ...     with socket.create_connection(server.address) as client:
            ...         client.sendall(b"get key\r\n")
            ...         client.recv(100)
            b'END'
        """
    def clear(self) -> None:
        """Removes all rules.

        Raises:
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server() as server:
            ...     rule = server.faults.drop()
            ...     server.faults.clear()
        """
    def __reduce__(self) -> NoReturn: ...

@final
class FaultRule:
    """A rule that injects a fault until it is removed.

    The methods of :class:`Faults` return it. A ``with`` block removes it at its end.

    Example:
        >>> with Server() as server, server.faults.drop(command="get") as rule:
        ...     pass  # Each get of a client ends its connection.
    """
    def remove(self) -> int:
        """Removes the rule. A second call changes nothing.

        Returns:
            How often the fault was injected.

        Raises:
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server() as server:
            ...     rule = server.faults.drop()
            ...     rule.remove()
            0
        """
    def __enter__(self) -> FaultRule: ...
    def __exit__(self, *_exception: object) -> None: ...
    def __reduce__(self) -> NoReturn: ...

@final
class Server:
    """A server that was started. `memcache_rs.Server` makes one for each start."""
    @staticmethod
    def start(cache: Cache[Any], settings: ServerSettings) -> Server:
        """Starts a server for a cache."""
    @property
    def addresses(self) -> list[tuple[str, str, int]]:
        """The addresses, as ``("tcp" or "udp", host, port)`` or ``("unix", path, 0)``."""
    @property
    def running(self) -> bool:
        """Whether the server runs in this process."""
    @property
    def owned(self) -> bool:
        """Whether the server belongs to this process."""
    def stop(self, graceful: bool = False, seconds: float = 5.0) -> None:
        """Stops the server.

        With ``graceful`` it first finishes replies in progress, in at most ``seconds``. A signal
        handler that raises, as for Ctrl-C, ends that wait.
        """
    def settle(self, seconds: float) -> bool:
        """Waits until the server has run the commands that clients have sent.

        Returns:
            ``False`` if that takes longer than ``seconds``.
        """
    def retry_backends(self) -> None:
        """Has a proxy try its backends again at once."""
    def reload_proxy(self, config: str | None = None) -> None:
        """Reads the configuration of a proxy again, or another one in its place."""
    def settle_after(self, first: Server) -> None:
        """Has the handles of the cache settle another server first."""
    def stats(self, group: str = "", /) -> dict[str, int | str]:
        """Returns statistics under memcached's names."""
    def metrics(self, format: str = "prometheus", /) -> str:
        """Returns metrics as text."""
    def hot_keys(self, most: int) -> list[HotKey]:
        """Returns the keys that had the most requests in the last seconds."""
    @property
    def faults(self) -> Faults:
        """The faults that the server injects."""
    def watch(self, kinds: list[str]) -> Watcher:
        """Returns a receiver of events of some kinds."""
    def set_cluster_nodes(self, nodes: list[str]) -> None:
        """Replaces the nodes that auto discovery announces."""
    @property
    def last_commands(self) -> list[str]:
        """The recent commands of clients, if they are recorded."""
    def clear_commands(self) -> None:
        """Removes the recorded commands."""
    def __reduce__(self) -> NoReturn: ...

@final
class Directory:
    """A directory that only this user can enter. It lasts as long as this process keeps it.

    Making one removes those of this user whose processes have ended.
    """
    def __new__(cls, parent: str) -> Self: ...
    def path(self, name: str) -> str:
        """Returns the path of a name in the directory."""
    def write(self, name: str, text: str) -> str:
        """Writes a file that only this user can read, and returns its path."""
    def remove(self) -> None:
        """Removes the directory with its files."""
    def leave(self) -> None:
        """Releases the lock and leaves the directory as it is."""

@final
class Leader:
    """The right and duty to make a value. Dropping it counts as a failure."""
    def finish(self, outcome: Outcome, /) -> None:
        """Hands bytes and flags, or the exception of making them, to the waiters.

        ``None`` lets one of the waiters make the value.
        """

def parse_event(line: str) -> tuple[str, float, bytes | None, dict[str, str]]:
    """Parses a line of memcached's log of events.

    Returns:
        The fields of ``Event``.

    Raises:
        ValueError: The time is not a number.
    """

@final
class Watcher:
    """A receiver of events."""
    def next_event(self, timeout: float | None = None) -> tuple[str, float, bytes | None, dict[str, str]] | None:
        """Returns the next event.

        Args:
            timeout: How many seconds to wait. ``None`` waits without limit.

        Returns:
            The fields of ``Event``. ``None`` after ``timeout``, or if no events are left and the
            watcher is closed or the server has stopped.
        """
    def close(self) -> None:
        """Closes the receiver. Received events can still be read."""
    def __reduce__(self) -> NoReturn: ...
