"""A temporary directory of a server, for its Unix socket and for test keys as files.

The server removes it when it stops. If a signal ends the process first, the directory stays. Each
directory has a lock, which the system releases with the process. A new directory first removes
those whose lock is free.
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
#: Most bytes in the path of a Unix socket: ``sun_path`` has 108, with the NUL.
_PATH_MAX = 107
#: Bytes below the parent directory: the name from mkdtemp, and the longest file name in it.
_NAMES = 40

#: The directories of this process. A child of a fork must not hold their locks.
_kept: weakref.WeakSet[Directory] = weakref.WeakSet()


def _in_child() -> None:
    for directory in _kept:
        directory.leave()


os.register_at_fork(after_in_child=_in_child)


class Directory:
    """A directory that only this user can enter. It lasts as long as this process keeps it."""

    def __init__(self) -> None:
        import tempfile

        place = _place()
        _sweep(place)
        while True:
            self._path = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
            lock = _lock(self._path, os.O_CREAT)
            if lock is not None:
                break
            # Another process removed the directory before the lock was taken.
        self._lock: int | None = lock
        _kept.add(self)

    def path(self, name: str) -> str:
        """Returns the path of a name in the directory."""
        return os.path.join(self._path, name)

    def write(self, name: str, text: str) -> str:
        """Writes a file that only this user can read, and returns its path."""
        path = self.path(name)
        with open(path, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(text)
        return path

    def remove(self) -> None:
        """Removes the directory with its files."""
        import shutil

        shutil.rmtree(self._path, ignore_errors=True)
        self.leave()

    def leave(self) -> None:
        """Releases the lock and leaves the directory as it is."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def load_identity(context: ssl.SSLContext, pem: str) -> None:
    """Loads a certificate and its key from memory.

    OpenSSL accepts only files, so it writes a file that exists in memory only.
    """
    file = os.memfd_create("memcache-rs")
    try:
        with open(file, "w", closefd=False) as memory:
            memory.write(pem)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)


def _place() -> str:
    """Returns the parent directory: one whose path is short enough for a Unix socket."""
    import tempfile

    usual = tempfile.gettempdir()
    if len(os.fsencode(usual)) + _NAMES <= _PATH_MAX:
        return usual
    for place in (os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp"):
        if place and len(os.fsencode(place)) + _NAMES <= _PATH_MAX and os.access(place, os.W_OK | os.X_OK):
            return place
    return usual


def _sweep(place: str) -> None:
    """Removes directories of this user whose processes have ended."""
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
    """Locks a directory. Returns ``None`` if another process holds the lock."""
    import fcntl

    path = os.path.join(directory, _LOCK)
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have removed the file between the two calls.
        if os.stat(path).st_ino == os.fstat(lock).st_ino:
            return lock
    except OSError:
        pass
    os.close(lock)
    return None
