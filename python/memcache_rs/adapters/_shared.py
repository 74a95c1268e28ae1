"""One cache for all processes of a machine: the first of them hosts it, the others connect to it.

The host holds the lock file beside the socket. The system releases the lock when that process ends.
The next process that misses the host then takes the lock, and hosts an empty cache. A child of a
fork holds neither the lock nor the connections of its parent, and connects like any other process.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import importlib
import math
import os
import stat
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from memcache_rs import Cache, Server
from memcache_rs._native import unix_time
from memcache_rs._values import keep
from memcache_rs.adapters import _local as local
from memcache_rs.adapters._local import span
from memcache_rs.errors import ConfigError, NotANumberError, OutOfMemoryError, StartError, ValueTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

#: A longer timeout never expires: a Unix time on the wire ends in 2038.
_LONGEST = 10 * 365 * 86_400
#: A larger exptime is a Unix time.
_RELATIVE = 30 * 86_400
#: How many seconds a call waits for a host that is starting.
_PATIENCE = 5.0

_CACHE_SETTINGS = ("memory_limit", "item_size_max", "evictions")
_SERVER_SETTINGS = ("threads", "max_connections", "unix_mask")


class Store(Protocol):
    """The operations, which the host runs in this process and the others through the socket.

    A ``ttl`` is seconds. ``None`` never expires, and 0 or less expires at once. If a value is too
    large to be stored, the key has no item afterwards.
    """

    def get(self, key: bytes) -> bytes | None: ...
    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]: ...
    def set(self, key: bytes, value: bytes, ttl: float | None) -> bool: ...
    def set_many(self, values: Mapping[bytes, bytes], ttl: float | None) -> list[bytes]: ...
    def add(self, key: bytes, value: bytes, ttl: float | None) -> bool: ...
    def touch(self, key: bytes, ttl: float | None) -> bool: ...
    def delete(self, key: bytes) -> bool: ...
    def delete_many(self, keys: Sequence[bytes]) -> None: ...
    def contains(self, key: bytes) -> bool: ...
    def incr(self, key: bytes, delta: int) -> int | None: ...
    def change(self, key: bytes, change: Callable[[bytes], bytes]) -> bytes | None: ...
    def flush(self) -> None: ...
    def flush_prefix(self, prefix: bytes) -> None: ...


class Direct:
    """The cache of this process."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache

    def get(self, key: bytes) -> bytes | None:
        return self.cache.get(key)

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return self.cache.get_many(keys)

    def set(self, key: bytes, value: bytes, ttl: float | None) -> bool:
        return keep(self.cache, key, value, span(ttl))

    def set_many(self, values: Mapping[bytes, bytes], ttl: float | None) -> list[bytes]:
        return [key for key, value in values.items() if not self.set(key, value, ttl)]

    def add(self, key: bytes, value: bytes, ttl: float | None) -> bool:
        try:
            return self.cache.add(key, value, span(ttl))
        except (ValueTooLargeError, OutOfMemoryError):
            return False

    def touch(self, key: bytes, ttl: float | None) -> bool:
        return self.cache.touch(key, span(ttl))

    def delete(self, key: bytes) -> bool:
        return self.cache.delete(key)

    def delete_many(self, keys: Sequence[bytes]) -> None:
        self.cache.delete_many(keys)

    def contains(self, key: bytes) -> bool:
        return key in self.cache

    def incr(self, key: bytes, delta: int) -> int | None:
        return self.cache.incr(key, delta)

    def change(self, key: bytes, change: Callable[[bytes], bytes]) -> bytes | None:
        """Replaces a value by the result of ``change``, atomically, and keeps the TTL."""
        return local.change(self.cache, key, change)

    def flush(self) -> None:
        self.cache.flush()

    def flush_prefix(self, prefix: bytes) -> None:
        self.cache.flush_prefix(prefix)


