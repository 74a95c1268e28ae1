"""Single flight for threads and for tasks of any event loop.

The native part knows the leaders. Here, callers wait, and leaders store what they have made.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from memcache_rs.errors import ClosedError, OutOfMemoryError, ValueTooLargeError

if TYPE_CHECKING:
    import asyncio

    from typing_extensions import Self

    from memcache_rs import _native
    from memcache_rs._typing import TTL, Outcome, Stored


class Waiter:
    """A caller that waits for the value of a leader."""

    def __init__(self) -> None:
        # This import is slow, so it happens on first use.
        from concurrent.futures import Future

        self._result: Future[Outcome] = Future()
        # The cancellation of a task that waits does not cancel the future.
        self._result.set_running_or_notify_cancel()
        #: Ends the wait. The leader calls it.
        self.finish = self._result.set_result

    def wait(self) -> Stored | None:
        """Blocks the thread until the leader has finished.

        Returns ``None`` if the leader was cancelled or interrupted. Raises the exception of its
        ``make``.
        """
        return _stored(self._result.result())

    async def wait_async(self) -> Stored | None:
        """Suspends the task, with the same results as :meth:`wait`."""
        import asyncio

        return _stored(await asyncio.wrap_future(self._result))


def _stored(outcome: Outcome) -> Stored | None:
    if not isinstance(outcome, Exception):
        return outcome
    try:
        raise outcome
    finally:
        # The exception refers to this frame.
        del outcome


def join(cache: _native.Cache[Any], key: bytes, task: asyncio.Task[object] | None) -> _native.Leader | Waiter:
    """Returns the right to make a value, or a waiter for the value of another caller."""
    waiter = Waiter()
    thread, mine = threading.get_ident(), 0 if task is None else id(task)
    role = cache._join(key, (thread, mine), waiter.finish)
    if not isinstance(role, tuple):
        return role
    leader_thread, leader_task = role
    # A blocked thread runs none of its tasks.
    if leader_thread != thread or (mine != 0 and leader_task not in (0, mine)):
        return waiter
    if leader_task == 0:
        raise RuntimeError(f"make must not get the value of its own key, {key!r}")
    raise RuntimeError(
        f"a task of this thread is making the value of {key!r}: make must not get the value of its own key, "
        "and other tasks must await aget_or_set"
    )


class Leader:
    """The caller that makes a value. It sets ``stored`` in a ``with`` block.

    At the end of the block the value is stored, and the waiters get it. An exception is raised in
    all waiters, too. After a cancellation or an interrupt the next waiter becomes leader. If the
    key was deleted in between, the value is not stored, and the next waiter becomes leader. The
    cache of a leader has no serializer.
    """

    def __init__(self, cache: _native.Cache, key: bytes, ttl: TTL, native: _native.Leader) -> None:
        self._cache = cache
        self._key = key
        self._ttl = ttl
        self._native = native
        self.stored: Stored | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        outcome: Outcome = self.stored or (error if isinstance(error, Exception) else None)
        try:
            if self.stored is not None and not self._store(*self.stored):
                outcome = None
        finally:
            self._native.finish(outcome)

    def _store(self, data: bytes, flags: int) -> bool:
        """Stores the value, if there is room. Returns ``False`` if the key was deleted since."""
        with contextlib.suppress(ClosedError):
            try:
                return self._cache._store_made(self._native, self._key, data, self._ttl, flags)
            except (ValueTooLargeError, OutOfMemoryError):
                # The cache must not return an older value.
                self._cache.delete(self._key)
        return True
