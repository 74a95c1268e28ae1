"""With the memcached of the fixtures, in this process: no daemon, no mocks, no waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient
    from memcache_rs import Clock, Server


@pytest.fixture
def made() -> list[int]:
    """The years whose reports were made."""
    return []


@pytest.fixture
def client(memcache: Server, made: list[int]) -> Iterator[FlaskClient]:
    def make(year: int) -> bytes:
        made.append(year)
        return b"report of %d" % year

    app = create_app(memcache.address, make)
    yield app.test_client()
    app.extensions["pages"].close()


def test_a_report_is_made_once(client: FlaskClient, made: list[int], memcache: Server) -> None:
    first, second = client.get("/report/1815"), client.get("/report/1815")
    assert first.data == second.data == b"report of 1815"
    assert [reply.headers["X-Cache"] for reply in (first, second)] == ["miss", "hit"]
    assert made == [1815]
    # The items of the memcached, read without a client.
    assert memcache.cache["report:1815"] == b"report of 1815"


def test_it_is_kept_for_a_minute(client: FlaskClient, made: list[int], memcache_clock: Clock) -> None:
    client.get("/report/1815")
    memcache_clock.advance(59)
    assert client.get("/report/1815").headers["X-Cache"] == "hit"
    memcache_clock.advance(1)
    assert client.get("/report/1815").headers["X-Cache"] == "miss"
    assert made == [1815, 1815]


def test_visits_are_limited(client: FlaskClient, memcache_clock: Clock) -> None:
    replies = [client.get("/report/1815").status_code for _ in range(7)]
    assert replies == [200] * 5 + [429] * 2
    memcache_clock.advance(30)
    assert client.get("/report/1815").status_code == 200


def test_a_lost_item_is_made_again(client: FlaskClient, made: list[int], memcache: Server) -> None:
    client.get("/report/1815")
    with memcache.faults.miss(key="report:*", times=1):
        assert client.get("/report/1815").headers["X-Cache"] == "miss"
    assert client.get("/report/1815").headers["X-Cache"] == "hit"
    assert made == [1815, 1815]


@pytest.mark.parametrize("how", ["error", "drop", "truncate", "delay", "stopped"])
def test_a_bad_day(client: FlaskClient, made: list[int], memcache: Server, how: str) -> None:
    client.get("/report/1815")
    if how == "error":
        memcache.faults.error("out of order")
    elif how == "drop":
        memcache.faults.drop()
    elif how == "truncate":
        memcache.faults.truncate(3)
    elif how == "delay":
        # Longer than the application waits.
        memcache.faults.delay(0.5)
    else:
        memcache.stop()
    # Every visitor still gets the page.
    for _ in range(2):
        reply = client.get("/report/1815")
        assert (reply.status_code, reply.data) == (200, b"report of 1815")
    assert len(made) == 3
    # Afterwards the application works as before.
    memcache.faults.clear() if memcache.running else memcache.start()
    client.get("/report/1815")
    assert client.get("/report/1815").headers["X-Cache"] == "hit"
