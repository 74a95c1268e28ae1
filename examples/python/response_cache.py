"""Keeps responses of an ASGI application, such as one of Starlette or FastAPI, in this process.

    app.add_middleware(ResponseCache, cache=Cache(64 << 20, serializer="pickle"), ttl=60)

Of concurrent requests for one URL, one calls the application. A response that is for one client
only is neither kept nor shared: each client then gets its own.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    from memcache_rs import Cache

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Message, Receive, Send], Awaitable[None]]
    Headers = Iterable[tuple[bytes, bytes]]
    #: The status, the headers and the body.
    Response = tuple[int, list[tuple[bytes, bytes]], bytes]

#: Requests with these headers, and responses with those, are for one client only.
OF_A_CLIENT = {b"authorization", b"cookie", b"range"}
FOR_A_CLIENT = {b"set-cookie", b"vary"}


class NotShared(Exception):
    """The response is for one client only."""


class ResponseCache:
    """Answers GET requests from a cache, with the header ``X-Cache``."""

    def __init__(self, app: App, cache: Cache[Any], ttl: float = 60) -> None:
        self.app, self.cache, self.ttl = app, cache, ttl

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or OF_A_CLIENT & names(scope["headers"]):
            await self.app(scope, receive, send)
            return
        mine: list[Response] = []

        async def load() -> Response:
            mine.append(await self.response(scope, receive))
            if not is_shared(mine[0]):
                raise NotShared
            return mine[0]

        try:
            status, headers, body = await self.cache.aget_or_set(key_of(scope), load, self.ttl)
        except NotShared:
            # Another client got the response that raised this, unless it is mine.
            status, headers, body = mine[0] if mine else await self.response(scope, receive)
        state = b"miss" if mine else b"hit"
        await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"x-cache", state)]})
        await send({"type": "http.response.body", "body": body})

    async def response(self, scope: Message, receive: Receive) -> Response:
        """Calls the application."""
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, collect)
        start = next(message for message in messages if message["type"] == "http.response.start")
        body = b"".join(message.get("body", b"") for message in messages)
        return start["status"], list(start.get("headers", ())), body


def is_shared(response: Response) -> bool:
    """Returns whether all clients may get this response."""
    status, headers, _ = response
    control = b",".join(value for name, value in headers if name.lower() == b"cache-control")
    kept = not any(word in control.lower() for word in (b"no-store", b"no-cache", b"private"))
    return status == 200 and kept and not FOR_A_CLIENT & names(headers)


def names(headers: Headers) -> set[bytes]:
    """Returns the names of headers, in lower case."""
    return {name.lower() for name, _ in headers}


def key_of(scope: Message) -> str:
    """Returns the key of a URL. The host is a part of it."""
    host = b"".join(value for name, value in scope["headers"] if name.lower() == b"host")
    url = repr((host, scope.get("root_path", ""), scope["path"], scope["query_string"]))
    return "response:" + hashlib.sha256(url.encode()).hexdigest()
