"""Single flights: one caller, the leader, computes a value; the waiters get it from the leader."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from typing_extensions import Self


class Flight:
    """A value that one caller computes and others wait for: threads, and tasks of any event loop.

    The leader uses it as a context manager. If the block ends without a value, the waiters try again.
    """

    def __init__(self, flights: Flights, key: bytes, task: asyncio.Task[object] | None) -> None:
        # Not before it is needed: it imports much.
        from concurrent.futures import Future

        self._flights = flights
        self._key = key
        self._thread = threading.get_ident()
        self._task = task
        self._landed: Future[bytes | None] = Future()
        # From now on a waiter that is cancelled does not cancel the others.
        self._landed.set_running_or_notify_cancel()
        self.value: bytes | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flights.remove(self._key)
        self._landed.set_result(self.value)

    def wait(self) -> bytes | None:
        """Waits in this thread. Returns the value, or None if the leader failed."""
        if self._thread == threading.get_ident():
            raise self._deadlock()
        return self._landed.result()

    async def wait_async(self, task: asyncio.Task[object] | None) -> bytes | None:
        """Waits in this task. Returns the value, or None if the leader failed."""
        import asyncio

        if self._thread == threading.get_ident() and self._task in (None, task):
            raise self._deadlock()
        return await asyncio.wrap_future(self._landed)

    def _deadlock(self) -> RuntimeError:
        if self._task is None:
            return RuntimeError(f"making the value of {self._key!r} asks for the value of {self._key!r}")
        return RuntimeError(
            f"a task of this thread makes the value of {self._key!r}: making it asks for the same value, or another "
            "task would wait without await; use aget_or_set there"
        )


class Flights:
    """The flights of a cache, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[bytes, Flight] = {}

    def board(self, key: bytes, task: asyncio.Task[object] | None = None) -> tuple[Flight, bool]:
        """Returns the flight for a key, and whether the caller leads it."""
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
