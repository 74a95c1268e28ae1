"""The cache in this process: the native class, with single flight, ``memoize`` and snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from memcache_rs import _native
from memcache_rs._flight import Leader, join
from memcache_rs._memoize import AsyncMemoized, Memoized, is_async
from memcache_rs._values import refuse_awaitable, to_bytes

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import timedelta

    from typing_extensions import TypeVar

    from memcache_rs._flight import Waiter
    from memcache_rs._memoize import Decorator, ValueDecorator
    from memcache_rs._persist import PersistentFile
    from memcache_rs._typing import (
        TTL,
        BytesLike,
        Codec,
        OnProgress,
        Path,
        Readable,
        Serializer,
        Setting,
        SnapshotTTL,
        Stored,
        Writable,
    )

    V = TypeVar("V", default=bytes)
else:
    from typing import TypeVar

    V = TypeVar("V")


class Cache(_native.Cache[V]):
    """A cache in this process, with memcached's operations.

    Keys and values are str (stored as UTF-8), bytes, or objects with a buffer. Values are returned
    as bytes. A key has 1 to 250 bytes.

    With a ``serializer``, values are any objects that it accepts. Every method that takes or
    returns a value then does so: ``set``, ``cas``, ``get_many``, ``get_or_set``, ``memoize`` and
    all others. Only ``append``, ``prepend`` and ``get_views`` are for bytes. With ``"pickle"`` and
    ``"json"`` a str, int or bytes is stored as such, and the client flags name its type. So other
    programs can read it, such as with pymemcache's serializer. In annotations, ``Cache[dict]`` is
    a cache whose values are dicts.

    A ``ttl`` is seconds, a timedelta or a datetime. A part of a second counts as a whole one. 0
    expires at once, and ``None``, the default, never. A datetime counts from ``time.time()`` at the
    call, also where a test fakes that (freezegun, time-machine).

    The cache is also a mapping, with ``cache[key]``, ``cache[key] = value``, ``del cache[key]``,
    ``key in cache``, ``len(cache)`` and iteration over the keys. ``cache[key]`` and
    ``del cache[key]`` raise :class:`KeyError` if there is no item.

    All methods may be called from any thread. The cache can be neither copied nor pickled. Another
    process reaches the same items through a :class:`Server`.

    Args:
        memory_limit: Bytes for items and the index. At least twice ``item_size_max``. The default
            is 64 MiB.
        item_size_max: Most bytes of an item, 1024 to 1 GiB. The default is 1 MiB.
        evictions: Whether the least used items are evicted if memory is full. If not, a store
            raises :class:`OutOfMemoryError`. The default is ``True``.
        serializer: How values become bytes: ``"json"``, ``"pickle"``, or a pair of functions that
            dump and load. Unpickle only values that this program stored: with ``"pickle"``, offer
            the cache to no client that you do not trust.
        persist: A file for the items. It is loaded now, if it exists. :meth:`close` saves it, and
            so does the end of the interpreter. Until then the cache stays.
        settings: Further settings by name, such as ``{"lru_crawler": False}``. docs/settings.md of
            the repository lists them.

    Raises:
        ConfigError: A setting is invalid.
        OutOfRangeError: A number is out of the range of its setting.
        StartError: The system refused the memory or the thread of the cache.
        TypeError: ``serializer`` is not valid.
        BadSnapshotError: The file of ``persist`` is damaged, or not a snapshot. It stays as it is.
        OSError: The system refused an operation on that file, or its directory does not exist.

    Example:
        >>> from datetime import timedelta
        >>> cache = Cache(memory_limit=16 << 20)
        >>> cache.set("user:1", "Ada", ttl=timedelta(minutes=5))
        >>> cache.get("user:1")
        b'Ada'
        >>> cache["city"] = "London"
        >>> "city" in cache, cache["city"], len(cache)
        (True, b'London', 2)
        >>> del cache["city"]
        >>> objects = Cache(serializer="json")
        >>> objects["user:1"] = {"name": "Ada", "born": 1815}
        >>> objects["user:1"]
        {'name': 'Ada', 'born': 1815}
    """

    __slots__ = ("__weakref__", "_file")

    @overload
    def __init__(
        self: Cache[bytes],
        memory_limit: int | None = None,
        *,
        item_size_max: int | None = None,
        evictions: bool | None = None,
        serializer: None = None,
        persist: Path | None = None,
        settings: Mapping[str, Setting] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Cache[Any],
        memory_limit: int | None = None,
        *,
        item_size_max: int | None = None,
        evictions: bool | None = None,
        serializer: Serializer | None,
        persist: Path | None = None,
        settings: Mapping[str, Setting] | None = None,
    ) -> None: ...
    def __init__(  # pyright: ignore[reportInconsistentConstructor]  # only __new__ has `_of`
        self,
        memory_limit: int | None = None,
        *,
        item_size_max: int | None = None,
        evictions: bool | None = None,
        serializer: Serializer | None = None,
        persist: Path | None = None,
        settings: Mapping[str, Setting] | None = None,
    ) -> None:
        # The native __new__ takes the other arguments.
        super().__init__()
        self._file: PersistentFile | None = None
        if persist is not None:
            # Most programs do not need this module.
            from memcache_rs import _persist

            self._file = _persist.PersistentFile(self, persist)

    def with_serializer(self, serializer: Serializer | None) -> Cache[Any]:
        """Returns another handle of the same items, with another serializer.

        The items, the clock and concurrent makers of values are the same. A close of one handle
        closes all.

        Args:
            serializer: See :class:`Cache`. ``None`` takes and returns bytes.

        Returns:
            The handle.

        Raises:
            TypeError: ``serializer`` is not valid.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> with Server() as server:
            ...     objects = server.cache.with_serializer("json")
            ...     objects.set("user:1", {"name": "Ada"})
            ...     server.cache.get("user:1")
            b'{"name": "Ada"}'
        """
        handle: Cache[Any] = Cache.__new__(Cache, serializer=serializer, _of=self)
        handle._file = self._file
        return handle

    def namespace(self, prefix: BytesLike) -> Cache[V]:
        """Returns a handle of the items whose keys begin with a prefix, without that prefix.

        It has all methods of a cache, and the same serializer. Keys, iteration, ``len`` and
        :meth:`clear` are those of the namespace. :meth:`clear` takes constant time. ``len`` and
        iteration examine all keys of the cache. Statistics, the clock, snapshots and
        :meth:`close` are those of the whole cache, and a server that gets the handle serves the
        whole cache.

        A key and the prefix have 1 to 250 bytes together. A namespace of a namespace has both
        prefixes.

        Args:
            prefix: The prefix, such as ``"users:"``. An empty one is that of all items.

        Returns:
            The handle.

        Raises:
            InvalidKeyError: The prefix is longer than 250 bytes.
            TypeError: The prefix is neither str nor bytes-like.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> users = cache.namespace("users:")
            >>> users["1"] = "Ada"
            >>> cache["users:1"], list(users)
            (b'Ada', [b'1'])
            >>> @users.memoize(ttl=60)
            ... def greet(name):
            ...     return f"Hello {name}"
            >>> greet("Ada"), len(users)
            (b'Hello Ada', 2)
            >>> users.clear()
            >>> list(cache)
            []
        """
        handle: Cache[Any] = Cache.__new__(Cache, _of=self, _prefix=prefix)
        handle._file = self._file
        return handle

    def get_or_set(
        self,
        key: BytesLike,
        make: Callable[[], V | BytesLike],
        ttl: TTL = None,
        *,
        stale_for: float | timedelta | None = None,
    ) -> V:
        """Returns the value of a key. If there is none, it calls ``make`` and stores the result.

        Of all concurrent callers one calls ``make``, and the others wait for its value. If ``make``
        raises an exception, all of them get it, and the next call begins again. A value that the
        cache cannot store is returned to all of them. That happens if the value is too large, or
        memory is full.

        A newer value that was stored while ``make`` ran stays. If the key was deleted or flushed
        while ``make`` ran, this caller gets the value, and the cache does not store it. A caller
        that waits then calls its own ``make``.

        With ``stale_for`` no caller waits while an old value is renewed. For that many seconds
        after its TTL, one caller makes the new value, and all others get the old one. The same
        happens to an item that :meth:`invalidate` marked.

        Args:
            key: The key, 1 to 250 bytes.
            make: Makes the value. It must not ask for the same key.
            ttl: How long the value lives. It is checked before ``make`` is called.
            stale_for: How many seconds longer the old value may be returned.

        Returns:
            The value.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            InvalidTTLError: ``ttl`` or ``stale_for`` is negative, more than 100 years, or not a
                time.
            TypeError: ``key``, or without a serializer the result of ``make``, is neither str nor
                bytes-like.
            SerializerError: Another serializer stored the value.
            RuntimeError: ``make`` asked for the same key.
            Exception: ``make`` raised it, of this caller or of the one that it waited for.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> cache = Cache()
            >>> cache.get_or_set("answer", lambda: b"42", ttl=60)
            b'42'
            >>> cache.get_or_set("answer", lambda: b"another", ttl=60)
            b'42'
        """
        while True:
            found = self._lease(key, stale_for)
            if found is not None and not found[1]:
                return found[0]
            role = self._lead_or_wait(key, found is not None, ttl, stale_for, None)
            if isinstance(role, Leader):
                with role:
                    stored = role.stored = self._dumps(refuse_awaitable(make()))
                return self._loads(*stored)
            handed = role if isinstance(role, tuple) else role.wait()
            if handed is not None:
                return self._loads(*handed)

    async def aget_or_set(
        self,
        key: BytesLike,
        make: Callable[[], Awaitable[V | BytesLike] | V | BytesLike],
        ttl: TTL = None,
        *,
        stale_for: float | timedelta | None = None,
    ) -> V:
        """Does the same as :meth:`get_or_set` in an asyncio task, and awaits ``make``.

        Of all concurrent tasks and threads one makes the value. If the task that makes it is
        cancelled, the next waiter makes it. The cancellation of a waiter affects no other waiter.
        The event loop runs while a task waits.

        Args:
            key: The key, 1 to 250 bytes.
            make: Makes the value, or returns an awaitable of it. It must not ask for the same key.
            ttl: How long the value lives. It is checked before ``make`` is called.
            stale_for: How many seconds longer the old value may be returned.

        Returns:
            The value.

        Raises:
            InvalidKeyError: ``key`` is empty or longer than 250 bytes.
            InvalidTTLError: ``ttl`` or ``stale_for`` is negative, more than 100 years, or not a
                time.
            TypeError: ``key``, or without a serializer the result of ``make``, is neither str nor
                bytes-like.
            SerializerError: Another serializer stored the value.
            RuntimeError: ``make`` asked for the same key.
            Exception: ``make`` raised it, of this caller or of the one that it waited for.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> import asyncio
            >>> cache = Cache()
            >>> async def answer():
            ...     return b"42"
            >>> asyncio.run(cache.aget_or_set("answer", answer, ttl=60))
            b'42'
        """
        import asyncio

        while True:
            found = self._lease(key, stale_for)
            if found is not None and not found[1]:
                return found[0]
            role = self._lead_or_wait(key, found is not None, ttl, stale_for, asyncio.current_task())
            if isinstance(role, Leader):
                with role:
                    made: Any = make()
                    stored = role.stored = self._dumps(await made if hasattr(made, "__await__") else made)
                return self._loads(*stored)
            handed = role if isinstance(role, tuple) else await role.wait_async()
            if handed is not None:
                return self._loads(*handed)

    def _lead_or_wait(
        self,
        key: BytesLike,
        is_stale: bool,
        ttl: TTL,
        stale_for: float | timedelta | None,
        task: asyncio.Task[Any] | None,
    ) -> Leader | Waiter | Stored:
        """Returns the role of a caller that found no value, or has to renew a stale one.

        The caller is the leader, or waits for one. If a leader has just finished, this returns its
        value.
        """
        ttl = self._extended(ttl, stale_for)
        name = to_bytes(key)
        raw = self.with_serializer(None)
        if is_stale:
            return Leader(raw, name, ttl, self._renew(name))
        native = join(self, name, task)
        if not isinstance(native, _native.Leader):
            return native
        try:
            # Another leader may have stored the value since the lease.
            item = raw.get_item(name)
        except BaseException:
            native.finish(None)
            raise
        if item is not None:
            stored = (item.value, item.flags)
            native.finish(stored)
            return stored
        return Leader(raw, name, ttl, native)

    def _extended(self, ttl: TTL, stale_for: float | timedelta | None) -> TTL:
        """Returns the TTL of an item that may be stale at its end."""
        self._check_ttl(ttl)
        if ttl is None or stale_for is None:
            return ttl
        from datetime import datetime, timedelta

        if not isinstance(stale_for, timedelta):
            stale_for = timedelta(seconds=stale_for)
        extended = (ttl if isinstance(ttl, (datetime, timedelta)) else timedelta(seconds=ttl)) + stale_for
        self._check_ttl(extended, "ttl plus stale_for")
        return extended

    @overload
    def memoize(
        self,
        ttl: TTL = None,
        *,
        serializer: None = None,
        key: Callable[..., BytesLike] | None = None,
        stale_for: float | timedelta | None = None,
    ) -> ValueDecorator[V]: ...
    @overload
    def memoize(
        self,
        ttl: TTL = None,
        *,
        serializer: Serializer,
        key: Callable[..., BytesLike] | None = None,
        stale_for: float | timedelta | None = None,
    ) -> Decorator: ...
    def memoize(
        self,
        ttl: TTL = None,
        *,
        serializer: Serializer | None = None,
        key: Callable[..., BytesLike] | None = None,
        stale_for: float | timedelta | None = None,
    ) -> Any:
        """Returns a decorator that caches the results of a function by its arguments.

        The function may be an ``async def`` or a method. Put the decorator above ``@classmethod``,
        and below ``@staticmethod`` and ``@property``. The result is a :class:`Memoized`. Concurrent
        callers share one call, as with :meth:`get_or_set`. Below ``@classmethod`` it works, too,
        but since Python 3.13 ``cache_key`` and ``cache_delete`` then take the class as their first
        argument.

        Without a serializer the function returns str or bytes, and its callers get bytes.

        Each decorated function has its own results, also if two functions have the same name.
        Arguments are bound to the signature, so ``load(7)``, ``load(id=7)`` and
        ``load(7, "en")``, if that is the default, share a result. Arguments may be str, bytes,
        numbers, ``None``, enum members, and tuples and named tuples of these.

        A method has its own results for each object, for as long as the object lives. Attributes
        of the object do not count. If the result depends on attributes that change, pass ``key``.
        A property always needs ``key``.

        Args:
            ttl: How long a result lives.
            serializer: How results become bytes. See :class:`Cache`, whose serializer is the
                default.
            key: Makes the whole key from the arguments, with ``self`` for a method. Functions that
                make the same key share results.
            stale_for: How many seconds longer an old result may be returned. See
                :meth:`get_or_set`.

        Returns:
            A decorator.

        Raises:
            TypeError: ``serializer`` is not valid, or the decorated object is not a function.

        Example:
            >>> cache = Cache()
            >>> @cache.memoize(ttl=60, serializer="json")
            ... def squares(n):
            ...     print("counting")
            ...     return [i * i for i in range(n)]
            >>> squares(4)
            counting
            [0, 1, 4, 9]
            >>> squares(n=4)
            [0, 1, 4, 9]
        """
        cache = self if serializer is None else self.with_serializer(serializer)

        def decorate(function: Callable[..., Any]) -> Memoized[..., Any]:
            if is_async(function):
                return AsyncMemoized(cache, function, ttl, stale_for, key)
            return Memoized(cache, function, ttl, stale_for, key)

        return decorate

    def save(
        self,
        file: Path | Writable,
        *,
        codec: Codec = "lz4",
        threads: int | None = None,
        rate: int | None = None,
        note: str | None = None,
        progress: OnProgress | None = None,
    ) -> _native.Saved:
        """Saves all items to a file, while the cache is in use.

        A file of this path is replaced when the new one is complete and on the disk. Until then,
        and after an exception, the old file stays. Only this user may read the file. Other threads
        run during the save. In asyncio, use ``await asyncio.to_thread(cache.save, path)``.

        Each item is saved as it is at one moment, but not all items at the same moment. An item
        that is deleted during the save may be in the file.

        ``progress`` is called about once a MiB, and more often while ``rate`` delays the save. If
        it returns ``False`` or raises an exception, the save ends. Ctrl-C ends it, too.

        Args:
            file: A path, or a binary file, such as one of ``open(path, "wb")`` or of ``gzip``. A
                file object stays open, and what was written before an exception stays in it.
            codec: ``"lz4"`` compresses the items, ``"none"`` does not.
            threads: The number of threads, 1 to 256. ``None`` means half of the processor's cores.
            rate: Most bytes to write in a second. ``None`` means no limit.
            note: A text of at most 4,096 bytes that :meth:`load` returns.
            progress: Receives a :class:`Progress`.

        Returns:
            What was saved.

        Raises:
            BusyError: Another save to this path is under way, or the cache was flushed during the
                save. A save to a path first begins again, twice.
            CancelledError: ``progress`` returned ``False``.
            OSError: The system refused an operation on the file, such as on a full disk.
            Exception: A method of ``file``, or ``progress``, raised it.
            ConfigError: ``codec`` or ``note`` is invalid.
            OutOfRangeError: ``threads`` or ``rate`` is out of range.
            TypeError: ``file`` is not a path or a binary file, or an option has a wrong type.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> import os, tempfile
            >>> cache = Cache()
            >>> cache.set("user:1", "Ada")
            >>> with tempfile.TemporaryDirectory() as directory:
            ...     path = os.path.join(directory, "cache.mcrs")
            ...     cache.save(path).items
            ...     Cache().load(path).items
            1
            1
        """
        return _native.save(self, file, codec=codec, threads=threads, rate=rate, note=note, progress=progress)

    def load(
        self,
        file: Path | Readable,
        *,
        replace: bool = False,
        ttl: SnapshotTTL = "wall",
        strict: bool = False,
        threads: int | None = None,
        progress: OnProgress | None = None,
    ) -> _native.Loaded:
        """Loads the items of a snapshot, while the cache is in use.

        The snapshot may come from a cache with other settings, and from another machine. Items that
        do not fit in memory are left out and counted, and so are damaged parts of the file. Other
        threads run during the load. After an exception, items that were loaded before it stay.

        ``progress`` is called about once a MiB. If it returns ``False`` or raises an exception, the
        load ends. Ctrl-C ends it, too.

        Args:
            file: A path, or a binary file, such as one of ``open(path, "rb")`` or of ``gzip``.
            replace: Whether items replace those that are in the cache. If not, those stay, because
                they are newer.
            ttl: With ``"wall"``, items expire at the time at which they were to expire. With
                ``"paused"``, the time between the save and the load does not count.
            strict: Whether damage is an error.
            threads: The number of threads, 1 to 256. ``None`` means one for each core.
            progress: Receives a :class:`Progress`.

        Returns:
            What was loaded.

        Raises:
            BadSnapshotError: The file is not a snapshot that this version can read, or it is
                damaged and ``strict`` is set.
            CancelledError: ``progress`` returned ``False``.
            OSError: The system refused an operation on the file, such as if it does not exist.
            Exception: A method of ``file``, or ``progress``, raised it.
            ConfigError: ``ttl`` is invalid.
            OutOfRangeError: ``threads`` is out of range.
            TypeError: ``file`` is not a path or a binary file, or an option has a wrong type.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> import io
            >>> file = io.BytesIO()
            >>> old = Cache()
            >>> old.set("user:1", "Ada")
            >>> saved = old.save(file, note="users")
            >>> _ = file.seek(0)
            >>> cache = Cache()
            >>> loaded = cache.load(file)
            >>> loaded.items, loaded.note, cache.get("user:1")
            (1, 'users', b'Ada')
        """
        return _native.load(self, file, replace=replace, ttl=ttl, strict=strict, threads=threads, progress=progress)

    def close(self) -> None:
        """Closes the cache and removes all items. With ``persist`` it saves them first.

        A second call does nothing. In a child of ``fork`` it leaves the parent's cache as it is. A
        ``with`` block closes the cache at its end. The cache is closed even if the save failed.

        Raises:
            OSError: The system refused an operation on the file of ``persist``.
            BusyError: Another save to that file is under way.

        Example:
            >>> cache = Cache()
            >>> cache.close()
            >>> cache.closed
            True
        """
        try:
            if self._file is not None:
                self._file.end()
        finally:
            super().close()

    def __exit__(self, *_: object) -> None:
        self.close()
