"""A temporary directory of a server, for its Unix socket and for test keys as files.

The server removes it when it stops. If a signal ends the process first, the directory stays. Each
directory has a lock, which the system releases with the process. A new directory first removes
those whose lock is free.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

from memcache_rs import _native

if TYPE_CHECKING:
    import ssl

#: The directories of this process. A child of a fork must not hold their locks.
_kept: weakref.WeakSet[_native.Directory] = weakref.WeakSet()


def _in_child() -> None:
    for directory in _kept:
        directory.leave()


os.register_at_fork(after_in_child=_in_child)


def make_directory() -> _native.Directory:
    """Makes a directory that only this user can enter."""
    import tempfile

    directory = _native.Directory(tempfile.gettempdir())
    _kept.add(directory)
    return directory


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
