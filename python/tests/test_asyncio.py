"""The asyncio API: nothing blocks the event loop, and tasks, threads and loops share flights."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

import memcache_rs
from memcache_rs import Cache, Server

if TYPE_CHECKING:
    from typing_extensions import Self


class Held(Server):
    """A server whose start and stop last until the event loop has run."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go = threading.Event(), threading.Event()

    def hold(self) -> None:
        self.entered.set()
        assert self.go.wait(20), "the event loop does not run"
        self.go.clear()

    def start(self) -> Self:
        self.hold()
        return super().start()

    def stop(self, *, graceful: bool = False, timeout: float = 5.0) -> None:
        self.hold()
        super().stop(graceful=graceful, timeout=timeout)


async def watchdog(server: Held) -> None:
    """Lets each start and stop of the server end. It can do so only if the event loop runs."""
    while True:
        if server.entered.is_set():
            server.entered.clear()
            server.go.set()
        await asyncio.sleep(0)


def test_a_server_starts_and_stops_while_the_loop_runs() -> None:
    async def work() -> None:
        dog = asyncio.create_task(watchdog(server := Held()))
        async with server as entered:
            assert entered is server
            reader, writer = await asyncio.open_connection(*server.address)
            writer.write(b"mn\r\n")
            assert await reader.readline() == b"MN\r\n"
            writer.close()
            await writer.wait_closed()
        assert not server.running
        dog.cancel()

    asyncio.run(work())


def test_a_server_whose_start_is_cancelled_does_not_stay() -> None:
    async def work() -> None:
        server = Held()

        async def use() -> None:
            async with server:
                raise AssertionError("the block must not run")

        task = asyncio.create_task(use())
        while not server.entered.is_set():
            await asyncio.sleep(0)
        task.cancel()
        dog = asyncio.create_task(watchdog(server))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not server.running
        dog.cancel()

    asyncio.run(work())


def test_an_error_of_the_start_arrives() -> None:
    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(memcache_rs.StartError):
            async with Server(taken.getsockname()[1]):
                raise AssertionError("the block must not run")

    asyncio.run(work())


def test_one_loader_for_many_waiters_while_the_loop_runs() -> None:
    calls = 0

    async def work() -> None:
        cache = Cache(serializer="json")
        go = asyncio.Event()

        async def load() -> dict[str, int]:
            nonlocal calls
            calls += 1
            await go.wait()
            return {"calls": calls}

        tasks = [asyncio.create_task(cache.aget_or_set("key", load, 60)) for _ in range(100)]
        for _ in range(3):
            await asyncio.sleep(0)
        for task in tasks[10:20]:
            task.cancel()
        go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in found[10:20])
        assert found[:10] + found[20:] == [{"calls": 1}] * 90

    asyncio.run(work())
    assert calls == 1


def test_an_error_of_the_loader_reaches_all_waiters() -> None:
    calls = 0

    async def work() -> None:
        cache = Cache()

        async def fails() -> bytes:
            nonlocal calls
            calls += 1
            await asyncio.sleep(0)
            raise LookupError("no such row")

        found = await asyncio.gather(*(cache.aget_or_set("key", fails) for _ in range(10)), return_exceptions=True)
        assert [str(one) for one in found] == ["no such row"] * 10
        assert await cache.aget_or_set("key", lambda: b"value") == b"value"

    asyncio.run(work())
    assert calls == 1


def test_a_thread_waits_for_a_task() -> None:
    cache, found = Cache(serializer="pickle"), list[Any]()

    async def work() -> None:
        begun = threading.Event()

        async def load() -> int:
            thread.start()
            # The thread finds no value, and waits or asks after the end of the load.
            await asyncio.to_thread(begun.wait, 20)
            return 42

        def ask() -> None:
            begun.set()
            found.append(cache.get_or_set("key", lambda: 42))

        thread = threading.Thread(target=ask)
        found.append(await cache.aget_or_set("key", load))
        await asyncio.to_thread(thread.join, 20)

    asyncio.run(work())
    assert found == [42, 42]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_closed_with_its_tasks() -> None:
    """Neither a leader nor a waiter of a closed loop keeps others waiting."""
    cache = Cache()

    def closed_with(task_of: Any) -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        tasks = {loop.create_task(task_of)}
        for _ in range(3):
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        tasks.clear()

    async def hangs() -> bytes:
        await asyncio.Event().wait()
        return b"never"

    closed_with(cache.aget_or_set("key", hangs))
    gc.collect()
    assert cache.get_or_set("key", lambda: b"value") == b"value"

    started, go = threading.Event(), threading.Event()

    def make() -> bytes:
        started.set()
        assert go.wait(20)
        return b"value"

    thread = threading.Thread(target=cache.get_or_set, args=("other", make))
    thread.start()
    assert started.wait(20)
    closed_with(cache.aget_or_set("other", hangs))
    go.set()
    thread.join(20)
    assert asyncio.run(cache.aget_or_set("other", hangs)) == b"value"
