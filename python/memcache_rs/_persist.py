"""The file of a cache that outlives its process: loaded at the start, saved at the end."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any

from memcache_rs.errors import ConfigError

if TYPE_CHECKING:
    from memcache_rs._cache import Cache
    from memcache_rs._typing import Path

#: The caches with a file, by path. They stay until they are closed, or the interpreter ends.
_kept: dict[str, PersistentFile] = {}
_keeping = threading.Lock()


class PersistentFile:
    """The file of one cache. No other cache of this process has it."""

    def __init__(self, cache: Cache[Any], path: Path) -> None:
        self.path = os.path.realpath(path)
        self._cache = cache
        #: Held during the last save, so that no other thread closes the cache before its end.
        self._saving = threading.Lock()
        # A missing directory is an error now, and not at the end.
        os.stat(os.path.dirname(self.path))
        with _keeping:
            if self.path in _kept:
                raise ConfigError(f"persist must be a file of one cache, but another cache has {self.path}")
            _kept[self.path] = self
        try:
            with contextlib.suppress(FileNotFoundError):
                cache.load(self.path, strict=True)
        except BaseException:
            self._leave()
            raise

    def end(self) -> None:
        """Saves the cache if that was not done. A closed cache has nothing to save."""
        with self._saving:
            if self._leave() and not self._cache.closed:
                self._cache.save(self.path)

    def _leave(self) -> bool:
        with _keeping:
            return _kept.pop(self.path, None) is not None


@atexit.register
def _save_all() -> None:
    # An error is reported, and keeps no other cache from being saved.
    with contextlib.ExitStack() as stack:
        for file in list(_kept.values()):
            stack.callback(file.end)


def _in_child() -> None:
    """Leaves the files to the parent process."""
    global _keeping
    _keeping = threading.Lock()
    _kept.clear()


os.register_at_fork(after_in_child=_in_child)