class Remote:
    """The cache of another process, through its socket."""

    def __init__(self, pymemcache: Any, path: str, timeout: float) -> None:
        self._closed = pymemcache.MemcacheUnexpectedCloseError
        self._refused = pymemcache.MemcacheServerError
        self._not_a_number = pymemcache.MemcacheClientError
        self._make = partial(pymemcache.Client, path, connect_timeout=timeout, timeout=timeout, default_noreply=False)
        #: Unused connections.
        self._idle: deque[Any] = deque()
        self._left = False
        self._ask("raw_command", b"mn")

    def _ask(self, command: str, *args: Any) -> Any:
        try:
            client = self._idle.pop()
        except IndexError:
            client = self._make()
        try:
            reply = getattr(client, command)(*args)
        except BaseException:
            client.close()
            raise
        self._idle.append(client)
        if self._left:
            self.close()
        return reply

    def close(self) -> None:
        """Closes the connections. Those in use are closed after their current command."""
        self._left = True
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._ask("get", key)
        return value

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        values: dict[bytes, bytes] = self._ask("get_many", keys)
        return values

    def set(self, key: bytes, value: bytes, ttl: float | None) -> bool:
        try:
            return bool(self._ask("set", key, value, _exptime(ttl)))
        except self._refused as error:
            self._not_closed(error)
            self._ask("delete", key)
            return False

    def set_many(self, values: Mapping[bytes, bytes], ttl: float | None) -> list[bytes]:
        try:
            failed: list[bytes] = self._ask("set_many", values, _exptime(ttl))
        except self._refused as error:
            # pymemcache reports the first refusal, but not its key.
            self._not_closed(error)
            return [key for key, value in values.items() if not self.set(key, value, ttl)]
        return failed

    def add(self, key: bytes, value: bytes, ttl: float | None) -> bool:
        try:
            return bool(self._ask("add", key, value, _exptime(ttl)))
        except self._refused as error:
            self._not_closed(error)
            return False

    def touch(self, key: bytes, ttl: float | None) -> bool:
        return bool(self._ask("touch", key, _exptime(ttl)))

    def delete(self, key: bytes) -> bool:
        return bool(self._ask("delete", key))

    def delete_many(self, keys: Sequence[bytes]) -> None:
        self._ask("delete_many", keys)

    def contains(self, key: bytes) -> bool:
        return bool(self._ask("raw_command", b"mg " + key) == b"HD")

    def incr(self, key: bytes, delta: int) -> int | None:
        try:
            number: int | None = self._ask("incr", key, delta)
        except self._not_a_number as error:
            raise NotANumberError(str(error)) from None
        return number

    def change(self, key: bytes, change: Callable[[bytes], bytes]) -> bytes | None:
        """Replaces a value by the result of ``change``, atomically, and keeps the TTL."""
        while True:
            found, cas = self._ask("gets", key)
            if found is None:
                return None
            value = change(found)
            # The reply is "HD t60", with -1 for an item that does not expire.
            told = self._ask("raw_command", b"mg " + key + b" t").partition(b" t")[2]
            if not told:
                return None
            seconds = int(told)
            if self._ask("cas", key, value, cas, _exptime(None if seconds < 0 else max(seconds, 1))):
                return value

    def flush(self) -> None:
        self._ask("flush_all")

    def flush_prefix(self, prefix: bytes) -> None:
        self._ask("raw_command", b"flush_prefix " + prefix)

    def _not_closed(self, error: Exception) -> None:
        """Raises the error of a closed connection, which is a subclass of the refusals."""
        if isinstance(error, self._closed):
            raise error


def _exptime(ttl: float | None) -> int:
    """Converts a TTL to an exptime on the wire."""
    if ttl is None or ttl > _LONGEST:
        return 0
    if ttl <= 0:
        return -1
    seconds = math.ceil(ttl)
    # This is the system clock. A test may have faked Python's.
    return seconds if seconds <= _RELATIVE else unix_time() + seconds


#: Held while a lock file is opened, so that a child of a fork knows of each lock it inherits.
_opening = threading.Lock()
_known: dict[Any, SharedCache] = {}
_knowing = threading.Lock()


