"""The blocks that servers and clusters have in common: ``with`` and ``async with``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self


class Runs:
    """Starts at the beginning of a ``with`` or ``async with`` block, and stops at its end."""

    def start(self) -> Self:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        from asyncio import CancelledError

        try:
            await _in_thread(self.start)
        except CancelledError:
            await _in_thread(self.stop)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await _in_thread(self.stop)


async def _in_thread(work: Callable[[], object]) -> None:
    """Runs ``work`` in a thread, to its end even if the task is cancelled."""
    import asyncio
    from contextlib import suppress

    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        with suppress(Exception):
            await running
        raise
