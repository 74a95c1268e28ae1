"""Replaces conftest.py in Flask-Caching's tests, so that they use the cache of this package."""

from __future__ import annotations

import os
from typing import Any

import flask
import flask_caching
import pytest

from memcache_rs.adapters.cachelib import MemcacheCache


class Clock:
    """The clocks of all caches that a test makes."""

    def __init__(self) -> None:
        self.caches: list[Any] = []

    def add(self, cache: Any) -> None:
        cache.cache.clock.freeze()
        self.caches.append(cache.cache)

    def advance(self, seconds: int) -> None:
        for cache in self.caches:
            cache.clock.advance(seconds)


@pytest.fixture
def app(request: pytest.FixtureRequest) -> flask.Flask:
    app = flask.Flask(request.module.__name__, template_folder=os.path.dirname(__file__))
    app.testing = True
    app.config["CACHE_TYPE"] = "memcache_rs.adapters.cachelib.MemcacheCache"
    return app


@pytest.fixture
def cache(app: flask.Flask) -> Any:
    return flask_caching.Cache(app)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    init = MemcacheCache.__init__

    def made(self: Any, *args: Any, **settings: Any) -> None:
        init(self, *args, **settings)
        clock.add(self)

    monkeypatch.setattr(MemcacheCache, "__init__", made)
    return clock


@pytest.fixture(params=flask_caching.SUPPORTED_HASH_FUNCTIONS, ids=lambda function: function.__name__)
def hash_method(request: pytest.FixtureRequest) -> Any:
    return request.param
