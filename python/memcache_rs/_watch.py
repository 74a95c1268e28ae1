"""The events of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from memcache_rs import _native

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self


class Event(NamedTuple):
    """An event of a server, from memcached's log of events.

    Args:
        type: memcached's name: ``item_get``, ``item_store``, ``deleted``, ``eviction``,
            ``conn_new``, ``proxy_backend`` and others.
        time: The Unix time.
        key: The key, or ``None`` if the event has none.
        fields: All fields of the log line, by name. In a ``proxy_req``, the field ``type`` is
            memcached's number for the kind of the reply.

    Example:
        >>> Event.parse("ts=1700000000.5 gid=1 type=eviction key=user%3A1")[:3]
        ('eviction', 1700000000.5, b'user:1')
    """

    type: str
    time: float
    key: bytes | None
    fields: Mapping[str, str]

    @classmethod
    def parse(cls, line: str) -> Event:
        """Parses a line of memcached's log of events.

        Args:
            line: The line, without a line end.

        Returns:
            The event. A line that reports lost events has the type ``skipped``.

        Raises:
            ValueError: The time is not a number.

        Example:
            >>> Event.parse("ts=1.5 gid=1 type=item_get key=a status=not_found").fields["status"]
            'not_found'
        """
        return cls(*_native.parse_event(line))


class Watch:
    """An iterator over the events of a server. :meth:`Server.watch` makes it.

    It waits for the next event, and ends if none comes in ``timeout`` seconds, if the server stops,
    or if it is closed. Events from before the end are still returned. A ``with`` block closes it at
    its end.

    Example:
        >>> with Server() as server, server.watch("mutations", timeout=5) as events:
        ...     server.cache.set("key", "value")
        ...     next(events).key
        b'key'
    """

    def __init__(self, native: _native.Watcher, timeout: float | None) -> None:
        self._native = native
        self._timeout = timeout

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        event = self.get(self._timeout)
        if event is None:
            raise StopIteration
        return event

    def get(self, timeout: float | None = None) -> Event | None:
        """Returns the next event.

        Args:
            timeout: How many seconds to wait. ``None`` waits until the server stops.

        Returns:
            The event. ``None`` if none came in time, or no events are left after the end.

        Raises:
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server() as server, server.watch("mutations") as events:
            ...     print(events.get(timeout=0))
            None
        """
        found = self._native.next_event(timeout)
        return None if found is None else Event(*found)

    def close(self) -> None:
        """Stops receiving events. Received events can still be read.

        Example:
            >>> with Server() as server:
            ...     events = server.watch()
            ...     events.close()
        """
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
