"""A program that runs Django's own tests of cache backends against the backend of this package.

test_django.py starts it. The first argument is the source distribution of Django. The others name
classes below. Where the tests sleep, the program moves the cache's clock.
"""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import sys
import tempfile
from typing import Any, ClassVar

import django
from django.conf import settings
from django.test import TestCase, override_settings
from django.test.runner import DiscoverRunner

from memcache_rs import Clock, Server

BACKEND = "memcache_rs.adapters.django.MemcacheCache"

sys.path.insert(0, os.path.join(sys.argv[1], "tests"))
settings.configure(
    INSTALLED_APPS=["cache"],
    CACHES={"default": {"BACKEND": BACKEND}},
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    SECRET_KEY="not secret",
    USE_TZ=False,
)
django.setup()

theirs: Any = importlib.import_module("cache.tests")

directory = tempfile.mkdtemp(prefix="memcache-rs-")
atexit.register(shutil.rmtree, directory)


class Time:
    """Replaces the module `time` in Django's tests."""

    clock: ClassVar[Any] = None

    def __getattr__(self, name: str) -> Any:
        import time

        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        Time.clock.advance(seconds)


theirs.time = Time()


def caches(**more: Any) -> Any:
    return override_settings(
        CACHES=theirs.caches_setting_for_tests(BACKEND=BACKEND, exclude={"cull", "zero_cull"}, **more)
    )


class Tests(theirs.BaseCacheTests):  # type: ignore[misc]
    def setUp(self) -> None:
        super().setUp()
        clock = self.clock()
        clock.freeze()
        self.addCleanup(clock.resume)
        Time.clock = clock

    def clock(self) -> Clock:
        # The first call makes the store.
        theirs.cache.get("key")
        clock: Clock = theirs.cache._shared._store.cache.clock
        return clock


@caches()
class Private(Tests, TestCase):
    """A cache without a location."""


@caches(LOCATION=os.path.join(directory, "host"))
class Host(Tests, TestCase):
    """A process that is the host."""

    def tearDown(self) -> None:
        super().tearDown()
        assert theirs.cache._shared.hosting


@caches(LOCATION=os.path.join(directory, "client"))
class Client(Tests, TestCase):
    """A process that is a client, through the socket."""

    server: ClassVar[Server]

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server(unix_socket=os.path.join(directory, "client")).start()
        cls.addClassCleanup(cls.server.stop)
        super().setUpClass()

    def clock(self) -> Clock:
        return self.server.clock

    def tearDown(self) -> None:
        super().tearDown()
        assert type(theirs.cache._shared._store).__name__ == "Remote"


if __name__ == "__main__":
    runner = DiscoverRunner(verbosity=1, interactive=False)
    sys.exit(runner.run_tests([f"__main__.{name}" for name in sys.argv[2:]]) > 0)
