"""Single flight: one caller, the leader, makes a value, and the waiters get it from the leader."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from memcache_rs._values import keep
from memcache_rs.errors import ClosedError, MemcacheError

if TYPE_CHECKING:
    import asyncio

    from typing_extensions import Self

    from memcache_rs import _native
    from memcache_rs._typing import TTL


class Flight:
    """A value that its leader makes. The waiters are threads, and tasks of any event loop."""

    def __init__(self, flights: Flights, key: bytes, task: asyncio.Task[object] | None) -> None:
        # This import is slow, so it happens on first use.
        from concurrent.futures import Future

        self._flights = flights
        self._key = key
        self._thread = threading.get_ident()
        self._task = task
        self._result: Future[bytes | None] = Future()
        # From now on the cancellation of one waiter does not cancel the others.
        self._result.set_running_or_notify_cancel()

    def finish(self, value: bytes | None) -> None:
        """Ends the flight. The waiters get the value, or try again if it is ``None``."""
        self._flights.remove(self._key)
        self._result.set_result(value)

    def wait(self) -> bytes | None:
        """Blocks the thread until the flight ends. Returns ``None`` if the leader failed."""
        if self._thread == threading.get_ident():
            raise self._deadlock()
        return self._result.result()

    async def wait_async(self) -> bytes | None:
        """Suspends the task until the flight ends. Returns ``None`` if the leader failed."""
        import asyncio

        if self._thread == threading.get_ident() and self._task in (None, asyncio.current_task()):
            raise self._deadlock()
        return await asyncio.wrap_future(self._result)

    def _deadlock(self) -> RuntimeError:
        if self._task is None:
            return RuntimeError(f"make must not get the value of its own key, {self._key!r}")
        return RuntimeError(
            f"a task of this thread is making the value of {self._key!r}: make must not get the value of its own key, "
            "and other tasks must await aget_or_set"
        )


class Flights:
    """The flights of a cache, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[bytes, Flight] = {}

    def join(self, key: bytes, task: asyncio.Task[object] | None) -> tuple[Flight, bool]:
        """Returns the flight of a key, and whether the caller is its leader."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Flight(self, key, task)
            return flight, True

    def remove(self, key: bytes) -> None:
        """Removes a flight, so that the next caller starts another."""
        with self._lock:
            del self._flights[key]


class Leader:
    """The caller that makes a value. It sets ``value`` in a ``with`` block.

    At the end of the block the value is stored. Without a value, the next caller becomes leader.
    """

    def __init__(self, cache: _native.Cache, key: bytes, ttl: TTL, flight: Flight | None) -> None:
        self._cache = cache
        self._key = key
        self._ttl = ttl
        #: ``None`` if the cache has an old value, which all other callers get.
        self._flight = flight
        self.value: bytes | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.value is not None:
                with contextlib.suppress(ClosedError):
                    keep(self._cache, self._key, self.value, self._ttl)
            elif self._flight is None:
                # The next caller wins the stale item.
                with contextlib.suppress(MemcacheError):
                    self._cache.invalidate(self._key)
        finally:
            if self._flight is not None:
                self._flight.finish(self.value)
