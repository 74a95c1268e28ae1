"""The middleware around an application of Starlette."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from memcache_rs import Cache
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from response_cache import ResponseCache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request


class Site:
    """An application, its cache, and the requests that reached it."""

    def __init__(self, cache: Cache[Any]) -> None:
        self.seen: list[str] = []
        self.cache = cache
        self.app = Starlette(routes=[Route("/{name}", self.page)])
        self.app.add_middleware(ResponseCache, cache=cache, ttl=60)

    async def page(self, request: Request) -> Response:
        name = request.path_params["name"]
        self.seen.append(name)
        text = f"{name} {len(self.seen)}"
        await asyncio.sleep(0)
        response = PlainTextResponse(text, status_code=404 if name == "none" else 200)
        if name == "login":
            response.set_cookie("session", text)
        if name == "private":
            response.headers["Cache-Control"] = "private"
        return response

    def get(self, *paths: str, **headers: str) -> list[httpx.Response]:
        """Sends requests at the same time."""

        async def work() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
                return await asyncio.gather(*(client.get(path, headers=headers) for path in paths))

        return asyncio.run(work())


@pytest.fixture
def site() -> Iterator[Site]:
    with Cache(serializer="pickle") as cache, cache.clock.freeze():
        yield Site(cache)


def test_a_page_is_made_once(site: Site) -> None:
    replies = site.get("/report", "/report", "/report") + site.get("/report")
    assert {reply.text for reply in replies} == {"report 1"}
    assert sorted(reply.headers["X-Cache"] for reply in replies) == ["hit", "hit", "hit", "miss"]
    assert site.seen == ["report"]
    site.cache.clock.advance(60)
    assert site.get("/report")[0].text == "report 2"


def test_queries_are_pages_of_their_own(site: Site) -> None:
    assert [reply.text for reply in site.get("/report?year=1") + site.get("/report?year=2")] == ["report 1", "report 2"]


@pytest.mark.parametrize("name", ["login", "private", "none"])
def test_a_response_for_one_client_is_not_shared(site: Site, name: str) -> None:
    replies = site.get(f"/{name}", f"/{name}", f"/{name}")
    assert sorted(reply.text for reply in replies) == [f"{name} {number}" for number in (1, 2, 3)]
    assert len(site.cache) == 0


def test_a_request_of_one_client_is_not_answered_from_the_cache(site: Site) -> None:
    site.get("/report")
    assert site.get("/report", Authorization="Basic eA==")[0].text == "report 2"
    assert site.get("/report", Cookie="session=1")[0].text == "report 3"
    assert site.get("/report")[0].text == "report 1"