class SharedCache:
    """The cache at a path. This process hosts it, or connects to the process that does.

    Without a path, this process has its own cache, and a child of a fork has another.
    """

    def __init__(self, path: str | None, settings: Mapping[str, Any], timeout: float = 3.0) -> None:
        unknown = set(settings).difference(_CACHE_SETTINGS, _SERVER_SETTINGS)
        if unknown:
            raise ConfigError(f"OPTIONS must not have unknown settings, got {', '.join(sorted(unknown))}")
        self.path = path
        self.settings = dict(settings)
        self._timeout = timeout
        if path is not None:
            # Imported here, because a child of a fork would deadlock on an import that another
            # thread had begun.
            self._pymemcache = importlib.import_module("pymemcache")
            # Errors that may mean that the host has ended. A full backlog is a BlockingIOError.
            self._gone: tuple[type[Exception], ...] = (
                ConnectionError,
                FileNotFoundError,
                BlockingIOError,
                self._pymemcache.MemcacheUnexpectedCloseError,
            )
        self._forget()

    @classmethod
    def at(cls, path: str | None, settings: Mapping[str, Any], timeout: float = 3.0) -> SharedCache:
        """Returns this process's object for a path. Without a path, settings identify it."""
        place = path if path is not None else tuple(sorted(settings.items()))
        with _knowing:
            known = _known.get(place)
            if known is None:
                known = _known[place] = cls(path, settings, timeout)
            elif known.settings != dict(settings):
                raise ConfigError(
                    f"OPTIONS must be the same for all caches at {path}, got {dict(settings)} and {known.settings}"
                )
        return known

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._store: Direct | Remote | None = None
        self._server: Server | None = None
        self._file: int | None = None

    @property
    def hosting(self) -> bool:
        """Whether this process is the host."""
        return self._server is not None

    def call(self, work: Callable[[Store], T]) -> T:
        """Runs ``work`` with the cache, again if the host has ended."""
        deadline = None
        while True:
            store = self._store or self._join()
            if isinstance(store, Direct):
                return work(store)
            try:
                return work(store)
            except self._gone:
                now = time.monotonic()
                deadline = deadline or now + _PATIENCE
                if now > deadline:
                    raise
                with self._lock:
                    # Another thread may have found the new host.
                    if self._store is store:
                        self._store = None
                store.close()

    def _join(self) -> Direct | Remote:
        with self._lock:
            if self._store is None:
                self._store = self._find()
            return self._store

    def _find(self) -> Direct | Remote:
        if self.path is None:
            return Direct(self._make())
        deadline = time.monotonic() + _PATIENCE
        pause = 0.001
        while True:
            remote = self._connect(self.path)
            if remote is not None:
                return remote
            if self._take_lock(self.path):
                hosted = self._host(self.path)
                if hosted is not None:
                    return hosted
            if time.monotonic() > deadline:
                raise StartError(
                    errno.ETIMEDOUT,
                    f"LOCATION must have a host, but a process holds {self.path}.lock and serves nothing there; "
                    "end that process, or set another path",
                )
            # Another process holds the lock and will serve in a moment.
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    def _make(self) -> Cache:
        return Cache(**{name: self.settings[name] for name in _CACHE_SETTINGS if name in self.settings})

    def _connect(self, path: str) -> Remote | None:
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None
        if not stat.S_ISSOCK(found.st_mode):
            raise ConfigError(f"LOCATION must be a Unix socket or a new path, got the file {path}")
        # Values from the socket are unpickled, so its owner must be trusted.
        if found.st_uid not in (0, os.geteuid()) and "unix_mask" not in self.settings:
            raise ConfigError(
                f"LOCATION must be a socket of this user, but {path} belongs to user {found.st_uid}; use a directory "
                "that only this user can write to, or set unix_mask to share the cache with other users"
            )
        try:
            return Remote(self._pymemcache, path, self._timeout)
        except self._gone:
            return None

    def _take_lock(self, path: str) -> bool:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with _opening:
            file = os.open(path + ".lock", flags, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            except BaseException:
                os.close(file)
                raise
            self._file = file
            return True

    def _host(self, path: str) -> Direct | None:
        try:
            cache = self._make()
            settings = {name: self.settings[name] for name in _SERVER_SETTINGS if name in self.settings}
            self._server = Server(unix_socket=path, cache=cache, **settings).start()
        except StartError as error:
            self._give_up_lock()
            if error.errno == errno.EADDRINUSE:
                # A server without a lock, such as memcached-rs, is the host.
                return None
            raise
        except BaseException:
            self._give_up_lock()
            raise
        return Direct(cache)

    def _give_up_lock(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def leave(self) -> None:
        """Stops serving. The next process that makes a call becomes the host."""
        with self._lock:
            server, self._server = self._server, None
            if server is not None:
                server.stop(graceful=True, timeout=1.0)
            store, self._store = self._store, None
            if isinstance(store, Remote):
                store.close()
            self._give_up_lock()

    def in_child(self) -> None:
        """Resets the object after a fork."""
        # The parent's lock and connections survive the close of the child's descriptors.
        store = self._store
        if isinstance(store, Remote):
            store.close()
        self._give_up_lock()
        self._forget()


@atexit.register
def _at_exit() -> None:
    for shared in list(_known.values()):
        if shared.hosting:
            shared.leave()


def _in_child() -> None:
    global _knowing
    _opening.release()
    _knowing = threading.Lock()
    for shared in _known.values():
        shared.in_child()


os.register_at_fork(before=_opening.acquire, after_in_parent=_opening.release, after_in_child=_in_child)
