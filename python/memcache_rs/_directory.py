"""A server's own directory: for its Unix socket, and for keys that the program wants as files.

It goes with the server. A signal may end the process before that, so each directory has a lock that the system frees
with the process, and a new directory first removes those whose lock is free.
"""

from __future__ import annotations

import os
import stat
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

_PREFIX = "memcache-rs-"
_LOCK = "lock"
#: Bytes of a Unix socket's path, at most: ``sun_path`` is 108 with its end.
_PATH_MAX = 107
#: Bytes of the longest name in a directory, with its separator, and of what mkdtemp adds to the prefix.
_NAMES = 40


#: Those of this process: a child of a fork must not hold their locks.
_kept: weakref.WeakSet[Directory] = weakref.WeakSet()


def _in_child() -> None:
    for directory in _kept:
        directory.leave()


os.register_at_fork(after_in_child=_in_child)


class Directory:
    """A directory that only this user can enter, for as long as this process keeps it."""

    def __init__(self) -> None:
        import tempfile

        place = _place()
        _sweep(place)
        while True:
            self._path = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
            lock = _lock(self._path, os.O_CREAT)
            if lock is not None:
                break
            # Another process swept it away before it was locked.
        self._lock: int | None = lock
        _kept.add(self)

    def path(self, name: str) -> str:
        """The path of a name in it."""
        return os.path.join(self._path, name)

    def write(self, name: str, text: str) -> str:
        """Writes a file that only this user can read; gives its path."""
        path = self.path(name)
        with open(path, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(text)
        return path

    def remove(self) -> None:
        """Removes it, with everything in it."""
        import shutil

        shutil.rmtree(self._path, ignore_errors=True)
        self.leave()

    def leave(self) -> None:
        """Gives up the lock, and leaves the directory as it is."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def load_identity(context: ssl.SSLContext, pem: str) -> None:
    """Loads a certificate and its key, which OpenSSL takes from files only, without a file of the file system."""
    file = os.memfd_create("memcache-rs")
    try:
        with open(file, "w", closefd=False) as memory:
            memory.write(pem)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)


def _place() -> str:
    """Where directories are made: not too deep for a Unix socket."""
    import tempfile

    usual = tempfile.gettempdir()
    if len(os.fsencode(usual)) + _NAMES <= _PATH_MAX:
        return usual
    for place in (os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp"):
        if place and len(os.fsencode(place)) + _NAMES <= _PATH_MAX and os.access(place, os.W_OK | os.X_OK):
            return place
    return usual


def _sweep(place: str) -> None:
    """Removes directories of this user whose processes are gone."""
    import shutil

    try:
        names = os.listdir(place)
    except OSError:
        return
    for name in names:
        path = os.path.join(place, name)
        if not name.startswith(_PREFIX) or not _is_own(path):
            continue
        lock = _lock(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _is_own(path: str) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _lock(directory: str, flags: int = 0) -> int | None:
    """The lock of a directory, if it can be had."""
    import fcntl

    path = os.path.join(directory, _LOCK)
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # It may have been removed between the two calls.
        if os.stat(path).st_ino == os.fstat(lock).st_ino:
            return lock
    except OSError:
        pass
    os.close(lock)
    return None
