"""Serves a page that is slow to make. A memcached keeps the page, and counts visits to limit them.

The page is served without the memcached, too: then it is slow, and no visit is counted.

    MEMCACHED=127.0.0.1:11211 flask --app app run
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from flask import Flask, Response, abort, request
from pymemcache import MemcacheError, PooledClient

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT = 60
VISITS = 5
PER = 30


class Pages:
    """Keeps pages and counts in memcached. A memcached that fails counts as empty."""

    def __init__(self, server: str | tuple[str, int]) -> None:
        self._client = PooledClient(server, connect_timeout=0.2, timeout=0.2, default_noreply=False)

    def get(self, key: str) -> bytes | None:
        """Returns the page, or None if it is not kept."""
        try:
            page: bytes | None = self._client.get(key)
        except (MemcacheError, OSError):
            return None
        return page

    def keep(self, key: str, page: bytes) -> None:
        """Keeps a page for a minute."""
        with suppress(MemcacheError, OSError):
            self._client.set(key, page, KEPT)

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def visits(self, visitor: str) -> int:
        """Counts this visit. Returns the visits since the first one, within half a minute."""
        key = f"visits:{visitor}"
        try:
            if self._client.add(key, b"1", PER):
                return 1
            return self._client.incr(key, 1) or 1
        except (MemcacheError, OSError):
            return 1


def report(year: int) -> bytes:
    """Makes the page, slowly."""
    return f"<h1>{year}</h1><p>{sum(n * n for n in range(100_000))}</p>".encode()


def create_app(server: str | tuple[str, int] | None = None, make: Callable[[int], bytes] = report) -> Flask:
    """Makes the application."""
    app = Flask(__name__)
    pages = Pages(server or os.environ.get("MEMCACHED", "127.0.0.1:11211"))
    app.extensions["pages"] = pages

    @app.get("/report/<int:year>")
    def show(year: int) -> Response:
        if pages.visits(request.remote_addr or "") > VISITS:
            abort(429)
        key = f"report:{year}"
        page = pages.get(key)
        kept = page is not None
        if page is None:
            page = make(year)
            pages.keep(key, page)
        return Response(page, headers={"X-Cache": "hit" if kept else "miss"})

    return app
